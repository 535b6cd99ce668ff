"""Lost sales with a lead time: the published optima, what simple policies cost, and that nothing is cheaper."""

from __future__ import annotations

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import Simulator
from invrec_rllib.theory.demand import GammaPoissonDemand, PoissonDemand
from invrec_rllib.theory.lost_sales import LostSales, solve_lost_sales
from invrec_rllib.theory.lost_sales_policies import (
    average_cost,
    base_stock,
    best_base_stock,
    best_capped_base_stock,
    best_constant_order,
    best_projected_level,
    capped_base_stock,
    myopic,
    projected_level,
    projected_on_hand,
)


def zipkin(lead_time: int, penalty: float) -> LostSales:
    """His first table: Poisson demand of mean 5, holding cost 1."""
    return LostSales(PoissonDemand(5.0), lead_time, 1.0, penalty)


# Zipkin, Old and New Methods for Lost-Sales Inventory Systems, Operations Research 56(5), 2008.
PUBLISHED = [
    (1, 4, 4.04), (2, 4, 4.40), (3, 4, 4.60), (4, 4, 4.73),
    (1, 19, 6.68), (2, 19, 7.66), (3, 19, 8.36), (4, 19, 8.89),
]  # fmt: skip


@pytest.mark.parametrize(("lead_time", "penalty", "cost"), PUBLISHED)
def test_the_optimum_is_the_published_one(lead_time: int, penalty: float, cost: float) -> None:
    assert round(solve_lost_sales(zipkin(lead_time, penalty)).cost, 2) == cost


@pytest.mark.parametrize(
    ("lead_time", "stocked", "shortsighted"), [(1, 4.16, 4.11), (2, 4.64, 4.56), (4, 5.20, 5.06)]
)
def test_base_stock_and_myopic_cost_what_is_published(
    lead_time: int, stocked: float, shortsighted: float
) -> None:
    problem = zipkin(lead_time, 4)
    assert round(best_base_stock(problem).cost, 2) == stocked
    assert round(average_cost(problem, myopic(problem)), 2) == shortsighted


@pytest.mark.parametrize("demand", [PoissonDemand(5.0), GammaPoissonDemand(3.0, 0.8)], ids=repr)
@pytest.mark.parametrize("lead_time", [1, 2, 3])
def test_no_policy_is_cheaper_than_the_optimum_and_richer_families_are_not_dearer(
    demand: PoissonDemand, lead_time: int
) -> None:
    problem = LostSales(demand, lead_time, 1.0, 9.0)
    optimum = solve_lost_sales(problem)
    # Another way to the same number: the chain of the optimal rule.
    assert average_cost(problem, optimum) == pytest.approx(optimum.cost, abs=1e-5)
    stocked, capped = best_base_stock(problem).cost, best_capped_base_stock(problem).cost
    assert optimum.cost <= capped + 1e-5
    assert capped <= stocked + 1e-9
    others = (
        best_projected_level(problem).cost,
        best_constant_order(problem).cost,
        average_cost(problem, myopic(problem)),
    )
    assert optimum.cost <= min(others) + 1e-5
    assert stocked < best_constant_order(problem).cost


def test_states_beyond_the_limits_change_nothing() -> None:
    problem, wider = zipkin(2, 9), zipkin(2, 9)
    wider.__dict__.update(order_limit=problem.order_limit + 6, position_limit=problem.position_limit + 10)
    found, wide = solve_lost_sales(problem), solve_lost_sales(wider)
    assert wide.num_states > 2 * found.num_states
    assert found.cost == pytest.approx(wide.cost, abs=1e-6)
    # The check can fail: a limit below the optimum's largest order costs money.
    narrow = zipkin(2, 9)
    narrow.__dict__.update(order_limit=5)
    assert solve_lost_sales(narrow).cost > found.cost + 1e-3


def test_the_best_levels_are_those_of_full_enumeration() -> None:
    problem = zipkin(2, 4)
    levels = range(8, 26)
    stocked = {s: average_cost(problem, base_stock(s)) for s in levels}
    found = best_base_stock(problem)
    assert found.parameters == {"level": min(stocked, key=stocked.__getitem__)}
    costs = {(s, r): average_cost(problem, capped_base_stock(s, cap=r)) for s in levels for r in range(3, 12)}
    capped = best_capped_base_stock(problem)
    assert (capped.parameters["level"], capped.parameters["cap"]) == min(costs, key=costs.__getitem__)
    projected = [average_cost(problem, projected_level(problem, u / 4)) for u in range(16, 48)]
    assert best_projected_level(problem).cost == pytest.approx(min(projected))


def test_the_projection_is_that_of_simulation() -> None:
    problem = zipkin(3, 4)
    state = np.array([[6, 2, 7]])
    rng = np.random.default_rng(0)
    on_hand = np.full(200_000, 6)
    for arriving in (2, 7, 0):
        on_hand = np.maximum(on_hand - rng.poisson(5.0, len(on_hand)), 0) + arriving
    projected = projected_on_hand(problem, state)[0]
    seen = np.bincount(on_hand, minlength=len(projected)) / len(on_hand)
    np.testing.assert_allclose(projected, seen, atol=0.005)
    assert projected.sum() == pytest.approx(1.0)


def test_a_constant_order_is_an_on_hand_that_walks() -> None:
    # Order 1 against a demand of 0 or 4 with equal chances: stock after receipt rises by one or falls to 1.
    # So P(stock = k) = 2^-k, its mean after demand 1/2 (2) + 1/2 E(x - 4)^+, and sales equal the order.
    class Coin:
        mean = 2.0

        def pmf(self, units):
            return np.where(units == 0, 0.5, np.where(units == 4, 0.5, 0.0))

        def cdf(self, units):
            return np.where(np.asarray(units) < 0, 0.0, np.where(np.asarray(units) < 4, 0.5, 1.0))

        def quantile(self, ratio):
            return 0.0 if ratio <= 0.5 else 4.0

        def expected_sales(self, stock):
            return 0.5 * np.minimum(stock, 4.0)

    stock = np.zeros(60)
    stock[1] = 1.0
    for _ in range(4000):
        moved = np.zeros(60)
        for x, share in enumerate(stock):
            for d in (0, 4):
                moved[min(max(x - d, 0) + 1, 59)] += 0.5 * share
        stock = moved
    left = sum(share * 0.5 * (x + max(x - 4, 0)) for x, share in enumerate(stock))
    found = best_constant_order(LostSales(Coin(), 2, 1.0, 1.0))
    # An order of 0 loses all demand, which costs 2; an order of 1 loses 2 - 1 and keeps `left`.
    assert found.cost == pytest.approx(min(2.0, 1.0 + left), abs=1e-6)


def test_the_simulator_keeps_the_same_convention() -> None:
    world = Scenario.model_validate(
        {
            "name": "one",
            "periods": 300,
            "products": {
                "price": [1.0], "unit_cost": 1.0, "holding_cost": 1.0, "stockout_penalty": 4.0, "order_cost": 0.0,
                "salvage_value": 0.0, "lead_time": 2, "initial_on_hand": 8, "initial_pipeline": [[0, 5]],
            },
            "segments": {"traffic": [5.0 * (1.0 + np.exp(-10.0))], "affinity": [[10.0]], "lift": [0.0]},
            "recommendation": {"slots": 1.0},
        }
    )  # fmt: skip
    simulator, costs = Simulator(world), []
    state = simulator.reset(seed=1, episodes=300)
    while not simulator.done:
        state = simulator.state
        order = np.maximum(16 - state.inventory_position, 0)
        economics = simulator.step(order=order, exposure=np.zeros((300, 1, 1))).economics
        if state.period >= 20:
            costs.append(economics.holding_cost + economics.stockout_cost)
    by_episode = np.mean(costs, axis=0)
    exact = average_cost(zipkin(2, 4), base_stock(16))
    assert abs(by_episode.mean() - exact) < 3 * by_episode.std() / np.sqrt(300)
    # The neighbouring convention, one period more, lies outside.
    assert abs(average_cost(zipkin(3, 4), base_stock(16)) - exact) > 0.1


def test_the_optimal_cost_rises_with_the_lead_time_and_stays_below_lost_margin() -> None:
    costs = [solve_lost_sales(zipkin(lead_time, 9)).cost for lead_time in (1, 2, 3)]
    assert costs == sorted(costs)
    assert costs[-1] < 9 * 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((PoissonDemand(5.0), 0, 1.0, 4.0), "lead_time is 0, must be at least 1: at 0 use the newsvendor"),
        ((PoissonDemand(5.0), 2, 0.0, 4.0), "holding_cost is 0.0, must be a number > 0"),
    ],
)
def test_impossible_problems_are_refused(fields: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LostSales(*fields)


def test_a_table_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(InputError, match=r"lead_time = 9 .* needs a table of [\d,]+ entries"):
        solve_lost_sales(zipkin(9, 19))
