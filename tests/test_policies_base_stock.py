"""The textbook order: level by hand, what it protects, limits, storage, and the forecast behind it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from invrec_rllib.policies.base_stock import (
    critical_ratio,
    order_towards,
    order_up_to_level,
    protected_season,
)
from invrec_rllib.policies.view import Observer, View
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario, initial_state


def _changed(scenario: Scenario, section: str, **changes: object) -> Scenario:
    data = scenario.model_dump()
    return Scenario.model_validate({**data, section: {**data[section], **changes}})


def _view(params: Params, *, forecast: float, forecast_sd: float, period: int = 0) -> View:
    state = initial_state(params, 2)
    object.__setattr__(state, "period", period)
    shape = (2, params.num_products)
    return View(params, state, state.affinity, np.full(shape, forecast), np.full(shape, forecast_sd))


def test_level_is_the_newsvendor_quantile_of_the_protected_demand() -> None:
    # tiny: p = 10, c = 6, b = 0.5, h = 0.12, lead time 1, so two periods are protected.
    level = order_up_to_level(_view(compile_scenario(load_scenario("tiny")), forecast=3.0, forecast_sd=2.0))
    z = norm.ppf((10 - 6 + 0.5) / (10 - 6 + 0.5 + 0.12))
    np.testing.assert_allclose(level[:, 0], 2 * 3.0 + z * 2.0 * np.sqrt(2.0), rtol=1e-9)


def test_the_last_cover_counts_the_loss_in_value_and_only_demand_before_the_horizon() -> None:
    params = compile_scenario(load_scenario("tiny"))
    np.testing.assert_allclose(critical_ratio(params, 28)[0], 4.5 / (4.5 + 0.12 + 0.6), rtol=1e-9)
    np.testing.assert_array_equal(protected_season(params, 28), [2.0, 2.0])
    np.testing.assert_array_equal(protected_season(params, 29), [1.0, 1.0])


def test_a_unit_that_waits_costs_its_penalty_but_not_its_margin() -> None:
    params = compile_scenario(_changed(load_scenario("tiny"), "demand", unmet="backorder"))
    np.testing.assert_allclose(critical_ratio(params, 0)[0], 0.5 / (0.5 + 0.12), rtol=1e-9)


def test_the_mean_delay_is_protected_and_its_variance_adds_safety_stock() -> None:
    certain = compile_scenario(load_scenario("tiny"))
    late = compile_scenario(_changed(load_scenario("tiny"), "supply", delay_probabilities=(0.5, 0.0, 0.5)))
    np.testing.assert_array_equal(protected_season(late, 0), protected_season(certain, 0) + 1.0)
    z = norm.ppf(critical_ratio(late, 0)[0])
    # Three protected periods on average; the delay's variance is 1.
    expected = 3 * 3.0 + z * np.sqrt(3 * 2.0**2 + 1.0 * 3.0**2)
    np.testing.assert_allclose(
        order_up_to_level(_view(late, forecast=3.0, forecast_sd=2.0))[:, 0], expected, rtol=1e-9
    )


def test_orders_fill_the_gap_to_the_level_within_the_suppliers_limit() -> None:
    view = _view(compile_scenario(load_scenario("tiny")), forecast=3.0, forecast_sd=2.0)
    position = view.state.inventory_position[0, 0]
    assert position == 6
    order = order_towards(view, np.array([[8.4, 5.0], [100.0, 6.6]]))
    np.testing.assert_array_equal(order, [[2, 0], [3, 1]])


def test_nothing_is_ordered_that_could_not_arrive_or_outside_reviews() -> None:
    level = np.full((2, 2), 50.0)
    params = compile_scenario(load_scenario("tiny"))
    assert order_towards(_view(params, forecast=3.0, forecast_sd=2.0, period=29), level).sum() == 0
    weekly = compile_scenario(_changed(load_scenario("tiny"), "supply", review_periods=7))
    assert order_towards(_view(weekly, forecast=3.0, forecast_sd=2.0, period=6), level).sum() == 0
    assert order_towards(_view(weekly, forecast=3.0, forecast_sd=2.0, period=7), level).sum() > 0


def test_levels_shrink_until_the_expected_stock_fits_the_shared_storage() -> None:
    supply = {"capacity": 12.0, "overflow_cost": 3.0}
    plain = _view(compile_scenario(load_scenario("tiny")), forecast=3.0, forecast_sd=2.0)
    shared = _view(
        compile_scenario(_changed(load_scenario("tiny"), "supply", **supply)), forecast=3.0, forecast_sd=2.0
    )
    # Stock after receipt is the level less one period of demand on the way.
    stock_plain = (order_up_to_level(plain) - 3.0).sum(axis=1)
    stock_shared = (order_up_to_level(shared) - 3.0).sum(axis=1)
    assert (stock_plain > 14.0).all()
    np.testing.assert_allclose(stock_shared, 12.0, atol=0.05)


def test_storage_is_overfilled_where_a_stockout_costs_more_than_the_overflow() -> None:
    supply = {"capacity": 1.0, "overflow_cost": 0.5}
    params = compile_scenario(_changed(load_scenario("tiny"), "supply", **supply))
    z = norm.ppf((4.5 - 0.5) / (4.5 + 0.12))
    level = order_up_to_level(_view(params, forecast=3.0, forecast_sd=2.0))
    np.testing.assert_allclose(level[:, 0], 6.0 + z * 2.0 * np.sqrt(2.0), rtol=1e-3)


@pytest.mark.parametrize(("unmet", "tolerance"), [("backorder", 0.05), ("lost", 0.12)])
def test_forecast_stays_near_demand_when_shelves_are_nearly_always_empty(
    unmet: str, tolerance: float
) -> None:
    simulator = Simulator(_changed(load_scenario("tiny"), "demand", unmet=unmet))
    observer = Observer(simulator.params, information="full")
    simulator.reset(seed=1, episodes=400)
    forecast = np.empty((0, 0))
    while not simulator.done:
        forecast = observer.observe(simulator.state, simulator.streams).forecast
        order = np.full((400, 2), simulator.state.period % 2)
        simulator.step(order=order, exposure=np.full((400, 1, 2), 0.5))
    # Half a unit arrives per period where 2.2 are asked for: sales say 0.5, dropping stockouts less still.
    np.testing.assert_allclose(forecast.mean(axis=0), simulator.params.organic_demand, rtol=tolerance)
