"""Backtest of replenishment: what each rule would have cost in the weeks held out, on logged sales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from invrec_rllib.evaluation.replay import SalesLog, replay, sales_log
from invrec_rllib.evaluation.statistics import Estimate
from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.base_stock import order_towards
from invrec_rllib.policies.view import Information, View
from invrec_rllib.scenario.calibration.build import Calibration
from invrec_rllib.sim.params import FloatArray, Params

REPLAY_CAVEATS = (
    "Logged sales stand for demand: sales lost to empty shelves in the log are not in it.",
    "Demand is that of the household panel, not scaled up: small counts, so the noise weighs more than in a store.",
    "The price and promotion plan of the coming weeks is known to the plan-aware replenisher, paid prices stand "
    "for planned ones, and visits are taken at the mean of the fitted weeks.",
    "Other replenishers, silo and trained pairs, are told the coming prices and know their fitted effect, but not "
    "the promotions; their forecasts follow sales.",
    "Costs, lead times and initial stock are the scenario's assumptions, not the chain's.",
    "Few weeks are held out; intervals come from resampling blocks of weeks, over all products at once.",
)
WARM_UP_WEEKS = 8
SAFETY_FACTORS: tuple[float, ...] = tuple(np.round(np.arange(-1.0, 4.01, 0.1), 1).tolist())

Forecaster = Callable[[int, FloatArray], FloatArray]
"""From the period and the sales so far, (t, N), to mean demand of this period and the following, (H, N)."""


@dataclass(frozen=True)
class ReplayRow:
    """One replenisher over the weeks held out.

    Attributes:
        policy: its name.
        cost_per_week: money, all products.
        over_plan_aware: cost per week less that of the tuned plan-aware base-stock.
        fill_rate: share of demand served.
        stock: mean units at the end of the week, all products.
    """

    policy: str
    cost_per_week: Estimate
    over_plan_aware: Estimate
    fill_rate: float
    stock: float


@dataclass(frozen=True)
class ReplayReport:
    """Rows of a replay backtest, with what a reader must know."""

    rows: tuple[ReplayRow, ...]
    weeks: int
    currency: str
    caveats: tuple[str, ...] = REPLAY_CAVEATS

    def to_text(self) -> str:
        """Table and caveats."""
        lines = [
            f"Inventory replay, {self.weeks} weeks held out; cost in {self.currency} a week, 95 % block bootstrap.",
            f"{'policy':<16}{'cost per week':>26}{'over plan_aware':>26}{'fill rate':>11}{'stock':>8}",
        ]
        for row in self.rows:
            lines.append(
                f"{row.policy:<16}{_interval(row.cost_per_week):>26}{_interval(row.over_plan_aware):>26}"
                f"{row.fill_rate:>11.3f}{row.stock:>8.1f}"
            )
        return "\n".join([*lines, *(f"- {caveat}" for caveat in self.caveats)]) + "\n"


@dataclass(frozen=True)
class ForecastBaseStock:
    """Orders up to forecast demand of the lead time and this period, plus a safety stock.

    Attributes:
        name: how tables call it.
        forecast: mean demand of this period and the following.
        safety: standard deviations of Poisson demand over the lead time and this period.
    """

    name: str
    forecast: Forecaster
    safety: float

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> tuple[FloatArray, ...]:
        """Sales remembered: none."""
        return ()

    def act(self, view: View, memory: tuple[FloatArray, ...]) -> Decision:
        """Order; show nothing."""
        params, state = view.params, view.state
        sales = memory if state.period == 0 else (*memory, state.last_sales[0].astype(float))
        ahead = self.forecast(state.period, np.array(sales).reshape(len(sales), params.num_products))
        covered = np.arange(len(ahead))[:, None] <= params.lead_time
        mean = (ahead * covered).sum(axis=0)
        level = mean + self.safety * np.sqrt(mean)
        return Decision(order_towards(view, level[None]), np.zeros(state.last_exposure.shape), sales)


def base_stocks(log: SalesLog) -> tuple[ForecastBaseStock, ...]:
    """Base-stock rules, each with the safety factor that costs least in the fitted weeks.

    `plan_aware` knows prices and promotions of the coming weeks, `price_aware` the prices only; `last_4_weeks`
    and `fit_mean` are naive. The weeks held out are not read.
    """
    horizon = max(log.scenario.products.lead_time) + 1
    constant = log.demand[: log.num_fitted].mean(axis=0)

    def planned(plan: FloatArray) -> Forecaster:
        return lambda period, sales: plan[period : period + horizon]

    def last_four(period: int, sales: FloatArray) -> FloatArray:
        mean = sales[-4:].mean(axis=0) if len(sales) else constant
        return np.tile(mean, (horizon, 1))

    forecasters: dict[str, Forecaster] = {
        "plan_aware": planned(log.plan),
        "price_aware": planned(log.price_plan),
        "last_4_weeks": last_four,
        "fit_mean": lambda period, sales: np.tile(constant, (horizon, 1)),
    }
    return tuple(_tuned(log, name, forecast) for name, forecast in forecasters.items())


def _tuned(log: SalesLog, name: str, forecast: Forecaster) -> ForecastBaseStock:
    def fitted_cost(safety: float) -> float:
        result = replay(log, ForecastBaseStock(name, forecast, safety), weeks=log.num_fitted)
        return float(result.cost[WARM_UP_WEEKS:].sum())

    return ForecastBaseStock(name, forecast, min(SAFETY_FACTORS, key=fitted_cost))


def replay_backtest(
    calibration: Calibration,
    policies: Sequence[Policy] = (),
    *,
    information: Information = "observed",
    block_weeks: int = 4,
    seed: int = 0,
) -> ReplayReport:
    """Compare replenishers on the weeks held out.

    Args:
        calibration: with weeks held out.
        policies: more replenishers, such as `make_policy("silo")` or a pair trained on `replenishment_world`.
        information: what these are shown.
        block_weeks: length of the blocks resampled for the intervals, weeks.
        seed: of the resampling.

    Raises:
        InputError: no weeks are held out, or a policy's orders are not allowed.
    """
    log = sales_log(calibration)
    results = [replay(log, policy) for policy in base_stocks(log)]
    results += [replay(log, policy, information=information, seed=seed) for policy in policies]
    late = slice(log.num_fitted, None)
    best = results[0].cost[late].sum(axis=1)
    demand = int(log.demand[late].sum())
    rows = []
    for result in results:
        weekly = result.cost[late].sum(axis=1)
        rows.append(
            ReplayRow(
                policy=result.policy,
                cost_per_week=block_bootstrap_mean(weekly, block=block_weeks, seed=seed),
                over_plan_aware=block_bootstrap_mean(weekly - best, block=block_weeks, seed=seed),
                fill_rate=1.0 - float(result.lost[late].sum()) / demand,
                stock=float(result.stock[late].sum(axis=1).mean()),
            )
        )
    return ReplayReport(tuple(rows), weeks=len(best), currency=log.scenario.currency)


def block_bootstrap_mean(
    values: FloatArray, *, block: int, seed: int = 0, resamples: int = 4000, confidence: float = 0.95
) -> Estimate:
    """Mean of a series with an interval that respects dependence within blocks (circular block bootstrap).

    Args:
        values: in time order, 1-D.
        block: length of a block.
        seed: of the resampling.
        resamples: how many.
        confidence: of the percentile interval.

    Source: Politis and Romano (1992).
    """
    count = len(values)
    rng = np.random.default_rng(seed)
    starts = rng.integers(count, size=(resamples, -(-count // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :count] % count
    means = values[places].mean(axis=1)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Estimate(float(values.mean()), float(low), float(high), float(means.std()))


def _interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
