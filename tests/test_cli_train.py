"""`invrec train`: settings from options and files, refusals before Ray starts, and real runs."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import RunDir
from invrec_rllib.scenario import load_scenario

QUICK = {
    "scenario": "tiny",
    "env_runners": 0,
    "steps_per_iteration": 480,
    "envs_per_runner": 16,
    "minibatch_size": 240,
    "evaluate_every": 1,
    "evaluate_episodes": 10,
    "final_episodes": 20,
    "checkpoint_every": 1000,
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["train", *arguments])


def quick_options(**changes: Any) -> list[str]:
    settings = {**QUICK, **changes}
    options = ["--scenario", settings.pop("scenario")]
    return options + [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def test_settings_are_printed_as_a_file_of_every_key_and_its_default() -> None:
    printed = yaml.safe_load(run("--settings").stdout)
    assert printed == TrainSettings().model_dump(mode="json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "hiden=3"], "did you mean hidden"),
        (["--set", "hidden=0"], "hidden"),
        (["--set", "minibatch_size=100000"], "minibatch_size"),
        (["--algo", "magic"], "algo"),
        (["--scenario", "nowhere"], "nowhere"),
        (["--scenario", "tiny", "--lift", "careful"], "named lifts"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--seed", "1", "--set", "seed=2"], "'seed' is unknown"),
        (["--resume"], "--out"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def make_run(folder: Path, **changes: Any) -> RunDir:
    """A run's folder as it is before the first iteration."""
    settings = TrainSettings(**{**QUICK, **changes})
    return RunDir.create(folder, settings, scenario=load_scenario("tiny"))


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    result = run("--out", str(tmp_path / "run"), "--resume", "--seed", "3", "--set", "hidden=8")
    assert result.exit_code == 2
    assert "drop --seed, --set" in result.stderr


def test_a_resumed_run_cannot_have_fewer_iterations_than_it_did(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder.checkpoints / "iteration_000005").mkdir()
    result = run("--out", str(tmp_path / "run"), "--resume", "--iterations", "4")
    assert result.exit_code == 2
    assert "has done 5 already" in result.stderr


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    result = run("--out", str(tmp_path), "--resume")
    assert result.exit_code == 2
    assert "not a run" in result.stderr


@pytest.mark.slow
def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious", "utf-8")
    result = run(*quick_options(), "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def invrec(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invrec_rllib.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def progress(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_train_evaluate_and_report_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    trained = invrec(
        *("train", *quick_options(), "--iterations", "2", "--out", "runs/a", "--cpus", "1", "--lift", "0.5"),
        "--json",
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert (result["iterations"], result["stopped"]) == (2, False)
    assert result["comparison"]["rows"][0]["policy"] == "trained"
    lines = trained.stderr.splitlines()
    assert any("over silo" in line for line in lines)
    assert re.findall(r"^ +(\d+/2) ", trained.stderr, re.MULTILINE) == ["1/2", "2/2"]
    assert not [line for line in lines if "WARNING" in line or "Deprecat" in line]
    assert "\x1b" not in trained.stderr
    assert load_scenario(tmp_path / "runs/a/scenario.yaml").segments.lift == (0.5,)

    evaluated = invrec("evaluate", "runs/a", "--episodes", "20", "--json", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    comparison = json.loads(evaluated.stdout)
    assert [row["policy"] for row in comparison["rows"]] == ["a", "silo", "traditional"]
    assert comparison["information"] == TrainSettings().information
    # The world of the run, not the preset of the same name.
    assert comparison["scenario_sha256"] == result["comparison"]["scenario_sha256"]
    assert "WARNING" not in evaluated.stderr

    reported = invrec("report", "runs/a", "--json", cwd=tmp_path)
    assert reported.returncode == 0, reported.stderr
    page = tmp_path / json.loads(reported.stdout)["page"]
    assert "<html" in page.read_text("utf-8")


@pytest.mark.slow
def test_a_run_that_stopped_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", iterations=1)
    resumed = invrec("train", "--out", str(folder.path), "--resume", "--cpus", "1", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["iterations"] == 1
    assert [row["iteration"] for row in progress(folder.path)] == ["1"]


@pytest.mark.slow
def test_ctrl_c_keeps_a_checkpoint_and_resume_goes_on_from_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "invrec_rllib.cli", "train", *quick_options(), "--cpus", "1"),
            *("--iterations", "1000", "--out", str(folder)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (folder / "progress.csv").is_file() or not progress(folder):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "no iteration within two minutes"
            time.sleep(0.1)
        # As a terminal does: to the whole group, Ray's processes included.
        os.killpg(process.pid, signal.SIGINT)
        _, messages = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130, messages
    assert "Stopping after this iteration" in messages
    assert f"invrec train --out {folder} --resume" in messages
    assert "Traceback" not in messages

    done = len(progress(folder))
    assert RunDir.open(folder).latest_checkpoint().name == f"iteration_{done:06d}"
    resumed = invrec(
        *("train", "--out", str(folder), "--resume", "--iterations", str(done + 2), "--cpus", "1", "--json")
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["iterations"] == done + 2
    rows = progress(folder)
    assert [int(row["iteration"]) for row in rows] == list(range(1, done + 3))
    # Episodes of 30 periods are played whole: every iteration samples what it was told.
    assert [int(row["env_steps"]) for row in rows] == [480 * (i + 1) for i in range(done + 2)]
