"""Means with intervals, and paired differences on common random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray

IntervalMethod = Literal["t", "bootstrap"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval; NaN where the data do not give it.

    Attributes:
        mean: of the sample.
        low, high: confidence interval of the mean.
        standard_error: of the mean.
    """

    mean: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Difference:
    """How much more a policy makes than a baseline on the same episodes.

    Attributes:
        absolute: in the unit of the values.
        percent: of the absolute value of the baseline's mean.
    """

    absolute: Estimate
    percent: Estimate


def estimate_mean(
    values: ArrayLike, *, confidence: float = 0.95, method: IntervalMethod = "t", seed: int = 0
) -> Estimate:
    """Mean of independent values with its confidence interval.

    Args:
        values: one per episode or seed, 1-D; values that are not finite are left out.
        confidence: between 0 and 1.
        method: "t" (Student's t), or "bootstrap" (bias-corrected and accelerated, for small skewed samples).
        seed: of the bootstrap.

    Returns:
        The estimate; interval and standard error are NaN for fewer than 2 values.
    """
    _check_confidence(confidence)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise InputError(f"values must be 1-D, one per episode, got shape {sample.shape}")
    sample = sample[np.isfinite(sample)]
    if len(sample) < 2:
        mean = float(sample[0]) if len(sample) else math.nan
        return Estimate(mean, math.nan, math.nan, math.nan)
    mean = float(sample.mean())
    if np.ptp(sample) == 0.0:
        return Estimate(mean, mean, mean, 0.0)
    error = float(sample.std(ddof=1) / math.sqrt(len(sample)))
    if method == "bootstrap":
        interval = stats.bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=_RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return Estimate(mean, float(interval.low), float(interval.high), error)
    return _t_interval(mean, error, count=len(sample), confidence=confidence)


def paired_difference(values: ArrayLike, baseline: ArrayLike, *, confidence: float = 0.95) -> Difference:
    """Difference to a baseline over the same episodes, in units and in percent of the baseline's mean.

    The percentage is a ratio of two means over the same episodes; its interval is by the delta method:
    with the ratio r = mean(d) / mean(b) the residuals d - r b carry its error.

    Args:
        values: one per episode, 1-D.
        baseline: the same episodes under the baseline; pairs with a value that is not finite are left out.
        confidence: between 0 and 1.

    Raises:
        InputError: the arrays differ in length.
    """
    _check_confidence(confidence)
    first, second = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(
            f"pairs need two 1-D arrays of one length, got shapes {first.shape} and {second.shape}"
        )
    finite = np.isfinite(first) & np.isfinite(second)
    second = second[finite]
    difference = first[finite] - second
    absolute = estimate_mean(difference, confidence=confidence)
    return Difference(absolute, _percent(difference, second, confidence=confidence))


def _percent(difference: FloatArray, baseline: FloatArray, *, confidence: float) -> Estimate:
    sign = math.copysign(100.0, float(baseline.mean())) if len(baseline) else math.nan
    return estimate_ratio(sign * difference, baseline, confidence=confidence)


def estimate_ratio(numerator: ArrayLike, denominator: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Ratio of two means over the same independent clusters, with its interval by the delta method.

    With the ratio r = mean(a) / mean(b) the residuals a - r b carry its error.

    Args:
        numerator: sums a, one per episode, 1-D; finite.
        denominator: sums b of the same episodes; finite.
        confidence: between 0 and 1.

    Returns:
        The estimate; all NaN where the denominators have mean 0, error and interval NaN for fewer than 2 episodes.
    """
    _check_confidence(confidence)
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    base = float(below.mean()) if len(below) else math.nan
    if not base or math.isnan(base):
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    ratio = float(above.mean()) / base
    if len(above) < 2:
        return Estimate(ratio, math.nan, math.nan, math.nan)
    error = float((above - ratio * below).std(ddof=1)) / math.sqrt(len(above)) / abs(base)
    return _t_interval(ratio, error, count=len(above), confidence=confidence)


def adjust_for_count(p_values: ArrayLike) -> FloatArray:
    """p-values adjusted for the number of tests, so that none of those below a level is false but with that chance.

    The step-down method of Holm (1979), which holds however the tests depend on each other: the k-th smallest of n
    is multiplied by n - k + 1, and none falls below a smaller one's.

    Args:
        p_values: in [0, 1], (n,).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order])
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


def p_value(estimate: Estimate, *, count: int, sign: int = 0) -> float:
    """Chance of so large an estimate where there is no effect, by Student's t.

    Args:
        estimate: with its standard error.
        count: of the episodes that it is based on.
        sign: 1 or -1: effects of that sign alone count (one-sided); 0: of both.

    Returns:
        In [0, 1]; 1 where there is no estimate or nothing ever moves, 0 where all episodes agree on an effect.
    """
    if math.isnan(estimate.standard_error):
        return 1.0
    if estimate.standard_error == 0.0:
        seen = abs(estimate.mean) if sign == 0 else sign * estimate.mean
        return 0.0 if seen > 0.0 else 1.0
    t = estimate.mean / estimate.standard_error
    tail = 2.0 * stats.t.sf(abs(t), count - 1) if sign == 0 else stats.t.sf(sign * t, count - 1)
    return float(tail)


def _t_interval(mean: float, error: float, *, count: int, confidence: float) -> Estimate:
    half = float(stats.t.ppf(0.5 + confidence / 2.0, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, error)


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence must be between 0 and 1, got {confidence}")
