"""Sweeps on real Ray: interrupted drivers, trials that die, damaged checkpoints, a population."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray import cloudpickle, tune

from invrec_rllib.learning.settings import load_settings
from invrec_rllib.rllib.quiet import start_ray, stop_ray
from invrec_rllib.tuning import running
from invrec_rllib.tuning.files import load_sweep
from invrec_rllib.tuning.running import Cluster, run_sweep
from invrec_rllib.tuning.sweep import Sweep, make_sweep
from invrec_rllib.tuning.trainable import PairTrainable
from invrec_rllib.tuning.watching import Watcher

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "scenario": "tiny",
    "iterations": 6,
    "steps_per_iteration": 240,
    "envs_per_runner": 8,
    "minibatch_size": 120,
    "epochs": 1,
    "evaluate_every": 1,
    "evaluate_episodes": 4,
    "final_episodes": 8,
    "checkpoint_every": 1,
}
DIED = "INVREC_TEST_DIED"


def small(**changes: Any) -> dict[str, Any]:
    return {"name": "small", "question": "Which?", "base": SMALL, **changes}


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    start_ray(2)
    yield
    stop_ray()


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "trials.csv").read_text("utf-8").splitlines()))


def interrupted(file: Path, *, at: str) -> tuple[int, str]:
    """`invrec tune`, sent Ctrl-C when it says so."""
    command = [
        sys.executable,
        "-m",
        "invrec_rllib.cli",
        "tune",
        str(file),
        "--storage",
        str(file.parent / "sweeps"),
    ]
    process = subprocess.Popen([*command, "--cpus", "1"], stderr=subprocess.PIPE, text=True)
    said, sent = "", False
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            said += line
            if at in line and not sent:
                process.send_signal(signal.SIGINT)
                sent = True
    return process.wait(timeout=60), said


def test_an_interrupted_sweep_goes_on_from_its_checkpoints(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "small.yaml"
    space = {"learning_rate_inventory": {"loguniform": [0.001, 0.01]}}
    file.write_text(yaml.safe_dump(small(space=space, samples=3)))
    folder = tmp_path / "sweeps/small"

    code, said = interrupted(file, at="running, 3/6")
    assert code == 130, said
    assert f"Go on with them: invrec tune {file}" in said
    assert [line["status"] for line in table(folder)].count("finished") == 0
    assert not (folder / "best.yaml").exists()

    (first,) = (path.parent for path in folder.glob("*/result.json"))
    request.getfixturevalue("local_ray")
    assert not run_sweep(load_sweep(file), storage=tmp_path / "sweeps", resume=True).interrupted
    rows = table(folder)
    assert [(row["status"], row["iterations"]) for row in rows] == [("finished", "6")] * 3
    reported = [report["iteration"] for report in results(first / "result.json")]
    assert reported == sorted(reported)
    assert set(reported) == {1, 2, 3, 4, 5, 6}
    assert len({row["learning_rate_inventory"] for row in rows}) == 3
    best = max(rows, key=lambda row: float(row["profit"]))
    settings = load_settings(folder / "best.yaml")
    assert settings.learning_rate_inventory == pytest.approx(float(best["learning_rate_inventory"]))
    kept = {path.parent.name for path in folder.glob("*/checkpoint_*")}
    assert kept == {best["trial"]}
    assert list(folder.glob("*/events.out.tfevents*"))
    assert (folder / "report/index.html").is_file()


def results(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


class Dying(PairTrainable):
    """Its process dies once, after the third evaluation."""

    def step(self) -> dict[str, Any]:
        result = super().step()
        if result["iteration"] == 4:
            self.die_once()
        return result

    def die_once(self) -> None:
        marker = Path(self.sweep.question)
        if not marker.exists():
            marker.touch()
            os._exit(1)


class DyingBetweenTrials(Dying):
    """Its process dies once, when it is to be another trial."""

    def step(self) -> dict[str, Any]:
        return PairTrainable.step(self)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.die_once()
        return super().reset_config(new_config)


@pytest.fixture
def replace_trainable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[PairTrainable]], None]]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield lambda kind: monkeypatch.setattr(running, "PairTrainable", kind)
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.usefixtures("local_ray")
def test_a_trial_whose_process_dies_goes_on_from_its_checkpoint(
    tmp_path: Path, replace_trainable: Callable[[type[PairTrainable]], None]
) -> None:
    replace_trainable(Dying)
    seen: list[int] = []
    said: list[str] = []
    result = run_sweep(
        make_sweep(small(question=str(tmp_path / "died"))),
        storage=f"file://{tmp_path}/sweeps",
        watcher=Watcher(on_change=lambda board, trial: seen.append(trial.iteration), on_fault=said.append),
    )
    assert (tmp_path / "died").exists()
    (row,) = result.rows
    assert (row.status, row.iterations, row.env_steps, row.error) == ("finished", 6, 6 * 240, "")
    # Started, three evaluations, started again from the third, three more.
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6]
    assert said == [
        "base seed 0 failed after 3 iterations, 1 of at most 3 times (The actor died unexpectedly before finishing "
        "this task.); it goes on from its newest checkpoint"
    ]
    assert not result.interrupted
    assert ray.is_initialized()


@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_tune_gives_up_with_failures_left_goes_on_after_the_others(
    tmp_path: Path, replace_trainable: Callable[[type[PairTrainable]], None]
) -> None:
    replace_trainable(DyingBetweenTrials)
    said: list[str] = []
    result = run_sweep(
        make_sweep(small(question=str(tmp_path / "died"), seeds=[0, 1, 2], base={**SMALL, "iterations": 2})),
        storage=tmp_path,
        cluster=Cluster(jobs=1),
        watcher=Watcher(on_fault=said.append),
    )
    assert (tmp_path / "died").exists()
    assert [(row.seed, row.status, row.iterations) for row in result.rows] == [
        (seed, "finished", 2) for seed in range(3)
    ]
    # One death, which Tune counts twice, and takes for the end when it counts the second time.
    assert [line.partition("; ")[2] for line in said] == [
        "it goes on from its newest checkpoint",
        "it goes on when all others are over",
    ]
    assert "failed after 0 iterations, 2 of at most 3 times" in said[1]


@pytest.mark.usefixtures("local_ray")
def test_a_population_exchanges_weights_and_values(tmp_path: Path) -> None:
    sweep: Sweep = make_sweep(
        small(
            space={
                "learning_rate_inventory": {"loguniform": [0.001, 0.01]},
                "clip": {"choice": [0.1, 0.2, 0.3]},
            },
            samples=3,
            scheduler={"kind": "pbt", "interval_iterations": 2, "quantile_fraction": 0.34},
        )
    )
    result = run_sweep(sweep, storage=tmp_path)
    assert [(row.status, row.iterations, row.error) for row in result.rows] == [("finished", 6, "")] * 3
    exchanges = [
        json.loads(line) for line in (tmp_path / "small/pbt_global.txt").read_text("utf-8").splitlines()
    ]
    assert exchanges
    for *_, before, after in exchanges:
        assert 0.001 <= after["learning_rate_inventory"] <= 0.01
        assert after != before
    settings = load_settings(tmp_path / "small/best.yaml")
    assert (settings.learning_rate_inventory, settings.clip) in [
        (row.configuration["learning_rate_inventory"], row.configuration["clip"]) for row in result.rows
    ]


@pytest.mark.usefixtures("local_ray")
def test_a_checkpoint_that_is_gone_or_damaged_is_replaced_by_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = PairTrainable.of(make_sweep(small()))({"seed": 0})
    for number in range(3):
        trial.step()
        trial.save_checkpoint(str(made(tmp_path / f"checkpoint_{number:06}")))
    profit = trial.step()["profit"]

    def iterations_after(name: str) -> int:
        trial.restore(tune.Checkpoint(str(tmp_path / name)))
        return int(trial.step()["iteration"])

    assert iterations_after("checkpoint_000001") == 3
    policy = next((tmp_path / "checkpoint_000002").rglob("*.safetensors"))
    policy.write_bytes(policy.read_bytes()[:-1])
    assert iterations_after("checkpoint_000002") == 3
    assert "is not what was written; the one before it is taken" in capsys.readouterr().out
    # As an upload that was cut off leaves it.
    (tmp_path / "checkpoint_000002/checksums.json").unlink()
    assert iterations_after("checkpoint_000002") == 3
    assert "checksums.json is missing; the one before it is taken" in capsys.readouterr().out
    # Of a checkpoint that Tune has removed since it noted it: the newest sound one.
    assert iterations_after("checkpoint_000009") == 3
    shutil.rmtree(tmp_path / "checkpoint_000001")
    shutil.rmtree(tmp_path / "checkpoint_000000")
    trial.reset_config({"seed": 0})
    assert iterations_after("checkpoint_000002") == 1
    assert "the trial starts anew" in capsys.readouterr().out
    # And is then the same trial again.
    for _ in range(2):
        trial.step()
    assert trial.step()["profit"] == profit
    trial.cleanup()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.filterwarnings("ignore::invrec_rllib.timescales.report.TimescaleWarning")
def test_what_a_population_changes_holds_from_the_checkpoint_on(tmp_path: Path) -> None:
    space = {
        "learning_rate_inventory": {"loguniform": [1e-4, 0.5]},
        "power_inventory": {"choice": [0.0, 1.0]},
    }
    trial = PairTrainable.of(make_sweep(small(space=space)))(
        {"learning_rate_inventory": 0.001, "power_inventory": 1.0, "seed": 0}
    )
    for _ in range(3):
        trial.step()
    checkpoint = made(tmp_path / "checkpoint_000000")
    trial.save_checkpoint(str(checkpoint))
    # After 3 updates, a / (1 + 3 / 12) ^ power.
    for rate, power, expected in ((0.001, 1.0, 0.0008), (0.25, 1.0, 0.2), (0.25, 0.0, 0.25)):
        trial.reset_config({"learning_rate_inventory": rate, "power_inventory": power, "seed": 0})
        trial.restore(tune.Checkpoint(str(checkpoint)))
        _, result = trial._built().iterate()
        assert result["learners"]["inventory"]["actor_learning_rate"] == pytest.approx(expected)
    trial.cleanup()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
