"""Where the units go: orders, deliveries, sales and second choices. All counts are whole units.

Pipelines (B, N, P) lie in memory slot by slot, where the work on them is a few passes over (B, N).
"""

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
    """What demand met, (B, N) each: units sold, of these as second choice, asked in vain, left on hand."""

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
    if delay is None:
        entering = order * params.entry
    else:
        wait = params.lead_time + np.searchsorted(params.delay_cumulative[:-1], delay, side="right")
        slots = np.arange(params.pipeline_length + 1)[:, None, None]
        entering = order * (wait == slots)
    at_once = entering[0]
    pipeline = on_order.transpose(2, 0, 1) + entering[1:]
    return Placed(on_hand + at_once, pipeline.transpose(1, 2, 0), at_once)


def receive(on_hand: IntArray, on_order: IntArray) -> tuple[IntArray, IntArray]:
    """Move time on by one period: the first slot of the pipeline arrives, the others move up."""
    if not on_order.shape[2]:
        return on_hand, on_order
    pipeline = on_order.transpose(2, 0, 1)
    shifted = np.empty(pipeline.shape, dtype=np.int64)
    shifted[:-1] = pipeline[1:]
    shifted[-1] = 0
    return on_hand + pipeline[0], shifted.transpose(1, 2, 0)


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
        return Served(first, np.zeros(first.shape, dtype=np.int64), unmet, left)
    requests = _second_choices(params, left, unmet=unmet, clicks=clicks, weight=weight)
    asked = round_systematically(requests, rounding[:, 0])
    second = np.minimum(left, asked)
    # Whose wish was met: unmet customers of each product in proportion, whole, never more than there are.
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
