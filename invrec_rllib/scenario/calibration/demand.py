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
        lift_error: standard error clustered by product, shape (M,); 0 where the lift was given, infinite
            where the data does not tell it (the lift is NaN).
        elasticity: [eta], shape (M,), not below 0.
        elasticity_error: standard error clustered by product, shape (M,); infinite where prices never move.
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
        InputError: no segment bought any product often enough.
    """
    if panel.purchases.sum(axis=0).max() < MIN_PURCHASES:
        raise InputError(f"no segment bought any product {MIN_PURCHASES} times: there is nothing to fit")
    if base_price is None:
        base_price = np.exp(np.log(panel.price).mean(axis=0))
    relative = np.log(panel.price / base_price)
    cells = [
        _cells_of(panel, m, relative=relative, lift=None if lift is None else float(lift[m]))
        for m in range(len(panel.segments))
    ]
    results, dispersion = _negative_binomial(cells)
    intercept = _pooled_intercepts(panel)
    for m, (segment, result) in enumerate(zip(cells, results, strict=True)):
        if result is not None:
            intercept[m, segment.products] = result.params[: len(segment.products)]
    price_effect, price_error = _effects(cells, results, "price")
    fitted, fitted_error = _effects(cells, results, "exposure")
    return DemandFit(
        intercept=intercept,
        lift=fitted if lift is None else np.asarray(lift, float),
        lift_error=fitted_error if lift is None else np.zeros(len(cells)),
        elasticity=np.maximum(-np.nan_to_num(price_effect), 0.0),
        elasticity_error=price_error,
        base_price=base_price,
        dispersion=dispersion,
        log_likelihood=float(sum(result.llf for result in results if result is not None)),
    )


@dataclass(frozen=True)
class _Cells:
    """The weeks and frequent products of one segment: nothing but the dispersion is common to segments."""

    counts: FloatArray
    offset: FloatArray
    design: FloatArray
    product: NDArray[np.int64]
    products: NDArray[np.int64]
    effects: tuple[str, ...]


def _cells_of(panel: Panel, m: int, *, relative: FloatArray, lift: float | None) -> _Cells:
    products = np.nonzero(panel.purchases[:, m].sum(axis=0) >= MIN_PURCHASES)[0]
    weeks = np.nonzero(panel.visits[:, m] > 0)[0]
    week, place = (grid.ravel() for grid in np.meshgrid(weeks, np.arange(len(products)), indexing="ij"))
    product = products[place]
    exposure = panel.exposure[week, m, product]
    offset = np.log(panel.visits[week, m]) + (0.0 if lift is None else lift * exposure)
    columns, effects = [np.eye(len(products))[place]], []
    regressors = {"price": relative[week, product]} | ({"exposure": exposure} if lift is None else {})
    for name, values in regressors.items():
        by_product = values.reshape(len(weeks), len(products))
        # What never varies within a product cannot be told from the intercepts.
        if by_product.size and np.ptp(by_product, axis=0).max() > 1e-9:
            columns.append(values[:, None])
            effects.append(name)
    counts = panel.purchases[week, m, product]
    return _Cells(counts, offset, np.concatenate(columns, axis=1), product, products, tuple(effects))


def _negative_binomial(cells: list[_Cells]) -> tuple[list[Any], float]:
    """Regressions and dispersion in turn, until the dispersion stands still; errors clustered by product.

    Returns:
        A result per segment, None for one without cells; and the dispersion.
    """
    api = require("statsmodels.api", extra="data")
    families = api.families
    filled = [segment for segment in cells if len(segment.counts)]
    counts = np.concatenate([segment.counts for segment in filled])
    starts: list[Any] = [None] * len(filled)
    dispersion = 0.0
    for _ in range(30):
        family = families.NegativeBinomial(alpha=dispersion) if dispersion > 0 else families.Poisson()
        models = [api.GLM(s.counts, s.design, family=family, offset=s.offset) for s in filled]
        results = [
            model.fit(start_params=start, tol=1e-10, maxiter=200)
            for model, start in zip(models, starts, strict=True)
        ]
        starts, before = [result.params for result in results], dispersion
        dispersion = negative_binomial_dispersion(counts, np.concatenate([result.mu for result in results]))
        if abs(dispersion - before) < 1e-7:
            break
    clustered = iter(
        model.fit(
            start_params=start,
            tol=1e-10,
            maxiter=200,
            cov_type="cluster",
            cov_kwds={"groups": segment.product},
        )
        for model, start, segment in zip(models, starts, filled, strict=True)
    )
    return [next(clustered) if len(segment.counts) else None for segment in cells], dispersion


def _effects(cells: list[_Cells], results: list[Any], name: str) -> tuple[FloatArray, FloatArray]:
    """An effect by segment and its standard error; NaN and infinity where a segment's data gives none."""
    value, error = np.full(len(cells), np.nan), np.full(len(cells), np.inf)
    for m, (segment, result) in enumerate(zip(cells, results, strict=True)):
        if result is not None and name in segment.effects:
            place = len(segment.products) + segment.effects.index(name)
            value[m], error[m] = result.params[place], result.bse[place]
    return value, error


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


def _pooled_intercepts(panel: Panel) -> FloatArray:
    """Log rates of all cells, each drawn to the rate of all segments as if by a few purchases, shape (M, N)."""
    bought, visits = panel.purchases.sum(axis=0), panel.visits.sum(axis=0)[:, None]
    # Half a purchase where nobody bought: no product is impossible.
    pooled = np.maximum(bought.sum(axis=0), 0.5) / visits.sum()
    intercept: FloatArray = np.log((bought + MIN_PURCHASES) / (visits + MIN_PURCHASES / pooled))
    return intercept
