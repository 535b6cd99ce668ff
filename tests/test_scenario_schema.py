"""Every fault of a scenario is named: field, value, and what is allowed."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from invrec_rllib.errors import ScenarioError
from invrec_rllib.scenario import (
    Scenario,
    build_scenario,
    dump_scenario,
    load_scenario,
    organic_demand,
    organic_margin,
    reward_scale,
)

TINY = yaml.safe_load(dump_scenario(load_scenario("tiny")))
ABSENT = object()

# Where, what is put there, and the whole line of the error.
BROKEN: list[tuple[str, Any, str]] = [
    ("products.price", [-1.0, 11.0], "products.price[0]: must be above 0, got -1.0"),
    ("products.price", [10.0, 0.0], "products.price[1]: must be above 0, got 0.0"),
    ("products.price", [math.nan, 11.0], "products.price[0]: must be a finite number, got nan"),
    ("products.price", [10.0, math.inf], "products.price[1]: must be a finite number, got inf"),
    ("products.price", [2e9, 11.0], "products.price[0]: must be at most 1e+09, got 2000000000.0"),
    (
        "products.initial_on_hand",
        [2**63, 1],
        "products.initial_on_hand[0]: must be at most 1e+12, got 9223372036854775808",
    ),
    ("segments.traffic", [1e18], "segments.traffic[0]: must be at most 1e+09, got 1e+18"),
    ("demand.noise_cv", 1e-200, "demand.noise_cv: must be 0 (no noise) or at least 0.001, got 1e-200"),
    ("products.price", ["ten", 11.0], "products.price[0]: must be a number, got 'ten'"),
    ("products.price", [], "products.price: must have at least 1 entries, got []"),
    ("products.price", 10.0, "products.price: must be a list, got 10.0"),
    ("products.price", None, "products.price: must be a list, got None"),
    ("products.price", ABSENT, "products.price: missing, but required"),
    (
        "products.price",
        [True, 1.0],
        "products.price: must not hold true or false (in YAML also yes, no, on, off), got [True, 1.0]",
    ),
    (
        "products.unit_cost",
        [6.0],
        "products.unit_cost has 1 entries, but products.price has 2: give one for each",
    ),
    ("products.unit_cost", [-6.0, 6.6], "products.unit_cost[0]: must be at least 0, got -6.0"),
    ("products.unit_cost", "cheap", "products.unit_cost: must be a list, got 'cheap'"),
    (
        "products.salvage_value",
        [7.0, 1.0],
        "products.salvage_value[0] is 7.0, above products.unit_cost[0] = 6.0: buying to salvage would earn money",
    ),
    ("products.lead_time", [-1, 1], "products.lead_time[0]: must be at least 0, got -1"),
    ("products.lead_time", [1.5, 1], "products.lead_time[0]: must be a whole number, got 1.5"),
    ("products.lead_time", [1, 60], "products.lead_time[1]: must be at most 52, got 60"),
    (
        "products.initial_pipeline",
        [[2], [2, 2]],
        "products.initial_pipeline[1] has 2 entries, but products.lead_time[1] is 1: "
        "give one entry per period of lead time",
    ),
    ("products.initial_pipeline", [[2], [-2]], "products.initial_pipeline[1][0]: must be at least 0, got -2"),
    ("products.initial_on_hand", [1.5, 1], "products.initial_on_hand[0]: must be a whole number, got 1.5"),
    (
        "products.max_order",
        [3],
        "products.max_order has 1 entries, but products.price has 2: give one for each",
    ),
    ("products.names", ["a", "a"], "products.names must be unique, but 'a' is given twice"),
    ("products.names", ["a", ""], "products.names[1]: must not be empty, got ''"),
    ("products.names", ["a", 2], "products.names[1]: must be text, got 2"),
    ("products", [1], "products: must be a mapping, got [1]"),
    ("products", ABSENT, "products: missing, but required"),
    (
        "segments.traffic",
        [0.0],
        "segments.traffic must be above 0 for at least one segment: nobody would visit",
    ),
    (
        "segments.traffic",
        [4.0, 4.0],
        "segments.affinity has 1 entries, but segments.traffic has 2: give one for each",
    ),
    ("segments.affinity", [[0.0]], "segments.affinity[0] has 1 entries, but there are 2 products"),
    ("segments.affinity", [[0.0, 11.0]], "segments.affinity[0][1]: must be at most 10, got 11.0"),
    ("segments.affinity", [0.0, 1.0], "segments.affinity[0]: must be a list, got 0.0"),
    ("segments.lift", [-0.1], "segments.lift[0]: must be at least 0, got -0.1"),
    (
        "segments.price_elasticity",
        [1.0, 2.0],
        "segments.price_elasticity has 2 entries, but segments.traffic has 1: give one for each",
    ),
    ("demand.season", [1.0] * 3, "demand.season has 3 entries, but periods is 30"),
    ("demand.season", [0.0] * 30, "demand.season must be above 0 in at least one period: nobody would visit"),
    ("demand.season", [-1.0] + [1.0] * 29, "demand.season[0]: must be at least 0, got -1.0"),
    ("demand.price_path", [[1.0, 2.0]], "demand.price_path has 1 rows, but periods is 30"),
    ("demand.price_path", [[1.0]] * 30, "demand.price_path[0] has 1 entries, but there are 2 products"),
    ("demand.noise_cv", 9.0, "demand.noise_cv: must be at most 5, got 9.0"),
    ("demand.substitution", 1.5, "demand.substitution: must be at most 1, got 1.5"),
    ("demand.unmet", "maybe", "demand.unmet: must be 'lost' or 'backorder', got 'maybe'"),
    ("demand.lift_form", "cubic", "demand.lift_form: must be 'exponential' or 'linear', got 'cubic'"),
    ("tastes.reversion", 1.1, "tastes.reversion: must be at most 1, got 1.1"),
    ("tastes.common_share", -0.1, "tastes.common_share: must be at least 0, got -0.1"),
    ("tastes.noise", math.nan, "tastes.noise: must be a finite number, got nan"),
    ("supply.capacity", -1.0, "supply.capacity: must be at least 0, got -1.0"),
    (
        "supply.overflow_cost",
        3.0,
        "supply.overflow_cost is set, but supply.capacity is null: set both or neither",
    ),
    (
        "supply.delay_probabilities",
        [0.5, 0.4],
        "supply.delay_probabilities: must sum to 1, sums to 0.9, got [0.5, 0.4]",
    ),
    ("supply.delay_probabilities", [], "supply.delay_probabilities: must have 1 to 13 entries, got []"),
    ("supply.review_periods", 0, "supply.review_periods: must be at least 1, got 0"),
    ("supply.review_periods", 31, "supply.review_periods = 31 is above periods = 30"),
    ("recommendation.slots", 0.0, "recommendation.slots: must be above 0, got 0.0"),
    ("recommendation.slots", 3.0, "recommendation.slots = 3.0 is above the 2 products"),
    (
        "periods",
        1,
        "products.lead_time[0] = 1 plus the longest delay 0 is not below periods = 1: no order could ever arrive",
    ),
    ("periods", "thirty", "periods: must be a whole number, got 'thirty'"),
    ("name", "a b", "name: must match ^[A-Za-z0-9][A-Za-z0-9_.-]*$, got 'a b'"),
    ("schema_version", 2, "schema_version: must be 1, got 2"),
    ("reward_scale", 0.0, "reward_scale: must be above 0, got 0.0"),
    (
        "tastes.colour",
        1,
        "tastes.colour: unknown key; known are reversion, carryover, disappointment, noise, common_share, score_noise",
    ),
    ("recommendation.slot", 1, "recommendation.slot: unknown key; known are slots, exposure_cost"),
]


def broken(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(TINY)
    *sections, field = path.split(".")
    target = data
    for section in sections:
        target = target.setdefault(section, {})
    if value is ABSENT:
        del target[field]
    else:
        target[field] = value
    return data


@pytest.mark.parametrize(("path", "value", "line"), BROKEN, ids=lambda value: str(value)[:45])
def test_a_fault_is_named_with_value_and_what_is_allowed(path: str, value: Any, line: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        build_scenario(broken(path, value), source="mine")
    header, *lines = str(caught.value).split("\n  ")
    assert header == "mine is not a valid scenario:"
    assert line in lines


def test_an_unknown_key_lists_the_known_ones() -> None:
    with pytest.raises(
        ScenarioError, match=r"colour: unknown key; known are schema_version, name, .*provenance"
    ):
        build_scenario({**TINY, "colour": "red"})


def test_all_faults_are_reported_at_once() -> None:
    data = broken("products.price", [-1.0, math.nan])
    data["tastes"] = {"noise": -1}
    with pytest.raises(ScenarioError) as caught:
        build_scenario(data)
    assert len(str(caught.value).splitlines()) == 4


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ScenarioError) as caught:
        build_scenario(broken("products.unit_cost", "x" * 5000))
    assert len(str(caught.value)) < 200


def test_a_lead_time_beyond_the_horizon_is_refused_delays_included() -> None:
    data = broken("products.lead_time", [29, 1])
    data["products"]["initial_pipeline"] = [[0] * 29, [2]]
    build_scenario(data)
    data["supply"] = {"delay_probabilities": [0.5, 0.5]}
    with pytest.raises(
        ScenarioError, match=r"lead_time\[0\] = 29 plus the longest delay 1 is not below periods = 30"
    ):
        build_scenario(data)


def test_one_number_stands_for_every_product() -> None:
    scenario = build_scenario(broken("products.unit_cost", 6))
    assert scenario.products.unit_cost == (6.0, 6.0)


def test_scenarios_cannot_be_changed() -> None:
    scenario = load_scenario("tiny")
    with pytest.raises(ValidationError, match="frozen"):
        scenario.periods = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        scenario.products.price = (1.0, 1.0)  # type: ignore[misc]
    with pytest.raises(TypeError):
        scenario.products.price[0] = 1.0  # type: ignore[index]


def test_equal_worlds_compare_equal_and_others_do_not() -> None:
    assert build_scenario(copy.deepcopy(TINY)) == load_scenario("tiny")
    assert build_scenario(broken("periods", 31)) != load_scenario("tiny")


def test_every_field_says_what_it_is() -> None:
    def described(model: Any, path: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                missing += described(field.annotation, f"{path}{name}.")
            elif not field.description and name not in ("schema_version", "description"):
                missing.append(path + name)
        return missing

    assert described(Scenario, "") == []


def test_labels_are_made_up_where_none_are_given() -> None:
    scenario = load_scenario("tiny")
    assert scenario.products.labels == ("product_0", "product_1")
    assert scenario.products.category_labels == ("all", "all")
    assert scenario.segments.labels == ("segment_0",)


def test_organic_demand_of_the_tiny_world_by_hand() -> None:
    # Exposure 1/2 each: w = 0.5 sqrt(3) twice, choice w / (1 + 2 w), 8 visitors.
    w = 0.5 * math.sqrt(3)
    np.testing.assert_allclose(organic_demand(load_scenario("tiny")), 8 * w / (1 + 2 * w), rtol=1e-5)


def test_organic_demand_of_the_tiny_world_with_linear_lift_by_hand() -> None:
    # Exposure 1/2 each: w = 0.5 (1 + 2 / 2) = 1 twice, choice 1/3.
    scenario = build_scenario(broken("demand.lift_form", "linear"))
    np.testing.assert_allclose(organic_demand(scenario), 8 / 3, rtol=1e-5)


def test_the_reward_scale_is_the_organic_margin_unless_stated() -> None:
    scenario = load_scenario("tiny")
    demand = organic_demand(scenario)
    assert organic_margin(scenario) == pytest.approx(demand[0] * 4.0 + demand[1] * 4.4)
    assert reward_scale(scenario) == organic_margin(scenario)
    assert reward_scale(build_scenario(broken("reward_scale", 12.5))) == 12.5


def test_without_any_margin_the_reward_scale_is_one() -> None:
    scenario = build_scenario(broken("products.unit_cost", [10.0, 11.0]))
    assert organic_margin(scenario) == 0.0
    assert reward_scale(scenario) == 1.0
