"""The careful lift: what a display adds to purchases, compared between stores of the same week."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.panel import StorePanel

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LiftEstimate:
    """Lift by segment [beta_m], log-odds of full exposure.

    Attributes:
        value: estimate of each segment by itself, shape (M,); NaN where a segment's data gives none.
        standard_error: clustered by store, shape (M,); infinite where there is no estimate.
        pooled: precision-weighted mean of the segments.
        pooled_error: its standard error, with the spread between segments.
        shrunk: each segment drawn to the pooled value as far as its error is large against the spread
            between segments (random effects), not below 0, shape (M,).
    """

    value: FloatArray
    standard_error: FloatArray
    pooled: float
    pooled_error: float
    shrunk: FloatArray


def within_store_week_lift(stores: StorePanel) -> LiftEstimate:
    """Poisson regression of purchases on display with effects of week and store per segment and product.

    The week's effect takes out all that the chain does at once (price, season, mailer), the store's effect
    takes out its clientele; what is left is whether a product sells more in the stores that display it this
    week than in those that do not.

    Args:
        stores: purchases, visits and display by store.

    Raises:
        InputError: no segment gives an estimate: display never differs between the stores of a week, or there
            are too few purchases.

    Source: Poisson pseudo-maximum likelihood with absorbed effects (Correia, Guimaraes and Zylkin, 2020).
    """
    return _estimate(stores.purchases, stores.visits, stores.display[None].astype(float))


def next_week_placebo(stores: StorePanel) -> LiftEstimate:
    """The same for next week's display beside this week's: it should be 0, as nobody has seen it yet.

    Raises:
        InputError: as `within_store_week_lift`.
    """
    display = stores.display.astype(float)
    regressors = np.stack([display[:, :, 1:], display[:, :, :-1]])
    return _estimate(stores.purchases[..., :-1], stores.visits[..., :-1], regressors)


def _estimate(purchases: FloatArray, visits: FloatArray, regressors: FloatArray) -> LiftEstimate:
    """Lift of the first regressor; regressors of shape (R, N, S, W)."""
    pairs = [_segment_lift(purchases[m], visits[m], regressors) for m in range(len(visits))]
    value, error = (np.array(column) for column in zip(*pairs, strict=True))
    return combine_segments(value, error)


def combine_segments(value: FloatArray, error: FloatArray) -> LiftEstimate:
    """Pool the segments' estimates and draw each to the pooled one as far as its error asks for."""
    known = np.isfinite(error)
    if not known.any():
        raise InputError(
            "promotions: no careful lift: display never differs between the stores of one week, or there are "
            "too few purchases beside displays; choose products sold and displayed more often"
        )
    pooled, pooled_error, spread = pool_estimates(value[known], error[known])
    weight = np.where(known, spread / (spread + error**2), 0.0)
    shrunk = np.maximum(weight * np.where(known, value, 0.0) + (1.0 - weight) * pooled, 0.0)
    return LiftEstimate(value, error, pooled, pooled_error, shrunk)


def pool_estimates(value: FloatArray, error: FloatArray) -> tuple[float, float, float]:
    """Random-effects mean, its standard error, variance between groups (DerSimonian and Laird, 1986)."""
    precision = error**-2.0
    fixed = (precision * value).sum() / precision.sum()
    excess = (precision * (value - fixed) ** 2).sum() - (len(value) - 1)
    scale = precision.sum() - (precision**2).sum() / precision.sum()
    spread = max(0.0, float(excess / scale)) if scale > 0 else 0.0
    weight = 1.0 / (error**2 + spread)
    return float((weight * value).sum() / weight.sum()), float(weight.sum() ** -0.5), spread


def _segment_lift(purchases: FloatArray, visits: FloatArray, regressors: FloatArray) -> tuple[float, float]:
    """Estimate and standard error of the first regressor; NaN and infinity where the data does not give one.

    Axes (product, store, week), regressors first.
    """
    exposure = np.broadcast_to(visits[None], purchases.shape)
    used = _informative(purchases, exposure)
    beta = np.zeros(len(regressors))
    mean = np.where(used, purchases + 0.1, 0.0)
    log_rate = np.log(np.where(used, mean, 1.0) / np.where(used, exposure, 1.0))
    for _ in range(100):
        working = log_rate + np.where(used, purchases / np.where(used, mean, 1.0) - 1.0, 0.0)
        left = _without_effects(np.concatenate([regressors, working[None]]), mean)
        x, z = left[:-1], left[-1]
        information = np.einsum("rnsw,qnsw,nsw->rq", x, x, mean)
        if np.diag(information).min() < 1e-6:
            return np.nan, np.inf
        before, beta = beta, np.linalg.solve(information, np.einsum("rnsw,nsw,nsw->r", x, z, mean))
        log_rate = np.where(used, np.clip(working - z + np.tensordot(beta, x, 1), -25.0, 5.0), 0.0)
        mean = np.where(used, exposure * np.exp(log_rate), 0.0)
        if np.abs(beta - before).max() < 1e-8:
            break
    else:
        return np.nan, np.inf
    score = np.einsum("rnsw,nsw->sr", x, np.where(used, purchases - mean, 0.0))
    clusters = int((np.abs(score[:, 0]) > 0).sum())
    bread = np.linalg.inv(information)
    covariance = bread @ (score.T @ score) @ bread * clusters / max(clusters - 1, 1)
    return float(beta[0]), float(np.sqrt(covariance[0, 0]))


def _informative(purchases: FloatArray, exposure: FloatArray) -> NDArray[np.bool_]:
    """Cells with visits whose week and store both saw the product bought: the others fix no effect."""
    used = exposure > 0
    while True:
        bought = purchases * used
        kept = used & (bought.sum(axis=1, keepdims=True) > 0) & (bought.sum(axis=2, keepdims=True) > 0)
        if kept.sum() == used.sum():
            return used
        used = kept


def _without_effects(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Residuals of each of (R, N, S, W) values after weighted regression on stores and weeks by product.

    The stores are eliminated, which leaves one small system in the weeks per product, singular by a constant.
    """
    by_store = np.maximum(weight.sum(axis=2), 1e-300)
    share = weight / by_store[:, :, None]
    system = -np.einsum("nsw,nsv->nwv", weight, share)
    place = np.arange(weight.shape[2])
    system[:, place, place] += weight.sum(axis=1)
    store_mean = np.einsum("nsw,rnsw->rns", share, values)
    right = np.einsum("nsw,rnsw->rnw", weight, values - store_mean[..., None])
    week = np.einsum("nwv,rnv->rnw", np.linalg.pinv(system, rcond=1e-11, hermitian=True), right)
    left = values - week[:, :, None, :]
    residuals: FloatArray = left - np.einsum("nsw,rnsw->rns", share, left)[..., None]
    return residuals
