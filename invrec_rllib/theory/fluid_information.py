"""What it is worth to foresee tastes, and how the fluid bound takes it back: dual penalties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.params import FloatArray, Params

# Multiples of the estimated price that are tried.
_SCALES = (0.5, 1.0, 1.5)

# Values of given paths (B,), and the value of one more unit on hand (B, T, N), under charges (B, T, N) or none.
SolvePaths = Callable[[FloatArray | None], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, eq=False)
class InformationPrice:
    """What a unit in stock is charged per unit of the taste shock that follows.

    The fluid program of a path knows tastes ahead and stocks what will be wanted. Charging each unit on hand or
    on order at the end of period t with `price_i x shock_{i,t}` makes that dearer. A policy that does not know
    the shock, which is drawn independently of all that happened up to then, pays nothing on average: stock at
    the end of t is known before the shock. So the mean over paths stays a bound for every policy, whatever the
    price (Brown, Smith and Sun 2010: an information relaxation with a dual-feasible penalty); single paths' values
    are bounds no longer.

    Attributes:
        price: money per unit of stock and unit of shock, (N,).
        weights: of the segments' shocks, (M, N).
        reversion: tastes' speed of return [rho].
    """

    price: FloatArray
    weights: FloatArray
    reversion: float

    def charges(self, shocks: FloatArray) -> FloatArray:
        """Money per unit on hand or on order at the end of each period.

        Args:
            shocks: standard normal taste shocks, (..., T, M, N).

        Returns:
            (..., T, N).
        """
        return self.price * taste_news(shocks, self.weights, reversion=self.reversion)


def taste_news(shocks: FloatArray, weights: FloatArray, *, reversion: float) -> FloatArray:
    """What the shock after each period says of a product's demand until the horizon, (..., T, N).

    A shock lasts for `sum_k (1 - rho)^k` periods; the fraction of this that is left before the horizon scales
    it, so that the last shock, which moves nothing any more, counts for nothing.
    """
    periods_left = np.arange(shocks.shape[-3])[::-1]
    left = 1.0 - (1.0 - reversion) ** periods_left if reversion else np.minimum(periods_left, 1.0)
    news: FloatArray = np.einsum("...mn,mn->...n", shocks, weights) * left[:, None]
    return news


def price_information(params: Params, shocks: FloatArray, solve: SolvePaths) -> InformationPrice:
    """Find a price on pilot paths, which must not be those of the bound.

    The price of a product is the regression of the value of one more unit on hand in the next period, the fluid
    program's dual, on the news; of some multiples the one with the least mean value is taken, none included.

    Args:
        params: the world.
        shocks: taste shocks of the pilot paths, (B, T, M, N).
        solve: solves the pilots.
    """
    weights, reversion = params.segment_share, params.scenario.tastes.reversion
    news = taste_news(shocks, weights, reversion=reversion)
    values, unit_values = solve(None)
    surprise = unit_values - unit_values.mean(axis=0)
    product = (news[:, :-1] * surprise[:, 1:]).sum(axis=(0, 1))
    price = product / np.maximum((news[:, :-1] ** 2).sum(axis=(0, 1)), 1e-300)
    means = {0.0: values.mean()}
    for scale in _SCALES:
        means[scale] = solve(scale * price * news)[0].mean()
    best = min(means, key=lambda scale: means[scale])
    return InformationPrice(best * price, weights, reversion)
