"""A scenario compiled into the arrays that the simulator computes with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.scenario.derived import organic_demand, price_factor, reward_scale
from invrec_rllib.scenario.schema import Scenario

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Params:
    """Constants of one world. Shapes: N products, M segments, T periods, P = longest lead time plus delay.

    Attributes:
        scenario: where the numbers come from.
        price: price charged per period and product, money, (T, N).
        log_price_ratio: eta ln(p_t / p), (T, M, N); None where prices do not move the attraction.
        price_factor: mean demand at the path's prices over that at base prices, (T, N); None likewise.
        unit_cost, holding_cost, stockout_penalty, order_cost, salvage_value: money, (N,).
        lead_time: periods, (N,).
        max_order: units per period, (N,); the largest integer where the supplier sets no limit.
        initial_on_hand: units, (N,).
        initial_pipeline: units that arrive in period l, (N, P).
        traffic: visitors per segment and period at season 1, (M,).
        season: factor on traffic, (T,).
        affinity: long-run log-attraction, (M, N).
        lift: log-odds of full exposure, (M, 1).
        organic_demand: units per period under uniform exposure, (N,).
        reward_scale: money that makes a reward of 1.
        delay_cumulative: P(delay <= d), (D,); one entry where lead times are certain.
        initial_stock_cost: cost of the initial stock and pipeline, money.
    """

    scenario: Scenario
    price: FloatArray
    log_price_ratio: FloatArray | None
    price_factor: FloatArray | None
    unit_cost: FloatArray
    holding_cost: FloatArray
    stockout_penalty: FloatArray
    order_cost: FloatArray
    salvage_value: FloatArray
    lead_time: IntArray
    max_order: IntArray
    initial_on_hand: IntArray
    initial_pipeline: IntArray
    traffic: FloatArray
    season: FloatArray
    affinity: FloatArray
    lift: FloatArray
    organic_demand: FloatArray
    reward_scale: float
    delay_cumulative: FloatArray
    initial_stock_cost: float

    @property
    def num_products(self) -> int:
        """N."""
        return len(self.lead_time)

    @property
    def num_segments(self) -> int:
        """M."""
        return len(self.traffic)

    @property
    def num_periods(self) -> int:
        """T."""
        return len(self.season)

    @property
    def pipeline_length(self) -> int:
        """P, the longest time from order to arrival."""
        return int(self.initial_pipeline.shape[1])

    @property
    def slots(self) -> float:
        """K, the exposure budget per segment."""
        return self.scenario.recommendation.slots

    @property
    def random_delays(self) -> bool:
        """Whether lead times are stochastic."""
        return len(self.delay_cumulative) > 1

    @cached_property
    def visitors(self) -> FloatArray:
        """Mean visitors per period and segment, (T, M, 1)."""
        return np.multiply.outer(self.season, self.traffic)[:, :, None]

    @cached_property
    def demand_factor(self) -> FloatArray:
        """Mean demand over organic demand: season times the effect of prices; (T, N), or (T, 1) for all products."""
        season = self.season[:, None]
        factor: FloatArray = season if self.price_factor is None else season * self.price_factor
        return factor

    @cached_property
    def product_demand_factor(self) -> FloatArray:
        """The same for every product, (T, N)."""
        factor: FloatArray = np.broadcast_to(self.demand_factor, (self.num_periods, self.num_products))
        return factor

    @cached_property
    def segment_share(self) -> FloatArray:
        """Share of each segment in a product's unexposed long-run demand, (M, N)."""
        attraction = np.exp(self.affinity)
        demand = self.traffic[:, None] * attraction / (1.0 + attraction.sum(axis=1, keepdims=True))
        share: FloatArray = demand / np.maximum(demand.sum(axis=0), 1e-12)
        return share

    @cached_property
    def entry(self) -> IntArray:
        """1 at the lead time of each product, 0 elsewhere, (P + 1, 1, N): where a punctual order enters."""
        slots = np.arange(self.pipeline_length + 1)[:, None, None]
        entry: IntArray = (slots == self.lead_time).astype(np.int64)
        return entry

    @cached_property
    def cost_per_unit(self) -> FloatArray:
        """Cost of a unit ordered, held and not served, money, (3, N)."""
        return np.array((self.unit_cost, self.holding_cost, self.stockout_penalty))

    @cached_property
    def charges_orders(self) -> bool:
        """Whether some product has a fixed cost of ordering."""
        return bool(self.order_cost.any())

    @cached_property
    def affinity_pull(self) -> FloatArray:
        """What the long-run affinity adds per period [rho abar], (M, N)."""
        return self.scenario.tastes.reversion * self.affinity

    @cached_property
    def waits(self) -> bool:
        """Whether unmet demand is backordered."""
        return self.scenario.demand.unmet == "backorder"

    @cached_property
    def limits_orders(self) -> bool:
        """Whether the supplier limits the order of some product."""
        return self.scenario.products.max_order is not None


def compile_scenario(scenario: Scenario) -> Params:
    """Turn a validated scenario into arrays; the only place that reads its fields for the simulator."""
    products, segments, demand = scenario.products, scenario.segments, scenario.demand
    base_price = np.asarray(products.price, dtype=np.float64)
    price: FloatArray = np.broadcast_to(base_price, (scenario.periods, len(base_price)))
    if demand.price_path is not None:
        price = np.asarray(demand.price_path, dtype=np.float64)
    unit_cost = np.asarray(products.unit_cost, dtype=np.float64)
    on_hand = np.asarray(products.initial_on_hand, dtype=np.int64)
    pipeline = _initial_pipeline(scenario)
    params = Params(
        scenario=scenario,
        price=price,
        log_price_ratio=_log_price_ratio(scenario, price, base_price),
        price_factor=price_factor(scenario),
        unit_cost=unit_cost,
        holding_cost=np.asarray(products.holding_cost, dtype=np.float64),
        stockout_penalty=np.asarray(products.stockout_penalty, dtype=np.float64),
        order_cost=np.asarray(products.order_cost, dtype=np.float64),
        salvage_value=np.asarray(products.salvage_value, dtype=np.float64),
        lead_time=np.asarray(products.lead_time, dtype=np.int64),
        max_order=np.full(products.count, np.iinfo(np.int64).max)
        if products.max_order is None
        else np.asarray(products.max_order, dtype=np.int64),
        initial_on_hand=on_hand,
        initial_pipeline=pipeline,
        traffic=np.asarray(segments.traffic, dtype=np.float64),
        season=np.ones(scenario.periods) if demand.season is None else np.asarray(demand.season),
        affinity=np.asarray(segments.affinity, dtype=np.float64),
        lift=np.asarray(segments.lift, dtype=np.float64)[:, None],
        organic_demand=organic_demand(scenario),
        reward_scale=reward_scale(scenario),
        delay_cumulative=np.cumsum(scenario.supply.delay_probabilities),
        initial_stock_cost=float(unit_cost @ (on_hand + pipeline.sum(axis=1))),
    )
    for value in vars(params).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return params


def _initial_pipeline(scenario: Scenario) -> IntArray:
    products = scenario.products
    length = max(products.lead_time) + len(scenario.supply.delay_probabilities) - 1
    pipeline = np.zeros((products.count, length), dtype=np.int64)
    for i, units in enumerate(products.initial_pipeline):
        pipeline[i, : len(units)] = units
    return pipeline


def _log_price_ratio(scenario: Scenario, price: FloatArray, base_price: FloatArray) -> FloatArray | None:
    elasticity = scenario.segments.price_elasticity
    if elasticity is None or scenario.demand.price_path is None:
        return None
    ratio: FloatArray = np.asarray(elasticity)[None, :, None] * np.log(price / base_price)[:, None, :]
    return ratio
