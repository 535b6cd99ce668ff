"""`invrec study`: what it lists, plans, runs and reports, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from study_folders import STUDY, make_folder, make_small_study
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.studies.files import dump_study, load_study, parse_study, study_names


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["study", *arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(dump_study(make_small_study()), "utf-8")
    return path


def test_the_list_counts_the_runs() -> None:
    listed = {study["name"]: study for study in json.loads(invoke("list", "--json").stdout)}
    assert tuple(listed) == study_names()
    assert listed["speeds"]["runs"] == 4 * 10 * 4
    assert listed["parts"]["runs"] == 9 * 8 + 4 * 3
    text = invoke("list").stdout
    assert all(name in text for name in study_names())


def test_a_study_is_shown_for_readers_and_as_a_file() -> None:
    shown = invoke("show", "normalisation")
    assert shown.exit_code == 0
    assert "reward_scale=142800" in shown.stdout
    assert "normalisation=running" in shown.stdout
    assert parse_study(invoke("show", "parts", "--yaml").stdout) == load_study("parts")
    assert json.loads(invoke("show", "parts", "--json").stdout)["variants"]["joint"]["set"] == {
        "agents": "joint"
    }


@pytest.mark.parametrize("name", study_names())
def test_a_dry_run_prints_the_plan_and_writes_nothing(name: str, tmp_path: Path) -> None:
    result = invoke("run", name, "--out", str(tmp_path / "out"), "--dry-run", "--json", "--seeds", "2")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    study = load_study(name)
    assert len(plan["runs"]) == 2 * len(study.variants) * len(study.conditions)
    assert plan["to_make"] == plan["runs"]
    assert (plan["finished"], plan["seconds"]) == (0, None)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_knows_what_is_finished_and_how_long_the_rest_takes(file: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "out", make_small_study())
    arguments = ("run", str(file), "--out", str(tmp_path / "out"), "--dry-run", "--seeds", "4", "--jobs", "2")
    plan = json.loads(invoke(*arguments, "--json").stdout)
    assert (len(plan["runs"]), plan["finished"], len(plan["to_make"])) == (12, 6, 6)
    # Six runs of 12.5 seconds, two at once.
    assert plan["seconds"] == pytest.approx(6 * 12.5 / 2)
    text = invoke(*arguments, "--only", "slow", "--limit", "1").stdout
    assert "mine: 4 runs, 2 finished, 1 to make; about 0:06 with 2 at once" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "neither a file nor shipped; shipped: normalisation"),
        (["parts", "--only", "nobody"], "variant 'nobody' is unknown, must be one of default"),
        (["parts", "--condition", "nowhere"], "condition 'nowhere' is unknown, must be one of paper"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_wrong_names_are_refused_before_anything_is_written(
    arguments: list[str], message: str, dry: bool, tmp_path: Path
) -> None:
    result = invoke("run", *arguments, "--out", str(tmp_path / "out"), *(["--dry-run"] if dry else []))
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_refused(file: Path) -> None:
    result = invoke("run", str(file), "--out", str(file.parent), "--dry-run")
    assert result.exit_code == 2
    assert "is no study's folder" in result.stderr


def test_a_report_of_rows_is_printed_or_written(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "out", make_small_study())
    folder.collect(make_small_study())
    printed = invoke("report", str(folder.rows_file), "--markdown")
    assert printed.exit_code == 0
    assert "| one speed, best of 2" in printed.stdout
    assert invoke("report", str(folder.rows_file)).exit_code == 2
    assert invoke("report", str(folder.path), "--markdown", "--json").exit_code == 2

    pytest.importorskip("matplotlib")
    written = invoke("report", str(folder.path), "--json")
    assert written.exit_code == 0, written.stderr
    files = json.loads(written.stdout)
    assert Path(files["page"]) == folder.path / "report" / "index.html"
    assert all(Path(file).is_file() for file in [*files["figures"], *files["tables"]])


def test_the_stored_rows_can_be_reported_by_whoever_installed_the_package() -> None:
    import invrec_rllib.studies

    rows = Path(invrec_rllib.studies.__file__).parent / "results" / "parts.csv"
    printed = invoke("report", str(rows), "--markdown")
    assert printed.exit_code == 0
    assert "| MTMA-PPO, default | 8 | 97,964 [" in printed.stdout


SMALL: dict[str, Any] = {
    **STUDY,
    "base": {
        "scenario": "tiny",
        "iterations": 100_000,
        "steps_per_iteration": 240,
        "envs_per_runner": 8,
        "minibatch_size": 240,
        "epochs": 1,
        "evaluate_every": 0,
        "final_episodes": 8,
    },
}


@pytest.mark.slow
def test_ctrl_c_stops_the_runs_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SMALL), "utf-8")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "invrec_rllib.cli", "study", "run", "mine.yaml", "--out", "out"),
            *("--only", "plain", "--jobs", "1"),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run = tmp_path / "out/runs/base/plain/0"
    try:
        deadline = time.monotonic() + 120
        while not (run / "progress.csv").is_file():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "no iteration within two minutes"
            time.sleep(0.1)
        # As a terminal does: to the whole group, Ray's processes included.
        os.killpg(process.pid, signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130, messages
    assert "the same command goes on" in messages
    assert "Traceback" not in messages
    time.sleep(1.0)
    lines = (run / "progress.csv").read_text("utf-8").count("\n")
    time.sleep(2.0)
    assert (run / "progress.csv").read_text("utf-8").count("\n") == lines, "the run goes on"
    plan = json.loads(
        invoke(
            "run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out"), "--dry-run", "--json"
        ).stdout
    )
    assert plan["finished"] == 0
    assert len(plan["to_make"]) == 6
