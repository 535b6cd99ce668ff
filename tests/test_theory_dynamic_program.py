"""The exact dynamic program: equal to enumeration, to the newsvendor and to simulation; nothing beats it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from exact_worlds import small_world, tiny_coordination, tiny_solved
from reference import ReferenceWorld
from scipy import stats
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import rollout
from invrec_rllib.policies import policy_names
from invrec_rllib.policies.optimal import DPPolicy
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import PeriodDraws, compile_scenario
from invrec_rllib.theory.dynamic_program import (
    best_exposures,
    best_orders,
    long_run,
    solve,
    solve_jointly,
)
from invrec_rllib.theory.exact_world import compile_exact
from invrec_rllib.theory.newsvendor import best_shown_order
from invrec_rllib.theory.plan import Plan, account, held_back, occupancy

RICH: dict[str, dict[str, Any]] = {
    "lead time 0 and 1, a season, negative binomial": {
        "lead_times": (0, 1),
        "demand": {"season": [1.0, 2.0, 0.3, 1.0, 1.5, 0.8], "noise_cv": 0.6, "lift_form": "linear"},
    },
    "promotions, capacity, fixed costs, rent, reviews": {
        "demand": {"price_path": [[10, 12], [7, 12], [10, 9], [10, 12], [7, 9], [10, 12]]},
        "segments": {"price_elasticity": [1.5]},
        "money": {"order_cost": 1.0},
        "supply": {"capacity": 4.0, "overflow_cost": 0.7, "review_periods": 2},
        "recommendation": {"slots": 1.3, "exposure_cost": 0.4},
    },
    "one product": {"products": 1, "lead_times": (0,), "recommendation": {"exposure_cost": 0.3}},
}


def rich_world(name: str) -> Scenario:
    return small_world(**RICH[name])


def simulated(plan: Plan, world: Scenario, *, episodes: int, seed: int = 5) -> np.ndarray:
    return rollout(world, DPPolicy("plan", plan), seed=seed, episodes=episodes, information="full").profit


def misses(value: float, profit: np.ndarray) -> float:
    """Distance between a promised value and a simulated mean, in standard errors."""
    return abs(profit.mean() - value) / (profit.std() / math.sqrt(len(profit)))


def test_the_simulator_earns_what_the_plan_promises_on_tiny() -> None:
    solved = tiny_solved()
    assert misses(solved.value, simulated(solved.plan, load_scenario("tiny"), episodes=6_000)) < 3


@pytest.mark.parametrize("name", RICH)
def test_the_simulator_earns_what_the_plan_promises(name: str) -> None:
    world = rich_world(name)
    solved = solve(world)
    assert misses(solved.value, simulated(solved.plan, world, episodes=6_000)) < 3


@pytest.mark.parametrize("name", RICH)
def test_following_a_plan_forwards_gives_its_value_backwards(name: str) -> None:
    solved = solve(rich_world(name))
    accounts = account(solved.plan)
    assert accounts.profit == pytest.approx(solved.value, abs=1e-9)
    np.testing.assert_allclose(occupancy(solved.plan).sum(axis=(1, 2)), 1.0, atol=1e-12)


def test_departments_accounts_are_those_of_simulation() -> None:
    world = rich_world("promotions, capacity, fixed costs, rent, reviews")
    plan = solve(world).plan
    played = rollout(world, DPPolicy("plan", plan), seed=2, episodes=6_000, information="full", record=6_000)
    price = np.array(world.demand.price_path)
    rent = played.economics["exposure_cost"]
    demand = np.stack([(t.demand * price).sum() for t in played.trajectories])
    sales = np.stack([(t.sales * price).sum() for t in played.trajectories])
    accounts = account(plan)
    assert misses(accounts.inventory, played.profit + rent) < 3
    assert misses(accounts.clicks, demand - rent) < 3
    assert misses(accounts.sales, sales - rent) < 3
    assert accounts.inventory - accounts.profit == pytest.approx(rent.mean(), rel=0.02)


@pytest.mark.parametrize(("lead_times", "wrong"), [((1, 1), True), ((0, 0), False)])
def test_a_program_with_another_event_order_is_exposed_by_simulation(
    lead_times: tuple[int, int], wrong: bool
) -> None:
    # The mutant lets orders of lead time 1 serve the same period's demand, or those of 0 only the next one's.
    world = small_world(lead_times=lead_times)
    right = compile_exact(world, stock_limit=14)
    mutant = solve_jointly(replace(right, at_once=np.array([wrong, wrong])))
    played = simulated(Plan(right, mutant.plan.order, mutant.plan.exposure), world, episodes=2_000)
    assert misses(mutant.value, played) > 10


def enumerated(world: Scenario, *, step: float, most_demand: int) -> float:
    """The optimum by trying every decision and every demand in the slow reference simulator."""
    axis = np.arange(0.0, 1.0 + step / 2, step)
    slates = [e for e in itertools.product(axis, axis) if sum(e) <= world.recommendation.slots + 1e-12]
    orders = list(itertools.product(*(range(most + 1) for most in world.products.max_order)))
    traffic, attraction = world.segments.traffic[0], np.exp(world.segments.affinity[0])
    counts = np.arange(most_demand + 1)

    @cache
    def best(period: int, stock: tuple[int, ...], due: tuple[tuple[int, int], ...]) -> float:
        return max(value(period, stock, due, order, slate) for order in orders for slate in slates)

    def value(period: int, stock: Any, due: Any, order: Any, slate: Any) -> float:
        weight = attraction * np.exp(world.segments.lift[0] * np.array(slate))
        laws = [stats.poisson(m) for m in traffic * weight / (1 + weight.sum())]
        # The uniform in the middle of a count's step draws that count.
        middles = [(law.cdf(counts) + law.cdf(counts - 1)) / 2 for law in laws]
        chances = [law.pmf(counts) for law in laws]
        total = 0.0
        for pair in itertools.product(counts, counts):
            chance = chances[0][pair[0]] * chances[1][pair[1]]
            if chance < 1e-11:
                continue
            uniform = np.array([[middles[0][pair[0]], middles[1][pair[1]]]])
            episode = ReferenceWorld(world)
            episode.period, episode.stock = period, list(stock)
            episode.deliveries = [dict(units) for units in due]
            draws = PeriodDraws(uniform, None, None, None, None)
            met = episode.step(list(order), [list(slate)], draws)
            assert met.demand == list(pair)
            ahead = 0.0
            if episode.period < world.periods:
                left = tuple(tuple(sorted(d.items())) for d in episode.deliveries)
                ahead = best(episode.period, tuple(episode.stock), left)
            total += chance * (met.profit + ahead)
        return total

    start = ReferenceWorld(world)
    return best(0, tuple(start.stock), tuple(tuple(sorted(d.items())) for d in start.deliveries))


@pytest.mark.parametrize("lead_times", [(1, 1), (0, 1)])
def test_two_periods_equal_enumeration_in_the_reference_simulator(lead_times: tuple[int, int]) -> None:
    world = small_world(
        lead_times=lead_times,
        periods=2,
        money={"max_order": 1, "initial_on_hand": [1, 0], "salvage_value": [5.5, 6.0]},
        segments={"traffic": [0.8], "lift": [1.5]},
    )
    expected = enumerated(world, step=0.5, most_demand=9)
    solved = solve_jointly(compile_exact(world, exposure_step=0.5, stock_limit=4))
    assert solved.value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("form", ["exponential", "linear"])
def test_a_single_period_of_one_product_is_the_newsvendor_with_exposure(form: str) -> None:
    # Nothing in stock, and an exposure whose cost makes the best one partial in the linear form.
    world = small_world(
        products=1,
        lead_times=(0,),
        periods=1,
        demand={"lift_form": form},
        segments={"traffic": [40.0], "affinity": [[0.0]], "lift": [2.0]},
        recommendation={"exposure_cost": 30.0},
    )
    empty = world.products.model_copy(update={"initial_on_hand": (0,), "max_order": None})
    world = world.model_copy(update={"products": empty})
    newsvendor = best_shown_order(compile_scenario(world))
    solved = solve(world, exposure_step=1 / 128)
    assert solved.value == pytest.approx(newsvendor.profit, abs=1e-3)
    assert solved.value <= newsvendor.profit + 1e-9
    assert solved.plan.world.orders[solved.plan.order[0, 0, 0], 0] == newsvendor.quantity


def test_no_simple_policy_beats_the_optimum_on_tiny() -> None:
    world, optimum = load_scenario("tiny"), tiny_solved().value
    for name in policy_names():
        profit = rollout(world, name, seed=8, episodes=2_000, information="full").profit
        assert profit.mean() < optimum + 3 * profit.std() / math.sqrt(len(profit)), name


def test_a_perturbed_optimum_earns_less() -> None:
    plan, value = tiny_solved()
    rng = np.random.default_rng(0)
    shuffled = np.where(rng.random(plan.exposure.shape) < 0.2, rng.permuted(plan.exposure), plan.exposure)
    assert account(Plan(plan.world, plan.order, shuffled)).profit < value - 1.0


def test_a_wider_stock_limit_changes_nothing_and_a_narrow_one_is_noticed() -> None:
    solved, world = tiny_solved(), load_scenario("tiny")
    assert held_back(solved.plan) == 0.0
    assert solve_jointly(compile_exact(world, stock_limit=30)).value == pytest.approx(solved.value, abs=1e-9)
    narrow = solve_jointly(compile_exact(world, stock_limit=8))
    assert held_back(narrow.plan) > 0.1
    assert narrow.value < solved.value - 0.1


def test_the_stock_limit_grows_until_it_does_not_bind() -> None:
    # The last periods sell more than the supplier sends, so stock is built up over a long quiet season.
    world = small_world(
        money={"max_order": 1, "holding_cost": 0.001, "salvage_value": [5.9, 6.9], "price": [20.0, 22.0]},
        demand={"season": [0.05] * 38 + [2.0] * 12},
        periods=50,
    )
    solved = solve(world)
    assert (solved.plan.world.stock_limit > compile_exact(world).stock_limit).all()
    wide = solve_jointly(compile_exact(world, stock_limit=80))
    assert solved.value == pytest.approx(wide.value, abs=1e-4)


def test_a_finer_exposure_grid_gains_less_than_a_thousandth_on_tiny() -> None:
    coarse, world = tiny_solved().value, load_scenario("tiny")
    fine = solve(world, exposure_step=0.125).value
    assert coarse - 1e-9 <= fine < 1.001 * coarse
    # Whole slots alone earn less than any finer grid that holds them.
    assert solve(world, exposure_step=1.0).value < coarse


def test_the_optimum_is_its_own_best_response_and_no_answer_of_one_department_beats_it() -> None:
    solved = tiny_solved()
    for answer in (best_orders, best_exposures):
        again = answer(solved.plan)
        assert again.value == pytest.approx(solved.value, abs=1e-8)
        assert again.plan.same_as(solved.plan)
    silo = tiny_coordination().siloed["clicks"].plan
    improved = best_orders(silo).value
    assert account(silo).profit - 1e-9 <= improved <= solved.value


def test_a_best_response_earns_its_department_at_least_what_any_policy_tried_does() -> None:
    pair = tiny_coordination().siloed["sales"]
    earned = best_exposures(pair.plan, objective="sales").value
    world, rng = pair.plan.world, np.random.default_rng(3)
    for _ in range(3):
        tried = rng.integers(0, len(world.exposures), pair.plan.exposure.shape)
        assert account(Plan(world, pair.plan.order, tried)).sales < earned


def test_discounting_weighs_a_certain_stream_by_powers() -> None:
    # Nobody visits after period 0 and nothing may be bought: the stock of the start is held, then salvaged.
    world = small_world(
        money={"max_order": 0, "holding_cost": 0.5, "initial_on_hand": 2, "initial_pipeline": [[0], [0]]},
        segments={"traffic": [1e-12]},
        periods=3,
    )
    charged, held, salvaged = 2 * 13.0, 4 * 0.5, 2 * 9.0
    for discount in (1.0, 0.8):
        stream = -held * (1 + discount + discount**2) + salvaged * discount**2 - charged
        solved = solve_jointly(compile_exact(world), discount=discount)
        assert solved.value == pytest.approx(stream, abs=1e-9)


def test_the_long_run_average_is_what_more_periods_add() -> None:
    longer = {periods: solve(small_world(periods=periods)) for periods in (40, 50)}
    average = long_run(longer[40].plan.world).profit_per_period
    assert (longer[50].value - longer[40].value) / 10 == pytest.approx(average, abs=1e-3)


def test_a_long_run_needs_equal_periods() -> None:
    world = compile_exact(small_world(demand={"season": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]}))
    with pytest.raises(InputError, match=r"demand\.season of small depend on the period"):
        long_run(world)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (make_world(0, noise_cv=0.0), "4 products, at most 2 allowed; 2 segments, at most 1 allowed"),
        (small_world(tastes={"noise": 0.1}), r"tastes\.noise = 0\.1, only 0 allowed"),
        (small_world(tastes={"carryover": 0.1}), r"tastes\.carryover = 0\.1, only 0 allowed"),
        (small_world(tastes={"disappointment": 0.1}), r"tastes\.disappointment = 0\.1, only 0 allowed"),
        (small_world(demand={"substitution": 0.5}), r"demand\.substitution = 0\.5, only 0 allowed"),
        (small_world(demand={"unmet": "backorder"}), "demand.unmet = 'backorder', only 'lost' allowed"),
        (small_world(lead_times=(1, 2)), r"products\.lead_time up to 2, at most 1 allowed"),
        (small_world(supply={"delay_probabilities": [0.5, 0.5]}), "late orders, none allowed"),
        (small_world(segments={"traffic": [500.0]}, money={"max_order": None}),
         r"too large to solve exactly: [\d,]+ stocks, [\d,]+ orders, 15 exposures"),
    ],
    ids=["size", "noise", "carryover", "disappointment", "substitution", "backorder", "lead", "delay", "work"],
)  # fmt: skip
def test_worlds_that_are_not_small_are_refused_with_the_reason(world: Scenario, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_exact(world)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exposure_step": 0.0}, r"exposure_step is 0\.0, must lie in \(0, 1\]"),
        ({"stock_limit": 1}, "stock_limit is 1, must be at least the 2 units of the start"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_exact(small_world(), **options)
    with pytest.raises(InputError, match=r"discount is 1\.5"):
        solve_jointly(compile_exact(small_world()), discount=1.5)
