"""The batched simulator against the slow loops of reference.py."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import ReferenceWorld, poisson_by_summation, round_along
from worlds import make_world, random_plan, worlds

from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import (
    EpisodeStreams,
    compile_scenario,
    episode_keys,
    initial_state,
    simulate_period,
)

UNITS = ("clicks", "demand", "sales", "substituted", "lost", "on_hand_end", "delivered")
MONEY = (
    "revenue",
    "purchase_cost",
    "order_cost",
    "holding_cost",
    "stockout_cost",
    "overflow_cost",
    "exposure_cost",
    "initial_stock_cost",
    "salvage",
)


def assert_agrees(
    scenario: Scenario, *, seed: int, num_episodes: int = 2, simulated: Scenario | None = None
) -> None:
    params = compile_scenario(simulated or scenario)
    streams = EpisodeStreams(params, episode_keys(seed, num_episodes))
    plan = random_plan(params, num_episodes, seed=seed)
    state = initial_state(params, num_episodes)
    references = [ReferenceWorld(scenario) for _ in range(num_episodes)]
    for t in range(params.num_periods):
        draws = streams.next_period()
        state, outcome = simulate_period(
            params, state, order=plan.order[t], exposure=plan.exposure[t], draws=draws
        )
        for b, reference in enumerate(references):
            own = SimpleNamespace(**{k: None if v is None else v[b].tolist() for k, v in vars(draws).items()})
            expected = reference.step(plan.order[t, b].tolist(), plan.exposure[t, b].tolist(), own)
            for name in UNITS:
                assert getattr(outcome, name)[b].tolist() == getattr(expected, name), (name, t)
            for name in MONEY:
                assert getattr(outcome.economics, name)[b] == pytest.approx(expected.money[name], abs=1e-9), (
                    name
                )
            assert outcome.economics.profit[b] == pytest.approx(expected.profit, abs=1e-9)
            assert outcome.click_value[b] == pytest.approx(expected.click_value, abs=1e-9)
            assert state.on_hand[b].tolist() == reference.stock
            assert state.backorders[b].tolist() == expected.backorders
            assert state.last_stockout[b].tolist() == expected.stockout
            assert state.last_sales[b].tolist() == expected.sales
            np.testing.assert_allclose(state.affinity[b], expected.affinity_next, rtol=0, atol=1e-9)
            for i, slots in enumerate(state.on_order[b].tolist()):
                assert slots == [reference.on_order(i, slot + 1) for slot in range(len(slots))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.integers(0, 1000))
def test_agrees_with_the_loops_under_all_options(scenario: Scenario, seed: int) -> None:
    assert_agrees(scenario, seed=seed)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backorder": True},
        {"substitution": 0.5},
        {"substitution": 1.0, "backorder": True},
        {"order_costs": True},
        {"capacity": True},
        {"season": True},
        {"promotions": True},
        {"promotions": True, "linear_lift": True},
        {"delays": True, "periods": 10},
        {"longest_lead_time": 0},
        {"longest_lead_time": 0, "delays": True},
        {"review_periods": 3},
        {"carryover": 0.4},
        {"disappointment": 0.6},
        {"linear_lift": True},
        {"noise_cv": 0.0, "taste_noise": 0.0},
        {"exposure_cost": 2.0},
        {"supply_limit": True},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_agrees_with_the_loops_in_each_option(options: dict[str, object]) -> None:
    for seed in range(6):
        assert_agrees(make_world(seed, **options), seed=seed, num_episodes=3)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("tastes", {"disappointment": 0.1}),
        ("tastes", {"carryover": 0.1}),
        ("tastes", {"reversion": 0.2}),
        ("tastes", {"noise": 0.31}),
        ("demand", {"lift_form": "linear"}),
        ("demand", {"unmet": "backorder"}),
        ("demand", {"season": (1.1,) * 8}),
        ("products", {"lead_time": (1,) * 4, "initial_pipeline": ((3,),) * 4}),
        ("products", {"salvage_value": (0.0,) * 4}),
        ("products", {"order_cost": (1.0,) * 4}),
        ("supply", {"capacity": 1.0, "overflow_cost": 1.0}),
        ("recommendation", {"exposure_cost": 0.1}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_the_comparison_rejects_a_simulator_of_another_world(section: str, change: dict[str, object]) -> None:
    world = make_world(0, longest_lead_time=2)
    data = world.model_dump()
    other = Scenario.model_validate({**data, section: {**data[section], **change}})
    assert_agrees(world, seed=0)
    with pytest.raises(AssertionError):
        assert_agrees(world, seed=0, simulated=other)


def test_the_references_own_parts_match_hand_calculations() -> None:
    assert [poisson_by_summation(1.0, u) for u in (0.0, 0.36, 0.37, 0.73, 0.74, 0.92)] == [0, 0, 1, 1, 2, 3]
    assert round_along([0.5, 0.5, 1.0], 0.0) == [0, 1, 1]
    assert round_along([0.5, 0.5, 1.0], 0.6) == [1, 0, 1]
