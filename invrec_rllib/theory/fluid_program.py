"""The fluid linear program of one path of tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import State, initial_state
from invrec_rllib.theory.fluid_choice import ChoiceBounds
from invrec_rllib.theory.linear_program import LinearProgram


@dataclass(frozen=True, eq=False)
class FluidStart:
    """Where a program begins, for one episode.

    Attributes:
        period: t.
        on_hand: units, deliveries received, (N,).
        on_order: units that arrive in l + 1 periods, (N, P).
        backorders: units of demand that wait, (N,).
    """

    period: int
    on_hand: IntArray
    on_order: IntArray
    backorders: IntArray

    @classmethod
    def of_world(cls, params: Params) -> FluidStart:
        """The start of every episode."""
        return cls.of_state(initial_state(params, 1), 0)

    @classmethod
    def of_state(cls, state: State, episode: int) -> FluidStart:
        """One episode of a batch."""
        return cls(state.period, state.on_hand[episode], state.on_order[episode], state.backorders[episode])


@dataclass(frozen=True, eq=False)
class FluidProgram:
    """A linear program and where its quantities stand. H periods; columns (H, N) unless said otherwise.

    Attributes:
        program: the linear program.
        order: units ordered [q].
        on_hand_end: units left at the end of the period.
        first: demand that its first choice serves.
        supply: columns that add up to the stock from which the period sells, (S, H, N).
        demand: mean demand.
        buys_nothing: probability that a visitor buys nothing, (H, M).
        shown: exposure times that probability, (H, M, N).
        balance: rows of the stock balance, (H, N); their price is the value of one more unit on hand.
    """

    program: LinearProgram
    order: IntArray
    on_hand_end: IntArray
    first: IntArray
    supply: IntArray
    demand: IntArray
    buys_nothing: IntArray
    shown: IntArray
    balance: IntArray


def fluid_program(
    params: Params,
    bounds: ChoiceBounds,
    start: FluidStart,
    *,
    stock_gain: FloatArray | None = None,
) -> FluidProgram:
    """Expected sales, orders and slates of H periods, given the path of tastes.

    Every policy's expected quantities, given the path, are feasible, and its expected profit is at most their
    value here, so the optimum bounds it:

    - Stock balance, `sales <= demand drawn` and `sales <= stock` hold on every path and are linear; demand's
      mean given exposure and tastes is `visitors x P`. Delays are independent of orders, so of an order the
      share `P(delay = d)` arrives after `L + d` periods in the mean. Orders need not be whole.
    - Choice probabilities `P_i = w_i P_0` with `w` as in `ChoiceBounds` obey `P_0 + sum P = 1`,
      `floor_i P_0 <= P_i <= unexposed_i P_0 + (exposed_i - unexposed_i) z_i`, where `z_i = e_i P_0`,
      `0 <= z_i <= P_0`, `sum z <= K P_0`; all linear, so means over demand's noise obey them too. For the
      multinomial logit this sales-based form equals the choice-based program over all slates (Gallego,
      Ratliff and Shebalov 2015).
    - Overflow is convex in stock, and exposure costs at least `r z / P_0,max`.
    - A fixed order cost is at least `k / Qmax` per unit; without a limit it is left out.
    - Unmet demand of which a share `delta` asks again may be served once by any product, whoever has stock.

    Args:
        params: the world.
        bounds: attractions within reach in the H periods.
        start: where they begin.
        stock_gain: money added per unit on hand or on order at the end of a period, (H, N).

    Returns:
        The program. Its objective leaves the initial stock unpaid. Where H ends before the horizon, what is
        left on hand and on order is worth its unit cost.
    """
    build = _Builder(params, bounds, start)
    build.stock(np.zeros(build.cells) if stock_gain is None else stock_gain)
    build.choice()
    build.service()
    build.capacity()
    return build.result()


class _Builder:
    def __init__(self, params: Params, bounds: ChoiceBounds, start: FluidStart) -> None:
        self.params, self.bounds, self.start = params, bounds, start
        self.horizon, _, self.num_products = bounds.floor.shape
        self.cells = (self.horizon, self.num_products)
        self.periods = np.arange(start.period, start.period + self.horizon)
        self.program = LinearProgram()

    def stock(self, stock_gain: FloatArray) -> None:
        params, (horizon, _) = self.params, self.cells
        ends = self.periods[-1] == params.num_periods - 1
        worth = params.salvage_value if ends else params.unit_cost
        arriving = _arrival_share(params)
        cumulative = np.cumsum(arriving, axis=0)
        # Of an order of period t some is still under way when the program ends.
        ahead = np.minimum(horizon - 1 - np.arange(horizon), len(cumulative) - 1)
        gain = -params.unit_cost + worth * (1.0 - cumulative[ahead])
        if params.limits_orders:
            gain = gain - np.divide(
                params.order_cost,
                params.max_order,
                out=np.zeros(self.num_products),
                where=params.max_order > 0,
            )
        gain = gain + _while_under_way(stock_gain, cumulative)
        most = params.max_order.astype(np.float64) if params.limits_orders else np.inf
        open_ = self.periods % params.scenario.supply.review_periods == 0
        upper = np.where(open_[:, None], np.broadcast_to(most, self.cells), 0.0)
        self.order = self.program.columns(self.cells, gain=gain, upper=upper)
        keeping = stock_gain - params.holding_cost
        keeping[-1] += worth
        self.end = self.program.columns(self.cells, gain=keeping)
        add = self.program.add_equal
        self.balance = self.program.equal(_known_arrivals(self.start, self.cells))
        add((self.balance, self.end, 1.0), (self.balance[1:], self.end[:-1], -1.0))
        for wait, share in enumerate(arriving[:horizon]):
            add((self.balance[wait:], self.order[: horizon - wait], -share))

    def choice(self) -> None:
        bounds, program = self.bounds, self.program
        shape = bounds.floor.shape
        gained = bounds.exposed - bounds.unexposed
        most_nothing = 1.0 / (1.0 + bounds.floor.sum(axis=2))
        rent = self.params.scenario.recommendation.exposure_cost
        self.nothing = program.columns(shape[:2])
        self.shown = program.columns(shape, gain=-rent / most_nothing[:, :, None])
        self.demand = program.columns(self.cells)
        nothing = self.nothing[:, :, None]
        one, mean = program.equal(np.ones(shape[:2])), program.equal(np.zeros(self.cells))
        probability = [(nothing, bounds.unexposed), (self.shown, gained)]
        if bounds.loses:
            less = program.columns(shape)
            probability.append((less, -np.ones(shape)))
            program.add_below(*_at_most(program, less, nothing, bounds.unexposed - bounds.floor))
        program.add_equal((one, self.nothing, 1.0), (mean, self.demand, -1.0))
        for column, weight in probability:
            program.add_equal((one[:, :, None], column, weight))
            program.add_equal((mean[:, None, :], column, bounds.visitors * weight))
        program.add_below(*_at_most(program, self.shown, nothing, np.ones(shape)))
        budget = program.below(np.zeros(shape[:2]))
        program.add_below((budget[:, :, None], self.shown, 1.0), (budget, self.nothing, -self.params.slots))

    def service(self) -> None:
        """Who is served: first choices, second choices, and who waited; what of demand stays unmet."""
        params, program = self.params, self.program
        price, penalty = params.price[self.periods], params.stockout_penalty
        # Penalties fall on what is unmet; its parts below carry them.
        self.first = program.columns(self.cells, gain=price)
        sold = [self.first]
        unmet = [(self.demand, 1.0), (self.first, -1.0)]
        met_by_others = params.scenario.demand.substitution
        if met_by_others:
            second = program.columns(self.cells, gain=price)
            met = program.columns(self.cells)
            sold.append(second)
            unmet.append((met, -1.0))
            same = program.equal(np.zeros(self.horizon))[:, None]
            program.add_equal((same, second, 1.0), (same, met, -1.0))
            asked = program.below(np.zeros(self.horizon))[:, None]
            program.add_below(
                (asked, second, 1.0), (asked, self.demand, -met_by_others), (asked, self.first, met_by_others)
            )
        unserved = program.columns(self.cells, gain=0.0 if params.waits else -penalty)
        rest = program.equal(np.zeros(self.cells))
        program.add_equal((rest, unserved, -1.0), *((rest, column, sign) for column, sign in unmet))
        if params.waits:
            sold.append(self._backlog(unserved, price=price, penalty=penalty))
        program.add_equal(*((self.balance, column, 1.0) for column in sold))
        self.supply = np.stack((self.end, *sold))

    def _backlog(self, unserved: IntArray, *, price: FloatArray, penalty: FloatArray) -> IntArray:
        """Who waits, at the end of the period; returns the columns of those who waited and are served."""
        program = self.program
        caught_up = program.columns(self.cells, gain=price)
        waiting = program.columns(self.cells, gain=-penalty)
        before = np.zeros(self.cells)
        before[0] = self.start.backorders
        flow, served = program.equal(before), program.below(before)
        program.add_equal(
            (flow, waiting, 1.0),
            (flow[1:], waiting[:-1], -1.0),
            (flow, caught_up, 1.0),
            (flow, unserved, -1.0),
        )
        program.add_below((served, caught_up, 1.0), (served[1:], waiting[:-1], -1.0))
        return caught_up

    def capacity(self) -> None:
        supply = self.params.scenario.supply
        if supply.capacity is None or not supply.overflow_cost:
            return
        above = self.program.columns((self.horizon,), gain=-supply.overflow_cost)
        rows = self.program.below(np.full(self.horizon, supply.capacity))
        self.program.add_below((rows, above, -1.0), (rows[:, None], self.supply, 1.0))

    def result(self) -> FluidProgram:
        return FluidProgram(
            program=self.program,
            order=self.order,
            on_hand_end=self.end,
            first=self.first,
            supply=self.supply,
            demand=self.demand,
            buys_nothing=self.nothing,
            shown=self.shown,
            balance=self.balance,
        )


def _at_most(
    program: LinearProgram, column: IntArray, other: IntArray, factor: FloatArray
) -> tuple[tuple[IntArray, IntArray, float], tuple[IntArray, IntArray, FloatArray]]:
    """Terms of new rows `column <= factor x other`."""
    rows = program.below(np.zeros(column.shape))
    return (rows, column, 1.0), (rows, other, -factor)


def _arrival_share(params: Params) -> FloatArray:
    """Share of an order that arrives d periods after its placement, (P + 1, N)."""
    delay = np.diff(params.delay_cumulative, prepend=0.0)
    wait = np.arange(params.pipeline_length + 1)[:, None] - params.lead_time
    inside = (wait >= 0) & (wait < len(delay))
    share: FloatArray = np.where(inside, delay[np.clip(wait, 0, len(delay) - 1)], 0.0)
    return share


def _while_under_way(stock_gain: FloatArray, arrived_share: FloatArray) -> FloatArray:
    """What a unit ordered in each period gains until it arrives, (H, N)."""
    total = np.zeros_like(stock_gain)
    for wait, arrived in enumerate(arrived_share[: len(stock_gain)]):
        total[: len(stock_gain) - wait] += (1.0 - arrived) * stock_gain[wait:]
    return total


def _known_arrivals(start: FluidStart, cells: tuple[int, int]) -> FloatArray:
    """Units on hand at first and then arriving from orders placed before, (H, N)."""
    arrivals = np.zeros(cells)
    arrivals[0] = start.on_hand
    within = min(cells[0] - 1, start.on_order.shape[1])
    arrivals[1 : within + 1] = start.on_order[:, :within].T
    return arrivals
