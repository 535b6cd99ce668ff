"""Whether orders and exposures move together as episodes go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.params import FloatArray, Params

_LONGEST_LAG = 6


@dataclass(frozen=True)
class Movement:
    """A correlation between two series of a product.

    Attributes:
        label: for readers.
        first, second: names of series: "stock", "order" or "exposure".
        at_arrival: whether the second is taken when an order of the first's period arrives, else at once.
    """

    label: str
    first: str
    second: str
    at_arrival: bool = False


MOVEMENTS: dict[str, Movement] = {
    "exposure_with_stock": Movement("exposure moves with own stock", "stock", "exposure"),
    "exposure_with_order": Movement("exposure moves with own order", "order", "exposure"),
    "exposure_at_arrival": Movement("exposure moves with the order that arrives", "order", "exposure", True),
}
"""Correlations by name, over the periods of an episode, around each product's own mean."""


@dataclass(frozen=True, eq=False)
class Series:
    """What was there and was decided, (T, B, N) each.

    Attributes:
        stock: units on hand at the start of the period.
        order: units.
        exposure: mean over segments by traffic.
    """

    stock: FloatArray
    order: FloatArray
    exposure: FloatArray

    def __getitem__(self, name: str) -> FloatArray:
        """A series by its name."""
        series: FloatArray = getattr(self, name)
        return series


def lags(params: Params) -> range:
    """Periods by which exposure is moved against orders in the correlogram."""
    longest = min(_LONGEST_LAG, params.num_periods // 4)
    return range(-longest, longest + 1)


def move_together(params: Params, series: Series, movement: Movement) -> FloatArray:
    """Correlation of each episode, (B,); NaN where one of the series never moves."""
    lag = params.lead_time if movement.at_arrival else np.zeros_like(params.lead_time)
    return _correlate(series[movement.first], series[movement.second], lag=[int(periods) for periods in lag])


def correlogram(params: Params, series: Series) -> FloatArray:
    """Correlation of orders with exposures `lags` periods later, (B, lags)."""
    count = params.num_products
    return np.stack(
        [_correlate(series.order, series.exposure, lag=[lag] * count) for lag in lags(params)], axis=1
    )


def _correlate(first: FloatArray, second: FloatArray, *, lag: list[int]) -> FloatArray:
    """Over periods, `lag[i]` periods later in product i; products pooled by their variation, (B,)."""
    moments = np.zeros((3, first.shape[1]))
    for i, later in enumerate(lag):
        end = len(first) - abs(later)
        start, then = max(-later, 0), max(later, 0)
        a, b = first[start : start + end, :, i], second[then : then + end, :, i]
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        moments += np.array([(a * b).sum(axis=0), (a * a).sum(axis=0), (b * b).sum(axis=0)])
    spread = np.sqrt(moments[1] * moments[2])
    correlation: FloatArray = np.divide(
        moments[0], spread, out=np.full(len(spread), np.nan), where=spread > 1e-12
    )
    return correlation
