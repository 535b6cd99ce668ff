"""Statistics over training seeds: few runs, some of which fail to learn.

After Agarwal, Schwarzer, Castro, Courville and Bellemare 2021, "Deep reinforcement learning at the edge of the
statistical precipice", NeurIPS 34 (arXiv:2108.13264): interquartile means with bootstrap intervals, and the
probability of improvement. With a single task their stratified bootstrap resamples the seeds of that task.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray

_TRIMMED = 0.25
_RESAMPLES = 10_000
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A statistic of a sample with its confidence interval; NaN where the data do not give it.

    Attributes:
        value: of the sample.
        low, high: percentile bootstrap interval.
    """

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class RobustDifference:
    """How much more one way of training makes than another, seed by seed.

    Attributes:
        absolute: interquartile mean of the differences, in the unit of the values.
        percent: the same in percent of the absolute value of the baseline's interquartile mean.
    """

    absolute: Interval
    percent: Interval


def interquartile_mean(values: ArrayLike, *, axis: int = -1) -> Any:
    """Mean of the middle half: a quarter of the values, rounded down, is left out on either side.

    Args:
        values: at least one along the axis.
        axis: to average over.
    """
    return stats.trim_mean(np.asarray(values, dtype=np.float64), _TRIMMED, axis=axis)


def estimate_iqm(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Interquartile mean of independent values with its bootstrap interval, which repeats exactly.

    The interval of few seeds is a little short: of normal values it holds the truth in 93 of 100 samples of 8, in
    95 of 100 samples of 16, where it promises 95.

    Args:
        values: one per seed, 1-D; values that are not finite are left out.
        confidence: between 0 and 1.

    Returns:
        The estimate; the interval is NaN for fewer than 2 values.

    Raises:
        InputError: `values` is not 1-D, or `confidence` is out of range.
    """
    return _estimate((_finite(values),), interquartile_mean, confidence=confidence)


def paired_iqm_difference(
    values: ArrayLike, baseline: ArrayLike, *, confidence: float = 0.95
) -> RobustDifference:
    """Interquartile mean of the differences to a baseline, seed by seed; seeds are resampled in pairs.

    Args:
        values: one per seed, 1-D.
        baseline: of the same seeds; pairs with a value that is not finite are left out.
        confidence: between 0 and 1.

    Raises:
        InputError: the arrays differ in length, or `confidence` is out of range.
    """
    first, second = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(
            f"pairs need two 1-D arrays of one length, got shapes {first.shape} and {second.shape}"
        )
    kept = np.isfinite(first) & np.isfinite(second)
    pairs = (first[kept], second[kept])
    absolute = _estimate(pairs, _difference, confidence=confidence, paired=True)
    base = float(interquartile_mean(pairs[1])) if len(pairs[1]) else 0.0
    percent = _estimate(pairs, _percent, confidence=confidence, paired=True) if base else NOTHING
    return RobustDifference(absolute, percent)


def probability_of_improvement(
    values: ArrayLike, baseline: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """Probability that a run of one kind makes more than a run of the other, ties counted half.

    Over all pairs of runs (Mann and Whitney's U over its largest value); the two samples are resampled apart.

    Args:
        values: one per run, 1-D; values that are not finite are left out.
        baseline: one per run of the other kind, 1-D; lengths may differ.
        confidence: between 0 and 1.

    Raises:
        InputError: an argument is not 1-D, or `confidence` is out of range.
    """
    return _estimate((_finite(values), _finite(baseline)), _improvement, confidence=confidence)


def _difference(values: FloatArray, baseline: FloatArray, axis: int = -1) -> Any:
    return interquartile_mean(values - baseline, axis=axis)


def _percent(values: FloatArray, baseline: FloatArray, axis: int = -1) -> Any:
    base = np.abs(interquartile_mean(baseline, axis=axis))
    return 100.0 * _difference(values, baseline, axis=axis) / base


def _improvement(values: FloatArray, baseline: FloatArray, axis: int = -1) -> Any:
    first = np.moveaxis(values, axis, -1)[..., :, None]
    second = np.moveaxis(baseline, axis, -1)[..., None, :]
    return np.mean((first > second) + 0.5 * (first == second), axis=(-2, -1))


def _estimate(
    samples: tuple[FloatArray, ...],
    statistic: Callable[..., Any],
    *,
    confidence: float,
    paired: bool = False,
) -> Interval:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence must be between 0 and 1, got {confidence}")
    fewest = min(len(sample) for sample in samples)
    if fewest == 0:
        return NOTHING
    value = float(statistic(*samples))
    if fewest == 1:
        return Interval(value, math.nan, math.nan)
    interval = stats.bootstrap(
        samples,
        statistic,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        paired=paired,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(value, float(interval.low), float(interval.high))


def _finite(values: ArrayLike) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise InputError(f"values must be 1-D, one per seed, got shape {sample.shape}")
    return sample[np.isfinite(sample)]
