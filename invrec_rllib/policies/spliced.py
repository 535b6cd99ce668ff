"""Orders of one policy beside the slates of another: what each department does when the other is exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.view import LEVEL_SMOOTHING, View
from invrec_rllib.sim.params import FloatArray, Params


@runtime_checkable
class ToldPolicy(Protocol):
    """A policy whose orders can be told of slates that are not its own."""

    def act_told(self, view: View, memory: Any, *, exposure: FloatArray) -> Decision:
        """Decide one period where the exposure is given, (B, M, N)."""
        ...


class _Memory(NamedTuple):
    orders: Any
    slates: Any
    mean_exposure: FloatArray


@dataclass(frozen=True)
class SplicedPolicy:
    """Orders of one policy, slates of another, both deciding on what is really in stock and was really shown.

    A policy whose orders can be told of slates (`ToldPolicy`) plans for those that are shown; any other decides as
    if its own slates were.

    Attributes:
        name: how tables and figures call it.
        orders: whose orders are placed.
        slates: whose slates are shown.
        ahead: whether orders are told of the slates of this period; else they are told of a smoothed mean of those
            shown before, which starts at K/N, as every firm could know them.
    """

    name: str
    orders: Policy
    slates: Policy
    ahead: bool = True

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> _Memory:
        """Memories of both, and the exposure to be expected before any was seen."""
        shape = (num_episodes, params.num_segments, params.num_products)
        return _Memory(
            self.orders.begin(params, num_episodes=num_episodes, seed=seed),
            self.slates.begin(params, num_episodes=num_episodes, seed=seed),
            np.full(shape, params.slots / params.num_products),
        )

    def act(self, view: View, memory: _Memory) -> Decision:
        """Slates first, then the orders of the other policy."""
        mean = memory.mean_exposure
        if view.state.period:
            mean = mean + LEVEL_SMOOTHING * (view.state.last_exposure - mean)
        shown = self.slates.act(view, memory.slates)
        if isinstance(self.orders, ToldPolicy):
            expected = shown.exposure if self.ahead else mean
            ordered = self.orders.act_told(view, memory.orders, exposure=expected)
        else:
            ordered = self.orders.act(view, memory.orders)
        return Decision(ordered.order, shown.exposure, _Memory(ordered.memory, shown.memory, mean))
