"""`invrec pathwise`, and what other commands make of the pair that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.evaluation import Comparison

SHORT = ("--steps", "2", "--episodes", "4", "--set", "validation_episodes=8", "--compared", "6")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pathwise") / "mine"
    result = run("pathwise", "tiny", "--information", "full", "--seed", "3", "--out", str(out), *SHORT)
    assert result.exit_code == 0, result.stderr
    return out


def test_the_folder_says_how_it_was_made(pair: Path) -> None:
    provenance = json.loads((pair / "pathwise.json").read_text())["provenance"]
    assert provenance["settings"]["seed"] == 3
    assert provenance["settings"]["steps"] == 2
    assert [at["step"] for at in provenance["validations"]] == [0, 1, 2]
    found = Comparison.from_json((pair / "comparison.json").read_text())
    assert found.policies == ("mine", "silo", "coordinated")
    assert (found.information, found.episodes) == ("full", 6)


def test_a_pair_is_evaluated_in_its_own_world_with_its_own_information(pair: Path) -> None:
    result = run("evaluate", str(pair), "silo", "--episodes", "5", "--json")
    assert result.exit_code == 0, result.stderr
    found = Comparison.from_json(result.stdout)
    assert (found.scenario, found.information) == ("tiny", "full")
    assert "mine" in found.policies


def test_a_pair_is_compared_and_its_gain_taken_apart(pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "worth"
    arguments = ("--policies", f"silo,{pair}", "--seeds", "1", "--episodes", "4", "--out", str(out))
    result = run("compare", "tiny", "--information", "full", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "mine" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny", "--information", "department"), "must be full or observed"),
        (("tiny", "--set", "stepz=3"), "stepz"),
        (("tiny", "--set", "hold=2"), "hold: must be at most 1, got 2"),
        (("dispersed_delays",), "dispersed_delays"),
        (("tiny", "--start", "silo.yaml"), "silo.yaml"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "pair"
    result = run("pathwise", *arguments, "--out", str(out))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


def test_a_pair_is_not_overwritten(pair: Path) -> None:
    result = run("pathwise", "tiny", "--out", str(pair))
    assert result.exit_code == 2
    assert "exists and is not an empty folder" in result.stderr
