"""The textbook knows announced prices: their effect on demand, what an order protects, and the forecast."""

from __future__ import annotations

import numpy as np
import pytest

from invrec_rllib.policies.base_stock import critical_ratio, protected_season
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.policies.view import Observer
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario
from invrec_rllib.sim.choice import mean_demand
from invrec_rllib.sim.state import State

# Of tiny's two products (10 and 11), the first at half price in period 2, the second a tenth up in 3.
PATH = [[10.0, 11.0]] * 2 + [[5.0, 11.0], [10.0, 12.1]] + [[10.0, 11.0]] * 26


def promoted(
    name: str = "tiny", *, path: object = PATH, elasticity: float = 2.0, **demand: object
) -> Scenario:
    data = load_scenario(name).model_dump()
    data["demand"] |= {"price_path": path, **demand}
    data["segments"]["price_elasticity"] = [elasticity] * len(data["segments"]["traffic"])
    return Scenario.model_validate(data)


def swinging(name: str, **demand: object) -> Scenario:
    world = load_scenario(name)
    swing = np.exp(0.2 * np.random.default_rng(0).normal(size=(world.periods, world.products.count)))
    return promoted(name, path=(np.array(world.products.price) * swing).tolist(), **demand)


def test_the_price_factor_by_hand() -> None:
    params = compile_scenario(promoted())
    # w = 0.5 sqrt(3) each at exposure 1/2 and lift 3; half price at elasticity 2 makes the first 4 w.
    weight = 0.5 * np.sqrt(3.0)
    base = weight / (1.0 + 2.0 * weight)
    expected = np.array([4.0 * weight, weight]) / (1.0 + 5.0 * weight) / base
    assert params.price_factor is not None
    np.testing.assert_allclose(params.price_factor[2], expected, rtol=1e-3)
    np.testing.assert_allclose(params.price_factor[0], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(params.demand_factor, params.season[:, None] * params.price_factor)


@pytest.mark.parametrize("form", ["exponential", "linear"])
def test_the_price_factor_is_the_simulators_at_uniform_exposure(form: str) -> None:
    world = swinging("seasonal", lift_form=form)
    params = compile_scenario(world)
    exposure = np.full(params.affinity.shape, params.slots / params.num_products)
    assert params.price_factor is not None
    for period in (0, 7, 29):
        mean = mean_demand(params, params.affinity, exposure, period=period).sum(axis=0)
        expected = mean / (params.organic_demand * params.season[period])
        np.testing.assert_allclose(params.price_factor[period], expected, rtol=1e-12)


def test_prices_without_an_effect_have_no_factor() -> None:
    data = promoted().model_dump()
    data["segments"]["price_elasticity"] = None
    for world in (Scenario.model_validate(data), load_scenario("tiny")):
        params = compile_scenario(world)
        assert params.price_factor is None
        assert params.demand_factor.shape == (30, 1)


@pytest.mark.parametrize(
    ("notice", "period", "factors"),
    [
        (0, 1, [0]),  # nothing is told: the promotion of period 2 is not covered yet
        (1, 1, [2]),
        (12, 1, [2]),
        (0, 2, [2]),  # the price of now is always known
        (1, 2, [2, 3]),
        (1, 3, [3]),
    ],
)
def test_an_order_protects_the_promotions_that_are_told(notice: int, period: int, factors: list[int]) -> None:
    # Lead time 1: two periods are protected.
    params = compile_scenario(promoted(price_notice_periods=notice))
    assert params.price_factor is not None
    expected = 2.0 + (params.price_factor[factors] - 1.0).sum(axis=0)
    np.testing.assert_allclose(protected_season(params, period), expected, rtol=1e-12)


def test_a_fraction_of_a_period_is_protected_by_its_share() -> None:
    data = promoted(price_notice_periods=12).model_dump()
    data["supply"]["delay_probabilities"] = (0.75, 0.25)
    params = compile_scenario(Scenario.model_validate(data))
    assert params.price_factor is not None
    # From period 0: 2.25 periods, of which the promotion's quarter.
    expected = 2.0 + 0.25 * params.price_factor[2]
    np.testing.assert_allclose(protected_season(params, 0), expected, rtol=1e-12)


def test_nothing_after_the_horizon_is_protected() -> None:
    params = compile_scenario(promoted(path=[[5.0, 5.0]] * 30, price_notice_periods=12))
    assert params.price_factor is not None
    np.testing.assert_allclose(protected_season(params, 29), params.price_factor[29], rtol=1e-12)
    np.testing.assert_array_equal(protected_season(params, 30), [0.0, 0.0])


def test_the_forecast_is_of_demand_at_base_prices() -> None:
    params = compile_scenario(promoted())
    assert params.price_factor is not None
    observer, simulator = Observer(params, information="full"), Simulator(params)
    start = simulator.reset(seed=0)
    observer.observe(start, simulator.streams)
    after = State(**{**vars(start), "period": 3, "last_sales": np.array([[9, 1]])})
    view = observer.observe(after, simulator.streams)
    at_base = np.array([9, 1]) / params.price_factor[2]
    expected = params.organic_demand + 0.15 * (at_base - params.organic_demand)
    np.testing.assert_allclose(view.forecast[0], expected, rtol=1e-12)
    # The variance of counts is in proportion to demand: an error at 2 times the demand is worth 2 of its kind.
    error = at_base - params.organic_demand
    variance = params.organic_demand + 0.05 * (params.price_factor[2] * error**2 - params.organic_demand)
    np.testing.assert_allclose(view.forecast_sd[0], np.sqrt(variance), rtol=1e-12)


@pytest.mark.parametrize("name", ["paper", "seasonal"])
def test_without_a_price_path_nothing_changes_by_a_bit(name: str) -> None:
    params = compile_scenario(load_scenario(name))
    cumulative = np.concatenate(([0.0], np.cumsum(params.season)))
    for period in range(params.num_periods + 1):
        end = np.minimum(period + params.lead_time + 1.0, params.num_periods)
        by_season = np.interp(end, np.arange(len(cumulative)), cumulative) - cumulative[period]
        np.testing.assert_array_equal(protected_season(params, period), by_season)
    # Base prices spelled out as a path take the other way through the forecast.
    path = [list(params.scenario.products.price)] * params.num_periods
    spelled = compile_scenario(promoted(name, path=path))
    np.testing.assert_array_equal(spelled.price_factor, 1.0)
    for one, other in zip(_forecasts(params), _forecasts(spelled), strict=True):
        np.testing.assert_array_equal(one, other)


def _forecasts(params: Params) -> list[np.ndarray]:
    simulator, observer = Simulator(params), Observer(params, information="full")
    simulator.reset(seed=1, episodes=3)
    seen, policy = [], make_policy("silo")
    while not simulator.done:
        view = observer.observe(simulator.state, simulator.streams)
        seen += [view.forecast.copy(), view.forecast_sd]
        decision = policy.act(view, None)
        simulator.step(order=decision.order, exposure=decision.exposure)
    return seen


@pytest.mark.parametrize("name", ["paper", "grocery"])
def test_being_told_of_promotions_pays(name: str) -> None:
    profit = {}
    for notice in (0, 3):
        data = swinging(name, price_notice_periods=notice).model_dump()
        data["products"]["max_order"] = None
        simulator = Simulator(compile_scenario(Scenario.model_validate(data)))
        observer, policy = Observer(simulator.params, information="full"), make_policy("silo")
        simulator.reset(seed=0, episodes=50)
        profit[notice] = np.zeros(50)
        while not simulator.done:
            decision = policy.act(observer.observe(simulator.state, simulator.streams), None)
            outcome = simulator.step(order=decision.order, exposure=decision.exposure)
            profit[notice] += outcome.economics.profit
    gain = profit[3] - profit[0]
    assert gain.mean() > 3.0 * gain.std() / np.sqrt(50)


def test_the_margin_is_that_of_the_period_of_arrival_as_far_as_announced() -> None:
    # tiny: c = 6, b = 0.5, h = 0.12; in period 2 the first product sells at 5: only the penalty is forgone.
    told = compile_scenario(promoted(price_notice_periods=1))
    untold = compile_scenario(promoted(price_notice_periods=0))
    usual = (10 - 6 + 0.5) / (10 - 6 + 0.5 + 0.12)
    assert critical_ratio(told, 1)[0] == pytest.approx(0.001)  # 5 - 6 + 0.5 < 0
    assert critical_ratio(told, 2)[0] == pytest.approx(usual)
    assert critical_ratio(untold, 1)[0] == pytest.approx(usual)
    assert critical_ratio(untold, 2)[0] == pytest.approx(0.001)
