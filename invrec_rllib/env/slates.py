"""Exposures that use a budget of K slots exactly, from scores: soft and hard top-K."""

from __future__ import annotations

import math

import numpy as np

from invrec_rllib.sim.params import FloatArray

# Up to this many products a full sort beats a partition.
_SORT_UP_TO = 64


def soft_top_k(scores: FloatArray, slots: float, *, temperature: float) -> FloatArray:
    """The exposures that maximise `sum_i s_i e_i + temperature * entropy(e)` within the budget.

    A softmax of K slots in which no product gets more than one: `e_i = min(1, c exp(s_i / temperature))`, c
    such that `sum_i e_i = K`. Found in closed form: if r products are at 1, the others share K - r slots as a
    softmax; r is the smallest number that leaves nobody above 1. The result rises with a product's own score,
    keeps the order of scores, is differentiable wherever r does not change, and tends to `hard_top_k` as the
    temperature falls.

    Args:
        scores: (..., N), finite.
        slots: K, 0 < K <= N; fractions are allowed.
        temperature: > 0, in units of the scores.

    Returns:
        (..., N), each in [0, 1], summing to K up to rounding (1e-9).
    """
    num_products = scores.shape[-1]
    if slots >= num_products:
        return np.ones(scores.shape)
    logits = scores / temperature
    candidates = math.ceil(slots)
    best = _largest(logits, candidates)
    # Tail sums from the r-th best on, as logarithms: first of all from the last candidate down, then one more
    # each. Relative to that candidate's logit no exponential overflows, at any temperature.
    last = best[..., -1:]
    shares = np.exp(np.minimum(logits - last, 0.0))
    tail = last + np.log(shares.sum(axis=-1, keepdims=True) - (candidates - 1))
    log_scale = math.log(slots - (candidates - 1)) - tail
    for r in range(candidates - 2, -1, -1):
        here = best[..., r : r + 1]
        tail = np.logaddexp(tail, here)
        fits = math.log(slots - r) + here <= tail
        log_scale = np.where(fits, math.log(slots - r) - tail, log_scale)
    logits += log_scale
    np.minimum(logits, 0.0, out=logits)
    np.exp(logits, out=logits)
    return logits


def hard_top_k(scores: FloatArray, slots: float) -> FloatArray:
    """Full exposure for the products with the highest scores, the rest of the budget for the next.

    Args:
        scores: (..., N), finite. Equal scores: the product listed first goes first.
        slots: K, 0 < K <= N; with K = 2.5 the third product gets 0.5.

    Returns:
        (..., N), each in [0, 1], summing to K.
    """
    order = np.argsort(-scores, axis=-1, kind="stable")
    amounts = np.clip(slots - np.arange(scores.shape[-1]), 0.0, 1.0)
    exposure = np.zeros(scores.shape)
    np.put_along_axis(exposure, order, np.broadcast_to(amounts, scores.shape), axis=-1)
    return exposure


def _largest(values: FloatArray, count: int) -> FloatArray:
    """The `count` largest values, falling, (..., count)."""
    if values.shape[-1] > _SORT_UP_TO:
        values = np.partition(values, -count, axis=-1)[..., -count:]
    falling: FloatArray = np.sort(values, axis=-1)[..., : -count - 1 : -1]
    return falling
