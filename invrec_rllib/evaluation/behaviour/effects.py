"""The effects that are measured: which answers are compared, and whose orders or exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from invrec_rllib.policies.base import Decision
from invrec_rllib.sim.params import FloatArray, IntArray, Params

Response = Literal["own_exposure", "other_exposure", "own_order", "other_order", "order_to_plan"]


@dataclass(frozen=True)
class Effect:
    """What one change does to one decision.

    Attributes:
        label: for readers.
        before, after: names of the questions whose answers are compared.
        response: of the changed product ("own") or of all others together ("other"), exposure (mean over segments by
            traffic, in [0, 1]) or order (units); or "order_to_plan": how orders of the others move with their
            exposures.
        per_unit: whether the size is per unit of stock that is added, else per change.
        unit: of the size.
    """

    label: str
    before: str
    after: str
    response: Response
    per_unit: bool
    unit: str


def _stock(label: str, response: Response) -> Effect:
    unit = "exposure per unit" if "exposure" in response else "units per unit"
    return Effect(label, "as_visited", "more_stock", response, True, unit)


def _event(label: str, after: str, response: Response) -> Effect:
    unit = "exposure" if "exposure" in response else "units"
    return Effect(label, "as_visited", after, response, False, unit)


EFFECTS: dict[str, Effect] = {
    "stock_on_exposure": _stock("own stock on own exposure", "own_exposure"),
    "stock_on_other_exposure": _stock("own stock on the others' exposure", "other_exposure"),
    "stock_on_order": _stock("own stock on own order", "own_order"),
    "stock_on_other_order": _stock("own stock on the others' orders", "other_order"),
    "delivery_on_exposure": Effect(
        "a delivery next period on own exposure",
        "as_visited",
        "more_coming",
        "own_exposure",
        True,
        "exposure per unit",
    ),
    "delivery_on_order": Effect(
        "a delivery next period on own order",
        "as_visited",
        "more_coming",
        "own_order",
        True,
        "units per unit",
    ),
    "nearer_on_exposure": Effect(
        "a delivery now, not next period, on own exposure",
        "more_coming",
        "more_stock",
        "own_exposure",
        True,
        "exposure per unit",
    ),
    "nearer_on_order": Effect(
        "a delivery now, not next period, on own order",
        "more_coming",
        "more_stock",
        "own_order",
        True,
        "units per unit",
    ),
    "short_on_exposure": _event("a stockout that nears on own exposure", "short", "own_exposure"),
    "short_on_order": _event("a stockout that nears on own order", "short", "own_order"),
    "sold_out_on_exposure": _event("a stockout on own exposure", "sold_out", "own_exposure"),
    "sold_out_on_other_exposure": _event("a stockout on the others' exposure", "sold_out", "other_exposure"),
    "sold_out_on_order": _event("a stockout on own order", "sold_out", "own_order"),
    "plan_on_order": Effect(
        "planned exposure on own order",
        "as_visited",
        "more_stock",
        "order_to_plan",
        False,
        "units per exposure",
    ),
    "end_on_order": _event("the date set to the end on own order", "at_the_end", "own_order"),
    "stock_at_the_end_on_exposure": Effect(
        "own stock at the end on own exposure",
        "at_the_end",
        "more_stock_at_the_end",
        "own_exposure",
        True,
        "exposure per unit",
    ),
}
"""Effects by name. Planned exposure is moved by another product's stock, which has no other way to one's own order
where products share neither storage nor customers who switch."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A decision in two arrays.

    Attributes:
        exposure: mean over segments by traffic, in [0, 1], (B, N).
        order: units, (B, N).
    """

    exposure: FloatArray
    order: FloatArray


def answer_of(params: Params, decision: Decision) -> Answer:
    """A decision, with exposures averaged over segments by traffic."""
    weight = params.traffic / params.traffic.sum()
    return Answer(np.einsum("bmn,m->bn", decision.exposure, weight), decision.order.astype(np.float64))


def respond(
    effect: Effect, before: Answer, after: Answer, *, product: IntArray
) -> tuple[FloatArray, FloatArray]:
    """How one decision moved, and what it is counted against but for units of stock.

    Args:
        effect: which.
        before, after: answers of the same episodes.
        product: that was changed, (B,).

    Returns:
        Change, and 1; for "order_to_plan" the product of both changes, and the square of that of exposure; (B,)
        each.
    """
    exposure, order = after.exposure - before.exposure, after.order - before.order
    rows = np.arange(len(product))
    if effect.response == "order_to_plan":
        exposure[rows, product] = 0.0
        return np.einsum("bn,bn->b", exposure, order), np.einsum("bn,bn->b", exposure, exposure)
    change = exposure if effect.response.endswith("exposure") else order
    own: FloatArray = change[rows, product]
    return own if effect.response.startswith("own") else change.sum(axis=1) - own, np.ones(len(product))
