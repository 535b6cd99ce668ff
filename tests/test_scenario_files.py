"""Scenario files: exact round trips, broken YAML, presets, the JSON Schema, saving."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import worlds

from invrec_rllib.errors import ScenarioError
from invrec_rllib.scenario import (
    Scenario,
    dump_scenario,
    load_scenario,
    parse_scenario,
    preset_names,
    save_scenario,
    scenario_json_schema,
)
from invrec_rllib.scenario.recipes import build_preset, generated_presets
from invrec_rllib.scenario.schema import MOST_MONEY, MOST_UNITS

any_positive = st.floats(0, MOST_MONEY, exclude_min=True)
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def with_products(scenario: Scenario, **fields: Any) -> Scenario:
    data = scenario.model_dump()
    return Scenario.model_validate({**data, "products": {**data["products"], **fields}})


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_random_worlds_round_trip_exactly(scenario: Scenario) -> None:
    assert parse_scenario(dump_scenario(scenario)) == scenario


@settings(max_examples=100, deadline=None)
@given(st.lists(any_positive, min_size=2, max_size=2), st.floats(0, MOST_MONEY), st.integers(0, MOST_UNITS))
def test_tiny_and_huge_numbers_round_trip_exactly(price: list[float], penalty: float, units: int) -> None:
    scenario = with_products(
        load_scenario("tiny"), price=price, stockout_penalty=[penalty, 0.1 + 0.2], initial_on_hand=[units, 0]
    )
    again = parse_scenario(dump_scenario(scenario))
    assert again == scenario
    assert again.products.price == tuple(price)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(), any_json, max_size=3),
    st.text(),
    st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True),
)
def test_any_text_and_provenance_round_trips(provenance: dict[str, Any], text: str, names: list[str]) -> None:
    data = load_scenario("tiny").model_dump()
    data.update(provenance=provenance, description=text, products={**data["products"], "names": names})
    scenario = Scenario.model_validate(data)
    assert parse_scenario(dump_scenario(scenario)) == scenario


@pytest.mark.parametrize("name", ["yes", "null", "1.0", "1e3", "0x10", "2020-01-01", "~a"[1:]])
def test_names_that_yaml_takes_for_something_else_round_trip(name: str) -> None:
    scenario = load_scenario("tiny").model_copy(update={"name": name})
    assert parse_scenario(dump_scenario(scenario)).name == name


@pytest.mark.parametrize("name", preset_names())
def test_presets_round_trip_and_carry_their_name(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description
    assert parse_scenario(dump_scenario(scenario)) == scenario


@pytest.mark.parametrize("name", generated_presets())
def test_stored_presets_are_what_their_recipes_draw(name: str) -> None:
    assert load_scenario(name) == build_preset(name)


def test_the_issues_presets_ship_with_their_sizes() -> None:
    sizes = {
        name: (s.products.count, s.segments.count, s.recommendation.slots, s.periods)
        for name, s in ((name, load_scenario(name)) for name in preset_names())
    }
    assert sizes["tiny"] == (2, 1, 1, 30)
    assert sizes["paper"] == (10, 5, 2, 60)
    assert sizes["seasonal"] == (10, 5, 2, 30)
    assert sizes["capacity"] == (10, 5, 2, 60)
    assert sizes["large"] == (100, 8, 5, 52)
    assert sizes["huge"] == (2000, 8, 20, 52)
    assert sizes["grocery"] == (20, 4, 3, 52)


def test_a_scenario_is_loaded_from_a_file_a_name_or_itself(tmp_path: Path) -> None:
    tiny = load_scenario("tiny")
    path = save_scenario(tiny, tmp_path / "deep" / "my.yaml")
    assert load_scenario(path) == load_scenario(str(path)) == tiny
    assert load_scenario(tiny) is tiny
    assert load_scenario("tiny") is tiny


def test_saving_does_not_overwrite_unless_told_to_and_leaves_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    save_scenario(load_scenario("tiny"), path)
    with pytest.raises(ScenarioError, match=r"world\.yaml exists"):
        save_scenario(load_scenario("paper"), path)
    assert load_scenario(path).name == "tiny"
    save_scenario(load_scenario("paper"), path, overwrite=True)
    assert load_scenario(path).name == "paper"
    assert [file.name for file in tmp_path.iterdir()] == ["world.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a mapping with the keys of a scenario, got nothing"),
        ("# a comment alone", "got nothing"),
        ("- a\n- b", "got a list"),
        ("just words", "got a str"),
        ("name: [unclosed", "is not valid YAML"),
        ("name: a\n\tperiods: 3", "is not valid YAML.*tab"),
        ("name: a\nname: b", "key 'name' is given twice.*\n.*line 2"),
        ("products:\n  price: [1]\n  price: [2]", "key 'price' is given twice.*\n.*line 3"),
        ("tastes: {noise: 0.1, noise: 0.2}", "key 'noise' is given twice"),
        ("name: !!python/object/apply:os.getcwd []", "is not valid YAML: could not determine a constructor"),
        ("? [1, 2]\n: 3", "is not valid YAML"),
        (
            "products: {price: [.nan, .inf]}",
            r"price\[0\]: must be a finite number, got nan\n.*price\[1\]: .*got inf",
        ),
        ("tastes: {noise: yes}", "tastes.noise: must not hold true or false"),
    ],
)
def test_broken_yaml_is_named(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=f"(?s){message}"):
        parse_scenario(text, source="my.yaml")


def test_numbers_in_scientific_notation_are_numbers() -> None:
    # YAML 1.1 takes 1e3 for text.
    text = dump_scenario(load_scenario("tiny")).replace("traffic: [8.0]", "traffic: [1e3]")
    assert parse_scenario(text).segments.traffic == (1000.0,)


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(ScenarioError, match=r"'papper' is neither a file nor a preset; presets: .*paper"):
        load_scenario("papper")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ScenarioError, match=r"image\.yaml is not a UTF-8 text file"):
        load_scenario(path)


def schema_errors(data: Any) -> list[str]:
    schema = json.loads(scenario_json_schema())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "huge"])
def test_the_json_schema_accepts_the_presets(name: str) -> None:
    assert schema_errors(yaml.safe_load(dump_scenario(load_scenario(name)))) == []


def test_the_json_schema_accepts_one_number_for_every_product_as_the_loader_does() -> None:
    data = yaml.safe_load(dump_scenario(load_scenario("tiny")))
    data["products"].update(unit_cost=5.0, holding_cost=0.1, lead_time=1, max_order=4, salvage_value=1)
    assert schema_errors(data) == []
    assert parse_scenario(yaml.safe_dump(data)).products.unit_cost == (5.0, 5.0)
    data["products"]["price"] = 3.0
    assert schema_errors(data)


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"products": {"colour": 1}},
        {"products": {"price": [-1.0, 2.0]}},
        {"products": {"price": 3.0}},
        {"products": {"lead_time": [1.5, 1]}},
        {"demand": {"unmet": "maybe"}},
        {"tastes": {"noise": 7.0}},
        {"name": "a b"},
        {"periods": 0},
    ],
    ids=str,
)
def test_the_json_schema_rejects_what_the_loader_rejects(change: dict[str, Any]) -> None:
    data = yaml.safe_load(dump_scenario(load_scenario("tiny")))
    for key, value in change.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
    assert schema_errors(data)
    with pytest.raises(ScenarioError):
        parse_scenario(yaml.safe_dump(data))


def test_numbers_of_provenance_must_be_finite_too() -> None:
    data = load_scenario("tiny").model_dump()
    scenario = {**data, "provenance": {"score": math.nan}}
    with pytest.raises(ValueError, match="provenance"):
        Scenario.model_validate(scenario)
