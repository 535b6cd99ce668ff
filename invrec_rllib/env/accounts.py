"""The business figures of a period, itemised, as plain numbers for `infos`."""

from __future__ import annotations

import numpy as np

from invrec_rllib.sim.state import Outcome, State

# Costs are positive numbers; `profit` subtracts them.
MONEY = (
    "revenue",
    "purchase_cost",
    "order_cost",
    "holding_cost",
    "stockout_cost",
    "overflow_cost",
    "exposure_cost",
    "initial_stock_cost",
    "salvage",
    "profit",
    "click_value",
)
UNITS = ("demand", "sales", "lost", "ordered", "delivered", "on_hand", "on_order")


def itemise(before: State, outcome: Outcome, after: State, *, episode: int = 0) -> dict[str, float]:
    """What one episode's firm earned and moved in a period.

    Args:
        before: start of the period.
        outcome: what happened in it.
        after: start of the next.
        episode: which of the batch.

    Returns:
        The items of `MONEY` in money and of `UNITS` in units over all products: demand drawn, units sold
        (second choices included), demand lost, units ordered and delivered since, and stock at the start of
        the next period on hand and on order. `fill_rate` is the share of demand served from stock in its
        period, 1 without demand; `period` the index t of the period.
    """
    economics = outcome.economics
    items = {name: float(getattr(economics, name)[episode]) for name in MONEY[:-1]}
    items["click_value"] = float(outcome.click_value[episode])
    sales = outcome.sales[episode]
    # Who waited is served first; the rest of the sales serve the period's own demand.
    waiting = before.backorders[episode]
    caught_up = int(np.minimum(outcome.on_hand_end[episode] + sales, waiting).sum()) if waiting.any() else 0
    demand, sold = int(outcome.demand[episode].sum()), int(sales.sum())
    items["demand"] = float(demand)
    items["sales"] = float(sold)
    items["lost"] = float(outcome.lost[episode].sum())
    items["ordered"] = float(outcome.order[episode].sum())
    items["delivered"] = float(outcome.delivered[episode].sum())
    items["on_hand"] = float(after.on_hand[episode].sum())
    items["on_order"] = float(after.on_order[episode].sum())
    items["fill_rate"] = (sold - caught_up) / demand if demand else 1.0
    items["period"] = float(before.period)
    return items
