"""`invrec compare`: its tables, its page, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.tuned import TunedParameters, save_tuned


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_json_takes_the_coordinated_apart_and_finds_the_optimum() -> None:
    result = run("tiny", "--policies", "silo_best,coordinated", "--episodes", "5", "--seeds", "2", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [row["policy"] for row in found["comparison"]["rows"]] == ["silo_best", "coordinated", "silo"]
    assert (found["comparison"]["num_seeds"], found["comparison"]["episodes"]) == (2, 10)
    assert [taken["policy"] for taken in found["decompositions"]] == ["coordinated"]
    assert found["gap"]["kind"] == "optimum"
    assert found["comparison"]["provenance"]["parameters of coordinated"] == "tuned, shipped"


def test_gap_and_parts_can_be_left_out_and_the_baseline_chosen() -> None:
    arguments = ("tiny", "--policies", "coordinated,uniform", "--episodes", "4", "--paths", "0", "--json")
    found = json.loads(run(*arguments, "--apart", "none").stdout)
    assert (found["gap"], found["decompositions"]) == (None, [])
    found = json.loads(run(*arguments, "--baseline", "silo_best", "--apart", "uniform,coordinated").stdout)
    assert [taken["policy"] for taken in found["decompositions"]] == ["uniform", "coordinated"]
    assert {taken["baseline"] for taken in found["decompositions"]} == {"silo_best"}


def test_tuned_files_are_taken_apart_as_what_they_tune(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    tuned = TunedParameters(
        policy="coordinated",
        scenario="other",
        scenario_sha256="0",
        information="observed",
        parameters=CoordinatedParameters().values(),
    )
    save_tuned(tuned, file)
    result = run("tiny", "--policies", f"{file},silo", "--episodes", "4", "--paths", "0", "--json")
    assert [taken["policy"] for taken in json.loads(result.stdout)["decompositions"]] == ["mine"]
    assert "tuned to other" in result.stderr


def test_the_folder_holds_one_page_that_needs_nothing_beside_it_and_the_tables(tmp_path: Path) -> None:
    out = tmp_path / "worth"
    arguments = ("tiny", "--policies", "coordinated,stock_aware", "--episodes", "4", "--out", str(out))
    assert run(*arguments, "--apart", "coordinated,stock_aware").exit_code == 0
    written = {file.name for file in out.iterdir()}
    tables = {"worth.json", "worth.csv", "seeds.csv", "tables.md", "tables.tex"}
    assert tables | {"index.html", "parts_0.png", "parts_1.png"} <= written
    html = (out / "index.html").read_text("utf-8")
    assert html.count('src="data:image/png;base64,') == len(
        [name for name in written if name.endswith(".png")]
    )
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "What coordination is worth in tiny" in html
    assert "told of the slates to come" in html

    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert run(*arguments, "--force").exit_code == 0
    # One part less: the older figure goes.
    assert not (out / "parts_1.png").exists()


def test_without_a_page_only_tables_are_written(tmp_path: Path) -> None:
    arguments = ("tiny", "--policies", "silo", "--episodes", "2", "--paths", "0", "--no-page")
    assert run(*arguments, "--out", str(tmp_path)).exit_code == 0
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".csv", ".csv", ".json", ".md", ".tex"]


def test_files_that_are_not_a_reports_stay(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine", "utf-8")
    result = run("tiny", "--policies", "silo", "--episodes", "2", "--out", str(tmp_path), "--force")
    assert result.exit_code == 2
    assert (tmp_path / "index.html").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny", "--policies", " , "), "--policies names no policy"),
        (("tiny", "--policies", "nobody"), "'nobody' is neither a folder"),
        (("nowhere",), "'nowhere' is neither a file nor a preset"),
        (("tiny", "--apart", "nobody", "--episodes", "2"), "gain of 'nobody' cannot be taken apart"),
    ],
)
def test_wrong_input_is_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_table_on_a_terminal_shows_the_gap_and_the_parts() -> None:
    result = run("tiny", "--policies", "coordinated", "--episodes", "4")
    assert result.exit_code == 0
    for text in (
        "below the optimum",
        "told of the slates to come",
        "penalty of lost sales",
        "The optimum is exact",
    ):
        assert text in result.stdout
