"""Advantages: closed forms, a semi-Markov reference, and RLlib's own estimate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.returns import generalized_advantages, standardise


def random_data(seed: int, steps: int = 9, envs: int = 4, end_rate: float = 0.2) -> dict[str, Tensor]:
    """Consistent data: next values are the values of the next step but where an episode ended."""
    rng = np.random.default_rng(seed)
    ends = rng.random((steps, envs)) < end_rate
    terminated = ends & (rng.random((steps, envs)) < 0.5)
    values = rng.normal(size=(steps, envs))
    following = np.concatenate([values[1:], rng.normal(size=(1, envs))])
    following = np.where(ends, rng.normal(size=(steps, envs)), following)
    data = {
        "rewards": rng.normal(size=(steps, envs)),
        "values": values,
        "next_values": np.where(terminated, 0.0, following),
    }
    out = {name: torch.tensor(array, dtype=torch.float32) for name, array in data.items()}
    return {**out, "ends": torch.tensor(ends), "terminated": torch.tensor(terminated)}


def estimate(data: dict[str, Tensor], **options: object) -> tuple[Tensor, Tensor]:
    inputs = {name: data[name] for name in ("rewards", "values", "next_values", "ends")}
    return generalized_advantages(**inputs, **options)  # type: ignore[arg-type]


def semi_markov(data: dict[str, Tensor], decides: Tensor, *, discount: float, lam: float) -> np.ndarray:
    """Targets by the definition: rewards to the next decision, then its value and target mixed."""
    rewards, values, following = (
        data[name].double().numpy() for name in ("rewards", "values", "next_values")
    )
    ends, steps = data["ends"].numpy(), len(data["rewards"])
    targets = np.zeros_like(rewards)
    for env in range(rewards.shape[1]):
        for start in reversed(range(steps)):
            earned, t = rewards[start, env], start
            while not ends[t, env] and t + 1 < steps and not decides[t + 1, env]:
                t += 1
                earned += discount ** (t - start) * rewards[t, env]
            duration = t + 1 - start
            if ends[t, env] or t + 1 == steps:
                goal = following[t, env]
            else:
                goal = (1 - lam) * values[t + 1, env] + lam * targets[t + 1, env]
            targets[start, env] = earned + discount**duration * goal
    return targets


def test_a_hand_made_process_with_decisions_every_other_step() -> None:
    column = {"rewards": [1.0, 2.0, 3.0, 4.0], "values": [10.0, 20.0, 30.0, 40.0]}
    data = {name: torch.tensor(entries)[:, None] for name, entries in column.items()}
    data |= {"next_values": torch.tensor([[20.0], [30.0], [40.0], [0.0]])}
    data |= {"ends": torch.tensor([[False], [False], [False], [True]])}
    decides = torch.tensor([[True], [False], [True], [False]])
    advantages, targets = estimate(data, discount=0.5, lam=0.8, decides=decides)
    # Decision at 2: earns 3 + 4/2 = 5, then terminal: 5 - 30. Decision at 0: earns 1 + 2/2 = 2, two steps later
    # worth 30/4: 2 + 7.5 - 10 = -0.5, plus 0.8/4 of the later advantage.
    assert advantages[2, 0] == pytest.approx(-25.0)
    assert advantages[0, 0] == pytest.approx(-0.5 + 0.25 * 0.8 * -25.0)
    # Between decisions at 1: 2 + (0.2 x 30 + 0.8 x 5) / 2.
    assert targets[1, 0] == pytest.approx(7.0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    decision_rate=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    discount=st.sampled_from([0.0, 0.9, 1.0]),
    lam=st.sampled_from([0.0, 0.8, 1.0]),
)
def test_decisions_at_random_equal_the_semi_markov_definition(
    seed: int, decision_rate: float, discount: float, lam: float
) -> None:
    data = random_data(seed)
    decides = torch.tensor(np.random.default_rng(seed + 1).random((9, 4)) < decision_rate)
    advantages, targets = estimate(data, discount=discount, lam=lam, decides=decides)
    expected = semi_markov(data, decides, discount=discount, lam=lam)
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-5)
    torch.testing.assert_close(advantages, targets - data["values"])


def test_review_periods_change_the_estimate() -> None:
    data = random_data(0, end_rate=0.0)
    decides = (torch.arange(9) % 3 == 0)[:, None].expand(9, 4)
    always, _ = estimate(data, discount=0.9, lam=0.5)
    seldom, _ = estimate(data, discount=0.9, lam=0.5, decides=decides)
    assert (always - seldom).abs().max() > 0.1


def test_deciding_always_is_the_ordinary_estimate() -> None:
    data = random_data(3)
    every = torch.ones(9, 4, dtype=torch.bool)
    torch.testing.assert_close(
        estimate(data, discount=0.9, lam=0.5, decides=every), estimate(data, discount=0.9, lam=0.5)
    )


def test_constant_reward_with_right_values_has_no_advantage_and_wrong_ones_have() -> None:
    ones, discount = torch.ones(30, 2), 0.9
    right = {"rewards": ones, "values": ones * 10, "next_values": ones * 10, "ends": ones < 0}
    wrong = right | {"values": ones * 9, "next_values": ones * 9}
    for lam in (0.0, 0.5, 1.0):
        assert estimate(right, discount=discount, lam=lam)[0].abs().max() < 1e-5
        assert estimate(wrong, discount=discount, lam=lam)[0].abs().min() > 0.05


def test_lambda_zero_is_the_temporal_difference() -> None:
    data = random_data(5)
    advantages, _ = estimate(data, discount=0.9, lam=0.0)
    torch.testing.assert_close(advantages, data["rewards"] + 0.9 * data["next_values"] - data["values"])


def test_lambda_one_is_the_discounted_sum_of_what_was_earned() -> None:
    data = random_data(6, end_rate=0.0)
    _, targets = estimate(data, discount=0.9, lam=1.0)
    powers = 0.9 ** torch.arange(9.0)[:, None]
    assert targets[0] == pytest.approx(
        ((powers * data["rewards"]).sum(0) + 0.9**9 * data["next_values"][-1]).numpy(), rel=1e-5
    )


def test_nothing_after_an_episode_end_matters() -> None:
    data = random_data(7, end_rate=0.0)
    data["ends"][4] = True
    before, _ = estimate(data, discount=0.9, lam=0.9)
    data["rewards"][5:] += 100.0
    after, _ = estimate(data, discount=0.9, lam=0.9)
    assert torch.equal(before[:5], after[:5])
    assert (after[5:] - before[5:]).min() > 50.0


def test_agents_on_a_trailing_axis_are_estimated_apart_each_with_its_own_discount() -> None:
    data = random_data(8)
    pair = {
        name: torch.stack([data[name], 2 * data[name]], -1) for name in ("rewards", "values", "next_values")
    }
    decides = torch.rand(9, 4, 2, generator=torch.Generator().manual_seed(0)) < 0.5
    discount = torch.tensor([0.9, 0.5])
    both, _ = estimate({**data, **pair}, discount=discount, lam=0.7, decides=decides)
    for agent in range(2):
        alone, _ = estimate(
            {**data, **{name: array[..., agent] for name, array in pair.items()}},
            discount=float(discount[agent]),
            lam=0.7,
            decides=decides[..., agent],
        )
        torch.testing.assert_close(both[..., agent], alone)


def test_equal_to_rllib_on_elongated_episodes() -> None:
    from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

    data = random_data(11, steps=60, envs=3, end_rate=0.1)
    _, targets = estimate(data, discount=0.97, lam=0.9)
    arrays = {name: array.numpy() for name, array in data.items()}
    assert arrays["terminated"].any()
    assert (arrays["ends"] & ~arrays["terminated"]).any()
    for env in range(3):
        column = {name: list(array[:, env]) for name, array in arrays.items()}
        column["ends"][-1] = True
        rows, kept = [], []
        for t in range(60):
            ended, terminal = column["ends"][t], column["terminated"][t]
            kept.append(len(rows))
            rows.append((column["values"][t], column["rewards"][t], terminal, ended and not terminal))
            if ended:  # RLlib appends a step that holds what followed the last one.
                rows.append((column["next_values"][t], 0.0, False, True))
        values, rewards, terminated, truncated = (
            np.array(entry, np.float32) for entry in zip(*rows, strict=True)
        )
        theirs = compute_value_targets(values, rewards, terminated, truncated, 0.97, 0.9)
        np.testing.assert_allclose(targets[:, env].numpy(), theirs[kept], rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_through_estimates() -> None:
    data = random_data(0)
    data["values"].requires_grad_()
    advantages, targets = estimate(data, discount=0.9, lam=0.9)
    assert not advantages.requires_grad
    assert not targets.requires_grad


@pytest.mark.parametrize("name", ["values", "next_values", "ends"])
def test_shapes_that_do_not_fit_are_named(name: str) -> None:
    data = random_data(0)
    with pytest.raises(InputError, match=f"^{name} has shape"):
        estimate({**data, name: data[name][:, :-1]}, discount=0.9, lam=0.9)


def test_standardised_over_the_mask_alone() -> None:
    advantages = torch.tensor([1.0, 3.0, 1e6, float("nan")])
    mask = torch.tensor([True, True, False, False])
    torch.testing.assert_close(standardise(advantages, mask), torch.tensor([-1.0, 1.0, 0.0, 0.0]))
    assert not standardise(advantages[:3])[:2].allclose(torch.tensor([-1.0, 1.0]))


def test_standardising_equal_or_no_advantages_gives_zeros() -> None:
    same = torch.full((4,), 5.0)
    assert torch.equal(standardise(same), torch.zeros(4))
    assert torch.equal(standardise(same, torch.zeros(4, dtype=torch.bool)), torch.zeros(4))
