"""`invrec tune-policy`, and `invrec evaluate` with what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.evaluation import Comparison
from invrec_rllib.policies.tuned import load_tuned
from invrec_rllib.scenario import load_scenario

pytest.importorskip("cma")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tuned") / "mine.yaml"
    result = run("tune-policy", "tiny", "sequential", "--out", str(path), "--budget", "6000", "--seed", "4")
    assert result.exit_code == 0, result.stderr
    assert "over the parameters by formula" in result.stderr
    return path


def test_the_file_says_what_was_found_and_how_to_find_it_again(file: Path) -> None:
    found = load_tuned(file)
    assert found.policy == "sequential"
    assert found.information == "observed"
    assert found.fits(load_scenario("tiny"))
    assert found.provenance["command"] == (
        "invrec tune-policy tiny sequential --information observed --budget 6000 --seed 4 --out mine.yaml"
    )


def test_evaluate_plays_the_file_by_its_name(file: Path) -> None:
    result = run("evaluate", str(file), "silo", "--scenario", "tiny", "--episodes", "20", "--json")
    assert result.exit_code == 0, result.stderr
    found = Comparison.from_json(result.stdout)
    assert found.policies == ("mine", "silo", "traditional")
    assert found.row("mine").profit != found.row("silo").profit
    assert found.provenance[f"parameters of {file}"] == "tuned to tiny, observed information"


def test_evaluate_says_when_parameters_were_not_tuned_to_its_world(file: Path) -> None:
    shown = ("--scenario", "tiny", "--episodes", "2", "--json")
    assert "by formula" not in run("evaluate", "silo", *shown).stderr
    assert "not to tiny" in run("evaluate", str(file), *shown, "--information", "full").stderr
    world = file.with_name("world.yaml")
    text = run("scenario", "show", "tiny", "--yaml").stdout.replace("name: tiny", "name: other")
    world.write_text(text, "utf-8")
    result = run("evaluate", "coordinated", "--scenario", str(world), "--episodes", "2", "--json")
    assert "coordinated plays with parameters by formula" in result.stderr
    assert Comparison.from_json(result.stdout).provenance["parameters of coordinated"] == "by formula"


def test_two_files_of_one_name_and_one_named_as_a_policy_are_told_apart(file: Path) -> None:
    twin = file.parent / "twin" / "mine.yaml"
    twin.parent.mkdir(exist_ok=True)
    known = file.with_name("silo.yaml")
    for copy in (twin, known):
        copy.write_text(file.read_text("utf-8"), "utf-8")
    result = run(
        *("evaluate", str(file), str(twin), str(known), "--scenario", "tiny", "--episodes", "2", "--json")
    )
    assert Comparison.from_json(result.stdout).policies[:3] == (str(file), str(twin), str(known))


def test_wrong_input_is_named(file: Path) -> None:
    for arguments, message in (
        (["tune-policy", "tiny", "silo", "--out", "x.yaml"], "cannot be tuned"),
        (["tune-policy", "tiny", "sequential", "--out", str(file)], "exists"),
        (["tune-policy", "tiny", "sequential", "--out", "x.yaml", "--budget", "10"], "budget is 10"),
        (["evaluate", "nowhere.yaml"], "is not a file"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
