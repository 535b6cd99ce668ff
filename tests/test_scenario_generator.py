"""Random scenarios: seeded, as the recipe says, with named faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invrec_rllib.errors import ScenarioError
from invrec_rllib.scenario import generate_scenario, organic_demand
from invrec_rllib.sim import compile_scenario, initial_state, mean_demand


def test_the_same_seed_and_knobs_give_the_same_scenario_and_another_seed_another() -> None:
    assert generate_scenario(seed=3, slots=1) == generate_scenario(seed=3, slots=1)
    assert generate_scenario(seed=3) != generate_scenario(seed=4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 30), st.integers(1, 6), st.floats(0.05, 5), st.floats(1, 20))
def test_draws_meet_the_recipe(seed: int, n: int, m: int, popularity: float, d: float) -> None:
    world = generate_scenario(
        seed=seed,
        num_products=n,
        num_segments=m,
        slots=1,
        popularity=popularity,
        mean_demand=d,
        lift_odds=3.0,
    )
    params = compile_scenario(world)
    assert (world.products.count, world.segments.count) == (n, m)
    attraction = np.exp(params.affinity).sum(axis=1)
    np.testing.assert_allclose(attraction, popularity, rtol=1e-3)
    unexposed = mean_demand(params, initial_state(params, 1).affinity, np.zeros((1, m, n)), period=0)
    assert unexposed.sum() == pytest.approx(d * n, rel=2e-3)
    price, cost = np.array(world.products.price), np.array(world.products.unit_cost)
    assert ((price >= 20) & (price <= 60)).all()
    assert ((1 - cost / price >= 0.3 - 1e-3) & (1 - cost / price <= 0.5 + 1e-3)).all()
    assert np.exp(world.segments.lift) == pytest.approx(3.0, rel=1e-5)
    assert world.products.lead_time == tuple([1, 2, 3][i % 3] for i in range(n))


def test_initial_stock_covers_one_and_a_half_periods_and_each_slot_one() -> None:
    world = generate_scenario(seed=1)
    organic = organic_demand(world)
    assert world.products.initial_on_hand == tuple(round(1.5 * units) for units in organic)
    assert world.products.max_order == tuple(round(1.5 * units) for units in organic)
    for units, pipeline, lead_time in zip(
        organic, world.products.initial_pipeline, world.products.lead_time, strict=True
    ):
        assert pipeline == (round(units),) * lead_time


def test_a_season_peaks_at_55_percent_of_the_horizon_with_mean_one() -> None:
    season = np.array(generate_scenario(seed=1, season_peak=True, periods=40).demand.season)
    assert season.argmax() == 22
    assert season.mean() == pytest.approx(1.0, abs=1e-6)


def test_provenance_records_seed_and_changed_knobs() -> None:
    world = generate_scenario(seed=9, taste_noise=0.1)
    assert world.provenance == {"generator": {"seed": 9, "taste_noise": 0.1}}


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"num_products": 0}, "num_products: must be at least 1, got 0"),
        ({"colour": 1}, "colour: unknown key; known are num_products, num_segments"),
        ({"slots": 20}, "slots = 20 is above num_products = 10"),
        ({"lead_times": ()}, r"lead_times: must have at least 1 entries, got \(\)"),
        ({"lead_times": (70,)}, r"lead_times\[0\]: must be at most 52, got 70"),
        ({"periods": 3}, "lead_times up to 3 are not below periods = 3"),
        ({"price_range": (0, 0)}, r"price_range\[0\]: must be at least 0.01, got 0"),
        ({"margin_range": (0.5, 0.3)}, r"margin_range = \(0.5, 0.3\) must run from low to high"),
        ({"margin_range": (0.5, 1.0)}, r"margin_range\[1\]: must be below 1, got 1.0"),
        ({"taste_noise": 9}, "taste_noise: must be at most 5, got 9"),
        ({"noise_cv": float("nan")}, "noise_cv: must be a finite number, got nan"),
        ({"lift_odds": 0.5}, "lift_odds: must be at least 1, got 0.5"),
        ({"overflow_cost": 1.0}, "overflow_cost is set, but capacity is None"),
        ({"capacity": -1.0}, "capacity: must be at least 0, got -1.0"),
        ({"name": "a b"}, "name: must match"),
    ],
    ids=str,
)
def test_impossible_knobs_are_named(knobs: dict[str, Any], line: str) -> None:
    with pytest.raises(ScenarioError, match=f"(?s)knobs are not valid:.*{line}"):
        generate_scenario(seed=0, **knobs)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_impossible_seeds_are_named(seed: Any) -> None:
    with pytest.raises(ScenarioError, match="seed must be a whole number, at least 0, got"):
        generate_scenario(seed=seed)
