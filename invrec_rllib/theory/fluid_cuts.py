"""Cuts for demand's noise: found where a solution of the fluid program sells more than its stock allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray
from invrec_rllib.theory.fluid_noise import DEMAND_PRICES, WindowValues
from invrec_rllib.theory.fluid_program import FluidProgram


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cuts on windows of one product and length; arrays (C,).

    Attributes:
        window: number among the window values.
        start: first period of the window.
        stock: whole units at which the window's value is extended by its next step.
        price: index of the price of mean demand.
    """

    window: int
    start: IntArray
    stock: IntArray
    price: IntArray


def violated_cuts(
    fluid: FluidProgram, windows: Sequence[WindowValues], solution: FloatArray, *, tolerance: float
) -> list[Cuts]:
    """The most violated cut of every window whose sales exceed what its stock and mean demand allow.

    Args:
        fluid: the program.
        windows: values of its windows.
        solution: of the program.
        tolerance: units by which sales may exceed.
    """
    found = []
    for number, window in enumerate(windows):
        sales, supply, demand = (solution[columns].sum(axis=0) for columns in _window_columns(fluid, window))
        rows, most = np.arange(len(sales)), window.values.shape[1] - 1
        stock = np.clip(supply.astype(np.int64), 0, most - 1)
        value, next_value = window.values[rows, stock], window.values[rows, stock + 1]
        bound = value + (supply - stock)[:, None] * (next_value - value) + demand[:, None] * DEMAND_PRICES
        price = bound.argmin(axis=1)
        start = np.flatnonzero(sales > bound[rows, price] + tolerance)
        if len(start):
            found.append(Cuts(number, start, stock[start], price[start]))
    return found


def add_cuts(fluid: FluidProgram, windows: Sequence[WindowValues], cuts: Sequence[Cuts]) -> None:
    """Add `sales <= F(stock) + step x (supply - stock) + price x mean demand` to a program."""
    for cut in cuts:
        window = windows[cut.window]
        sales, supply, demand = (columns[:, cut.start] for columns in _window_columns(fluid, window))
        value = window.values[cut.start, cut.stock, cut.price]
        step = window.values[cut.start, cut.stock + 1, cut.price] - value
        rows = fluid.program.below(value - step * cut.stock)
        fluid.program.add_below(
            (rows, sales, 1.0), (rows, supply, -step), (rows, demand, -DEMAND_PRICES[cut.price])
        )


def _window_columns(fluid: FluidProgram, window: WindowValues) -> tuple[IntArray, IntArray, IntArray]:
    """Columns of each window's sales, supply and mean demand; each (number of columns, windows)."""
    starts = len(window.values)
    periods = np.arange(window.periods)[:, None] + np.arange(starts)
    product = window.product
    # What is sold in the window and what is left at its end is what it had to sell from.
    sold = fluid.supply[1:, periods, product].reshape(-1, starts)
    left = fluid.on_hand_end[periods[-1:], product]
    return fluid.first[periods, product], np.concatenate((sold, left)), fluid.demand[periods, product]
