"""One long run with remote learners, and what ends its attempts at training; the order counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_runs import CHECKPOINT_EVERY, LEARNER, LongRun, SharedCluster, actors, kill
from fault_table import Fault, note
from faulty_world import LASTING

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SETTINGS = {
    "env_runners": 1,
    "envs_per_runner": 16,
    "learners": 2,
    "max_failures": 3,
    "sample_timeout_seconds": 5,
}


@pytest.fixture(scope="module")
def run(fault_cluster: SharedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongRun]:
    folder = tmp_path_factory.mktemp("run")
    made = LongRun(fault_cluster.whole(), folder / "run", folder / "log", SETTINGS)
    made.start()
    try:
        made.wait_for_rows(6, since=0)
        yield made
    finally:
        made.end()


def test_a_killed_learner_makes_training_go_back_to_its_newest_checkpoint(
    run: LongRun, fault_table: list[Fault]
) -> None:
    victim = actors(run.node_of(LEARNER), LEARNER)[0]
    saved, printed = run.checkpoint(), len(run.printed())
    start = time.monotonic()
    kill(victim)
    said = run.line("Training failed, 1 of at most 3 times in a row", after=printed)
    done = run.done()
    run.line("It goes on from iteration", after=printed)
    run.wait_for_rows(1, since=done)
    seconds = time.monotonic() - start
    first, back = run.attempts()
    assert first == 0
    assert back >= saved > 0
    run.check_whole()
    fault = Fault("training", "one of 2 learners killed", said, run.lost(saved), done - back, seconds)
    note(fault_table, fault)


def test_a_lost_node_of_learners_is_waited_for(
    run: LongRun, fault_cluster: SharedCluster, fault_table: list[Fault]
) -> None:
    # Failures before count until a checkpoint comes after them.
    run.wait_for_rows(CHECKPOINT_EVERY + 1)
    saved, printed = run.checkpoint(), len(run.printed())
    start = time.monotonic()
    run.cluster.kill_node(run.node_of(LEARNER))
    said = run.line("no room for 3 CPU", after=printed)
    done = run.done()
    fault_cluster.whole()
    run.wait_for_rows(1, since=done)
    seconds = time.monotonic() - start
    back = run.attempts()[-1]
    assert back >= saved > 0
    run.check_whole()
    injected = "node with learners lost, another joins later"
    note(fault_table, Fault("training", injected, said, run.lost(saved), done - back, seconds))


def test_environments_that_always_fail_stop_the_run_with_its_checkpoints(
    run: LongRun, orders: Path, fault_table: list[Fault]
) -> None:
    run.wait_for_rows(CHECKPOINT_EVERY + 1)
    saved, printed = run.checkpoint(), len(run.printed())
    start = time.monotonic()
    (orders / LASTING).touch()
    assert run.wait_for_end() == 3
    seconds = time.monotonic() - start
    (orders / LASTING).unlink()
    said = run.line("Error: nothing was sampled", after=printed)
    assert "WorldError('ordered')" in said
    assert f"iteration_{run.checkpoint():06d}, is kept" in said
    assert saved > 0
    injected = "environments always raise, until it stops"
    note(fault_table, Fault("training", injected, said, run.lost(saved), 0, seconds))
