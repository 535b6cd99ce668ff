"""Demand of one product over one period, in closed form: Poisson, gamma-Poisson and normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import betainc, gammaln, ndtr, ndtri, pdtr, xlog1py, xlogy

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray


class Demand(Protocol):
    """A distribution of demand, units per period."""

    @property
    def mean(self) -> float:
        """Mean, units."""
        ...

    def cdf(self, units: FloatArray | float) -> FloatArray:
        """P(D <= units), same shape."""
        ...

    def quantile(self, ratio: float) -> float:
        """The smallest value with P(D <= value) >= ratio, for a ratio in (0, 1)."""
        ...

    def expected_sales(self, stock: FloatArray | float) -> FloatArray:
        """E min(D, stock), units, same shape; stock >= 0, whole where demand is."""
        ...


class CountedDemand(Demand, Protocol):
    """Demand in whole units."""

    def pmf(self, units: IntArray) -> FloatArray:
        """P(D = units), same shape; units >= 0."""
        ...


@dataclass(frozen=True)
class PoissonDemand:
    """Poisson demand.

    Attributes:
        mean: units, >= 0.
    """

    mean: float

    def __post_init__(self) -> None:
        _check("mean", self.mean, least=0.0)

    def pmf(self, units: IntArray) -> FloatArray:
        """P(D = units)."""
        log: FloatArray = xlogy(units, self.mean) - self.mean - gammaln(np.add(units, 1.0))
        return np.exp(log)

    def cdf(self, units: FloatArray | float) -> FloatArray:
        """P(D <= units)."""
        whole = np.floor(units)
        return np.where(whole < 0.0, 0.0, pdtr(np.maximum(whole, 0.0), self.mean))

    def quantile(self, ratio: float) -> float:
        """The smallest whole number with P(D <= number) >= ratio."""
        return _smallest_count(self, ratio)

    def expected_sales(self, stock: FloatArray | float) -> FloatArray:
        """E min(D, y) = mu F(y - 1) + y (1 - F(y)), as d p(d) = mu p(d - 1); y whole."""
        sales: FloatArray = self.mean * self.cdf(np.subtract(stock, 1.0)) + stock * (1.0 - self.cdf(stock))
        return sales


@dataclass(frozen=True)
class GammaPoissonDemand:
    """Poisson demand whose mean is multiplied by gamma noise of mean 1: negative binomial, as in the simulator.

    Attributes:
        mean: units, >= 0.
        cv: coefficient of variation of the noise, > 0; the variance is mean + (cv mean)^2.
    """

    mean: float
    cv: float

    def __post_init__(self) -> None:
        _check("mean", self.mean, least=0.0)
        _check("cv", self.cv, least=1e-3)

    @property
    def shape(self) -> float:
        """Shape of the gamma noise [n = 1 / cv^2]."""
        return 1.0 / self.cv**2

    def pmf(self, units: IntArray) -> FloatArray:
        """P(D = d) = Gamma(n + d) / (Gamma(n) d!) p^n (1 - p)^d with p = n / (n + mu)."""
        n = self.shape
        share = self.mean / (n + self.mean)
        log: FloatArray = (
            gammaln(units + n)
            - gammaln(n)
            - gammaln(np.add(units, 1.0))
            + xlog1py(n, -share)
            + xlogy(units, share)
        )
        return np.exp(log)

    def cdf(self, units: FloatArray | float) -> FloatArray:
        """P(D <= units)."""
        return self._cdf(units, self.shape)

    def _cdf(self, units: FloatArray | float, shape: float) -> FloatArray:
        whole = np.floor(units)
        success = self.shape / (self.shape + self.mean)
        return np.where(whole < 0.0, 0.0, betainc(shape, np.maximum(whole, 0.0) + 1.0, success))

    def quantile(self, ratio: float) -> float:
        """The smallest whole number with P(D <= number) >= ratio."""
        return _smallest_count(self, ratio)

    def expected_sales(self, stock: FloatArray | float) -> FloatArray:
        """E min(D, y) = mu F_{n+1}(y - 1) + y (1 - F_n(y)), as d p_n(d) = mu p_{n+1}(d - 1); y whole."""
        below = self._cdf(np.subtract(stock, 1.0), self.shape + 1.0)
        sales: FloatArray = self.mean * below + stock * (1.0 - self.cdf(stock))
        return sales


@dataclass(frozen=True)
class NormalDemand:
    """Normal demand; what falls below 0 counts as returned, as is usual where the mean is far above.

    Attributes:
        mean: units.
        sd: standard deviation, units, > 0.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check("mean", self.mean, least=-np.inf)
        _check("sd", self.sd, least=np.finfo(float).tiny)

    def cdf(self, units: FloatArray | float) -> FloatArray:
        """P(D <= units)."""
        below: FloatArray = ndtr(np.subtract(units, self.mean) / self.sd)
        return below

    def quantile(self, ratio: float) -> float:
        """The value with P(D <= value) = ratio."""
        return float(self.mean + self.sd * ndtri(ratio))

    def expected_sales(self, stock: FloatArray | float) -> FloatArray:
        """E min(D, y) = y - sd (z Phi(z) + phi(z)) with z = (y - mu) / sd."""
        z = np.subtract(stock, self.mean) / self.sd
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        sales: FloatArray = stock - self.sd * (z * ndtr(z) + density)
        return sales


def counted_demand(mean: float, *, cv: float = 0.0) -> PoissonDemand | GammaPoissonDemand:
    """Demand as the simulator draws it: Poisson, or over-dispersed by noise of coefficient of variation `cv`."""
    return GammaPoissonDemand(mean, cv) if cv > 0.0 else PoissonDemand(mean)


def left_over(pmf: FloatArray) -> FloatArray:
    """P(y left | x on hand) from P(D = d), (..., D) to (..., D, D): index x, then y, each from 0 to D - 1."""
    sold = np.subtract.outer(np.arange(pmf.shape[-1]), np.arange(pmf.shape[-1]))
    table: FloatArray = np.where(sold >= 0, pmf[..., np.maximum(sold, 0)], 0.0)
    table[..., 0] = 0.0
    table[..., 0] = np.maximum(1.0 - table.sum(axis=-1), 0.0)
    return table


def _smallest_count(demand: CountedDemand, ratio: float) -> float:
    if not 0.0 < ratio < 1.0:
        raise InputError(f"ratio is {ratio}, must lie strictly between 0 and 1")
    low, high = -1, 1
    while demand.cdf(float(high)) < ratio:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if demand.cdf(float(middle)) >= ratio:
            high = middle
        else:
            low = middle
    return float(high)


def _check(name: str, value: float, *, least: float) -> None:
    # Written so that NaN fails.
    if not (least <= value < np.inf):
        raise InputError(f"{name} is {value}, must be finite and at least {least:g}")
