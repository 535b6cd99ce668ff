"""`invrec behaviour`: its table, its page, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from exact_worlds import small_world
from policies_made import pair
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.evaluation.behaviour import measure_behaviour
from invrec_rllib.scenario.files import save_scenario


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["behaviour", *arguments])


def test_json_is_what_python_measures() -> None:
    result = run("coordinated", "--scenario", "tiny", "--episodes", "6", "--seed", "4", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    expected = measure_behaviour("tiny", ["coordinated"], seed=4, episodes=6)
    sizes = [test["size"]["mean"] for test in found["policies"][0]["tests"]]
    assert sizes == pytest.approx([test.size.mean for test in expected.policies[0].tests])
    assert found["optimum"]["policy"] == "optimal"
    assert found["provenance"]["parameters of coordinated"] == "tuned, shipped"


def test_without_arguments_heuristics_are_held_against_the_optimum_of_tiny() -> None:
    result = run("--episodes", "4")
    assert result.exit_code == 0, result.stderr
    for text in (
        "own stock on own exposure",
        "signs of the optimum that hold",
        "synchronised",
        "silo_best in tiny",
        "adjusted p",
        "The signs are those of the exact optimum of this world",
    ):
        assert text in result.stdout


def test_exported_pairs_are_asked_in_what_they_saw_and_in_the_states_of_another(tmp_path: Path) -> None:
    pair("tiny").save(tmp_path / "mine")
    arguments = (str(tmp_path / "mine"), "silo", "--episodes", "4", "--json")
    result = run(*arguments, "--states", "uniform")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["scenario"], found["information"], found["states"]) == ("tiny", "full", "uniform")
    assert [policy["policy"] for policy in found["policies"]] == ["mine", "silo"]


def test_the_folder_holds_one_page_that_needs_nothing_beside_it_and_the_tables(tmp_path: Path) -> None:
    out = tmp_path / "behaviour"
    arguments = ("silo", "coordinated", "--episodes", "4", "--out", str(out))
    assert run(*arguments).exit_code == 0
    written = {file.name for file in out.iterdir()}
    pictures = {"signs.png", "together.png", "stock_and_others.png", "stock_and_delivery.png", "date.png"}
    assert written == pictures | {"index.html", "behaviour.json", "behaviour.csv", "tables.md"}
    html = (out / "index.html").read_text("utf-8")
    assert html.count('src="data:image/png;base64,') == len(pictures)
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "How policies behave in tiny" in html
    assert "coordinated holds" in html

    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    # One product has no others: the older figure goes.
    one = save_scenario(small_world(products=1), tmp_path / "one.yaml")
    assert run(*arguments, "--scenario", str(one), "--force").exit_code == 0
    assert not (out / "stock_and_others.png").exists()


def test_files_that_are_not_a_reports_stay(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine", "utf-8")
    result = run("silo", "--episodes", "2", "--out", str(tmp_path), "--force")
    assert result.exit_code == 2
    assert (tmp_path / "index.html").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "'nobody' is neither a folder"),
        (("silo", "--states", "nobody"), "'nobody' is neither a folder"),
        (("silo", "--scenario", "nowhere"), "'nowhere' is neither a file nor a preset"),
        (("silo", "--product", "2"), "product is 2, must be from 0 to 1"),
        (("optimal", "--scenario", "paper", "--episodes", "2"), "paper cannot be solved exactly"),
    ],
)
def test_wrong_input_is_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
