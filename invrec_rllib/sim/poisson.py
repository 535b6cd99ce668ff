"""Poisson counts by inverting given uniforms, so that they rise with their mean on every path."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, ndtri, pdtr

from invrec_rllib.sim.params import FloatArray, IntArray

# Up to this mean the search from 0 is faster, and its counts fit into 8 bits: P(count > 127) < 1e-50.
_LARGEST_SEARCHED_MEAN = 20.0
_LARGEST_SEARCHED_COUNT = 127
# Below this share of unfinished cells it pays to gather them.
_SPARSE = 0.15


def poisson_quantile(mean: FloatArray, uniform: FloatArray) -> IntArray:
    """The smallest k with P(Poisson(mean) <= k) >= uniform.

    For a given uniform it never falls when the mean rises: the coupling of common random numbers.

    Args:
        mean: >= 0, any shape.
        uniform: in [0, 1), same shape.

    Returns:
        Counts, same shape.
    """
    large = mean > _LARGEST_SEARCHED_MEAN
    if not large.any():
        return _search_from_zero(mean, uniform).astype(np.int64)
    count = np.empty(mean.shape, dtype=np.int64)
    count[large] = _search_from_normal(mean[large], uniform[large])
    small = ~large
    count[small] = _search_from_zero(mean[small], uniform[small])
    return count


def _search_from_zero(mean: FloatArray, uniform: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Adds up the probabilities of 0, 1, 2, ... until they reach the uniform, over all cells at once."""
    probability = np.exp(-mean)
    cumulative = probability.copy()
    beyond = uniform > cumulative
    count = beyond.astype(np.int8)
    k = 1
    while k < _LARGEST_SEARCHED_COUNT:
        probability *= mean
        probability *= 1.0 / k
        cumulative += probability
        np.greater(uniform, cumulative, out=beyond)
        unfinished = np.count_nonzero(beyond)
        if unfinished == 0:
            break
        count += beyond.view(np.int8)
        k += 1
        if unfinished < _SPARSE * beyond.size:
            _finish_sparse(count, k, beyond, mean, uniform, probability, cumulative)
            break
    return count


def _finish_sparse(
    count: np.ndarray[tuple[int, ...], np.dtype[np.int8]],
    k: int,
    beyond: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    mean: FloatArray,
    uniform: FloatArray,
    probability: FloatArray,
    cumulative: FloatArray,
) -> None:
    """Goes on with the unfinished cells alone; the same arithmetic, so the same counts."""
    cells = np.flatnonzero(beyond)
    flat_count = count.reshape(-1)
    mean, uniform = mean.reshape(-1)[cells], uniform.reshape(-1)[cells]
    probability, cumulative = probability.reshape(-1)[cells], cumulative.reshape(-1)[cells]
    while cells.size and k < _LARGEST_SEARCHED_COUNT:
        probability *= mean
        probability *= 1.0 / k
        cumulative += probability
        keep = uniform > cumulative
        cells = cells[keep]
        flat_count[cells] += 1
        mean, uniform = mean[keep], uniform[keep]
        probability, cumulative = probability[keep], cumulative[keep]
        k += 1


def _search_from_normal(mean: FloatArray, uniform: FloatArray) -> IntArray:
    """Starts at the normal approximation with its skewness term, then steps to the exact quantile."""
    z = ndtri(np.clip(uniform, 1e-300, None))
    root = np.sqrt(mean)
    start = np.maximum(np.floor(mean + root * z + (z * z - 1.0) / 6.0), 0.0)
    count = start.astype(np.int64)
    log_mean = np.log(mean)
    cumulative = pdtr(count, mean)
    while True:  # up, where too little probability lies at or below the count
        low = cumulative < uniform
        # At uniforms within rounding of 1 the sum may stop short of them.
        low &= count < mean + 40.0 * root
        if not low.any():
            break
        count[low] += 1
        cumulative[low] += np.exp(count[low] * log_mean[low] - mean[low] - gammaln(count[low] + 1.0))
    while True:  # down, where one less would do
        below = cumulative - np.exp(count * log_mean - mean - gammaln(count + 1.0))
        high = (below >= uniform) & (count > 0)
        if not high.any():
            return count
        count[high] -= 1
        cumulative[high] = below[high]
