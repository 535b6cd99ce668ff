"""`invrec scenario`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.scenario import generate_scenario, load_scenario, parse_scenario, preset_names


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_list_names_every_preset_with_its_size() -> None:
    worlds = json.loads(run("scenario", "list", "--json").stdout)
    assert [world["name"] for world in worlds] == list(preset_names())
    tiny = next(world for world in worlds if world["name"] == "tiny")
    assert (tiny["products"], tiny["segments"], tiny["slots"], tiny["periods"]) == (2, 1, 1.0, 30)
    table = run("scenario", "list").stdout
    assert all(name in table for name in preset_names())


def test_show_prints_yaml_that_reads_back_to_the_same_world() -> None:
    assert parse_scenario(run("scenario", "show", "tiny", "--yaml").stdout) == load_scenario("tiny")


def test_show_prints_json_of_the_whole_scenario() -> None:
    shown = json.loads(run("scenario", "show", "tiny", "--json").stdout)
    assert shown == load_scenario("tiny").model_dump(mode="json")


def test_show_with_another_lift_changes_the_lift() -> None:
    shown = json.loads(run("scenario", "show", "paper", "--lift", "0", "--json").stdout)
    assert shown["segments"]["lift"] == [0.0] * 5
    assert shown["name"] == "paper-lift-0"


def test_show_in_short_keeps_symbols_in_brackets() -> None:
    assert "Products [N]" in run("scenario", "show", "tiny").stdout


def test_show_refuses_two_formats_at_once() -> None:
    result = run("scenario", "show", "tiny", "--json", "--yaml")
    assert result.exit_code == 2
    assert "give one" in result.stderr


def test_an_unknown_scenario_is_an_input_error_without_traceback() -> None:
    result = run("scenario", "show", "nowhere")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "'nowhere'" in result.stderr
    assert "grocery" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code() -> None:
    result = run("--debug", "scenario", "show", "nowhere")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "ScenarioError" in result.stderr


def test_validate_accepts_a_valid_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(run("scenario", "show", "tiny", "--yaml").stdout, "utf-8")
    result = run("scenario", "validate", str(file))
    assert result.exit_code == 0
    assert "2 products, 1 segments, 30 periods" in result.stdout
    assert json.loads(run("scenario", "validate", str(file), "--json").stdout)["valid"] is True


def test_validate_names_each_faulty_field_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = run("scenario", "show", "tiny", "--yaml").stdout
    file.write_text(text.replace("periods: 30", "periods: 0").replace("slots: 1.0", "slots: -1"), "utf-8")
    result = run("scenario", "validate", str(file))
    assert result.exit_code == 2
    assert "periods" in result.stderr
    assert "recommendation.slots" in result.stderr
    machine = run("scenario", "validate", str(file), "--json")
    assert machine.exit_code == 2
    found = json.loads(machine.stdout)
    assert found["valid"] is False
    assert len(found["faults"]) == 2


def test_validate_tells_a_fault_of_the_syntax_whole(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: [mine\nperiods: 3\n", "utf-8")
    result = run("scenario", "validate", str(file), "--json")
    assert result.exit_code == 2
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault.startswith(f"{file} is not valid YAML: while parsing a flow sequence")
    assert "line 2" in fault


def test_schema_is_a_json_schema_of_scenarios(tmp_path: Path) -> None:
    assert "periods" in json.loads(run("scenario", "schema").stdout)["properties"]
    file = tmp_path / "schema.json"
    assert run("scenario", "schema", "--out", str(file)).exit_code == 0
    assert json.loads(file.read_text("utf-8"))["title"] == "Scenario"


def test_generate_draws_what_the_generator_draws(tmp_path: Path) -> None:
    file = tmp_path / "worlds" / "seven.yaml"
    arguments = ["--seed", "7", "--products", "4", "--segments", "3", "--lead-times", "3,4"]
    result = run(
        "scenario",
        "generate",
        *arguments,
        "--margins",
        "0.2,0.3",
        "--set",
        "noise_cv=0.5",
        "--out",
        str(file),
    )
    assert result.exit_code == 0, result.stderr
    expected = generate_scenario(
        seed=7,
        num_products=4,
        num_segments=3,
        lead_times=(3, 4),
        margin_range=(0.2, 0.3),
        noise_cv=0.5,
    )
    assert load_scenario(file) == expected


def test_generate_prints_yaml_without_a_file() -> None:
    assert parse_scenario(run("scenario", "generate", "--products", "3").stdout).products.count == 3


def test_generate_does_not_overwrite_a_file_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "world.yaml"
    file.write_text("precious", "utf-8")
    refused = run("scenario", "generate", "--out", str(file))
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert file.read_text("utf-8") == "precious"
    assert run("scenario", "generate", "--out", str(file), "--force").exit_code == 0
    assert load_scenario(file).name == "generated"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "noise_cv"], "key=value"),
        (["--set", "noise=0.5"], "did you mean"),
        (["--set", "noise_cv=1", "--set", "noise_cv=2"], "twice"),
        (["--set", "noise_cv=-1"], "noise_cv"),
        (["--lead-times", "1;2"], "--lead-times"),
        (["--margins", "0.5,0.3"], "low to high"),
    ],
)
def test_generate_refuses_bad_knobs_by_name(arguments: list[str], message: str) -> None:
    result = run("scenario", "generate", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
