"""Response surfaces: what one product is ordered and shown as stock, deliveries and the date are moved over grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from invrec_rllib.evaluation.behaviour.effects import answer_of
from invrec_rllib.evaluation.behaviour.questions import can_expect, periods_asked
from invrec_rllib.evaluation.behaviour.visits import visits
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.view import Information
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import State

Across = Literal["delivery", "others", "date"]

# Grids reach to this many periods of organic demand.
_MOST_PERIODS = 4.0
_MOST_STOCKS, _MOST_DELIVERIES, _MOST_OTHERS, _MOST_DATES = 13, 7, 9, 30
# Episodes and periods whose states are averaged.
_EPISODES, _PERIODS = 64, 3


@dataclass(frozen=True, eq=False)
class Surface:
    """Mean decisions for one product over states that were visited, with two quantities set.

    Attributes:
        across: what the second axis is: "delivery" (units that arrive with the next period), "others" (stock of every
            other product, in periods of its organic demand), or "date" (period; the product's stock stays as visited).
        product: index.
        stock: units of the product on hand, (X,); empty for "date".
        values: of the second axis, (Y,).
        exposure: mean over segments by traffic, in [0, 1], (Y, X), or (Y,) for "date".
        order: units, likewise.
    """

    across: Across
    product: int
    stock: IntArray
    values: FloatArray
    exposure: FloatArray
    order: FloatArray


def find_surfaces(
    params: Params,
    policy: Policy,
    *,
    product: int,
    seed: int,
    episodes: int,
    information: Information,
    driver: Policy | None = None,
) -> tuple[Surface, ...]:
    """Ask a policy over the grids, in three periods of the first episodes of a seed.

    Args:
        params: the world.
        policy: who is asked.
        product: index of the product whose decisions are drawn.
        seed: >= 0.
        episodes: how many there are; the first 64 do.
        information: what is shown.
        driver: whose decisions are played; None: the policy's own.
    """
    asked = periods_asked(params)
    places = np.linspace(0.0, 1.0, _PERIODS + 2)[1:-1]
    chosen = {asked[int(place * (len(asked) - 1))] for place in places}
    grids = _Grids.of(params, product)
    sums = {across: np.zeros((2, len(grid), grids.width(across))) for across, grid in grids.values.items()}
    met = visits(
        params,
        policy,
        seed=seed,
        episodes=range(min(episodes, _EPISODES)),
        information=information,
        driver=driver,
    )
    for visit in met:
        if visit.view.state.period not in chosen:
            continue
        for across, (y, x), altered in grids.states(visit.view.state):
            answer = answer_of(params, visit.ask(altered))
            sums[across][0, y, x] += answer.exposure[:, product].mean() / len(chosen)
            sums[across][1, y, x] += answer.order[:, product].mean() / len(chosen)
    return tuple(grids.surface(across, *sums[across]) for across in grids.values)


@dataclass(frozen=True, eq=False)
class _Grids:
    """What is set: units of the product, and the second axis by its name."""

    params: Params
    product: int
    stock: IntArray
    values: dict[Across, FloatArray]

    @classmethod
    def of(cls, params: Params, product: int) -> _Grids:
        organic = float(params.organic_demand[product])
        first, last = periods_asked(params)[0], params.num_periods - 1
        values: dict[Across, FloatArray] = {
            "date": np.unique(np.linspace(first, last, _MOST_DATES).astype(np.int64)).astype(np.float64)
        }
        if params.num_products > 1:
            values["others"] = np.linspace(0.0, _MOST_PERIODS, _MOST_OTHERS)
        if can_expect(params):
            values["delivery"] = _units(organic, _MOST_DELIVERIES).astype(np.float64)
        return cls(params, product, _units(organic, _MOST_STOCKS), values)

    def width(self, across: Across) -> int:
        return 1 if across == "date" else len(self.stock)

    def surface(self, across: Across, exposure: FloatArray, order: FloatArray) -> Surface:
        grid = self.values[across]
        if across != "date":
            return Surface(across, self.product, self.stock, grid, exposure, order)
        return Surface(across, self.product, self.stock[:0], grid, exposure[:, 0], order[:, 0])

    def states(self, state: State) -> Iterator[tuple[Across, tuple[int, int], State]]:
        """Every point of every grid, and the state with the quantities set."""
        for across, grid in self.values.items():
            for y, value in enumerate(grid):
                if across == "date":
                    yield across, (y, 0), replace(state, period=int(value))
                    continue
                for x, units in enumerate(self.stock):
                    yield across, (y, x), self._with(state, int(units), across=across, value=float(value))

    def _with(self, state: State, units: int, *, across: Across, value: float) -> State:
        on_hand, on_order = state.on_hand.copy(), state.on_order.copy()
        if across == "others":
            on_hand[:] = np.rint(value * self.params.organic_demand)
        else:
            on_order[:, self.product, 0] = int(value)
        on_hand[:, self.product] = units
        return replace(state, on_hand=on_hand, on_order=on_order)


def _units(organic: float, most: int) -> IntArray:
    """Whole units from 0 to some periods of organic demand."""
    top = max(int(np.ceil(_MOST_PERIODS * organic)), 2)
    units: IntArray = np.unique(np.rint(np.linspace(0, top, min(most, top + 1)))).astype(np.int64)
    return units
