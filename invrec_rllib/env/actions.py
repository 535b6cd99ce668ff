"""From actions in [-1, 1] to orders and exposures, by named mappings, batched.

Orders, from the inventory's action `a` (B, N):

- "adjustment" (default): order up to `textbook level + order_range * a * protected demand`, where both are
  those of `policies.base_stock`; the order is what lifts the inventory position to it, within the supplier's
  limit. At 0 it is the textbook's order; from -1 to 1 the level goes from about zero to twice the mean.
  With an adviser: `advised order + order_range * a * protected demand`, in whole units within the supplier's limit.
- "quantity": order `(a + 1) / 2` of the most that may be ordered: the supplier's limit, or `quantity_range`
  times organic demand where there is none. Nothing outside review periods.

Exposures, from the recommender's action `a` (B, M * N), segment-major:

- "adjustment" (default): soft top-K of `revenue-greedy score + score_range * a`. The revenue-greedy score
  (`Facts.base_score`) has mean 0 and standard deviation 1 in every segment. At 0 it is the slate of a silo.
  With an adviser: shares of the slots in proportion to `advised exposure * exp(2 * score_range * a)`, none above
  1; to that end what is not shown at all counts as shown a little (1/2000). The temperature is not used.
- "scores": soft top-K of `score_range * a` alone.
- "greedy": the slots are filled by falling `a`: full exposure for the first products, the rest of the budget
  for the next.

The temperature of the soft top-K is in units of the revenue-greedy score's spread, which is 1.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from invrec_rllib.env.facts import Facts
from invrec_rllib.env.slates import hard_top_k, soft_top_k
from invrec_rllib.errors import InputError
from invrec_rllib.policies.base_stock import order_towards
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params

OrderMapping = Literal["adjustment", "quantity"]
ExposureMapping = Literal["adjustment", "scores", "greedy"]

DEFAULT_TEMPERATURE = 0.1
# Room for the rounding of 32-bit numbers.
_SLACK = 1e-6
# Exposure that products outside the advised slate count as, so that agents can bring them in.
_LEAST_ADVISED = 0.0005
# Of the soft top-K where logarithms of advised exposures are the scores.
_ADVICE_TEMPERATURE = 0.5


class ActionMapping:
    """Maps the actions of both agents; see the module for the mappings.

    Args:
        params: the world; B episodes, N products, M segments.
        order: name of the mapping of the inventory's action.
        exposure: name of the mapping of the recommender's action.
        temperature: of the soft top-K, > 0; the lower, the closer to the K best alone.
        order_range: level adjustment at an action of 1, in mean protected demands, > 0.
        quantity_range: most that "quantity" orders where the supplier has no limit, in organic demands, > 0.
        score_range: score at an action of 1, in spreads of the revenue-greedy score, > 0.

    Raises:
        InputError: an unknown mapping, or a number that is not above 0.
    """

    def __init__(
        self,
        params: Params,
        *,
        order: OrderMapping = "adjustment",
        exposure: ExposureMapping = "adjustment",
        temperature: float = DEFAULT_TEMPERATURE,
        order_range: float = 1.0,
        quantity_range: float = 3.0,
        score_range: float = 3.0,
    ) -> None:
        _check_choice("order", order, get_args(OrderMapping))
        _check_choice("exposure", exposure, get_args(ExposureMapping))
        ranges = {"order_range": order_range, "quantity_range": quantity_range, "score_range": score_range}
        for name, value in {"temperature": temperature, **ranges}.items():
            if not 0 < value < np.inf:
                raise InputError(f"{name} is {value}, must be above 0 and finite")
        self.params = params
        self.order: OrderMapping = order
        self.exposure: ExposureMapping = exposure
        self.temperature = temperature
        self._order_range, self._score_range = order_range, score_range
        unlimited = params.scenario.products.max_order is None
        own_limit = np.maximum(np.ceil(quantity_range * params.organic_demand), 1.0)
        self._largest_order: FloatArray = own_limit if unlimited else params.max_order.astype(np.float64)

    @property
    def inventory_size(self) -> int:
        """Numbers in the inventory's action: N."""
        return self.params.num_products

    @property
    def recommender_size(self) -> int:
        """Numbers in the recommender's action: M * N."""
        return self.params.num_segments * self.params.num_products

    def to_order(self, view: View, action: Any, *, facts: Facts | None = None) -> IntArray:
        """Whole units to order, (B, N), that `Simulator.step` accepts.

        Args:
            view: what is shown at the start of the period.
            action: in [-1, 1], (B, N).
            facts: of the same view, where they exist already.

        Raises:
            InputError: a wrong shape, NaN, or a value outside [-1, 1].
        """
        values = check_action("inventory", action, (view.state.num_episodes, self.inventory_size))
        if self.order == "adjustment":
            facts = facts or Facts(view)
            change = self._order_range * values * facts.protected_demand
            if facts.advice is not None:
                return order_towards(view, facts.position + facts.advice.order + change)
            return order_towards(view, np.maximum(facts.level + change, 0.0))
        if view.state.period % self.params.scenario.supply.review_periods:
            return np.zeros(values.shape, dtype=np.int64)
        return np.rint((values + 1.0) * 0.5 * self._largest_order).astype(np.int64)

    def to_exposure(self, view: View, action: Any, *, facts: Facts | None = None) -> FloatArray:
        """Exposures, (B, M, N), that use every segment's budget K to rounding.

        Args:
            view: what is shown at the start of the period.
            action: in [-1, 1], (B, M * N), segment-major.
            facts: of the same view, where they exist already.

        Raises:
            InputError: a wrong shape, NaN, or a value outside [-1, 1].
        """
        batch, params = view.state.num_episodes, self.params
        values = check_action("recommender", action, (batch, self.recommender_size))
        scores = values.reshape(batch, params.num_segments, params.num_products)
        if self.exposure == "greedy":
            return hard_top_k(scores, params.slots)
        scores = self._score_range * scores
        if self.exposure == "adjustment":
            facts = facts or Facts(view)
            if facts.advice is not None:
                shown = np.maximum(facts.advice.exposure, _LEAST_ADVISED)
                scores += _ADVICE_TEMPERATURE * np.log(shown)
                return soft_top_k(scores, params.slots, temperature=_ADVICE_TEMPERATURE)
            scores += facts.base_score
        return soft_top_k(scores, params.slots, temperature=self.temperature)


def check_action(agent: str, action: Any, shape: tuple[int, ...]) -> FloatArray:
    """An action as 64-bit floats clipped by no more than rounding.

    Raises:
        InputError: not numbers of this shape, NaN, or outside [-1, 1]; it names agent, index and value.
    """
    try:
        values = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        kind = type(action).__name__
        raise InputError(f"action of agent {agent!r} must be an array of numbers, got {kind}") from error
    if values.shape != shape:
        raise InputError(f"action of agent {agent!r} has shape {values.shape}, must be {shape}")
    size = np.abs(values)
    # Written so that NaN fails.
    if not size.max(initial=0.0) <= 1.0:
        if not (size <= 1.0 + _SLACK).all():
            index = tuple(int(k) for k in np.argwhere(~(size <= 1.0 + _SLACK))[0])
            raise InputError(
                f"action of agent {agent!r} is {values[index]} at index {list(index)}, must lie in [-1, 1]"
            )
        values = np.clip(values, -1.0, 1.0)
    return values


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}, must be one of {', '.join(allowed)}")
