"""What is exactly best where a delivery is still to come, and how the policy `optimal` answers off its plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact_worlds import small_world, tiny_solved

from invrec_rllib.policies.optimal import OptimalPolicy, solved_world
from invrec_rllib.policies.view import Observer
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim.params import compile_scenario
from invrec_rllib.sim.simulator import Simulator
from invrec_rllib.theory.plan import Plan
from invrec_rllib.theory.under_way import plan_expecting

# Far above what is ever ordered.
UNLIMITED = {"max_order": 15}


def test_expecting_nothing_is_the_plan_itself() -> None:
    plan = tiny_solved().plan
    assert plan_expecting(plan.world, (0, 0)).same_as(plan)


@pytest.mark.parametrize("units", [(2, 0), (0, 1), (1, 2)])
def test_a_delivery_to_come_replaces_as_much_of_the_order_where_nothing_limits_it(
    units: tuple[int, int],
) -> None:
    # Cost is linear: whoever would order at least what comes anyway orders that much less, and shows the same.
    world = compile_scenario(small_world(money=UNLIMITED))
    plan = solved_world(world).plan
    expecting = plan_expecting(plan.world, units)
    states = np.indices(plan.world.shape)
    # Away from the stock limit.
    inside = (states < plan.world.stock_limit[:, None, None] // 3).all(axis=0)
    ordered = plan.world.orders[plan.order]
    compared = 0
    for t in range(world.num_periods - 1):
        enough = inside & (ordered[t] >= units).all(axis=-1)
        compared += np.count_nonzero(enough)
        assert np.array_equal(
            plan.world.orders[expecting.order[t][enough]], ordered[t][enough] - np.array(units)
        )
        assert np.array_equal(expecting.exposure[t][enough], plan.exposure[t][enough])
    assert compared > 20


def test_in_the_last_period_a_delivery_to_come_is_salvaged_and_changes_nothing() -> None:
    plan = tiny_solved().plan
    expecting = plan_expecting(plan.world, (1, 0))
    inside = np.s_[:10, :10]
    assert np.array_equal(expecting.exposure[-1][inside], plan.exposure[-1][inside])
    assert np.array_equal(expecting.order[-1][inside], plan.order[-1][inside])


def asked(scenario: Scenario, *, on_hand: Any, coming: Any) -> tuple[Plan, Any]:
    """The plan of a world, and what `optimal` decides in period 0 in these states."""
    params = compile_scenario(scenario)
    simulator = Simulator(params)
    state = simulator.reset(seed=0, episodes=len(on_hand))
    view = Observer(params, information="full").observe(state, simulator.streams)
    on_order = np.asarray(coming)[:, :, None]
    policy = OptimalPolicy()
    memory = policy.begin(params, num_episodes=len(on_hand), seed=0)
    altered = replace(view, state=replace(state, on_hand=np.asarray(on_hand), on_order=on_order))
    return memory, policy.act(altered, memory)


def test_optimal_looks_up_each_episode_by_what_it_expects() -> None:
    plan, decision = asked(small_world(), on_hand=[[1, 2]] * 3, coming=[[0, 0], [2, 0], [0, 1]])
    for row, units in enumerate([(0, 0), (2, 0), (0, 1)]):
        expecting = plan_expecting(plan.world, units)
        assert np.array_equal(decision.order[row], plan.world.orders[expecting.order[0, 1, 2]])
        assert np.array_equal(decision.exposure[row], plan.world.exposures[expecting.exposure[0, 1, 2]])
    assert not np.array_equal(decision.order[0], decision.order[1])


def test_more_stock_than_the_plan_considers_counts_as_the_most_that_it_does() -> None:
    limit = solved_world(compile_scenario(small_world())).plan.world.stock_limit
    _, decision = asked(small_world(), on_hand=[limit, limit + 7], coming=[[0, 0]] * 2)
    assert np.array_equal(decision.order[0], decision.order[1])
    assert np.array_equal(decision.exposure[0], decision.exposure[1])


def test_a_single_product_expects_deliveries_too() -> None:
    one = small_world(products=1, money={"max_order": 6})
    _, decision = asked(one, on_hand=[[0], [0]], coming=[[0], [2]])
    assert decision.order[0, 0] > decision.order[1, 0]
