"""The world in torch: the simulator's own periods, and derivatives that are profit's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson
from worlds import make_world, play, random_plan, worlds

from invrec_rllib.env import slates
from invrec_rllib.errors import InputError
from invrec_rllib.learning.pathwise.slates import fill_slots, soft_slots
from invrec_rllib.learning.pathwise.world import World, straight_through
from invrec_rllib.policies import recommenders
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import compile_scenario
from invrec_rllib.sim.params import Params
from invrec_rllib.sim.randomness import EpisodeStreams, episode_keys


def one_product() -> Scenario:
    """One product, one segment and one period, in which what is ordered arrives at once."""
    return Scenario.model_validate(
        {
            "name": "newsvendor",
            "periods": 1,
            "products": {
                "price": [10.0],
                "unit_cost": [6.0],
                "holding_cost": [0.5],
                "stockout_penalty": [1.0],
                "order_cost": [0.0],
                "salvage_value": [2.0],
                "lead_time": [0],
                "initial_on_hand": [0],
                "initial_pipeline": [[]],
            },
            "segments": {"traffic": [40.0], "affinity": [[0.0]], "lift": [0.0]},
            "recommendation": {"slots": 1.0},
        }
    )


@settings(max_examples=60, deadline=None)
@given(worlds(substitution=0.0, backorder=False, delays=False), st.integers(0, 2**20))
def test_periods_are_those_of_the_simulator(scenario: Scenario, seed: int) -> None:
    params = compile_scenario(scenario)
    plan = random_plan(params, 3, seed=seed)
    expected = play(params, plan, seed=seed)
    world = World(params, dtype=torch.float64)
    state, streams = world.start(3), EpisodeStreams(params, episode_keys(seed, 3))
    for t, outcome in enumerate(expected.outcomes):
        here = expected.states[t]
        np.testing.assert_array_equal(state.on_hand, here.on_hand)
        assert len(state.on_order) == here.on_order.shape[2]
        for lag, slot in enumerate(state.on_order):
            np.testing.assert_array_equal(slot, here.on_order[:, :, lag])
        np.testing.assert_allclose(state.affinity, here.affinity, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(state.position, here.on_hand + here.on_order.sum(axis=2))
        state, profit = world.play(
            state,
            order=world.tensor(plan.order[t]),
            exposure=world.tensor(plan.exposure[t]),
            draws=streams.next_period(),
        )
        np.testing.assert_allclose(profit, outcome.economics.profit, rtol=1e-9, atol=1e-9)


def mean_profit(
    params: Params, order: torch.Tensor, exposure: torch.Tensor, *, episodes: int
) -> torch.Tensor:
    """Of one order of every product and one exposure of every cell, in every period."""
    world = World(params, dtype=torch.float64)
    state, streams = world.start(episodes), EpisodeStreams(params, episode_keys(3, episodes))
    total = torch.zeros((), dtype=torch.float64)
    for _ in range(params.num_periods):
        state, profit = world.play(
            state,
            order=straight_through(order.round(), order).expand(episodes, -1),
            exposure=exposure.expand(episodes, -1, -1),
            draws=streams.next_period(),
        )
        total = total + profit.mean()
    return total


@pytest.mark.parametrize("ordered", [14.0, 20.0, 27.0])
def test_the_derivative_of_an_order_is_the_newsvendors(ordered: float) -> None:
    params = compile_scenario(one_product())
    order = torch.tensor([ordered], dtype=torch.float64, requires_grad=True)
    shown = torch.zeros(1, 1, dtype=torch.float64)
    mean_profit(params, order, shown, episodes=20_000).backward()
    assert order.grad is not None
    # Price and penalty for a unit that is asked for, cost always; what is left is kept once, then salvaged. A unit
    # of relaxed stock stands halfway between the last that is sold and the next.
    demand = poisson(40.0 * 0.5)
    sold = 0.5 * (demand.sf(ordered) + demand.sf(ordered - 1))
    expected = -6.0 + sold * (10.0 + 1.0) + (1.0 - sold) * (2.0 - 0.5)
    assert order.grad.item() == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_those_of_finite_steps_where_counts_are_large(seed: int) -> None:
    # With tens of thousands of visitors whole units and the chance in counts vanish beside the means.
    scenario = make_world(
        seed, products=3, carryover=0.3, disappointment=0.5, noise_cv=0.0, taste_noise=0.2, periods=6
    )
    data = scenario.model_dump()
    data["segments"]["traffic"] = [50_000.0, 80_000.0]
    params = compile_scenario(Scenario.model_validate(data))
    order = torch.full((3,), 9_000.0, dtype=torch.float64, requires_grad=True)
    exposure = torch.full((2, 3), params.slots / 4.0, dtype=torch.float64, requires_grad=True)
    mean_profit(params, order, exposure, episodes=8).backward()

    def difference(values: torch.Tensor, index: tuple[int, ...], width: float) -> float:
        profits = []
        for sign in (1.0, -1.0):
            moved = values.detach().clone()
            moved[index] += sign * width
            pair = (moved, exposure.detach()) if values is order else (order.detach(), moved)
            profits.append(float(mean_profit(params, *pair, episodes=8)))
        return (profits[0] - profits[1]) / (2.0 * width)

    assert order.grad is not None
    assert exposure.grad is not None
    for i in range(3):
        found = order.grad[i].item()
        assert found == pytest.approx(difference(order, (i,), 300.0), rel=0.1, abs=1.0)
        cell = (seed % 2, i)
        found = exposure.grad[cell].item()
        assert found == pytest.approx(difference(exposure, cell, 0.01), rel=0.1, abs=2_000.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"substitution": 0.4}, r"demand\.substitution is 0\.4: pathwise gradients need 0"),
        ({"backorder": True}, r"demand\.unmet is backorder: pathwise gradients need lost"),
        ({"delays": True}, r"supply\.delay_probabilities is \[0\.5, 0\.25, 0\.25\]: .* need \[1\]"),
    ],
)
def test_a_world_that_gradients_do_not_pass_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        World(compile_scenario(make_world(0, **options)))


def test_straight_through_is_the_value_with_the_derivative_of_the_other() -> None:
    relaxed = torch.tensor([1.4, 2.6], requires_grad=True)
    found = straight_through(relaxed.round(), 3.0 * relaxed)
    found.sum().backward()
    assert found.tolist() == [1.0, 3.0]
    assert relaxed.grad is not None
    assert relaxed.grad.tolist() == [3.0, 3.0]
    assert not straight_through(relaxed.round(), 3.0 * relaxed.detach()).requires_grad


scores = st.lists(st.floats(-9.0, 9.0), min_size=4, max_size=4, unique=True)


@given(scores, st.floats(0.2, 4.0))
def test_slots_are_filled_as_by_simple_recommenders(score: list[float], slots: float) -> None:
    expected = recommenders.fill_slots(np.array([score]), slots)
    np.testing.assert_allclose(fill_slots(torch.tensor([score], dtype=torch.float64), slots), expected)


@given(scores, st.floats(0.2, 4.0), st.sampled_from([0.05, 1.0, 3.0]))
def test_soft_slots_are_those_of_the_environment_with_empty_places(
    score: list[float], slots: float, temperature: float
) -> None:
    padded = np.array([[*score, *[0.0] * int(np.ceil(slots))]])
    expected = slates.soft_top_k(padded, slots, temperature=temperature)[:, :4]
    found = soft_slots(
        torch.tensor([score], dtype=torch.float64), slots, temperature=torch.tensor([[temperature]])
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found.sum() <= slots + 1e-9


def test_soft_slots_become_the_best_as_the_temperature_falls() -> None:
    score = torch.tensor([[3.0, -1.0, 2.0, 1.0]], dtype=torch.float64)
    cold = soft_slots(score, 1.5, temperature=torch.tensor([[0.01]]))
    np.testing.assert_allclose(cold, fill_slots(score, 1.5), atol=1e-6)
