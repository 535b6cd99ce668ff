"""Order rules: projections, caps and reorder points by hand, and where each rule becomes another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base_stock import base_stock_order, order_up_to_level
from invrec_rllib.policies.order_rules import (
    OrderParameters,
    capped_base_stock_order,
    constant_order,
    constant_quantity,
    expected_lost_before_arrival,
    min_max_order,
    projected_inventory_order,
    tuned_order,
)
from invrec_rllib.policies.recommenders import revenue_greedy_slates
from invrec_rllib.policies.silos import SiloPolicy
from invrec_rllib.policies.view import Observer, View
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario, initial_state

NONE = 1e-9


def tiny(**sections: dict[str, Any]) -> Params:
    """tiny without the supplier's limit: p = 10, c = 6, b = 0.5, h = 0.12, lead time 1; then 6 on hand, 0 on order."""
    data = load_scenario("tiny").model_dump()
    data["products"]["max_order"] = None
    for section, changes in sections.items():
        data[section] |= changes
    return compile_scenario(Scenario.model_validate(data))


def view_of(params: Params, *, forecast: float, forecast_sd: float, period: int = 0) -> View:
    state = initial_state(params, 2)
    object.__setattr__(state, "period", period)
    shape = (2, params.num_products)
    return View(params, state, state.affinity, np.full(shape, forecast), np.full(shape, forecast_sd))


def orders_along(world: Scenario | Params, rule: Any, other: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Orders of two rules in the same states, along the path of the first."""
    simulator = Simulator(world)
    observer = Observer(simulator.params, information="full")
    simulator.reset(seed=3, episodes=20)
    pairs = []
    while not simulator.done:
        view = observer.observe(simulator.state, simulator.streams)
        pairs.append((rule(view), other(view)))
        simulator.step(order=pairs[-1][0], exposure=revenue_greedy_slates(view))
    return pairs


def test_what_stockouts_will_lose_by_hand() -> None:
    # 6 on hand, 9 asked for: 3 are lost in the period before an order arrives.
    np.testing.assert_allclose(
        expected_lost_before_arrival(view_of(tiny(), forecast=9.0, forecast_sd=NONE)), 3.0, atol=1e-4
    )
    # 4 + 2 on hand, 5 arrive after the first period: 3 are lost in it, and 9 - 5 = 4 in the second.
    slow = tiny(products={"lead_time": [2, 2], "initial_pipeline": [[2, 5], [2, 5]]})
    view = view_of(slow, forecast=9.0, forecast_sd=NONE)
    np.testing.assert_allclose(expected_lost_before_arrival(view), 3.0 + 4.0, atol=1e-4)


def test_with_uncertain_demand_the_loss_is_the_normal_loss_function() -> None:
    view = view_of(tiny(), forecast=5.0, forecast_sd=2.0)
    z = (6.0 - 5.0) / 2.0
    expected = 2.0 * (norm.pdf(z) - z * norm.sf(z))
    np.testing.assert_allclose(expected_lost_before_arrival(view), expected, rtol=1e-9)


def test_the_projection_over_two_periods_is_that_of_drawn_demand() -> None:
    slow = tiny(products={"lead_time": [2, 2], "initial_pipeline": [[2, 5], [2, 5]]})
    view = view_of(slow, forecast=6.0, forecast_sd=2.0)
    demand = np.random.default_rng(0).normal(6.0, 2.0, (2, 400_000))
    left = np.maximum(6.0 - demand[0], 0.0) + 5.0
    lost = np.maximum(demand[0] - 6.0, 0.0) + np.maximum(demand[1] - left, 0.0)
    np.testing.assert_allclose(expected_lost_before_arrival(view), lost.mean(), rtol=0.02)


def test_the_projected_inventory_level_by_hand() -> None:
    # All 6 units will be gone when the order arrives, and 9 are asked for then: base-stock orders 18 - 6 = 12.
    view = view_of(tiny(), forecast=9.0, forecast_sd=NONE)
    np.testing.assert_array_equal(projected_inventory_order(view), 9)
    np.testing.assert_array_equal(base_stock_order(view), 12)


@pytest.mark.parametrize(("backorder", "equal"), [(True, True), (False, False)])
def test_the_projection_is_a_base_stock_only_where_unmet_demand_waits(backorder: bool, equal: bool) -> None:
    world = make_world(1, periods=20, longest_lead_time=3, backorder=backorder)
    pairs = orders_along(world, projected_inventory_order, base_stock_order)
    assert all((one == other).all() for one, other in pairs) is equal


def test_a_cap_by_hand_and_none_for_the_base_stock() -> None:
    view = view_of(tiny(), forecast=9.0, forecast_sd=NONE)
    np.testing.assert_array_equal(capped_base_stock_order(view, cap_periods=0.5), np.rint(4.5))
    np.testing.assert_array_equal(capped_base_stock_order(view, cap_periods=1.2), 11)
    for one, other in orders_along(
        make_world(2, periods=20, season=True),
        lambda view: capped_base_stock_order(view, cap_periods=np.inf),
        base_stock_order,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_cap_follows_the_season_at_arrival() -> None:
    params = tiny(demand={"season": [1.0] * 5 + [3.0] + [1.0] * 24})
    caps = {
        period: capped_base_stock_order(
            view_of(params, forecast=9.0, forecast_sd=NONE, period=period), cap_periods=0.5
        )
        for period in (3, 4)
    }
    np.testing.assert_array_equal(caps[3], np.rint(4.5))
    np.testing.assert_array_equal(caps[4], np.rint(13.5))


def test_reorder_point_and_economic_order_quantity_by_hand() -> None:
    # sqrt(2 k d / h) = sqrt(2 * 4.5 * 3 / 0.12) = 15 for the first product.
    params = tiny(products={"order_cost": [4.5, 0.0]})
    view = view_of(params, forecast=3.0, forecast_sd=2.0)
    reorder_point = order_up_to_level(view)[:, 0]
    assert (view.state.inventory_position[:, 0] < reorder_point).all()
    order = min_max_order(view)
    np.testing.assert_array_equal(order[:, 0], np.rint(reorder_point + 15.0) - 6)
    np.testing.assert_array_equal(order[:, 1], base_stock_order(view)[:, 1])
    # At the reorder point nothing is ordered.
    object.__setattr__(view.state, "on_hand", np.rint(order_up_to_level(view)).astype(np.int64))
    np.testing.assert_array_equal(min_max_order(view), 0)


def test_without_a_fixed_cost_the_min_max_rule_is_the_base_stock() -> None:
    for one, other in orders_along(make_world(4, periods=20, capacity=True), min_max_order, base_stock_order):
        np.testing.assert_array_equal(one, other)


def test_batching_pays_where_orders_cost_something() -> None:
    params = tiny(products={"order_cost": [15.0, 15.0]})
    profit = {}
    for name, rule in (("min_max", min_max_order), ("base_stock", base_stock_order)):
        policy = SiloPolicy(name, revenue_greedy_slates, rule)
        simulator = Simulator(params)
        observer = Observer(params, information="full")
        simulator.reset(seed=0, episodes=60)
        profit[name] = np.zeros(60)
        while not simulator.done:
            decision = policy.act(observer.observe(simulator.state, simulator.streams), None)
            profit[name] += simulator.step(order=decision.order, exposure=decision.exposure).economics.profit
    gain = profit["min_max"] - profit["base_stock"]
    assert gain.mean() > 3.0 * gain.std() / np.sqrt(60)


def test_the_constant_order_by_hand_and_kept_on_average() -> None:
    params = tiny()
    mean = params.organic_demand[0]
    expected = mean - np.sqrt(0.12 * mean / (2.0 * (10 - 6 + 0.5)))
    assert constant_quantity(params)[0] == pytest.approx(expected)
    ordered = sum(
        constant_order(view_of(params, forecast=1.0, forecast_sd=1.0, period=period))[0, 0]
        for period in range(29)
    )
    assert ordered == np.floor(29 * expected)
    assert constant_order(view_of(params, forecast=1.0, forecast_sd=1.0, period=29)).sum() == 0


def test_the_tuned_family_holds_its_members() -> None:
    world = make_world(5, periods=20, longest_lead_time=3, supply_limit=True, season=True)
    for parameters, member in (
        (OrderParameters(), base_stock_order),
        (OrderParameters(projection=1.0), projected_inventory_order),
        (
            OrderParameters(cap_tightness=1.0 / 0.8),
            lambda view: capped_base_stock_order(view, cap_periods=0.8),
        ),
    ):
        pairs = orders_along(world, lambda view, p=parameters: tuned_order(view, p), member)
        assert all((one == other).all() for one, other in pairs)


def test_factors_multiply_mean_and_deviation() -> None:
    view = view_of(tiny(), forecast=3.0, forecast_sd=2.0)
    z = norm.ppf((10 - 6 + 0.5) / (10 - 6 + 0.5 + 0.12))
    level = order_up_to_level(view, mean_factor=1.5, safety_factor=0.5)
    np.testing.assert_allclose(level[:, 0], 1.5 * 6.0 + z * 0.5 * 2.0 * np.sqrt(2.0), rtol=1e-9)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_parameters_outside_their_bounds_are_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"projection is .*, must be from 0 to 1"):
        OrderParameters(projection=value)


def test_parameters_read_from_names_keep_the_defaults_of_the_others() -> None:
    assert OrderParameters.from_values({"projection": 1}).values() == {
        **OrderParameters.defaults(),
        "projection": 1.0,
    }
    with pytest.raises(InputError, match=r"'projektion' is unknown, must be one of: mean_factor, "):
        OrderParameters.from_values({"projektion": 1.0})
    with pytest.raises(InputError, match="projection is True, must be a number"):
        OrderParameters.from_values({"projection": True})
