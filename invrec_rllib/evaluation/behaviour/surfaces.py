"""Response surfaces: what one product is ordered and shown as stock, deliveries and the date are moved over grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from invrec_rllib.evaluation.behaviour.effects import answer_of
from invrec_rllib.evaluation.behaviour.questions import can_expect, periods_asked
from invrec_rllib.evaluation.behaviour.visits import Visit
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


class SurfaceSums:
    """Adds up what a policy answers over the grids.

    Args:
        params: the world.
        product: index.
    """

    def __init__(self, params: Params, product: int) -> None:
        self._params, self._product = params, product
        asked = periods_asked(params)
        places = np.linspace(0.0, 1.0, _PERIODS + 2)[1:-1]
        self._periods = {asked[int(place * (len(asked) - 1))] for place in places}
        organic = params.organic_demand[product]
        self._stock = _units(organic, _MOST_STOCKS)
        self._grids: dict[Across, FloatArray] = {
            "others": np.linspace(0.0, _MOST_PERIODS, _MOST_OTHERS),
            "date": np.unique(np.linspace(asked[0], params.num_periods - 1, _MOST_DATES).astype(int)) * 1.0,
        }
        if can_expect(params):
            self._grids["delivery"] = _units(organic, _MOST_DELIVERIES) * 1.0
        if params.num_products == 1:
            del self._grids["others"]
        width = {"date": 1, "delivery": len(self._stock), "others": len(self._stock)}
        self._sums = {across: np.zeros((2, len(grid), width[across])) for across, grid in self._grids.items()}
        self._count = 0

    def add(self, visit: Visit) -> None:
        """Ask in this period, if it is one of those chosen."""
        state = visit.view.state
        if state.period not in self._periods:
            return
        # Policies decide for the whole batch that they remember; the mean is over the first episodes.
        kept = slice(_EPISODES)
        self._count += 1
        for across, (y, x), altered in self._states(state):
            answer = answer_of(self._params, visit.ask(altered))
            self._sums[across][0, y, x] += answer.exposure[kept, self._product].mean()
            self._sums[across][1, y, x] += answer.order[kept, self._product].mean()

    def result(self) -> tuple[Surface, ...]:
        """The means."""
        surfaces = []
        for across, grid in self._grids.items():
            exposure, order = self._sums[across] / max(self._count, 1)
            if across == "date":
                none = np.zeros(0, dtype=np.int64)
                surfaces.append(Surface(across, self._product, none, grid, exposure[:, 0], order[:, 0]))
            else:
                surfaces.append(Surface(across, self._product, self._stock, grid, exposure, order))
        return tuple(surfaces)

    def _states(self, state: State) -> Iterator[tuple[Across, tuple[int, int], State]]:
        for across, grid in self._grids.items():
            for y, value in enumerate(grid):
                if across == "date":
                    yield across, (y, 0), replace(state, period=int(value))
                    continue
                for x, units in enumerate(self._stock):
                    yield across, (y, x), self._with(state, int(units), across=across, value=float(value))

    def _with(self, state: State, units: int, *, across: Across, value: float) -> State:
        on_hand, on_order = state.on_hand.copy(), state.on_order.copy()
        if across == "others":
            on_hand[:] = np.rint(value * self._params.organic_demand)
        else:
            on_order[:, self._product, 0] = int(value)
        on_hand[:, self._product] = units
        return replace(state, on_hand=on_hand, on_order=on_order)


def _units(organic: float, most: int) -> IntArray:
    """Whole units from 0 to some periods of organic demand."""
    top = max(int(np.ceil(_MOST_PERIODS * organic)), 2)
    units: IntArray = np.unique(np.rint(np.linspace(0, top, min(most, top + 1)))).astype(np.int64)
    return units
