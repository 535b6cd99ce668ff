"""Terms of the loss: values by hand, gradients that point the right way, and torch's own distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from invrec_rllib.errors import InputError
from invrec_rllib.learning.losses import (
    categorical_entropy,
    categorical_kl,
    categorical_logp,
    clipped_surrogate,
    gaussian_entropy,
    gaussian_kl,
    gaussian_logp,
    masked_mean,
    value_loss,
)


def logs(*ratios: float) -> Tensor:
    return torch.tensor([math.log(ratio) for ratio in ratios], requires_grad=True)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_surrogate_takes_the_lesser_gain() -> None:
    ratios, advantages = (1.5, 0.5, 1.5, 0.5, 1.1), torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0])
    loss = clipped_surrogate(logs(*ratios), torch.zeros(5), advantages=advantages, clip=0.2)
    assert loss.item() == pytest.approx(-(2.4 + 1.0 - 3.0 - 1.6 + 2.2) / 5)


def test_the_surrogate_stops_moving_only_what_has_moved_far_enough_the_right_way() -> None:
    logp = logs(1.5, 0.5, 1.5, 0.5)
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    clipped_surrogate(logp, torch.zeros(4), advantages=advantages, clip=0.2).backward()
    assert logp.grad is not None
    # Minus the gain's gradient, ratio x advantage / 4, where the ratio is on the wrong side.
    torch.testing.assert_close(logp.grad, torch.tensor([0.0, -0.125, 0.375, 0.0]))


def test_padding_enters_no_loss_and_gets_no_gradient() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    logp = torch.tensor([[0.1, -0.1], [0.0, 500.0]], requires_grad=True)
    loss = clipped_surrogate(logp, torch.zeros(2, 2), advantages=torch.ones(2, 2), clip=0.2, mask=mask)
    alone = clipped_surrogate(logp[mask], torch.zeros(3), advantages=torch.ones(3), clip=0.2)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert logp.grad is not None
    assert logp.grad[1, 1] == 0.0
    assert logp.grad.isfinite().all()
    values = torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [1e9, 1e9]]])
    assert value_loss(values, torch.zeros(2, 2, 2), mask=mask).item() == pytest.approx((1 + 4 + 9) / 2 / 6)


def test_a_masked_mean_of_nothing_is_zero() -> None:
    assert masked_mean(torch.ones(3), torch.zeros(3, dtype=torch.bool)).item() == 0.0


def value_gradient(value: float, *, huber: float | None = None) -> float:
    """Of the loss of a value that was 0, should be 1, and may move by 0.2."""
    prediction = torch.tensor([value], requires_grad=True)
    value_loss(prediction, torch.ones(1), old_values=torch.zeros(1), clip=0.2, huber=huber).backward()
    assert prediction.grad is not None
    return float(prediction.grad)


def test_a_value_that_moved_far_enough_is_left_alone() -> None:
    assert value_gradient(0.5) == 0.0
    assert value_gradient(0.1) == pytest.approx(-0.9)


def test_a_value_far_off_is_pulled_back_where_a_clamped_loss_leaves_it() -> None:
    assert value_gradient(-5.0) == pytest.approx(-6.0)
    assert value_gradient(9.0) == pytest.approx(8.0)
    # What RLlib's PPO does: the loss is clamped, and with it goes the gradient.
    prediction = torch.tensor([-5.0], requires_grad=True)
    (prediction - 1.0).square().clamp(0.0, 10.0).sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.item() == 0.0


def test_value_loss_by_hand() -> None:
    values, targets, old = torch.tensor([0.5, 0.1]), torch.ones(2), torch.zeros(2)
    assert value_loss(values, targets).item() == pytest.approx((0.25 + 0.81) / 4)
    assert value_loss(values, targets, old_values=old, clip=0.2).item() == pytest.approx((0.64 + 0.81) / 4)
    # From 2 a value may move to 2.2 towards 3, however far it went.
    assert value_loss(
        torch.tensor([2.9]), torch.tensor([3.0]), old_values=torch.tensor([2.0]), clip=0.2
    ).item() == (pytest.approx(0.5 * 0.8**2))
    assert value_loss(torch.tensor([5.0]), torch.zeros(1), huber=2.0).item() == pytest.approx(2 * (5 - 1))


def test_huber_bounds_the_pull() -> None:
    assert value_gradient(-5.0, huber=2.0) == pytest.approx(-2.0)


def test_a_clip_without_old_values_is_refused() -> None:
    with pytest.raises(InputError, match=r"clip = 0\.2, but old_values = None"):
        value_loss(torch.zeros(2), torch.zeros(2), clip=0.2)


def normal(inputs: Tensor) -> Independent:
    mean, log_std = inputs.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp()), 1)


def test_gaussians_agree_with_torch() -> None:
    old, new, actions = random(5, 4, 6), random(5, 4, 6, seed=1), random(5, 4, 3, seed=2)
    torch.testing.assert_close(gaussian_logp(new, actions), normal(new).log_prob(actions))
    torch.testing.assert_close(gaussian_kl(old, new), kl_divergence(normal(old), normal(new)))
    torch.testing.assert_close(gaussian_entropy(new), normal(new).entropy())


def test_categoricals_agree_with_torch() -> None:
    old, new, actions = random(5, 4, 6), random(5, 4, 6, seed=1), torch.arange(20).reshape(5, 4) % 6
    one, other = Categorical(logits=old), Categorical(logits=new)
    torch.testing.assert_close(categorical_logp(new, actions), other.log_prob(actions))
    torch.testing.assert_close(categorical_kl(old, new), kl_divergence(one, other))
    torch.testing.assert_close(categorical_entropy(new), other.entropy())


def test_divergence_from_itself_is_exactly_zero() -> None:
    inputs = random(50, 6)
    assert torch.equal(gaussian_kl(inputs, inputs), torch.zeros(50))
    assert torch.equal(categorical_kl(inputs, inputs), torch.zeros(50))


def test_masked_actions_have_no_part_in_divergence_and_entropy() -> None:
    inputs, allowed = random(4, 3), torch.tensor([True, True, False])
    masked = torch.where(allowed, inputs, -torch.inf)
    torch.testing.assert_close(categorical_entropy(masked), categorical_entropy(inputs[:, :2]))
    torch.testing.assert_close(
        categorical_kl(masked, masked + torch.tensor([1.0, 0.0, 0.0])),
        categorical_kl(inputs[:, :2], inputs[:, :2] + torch.tensor([1.0, 0.0])),
    )
