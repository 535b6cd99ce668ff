"""Value normalisation: statistics that follow the targets, and values that move with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import Normalisation, ValueOutput


def output(normalisation: Normalisation, num_values: int = 2, **options: float) -> ValueOutput:
    torch.manual_seed(0)
    return ValueOutput(8, num_values=num_values, normalisation=normalisation, **options)  # type: ignore[arg-type]


def features(*lead: int) -> Tensor:
    return torch.randn(*lead, 8, generator=torch.Generator().manual_seed(1))


def targets(number: int, mean: float = 300.0, std: float = 40.0) -> Tensor:
    noise = torch.randn(number, 2, generator=torch.Generator().manual_seed(2))
    return torch.tensor([mean, -3.0]) + torch.tensor([std, 0.5]) * noise


def test_running_statistics_move_predictions() -> None:
    head = output("running")
    head.update(targets(400))
    before = head(features(50))
    head.update(targets(400, mean=1300.0))
    assert (head(features(50)) - before)[:, 0].abs().mean() > 200


def test_the_first_targets_set_the_level_of_an_untrained_critic() -> None:
    head = output("running")
    head.update(targets(400))
    assert (head(features(50))[:, 0] - 300.0).abs().max() < 4 * 40.0


def test_statistics_are_those_of_the_first_targets_then_averages() -> None:
    head = output("running", rate=0.01)
    first, second = targets(500), targets(500, mean=900.0, std=10.0)
    head.update(first)
    torch.testing.assert_close(head.mean, first.mean(0))
    torch.testing.assert_close(head.std, first.std(0, correction=0), rtol=1e-4, atol=1e-4)
    head.update(second)
    both = torch.cat([first, second])
    torch.testing.assert_close(head.mean, both.mean(0))
    torch.testing.assert_close(head.std, both.std(0, correction=0), rtol=1e-4, atol=1e-4)


def test_old_targets_are_forgotten_at_the_rate() -> None:
    head = output("running", rate=0.5)
    for mean in (0.0, 0.0, 0.0, 100.0):
        head.update(torch.full((10, 2), mean))
    torch.testing.assert_close(head.mean, torch.tensor([50.0, 50.0]))
    torch.testing.assert_close(head.std, torch.tensor([50.0, 50.0]))


def test_normalised_targets_have_mean_zero_and_spread_one_per_agent() -> None:
    head = output("running")
    head.update(targets(500))
    normal = head.normalise(targets(500))
    torch.testing.assert_close(normal.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_values_lie_on_the_scale_of_the_targets_after_a_few_steps_only_when_normalised() -> None:
    losses = {}
    for normalisation in ("none", "running"):
        head = output(normalisation)  # type: ignore[arg-type]
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        goal = targets(400)
        for _ in range(50):
            head.update(goal)
            optimizer.zero_grad()
            (head.normalise(head(features(400))) - head.normalise(goal)).square().mean().backward()
            optimizer.step()
        losses[normalisation] = (head(features(400)) - goal)[:, 0].detach().square().mean().sqrt()
    assert losses["running"] < 60.0
    assert losses["none"] > 250.0


def test_masked_targets_do_not_count() -> None:
    head, goal = output("running"), targets(100)
    mask = torch.arange(100) < 60
    goal[60:] = float("nan")
    head.update(goal, mask)
    torch.testing.assert_close(head.mean, goal[:60].mean(0))
    state = {name: entry.clone() for name, entry in head.state_dict().items()}
    head.update(goal, torch.zeros(100, dtype=torch.bool))
    assert all(torch.equal(entry, state[name]) for name, entry in head.state_dict().items())


def test_targets_masked_for_one_value_alone_leave_the_others_statistics() -> None:
    head, goal = output("running"), targets(100)
    mask = torch.ones_like(goal, dtype=torch.bool)
    mask[60:, 0], mask[:, 1] = False, False
    before = {name: entry.clone() for name, entry in head.state_dict().items()}
    values = head(features(9))
    head.update(torch.where(mask, goal, torch.nan), mask)
    torch.testing.assert_close(head.mean[0], goal[:60, 0].mean())
    torch.testing.assert_close(head.std[0], goal[:60, 0].std(unbiased=False))
    for name in ("mean", "std", "variance"):
        assert torch.equal(getattr(head, name)[1], before[name][1])
    torch.testing.assert_close(head(features(9))[:, 1], values[:, 1])


def test_moments_of_two_learners_add_up_to_those_of_all_targets() -> None:
    together, apart, goal = output("running"), output("running"), targets(100)
    together.update(goal)
    apart.absorb(apart.moments(goal[:30]) + apart.moments(goal[30:]))
    torch.testing.assert_close(apart.state_dict(), together.state_dict())


@pytest.mark.parametrize("normalisation", ["none", "running"])
def test_values_are_zero_where_nothing_is_left(normalisation: Normalisation) -> None:
    head = output(normalisation)
    head.update(targets(100))
    alive = torch.tensor([True, False, True])
    values = head(features(3), alive)
    assert torch.equal(values[1], torch.zeros(2))
    torch.testing.assert_close(values[alive], head(features(3))[alive])


def test_no_normalisation_keeps_the_given_scale() -> None:
    head = output("none", num_values=1, value_scale=50.0)
    head.update(targets(100)[:, 0])
    torch.testing.assert_close(head(features(4, 3)), 50.0 * head.linear(features(4, 3)).squeeze(-1))
    assert float(head.normalise(torch.tensor(100.0))) == 2.0


def test_equal_targets_do_not_divide_by_zero() -> None:
    head = output("running", num_values=1)
    head.update(torch.full((30,), 1000.0))
    before = head(features(20))
    head.update(torch.full((30,), 1000.0))
    assert head.std[0] == pytest.approx(1.0)
    torch.testing.assert_close(head(features(20)), before, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("num_values", [1, 2])
@pytest.mark.parametrize("normalisation", ["none", "running"])
def test_an_update_tells_how_values_moved(normalisation: Normalisation, num_values: int) -> None:
    head = output(normalisation, num_values)
    for mean in (300.0, 500.0):
        before = head(features(20))
        goal = targets(100, mean=mean)
        moved = head.update(goal if num_values == 2 else goal[:, 0])
        torch.testing.assert_close(moved(before), head(features(20)), rtol=1e-5, atol=5e-3)
        assert normalisation == "running" or torch.equal(moved(before), before)


def test_statistics_are_saved_and_restored() -> None:
    head, copy = output("running"), output("running")
    head.update(targets(100))
    copy.load_state_dict(head.state_dict())
    torch.testing.assert_close(copy(features(5)), head(features(5)))
    assert int(copy.num_updates) == 1


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"normalisation": "batch"}, "normalisation = 'batch'"),
        ({"rate": 0.0}, "rate = 0.0"),
        ({"value_scale": 0.0}, "value_scale = 0.0"),
        ({"num_values": 0}, "num_values = 0"),
    ],
)
def test_faults_are_named(options: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=name):
        ValueOutput(8, **options)  # type: ignore[arg-type]
