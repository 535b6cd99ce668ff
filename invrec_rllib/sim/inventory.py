"""Where the units go: orders, deliveries, sales and second choices. All counts are whole units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray, Params


class Placed(NamedTuple):
    """Stock and pipeline after an order: on hand (B, N), on order (B, N, P), arrived at once (B, N)."""

    on_hand: IntArray
    on_order: IntArray
    at_once: IntArray


class Served(NamedTuple):
    """What demand met: (B, N) each; units sold, sold as second choice, asked in vain, and left on hand."""

    sales: IntArray
    substituted: IntArray
    unserved: IntArray
    on_hand_end: IntArray


def place_order(
    params: Params, on_hand: IntArray, on_order: IntArray, *, order: IntArray, delay: FloatArray | None
) -> Placed:
    """Put an order into the pipeline; with lead time 0 it is on hand at once.

    Args:
        params: the world.
        on_hand: units, (B, N).
        on_order: units that arrive in l + 1 periods, (B, N, P).
        order: units, (B, N).
        delay: uniforms that the delay inverts, (B, N); None where lead times are certain.
    """
    wait = np.broadcast_to(params.lead_time, order.shape)
    if delay is not None:
        wait = wait + np.searchsorted(params.delay_cumulative[:-1], delay, side="right")
    at_once = np.where(wait == 0, order, 0)
    pipeline = on_order.copy()
    if pipeline.shape[2]:
        slot = np.maximum(wait - 1, 0)[:, :, None]
        due = np.take_along_axis(pipeline, slot, axis=2) + (order - at_once)[:, :, None]
        np.put_along_axis(pipeline, slot, due, axis=2)
    return Placed(on_hand + at_once, pipeline, at_once)


def receive(on_hand: IntArray, on_order: IntArray) -> tuple[IntArray, IntArray]:
    """Move time on by one period: the first slot of the pipeline arrives, the others move up."""
    if not on_order.shape[2]:
        return on_hand, on_order
    shifted = np.zeros_like(on_order)
    shifted[:, :, :-1] = on_order[:, :, 1:]
    return on_hand + on_order[:, :, 0], shifted


def serve(
    params: Params,
    on_hand: IntArray,
    demand: IntArray,
    *,
    clicks: IntArray,
    weight: FloatArray,
    rounding: FloatArray | None,
) -> Served:
    """Sell first choices, then second choices from what is left.

    Args:
        params: the world.
        on_hand: units that may be sold, (B, N).
        demand: units asked for, (B, N).
        clicks: the same per segment, (B, M, N).
        weight: attraction, (B, M, N).
        rounding: uniforms for whole requests, (B, 2); None where nobody asks twice.
    """
    first = np.minimum(on_hand, demand)
    unmet = demand - first
    left = on_hand - first
    if rounding is None:
        return Served(first, np.zeros_like(first), unmet, left)
    requests = _second_choices(params, left, unmet=unmet, clicks=clicks, weight=weight)
    asked = round_systematically(requests, rounding[:, 0])
    second = np.minimum(left, asked)
    # Whose wish was met: each product's unmet customers in proportion, in whole units, never more than there are.
    total_unmet = unmet.sum(axis=1, keepdims=True)
    met_share = second.sum(axis=1, keepdims=True) * (unmet / np.maximum(total_unmet, 1))
    met = np.minimum(round_systematically(met_share, rounding[:, 1]), unmet)
    return Served(first + second, second, unmet - met, left - second)


def _second_choices(
    params: Params, left: IntArray, *, unmet: IntArray, clicks: IntArray, weight: FloatArray
) -> FloatArray:
    """Mean requests for each product in stock by customers whose first choice was not, (B, N)."""
    demand = np.maximum(clicks.sum(axis=1), 1)
    unmet_by_segment = (clicks * (unmet / demand)[:, None, :]).sum(axis=2, keepdims=True)
    available = weight * (left > 0)[:, None, :]
    total = available.sum(axis=2, keepdims=True)
    share = np.divide(available, total, out=np.zeros_like(available), where=total > 0)
    requests: FloatArray = params.scenario.demand.substitution * (unmet_by_segment * share).sum(axis=1)
    return requests


def round_systematically(amounts: FloatArray, uniform: FloatArray) -> IntArray:
    """Whole numbers with the given means whose sum is the floor or ceiling of the sum.

    Args:
        amounts: >= 0, (B, N).
        uniform: in [0, 1), (B,).

    Returns:
        (B, N); each entry the floor or ceiling of its amount. Rounding each by itself could ask for more
        units in total than there are customers.
    """
    # Sums of whole numbers may miss them by rounding: without the guard 2.9999999996 would floor to 2.
    cumulative = np.cumsum(amounts, axis=1)
    edges = np.floor(cumulative + uniform[:, None] + 1e-9).astype(np.int64)
    start = np.floor(uniform + 1e-9).astype(np.int64)[:, None]
    return np.diff(edges, axis=1, prepend=start)
