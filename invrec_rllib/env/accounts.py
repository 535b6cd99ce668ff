"""The business figures of a period, itemised: for `infos`, and for batches of episodes."""

from __future__ import annotations

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray
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
    """What one episode's firm earned and moved in a period, as plain numbers.

    Args:
        before: start of the period.
        outcome: what happened in it.
        after: start of the next.
        episode: which of the batch.

    Returns:
        As `itemise_batch`.
    """
    items = itemise_batch(before, outcome, after)
    return {name: float(values[episode]) for name, values in items.items()}


def itemise_batch(before: State, outcome: Outcome, after: State) -> dict[str, FloatArray]:
    """What the firms of a batch of B episodes earned and moved in a period.

    Args:
        before: start of the period.
        outcome: what happened in it.
        after: start of the next.

    Returns:
        (B,) each: the items of `MONEY` in money and of `UNITS` in units over all products: demand drawn, units
        sold (second choices included), demand lost, units ordered and delivered since, and stock at the start
        of the next period on hand and on order. `fill_rate` is the share of demand served from stock in its
        period, 1 without demand; `period` the index t of the period.
    """
    economics = outcome.economics
    items = {name: getattr(economics, name) for name in MONEY[:-1]}
    items["click_value"] = outcome.click_value
    demand, sold = _total(outcome.demand), _total(outcome.sales)
    items["demand"] = demand
    items["sales"] = sold
    items["lost"] = _total(outcome.lost)
    items["ordered"] = _total(outcome.order)
    items["delivered"] = _total(outcome.delivered)
    items["on_hand"] = _total(after.on_hand)
    items["on_order"] = np.einsum("bnp->b", after.on_order).astype(np.float64)
    # Who waited is served first; the rest of the sales serve the period's own demand.
    waiting = before.backorders
    if waiting.any():
        sold = sold - _total(np.minimum(outcome.on_hand_end + outcome.sales, waiting))
    items["fill_rate"] = np.divide(sold, demand, out=np.ones_like(sold), where=demand > 0)
    items["period"] = np.full(len(sold), float(before.period))
    return items


def _total(units: IntArray) -> FloatArray:
    """Over products, (B,); counts are far below what 64-bit floats hold exactly."""
    # Faster than `sum` on short rows.
    total: FloatArray = np.einsum("bn->b", units).astype(np.float64)
    return total
