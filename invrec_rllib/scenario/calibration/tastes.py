"""How tastes move, from what the demand fit leaves over.

The model says that purchases given the state are Poisson with mean mu exp(a) xi: a is the taste, an AR(1) in
each segment and product of which a share is common to the segments, and xi is gamma noise of one week.
Poisson noise is independent between cells, so products of residuals of different weeks or segments hold none
of it; within a cell it is the mean and is subtracted. With z = y / mu - 1, stationary taste variance v and
phi = 1 - reversion:

    same segment,   lag k >= 1:  v phi^k            same segment,   lag 0:  v + cv^2 (after the Poisson part)
    other segment,  lag k >= 1:  tau v phi^k        other segment,  lag 0:  tau v + cv^2

The four numbers are fitted to these moments by least squares over a grid of phi. The intercepts were fitted on
the same weeks, which lowers every moment by the variance of the cell's mean; the same is done to the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FloatArray = NDArray[np.float64]

LAGS = 8
MIN_REVERSION = 0.02
"""Slower tastes cannot be told from constant ones in a year of weeks."""
_PERSISTENCE = np.arange(0, round(100 * (1.0 - MIN_REVERSION)) + 1) / 100


@dataclass(frozen=True)
class TasteFit:
    """Taste dynamics, with standard errors from resampling products.

    Attributes:
        reversion: [rho], share per week.
        noise: [sigma], log-attraction per week.
        common_share: [tau]; 0.5 where there is no noise to share.
        noise_cv: [cv], of the noise of one week.
        errors: standard errors of the four, in this order, shape (4,).
    """

    reversion: float
    noise: float
    common_share: float
    noise_cv: float
    errors: FloatArray


@dataclass(frozen=True)
class _Moments:
    """Sums by product: products of residuals and of means by lag, (N, 2, LAGS + 1), and means."""

    residual: FloatArray
    mean: FloatArray
    total: FloatArray
    num_weeks: int


def fit_tastes(
    purchases: FloatArray,
    mean: FloatArray,
    *,
    reversion: float | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> TasteFit:
    """Fit the taste dynamics to residual moments.

    Args:
        purchases: baskets with the product, shape (W, M, N).
        mean: expected purchases of the demand fit, same shape.
        reversion: [rho] to hold fixed, 0.02 to 1; None: fit it.
        seed: of the resampling.
        resamples: resamples of products for the standard errors, at least 2.

    Returns:
        The fit; the noise is 0 where no variance is left over.
    """
    moments = _moments(purchases, mean)
    estimated = _fit(moments, np.arange(purchases.shape[2]), reversion)
    rng = np.random.default_rng(seed)
    count = purchases.shape[2]
    draws = [_fit(moments, rng.integers(count, size=(count,)), reversion) for _ in range(resamples)]
    # Resamples without noise have no share of it.
    told = [column[np.isfinite(column)] for column in np.array(draws).T]
    errors = np.array([np.std(column) if len(column) else np.inf for column in told])
    reversion, noise, common_share, noise_cv = estimated
    if np.isnan(common_share):
        common_share = 0.5
    return TasteFit(reversion, noise, common_share, noise_cv, errors)


def _moments(purchases: FloatArray, mean: FloatArray) -> _Moments:
    # What moves all products of a week alike is the category's season, not a taste between products.
    mean = mean * (purchases.sum(axis=(1, 2)) / mean.sum(axis=(1, 2)))[:, None, None]
    left = purchases - mean
    num_weeks, _, num_products = purchases.shape
    residual, product = np.zeros((num_products, 2, LAGS + 1)), np.zeros((num_products, 2, LAGS + 1))
    for lag in range(min(LAGS + 1, num_weeks)):
        now, later = slice(0, num_weeks - lag), slice(lag, num_weeks)
        for sums, values in ((residual, left), (product, mean)):
            own = (values[now] * values[later]).sum(axis=(0, 1))
            all_pairs = (values[now].sum(axis=1) * values[later].sum(axis=1)).sum(axis=0)
            sums[:, 0, lag], sums[:, 1, lag] = own, all_pairs - own
    residual[:, 0, 0] -= mean.sum(axis=(0, 1))
    return _Moments(residual, product, mean.sum(axis=(0, 1)), num_weeks)


def _fit(
    moments: _Moments, products: NDArray[np.int64], reversion: float | None
) -> tuple[float, float, float, float]:
    weight = moments.mean[products].sum(axis=0)
    observed = moments.residual[products].sum(axis=0) / np.maximum(weight, 1e-300)
    poisson = moments.total[products].sum() / weight[0, 0]
    scale = np.sqrt(weight / weight.max())
    lags = np.arange(LAGS + 1)
    gaps = np.abs(np.subtract.outer(np.arange(moments.num_weeks), np.arange(moments.num_weeks)))
    noise_cells = np.tile((lags == 0) - 1.0 / moments.num_weeks, (2, 1))
    target = observed.copy()
    target[0] += poisson / moments.num_weeks
    both, own_only = np.array([[1.0], [1.0]]), np.array([[1.0], [0.0]])
    best: tuple[float, float, FloatArray] | None = None
    for phi in _PERSISTENCE if reversion is None else (1.0 - reversion,):
        shape = phi**lags - (phi**gaps).mean()
        # With phi given the moments are linear in the common and own variance and cv squared, all >= 0.
        columns = [(scale * part).ravel() for part in (both * shape, own_only * shape, noise_cells)]
        solution, misfit = optimize.nnls(np.stack(columns, axis=1), (scale * target).ravel())
        if best is None or misfit < best[0]:
            best = float(misfit), float(phi), solution
    assert best is not None
    _, phi, (common, own, cv2) = best
    variance = float(common + own)
    tau = float(common) / variance if variance > 0 else np.nan
    return 1.0 - phi, float(np.sqrt(variance * (1.0 - phi**2))), tau, float(np.sqrt(cv2))
