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
from invrec_rllib.scenario.calibration.demand import DemandFit, fit_demand
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
        scenario: prices, costs and lead times of the weeks logged; its logged prices are its price path.
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
    fitted, held_out = calibration.fitted, calibration.held_out
    if held_out is None:
        raise InputError("a backtest needs weeks held out: calibrate with last_test above last_fit")
    panels = (fitted, held_out)
    price = np.concatenate([panel.price for panel in panels])
    demand = np.concatenate([panel.purchases.sum(axis=1) for panel in panels]).astype(np.int64)
    exposure = np.concatenate([panel.exposure for panel in panels])
    visits = fitted.visits.mean(axis=0)
    fit = calibration.fits.demand
    without_lift = fit_demand(fitted, lift=np.zeros(len(fitted.segments)))
    return SalesLog(
        scenario=_logged_world(calibration.scenario, price, visits),
        demand=demand,
        exposure=exposure,
        num_fitted=len(fitted.weeks),
        plan=_planned_demand(fit, price, exposure, visits),
        price_plan=_planned_demand(without_lift, price, exposure, visits),
    )


def _planned_demand(
    fit: DemandFit, price: FloatArray, exposure: FloatArray, visits: FloatArray
) -> FloatArray:
    planned: FloatArray = fit.mean_purchases(
        visits=np.broadcast_to(visits, exposure.shape[:2]), exposure=exposure, price=price
    ).sum(axis=1)
    return planned


def _logged_world(scenario: Scenario, price: FloatArray, visits: FloatArray) -> Scenario:
    """The scenario at the panel's scale, with the logged prices and without shared storage."""
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    scale = np.sum(scenario.segments.traffic) / visits.sum()
    products = data["products"]
    products["initial_on_hand"] = [round(units / scale) for units in products["initial_on_hand"]]
    products["initial_pipeline"] = [
        [round(units / scale) for units in row] for row in products["initial_pipeline"]
    ]
    products.pop("max_order", None)
    data["supply"] = {}
    data["segments"]["traffic"] = visits.tolist()
    data["periods"] = len(price)
    data["demand"] = {
        **data.get("demand", {}),
        "price_path": np.maximum(price, 0.01).tolist(),
        "season": None,
    }
    return build_scenario(data, source=f"{scenario.name}, logged")


def replay(
    log: SalesLog,
    policy: Policy,
    *,
    information: Information = "full",
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
