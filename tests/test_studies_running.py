"""Runs of studies under one Ray: all shipped studies on a small scale, failures, resumption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.quiet import start_ray, stop_ray
from invrec_rllib.rundir import RunDir
from invrec_rllib.studies.files import load_study, study_names
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import plan_runs
from invrec_rllib.studies.running import Outcome, run_study
from invrec_rllib.studies.study import Study, make_study
from invrec_rllib.timescales.report import TimescaleWarning
from invrec_rllib.training import train
from invrec_rllib.watcher import Watcher

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "scenario": "tiny",
    "iterations": 2,
    "steps_per_iteration": 240,
    "envs_per_runner": 8,
    "minibatch_size": 120,
    "epochs": 1,
    "evaluate_every": 1,
    "evaluate_episodes": 4,
    "final_episodes": 8,
}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    start_ray(2)
    yield
    stop_ray()


def small(**changes: Any) -> Study:
    return make_study(
        {
            "name": "small",
            "question": "Which?",
            "base": SMALL,
            "variants": {"a": {"label": "A"}, "b": {"label": "B", "set": {"learning_rate_inventory": 0.01}}},
            "baseline": "a",
            "seeds": 1,
            **changes,
        }
    )


@pytest.mark.parametrize("name", study_names())
def test_a_shipped_study_runs_on_a_small_scale(name: str, tmp_path: Path) -> None:
    study = load_study(name)
    study = study.model_copy(update={"base": {**study.base, **SMALL}})
    first, *_, final = study.variants
    ends = [first, final]
    last = list(study.conditions)[-1]
    result = run_study(study, out=tmp_path, num_seeds=1, variants=ends, conditions=[last])
    assert result.failed == {}
    assert [(row.condition, row.variant, row.seed) for row in result.rows] == [(last, v, 0) for v in ends]
    for run in plan_runs(study, num_seeds=1, variants=ends, conditions=[last]):
        folder = RunDir.open(tmp_path / "runs" / run.name)
        assert (folder.settings(), folder.scenario()) == (run.settings, run.world)


def test_a_run_is_the_one_that_training_alone_makes_and_leaves_its_surroundings(tmp_path: Path) -> None:
    study = small()
    (row,) = run_study(study, out=tmp_path / "study", variants=["b"]).rows
    assert ray.is_initialized()

    settings = TrainSettings(**SMALL, learning_rate_inventory=0.01, checkpoint_every=2)
    with pytest.warns(TimescaleWarning, match="break the theory"):
        alone = train(settings, out=tmp_path / "alone", watcher=Watcher(handle_signals=False))
    # Training uses the Ray that it finds, and does not stop it.
    assert ray.is_initialized()
    assert alone.comparison is not None
    folder = RunDir.open(tmp_path / "study/runs/base/b/0")
    comparison = Comparison.from_json(folder.comparison_file.read_text("utf-8"))
    assert comparison.row("trained") == alone.comparison.row("trained")
    assert row.profit == pytest.approx(comparison.row("trained").profit.mean, abs=0.005)
    assert row.env_steps == 480
    manifest = folder.manifest()
    assert (manifest["study"], manifest["condition"], manifest["variant"]) == ("small", "base", "b")
    assert "default_worker" not in json.dumps(manifest)
    assert [file.name for file in folder.checkpoints.iterdir()] == ["iteration_000002"]


def test_what_is_finished_stays_and_what_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    study = small(seeds=2)
    first = run_study(study, out=tmp_path, limit=2, jobs=1)
    assert (first.made, first.left, len(first.rows)) == (2, 2, 2)
    finished = {
        run: (tmp_path / "runs" / run / "manifest.json").read_bytes() for run in ("base/a/0", "base/b/0")
    }
    # As a killed run leaves it.
    folder = StudyDir(tmp_path)
    (interrupted,) = [run for run in plan_runs(study) if run.name == "base/a/1"]
    left = RunDir.create(folder.folder(interrupted), interrupted.settings, scenario=interrupted.world)
    left.update_manifest(status="running")
    left.append_progress({"iteration": 1, "env_steps": 7})

    seen: list[Outcome] = []
    second = run_study(study, out=tmp_path, on_outcome=seen.append)
    assert (second.made, second.left, len(second.rows)) == (2, 0, 4)
    assert {outcome.run.name for outcome in seen} == {"base/a/1", "base/b/1"}
    assert [(outcome.done, outcome.planned) for outcome in seen] == [(1, 2), (2, 2)]
    assert all(outcome.row is not None for outcome in seen)
    for run, manifest in finished.items():
        assert (tmp_path / "runs" / run / "manifest.json").read_bytes() == manifest
    assert [row["env_steps"] for row in left.progress()] == ["240", "480"]
    assert run_study(study, out=tmp_path).made == 0


def test_a_run_that_fails_is_named_and_does_not_stop_the_others(tmp_path: Path) -> None:
    broken = {
        "label": "broken",
        "set": {"timescales": {"nobody": {"actor": {"kind": "constant", "value": 1e-3}}}},
    }
    study = small(variants={"broken": broken, "a": {"label": "A"}})
    result = run_study(study, out=tmp_path, jobs=1)
    assert [row.variant for row in result.rows] == ["a"]
    assert list(result.failed) == ["base/broken/0"]
    error = result.failed["base/broken/0"]
    assert "nobody" in error
    assert "\n" not in error
    details = tmp_path / "errors/base/broken/0.txt"
    assert "Traceback" in details.read_text("utf-8")
    # It is tried again.
    assert list(run_study(study, out=tmp_path).failed) == ["base/broken/0"]


def test_a_killed_process_is_a_failure_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*arguments: object) -> None:
        import os

        os._exit(3)

    monkeypatch.setattr("invrec_rllib.studies.running._train_run", die)
    result = run_study(small(), out=tmp_path, variants=["a"])
    assert list(result.failed) == ["base/a/0"]
    assert "worker died" in result.failed["base/a/0"]
    assert result.rows == []


def test_without_time_no_run_begins(tmp_path: Path) -> None:
    result = run_study(small(), out=tmp_path, max_minutes=0.0)
    assert (result.made, result.left, result.failed) == (0, 2, {})
    with pytest.raises(InputError, match="jobs"):
        run_study(small(), out=tmp_path, jobs=0)
