"""What is changed when a policy is asked again: one stock, one delivery, or the date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import BoolArray, State

# Stock that lasts for this share of a period's organic demand announces a stockout.
_SHORT = 0.5
# One more delivery, or stock: this share of a period's organic demand.
_STEP = 0.5


@dataclass(frozen=True, eq=False)
class Probe:
    """A batch of states, and the product of each that is changed.

    Attributes:
        params: the world.
        state: as visited.
        product: index of a product in each episode, (B,).
    """

    params: Params
    state: State
    product: IntArray

    @property
    def step(self) -> IntArray:
        """Units that are added: half a period's organic demand of the product, at least 1, (B,)."""
        return _share_of_demand(self.params, _STEP)[self.product]

    @property
    def stock(self) -> IntArray:
        """Units on hand of the product, (B,)."""
        return self.state.on_hand[np.arange(len(self.product)), self.product]

    def with_stock(self, units: IntArray) -> State:
        """The state with so many units of the product on hand, (B,)."""
        on_hand = self.state.on_hand.copy()
        on_hand[np.arange(len(units)), self.product] = units
        return replace(self.state, on_hand=on_hand)

    def expecting(self, units: IntArray) -> State:
        """The state with further units of the product that arrive with the next period, (B,)."""
        on_order = self.state.on_order.copy()
        on_order[np.arange(len(units)), self.product, 0] += units
        return replace(self.state, on_order=on_order)


@dataclass(frozen=True, eq=False)
class Altered:
    """What a policy is asked about.

    Attributes:
        state: with one thing changed, or as visited.
        applies: where the change is one, (B,).
    """

    state: State
    applies: BoolArray


Question: TypeAlias = Callable[[Probe], Altered]


def short_stock(params: Params) -> IntArray:
    """Units on hand that announce a stockout: half a period's organic demand, at least 1, (N,)."""
    return _share_of_demand(params, _SHORT)


def last_period(params: Params) -> int:
    """The last period in which orders are possible."""
    return (
        (params.num_periods - 1)
        // params.scenario.supply.review_periods
        * params.scenario.supply.review_periods
    )


def can_expect(params: Params) -> bool:
    """Whether deliveries can be under way at all."""
    return params.pipeline_length > 0


def _share_of_demand(params: Params, share: float) -> IntArray:
    units: IntArray = np.maximum(np.rint(share * params.organic_demand), 1.0).astype(np.int64)
    return units


def _always(state: State) -> Altered:
    return Altered(state, np.ones(state.num_episodes, dtype=np.bool_))


def _sold_out(probe: Probe) -> Altered:
    return Altered(probe.with_stock(np.zeros_like(probe.stock)), probe.stock > 0)


def _short(probe: Probe) -> Altered:
    level = short_stock(probe.params)[probe.product]
    return Altered(probe.with_stock(np.minimum(probe.stock, level)), probe.stock > level)


def _at_the_end(probe: Probe, state: State) -> Altered:
    return _always(replace(state, period=last_period(probe.params)))


QUESTIONS: dict[str, Question] = {
    "as_visited": lambda probe: _always(probe.state),
    "more_stock": lambda probe: _always(probe.with_stock(probe.stock + probe.step)),
    "more_coming": lambda probe: _always(probe.expecting(probe.step)),
    "short": _short,
    "sold_out": _sold_out,
    "at_the_end": lambda probe: _at_the_end(probe, probe.state),
    "more_stock_at_the_end": lambda probe: _at_the_end(probe, probe.with_stock(probe.stock + probe.step)),
}
"""Questions by name; `more_coming` only where deliveries can be under way (`can_expect`)."""


def products_asked(params: Params, *, first: int, count: int, period: int) -> IntArray:
    """The product that is changed in each of `count` episodes from index `first` on: in turn, (B,)."""
    turns: FloatArray | IntArray = np.arange(first, first + count, dtype=np.int64) + period
    product: IntArray = (turns % params.num_products).astype(np.int64)
    return product


def periods_asked(params: Params) -> range:
    """Periods in which policies are asked: orders are possible, and those of every product still arrive in time.

    Not the first, which is the same in all episodes.

    Raises:
        InputError: there is no such period.
    """
    review = params.scenario.supply.review_periods
    asked = range(review, params.num_periods - int(params.lead_time.max()), review)
    if not asked:
        raise InputError(
            f"the {params.num_periods} periods of {params.scenario.name} are too few to ask in: after the first, "
            f"orders every {review} periods and lead times up to {params.lead_time.max()} leave none in time"
        )
    return asked
