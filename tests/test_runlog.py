"""What each iteration leaves in a run's logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import RunDir
from invrec_rllib.runlog import RunLog, finite_numbers, part_separations, part_speeds
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


# Results of three learners: a policy with a budget whose gate was closed, a critic, and one of RLlib's own.
LEARNED: dict[str, Any] = {
    "__all_modules__": {"separation": {"inventory_actor_over_critic_critic": 0.25}, "steps": 3.0},
    "inventory": {
        "kl_drift": np.float32(0.002),
        "actor_learning_rate": 1e-3,
        "actor_effective_step": np.float32(0.1),
        "actor_drift_factor": 1.5,
    },
    "critic": {
        "critic_learning_rate": 4e-3,
        "critic_effective_step": float("nan"),
        "critic_gradient_norm": 0.5,
    },
    "other": {"default_optimizer_learning_rate": 1e-4},
}


def test_every_part_has_a_row_of_its_speeds() -> None:
    names = ("module", "part", "learning_rate", "effective_step", "gradient_norm", "kl_drift", "drift_factor")
    assert [tuple(row) for row in part_speeds(LEARNED)] == [names] * 2
    assert [tuple(row.values()) for row in part_speeds(LEARNED)] == [
        ("critic", "critic", 4e-3, None, 0.5, None, None),
        ("inventory", "actor", 1e-3, 0.1, None, 0.002, 1.5),
    ]


def test_separations_name_both_parts() -> None:
    assert part_separations(LEARNED) == [
        {"slower": "inventory/actor", "faster": "critic/critic", "ratio": 0.25}
    ]


def test_learners_without_parts_leave_no_rows() -> None:
    assert part_speeds({"other": LEARNED["other"]}) == []
    assert part_separations({"other": LEARNED["other"]}) == []


def test_speeds_are_written_with_their_place_in_the_run(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", TrainSettings(scenario="tiny"), scenario=load_scenario("tiny"))
    log = RunLog(run)
    for iteration in (7, 8):
        log.add({"iteration": iteration, "env_steps": 30 * iteration}, {"learners": LEARNED})
    log.close()
    speeds = run.speeds_file.read_text().splitlines()
    assert speeds[0].startswith("iteration,env_steps,module,part,learning_rate,")
    assert [line.split(",")[:4] for line in speeds[1:]] == [
        [iteration, steps, *part]
        for iteration, steps in (("7", "210"), ("8", "240"))
        for part in (["critic", "critic"], ["inventory", "actor"])
    ]
    assert run.separations_file.read_text().splitlines() == [
        "iteration,env_steps,slower,faster,ratio",
        "7,210,inventory/actor,critic/critic,0.25",
        "8,240,inventory/actor,critic/critic,0.25",
    ]
