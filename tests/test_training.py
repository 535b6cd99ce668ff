"""Runs with real Ray: they learn, stop, resume, and say what they earn."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison, paired_difference, rollout
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.trained import load_trained
from invrec_rllib.rundir import RunDir
from invrec_rllib.training import RunResult, Watcher, resume, train

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {
    "scenario": "tiny",
    "information": "full",
    "env_runners": 0,
    "envs_per_runner": 16,
    "steps_per_iteration": 480,
    "minibatch_size": 240,
    "evaluate_every": 1,
    "evaluate_episodes": 20,
    "final_episodes": 50,
    "checkpoint_every": 1,
}


def run_quickly(out: Path, *, watcher: Watcher | None = None, **changes: Any) -> RunResult:
    return train(TrainSettings(**{**QUICK, **changes}), out=out, watcher=watcher, num_cpus=1)


def last_rates(run: RunDir) -> list[float]:
    lines = [json.loads(line) for line in run.results_file.read_text().splitlines()]
    return [line["learners/inventory/actor_learning_rate"] for line in lines]


def test_a_run_stops_when_asked_and_resumes_where_it_was(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    stopped = run_quickly(
        tmp_path / "run",
        iterations=4,
        watcher=Watcher(on_iteration=rows.append, stop=lambda: len(rows) == 2),
    )
    assert (stopped.stopped, stopped.iterations, stopped.comparison) == (True, 2, None)
    assert RunDir.open(tmp_path / "run").manifest()["status"] == "stopped"

    finished = resume(tmp_path / "run", watcher=Watcher(on_iteration=rows.append), num_cpus=1)
    assert (finished.stopped, finished.iterations) == (False, 4)
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert [row["env_steps"] for row in rows] == [480, 960, 1440, 1920]
    assert all(row["profit_eval_mean"] is not None for row in rows)

    run = RunDir.open(tmp_path / "run")
    logged = run.progress()
    assert [int(row["iteration"]) for row in logged] == [1, 2, 3, 4]
    # 2e-3 / (1 + n / 12) after n updates, resumed in the middle.
    np.testing.assert_allclose(last_rates(run), [2e-3 / (1 + n / 12) for n in range(4)], rtol=1e-5)
    manifest = run.manifest()
    assert (manifest["status"], manifest["iterations"]) == ("finished", 4)
    assert [(one["from_iteration"], one["seed_stream"]) for one in manifest["attempts"]] == [(0, 0), (2, 2)]
    assert manifest["seeding"]["run_seed"] == 0
    assert list(run.tensorboard.iterdir())

    comparison = Comparison.from_json(run.comparison_file.read_text())
    assert comparison.policies[0] == "trained"
    assert {"silo", "traditional"} <= set(comparison.policies)
    # The checkpoint alone gives the same figures on the same episodes.
    again = rollout(
        "tiny", load_trained(finished.checkpoint), seed=comparison.seed, episodes=50, information="full"
    )
    assert again.profit.mean() == pytest.approx(comparison.row("trained").profit.mean, rel=1e-9)


def test_a_second_run_does_not_touch_the_first(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run_quickly(tmp_path / "run", iterations=1)
    with pytest.raises(InputError, match="not a run"):
        resume(tmp_path / "run")


def test_a_start_that_fails_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 CPUs"):
        run_quickly(tmp_path / "run", env_runners=2)
    assert not (tmp_path / "run").exists()


def test_training_earns_more_than_the_textbook_it_starts_from(tmp_path: Path) -> None:
    result = run_quickly(tmp_path / "run", iterations=25, evaluate_every=0, checkpoint_every=25)
    trained = load_trained(result.checkpoint)
    profits = {
        name: rollout("tiny", policy, seed=77, episodes=200, information="full").profit
        for name, policy in {"trained": trained, "silo": "silo"}.items()
    }
    difference = paired_difference(profits["trained"], profits["silo"])
    assert difference.absolute.low > 0, difference


def test_equal_seeds_train_equal_agents(tmp_path: Path) -> None:
    actions = []
    for name in ("a", "b"):
        result = run_quickly(tmp_path / name, iterations=2, final_episodes=2)
        pair = load_trained(result.checkpoint)
        actions.append(rollout("tiny", pair, seed=1, episodes=3, information="full", record=3))
    for first, second in zip(actions[0].trajectories, actions[1].trajectories, strict=True):
        np.testing.assert_array_equal(first.exposure, second.exposure)
    other = run_quickly(tmp_path / "c", iterations=2, final_episodes=2, seed=5)
    different = rollout(
        "tiny", load_trained(other.checkpoint), seed=1, episodes=3, information="full", record=3
    )
    assert not np.array_equal(different.trajectories[0].exposure, actions[0].trajectories[0].exposure)


def test_settings_of_a_run_are_readable_yaml(tmp_path: Path) -> None:
    result = run_quickly(tmp_path / "run", iterations=1, network="mlp", hidden=16, final_episodes=2)
    stored = yaml.safe_load((result.path / "settings.yaml").read_text())
    assert stored["network"] == "mlp"
    assert math.isclose(stored["initial_std_inventory"], TrainSettings().initial_std_inventory)
