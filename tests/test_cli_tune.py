"""`invrec tune` before Ray starts: plans and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app

FILE = str(Path(__file__).resolve().parent.parent / "tune_configs/learning_rates.yaml")


def test_a_dry_run_prints_the_plan_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *a, **k: pytest.fail("Ray was started"))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["tune", FILE, "--dry-run", "--samples", "5", "--cpus", "8"])
    assert shown.exit_code == 0, shown.output
    assert "5 trials: 5 configurations x 1 seed; search random, scheduler asha" in shown.stdout
    assert "each takes 1 CPU; 5 at once; 450 iterations in all" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_as_json() -> None:
    shown = CliRunner().invoke(app, ["tune", FILE, "--dry-run", "--json", "--cpus", "8", "--jobs", "3"])
    plan = json.loads(shown.stdout)
    assert (plan["trials"], plan["at_once"], plan["resources_per_trial"]) == (24, 3, {"CPU": 1.0})
    on_cluster = CliRunner().invoke(app, ["tune", FILE, "--dry-run", "--json", "--address", "auto"])
    assert json.loads(on_cluster.stdout)["at_once"] is None


def test_how_many_gpus_there_are_only_ray_knows(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("{name: some, question: Which?, base: {gpus_per_learner: 0.5}}")
    plan = json.loads(CliRunner().invoke(app, ["tune", str(file), "--dry-run", "--json"]).stdout)
    assert (plan["at_once"], plan["resources_per_trial"]) == (None, {"CPU": 1.0, "GPU": 0.5})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "sweep file nowhere.yaml cannot be read"),
        ([FILE, "--resume", "--wandb", "x"], "a resumed sweep keeps its loggers and jobs"),
        ([FILE, "--resume", "--storage", "nowhere"], "holds no sweep to go on with"),
    ],
)
def test_what_cannot_be_is_said_before_ray_starts(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *a, **k: pytest.fail("Ray was started"))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["tune", *arguments])
    assert shown.exit_code == 2
    assert message in shown.stderr
