"""Random worlds and random plays in them, for the simulator's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import Outcome, Params, Simulator, State


@st.composite
def worlds(draw: st.DrawFn, **fixed: Any) -> Scenario:
    """Small scenarios with every option on or off; `fixed` holds options to a value (see `make_world`)."""
    options: dict[str, Any] = {
        "products": draw(st.integers(1, 5)),
        "segments": draw(st.integers(1, 3)),
        "periods": draw(st.integers(4, 9)),
        "longest_lead_time": draw(st.integers(0, 2)),
        "substitution": draw(st.sampled_from([0.0, 0.4, 1.0])),
        "backorder": draw(st.booleans()),
        "order_costs": draw(st.booleans()),
        "capacity": draw(st.booleans()),
        "season": draw(st.booleans()),
        "promotions": draw(st.booleans()),
        "delays": draw(st.booleans()),
        "review_periods": draw(st.integers(1, 3)),
        "carryover": draw(st.sampled_from([0.0, 0.3])),
        "disappointment": draw(st.sampled_from([0.0, 0.5])),
        "linear_lift": draw(st.booleans()),
        "noise_cv": draw(st.sampled_from([0.0, 0.3, 1.5])),
        "taste_noise": draw(st.sampled_from([0.0, 0.3])),
        "exposure_cost": draw(st.sampled_from([0.0, 0.7])),
        "supply_limit": draw(st.booleans()),
        "lift": draw(st.sampled_from([0.0, 0.9])),
    }
    return make_world(draw(st.integers(0, 2**32 - 1)), **{**options, **fixed})


def make_world(
    seed: int,
    *,
    products: int = 4,
    segments: int = 2,
    periods: int = 8,
    longest_lead_time: int = 2,
    substitution: float = 0.0,
    backorder: bool = False,
    order_costs: bool = False,
    capacity: bool = False,
    season: bool = False,
    promotions: bool = False,
    delays: bool = False,
    review_periods: int = 1,
    carryover: float = 0.0,
    disappointment: float = 0.0,
    linear_lift: bool = False,
    noise_cv: float = 0.3,
    taste_noise: float = 0.3,
    exposure_cost: float = 0.0,
    supply_limit: bool = False,
    lift: float = 0.9,
) -> Scenario:
    """One random world with the options given."""
    rng = np.random.default_rng(seed)
    n, m, t = products, segments, periods
    price = rng.uniform(5, 50, n)
    lead_time = rng.integers(0, longest_lead_time + 1, n).tolist()
    unit_cost = price * rng.uniform(0.3, 0.9, n)
    path = (price * rng.choice([0.7, 1.0], (t, n))).tolist() if promotions else None
    return Scenario.model_validate(
        {
            "name": "random",
            "periods": t,
            "products": {
                "price": price.tolist(),
                "unit_cost": unit_cost.tolist(),
                "holding_cost": rng.uniform(0, 1, n).tolist(),
                "stockout_penalty": rng.uniform(0, 3, n).tolist(),
                "order_cost": (rng.uniform(0, 20, n) * order_costs).tolist(),
                "salvage_value": (unit_cost * rng.uniform(0, 1, n)).tolist(),
                "lead_time": lead_time,
                "max_order": rng.integers(0, 9, n).tolist() if supply_limit else None,
                "initial_on_hand": rng.integers(0, 12, n).tolist(),
                "initial_pipeline": [rng.integers(0, 6, k).tolist() for k in lead_time],
            },
            "segments": {
                "traffic": rng.uniform(1, 25, m).tolist(),
                "affinity": rng.normal(-1, 1, (m, n)).tolist(),
                "lift": (lift * rng.uniform(0.5, 1.5, m)).tolist(),
                "price_elasticity": rng.uniform(0, 3, m).tolist() if promotions else None,
            },
            "demand": {
                "lift_form": "linear" if linear_lift else "exponential",
                "noise_cv": noise_cv,
                "substitution": substitution,
                "unmet": "backorder" if backorder else "lost",
                "season": rng.uniform(0, 2, t).tolist() if season else None,
                "price_path": path,
            },
            "tastes": {
                "carryover": carryover,
                "disappointment": disappointment,
                "noise": taste_noise,
                "common_share": float(rng.uniform()),
            },
            "supply": {
                "review_periods": review_periods,
                "capacity": float(rng.uniform(0, 20)) if capacity else None,
                "overflow_cost": 1.5 if capacity else 0.0,
                "delay_probabilities": [0.5, 0.25, 0.25] if delays and max(lead_time) + 2 < t else [1.0],
            },
            "recommendation": {"slots": float(rng.uniform(0.3, n)), "exposure_cost": exposure_cost},
        }
    )


@dataclass(frozen=True)
class Plan:
    """Actions of a whole run: order (T, B, N), exposure (T, B, M, N)."""

    order: np.ndarray[Any, np.dtype[np.int64]]
    exposure: np.ndarray[Any, np.dtype[np.float64]]

    def of_episodes(self, episodes: Any) -> Plan:
        return Plan(self.order[:, episodes], self.exposure[:, episodes])


def random_plan(params: Params, num_episodes: int, *, seed: int) -> Plan:
    """Orders and exposures that every world with these params allows."""
    rng = np.random.default_rng(seed)
    t, n, m = params.num_periods, params.num_products, params.num_segments
    order = np.minimum(rng.integers(0, 9, (t, num_episodes, n)), params.max_order)
    order[np.arange(t) % params.scenario.supply.review_periods != 0] = 0
    exposure = rng.uniform(0, 1, (t, num_episodes, m, n))
    total = exposure.sum(axis=-1, keepdims=True)
    return Plan(order, exposure * np.minimum(1.0, params.slots / total))


@dataclass(frozen=True)
class Run:
    """Everything that happened: T + 1 states and T outcomes."""

    states: list[State]
    outcomes: list[Outcome]

    def total(self, field: str) -> Any:
        """Sum over periods of a field of the outcome or its economics."""
        return sum(
            getattr(o, field) if hasattr(o, field) else getattr(o.economics, field) for o in self.outcomes
        )


def play(world: Scenario | Params, plan: Plan, *, seed: int = 0, episodes: Any = None) -> Run:
    """Play a plan to the horizon; `episodes` are indices, by default 0..B-1."""
    simulator = Simulator(world)
    states = [simulator.reset(seed=seed, episodes=plan.order.shape[1] if episodes is None else episodes)]
    outcomes = []
    while not simulator.done:
        t = simulator.state.period
        outcomes.append(simulator.step(order=plan.order[t], exposure=plan.exposure[t]))
        states.append(simulator.state)
    return Run(states, outcomes)
