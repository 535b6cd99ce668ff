"""What happened in a running episode so far, kept for rendering."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import Outcome, State


class Record(NamedTuple):
    """One period of one episode. Units, (N,), unless said otherwise.

    Attributes:
        stock: on hand at the start.
        order, demand, sales, lost: as in `sim.Outcome`.
        left: on hand at the end.
        exposure: mean over visitors, in [0, 1].
        profit: of the firm, money.
    """

    stock: IntArray
    order: IntArray
    demand: IntArray
    sales: IntArray
    lost: IntArray
    left: IntArray
    exposure: FloatArray
    profit: float


class History:
    """The periods of one episode, and the stock now.

    Args:
        params: the world.
        state: the start of the episode, B = 1.
    """

    def __init__(self, params: Params, state: State) -> None:
        self._records: list[Record] = []
        self._visitors = (params.traffic / params.traffic.sum())[:, None]
        self._fill_rates: list[float] = []
        self._num_products = params.num_products
        self._look(state)

    def add(self, before: State, outcome: Outcome, after: State, *, fill_rate: float) -> None:
        """Add a period that was played; the fill rate as in `accounts.itemise`."""
        self._records.append(
            Record(
                stock=before.on_hand[0],
                order=outcome.order[0],
                demand=outcome.demand[0],
                sales=outcome.sales[0],
                lost=outcome.lost[0],
                left=outcome.on_hand_end[0],
                exposure=(outcome.exposure[0] * self._visitors).sum(axis=0),
                profit=float(outcome.economics.profit[0]),
            )
        )
        self._fill_rates.append(fill_rate)
        self._look(after)

    def _look(self, state: State) -> None:
        self.on_hand = state.on_hand[0]
        self.on_order = state.on_order[0].sum(axis=1)

    @property
    def num_periods(self) -> int:
        """How many periods were played."""
        return len(self._records)

    def last(self) -> Record | None:
        """The last period; None before the first."""
        return self._records[-1] if self._records else None

    def fill_rate(self) -> float:
        """Share of all demand so far that was served from stock in its period; 1 without demand."""
        demand = np.asarray([record.demand.sum() for record in self._records], dtype=np.float64)
        total = demand.sum()
        return float((demand * self._fill_rates).sum() / total) if total else 1.0

    def profits(self) -> FloatArray:
        """Firm profit by period, money, (t,)."""
        return np.asarray([record.profit for record in self._records])

    def stocks(self, products: list[int]) -> FloatArray:
        """Stock at the start of every period and now, units, (t + 1, n), at most T rows."""
        rows = [record.stock for record in self._records] + [self.on_hand]
        return np.asarray(rows, dtype=np.float64)[:, products]

    def orders(self, products: list[int]) -> FloatArray:
        """Units ordered, (t, n)."""
        return self._column("order", products)

    def exposures(self, products: list[int]) -> FloatArray:
        """Exposure, mean over visitors, (t, n)."""
        return self._column("exposure", products)

    def losses(self, products: list[int]) -> FloatArray:
        """Units of demand lost, (t, n)."""
        return self._column("lost", products)

    def margins(self, params: Params, products: list[int]) -> FloatArray:
        """Gross margin of what was sold less holding and stockout cost, money, (t, n)."""
        price = params.price[: self.num_periods, products]
        return (
            self._column("sales", products) * (price - params.unit_cost[products])
            - self._column("left", products) * params.holding_cost[products]
            - self._column("lost", products) * params.stockout_penalty[products]
        )

    def _column(self, name: str, products: list[int]) -> FloatArray:
        rows = [getattr(record, name) for record in self._records]
        return np.asarray(rows, dtype=np.float64).reshape(-1, self._num_products)[:, products]
