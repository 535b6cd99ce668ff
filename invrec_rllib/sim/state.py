"""What the world is between two periods, and what happened in one. Every array has the batch axis first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.sim.params import FloatArray, IntArray, Params

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class State:
    """Start of a period, after its deliveries were received. Shapes: B episodes, M segments, N products.

    Attributes:
        period: index t of the period about to be decided, 0..T (T: the episode is over).
        on_hand: units in stock [x], (B, N).
        on_order: units under way, (B, N, P); entry l arrives in l + 1 periods from now.
        backorders: units of demand that wait, (B, N); 0 unless unmet demand is backordered.
        affinity: log-attractions [a], (B, M, N).
        last_exposure: exposure given in the period before, (B, M, N); 0 at the start.
        last_clicks: demand drawn in the period before, per segment, (B, M, N); 0 at the start.
        last_sales: units sold in the period before, (B, N); 0 at the start.
        last_stockout: whether demand of the period before met empty shelves, (B, N).
    """

    period: int
    on_hand: IntArray
    on_order: IntArray
    backorders: IntArray
    affinity: FloatArray
    last_exposure: FloatArray
    last_clicks: IntArray
    last_sales: IntArray
    last_stockout: BoolArray

    @property
    def num_episodes(self) -> int:
        """B."""
        return len(self.on_hand)

    @property
    def inventory_position(self) -> IntArray:
        """Units on hand plus on order less backorders, (B, N)."""
        # Faster than `sum` on short rows.
        position: IntArray = self.on_hand + np.einsum("bnp->bn", self.on_order) - self.backorders
        return position


@dataclass(frozen=True, eq=False)
class Economics:
    """Money of one period, each (B,). Costs are positive numbers; `profit` subtracts them."""

    revenue: FloatArray
    purchase_cost: FloatArray
    order_cost: FloatArray
    holding_cost: FloatArray
    stockout_cost: FloatArray
    overflow_cost: FloatArray
    exposure_cost: FloatArray
    initial_stock_cost: FloatArray
    salvage: FloatArray

    @property
    def profit(self) -> FloatArray:
        """Firm profit, (B,)."""
        return (
            self.revenue
            + self.salvage
            - self.purchase_cost
            - self.order_cost
            - self.holding_cost
            - self.stockout_cost
            - self.overflow_cost
            - self.exposure_cost
            - self.initial_stock_cost
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened in one period. Units are integers, (B, N) unless said otherwise.

    Attributes:
        order: units ordered [q].
        exposure: exposure given [e], (B, M, N).
        clicks: demand drawn per segment [D], (B, M, N).
        demand: demand drawn, over all segments.
        sales: units sold, to first choices, to customers who switched, and to those who waited.
        substituted: units of `sales` sold to customers whose first choice was out of stock.
        lost: units of demand neither served nor waiting.
        on_hand_end: units in stock at the end, before the next delivery.
        delivered: units that arrived since the decision: orders of lead time 0, and the delivery that opens
            the next period.
        click_value: price times demand drawn, stock or no stock, money, (B,).
        economics: the money, itemised.
    """

    order: IntArray
    exposure: FloatArray
    clicks: IntArray
    demand: IntArray
    sales: IntArray
    substituted: IntArray
    lost: IntArray
    on_hand_end: IntArray
    delivered: IntArray
    click_value: FloatArray
    economics: Economics


def initial_state(params: Params, num_episodes: int) -> State:
    """The start of period 0, with its delivery received.

    Args:
        params: the world.
        num_episodes: B, how many equal copies.
    """
    shape = (num_episodes, params.num_products)
    cells = (num_episodes, params.num_segments, params.num_products)
    on_order = np.zeros((params.pipeline_length, *shape), dtype=np.int64).transpose(1, 2, 0)
    on_hand = np.tile(params.initial_on_hand, (num_episodes, 1))
    if params.pipeline_length:
        on_hand += params.initial_pipeline[:, 0]
        on_order[:, :, :-1] = params.initial_pipeline[:, 1:]
    return State(
        period=0,
        on_hand=on_hand,
        on_order=on_order,
        backorders=np.zeros(shape, dtype=np.int64),
        affinity=np.tile(params.affinity, (num_episodes, 1, 1)),
        last_exposure=np.zeros(cells),
        last_clicks=np.zeros(cells, dtype=np.int64),
        last_sales=np.zeros(shape, dtype=np.int64),
        last_stockout=np.zeros(shape, dtype=np.bool_),
    )
