"""`invrec evaluate`, `invrec report` and `invrec bench` without trained agents."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.evaluation import Comparison, compare


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_json_is_the_comparison_that_python_gives() -> None:
    result = run(
        "evaluate", "silo", "uniform", "--scenario", "tiny", "--episodes", "20", "--seed", "4", "--json"
    )
    assert result.exit_code == 0, result.stderr
    found = Comparison.from_json(result.stdout)
    expected = compare(
        "tiny",
        ["silo", "uniform"],
        seed=4,
        episodes=20,
        baselines=("silo", "traditional"),
        information="observed",
    )
    assert found.policies == ("silo", "uniform", "traditional")
    assert found.row("uniform") == expected.row("uniform")
    assert (found.seed, found.episodes, found.information) == (4, 20, "observed")
    assert found.provenance["command"]


def test_baselines_and_information_can_be_chosen() -> None:
    result = run(
        *("evaluate", "silo", "--scenario", "tiny", "--episodes", "5", "--json"),
        *("--baseline", "random", "--information", "full"),
    )
    found = Comparison.from_json(result.stdout)
    assert found.baselines == ("random",)
    assert found.information == "full"


def test_the_table_shows_differences_with_intervals() -> None:
    result = run("evaluate", "silo", "uniform", "--scenario", "tiny", "--episodes", "20")
    assert result.exit_code == 0
    found = Comparison.from_json(
        run("evaluate", "silo", "uniform", "--scenario", "tiny", "--episodes", "20", "--json").stdout
    )
    percent = found.row("uniform").differences["silo"]["profit"].percent
    assert f"{percent.mean:+.1f} %" in result.stdout
    assert f"[{percent.low:+.1f}, {percent.high:+.1f}]" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_markdown_is_a_table_and_csv_a_file(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    arguments = (
        "evaluate",
        "silo",
        "--scenario",
        "tiny",
        "--episodes",
        "5",
        "--markdown",
        "--csv",
        str(file),
    )
    result = run(*arguments)
    assert result.exit_code == 0
    assert "| policy |" in result.stdout
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    assert [row["policy"] for row in rows] == ["silo", "traditional"]
    file.write_text("precious", "utf-8")
    assert run(*arguments).exit_code == 2
    assert file.read_text("utf-8") == "precious"
    assert run(*arguments, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "neither a folder"),
        (["silo", "silo"], "different names"),
        (["silo", "--scenario", "nowhere"], "nowhere"),
        (["silo", "--scenario", "tiny", "--lift", "careful"], "named lifts"),
        (["silo", "--baseline", "nobody", "--scenario", "tiny"], "nobody"),
        (["silo", "--json", "--markdown"], "give one"),
    ],
)
def test_wrong_input_is_named(arguments: list[str], message: str) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    result = run("evaluate", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no policy" in result.stderr


def test_a_report_of_no_run_is_refused(tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "nowhere", "does not exist"), (tmp_path, "not a run directory")):
        result = run("report", str(folder))
        assert result.exit_code == 2
        assert message in result.stderr


def test_the_simulator_benchmark_prints_rates_by_scenario_and_batch() -> None:
    result = run(
        *(
            "bench",
            "simulator",
            "--scenario",
            "tiny",
            "--batch",
            "1",
            "--batch",
            "8",
            "--seconds",
            "0",
            "--json",
        )
    )
    found = json.loads(result.stdout)["scenarios"]["tiny"]
    assert set(found["steps_per_second"]) == {"1", "8"}
    assert all(rate > 0 for rate in found["steps_per_second"].values())
    cells = 2
    assert found["nanoseconds_per_product_segment_step"]["8"] == pytest.approx(
        1e9 / (cells * found["steps_per_second"]["8"])
    )
