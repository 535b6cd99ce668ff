"""Sweeps of `invrec tune` on a cluster of real processes, and what befalls them; all find the same best."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_processes import Node, ProcessCluster, wait_until
from fault_runs import SharedCluster, actors, kill
from fault_table import Fault, note

from invrec_rllib.learning.settings import load_settings
from invrec_rllib.tuning.files import load_sweep

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ITERATIONS = 6
# Trials side by side: as many as a small machine has cores.
JOBS = 2
SWEEP: dict[str, Any] = {
    "name": "advisers",
    "question": "Whose advice is worth most, before much is learned?",
    # Profits of the advisers lie further apart than chance, or what so short a training changes.
    "space": {"adviser": {"grid": ["silo", "uniform", "stock_aware", "coordinated"]}},
    "base": {
        "scenario": "tiny",
        "information": "full",
        "iterations": ITERATIONS,
        "steps_per_iteration": 240,
        "envs_per_runner": 8,
        "minibatch_size": 120,
        "epochs": 1,
        "hidden": 8,
        "cell_hidden": 4,
        "evaluate_every": 1,
        "evaluate_episodes": 4,
        "final_episodes": 2,
        "checkpoint_every": 1,
    },
}
TRAINABLE = "PairTrainable"


@dataclass(eq=False)
class RunningSweep:
    """A sweep of `invrec tune` on a cluster.

    Attributes:
        cluster: where it runs.
        file: of the sweep.
        name: of its folder, beside the file.
    """

    cluster: ProcessCluster
    file: Path
    name: str
    driver: subprocess.Popen[bytes] = field(init=False)

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.file.parent / self.name

    @property
    def log(self) -> Path:
        """What its drivers print."""
        return self.file.parent / f"{self.name}.log"

    def command(self, *options: str) -> list[str]:
        """The call, without its address."""
        call = [sys.executable, "-m", "invrec_rllib.cli", "tune", str(self.file)]
        return [*call, "--storage", str(self.file.parent), "--name", self.name, *options]

    def start(self, *options: str) -> None:
        """Start it, or go on with it."""
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                self.command("--address", self.cluster.address, *options),
                env=self.cluster.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def num_trials(self) -> int:
        """How many trials it has."""
        return load_sweep(self.file).num_trials

    def printed(self) -> str:
        """What its drivers printed."""
        return self.log.read_text("utf-8", "replace")

    def reports(self) -> dict[str, list[dict[str, Any]]]:
        """What each trial has reported."""
        return {file.parent.name: complete_lines(file) for file in self.folder.glob("*/result.json")}

    def wait_for_finished(self, number: int) -> None:
        """Wait until so many trials are finished, while the driver lives."""
        self._wait(lambda: sum(map(is_over, self.reports().values())) >= number, f"{number} trials")

    def wait_for_busy_node(self) -> Node:
        """Wait until a trial has gone some of its way; the worker node that it is on."""
        found: list[Node] = []

        def check() -> bool:
            last = [reports[-1] for reports in self.reports().values() if reports]
            busy = {report["pid"] for report in last if 2 <= report["iteration"] <= ITERATIONS - 3}
            found[:] = [node for node in self.cluster.workers if busy & {*actors(node, TRAINABLE)}]
            return bool(found)

        self._wait(check, "a trial on its way")
        return found[0]

    def wait_for_end(self) -> None:
        """Wait until the driver ends, and see that it ends well."""
        assert self.driver.wait(timeout=150) == 0, self.printed()[-6000:]

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        def check() -> bool:
            assert self.driver.poll() is None, self.printed()[-6000:]
            return holds()

        wait_until(check, what)


def is_over(reports: Sequence[dict[str, Any]]) -> bool:
    """Whether a trial has reported its last iteration."""
    return bool(reports) and bool(reports[-1]["iteration"] == ITERATIONS)


def complete_lines(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def trials_in(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of a sweep's table of trials, by adviser and seed."""
    rows = csv.DictReader((folder / "trials.csv").read_text("utf-8").splitlines())
    return {(row["adviser"], row["seed"]): row for row in rows}


def restarts(reports: Sequence[dict[str, Any]]) -> list[int]:
    """Where among its reports a trial went on from a checkpoint, or began anew."""
    count = [report["iterations_since_restore"] for report in reports]
    return [place for place in range(1, len(count)) if count[place] <= count[place - 1]]


def check_same(sweep: RunningSweep, undisturbed: RunningSweep) -> None:
    """All trials are finished, the best configuration is that of the undisturbed sweep, and so is the profit of every
    trial that went through in one go.
    """
    rows, expected = trials_in(sweep.folder), trials_in(undisturbed.folder)
    assert len(rows) == sweep.num_trials
    assert {(row["status"], row["iterations"]) for row in rows.values()} == {("finished", str(ITERATIONS))}
    best, expected_best = (load_settings(each.folder / "best.yaml") for each in (sweep, undisturbed))
    assert best == expected_best
    assert best.adviser == "coordinated"
    through = {trial for trial, reports in sweep.reports().items() if not restarts(reports)}
    compared = [key for key, row in rows.items() if row["trial"] in through]
    assert len(compared) >= sweep.num_trials / 2
    assert [rows[key]["profit"] for key in compared] == [expected[key]["profit"] for key in compared]


def fault_of(
    sweep: RunningSweep, *, injected: str, seen: str, before: dict[str, list[dict[str, Any]]], start: float
) -> Fault:
    """What a fault cost a sweep that is over, given all reports before it, and when whatever mends it began."""
    after = sweep.reports()
    finished = [name for name, reports in before.items() if is_over(reports)]
    # A trial that Tune had not noted as finished reports its end again, but trains no more.
    lost = [
        name for name in finished if {r["iteration"] for r in after[name][len(before[name]) :]} - {ITERATIONS}
    ]
    hit = [name for name, reports in after.items() if restarts(reports) and name not in finished]
    assert hit
    redone = sum(len(after[name]) - len({report["iteration"] for report in after[name]}) for name in hit)
    back = max(after[name][restarts(after[name])[-1]]["timestamp"] for name in hit)
    return Fault(f"sweep of {sweep.num_trials}", injected, seen, len(lost), redone, back - start)


def write_sweep(file: Path, seeds: int) -> Path:
    file.write_text(yaml.safe_dump({**SWEEP, "seeds": list(range(seeds))}))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture
def cluster(fault_cluster: SharedCluster) -> ProcessCluster:
    return fault_cluster.whole()


@pytest.fixture(scope="module")
def undisturbed(fault_cluster: SharedCluster, folder: Path) -> RunningSweep:
    """The sweep with nothing in its way, submitted to the cluster as a job."""
    file = write_sweep(folder / "undisturbed.yaml", seeds=4)
    sweep = RunningSweep(fault_cluster.whole(), file, "undisturbed")
    submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit"]
    address = ["--address", sweep.cluster.jobs_address]
    finished = sweep.cluster.run([*submit, *address, "--", *sweep.command("--jobs", str(JOBS))])
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Job 'raysubmit_" in finished.stdout
    return sweep


def test_a_sweep_that_was_submitted_as_a_job_finishes(undisturbed: RunningSweep) -> None:
    assert undisturbed.num_trials == 16
    assert len(trials_in(undisturbed.folder)) == 16
    check_same(undisturbed, undisturbed)
    assert not any(map(restarts, undisturbed.reports().values()))


def test_a_lost_node_costs_no_trial_and_changes_no_result(
    cluster: ProcessCluster, undisturbed: RunningSweep, fault_table: list[Fault]
) -> None:
    sweep = RunningSweep(cluster, undisturbed.file, "node-lost")
    sweep.start("--jobs", str(JOBS))
    sweep.wait_for_finished(5)
    victim = sweep.wait_for_busy_node()
    start = time.time()
    cluster.kill_node(victim)
    before = sweep.reports()
    sweep.wait_for_end()
    check_same(sweep, undisturbed)
    seen = next(line for line in sweep.printed().splitlines() if " of at most 3 times (" in line)
    note(fault_table, fault_of(sweep, injected="worker node killed", seen=seen, before=before, start=start))


def test_a_killed_driver_loses_no_finished_trial(
    cluster: ProcessCluster, undisturbed: RunningSweep, folder: Path, fault_table: list[Fault]
) -> None:
    sweep = RunningSweep(cluster, write_sweep(folder / "smaller.yaml", seeds=2), "driver-killed")
    sweep.start("--jobs", str(JOBS))
    sweep.wait_for_finished(3)
    sweep.wait_for_busy_node()
    kill(sweep.driver.pid)
    sweep.driver.wait()
    before, start = sweep.reports(), time.time()
    sweep.start("--resume")
    sweep.wait_for_end()
    check_same(sweep, undisturbed)
    note(
        fault_table,
        fault_of(
            sweep,
            injected="driver killed, --resume",
            seen="(nothing: it is killed)",
            before=before,
            start=start,
        ),
    )
