"""One long run with remote learners: what ends an attempt at training; the order counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_processes import ProcessCluster, process_cluster
from fault_runs import LongRun, actors, kill, variables
from fault_table import Fault
from faulty_world import LASTING

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEARNER = "Learner"
SETTINGS = {"env_runners": 1, "envs_per_runner": 16, "learners": 2, "max_failures": 1}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def cluster(orders: Path) -> Iterator[ProcessCluster]:
    with process_cluster(2, num_cpus=2, variables=variables(orders)) as running:
        yield running


@pytest.fixture(scope="module")
def run(cluster: ProcessCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongRun]:
    folder = tmp_path_factory.mktemp("run")
    made = LongRun(cluster, folder / "run", folder / "log", SETTINGS)
    made.start()
    try:
        made.wait_for_rows(6, since=0)
        yield made
    finally:
        made.end()


def check_gone_on(run: LongRun, *, saved: int) -> None:
    """The newest attempt began at the checkpoint that was there, or a later one, and nothing is amiss."""
    assert run.run.manifest()["attempts"][-1]["from_iteration"] >= saved > 0
    run.check_whole()


def test_a_killed_learner_makes_training_go_back_to_its_newest_checkpoint(
    run: LongRun, fault_table: list[Fault]
) -> None:
    victim = actors(run.node_of(LEARNER), LEARNER)[0]
    saved, printed = run.checkpoint(), len(run.printed())
    start = time.monotonic()
    kill(victim)
    said = run.line("Training failed, 1 of at most 1 times in a row", after=printed)
    done = run.rows()[-1][0]
    run.line("It goes on from iteration", after=printed)
    run.wait(lambda: len(run.run.manifest()["attempts"]) == 2, "a second attempt")
    back = int(run.run.manifest()["attempts"][-1]["from_iteration"])
    run.wait_for_rows(1, since=back)
    seconds = time.monotonic() - start
    run.wait_for_rows(2)
    check_gone_on(run, saved=saved)
    fault_table.append(Fault("training", "one of 2 learners killed", said, 0, done - back, seconds))


def test_environments_that_always_fail_stop_the_run_with_its_checkpoints(
    run: LongRun, orders: Path, fault_table: list[Fault]
) -> None:
    # The failure before counts until a checkpoint comes after it.
    run.wait_for_rows(6)
    printed = len(run.printed())
    (orders / LASTING).touch()
    start = time.monotonic()
    assert run.wait_for_end() == 3
    seconds = time.monotonic() - start
    (orders / LASTING).unlink()
    said = run.line("Error: ", after=printed)
    assert "nothing was sampled" in said
    saved, done = run.checkpoint(), run.rows()[-1][0]
    assert f"iteration_{saved:06d}, is kept" in said
    run.resume()
    run.wait(lambda: len(run.run.manifest()["attempts"]) == 3, "a third attempt")
    run.wait_for_rows(2, since=saved)
    check_gone_on(run, saved=saved)
    fault_table.append(
        Fault("training", "environments always raise, until it stops; --resume", said, 0, done - saved, seconds)
    )


def test_a_lost_head_ends_the_driver_and_a_new_cluster_resumes(
    run: LongRun, orders: Path, fault_table: list[Fault]
) -> None:
    saved, printed = run.checkpoint(), len(run.printed())
    run.cluster.head.kill()
    assert run.wait_for_end() != 0
    last = [line for line in run.printed()[printed:].splitlines() if line.strip()]
    saved, done = max(saved, run.checkpoint()), run.rows()[-1][0]
    with process_cluster(head_cpus=3, variables=variables(orders)) as another:
        start = time.monotonic()
        run.resume(another)
        run.wait(lambda: len(run.run.manifest()["attempts"]) == 4, "a fourth attempt")
        run.wait_for_rows(1, since=saved)
        seconds = time.monotonic() - start
        run.wait_for_rows(2)
        check_gone_on(run, saved=saved)
        run.end()
    seen = " / ".join(last) or "(nothing)"
    fault_table.append(
        Fault("training", "head lost, --resume on another cluster", seen, 0, done - saved, seconds)
    )
