"""The newsvendor: closed forms against enumeration and quadrature, textbook examples, the best exposure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import Simulator, compile_scenario
from invrec_rllib.theory.demand import GammaPoissonDemand, NormalDemand, PoissonDemand, counted_demand
from invrec_rllib.theory.newsvendor import Newsvendor, best_shown_order

COUNTS = np.arange(2_000)
COUNTED = [
    PoissonDemand(0.0),
    PoissonDemand(0.3),
    PoissonDemand(50.0),
    GammaPoissonDemand(4.0, 0.3),
    GammaPoissonDemand(20.0, 1.5),
    GammaPoissonDemand(0.0, 1.0),
]


@pytest.mark.parametrize("demand", COUNTED, ids=repr)
def test_counted_demand_equals_scipys_and_its_sales_are_the_sum_over_demand(demand: Any) -> None:
    if isinstance(demand, PoissonDemand):
        theirs = stats.poisson(demand.mean)
    else:
        theirs = stats.nbinom(1 / demand.cv**2, 1 / (1 + demand.cv**2 * demand.mean))
    np.testing.assert_allclose(demand.pmf(COUNTS), theirs.pmf(COUNTS), rtol=1e-9, atol=1e-300)
    levels = np.arange(0.0, 120.0)
    np.testing.assert_allclose(demand.cdf(levels), theirs.cdf(levels), rtol=1e-10)
    assert demand.cdf(-1.0) == 0.0
    sums = [(np.minimum(COUNTS, level) * theirs.pmf(COUNTS)).sum() for level in levels]
    np.testing.assert_allclose(demand.expected_sales(levels), sums, rtol=1e-9, atol=1e-12)
    for ratio in (1e-6, 0.3, 0.5, 0.95, 1 - 1e-9):
        assert demand.quantile(ratio) == max(theirs.ppf(ratio), 0.0)


def test_gamma_poisson_demand_has_the_variance_of_its_noise() -> None:
    demand = GammaPoissonDemand(8.0, 0.5)
    mean = (COUNTS * demand.pmf(COUNTS)).sum()
    variance = ((COUNTS - mean) ** 2 * demand.pmf(COUNTS)).sum()
    assert mean == pytest.approx(8.0)
    assert variance == pytest.approx(8.0 + (0.5 * 8.0) ** 2)


@pytest.mark.parametrize("stock", [30.0, 50.0, 61.5])
def test_sales_of_normal_demand_equal_quadrature(stock: float) -> None:
    density = stats.norm(50.0, 8.0).pdf
    integral, _ = integrate.quad(lambda d: min(d, stock) * density(d), -50, 150, points=[stock])
    assert float(NormalDemand(50.0, 8.0).expected_sales(stock)) == pytest.approx(integral, rel=1e-8)


def test_the_textbook_example_with_normal_demand() -> None:
    # Snyder and Shen, Fundamentals of Supply Chain Theory, example 4.3: h = 0.18, p = 0.70, N(50, 8^2). The ratio
    # 0.7 / 0.88 = 0.7955 has z = 0.8255, so the order is 50 + 8 * 0.8255 = 56.6 and the mismatch costs
    # (h + p) sd phi(z) = 0.88 * 8 * 0.28375 = 1.998. In this model's terms: a unit short forgoes p - c = 0.70,
    # and a unit left costs c - s = 0.18.
    vendor = Newsvendor(price=1.0, unit_cost=0.30, salvage_value=0.12)
    order = vendor.best_order(NormalDemand(50.0, 8.0))
    assert vendor.critical_ratio == pytest.approx(0.70 / 0.88)
    assert order.quantity == pytest.approx(56.60, abs=0.005)
    assert 0.70 * 50.0 - order.profit == pytest.approx(1.998, abs=0.0005)


def test_an_example_by_hand_with_poisson_demand() -> None:
    # p = 10, c = 6, s = 4, h = 1, b = 2 and mean 1: underage 6, overage 3, ratio 2 / 3. F(0) = 0.368 and
    # F(1) = 0.736, so one unit is ordered. It sells with probability 1 - e^-1:
    # 10 (1 - e^-1) - 6 + (4 - 1) e^-1 - 2 (1 - (1 - e^-1)) = 4 - 9 e^-1.
    vendor = Newsvendor(price=10, unit_cost=6, salvage_value=4, holding_cost=1, stockout_penalty=2)
    assert vendor.critical_ratio == pytest.approx(2 / 3)
    order = vendor.best_order(PoissonDemand(1.0))
    assert order.quantity == 1.0
    assert order.profit == pytest.approx(4 - 9 * math.exp(-1))


@given(
    price=st.floats(1, 100),
    cost=st.floats(0.05, 1.2),
    salvage=st.floats(0, 0.95),
    holding=st.floats(0, 5),
    penalty=st.floats(0, 20),
    mean=st.floats(0, 40),
    cv=st.sampled_from([0.0, 0.4, 1.5]),
)
def test_no_other_order_earns_more(
    price: float, cost: float, salvage: float, holding: float, penalty: float, mean: float, cv: float
) -> None:
    unit_cost = cost * price
    vendor = Newsvendor(price, unit_cost, salvage * unit_cost, holding, penalty)
    demand = counted_demand(mean, cv=cv)
    order = vendor.best_order(demand)
    others = vendor.expected_profit(np.arange(0.0, 2.0 * order.quantity + 50.0), demand)
    assert order.profit >= others.max() - 1e-9 * (1.0 + abs(others.max()))


@given(scale=st.floats(0.01, 100), mean=st.floats(0.1, 30))
def test_scaling_all_money_scales_profit_and_keeps_the_order(scale: float, mean: float) -> None:
    money = np.array([10.0, 6.0, 4.0, 0.5, 1.0])
    order = Newsvendor(*money).best_order(PoissonDemand(mean))
    scaled = Newsvendor(*(scale * money)).best_order(PoissonDemand(mean))
    # Where the ratio meets the distribution function exactly, rounding may decide between two equal orders.
    assert abs(scaled.quantity - order.quantity) <= 1
    assert scaled.profit == pytest.approx(scale * order.profit, rel=1e-9)


def test_a_product_sold_below_cost_is_not_bought() -> None:
    order = Newsvendor(price=5, unit_cost=9, stockout_penalty=1).best_order(PoissonDemand(7.0))
    assert order == (0.0, -7.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unit_cost": -1.0}, "unit_cost is -1.0, must be a number >= 0"),
        ({"price": math.nan}, "price is nan"),
        ({"salvage_value": 7.0}, "salvage_value is 7.0, above unit_cost = 6.0"),
    ],
)
def test_impossible_money_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Newsvendor(**{"price": 10.0, "unit_cost": 6.0, **fields})


def test_leftovers_that_cost_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no order is too large"):
        Newsvendor(price=10, unit_cost=6, salvage_value=6).best_order(PoissonDemand(1.0))


@pytest.mark.parametrize("build", [lambda: PoissonDemand(-1.0), lambda: NormalDemand(1.0, 0.0)])
def test_impossible_demand_is_refused(build: Any) -> None:
    with pytest.raises(InputError, match="must be finite and at least"):
        build()


def single(**changes: Any) -> Scenario:
    """One product, one period: exposure costs 6 and triples the odds of 40 visitors."""
    data: dict[str, Any] = {
        "name": "single",
        "periods": 1,
        "products": {
            "price": [10.0], "unit_cost": 6.0, "holding_cost": 0.1, "stockout_penalty": 0.5, "order_cost": 0.0,
            "salvage_value": 3.0, "lead_time": 0, "initial_on_hand": 0, "initial_pipeline": [[]],
        },
        "segments": {"traffic": [40.0], "affinity": [[-2.0]], "lift": [math.log(3.0)]},
        "recommendation": {"slots": 1.0, "exposure_cost": 6.0},
    }  # fmt: skip
    for section, fields in changes.items():
        data[section] = {**data.get(section, {}), **fields}
    return Scenario.model_validate(data)


@pytest.mark.parametrize("form", ["exponential", "linear"])
@pytest.mark.parametrize("rent", [0.0, 14.0, 30.0])
@pytest.mark.parametrize("cv", [0.0, 0.5])
def test_order_and_exposure_equal_enumeration(form: str, rent: float, cv: float) -> None:
    world = single(demand={"lift_form": form, "noise_cv": cv}, recommendation={"exposure_cost": rent})
    found = best_shown_order(compile_scenario(world))
    # By hand, from the model's equations: every exposure in steps of 1 / 400 with every order up to 40.
    best = (-np.inf, 0.0, 0)
    for exposure in np.linspace(0.0, 1.0, 401):
        weight = math.exp(-2) * (3.0**exposure if form == "exponential" else 1 + 2 * exposure)
        mean = 40 * weight / (1 + weight)
        law = stats.poisson(mean) if cv == 0 else stats.nbinom(1 / cv**2, 1 / (1 + cv**2 * mean))
        below = np.cumsum(law.pmf(np.arange(41)))
        order = np.arange(41)
        sales = np.concatenate(([0.0], np.cumsum(1 - below)[:-1]))
        profit = 10 * sales - 6 * order + 2.9 * (order - sales) - 0.5 * (mean - sales) - rent * exposure
        best = max(best, (profit.max(), exposure, int(profit.argmax())))
    assert found.profit == pytest.approx(best[0], abs=1e-3)
    assert found.exposure == pytest.approx(best[1], abs=5e-3)
    assert found.quantity == best[2]


def test_exposure_is_partial_where_a_linear_lift_saturates_and_costs() -> None:
    world = single(demand={"lift_form": "linear"}, segments={"affinity": [[0.0]], "lift": [2.0]},
                   recommendation={"exposure_cost": 30.0})  # fmt: skip
    found = best_shown_order(compile_scenario(world))
    assert 0.1 < found.exposure < 0.9


def test_a_product_too_slow_to_stock_is_hidden_although_it_has_a_margin() -> None:
    # Nobody pays enough to cover leftovers: with 0.2 units of demand none is stocked, and showing it adds penalties.
    world = single(segments={"traffic": [1.0], "affinity": [[-3.0]]}, recommendation={"exposure_cost": 0.0})
    found = best_shown_order(compile_scenario(world))
    assert (found.quantity, found.exposure) == (0.0, 0.0)


def test_the_simulator_earns_what_the_order_and_exposure_promise() -> None:
    world = single(demand={"noise_cv": 0.5})
    found = best_shown_order(compile_scenario(world))
    simulator = Simulator(world)
    simulator.reset(seed=3, episodes=8_000)
    outcome = simulator.step(
        order=np.full((8_000, 1), found.quantity), exposure=np.full((8_000, 1, 1), found.exposure)
    )
    profit = outcome.economics.profit
    assert abs(profit.mean() - found.profit) < 3 * profit.std() / math.sqrt(len(profit))


def test_other_worlds_are_refused() -> None:
    with pytest.raises(InputError, match=r"products\.initial_on_hand is 2, must be 0"):
        best_shown_order(compile_scenario(single(products={"initial_on_hand": 2})))
