"""Claims that hold on every path of every world."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import Run, make_world, play, random_plan, worlds

from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario, initial_state, mean_demand
from invrec_rllib.sim.inventory import round_systematically

seeds = st.integers(0, 10_000)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def changed(scenario: Scenario, section: str, **fields: Any) -> Scenario:
    data = scenario.model_dump()
    return Scenario.model_validate({**data, section: {**data[section], **fields}})


def played(scenario: Scenario, seed: int, *, num_episodes: int = 3) -> Run:
    params = compile_scenario(scenario)
    return play(params, random_plan(params, num_episodes, seed=seed), seed=seed)


def assert_same(one: Any, other: Any) -> None:
    """Bit for bit, through nested dataclasses."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        else:
            np.testing.assert_array_equal(a, b, strict=True, err_msg=field.name)


def of_episode(record: Any, episode: int) -> Any:
    """The part of a state, outcome or economics that belongs to one episode."""
    parts = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            parts[field.name] = of_episode(value, episode)
        else:
            parts[field.name] = value[[episode]] if isinstance(value, np.ndarray) else value
    return dataclasses.replace(record, **parts)


@quick
@given(worlds(), seeds)
def test_units_are_conserved_per_product_and_episode(scenario: Scenario, seed: int) -> None:
    run = played(scenario, seed)
    start, end = run.states[0], run.states[-1]
    came_in = start.on_hand + start.on_order.sum(axis=2) + run.total("order")
    assert np.array_equal(came_in, run.total("sales") + end.on_hand + end.on_order.sum(axis=2))
    # At the horizon nothing more is delivered than was on hand or under way after the last order.
    last = run.outcomes[-1]
    assert np.array_equal(end.on_hand + end.on_order.sum(axis=2) - last.on_hand_end, on_order_end(run))


def on_order_end(run: Run) -> Any:
    """Units under way when the horizon is reached, from what was ordered and delivered until then."""
    start = run.states[0]
    until_last = sum(o.delivered for o in run.outcomes[:-1])
    at_once = run.outcomes[-1].on_hand_end - run.states[-2].on_hand + run.outcomes[-1].sales
    return start.on_order.sum(axis=2) + run.total("order") - until_last - at_once


@quick
@given(worlds(), seeds)
def test_demand_is_sold_lost_or_waits(scenario: Scenario, seed: int) -> None:
    run = played(scenario, seed)
    accounted = run.total("sales") + run.total("lost") + run.states[-1].backorders
    # A customer who switches counts as demand of one product and as sale of another.
    assert np.array_equal(run.total("demand").sum(axis=1), accounted.sum(axis=1))
    if scenario.demand.substitution == 0:
        assert np.array_equal(run.total("demand"), accounted)


@quick
@given(worlds(), seeds)
def test_profit_is_the_sum_of_its_items_recomputed_from_units(scenario: Scenario, seed: int) -> None:
    params, run = compile_scenario(scenario), played(scenario, seed)
    for t, outcome in enumerate(run.outcomes):
        waits = scenario.demand.unmet == "backorder"
        unserved = run.states[t + 1].backorders if waits else outcome.lost
        expected = outcome.sales @ params.price[t]
        expected = expected - outcome.order @ params.unit_cost - (outcome.order > 0) @ params.order_cost
        expected = expected - outcome.on_hand_end @ params.holding_cost - unserved @ params.stockout_penalty
        expected = expected - outcome.economics.overflow_cost
        expected = expected - scenario.recommendation.exposure_cost * outcome.exposure.sum(axis=(1, 2))
        if t == 0:
            given_units = params.initial_on_hand + params.initial_pipeline.sum(axis=1)
            expected = expected - given_units @ params.unit_cost
        if t == params.num_periods - 1:
            end = run.states[-1]
            expected = expected + (end.on_hand + end.on_order.sum(axis=2)) @ params.salvage_value
        np.testing.assert_allclose(outcome.economics.profit, expected, rtol=1e-12, atol=1e-9)


@quick
@given(worlds(), seeds)
def test_nothing_is_negative_and_sales_stay_within_stock_and_wishes(scenario: Scenario, seed: int) -> None:
    run = played(scenario, seed)
    for state, outcome in zip(run.states, run.outcomes, strict=False):
        for name in ("clicks", "demand", "sales", "substituted", "lost", "on_hand_end", "delivered"):
            assert (getattr(outcome, name) >= 0).all(), name
        for field in dataclasses.fields(outcome.economics):
            assert (getattr(outcome.economics, field.name) >= 0).all(), field.name
        assert (state.on_order >= 0).all()
        at_once = np.where(np.asarray(scenario.products.lead_time) == 0, outcome.order, 0)
        assert (outcome.sales <= state.on_hand + at_once).all()
        assert (outcome.sales <= outcome.demand + outcome.substituted + state.backorders).all()


@quick
@given(worlds(substitution=1.0, backorder=False), seeds)
def test_substitution_serves_no_more_than_were_left_unserved(scenario: Scenario, seed: int) -> None:
    for outcome in played(scenario, seed).outcomes:
        first = outcome.sales - outcome.substituted
        unmet = (outcome.demand - first).sum(axis=1)
        assert np.array_equal(outcome.substituted.sum(axis=1), unmet - outcome.lost.sum(axis=1))
        assert (outcome.substituted.sum(axis=1) <= unmet).all()
        assert (outcome.lost <= outcome.demand - first).all()


@quick
@given(
    st.lists(st.floats(0, 1e6) | st.integers(0, 1000).map(float), min_size=1, max_size=30),
    st.floats(0, 1, exclude_max=True),
)
def test_systematic_rounding_keeps_each_amount_and_the_sum_within_one(amounts: list[float], u: float) -> None:
    rounded = round_systematically(np.array([amounts]), np.array([u]))[0]
    assert (np.abs(rounded - amounts) < 1 + 1e-6).all()
    assert abs(rounded.sum() - sum(amounts)) < 1 + 1e-6
    if all(a == int(a) for a in amounts):
        assert rounded.tolist() == amounts


# Where stockouts disappoint, more stock means more attraction for the product and so less for its rivals.
@quick
@given(worlds(substitution=0.0, disappointment=0.0), seeds, st.integers(0, 20))
def test_more_initial_stock_sells_no_less_of_any_product(scenario: Scenario, seed: int, more: int) -> None:
    raised = tuple(units + more for units in scenario.products.initial_on_hand)
    richer = changed(scenario, "products", initial_on_hand=raised)
    few, many = played(scenario, seed), played(richer, seed)
    assert (many.total("sales") >= few.total("sales")).all()
    assert (many.states[-1].on_hand >= few.states[-1].on_hand).all()
    for a, b in zip(few.outcomes, many.outcomes, strict=True):
        assert np.array_equal(a.clicks, b.clicks)


@quick
@given(worlds(lift=0.0, carryover=0.0), seeds)
def test_without_lift_exposure_changes_nothing_but_its_cost(scenario: Scenario, seed: int) -> None:
    params = compile_scenario(scenario)
    plan = random_plan(params, 2, seed=seed)
    shown = play(params, plan, seed=seed)
    hidden = play(params, dataclasses.replace(plan, exposure=np.zeros_like(plan.exposure)), seed=seed)
    for a, b in zip(shown.outcomes, hidden.outcomes, strict=True):
        assert np.array_equal(a.clicks, b.clicks)
        assert np.array_equal(a.sales, b.sales)
        assert (b.economics.exposure_cost == 0).all()
        np.testing.assert_allclose(
            a.economics.profit + a.economics.exposure_cost, b.economics.profit, rtol=1e-12, atol=1e-9
        )


@quick
@given(worlds(), seeds, st.permutations(range(5)), st.integers(1, 5))
def test_an_episode_is_the_same_bits_alone_and_in_any_batch(
    scenario: Scenario, seed: int, order: list[int], size: int
) -> None:
    params = compile_scenario(scenario)
    plan = random_plan(params, 5, seed=seed)
    together = play(params, plan, seed=seed)
    subset = order[:size]
    apart = play(params, plan.of_episodes(subset), seed=seed, episodes=subset)
    for whole, part in zip(together.states + together.outcomes, apart.states + apart.outcomes, strict=True):
        for position, episode in enumerate(subset):
            assert_same(of_episode(whole, episode), of_episode(part, position))


def assert_batch_equals_singles(params: Params, num_episodes: int, *, periods: int) -> None:
    rng = np.random.default_rng(0)
    shape = (num_episodes, params.num_segments, params.num_products)
    together = Simulator(params)
    together.reset(seed=5, episodes=num_episodes)
    singles = [Simulator(params) for _ in range(num_episodes)]
    for k, single in enumerate(singles):
        single.reset(seed=5, episodes=[k])
    for _ in range(periods):
        exposure = rng.uniform(0, min(1.0, params.slots / params.num_products), shape)
        order = np.minimum(rng.integers(0, 9, (num_episodes, params.num_products)), params.max_order)
        outcome = together.step(order=order, exposure=exposure)
        for k, single in enumerate(singles):
            alone = single.step(order=order[[k]], exposure=exposure[[k]])
            assert_same(of_episode(outcome, k), alone)
            assert_same(of_episode(together.state, k), single.state)


def test_an_episode_is_the_same_bits_in_a_batch_where_products_are_many() -> None:
    # 6 x 16,000 cells: more than NumPy's buffer of 8,192 values and one block of the inversion; draws of one
    # period at a time.
    assert_batch_equals_singles(compile_scenario(load_scenario("huge")), 6, periods=2)


def test_an_episode_is_the_same_bits_in_a_batch_of_many_episodes() -> None:
    assert_batch_equals_singles(compile_scenario(make_world(3, products=7, segments=3)), 900, periods=2)


@pytest.mark.parametrize("products", [1, 2, 7, 10, 33, 500])
def test_mean_demand_is_the_same_bits_alone_in_a_batch_and_in_any_memory_order(products: int) -> None:
    params = compile_scenario(make_world(5, products=products, segments=3))
    rng = np.random.default_rng(0)
    affinity = params.affinity + rng.normal(size=(40, 3, products))
    exposure = rng.uniform(size=affinity.shape)
    together = mean_demand(params, affinity, exposure, period=0)
    alone = [mean_demand(params, affinity[[k]], exposure[[k]], period=0)[0] for k in range(40)]
    by_column = mean_demand(params, np.asfortranarray(affinity), np.asfortranarray(exposure), period=0)
    assert np.array_equal(together, alone)
    assert np.array_equal(together, by_column)


def test_exposure_in_any_memory_order_gives_the_same_bits() -> None:
    params = compile_scenario(make_world(4, products=5, segments=3, substitution=0.5))
    plan = random_plan(params, 6, seed=1)
    by_column = dataclasses.replace(plan, exposure=np.asfortranarray(plan.exposure))
    a, b = play(params, plan), play(params, by_column)
    for one, other in zip(a.states, b.states, strict=True):
        assert_same(one, other)


@quick
@given(worlds(backorder=False), seeds, st.integers(0, 4))
def test_one_more_unit_of_price_adds_the_units_sold(scenario: Scenario, seed: int, product: int) -> None:
    product %= scenario.products.count
    base = changed(changed(scenario, "demand", price_path=None), "segments", price_elasticity=None)
    price = list(base.products.price)
    price[product] += 1.0
    dearer = changed(base, "products", price=price)
    before, after = played(base, seed), played(dearer, seed)
    gained = after.total("profit") - before.total("profit")
    np.testing.assert_allclose(gained, before.total("sales")[:, product], rtol=0, atol=1e-8)


@quick
@given(worlds(), seeds, st.floats(0.01, 1000))
def test_scaling_all_money_scales_profit(scenario: Scenario, seed: int, factor: float) -> None:
    data = scenario.model_dump()
    for name in ("price", "unit_cost", "holding_cost", "stockout_penalty", "order_cost", "salvage_value"):
        data["products"][name] = [factor * value for value in data["products"][name]]
    data["supply"]["overflow_cost"] *= factor
    data["recommendation"]["exposure_cost"] *= factor
    path = data["demand"]["price_path"]
    data["demand"]["price_path"] = path and [[factor * p for p in row] for row in path]
    scaled = Scenario.model_validate(data)
    before, after = played(scenario, seed).total("profit"), played(scaled, seed).total("profit")
    np.testing.assert_allclose(after, factor * before, rtol=1e-9, atol=1e-6 * factor)


@quick
@given(worlds(carryover=0.0), seeds, st.integers(0, 4), st.integers(0, 2))
def test_exposing_a_product_raises_its_demand_and_lowers_all_others(
    scenario: Scenario, seed: int, product: int, segment: int
) -> None:
    params = compile_scenario(scenario)
    product, segment = product % params.num_products, segment % params.num_segments
    shown = np.zeros((4, params.num_segments, params.num_products))
    shown[:, segment, product] = min(1.0, params.slots)
    order = np.zeros((4, params.num_products), dtype=np.int64)
    outcomes = []
    for exposure in (np.zeros_like(shown), shown):
        simulator = Simulator(params)
        simulator.reset(seed=seed, episodes=4)
        outcomes.append(simulator.step(order=order, exposure=exposure))
    change = outcomes[1].clicks - outcomes[0].clicks
    assert (change[:, segment, product] >= 0).all()
    assert (np.delete(change[:, segment], product, axis=1) <= 0).all()
    assert (np.delete(change, segment, axis=1) == 0).all()


def test_exposure_multiplies_the_odds_of_purchase_by_the_lift() -> None:
    params = compile_scenario(load_scenario("tiny"))
    affinity = params.affinity[None]
    exposure = np.array([[[1.0, 0.0]]])
    without = mean_demand(params, affinity, np.zeros_like(exposure), period=0)[0, 0] / 8.0
    with_it = mean_demand(params, affinity, exposure, period=0)[0, 0] / 8.0
    # Unexposed: both at exp(ln 0.5) against 1: 1/4 each. Exposed: 1.5 against 0.5 and 1: 1/2 and 1/6.
    np.testing.assert_allclose(without, [0.25, 0.25], rtol=1e-5)
    np.testing.assert_allclose(with_it, [0.5, 1 / 6], rtol=1e-5)


def test_linear_and_exponential_lift_agree_without_and_at_full_exposure() -> None:
    exponential = make_world(2, linear_lift=False)
    linear = changed(exponential, "demand", lift_form="linear")
    for level in (0.0, 1.0):
        exposure = np.full((1, 2, 4), level)
        a, b = (
            mean_demand(p, initial_state(p, 1).affinity, exposure, period=0)
            for p in map(compile_scenario, (exponential, linear))
        )
        np.testing.assert_allclose(a, b, rtol=1e-12)


@quick
@given(worlds(), seeds)
def test_the_segments_clicks_add_up_to_demand(scenario: Scenario, seed: int) -> None:
    for outcome in played(scenario, seed).outcomes:
        assert np.array_equal(outcome.clicks.sum(axis=1), outcome.demand)
