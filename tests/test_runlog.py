"""What each iteration leaves in a run's logs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import RunDir
from invrec_rllib.runlog import RunLog, finite_numbers
from invrec_rllib.scenario import load_scenario


def test_only_finite_numbers_are_kept_by_path() -> None:
    result = {
        "a": {"b": np.float32(1.5), "c": float("nan"), "text": "3"},
        "flag": True,
        "config": {"lr": 1.0},
        "array": np.array([1.0, 2.0]),
        "one": np.array([2.0]).sum(),
    }
    assert finite_numbers(result) == {"a/b": 1.5, "one": 2.0}


def test_an_iteration_is_in_every_log(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", TrainSettings(scenario="tiny"), scenario=load_scenario("tiny"))
    log = RunLog(run)
    row = {"iteration": 7, "env_steps": 30, "profit_mean": 2.5, "profit_eval_mean": None}
    log.add(row, {"training_iteration": 1, "learners": {"inventory": {"loss": 0.5}}})
    log.close()
    assert run.progress() == [
        {"iteration": "7", "env_steps": "30", "profit_mean": "2.5", "profit_eval_mean": ""}
    ]
    # The run's own count holds: RLlib's could start anew.
    assert json.loads(run.results_file.read_text()) == {
        "training_iteration": 7,
        "learners/inventory/loss": 0.5,
    }
    assert any(file.stat().st_size > 0 for file in run.tensorboard.iterdir())
