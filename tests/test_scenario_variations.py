"""A world varied in one respect: that respect changes as told, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.scenario import load_scenario
from invrec_rllib.scenario.derived import organic_demand
from invrec_rllib.scenario.variations import FACTORS, vary

PAPER = load_scenario("paper")


@pytest.mark.parametrize("factor", FACTORS)
def test_a_world_varied_to_where_it_stands_is_the_same(factor: str) -> None:
    varied = vary(PAPER, factor, FACTORS[factor].value(PAPER))
    assert varied.name == f"paper.{factor}"
    before, after = PAPER.model_dump(), varied.model_copy(update={"name": "paper"}).model_dump()
    before["segments"].pop("lift"), before["products"].pop("unit_cost")
    lift, cost = after["segments"].pop("lift"), after["products"].pop("unit_cost")
    assert lift == pytest.approx(PAPER.segments.lift)
    assert cost == pytest.approx(PAPER.products.unit_cost)
    for money in ("holding_cost", "salvage_value"):
        assert after["products"].pop(money) == pytest.approx(before["products"].pop(money))
    assert after == before


@pytest.mark.parametrize("factor", FACTORS)
def test_every_level_by_default_makes_a_world_that_stands_there(factor: str) -> None:
    for level in FACTORS[factor].levels:
        stands = FACTORS[factor].value(vary(PAPER, factor, level))
        if factor not in ("lead_time", "margin"):  # these count from the base
            assert stands == pytest.approx(level)


def test_longer_lead_times_bring_organic_demand_in_the_periods_that_are_new() -> None:
    varied = vary(PAPER, "lead_time", 2)
    organic = np.rint(organic_demand(PAPER))
    for i, lead in enumerate(PAPER.products.lead_time):
        assert varied.products.lead_time[i] == lead + 2
        assert varied.products.initial_pipeline[i][:lead] == PAPER.products.initial_pipeline[i]
        assert varied.products.initial_pipeline[i][lead:] == (organic[i], organic[i])


def test_half_the_margin_leaves_prices_and_the_shares_of_cost() -> None:
    varied = vary(PAPER, "margin", 0.5).products
    base = PAPER.products
    margins = [(p - c) / p for p, c in zip(varied.price, varied.unit_cost, strict=True)]
    expected = [0.5 * (p - c) / p for p, c in zip(base.price, base.unit_cost, strict=True)]
    assert margins == pytest.approx(expected)
    assert varied.price == base.price
    for name in ("holding_cost", "salvage_value"):
        shares = np.array(getattr(varied, name)) / varied.unit_cost
        assert shares == pytest.approx(np.array(getattr(base, name)) / base.unit_cost)


def test_storage_is_in_periods_of_organic_demand_and_costs_what_the_preset_does() -> None:
    varied = vary(PAPER, "capacity", 1.5).supply
    assert varied.capacity == pytest.approx(1.5 * organic_demand(PAPER).sum())
    assert varied.overflow_cost == pytest.approx(0.075 * np.mean(PAPER.products.price))
    limited = load_scenario("capacity")
    assert vary(limited, "capacity", 2.0).supply.overflow_cost == 3.0
    unlimited = vary(limited, "capacity", math.inf).supply
    assert (unlimited.capacity, unlimited.overflow_cost) == (None, 0.0)


@pytest.mark.parametrize(
    ("factor", "value", "message"),
    [
        ("colour", 1.0, "factor 'colour' is unknown, must be one of: lead_time, lift"),
        ("lead_time", 1.5, "lead_time adds 1.5 periods, must be a whole number"),
        ("lead_time", -1.0, "lead_time adds -1 periods"),
        ("lift", 0.5, "lift multiplies the odds by 0.5, must be at least 1"),
        ("lift", math.nan, "must be at least 1"),
        ("margin", 9.0, "unit_cost"),
        ("substitution", 1.5, "demand.substitution"),
        ("lead_time", 80.0, "lead_time"),
    ],
)
def test_levels_that_make_no_world_are_named(factor: str, value: float, message: str) -> None:
    with pytest.raises((InputError, ScenarioError), match=message):
        vary(PAPER, factor, value)
