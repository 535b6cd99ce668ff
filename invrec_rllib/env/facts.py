"""What follows from one view, computed at most once for observations, actions and rendering alike."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from invrec_rllib.env.advice import Advice
from invrec_rllib.policies.base_stock import order_up_to_level, protected_season
from invrec_rllib.policies.view import View
from invrec_rllib.sim.choice import attraction
from invrec_rllib.sim.params import FloatArray, IntArray

# Spreads and amounts below this count as none.
_SMALL = 1e-9


class Facts:
    """Quantities derived from a view, each computed when first asked for.

    Those from the affinity scores are as exact or as blurred as the scores. At the horizon itself, which
    nobody decides but the last observation shows, the last period's prices still hold.

    Args:
        view: what is shown at the start of a period; B episodes, M segments, N products.
        advice: of the same period, where agents have an adviser.
    """

    def __init__(self, view: View, *, advice: Advice | None = None) -> None:
        self.view = view
        self.advice = advice
        self.params = view.params
        self.state = view.state
        self.priced_period = min(view.state.period, view.params.num_periods - 1)

    @cached_property
    def position(self) -> IntArray:
        """Inventory position: on hand plus on order less backorders, units, (B, N)."""
        return self.state.inventory_position

    @cached_property
    def level(self) -> FloatArray:
        """Textbook order-up-to level, units, (B, N); 0 at the horizon."""
        if self.state.period >= self.params.num_periods:
            return np.zeros(self.view.forecast.shape)
        return order_up_to_level(self.view)

    @cached_property
    def protected_demand(self) -> FloatArray:
        """Mean demand that an order placed now must cover, by the forecast, units, (B, N)."""
        return self.view.forecast * protected_season(self.params, self.state.period)

    @cached_property
    def weight(self) -> FloatArray:
        """Attraction without exposure, by the scores, (B, M, N)."""
        scores = self.view.scores
        return attraction(self.params, scores, np.zeros(scores.shape), period=self.priced_period)

    @cached_property
    def unexposed(self) -> FloatArray:
        """Probability that a visitor asks for a product when nothing is exposed, (B, M, N)."""
        probability: FloatArray = self.weight / self._total
        return probability

    @cached_property
    def exposed(self) -> FloatArray:
        """The same when this product alone is fully exposed, (B, M, N)."""
        # Both lift forms multiply the attraction by exp(beta) at full exposure.
        raised = self.weight * np.exp(self.params.lift)
        probability: FloatArray = raised / (self._total + (raised - self.weight))
        return probability

    @cached_property
    def _total(self) -> FloatArray:
        total: FloatArray = self.weight.sum(axis=-1, keepdims=True)
        return total + 1.0

    @cached_property
    def base_score(self) -> FloatArray:
        """Revenue-greedy value of exposing each product, standardised per segment, (B, M, N).

        The gain of expected revenue per visitor from exposing product i alone, `p_i (P_i exposed - P_i
        unexposed)`, less its mean over products, over its standard deviation. It ignores stock and costs.
        """
        gain = self.params.price[self.priced_period] * (self.exposed - self.unexposed)
        inverse = 1.0 / gain.shape[-1]
        gain -= gain.sum(axis=-1, keepdims=True) * inverse
        spread = np.sqrt((gain * gain).sum(axis=-1, keepdims=True) * inverse)
        standardised: FloatArray = gain / np.maximum(spread, _SMALL)
        return standardised

    @cached_property
    def demand_unexposed(self) -> FloatArray:
        """Mean demand at season 1 when nothing is exposed, by the scores, units per period, (B, N)."""
        return self._over_segments(self.unexposed)

    @cached_property
    def demand_exposed(self) -> FloatArray:
        """Mean demand at season 1 when this product alone is exposed to all, units per period, (B, N)."""
        return self._over_segments(self.exposed)

    @cached_property
    def demand_as_before(self) -> FloatArray:
        """Mean demand at season 1 under last period's exposures, by the scores, units per period, (B, N)."""
        weight = attraction(
            self.params, self.view.scores, self.state.last_exposure, period=self.priced_period
        )
        return self._over_segments(weight / (weight.sum(axis=-1, keepdims=True) + 1.0))

    def _over_segments(self, probability: FloatArray) -> FloatArray:
        demand: FloatArray = (probability * self.params.traffic[:, None]).sum(axis=1)
        return demand
