"""The chain-level fit: how often a visit buys a product, at which price and exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.calibration.panel import Panel

FloatArray = NDArray[np.float64]

MIN_PURCHASES = 5
"""Purchases of a product by a segment below which its intercept comes from all segments' share."""


@dataclass(frozen=True)
class DemandFit:
    """Purchases per visit: exp(intercept + lift x exposure - elasticity x log(price / base price)).

    Attributes:
        intercept: log rate per visit at the base price, not exposed, shape (M, N).
        lift: log rate added by full exposure [beta], shape (M,); as given, or fitted.
        lift_error: standard error clustered by product, shape (M,); 0 where the lift was given.
        elasticity: [eta], shape (M,), not below 0.
        elasticity_error: standard error clustered by product, shape (M,).
        base_price: geometric mean of the weekly prices, money, shape (N,).
        dispersion: negative binomial alpha: variance = mean + alpha mean squared.
        log_likelihood: at the negative binomial fit.
    """

    intercept: FloatArray
    lift: FloatArray
    lift_error: FloatArray
    elasticity: FloatArray
    elasticity_error: FloatArray
    base_price: FloatArray
    dispersion: float
    log_likelihood: float

    def expected(self, panel: Panel) -> FloatArray:
        """Expected purchases of a panel of the same products and segments, shape (W, M, N)."""
        return self.mean_purchases(visits=panel.visits, exposure=panel.exposure, price=panel.price)

    def mean_purchases(self, *, visits: FloatArray, exposure: FloatArray, price: FloatArray) -> FloatArray:
        """Expected purchases, shape (W, M, N), of visits (W, M), exposures (W, M, N) and prices (W, N)."""
        relative = np.log(price / self.base_price)[:, None, :]
        log_rate = self.intercept + self.lift[:, None] * exposure - self.elasticity[:, None] * relative
        expected: FloatArray = visits[:, :, None] * np.exp(log_rate)
        return expected


def fit_demand(
    panel: Panel, *, lift: FloatArray | None = None, base_price: FloatArray | None = None
) -> DemandFit:
    """Negative binomial regression with segment-product intercepts, own-price effect and lift by segment.

    Args:
        panel: the fitted weeks.
        lift: lift by segment to hold fixed, shape (M,); None: fit it (the chain-level, high figure, which the
            timing of promotions and the depth of their discounts inflate).
        base_price: price of the intercepts, money, shape (N,); None: the geometric mean of the weekly prices.

    Raises:
        InputError: fewer than two weeks.
    """
    if len(panel.weeks) < 2:
        raise InputError(f"a fit needs at least 2 weeks, got {len(panel.weeks)}")
    if base_price is None:
        base_price = np.exp(np.log(panel.price).mean(axis=0))
    relative = np.broadcast_to(np.log(panel.price / base_price)[:, None, :], panel.purchases.shape)
    frequent = panel.purchases.sum(axis=0) >= MIN_PURCHASES
    visited = np.broadcast_to((panel.visits > 0)[:, :, None], panel.purchases.shape)
    cell = np.nonzero(visited & frequent)
    week, segment, product = cell
    offset = np.log(panel.visits[week, segment])
    if lift is not None:
        offset = offset + lift[segment] * panel.exposure[cell]
    design = _design(cell, frequent, relative[cell], panel.exposure[cell] if lift is None else None)
    result, dispersion = _negative_binomial(panel.purchases[cell], design, offset, clusters=product)

    num_segments, num_cells = len(panel.segments), int(frequent.sum())
    effects, errors = result.params[num_cells:], result.bse[num_cells:]
    fitted_lift, lift_error = (
        (effects[num_segments:], errors[num_segments:])
        if lift is None
        else (np.asarray(lift, float), np.zeros(num_segments))
    )
    elasticity = np.maximum(-effects[:num_segments], 0.0)
    intercept = _complete(panel, frequent, result.params[:num_cells])
    return DemandFit(
        intercept=intercept,
        lift=fitted_lift,
        lift_error=lift_error,
        elasticity=elasticity,
        elasticity_error=errors[:num_segments],
        base_price=base_price,
        dispersion=dispersion,
        log_likelihood=float(result.llf),
    )


def _design(
    cell: tuple[Any, ...], frequent: NDArray[np.bool_], relative: FloatArray, exposure: FloatArray | None
) -> FloatArray:
    """Columns: one per frequent segment and product, then price by segment, then exposure by segment."""
    _, segment, product = cell
    num_segments = len(frequent)
    place = np.cumsum(frequent).reshape(frequent.shape) - 1
    blocks = [
        np.eye(int(frequent.sum()))[place[segment, product]],
        np.eye(num_segments)[segment] * relative[:, None],
    ]
    if exposure is not None:
        blocks.append(np.eye(num_segments)[segment] * exposure[:, None])
    return np.concatenate(blocks, axis=1)


def _negative_binomial(
    counts: FloatArray, design: FloatArray, offset: FloatArray, *, clusters: NDArray[np.int64]
) -> tuple[Any, float]:
    """Regression and dispersion in turn, until the dispersion stands still; errors clustered."""
    api = require("statsmodels.api", extra="data")
    families = api.families
    start, dispersion = None, 0.0
    for _ in range(30):
        family = families.NegativeBinomial(alpha=dispersion) if dispersion > 0 else families.Poisson()
        model = api.GLM(counts, design, family=family, offset=offset)
        result = model.fit(start_params=start, tol=1e-10, maxiter=200)
        start, before = result.params, dispersion
        dispersion = negative_binomial_dispersion(counts, result.mu)
        if abs(dispersion - before) < 1e-7:
            break
    return model.fit(
        start_params=start, tol=1e-10, maxiter=200, cov_type="cluster", cov_kwds={"groups": clusters}
    ), dispersion


def negative_binomial_dispersion(counts: FloatArray, mean: FloatArray) -> float:
    """The alpha of variance = mean + alpha mean squared that is likeliest; 0 when Poisson fits as well."""

    def loss(alpha: float) -> float:
        size = 1.0 / alpha
        terms = special.gammaln(counts + size) - special.gammaln(size)
        terms = terms + counts * np.log(mean / (mean + size)) - size * np.log1p(mean / size)
        return -float(terms.sum())

    found = optimize.minimize_scalar(
        lambda log_alpha: loss(float(np.exp(log_alpha))),
        bounds=(-12.0, 3.0),
        method="bounded",
        options={"xatol": 1e-8},
    )
    alpha = float(np.exp(found.x))
    return alpha if alpha > 1e-5 else 0.0


def _complete(panel: Panel, frequent: NDArray[np.bool_], fitted: FloatArray) -> FloatArray:
    """Intercepts of all cells; a rare one is drawn to the rate of all segments as if by a few purchases."""
    bought, visits = panel.purchases.sum(axis=0), panel.visits.sum(axis=0)[:, None]
    # Half a purchase where nobody bought: no product is impossible.
    pooled = np.maximum(bought.sum(axis=0), 0.5) / visits.sum()
    intercept: FloatArray = np.log((bought + MIN_PURCHASES) / (visits + MIN_PURCHASES / pooled))
    intercept[frequent] = fitted
    return intercept
