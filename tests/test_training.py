"""Runs with real Ray: they learn, stop, resume, and say what they earn."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from faulty_world import FOLDER, LASTING, make_batched

from invrec_rllib.errors import InputError, TrainingStoppedError
from invrec_rllib.evaluation import Comparison, paired_difference, rollout
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.trained_pairs import load_trained
from invrec_rllib.rllib import register as registration
from invrec_rllib.rllib.quiet import start_ray, stop_ray
from invrec_rllib.rundir import RunDir
from invrec_rllib.training import RunResult, resume, train
from invrec_rllib.watcher import Watcher

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


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A Ray for all tests that do not care whose it is; the first two below start their own, or fail before."""
    start_ray(1)
    yield
    stop_ray()


def run_quickly(out: Path, *, watcher: Watcher | None = None, **changes: Any) -> RunResult:
    return train(TrainSettings(**{**QUICK, **changes}), out=out, watcher=watcher, num_cpus=1)


def speeds_of(run: RunDir, module: str, figure: str) -> list[float]:
    """A figure of a module's one part, iteration by iteration."""
    with run.speeds_file.open(newline="") as file:
        return [float(row[figure]) for row in csv.DictReader(file) if row["module"] == module]


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
    rates = speeds_of(run, "inventory", "learning_rate")
    np.testing.assert_allclose(rates, [2e-3 / (1 + n / 12) for n in range(4)], rtol=1e-5)
    results = [json.loads(line) for line in run.results_file.read_text().splitlines()]
    logged_rates = [one["learners/inventory/actor_learning_rate"] for one in results]
    np.testing.assert_allclose(logged_rates, rates, rtol=1e-6)
    assert len(run.separations_file.read_text().splitlines()) == 1 + 2 * 4
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


@pytest.mark.usefixtures("local_ray")
def test_environments_that_keep_failing_stop_a_run_of_one_process_with_their_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(registration, "make_batched_invrec", make_batched)
    fail = Watcher(on_iteration=lambda row: (tmp_path / LASTING).touch())
    with pytest.raises(TrainingStoppedError, match=r"WorldError\('ordered'\).*iteration_000001, is kept"):
        run_quickly(tmp_path / "run", iterations=2, max_failures=0, watcher=fail)
    assert RunDir.open(tmp_path / "run").manifest()["status"] == "failed"


@pytest.mark.usefixtures("local_ray")
def test_training_earns_more_than_the_textbook_it_starts_from(tmp_path: Path) -> None:
    result = run_quickly(tmp_path / "run", iterations=25, evaluate_every=0, checkpoint_every=25)
    trained = load_trained(result.checkpoint)
    profits = {
        name: rollout("tiny", policy, seed=77, episodes=200, information="full").profit
        for name, policy in {"trained": trained, "silo": "silo"}.items()
    }
    difference = paired_difference(profits["trained"], profits["silo"])
    assert difference.absolute.low > 0, difference


@pytest.mark.usefixtures("local_ray")
def test_a_drift_budget_steers_the_step_size_of_its_policy_alone(tmp_path: Path) -> None:
    run_quickly(tmp_path / "run", iterations=5, evaluate_every=0, final_episodes=2, drift_recommender=1e-3)
    run = RunDir.open(tmp_path / "run")
    rates, drifts, factors = (
        speeds_of(run, "recommender", name) for name in ("learning_rate", "kl_drift", "drift_factor")
    )
    expected = 1.0
    for update, (rate, drift, factor) in enumerate(zip(rates, drifts, factors, strict=True)):
        fallen = (1 + update / 12) ** -0.8
        assert rate == pytest.approx(4e-3 * fallen * expected, rel=1e-5)
        # A step of half the logarithm of budget over drift, 30 % of it at once and within its bounds.
        error = 0.5 * math.log(1e-3 * fallen**2 / drift)
        expected *= math.exp(0.3 * min(max(error, -math.log(10)), math.log(2)))
        expected = min(max(expected, 0.1), 10.0)
        assert factor == pytest.approx(expected, rel=1e-4)
    assert factors[-1] != pytest.approx(1.0, rel=0.1)
    np.testing.assert_allclose(
        speeds_of(run, "inventory", "learning_rate"), [2e-3 / (1 + n / 12) for n in range(5)], rtol=1e-5
    )


@pytest.mark.usefixtures("local_ray")
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


@pytest.mark.usefixtures("local_ray")
def test_settings_of_a_run_are_readable_yaml(tmp_path: Path) -> None:
    result = run_quickly(tmp_path / "run", iterations=1, network="mlp", hidden=16, final_episodes=2)
    stored = yaml.safe_load((result.path / "settings.yaml").read_text())
    assert stored["network"] == "mlp"
    assert math.isclose(stored["initial_std_inventory"], TrainSettings().initial_std_inventory)
