"""Backtests: the replay's accounts by hand, and what must hold at lift zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.backtest import (
    ForecastBaseStock,
    base_stocks,
    block_bootstrap_mean,
    replay_backtest,
)
from invrec_rllib.evaluation.backtest_pair import WithoutSlates, held_out_scenario, pair_backtest
from invrec_rllib.evaluation.replay import SalesLog, replay, replenishment_world, sales_log
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.scenario.calibration import Calibration, Source, Weeks, calibrate
from invrec_rllib.scenario.files import build_scenario, load_scenario
from invrec_rllib.sim import compile_scenario

pd = pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

PRODUCTS = ["p0", "p1", "p2", "p3"]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """200 households, 4 products whose prices swing, 30 weeks of which 10 are held out."""
    rng = np.random.default_rng(0)
    shown = rng.random((30, 5, 4)) < 0.4
    price = np.round(2.0 * np.where(rng.random((30, 4)) < 0.3, 0.7, 1.0), 2)
    rows = []
    for week in range(30):
        for household in range(200):
            store = int(rng.integers(5))
            log_rate = -2.7 + 0.4 * shown[week, store] - 3.0 * np.log(price[week] / 2.0)
            basket = f"{week}-{household}"
            rows.append((week, f"h{household}", f"s{store}", basket, "bread", 1, 1.0))
            for i in np.nonzero(rng.random(4) < np.exp(log_rate))[0]:
                rows.append((week, f"h{household}", f"s{store}", basket, PRODUCTS[i], 1, price[week, i]))
    columns = ["week", "household", "store", "basket", "product", "quantity", "amount"]
    places = [(w, f"s{s}", PRODUCTS[i], True, False) for w, s, i in np.argwhere(shown)]
    promotions = pd.DataFrame(places, columns=["week", "store", "product", "display", "mailer"])
    names = ["x", "y"] * 100
    source = Source(
        "test",
        "made up",
        "none",
        sales=lambda: iter([pd.DataFrame(rows, columns=columns)]),
        promotions=lambda wanted: iter([promotions]),
        products=pd.DataFrame({"product": [*PRODUCTS, "bread"], "category": ["choice"] * 4 + ["staple"]}),
        households=pd.DataFrame({"household": [f"h{h}" for h in range(200)], "segment": names}),
    )
    return calibrate(source, category="choice", num_products=4, segments="given", weeks=Weeks(0, 19, 29))


def small_log(demand: list[list[int]]) -> SalesLog:
    """Two products of lead time 1 and given demand; price 10 and 11, cost 0.6 of it."""
    tiny = load_scenario("tiny").model_dump(mode="json", exclude_defaults=True)
    tiny["periods"] = len(demand)
    tiny["products"].pop("max_order")
    mean = np.full((len(demand), 2), 2.0)
    exposure = np.zeros((len(demand), 1, 2))
    return SalesLog(build_scenario(tiny), np.array(demand), exposure, 2, mean, mean)


class OrderOnce:
    """Orders 5 of the first product in period 0, nothing else."""

    name = "once"

    def begin(self, params: Any, *, num_episodes: int, seed: int) -> None:
        """Nothing to remember."""

    def act(self, view: Any, memory: None) -> Decision:
        """Order."""
        order = np.array([[5 if view.state.period == 0 else 0, 0]])
        return Decision(order, np.zeros(view.state.last_exposure.shape), None)


def test_a_replay_moves_stock_and_money_as_counted_by_hand() -> None:
    log = small_log([[7, 1], [6, 0], [0, 9]])
    result = replay(log, OrderOnce())
    # 4 on hand and 2 delivered at once; the 5 ordered in period 0 arrive in period 1.
    np.testing.assert_array_equal(result.lost, [[1, 0], [1, 0], [0, 4]])
    np.testing.assert_array_equal(result.stock, [[0, 5], [0, 5], [0, 0]])
    # A unit lost: margin 4 and penalty 0.5, or 4.4 and 0.55; a unit left: 0.02 of its cost, 0.12 or 0.132.
    np.testing.assert_allclose(result.cost, [[4.5, 5 * 0.132], [4.5, 5 * 0.132], [0.0, 4 * 4.95]], rtol=1e-12)


def test_base_stock_orders_up_to_the_forecast_of_the_lead_time_and_this_period() -> None:
    log = small_log([[0, 0]] * 4)
    ahead = np.array([[3.0, 1.0], [4.0, 8.0], [100.0, 100.0]])
    seen = []

    class Spy(ForecastBaseStock):
        def act(self, view: Any, memory: Any) -> Decision:
            decision = super().act(view, memory)
            seen.append((view.state.inventory_position[0].tolist(), decision.order[0].tolist()))
            return decision

    replay(log, Spy("spy", lambda period, sales: ahead, 1.0))
    # 6 and 6 at hand; levels 7 + sqrt(7) = 9.6 and 9 + 3 = 12.
    assert seen[0] == ([6, 6], [4, 6])
    assert seen[1] == ([10, 12], [0, 0])


def test_a_naive_forecaster_sees_only_sales_of_the_past() -> None:
    log = small_log([[1, 0], [2, 0], [3, 0]])
    seen: list[list[float]] = []

    def forecast(period: int, sales: Any) -> Any:
        seen.append(sales[:, 0].tolist())
        return np.ones((2, 2))

    replay(log, ForecastBaseStock("spy", forecast, 0.0))
    assert seen == [[], [1.0], [1.0, 2.0]]


def test_orders_that_are_not_whole_are_refused() -> None:
    class Half(OrderOnce):
        def act(self, view: Any, memory: None) -> Decision:
            return Decision(np.array([[0.5, 0.0]]), view.state.last_exposure, None)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="orders must be whole units >= 0"):
        replay(small_log([[1, 1]] * 3), Half())


def test_tuning_does_not_read_the_weeks_held_out(calibration: Calibration) -> None:
    log = sales_log(calibration)
    demand = log.demand.copy()
    demand[log.num_fitted :] = 500
    tuned = [policy.safety for policy in base_stocks(log)]
    assert [policy.safety for policy in base_stocks(replace(log, demand=demand))] == tuned
    demand[: log.num_fitted] = 500
    assert [policy.safety for policy in base_stocks(replace(log, demand=demand))] != tuned


def test_knowing_the_prices_to_come_costs_less_where_prices_move_demand(calibration: Calibration) -> None:
    report = replay_backtest(calibration, [make_policy("silo")])
    rows = {row.policy: row for row in report.rows}
    assert set(rows) == {"plan_aware", "price_aware", "last_4_weeks", "fit_mean", "silo"}
    for naive in ("last_4_weeks", "fit_mean"):
        assert rows[naive].over_plan_aware.low > 0.0
    assert rows["plan_aware"].over_plan_aware.mean == 0.0
    text = report.to_text()
    assert all(caveat in text for caveat in report.caveats)


def test_the_log_holds_the_weeks_of_both_panels_at_the_panels_scale(calibration: Calibration) -> None:
    log = sales_log(calibration)
    assert log.demand.shape == (30, 4)
    assert calibration.held_out is not None
    assert log.demand.sum() == calibration.fitted.purchases.sum() + calibration.held_out.purchases.sum()
    assert log.scenario.supply.capacity is None
    # The fit has an intercept per product, so the plan meets the fitted weeks' mean.
    np.testing.assert_allclose(log.plan[:20].sum(), log.demand[:20].sum(), rtol=0.02)


def test_at_lift_zero_slates_gain_nothing_and_at_the_high_lift_they_do(calibration: Calibration) -> None:
    report = pair_backtest(calibration, ("no_recommendation", "silo", "stock_aware"), episodes=60)
    at_zero = report.comparisons["zero"]
    for policy in ("no_recommendation", "stock_aware"):
        difference = at_zero.row(policy).differences["silo"]["profit"].absolute
        assert (difference.low, difference.mean, difference.high) == (0.0, 0.0, 0.0)
    gain = report.comparisons["high"].row("no_recommendation").differences["silo"]["profit"].absolute
    assert gain.high < 0.0
    text = report.to_text()
    assert all(caveat in text for caveat in report.caveats)


def test_without_its_slates_a_policy_orders_the_same_and_shows_nothing(calibration: Calibration) -> None:
    silo = make_policy("silo")
    report = pair_backtest(
        calibration, (WithoutSlates(silo), "no_recommendation"), episodes=20, lifts=("zero", "high")
    )
    for comparison in report.comparisons.values():
        bare, nothing = comparison.row("silo, no slates"), comparison.row("no_recommendation")
        assert bare.profit == nothing.profit
    assert report.comparisons["high"].row("silo, no slates").differences["silo"]["profit"].absolute.high < 0.0


def test_worlds_of_the_weeks_held_out_differ_in_lift_but_explain_the_same_sales(
    calibration: Calibration,
) -> None:
    panel = calibration.held_out
    assert panel is not None
    exposure = panel.exposure.mean(axis=0)
    demands = []
    for lift in ("zero", "careful", "high"):
        segments = held_out_scenario(calibration, lift).segments
        weight = np.exp(np.array(segments.affinity) + np.array(segments.lift)[:, None] * exposure)
        choice = weight / (1.0 + weight.sum(axis=1, keepdims=True))
        demands.append((np.array(segments.traffic) @ choice).sum())
    assert set(held_out_scenario(calibration, "zero").segments.lift) == {0.0}
    np.testing.assert_allclose(demands, demands[0], rtol=0.1)


def test_backtests_without_weeks_held_out_and_unknown_lifts_are_refused(calibration: Calibration) -> None:
    without = replace(calibration, held_out=None)
    with pytest.raises(InputError, match="needs weeks held out"):
        sales_log(without)
    with pytest.raises(InputError, match="needs weeks held out"):
        held_out_scenario(without, "zero")
    with pytest.raises(InputError, match="lift must be one of zero, careful, high, got 'low'"):
        held_out_scenario(calibration, "low")  # type: ignore[arg-type]


def test_a_block_bootstrap_widens_for_dependent_weeks_and_keeps_the_mean() -> None:
    steps = np.repeat([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], 4)
    by_week = block_bootstrap_mean(steps, block=1)
    by_block = block_bootstrap_mean(steps, block=4)
    assert by_week.mean == by_block.mean == 0.5
    assert by_block.high - by_block.low > 1.3 * (by_week.high - by_week.low)
    constant = block_bootstrap_mean(np.full(9, 3.0), block=4)
    assert (constant.low, constant.high) == (3.0, 3.0)


def test_the_world_to_train_a_replenisher_in_is_made_of_the_fitted_weeks(calibration: Calibration) -> None:
    held_out, fitted = calibration.held_out, calibration.fitted
    assert held_out is not None
    changed = replace(held_out, price=7.0 * held_out.price, purchases=held_out.purchases + 50.0)
    world = replenishment_world(calibration)
    assert replenishment_world(replace(calibration, held_out=changed)) == world
    assert replenishment_world(calibration, seed=1) != world
    path = np.array(world.demand.price_path)
    np.testing.assert_allclose(path[:20], fitted.price, atol=0.005)
    for week in path[20:30]:
        assert np.isclose(week, fitted.price, atol=0.0051).all(axis=1).any()
    np.testing.assert_array_equal(path[30:], np.tile(world.products.price, (3, 1)))


def test_what_is_seen_in_the_training_world_is_laid_out_as_in_the_replay(calibration: Calibration) -> None:
    worlds = [replenishment_world(calibration), sales_log(calibration).scenario]
    for world in worlds:
        assert world.demand.price_notice_periods >= max(world.products.lead_time)
        assert world.periods == 33  # after the 30 weeks logged, as long as an order placed in them protects
    params = [compile_scenario(world) for world in worlds]
    for role in ("inventory", "recommender"):
        ours, theirs = (encoder_for(one, role, "observed") for one in params)
        assert ours.layout == theirs.layout
        assert [field.name for field in ours.fields] == [field.name for field in theirs.fields]
    # Until prices differ, the calendar is the same.
    np.testing.assert_array_equal(params[0].price_factor[:20], params[1].price_factor[:20])
