"""The networks treat products and segments alike, and start from the textbook's action."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.learning.product_network import ProductActor, ProductCritic

LAYOUT = ObservationLayout(3, 4, 2, num_products=5, num_segments=3)


def observations(*lead: int, seed: int = 0) -> Tensor:
    return torch.randn(*lead, LAYOUT.size, generator=torch.Generator().manual_seed(seed))


def actor(*, per_cell: bool) -> ProductActor:
    torch.manual_seed(1)
    network = ProductActor(LAYOUT, per_cell=per_cell, hidden=8, cell_hidden=6, initial_std=0.5)
    # Heads start near zero: scaled up, equality up to rounding means something.
    torch.nn.init.normal_(network.head.weight)
    return network


def permuted(observation: Tensor, *, products: Tensor, segments: Tensor) -> Tensor:
    globals_, features, cells = LAYOUT.split(observation)
    moved = cells[..., segments, :, :][..., products, :]
    return torch.cat([globals_, features[..., products, :].flatten(-2), moved.flatten(-3)], dim=-1)


def test_orders_follow_their_products_when_products_change_places() -> None:
    observation, order = observations(7), torch.tensor([4, 2, 0, 1, 3])
    mean = actor(per_cell=False)(observation).chunk(2, dim=-1)[0]
    moved = actor(per_cell=False)(permuted(observation, products=order, segments=torch.arange(3))).chunk(
        2, -1
    )[0]
    assert mean.std() > 0.01
    torch.testing.assert_close(moved, mean[:, order])


def test_exposures_follow_their_products_and_segments() -> None:
    observation, products, segments = observations(7), torch.tensor([4, 2, 0, 1, 3]), torch.tensor([2, 0, 1])
    mean = actor(per_cell=True)(observation).chunk(2, dim=-1)[0].reshape(7, 3, 5)
    moved = actor(per_cell=True)(permuted(observation, products=products, segments=segments))
    assert mean.std() > 0.01
    torch.testing.assert_close(moved.chunk(2, dim=-1)[0].reshape(7, 3, 5), mean[:, segments][:, :, products])


def test_a_product_hears_of_the_others() -> None:
    observation = observations(1)
    changed = observation.clone()
    changed[:, LAYOUT.num_globals] += 5.0  # a feature of product 0
    network = actor(per_cell=False)
    difference = (network(changed) - network(observation))[0, :5]
    assert difference[1:].abs().min() > 0.0


def test_value_does_not_depend_on_the_order_of_products() -> None:
    torch.manual_seed(0)
    critic = ProductCritic(LAYOUT, hidden=8, cell_hidden=6)
    observation = observations(4)
    shuffled = permuted(observation, products=torch.tensor([1, 0, 3, 4, 2]), segments=torch.tensor([1, 2, 0]))
    torch.testing.assert_close(critic(shuffled), critic(observation))


def test_leading_axes_are_kept() -> None:
    observation = observations(2, 6)
    assert actor(per_cell=True)(observation).shape == (2, 6, 2 * 15)
    assert actor(per_cell=False)(observation).shape == (2, 6, 2 * 5)
    assert ProductCritic(LAYOUT, hidden=8, cell_hidden=6)(observation).shape == (2, 6)


def test_untrained_actions_are_near_zero_with_the_given_spread() -> None:
    network = ProductActor(LAYOUT, per_cell=True, hidden=32, cell_hidden=16, initial_std=0.5)
    mean, log_std = network(observations(100)).chunk(2, dim=-1)
    assert mean.abs().max() < 0.3
    torch.testing.assert_close(log_std.exp(), torch.full_like(log_std, 0.5))


@pytest.mark.parametrize("index", [0, 1])
def test_value_is_zero_exactly_where_no_time_is_left(index: int) -> None:
    critic = ProductCritic(LAYOUT, hidden=8, cell_hidden=6, time_left_index=index)
    observation = observations(4).abs()
    observation[2, index] = 0.0
    values = critic(observation)
    assert values[2] == 0.0
    assert (values[[0, 1, 3]] != 0.0).all()
