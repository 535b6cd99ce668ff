"""The recipes of the presets, stored as numbers in presets/*.yaml; `grocery` comes from sales data instead."""

from __future__ import annotations

import math
from typing import Any

from invrec_rllib.scenario.generator import generate_scenario
from invrec_rllib.scenario.schema import (
    Demand,
    Products,
    Recommendation,
    Scenario,
    Segments,
    Tastes,
)

_SEED = 1

_RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("10 products, 5 segments, drifting tastes, a supplier's limit per period.", {}),
    "seasonal": (
        "One season of 30 periods with long lead times: what is left at the end loses most of its value.",
        {
            "periods": 30,
            "lead_times": (3, 4, 5),
            "taste_noise": 0.25,
            "disappointment": 0.0,
            "salvage_share": 0.4,
            "order_limit_share": None,
            "season_peak": True,
        },
    ),
    "capacity": (
        "All products share storage of 100 units; stock above it costs 3 per unit and period.",
        {
            "taste_noise": 0.2,
            "disappointment": 0.0,
            "order_limit_share": None,
            "capacity": 100.0,
            "overflow_cost": 3.0,
        },
    ),
    "large": (
        "100 products, 8 segments.",
        {
            "num_products": 100,
            "num_segments": 8,
            "slots": 5,
            "periods": 52,
            "lead_times": (1, 2, 3, 4),
            "mean_demand": 3.0,
            "affinity_spread": 1.2,
            "order_limit_share": 2.0,
        },
    ),
    "huge": (
        "2,000 products, 8 segments: for speed and scale.",
        {
            "num_products": 2000,
            "num_segments": 8,
            "slots": 20,
            "periods": 52,
            "lead_times": (1, 2, 3, 4),
            "mean_demand": 1.5,
            "affinity_spread": 1.5,
            "order_limit_share": None,
        },
    ),
}


def build_preset(name: str) -> Scenario:
    """The scenario that presets/NAME.yaml stores; `grocery` is built by the calibration instead."""
    if name == "tiny":
        return _tiny()
    description, knobs = _RECIPES[name]
    return generate_scenario(seed=_SEED, name=name, description=description, **knobs)


def generated_presets() -> tuple[str, ...]:
    """Names that `build_preset` knows."""
    return ("tiny", *_RECIPES)


def _tiny() -> Scenario:
    """Two products, one segment, one slot: small enough for an exact dynamic program."""
    price = (10.0, 11.0)
    unit_cost = tuple(round(0.6 * p, 4) for p in price)
    return Scenario(
        name="tiny",
        description="2 products, 1 segment, 1 slot: small enough to solve exactly.",
        periods=30,
        products=Products(
            price=price,
            unit_cost=unit_cost,
            holding_cost=tuple(round(0.02 * c, 4) for c in unit_cost),
            stockout_penalty=tuple(round(0.05 * p, 4) for p in price),
            order_cost=(0.0, 0.0),
            salvage_value=tuple(round(0.9 * c, 4) for c in unit_cost),
            lead_time=(1, 1),
            max_order=(3, 3),
            initial_on_hand=(4, 4),
            initial_pipeline=((2,), (2,)),
        ),
        segments=Segments(
            traffic=(8.0,),
            affinity=((round(math.log(0.5), 6),) * 2,),
            lift=(round(math.log(3.0), 6),),
        ),
        demand=Demand(),
        tastes=Tastes(reversion=0.1, noise=0.0),
        recommendation=Recommendation(slots=1),
    )
