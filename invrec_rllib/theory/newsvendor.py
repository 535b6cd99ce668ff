"""One product, one period: the newsvendor, and its best order and exposure together.

Source: Arrow, Harris and Marschak (1951); with the terms of this model's profit, which adds a penalty [b] on lost
demand and a holding cost [h] on what is left before it is salvaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from invrec_rllib.errors import InputError
from invrec_rllib.sim.choice import mean_demand
from invrec_rllib.sim.params import FloatArray, Params
from invrec_rllib.theory.demand import Demand, counted_demand

# Exposures that are tried before the best one is refined: the profit may have several peaks.
_EXPOSURES = 257


class OrderChoice(NamedTuple):
    """A best order and what it earns: units, and expected profit in money."""

    quantity: float
    profit: float


class ShownOrderChoice(NamedTuple):
    """A best order and exposure together: units, exposure in [0, 1], expected profit in money."""

    quantity: float
    exposure: float
    profit: float


@dataclass(frozen=True)
class Newsvendor:
    """Money per unit of a product that is ordered once, sold in one period, and salvaged.

    Attributes:
        price: [p], > 0.
        unit_cost: [c], >= 0.
        salvage_value: of a unit left over [s], at most the unit cost.
        holding_cost: of a unit left over [h], >= 0.
        stockout_penalty: of a unit of demand lost [b], >= 0.

    Raises:
        InputError: a value is out of range, or neither buying too much nor too little costs anything.
    """

    price: float
    unit_cost: float
    salvage_value: float = 0.0
    holding_cost: float = 0.0
    stockout_penalty: float = 0.0

    def __post_init__(self) -> None:
        for name in ("price", "unit_cost", "salvage_value", "holding_cost", "stockout_penalty"):
            # Written so that NaN fails.
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)}, must be a number >= 0")
        if self.salvage_value > self.unit_cost:
            raise InputError(
                f"salvage_value is {self.salvage_value}, above unit_cost = {self.unit_cost}: "
                "buying to salvage would earn money"
            )

    @property
    def underage(self) -> float:
        """Money lost per unit short, against buying it [p - c + b]; below 0 it is not worth buying at all."""
        return self.price - self.unit_cost + self.stockout_penalty

    @property
    def overage(self) -> float:
        """Money lost per unit left over [c - s + h]."""
        return self.unit_cost - self.salvage_value + self.holding_cost

    @property
    def critical_ratio(self) -> float:
        """Share of demand to cover [(p - c + b) / (p - s + b + h)], at least 0.

        Raises:
            InputError: leftovers cost nothing, so that no order is too large.
        """
        if self.overage <= 0.0 < self.underage:
            raise InputError(
                "no order is too large: salvage_value less holding_cost equals unit_cost; lower one of them"
            )
        return max(self.underage, 0.0) / max(self.underage + self.overage, np.finfo(float).tiny)

    def expected_profit(self, quantity: FloatArray | float, demand: Demand) -> FloatArray:
        """`p E S - c q + (s - h) (q - E S) - b (E D - E S)`, money, shape of the order.

        Args:
            quantity: units ordered [q], >= 0, whole where demand is.
            demand: of the period.
        """
        sales = demand.expected_sales(quantity)
        profit: FloatArray = (
            self.price * sales
            - self.unit_cost * quantity
            + (self.salvage_value - self.holding_cost) * (quantity - sales)
            - self.stockout_penalty * (demand.mean - sales)
        )
        return profit

    def best_order(self, demand: Demand) -> OrderChoice:
        """The order `q* = F^-1((p - c + b) / (p - s + b + h))`, 0 where the ratio is 0, and its profit."""
        ratio = self.critical_ratio
        quantity = max(demand.quantile(ratio), 0.0) if ratio > 0.0 else 0.0
        return OrderChoice(quantity, float(self.expected_profit(quantity, demand)))


def best_shown_order(params: Params) -> ShownOrderChoice:
    """The order and exposure of the largest expected profit in a world of one product and one period.

    For any exposure the best order is the newsvendor's; over exposures the profit is the largest of smooth
    functions, one per order, so it is searched on a grid and refined around its best point. More demand need not
    be better: of a product too slow to be worth stocking it only adds penalties.

    Args:
        params: one product with lead time 0 and nothing in stock, one segment, one period; either form of lift.

    Raises:
        InputError: the world is another.
    """
    _check_single(params)
    vendor = Newsvendor(
        price=float(params.price[0, 0]),
        unit_cost=float(params.unit_cost[0]),
        salvage_value=float(params.salvage_value[0]),
        holding_cost=float(params.holding_cost[0]),
        stockout_penalty=float(params.stockout_penalty[0]),
    )
    cv = params.scenario.demand.noise_cv
    rent = params.scenario.recommendation.exposure_cost

    def choice(exposure: float) -> OrderChoice:
        mean = mean_demand(params, params.affinity, np.full((1, 1), exposure), period=0)[0, 0]
        return vendor.best_order(counted_demand(float(mean), cv=cv))

    def loss(exposure: float) -> float:
        return rent * exposure - choice(exposure).profit

    grid = np.linspace(0.0, min(params.slots, 1.0), _EXPOSURES)
    losses = [loss(exposure) for exposure in grid]
    best = int(np.argmin(losses))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, _EXPOSURES - 1)])
    refined = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9})
    exposure = float(refined.x) if refined.fun < losses[best] else float(grid[best])
    return ShownOrderChoice(choice(exposure).quantity, exposure, -loss(exposure))


def _check_single(params: Params) -> None:
    facts = {
        "products": (params.num_products, 1),
        "segments": (params.num_segments, 1),
        "periods": (params.num_periods, 1),
        "products.lead_time": (int(params.lead_time.max()), 0),
        "products.initial_on_hand": (int(params.initial_on_hand.max()), 0),
        "products.order_cost": (float(params.order_cost.max()), 0.0),
    }
    for name, (value, needed) in facts.items():
        if value != needed:
            raise InputError(f"{name} is {value}, must be {needed} for the order of a single period")
    if params.limits_orders or params.scenario.supply.capacity is not None:
        raise InputError(
            "products.max_order and supply.capacity must be null for the order of a single period"
        )
