"""Poisson counts by inverting given uniforms, so that they rise with their mean on every path.

Nearly every count is found without evaluating the distribution: below a mean of 24 a table brackets it, from
there on an expansion around the normal quantile does. Where these leave a choice the distribution function
decides, so the counts are exact.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, pdtr

from invrec_rllib.sim.params import FloatArray, IntArray

# Rows of equal width in the square root of the mean, columns of equal width in the uniform; both steps are
# powers of 2, so that scaling is exact. About 1 % of cells stay open.
_TABLE_LIMIT = 24
_ROWS_PER_ROOT = 512
_COLUMNS = 1024
# Within the reach (normal quantile) the expansion errs by less than this over mean^1.5, for means from 10.
_EXPANSION_REACH = 3.5
_EXPANSION_ERROR = 1.6
# Cells worked on at once: few enough for the cache, enough to make calls cheap.
_BLOCK_CELLS = 16384


def poisson_quantile(mean: FloatArray, uniform: FloatArray) -> IntArray:
    """The smallest k with P(Poisson(mean) <= k) >= uniform.

    For a given uniform it never falls when the mean rises: the coupling of common random numbers.

    Args:
        mean: >= 0, any shape.
        uniform: in [0, 1), same shape.

    Returns:
        Counts, same shape.
    """
    count = np.empty(mean.shape, dtype=np.int64)
    if mean.size <= _BLOCK_CELLS:
        _fill(count, mean, uniform)
        return count
    rows = max(1, _BLOCK_CELLS * len(mean) // mean.size)
    for start in range(0, len(mean), rows):
        block = slice(start, start + rows)
        _fill(count[block], mean[block], uniform[block])
    return count


def _fill(count: IntArray, mean: FloatArray, uniform: FloatArray) -> None:
    large = mean >= _TABLE_LIMIT
    num_large = np.count_nonzero(large)
    if num_large == 0:
        count[...] = _look_up(mean, uniform)
        return
    count[large] = _expand(mean[large], uniform[large])
    if num_large < mean.size:
        small = ~large
        count[small] = _look_up(mean[small], uniform[small])


def _look_up(mean: FloatArray, uniform: FloatArray) -> NDArray[np.int8]:
    """Counts at means below the table's limit."""
    index = (np.sqrt(mean) * _ROWS_PER_ROOT).astype(np.int64)
    index *= _COLUMNS
    index += (uniform * _COLUMNS).astype(np.int64)
    count = _table().take(index)
    open_ = count < 0
    if np.count_nonzero(open_):
        bound = -1 - count[open_].astype(np.int64)
        count[open_] = _climb(bound, mean[open_], uniform[open_])
    return count


@cache
def _table() -> NDArray[np.int8]:
    """Counts by cell of (mean, uniform), flat; -1 - k where a cell holds counts from k on, not k alone."""
    means = (np.arange(np.ceil(_TABLE_LIMIT**0.5 * _ROWS_PER_ROOT) + 1) / _ROWS_PER_ROOT) ** 2
    uniforms = np.arange(_COLUMNS) / _COLUMNS
    cumulative = pdtr(np.arange(127.0), means[:, None])
    count = np.array([np.searchsorted(row, uniforms) for row in cumulative])
    # Counts rise with mean and uniform, so a cell's corners bound them; the last column has no upper corner.
    table = -1 - count[:-1]
    closed = count[:-1, :-1] == count[1:, 1:]
    table[:, :-1][closed] = count[:-1, :-1][closed]
    return table.astype(np.int8).reshape(-1)


def _climb(count: IntArray, mean: FloatArray, uniform: FloatArray) -> IntArray:
    """The quantiles by the distribution function, from lower bounds on them."""
    low = np.flatnonzero(pdtr(count, mean) < uniform)
    while low.size:
        count[low] += 1
        low = low[pdtr(count[low], mean[low]) < uniform[low]]
    return count


def _expand(mean: FloatArray, uniform: FloatArray) -> IntArray:
    """Counts at means from the table's limit on.

    Cornish-Fisher expansion in powers of mean^-1/2, as in M. B. Giles, "Algorithm 955: approximation of the
    inverse Poisson cumulative distribution function", ACM Transactions on Mathematical Software 42(1), 2016.
    """
    z = ndtri(np.maximum(uniform, 1e-300))
    square, root = z * z, np.sqrt(mean)
    quantile = (square * square / 270 + square * (7 / 810) - 8 / 405) / mean
    quantile -= z * (square + 2) / (72 * root)
    quantile += mean + root * z + (square / 6 + 1 / 3)
    closed = np.abs(quantile - np.rint(quantile)) > _EXPANSION_ERROR / (mean * root)
    closed &= np.abs(z) < _EXPANSION_REACH
    count = np.zeros(mean.shape, dtype=np.int64)
    np.copyto(count, quantile, where=closed, casting="unsafe")
    open_ = ~closed
    if np.count_nonzero(open_):
        count[open_] = _search(quantile[open_].astype(np.int64), mean[open_], uniform[open_])
    return count


def _search(count: IntArray, mean: FloatArray, uniform: FloatArray) -> IntArray:
    """The quantiles by the distribution function, from guesses."""
    count = np.maximum(count, 0)
    high = np.flatnonzero(pdtr(count, mean) >= uniform)
    while high.size:
        high = high[count[high] > 0]
        count[high] -= 1
        high = high[pdtr(count[high], mean[high]) >= uniform[high]]
    return _climb(count, mean, uniform)
