"""One period of the world, its steps in order: the one place that knows the order of events."""

from __future__ import annotations

import numpy as np

from invrec_rllib.sim.choice import attraction, draw_clicks
from invrec_rllib.sim.economics import account, overflow
from invrec_rllib.sim.inventory import place_order, receive, serve
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.randomness import PeriodDraws
from invrec_rllib.sim.state import Outcome, State
from invrec_rllib.sim.tastes import next_affinity


def simulate_period(
    params: Params, state: State, *, order: IntArray, exposure: FloatArray, draws: PeriodDraws
) -> tuple[State, Outcome]:
    """Play one period for a batch of episodes.

    Args:
        params: the world.
        state: start of the period, deliveries received.
        order: units [q], (B, N).
        exposure: in [0, 1] [e], (B, M, N).
        draws: this period's randomness.

    Returns:
        The start of the next period, with its deliveries received, and what happened in this one.
    """
    t = state.period
    # 1. The order enters the pipeline; at once on hand where the lead time is 0.
    placed = place_order(params, state.on_hand, state.on_order, order=order, delay=draws.delay)
    # 2. Stock above the shared capacity costs money.
    overflow_cost = overflow(params, placed.on_hand)
    # 3. Visitors choose among the products as they are exposed, whatever is in stock.
    weight = attraction(params, state.affinity, exposure, period=t)
    clicks = draw_clicks(params, weight, draws, period=t)
    demand = np.einsum("bmn->bn", clicks)
    # 4. Who waited is served first, then first choices, then second choices.
    caught_up = np.minimum(placed.on_hand, state.backorders) if params.waits else None
    served = serve(
        params,
        placed.on_hand if caught_up is None else placed.on_hand - caught_up,
        demand,
        clicks=clicks,
        weight=weight,
        rounding=draws.substitution,
    )
    sales, lost, backorders = served.sales, served.unserved, state.backorders
    if caught_up is not None:
        sales = sales + caught_up
        backorders = backorders - caught_up + served.unserved
        lost = np.zeros_like(demand)
    # 5. Money.
    economics, click_value = account(
        params,
        period=t,
        order=order,
        exposure=exposure,
        demand=demand,
        sales=sales,
        unserved=backorders if params.waits else lost,
        on_hand_end=served.on_hand_end,
        on_order_end=placed.on_order,
        overflow_cost=overflow_cost,
    )
    # 6. Tastes move: stockouts disappoint those whose first choice was not there.
    unmet = demand - (served.sales - served.substituted)
    affinity = next_affinity(
        params,
        state.affinity,
        exposure,
        unmet_share=unmet / np.maximum(demand, 1) if params.scenario.tastes.disappointment else None,
        taste_noise=draws.taste_noise,
    )
    # 7. The next period begins with its delivery.
    on_hand, on_order = receive(served.on_hand_end, placed.on_order)
    outcome = Outcome(
        order=order,
        exposure=exposure,
        clicks=clicks,
        demand=demand,
        sales=sales,
        substituted=served.substituted,
        lost=lost,
        on_hand_end=served.on_hand_end,
        delivered=placed.at_once + on_hand - served.on_hand_end,
        click_value=click_value,
        economics=economics,
    )
    return (
        State(
            period=t + 1,
            on_hand=on_hand,
            on_order=on_order,
            backorders=backorders,
            affinity=affinity,
            last_exposure=exposure,
            last_clicks=clicks,
            last_sales=sales,
            last_stockout=unmet > 0,
        ),
        outcome,
    )
