"""How well the fitted demand forecasts the weeks held out, beside simple forecasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from invrec_rllib.scenario.calibration.demand import DemandFit
from invrec_rllib.scenario.calibration.panel import Panel

FloatArray = NDArray[np.float64]

QUARTER = 13


@dataclass(frozen=True)
class Holdout:
    """Accuracy on the weeks held out.

    WAPE is the sum of absolute errors over the sum of purchases, by product and week, segments added up. The
    model is told the visits, the promotions and the prices of the week; the simple forecasts are not.

    Attributes:
        deviance_explained: share of the Poisson deviance of constant purchase rates, by product, segment,
            week.
        bias: expected over actual purchases, less 1.
        wape_model: of the fitted demand.
        wape_last_4_weeks: of the mean of the four weeks before.
        wape_seasonal: of the week a quarter (13 weeks) before: the data holds no year before.
        wape_last_week: of the week before.
        wape_fit_mean: of the mean of the fitted weeks.
    """

    deviance_explained: float
    bias: float
    wape_model: float
    wape_last_4_weeks: float
    wape_seasonal: float
    wape_last_week: float
    wape_fit_mean: float


def evaluate_holdout(fit: DemandFit, fitted: Panel, held_out: Panel) -> Holdout:
    """Compare forecasts of the weeks held out.

    Args:
        fit: fitted on `fitted` only.
        fitted: the weeks before.
        held_out: the weeks that follow them.
    """
    expected = fit.expected(held_out)
    rates = fitted.purchases.sum(axis=0) / np.maximum(fitted.visits.sum(axis=0), 1.0)[:, None]
    constant = held_out.visits[:, :, None] * rates
    actual = held_out.purchases.sum(axis=1)
    history = np.concatenate([fitted.purchases.sum(axis=1), actual])
    start, count = len(fitted.weeks), len(held_out.weeks)

    def weeks_before(gap: int) -> FloatArray:
        return history[start - gap : start - gap + count]

    def wape(forecast: FloatArray) -> float:
        return float(np.abs(forecast - actual).sum() / actual.sum())

    last_four = np.mean([weeks_before(gap) for gap in (1, 2, 3, 4)], axis=0)
    return Holdout(
        deviance_explained=1.0
        - poisson_deviance(held_out.purchases, expected) / poisson_deviance(held_out.purchases, constant),
        bias=float(expected.sum() / actual.sum()) - 1.0,
        wape_model=wape(expected.sum(axis=1)),
        wape_last_4_weeks=wape(last_four),
        wape_seasonal=wape(weeks_before(min(QUARTER, start))),
        wape_last_week=wape(weeks_before(1)),
        wape_fit_mean=wape(np.broadcast_to(history[:start].mean(axis=0), actual.shape)),
    )


def poisson_deviance(counts: FloatArray, mean: FloatArray) -> float:
    """Twice the log-likelihood ratio against a perfect fit; cells of mean 0 without purchases count 0."""
    mean = np.maximum(mean, 1e-12)
    return float(2.0 * (special.xlogy(counts, counts / mean) - counts + mean).sum())
