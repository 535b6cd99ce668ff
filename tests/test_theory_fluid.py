"""The fluid bound: exact where it can be worked out, above every policy, moved the right way by what it models."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog
from worlds import make_world, play, random_plan

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import rollout
from invrec_rllib.policies.fluid_policy import RollingFluid
from invrec_rllib.policies.registry import policy_names_for
from invrec_rllib.scenario import Scenario, generate_scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario, mean_demand
from invrec_rllib.theory.fluid import fluid_bound, solve_fluid
from invrec_rllib.theory.fluid_choice import choice_bounds, demand_range
from invrec_rllib.theory.fluid_information import InformationPrice
from invrec_rllib.theory.fluid_noise import DEMAND_PRICES, WindowValues, window_values
from invrec_rllib.theory.paths import expected_affinity, sample_taste_paths

FEEDBACKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "disappointment": {"disappointment": 0.5},
    "carryover": {"carryover": 0.3},
    "substitution": {"substitution": 0.6},
    "everything": {
        "disappointment": 0.5, "carryover": 0.2, "substitution": 0.6, "capacity": True, "season": True,
        "promotions": True, "delays": True, "review_periods": 2, "exposure_cost": 0.5, "order_costs": True,
        "supply_limit": True,
    },
    "backorder": {"backorder": True, "substitution": 0.4},
    "linear": {"linear_lift": True, "capacity": True},
}  # fmt: skip


def changed(scenario: Scenario, section: str, **fields: Any) -> Scenario:
    data = scenario.model_dump()
    return Scenario.model_validate({**data, section: {**data[section], **fields}})


def value(scenario: Scenario | Params, *, noise: bool = False) -> float:
    return float(fluid_bound(scenario, seed=0, paths=1, noise=noise, information=False).values[0])


# Paths of tastes.


def test_taste_paths_are_those_that_every_policy_meets() -> None:
    params = compile_scenario(make_world(1))
    paths = sample_taste_paths(params, seed=3, episodes=[4, 2])
    run = play(params, random_plan(params, 2, seed=0), seed=3, episodes=[4, 2])
    for t, state in enumerate(run.states[:-1]):
        np.testing.assert_array_equal(paths.affinity[:, t], state.affinity)


def test_stockouts_and_carryover_bend_tastes_within_the_reach_of_the_bound() -> None:
    params = compile_scenario(make_world(5, disappointment=0.6, carryover=0.4, promotions=True))
    paths = sample_taste_paths(params, seed=3, episodes=6)
    plan = random_plan(params, 6, seed=0)
    run = play(params, plan, seed=3)
    bent = False
    for k in range(6):
        bounds = choice_bounds(params, paths.affinity[k])
        low, high = demand_range(bounds, params.slots)
        for t, state in enumerate(run.states[:-1]):
            mean = mean_demand(params, state.affinity[k], plan.exposure[t, k], period=t).sum(axis=0)
            assert (mean >= low[t] * (1 - 1e-9)).all()
            assert (mean <= high[t] * (1 + 1e-9)).all()
            bent |= not np.allclose(state.affinity[k], paths.affinity[k, t])
    assert bent


def test_the_expected_path_is_the_mean_of_the_sampled_ones() -> None:
    params = compile_scenario(make_world(2, periods=6))
    sampled = sample_taste_paths(params, seed=0, episodes=4000).affinity
    expected = expected_affinity(params, params.affinity, num_periods=6)
    error = sampled.std(axis=0) / np.sqrt(4000)
    assert (np.abs(sampled.mean(axis=0) - expected) <= 5 * error + 1e-9).all()


# The program.


def one_period(params: Params, *, seed: int = 0) -> float:
    """By enumeration of slates: the choice-based program of a one-period world with lead time 0."""
    affinity = sample_taste_paths(params, seed=seed, episodes=1).affinity[0, 0]
    n, m = params.num_products, params.num_segments
    slates = [s for k in range(int(params.slots) + 1) for s in combinations(range(n), k)]
    exposure = np.zeros((len(slates), m, n))
    for row, slate in enumerate(slates):
        exposure[row][:, list(slate)] = 1.0
    demand = mean_demand(params, np.broadcast_to(affinity, exposure.shape), exposure, period=0)
    # Columns: mix of slates by segment, sales, orders, stock left.
    mixes, slots = m * len(slates), len(slates)
    gain = np.concatenate(
        (
            (-demand * params.stockout_penalty).sum(axis=2).T.reshape(-1),
            params.price[0] + params.stockout_penalty,
            -params.unit_cost,
            params.salvage_value - params.holding_cost,
        )
    )
    equal = np.zeros((m + n, mixes + 3 * n))
    below = np.zeros((n, mixes + 3 * n))
    for segment in range(m):
        equal[segment, segment * slots : (segment + 1) * slots] = 1.0
        below[:, segment * slots : (segment + 1) * slots] = -demand[:, segment].T
    sales, order, left = (mixes + k * n + np.arange(n) for k in range(3))
    products = np.arange(n)
    below[products, sales] = 1.0
    equal[m + products, sales] = equal[m + products, left] = 1.0
    equal[m + products, order] = -1.0
    found = linprog(
        -gain,
        A_ub=below,
        b_ub=np.zeros(n),
        A_eq=equal,
        b_eq=np.concatenate((np.ones(m), params.initial_on_hand)),
    )
    return float(-found.fun) - params.initial_stock_cost


@pytest.mark.parametrize("seed", range(6))
def test_the_sales_based_program_equals_the_choice_based_one_over_all_slates(seed: int) -> None:
    world = make_world(
        seed, products=5, segments=3, periods=1, longest_lead_time=0, linear_lift=seed % 2 == 0
    )
    params = compile_scenario(changed(world, "recommendation", slots=2.0))
    assert value(params) == pytest.approx(one_period(params), rel=1e-8)


def test_without_choice_the_program_is_the_margin_of_mean_demand() -> None:
    # One product, nobody lifted, ample time: each period's mean demand is bought for and sold.
    data = generate_scenario(seed=0, num_products=1, num_segments=1, slots=1.0, periods=10, lead_times=(0,))
    world = changed(changed(data, "segments", lift=[0.0]), "tastes", noise=0.0, disappointment=0.0)
    params = compile_scenario(changed(world, "products", initial_on_hand=[0], max_order=None))
    demand = mean_demand(params, params.affinity, np.zeros((1, 1)), period=0).sum()
    expected = 10 * demand * float(params.price[0, 0] - params.unit_cost[0])
    assert value(params) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_scaling_all_money_scales_the_bound(factor: float) -> None:
    world = make_world(3, capacity=True, exposure_cost=0.3, disappointment=0.3)
    data = world.model_dump()
    for name in ("price", "unit_cost", "holding_cost", "stockout_penalty", "order_cost", "salvage_value"):
        data["products"][name] = [factor * amount for amount in data["products"][name]]
    data["supply"]["overflow_cost"] *= factor
    data["recommendation"]["exposure_cost"] *= factor
    assert value(Scenario.model_validate(data)) == pytest.approx(factor * value(world), rel=1e-6)


def without_lead_times(scenario: Scenario) -> Scenario:
    # What was under way is on hand, so that nothing else changes.
    products = scenario.products
    given = [x + sum(y) for x, y in zip(products.initial_on_hand, products.initial_pipeline, strict=True)]
    zero = [0] * products.count
    return changed(
        scenario, "products", lead_time=zero, initial_on_hand=given, initial_pipeline=[[]] * products.count
    )


def test_dropping_lead_times_capacity_or_supply_limits_raises_the_bound() -> None:
    world = make_world(11, capacity=True, supply_limit=True, periods=10, season=True)
    base = value(world)
    assert value(without_lead_times(world)) > base + 1.0
    assert value(changed(world, "supply", capacity=None, overflow_cost=0.0)) > base + 1.0
    assert value(changed(world, "products", max_order=None)) > base + 1.0
    assert value(changed(world, "supply", review_periods=3)) < base - 1.0
    assert value(changed(world, "tastes", disappointment=0.5)) >= base - 1e-6


def test_a_bid_price_is_what_one_more_unit_on_hand_adds() -> None:
    params = compile_scenario(make_world(11, supply_limit=True))
    path = sample_taste_paths(params, seed=0, episodes=1).affinity[0]
    solved = solve_fluid(params, path, noise=False)
    for product in range(params.num_products):
        stock = np.asarray(params.initial_on_hand).copy()
        stock[product] += 1
        richer = compile_scenario(changed(params.scenario, "products", initial_on_hand=stock.tolist()))
        gained = solve_fluid(richer, path, noise=False).value - solved.value + params.unit_cost[product]
        # Concave in stock: a whole unit adds no more than the first bit of it.
        assert gained <= solved.bid_price[0, product] + 1e-6
        assert gained >= 0.5 * solved.bid_price[0, product] - 1e-6


# Cuts for demand's noise.


def window_of(params: Params, periods: int) -> tuple[WindowValues, tuple[Any, Any]]:
    path = sample_taste_paths(params, seed=1, episodes=1).affinity[0]
    bounds = choice_bounds(params, path)
    windows = window_values(params, bounds)
    found = next(w for w in windows if w.product == 0 and w.periods == periods)
    return found, demand_range(bounds, params.slots)


@pytest.mark.parametrize(("noise_cv", "slack"), [(0.0, 0.01), (0.3, 0.01), (1.2, 0.04)])
def test_values_of_one_period_majorise_expected_sales_closely(noise_cv: float, slack: float) -> None:
    params = compile_scenario(make_world(4, noise_cv=noise_cv))
    window, (low, high) = window_of(params, 1)
    stock = np.arange(window.values.shape[1])
    for h in (0, 5):
        means = np.linspace(low[h, 0], high[h, 0], 400)[:, None]
        shape = noise_cv**-2 if noise_cv else 0.0
        law = stats.nbinom(shape, shape / (shape + means)) if noise_cv else stats.poisson(means)
        exceeds = law.sf(stock[None, :])
        sales = np.concatenate((np.zeros((400, 1)), np.cumsum(exceeds, axis=1)[:, :-1]), axis=1)
        for g, price in enumerate(DEMAND_PRICES):
            exact = (sales - price * means).max(axis=0)
            assert (window.values[h, :, g] >= exact - 1e-9).all()
            # Of the largest mean; concavity over demand's grid costs more where its noise is long-tailed.
            assert (window.values[h, :, g] <= exact + slack * means.max()).all()


@pytest.mark.parametrize("noise_cv", [0.0, 0.6])
def test_no_way_of_steering_demand_sells_more_than_a_windows_value(noise_cv: float) -> None:
    world = make_world(9, noise_cv=noise_cv, longest_lead_time=2)
    lead_time = [2] * world.products.count
    params = compile_scenario(
        changed(world, "products", lead_time=lead_time, initial_pipeline=[[0, 0]] * world.products.count)
    )
    window, (low, high) = window_of(params, 3)
    rng = np.random.default_rng(0)
    runs = 20_000
    for threshold in (0, 2, 5, 100):
        for units in (1, 4, window.values.shape[1] // 2):
            left, asked = np.full(runs, units), np.zeros(runs)
            for t in range(3):
                # Ask for more while there is more than the threshold, for less below it.
                mean = np.where(left > threshold, high[t, 0], low[t, 0])
                xi = rng.gamma(noise_cv**-2, noise_cv**2, runs) if noise_cv else np.ones(runs)
                left = left - np.minimum(left, rng.poisson(mean * xi))
                asked += mean
            for g, price in enumerate(DEMAND_PRICES):
                gained = units - left - price * asked
                # Runs do not show what is rarer than they are many.
                error = 4 * gained.std() / np.sqrt(runs) + 1e-3
                assert gained.mean() <= window.values[0, units, g] + error


def test_values_are_concave_in_stock() -> None:
    window, _ = window_of(compile_scenario(make_world(4)), 1)
    assert (np.diff(window.values, n=2, axis=1) <= 1e-9).all()


def test_cuts_for_noise_lower_the_bound_of_tiny_by_several_percent() -> None:
    world = load_scenario("tiny")
    assert value(world, noise=True) < 0.97 * value(world)


# No policy earns more.


def random_static(params: Params, *, seed: int, episodes: int) -> np.ndarray:
    """Profits of a policy that shows fixed slates and orders up to fixed levels, drawn at random."""
    rng = np.random.default_rng(seed)
    n, m = params.num_products, params.num_segments
    exposure = rng.uniform(0, 1, (m, n)) ** rng.integers(1, 6)
    exposure *= np.minimum(1.0, params.slots / exposure.sum(axis=1, keepdims=True))
    level = params.organic_demand * (params.lead_time + 1) * rng.uniform(0.3, 3.0, n)
    simulator = Simulator(params)
    simulator.reset(seed=7, episodes=episodes)
    profit = np.zeros(episodes)
    while not simulator.done:
        state = simulator.state
        order = np.clip(np.rint(level).astype(int) - state.inventory_position, 0, params.max_order)
        if state.period % params.scenario.supply.review_periods:
            order[:] = 0
        shown = np.broadcast_to(exposure, (episodes, m, n))
        profit += simulator.step(order=order, exposure=shown).economics.profit
    return profit


def exceeds(profits: np.ndarray, bounds: np.ndarray) -> bool:
    """Whether a policy's mean exceeds the bound on the same paths by more than 4 standard errors."""
    difference = profits - bounds
    return bool(difference.mean() > 4 * difference.std(ddof=1) / np.sqrt(len(difference)) + 1e-6)


@pytest.mark.parametrize("options", FEEDBACKS.values(), ids=FEEDBACKS)
def test_no_policy_beats_the_bound(options: dict[str, Any]) -> None:
    params = compile_scenario(make_world(6, products=3, segments=2, **options))
    episodes = 8
    bound = fluid_bound(params, seed=7, paths=episodes).values
    assert bound.mean() > 0.0
    for name in policy_names_for(params):
        profit = rollout(params, name, seed=7, episodes=episodes, information="full").profit
        assert not exceeds(profit, bound), name
    for seed in range(40):
        assert not exceeds(random_static(params, seed=seed, episodes=episodes), bound), seed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "episodes", "noise"),
    [
        ("tiny", 40, True),
        ("seasonal", 6, False),
        ("capacity", 6, False),
        ("grocery", 4, False),
        ("paper", 4, False),
    ],
)
def test_no_simple_policy_beats_the_bound_of_a_preset(name: str, episodes: int, noise: bool) -> None:
    params = compile_scenario(load_scenario(name))
    bound = fluid_bound(params, seed=7, paths=episodes, noise=noise, information=False).values
    for policy in policy_names_for(params):
        profit = rollout(params, policy, seed=7, episodes=episodes, information="full").profit
        assert not exceeds(profit, bound), policy


def test_the_check_of_the_bound_rejects_one_that_forgets_the_lift() -> None:
    params = compile_scenario(make_world(6, products=3, lift=3.0))
    forgetful = changed(params.scenario, "segments", lift=[0.0, 0.0])
    bound = fluid_bound(forgetful, seed=7, paths=30, noise=False, information=False).values
    profit = rollout(params, "stock_aware", seed=7, episodes=30, information="full").profit
    assert exceeds(profit, bound)


# What foresight is charged.


def test_foresight_is_charged_where_supply_is_limited_and_the_bound_stays_above() -> None:
    world = generate_scenario(
        seed=1, num_products=3, num_segments=2, slots=1.0, periods=16, lead_times=(1, 2), order_limit_share=1.2,
        taste_noise=0.5,
    )  # fmt: skip
    with_charge = fluid_bound(world, seed=7, paths=12, noise=False)
    without = fluid_bound(world, seed=7, paths=12, noise=False, information=False)
    assert with_charge.information_priced
    assert not without.information_priced
    assert with_charge.values.mean() < without.values.mean()
    for name in policy_names_for(compile_scenario(world)):
        profit = rollout(world, name, seed=7, episodes=12, information="full").profit
        assert not exceeds(profit, with_charge.values), name


def test_a_policy_without_foresight_pays_nothing_on_average() -> None:
    params = compile_scenario(make_world(8, taste_noise=0.5, supply_limit=True))
    price = InformationPrice(np.ones(4), params.segment_share, params.scenario.tastes.reversion)
    episodes = 4000
    charges = price.charges(sample_taste_paths(params, seed=2, episodes=episodes).shocks)
    simulator = Simulator(params)
    simulator.reset(seed=2, episodes=episodes)
    paid = np.zeros(episodes)
    while not simulator.done:
        state = simulator.state
        # Orders and slates follow tastes as far as they are known.
        order = np.minimum(np.rint(20 * np.exp(state.affinity.mean(axis=1))).astype(int), params.max_order)
        exposure = np.zeros(state.affinity.shape)
        simulator.step(order=order, exposure=exposure)
        after = simulator.state
        position = after.on_hand + after.on_order.sum(axis=2)
        paid += (position * charges[:, state.period]).sum(axis=1)
    assert paid.std() > 1.0
    assert abs(paid.mean()) < 4 * paid.std() / np.sqrt(episodes)


# The policy that re-solves it.


def test_the_rolling_program_acts_within_the_rules_of_an_awkward_world() -> None:
    params = compile_scenario(make_world(6, products=3, **FEEDBACKS["everything"]))
    result = rollout(params, RollingFluid(horizon_periods=4), seed=7, episodes=2, information="observed")
    assert np.isfinite(result.profit).all()


def test_with_safety_stock_the_rolling_program_earns_more_than_the_silo() -> None:
    params = compile_scenario(load_scenario("tiny").model_copy(update={"periods": 10}))
    rolling = rollout(params, RollingFluid(horizon_periods=5, noise=True), seed=1, episodes=6)
    silo = rollout(params, "silo", seed=1, episodes=6)
    assert rolling.profit.mean() > silo.profit.mean()


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="paths must be >= 1, got 0"):
        fluid_bound(load_scenario("tiny"), seed=0, paths=0)
