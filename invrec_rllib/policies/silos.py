"""Departments that do not talk: textbook orders beside slates that ignore them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.base_stock import base_stock_order
from invrec_rllib.policies.recommenders import fill_slots
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params


@dataclass(frozen=True)
class SiloPolicy:
    """An order rule on smoothed demand, beside a recommender, neither of which remembers or talks.

    Attributes:
        name: how tables and figures call it.
        recommend: exposure from what is shown, (B, M, N).
        replenish: whole units to order from what is shown, (B, N); the textbook's base-stock.
    """

    name: str
    recommend: Callable[[View], FloatArray]
    replenish: Callable[[View], IntArray] = base_stock_order

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None:
        """Nothing to remember."""

    def act(self, view: View, memory: None) -> Decision:
        """Orders from the forecast alone, slates from the recommender alone."""
        return Decision(self.replenish(view), self.recommend(view), None)


@dataclass(frozen=True)
class RandomPolicy:
    """Feasible actions at random: random slates, orders uniform between 0 and twice the organic demand."""

    name: str = "random"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> list[np.random.Generator]:
        """A generator for each episode."""
        return [np.random.default_rng(seed + k) for k in range(num_episodes)]

    def act(self, view: View, memory: list[np.random.Generator]) -> Decision:
        """Draw an order and a slate per segment."""
        params = view.params
        draws = np.stack(
            [generator.random((params.num_segments + 1, params.num_products)) for generator in memory]
        )
        review = params.scenario.supply.review_periods
        largest = np.minimum(np.rint(2.0 * review * params.organic_demand), params.max_order)
        order = np.floor(draws[:, 0] * (largest + 1.0)).astype(np.int64)
        if view.state.period % review:
            order[:] = 0
        # 1 - u lies in (0, 1], so every slot is given away.
        return Decision(order, fill_slots(1.0 - draws[:, 1:], params.slots), memory)
