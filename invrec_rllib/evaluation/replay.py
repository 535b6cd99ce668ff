"""A log of sales and promotions, replayed against a policy's orders.

Sales are fixed, so the orders change nothing but stock and lost sales: a replay is sound as far as logged sales
are demand. Orders, deliveries, sales and stock move as in the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.view import Information, Observer
from invrec_rllib.scenario.calibration.build import Calibration
from invrec_rllib.scenario.calibration.compose import log_attraction
from invrec_rllib.scenario.calibration.demand import DemandFit, fit_demand
from invrec_rllib.scenario.calibration.panel import Panel
from invrec_rllib.scenario.calibration.tastes import fit_tastes
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.inventory import place_order, receive
from invrec_rllib.sim.params import FloatArray, IntArray, Params, compile_scenario
from invrec_rllib.sim.randomness import EpisodeStreams, episode_keys
from invrec_rllib.sim.state import State, initial_state


@dataclass(frozen=True)
class SalesLog:
    """Logged demand and promotions as a world to replay.

    Attributes:
        scenario: prices, costs and lead times of the weeks logged, and a few weeks more, so that no order pays
            for the end of the log; its logged prices are its price path, its demand is fitted to prices alone.
        demand: purchases, whole units, (T, N).
        exposure: logged share of visits exposed, (T, M, N).
        num_fitted: how many of the first weeks were fitted; the others are held out.
        plan: mean demand given prices and promotions, (T, N).
        price_plan: mean demand given prices only, (T, N).
    """

    scenario: Scenario
    demand: IntArray
    exposure: FloatArray
    num_fitted: int
    plan: FloatArray
    price_plan: FloatArray


@dataclass(frozen=True)
class Replay:
    """What one replenisher cost.

    Attributes:
        policy: its name.
        cost: margin and penalty of lost sales plus holding, money by week and product, (T, N).
        lost: units of demand lost, (T, N).
        stock: units left at the end of the week, (T, N).
    """

    policy: str
    cost: FloatArray
    lost: IntArray
    stock: IntArray


def sales_log(calibration: Calibration) -> SalesLog:
    """The fitted weeks and those held out, as one log.

    Raises:
        InputError: the calibration holds out no weeks.
    """
    fitted = calibration.fitted
    panels = (fitted, _held_out(calibration))
    price = np.concatenate([panel.price for panel in panels])
    demand = np.concatenate([panel.purchases.sum(axis=1) for panel in panels]).astype(np.int64)
    exposure = np.concatenate([panel.exposure for panel in panels])
    visits = fitted.visits.mean(axis=0)
    price_only = _fit_to_prices(calibration)
    return SalesLog(
        scenario=_world(calibration, price_only, price, name="logged"),
        demand=demand,
        exposure=exposure,
        num_fitted=len(fitted.weeks),
        plan=_planned_demand(calibration.fits.demand, price, exposure, visits),
        price_plan=_planned_demand(price_only, price, exposure, visits),
    )


def replenishment_world(calibration: Calibration, *, block_weeks: int = 4, seed: int = 0) -> Scenario:
    """The world to train a replenisher in that `replay` then plays; it reads the fitted weeks alone.

    It is the logged world with other prices after the fitted weeks: blocks of weeks of the fitted ones. So its
    observations are laid out as those of the replay. Exposure does nothing in either: the log's exposures are not
    announced and answer to nobody, so they count as noise of demand.

    Args:
        calibration: with weeks held out, of which only the number is used.
        block_weeks: length of the blocks.
        seed: of their choice.

    Raises:
        InputError: no weeks are held out.
    """
    price = calibration.fitted.price
    count = len(_held_out(calibration).weeks)
    starts = np.random.default_rng(seed).integers(len(price), size=-(-count // block_weeks))
    drawn = (starts[:, None] + np.arange(block_weeks)).ravel()[:count] % len(price)
    return _world(
        calibration, _fit_to_prices(calibration), np.concatenate((price, price[drawn])), name="replenishment"
    )


def _held_out(calibration: Calibration) -> Panel:
    if calibration.held_out is None:
        raise InputError("a backtest needs weeks held out: calibrate with last_test above last_fit")
    return calibration.held_out


def _fit_to_prices(calibration: Calibration) -> DemandFit:
    fitted = calibration.fitted
    base_price = np.asarray(calibration.scenario.products.price)
    return fit_demand(fitted, lift=np.zeros(len(fitted.segments)), base_price=base_price)


def _planned_demand(
    fit: DemandFit, price: FloatArray, exposure: FloatArray, visits: FloatArray
) -> FloatArray:
    planned: FloatArray = fit.mean_purchases(
        visits=np.broadcast_to(visits, exposure.shape[:2]), exposure=exposure, price=price
    ).sum(axis=1)
    return planned


def _world(calibration: Calibration, fit: DemandFit, price: FloatArray, *, name: str) -> Scenario:
    """The calibrated firm at the panel's scale under given prices, (W, N), and a few weeks of base prices.

    Without shared storage; prices are announced for the longest lead time.
    """
    scenario, fitted = calibration.scenario, calibration.fitted
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    visits = fitted.visits.mean(axis=0)
    scale = np.sum(scenario.segments.traffic) / visits.sum()
    products = data["products"]
    products["initial_on_hand"] = [round(units / scale) for units in products["initial_on_hand"]]
    products["initial_pipeline"] = [
        [round(units / scale) for units in row] for row in products["initial_pipeline"]
    ]
    products.pop("max_order", None)
    tastes = fit_tastes(fitted.purchases, fit.expected(fitted), reversion=scenario.tastes.reversion)
    data["tastes"] = {
        **data.get("tastes", {}),
        "noise": round(tastes.noise, 3),
        "common_share": round(tastes.common_share, 2),
    }
    data["segments"] |= {
        "traffic": visits.tolist(),
        "affinity": np.round(log_attraction(fit), 3).tolist(),
        "lift": [0.0] * len(visits),
        "price_elasticity": np.round(fit.elasticity, 3).tolist(),
    }
    longest = max(scenario.products.lead_time)
    after = np.tile(scenario.products.price, (longest + 1, 1))
    path = np.round(np.maximum(np.concatenate((price, after)), 0.01), 2)
    data["demand"] = {
        **data.get("demand", {}),
        "noise_cv": round(tastes.noise_cv, 2),
        "price_path": path.tolist(),
        "price_notice_periods": min(max(longest, 1), 12),
        "season": None,
    }
    data |= {"name": f"{scenario.name}-{name}", "periods": len(path), "supply": {}}
    data["provenance"] = {key: data.get("provenance", {}).get(key) for key in ("source", "notice", "licence")}
    return build_scenario(data, source=data["name"])


def replay(
    log: SalesLog,
    policy: Policy,
    *,
    information: Information = "observed",
    seed: int = 0,
    weeks: int | None = None,
) -> Replay:
    """Play a policy's orders against the logged demand; its exposures are not used.

    Args:
        log: the log.
        policy: any policy, so that a trained replenisher can be replayed beside simple ones.
        information: what the policy is shown; affinities stay at the fit's.
        seed: of the policy, and of the noise of the scores.
        weeks: stop after this many; None: all.

    Raises:
        InputError: an order is negative or not whole.
    """
    params = compile_scenario(log.scenario)
    observer = Observer(params, information=information)
    streams = EpisodeStreams(params, episode_keys(seed, 1))
    state, memory = initial_state(params, 1), policy.begin(params, num_episodes=1, seed=seed)
    last = len(log.demand) if weeks is None else weeks
    cost, lost, stock = (np.zeros((last, params.num_products)) for _ in range(3))
    for t in range(last):
        decision = policy.act(observer.observe(state, streams), memory)
        memory = decision.memory
        order = np.asarray(decision.order)
        if order.shape != (1, params.num_products) or (order < 0).any() or (order != np.rint(order)).any():
            raise InputError(
                f"policy {policy.name}: orders must be whole units >= 0 of shape (1, N), got {order}"
            )
        streams.next_period()
        state, lost[t], stock[t] = _play_week(params, log, state, order.astype(np.int64))
        margin = params.price[t] - params.unit_cost + params.stockout_penalty
        cost[t] = np.maximum(margin, 0.0) * lost[t] + params.holding_cost * stock[t]
    return Replay(policy.name, cost, lost.astype(np.int64), stock.astype(np.int64))


def _play_week(
    params: Params, log: SalesLog, state: State, order: IntArray
) -> tuple[State, IntArray, IntArray]:
    t = state.period
    placed = place_order(params, state.on_hand, state.on_order, order=order, delay=None)
    demand = log.demand[t : t + 1]
    sales = np.minimum(placed.on_hand, demand)
    left = placed.on_hand - sales
    on_hand, on_order = receive(left, placed.on_order)
    clicks = np.zeros(state.last_clicks.shape, dtype=np.int64)
    # The log does not split what a policy would have lost by segment: clicks are shown in the first one.
    clicks[:, 0] = demand
    following = State(
        period=t + 1,
        on_hand=on_hand,
        on_order=on_order,
        backorders=state.backorders,
        affinity=state.affinity,
        last_exposure=log.exposure[t : t + 1],
        last_clicks=clicks,
        last_sales=sales,
        last_stockout=demand > sales,
    )
    return following, (demand - sales)[0], left[0]
