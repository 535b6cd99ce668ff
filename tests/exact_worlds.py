"""Worlds small enough to solve exactly, for the tests of theory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.theory.coordination import Coordination, solve_coordination
from invrec_rllib.theory.dynamic_program import Solved, solve


def small_world(
    *,
    products: int = 2,
    lead_times: tuple[int, ...] = (1, 1),
    money: dict[str, Any] | None = None,
    **changes: Any,
) -> Scenario:
    """Slow products over a few periods; `money` updates the products, `changes` other sections or plain fields."""
    data: dict[str, Any] = {
        "name": "small",
        "periods": 6,
        "products": {
            "price": [10.0, 12.0][:products],
            "unit_cost": [6.0, 7.0][:products],
            "holding_cost": 0.2,
            "stockout_penalty": 0.5,
            "order_cost": 0.0,
            "salvage_value": [4.0, 5.0][:products],
            "lead_time": list(lead_times[:products]),
            "max_order": 4,
            "initial_on_hand": 1,
            "initial_pipeline": [[1] * lead_time for lead_time in lead_times[:products]],
        },
        "segments": {"traffic": [4.0], "affinity": [[-0.5, -0.3][:products]], "lift": [1.1]},
        "recommendation": {"slots": 1.0},
    }
    data["products"] |= money or {}
    for name, value in changes.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return Scenario.model_validate(data)


@lru_cache(maxsize=1)
def tiny_solved() -> Solved:
    """The preset `tiny`."""
    return solve(load_scenario("tiny"))


@lru_cache(maxsize=1)
def tiny_coordination() -> Coordination:
    """The preset `tiny`, for the firm and its departments."""
    return solve_coordination(load_scenario("tiny"))
