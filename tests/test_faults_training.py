"""One long run of `invrec train` on a cluster of real processes, and all that befalls it; the order counts."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_runs import CHECKPOINT_EVERY, RUNNER, Disk, LongRun, SharedCluster, actors, kill
from fault_table import Fault, note

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# Enough for a step of the tiny world on a busy machine, and short to wait for.
TIMEOUT_SECONDS = 4
SETTINGS = {
    "env_runners": 2,
    "envs_per_runner": 8,
    "sample_timeout_seconds": TIMEOUT_SECONDS,
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    made = Disk(tmp_path_factory.mktemp("disk") / "results")
    yield made
    made.close()


@pytest.fixture(scope="module")
def long_run(
    fault_cluster: SharedCluster, disk: Disk, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LongRun]:
    run = LongRun(
        fault_cluster.whole(), disk.folder / "run", tmp_path_factory.mktemp("log") / "log", SETTINGS
    )
    run.start()
    try:
        run.wait_for_rows(6, since=0)
        yield run
    finally:
        run.end()


@pytest.fixture
def run(long_run: LongRun, fault_cluster: SharedCluster) -> LongRun:
    """The run, going on: again, where an earlier test left it dead."""
    whole = fault_cluster.whole()
    if long_run.driver.poll() is not None:
        long_run.resume(whole)
        long_run.wait_for_rows(1, since=long_run.checkpoint())
    return long_run


def suffer(
    run: LongRun, table: list[Fault], *, injected: str, inject: Callable[[], None], seen: str, back: str = ""
) -> None:
    """Inject a fault, wait until it was said and training went on after it, and see that nothing is amiss."""
    before, saved, printed = run.done(), run.checkpoint(), len(run.printed())
    start = time.monotonic()
    inject()
    said = run.line(seen, after=printed)
    if back:
        run.line(back, after=printed)
    run.wait_for_rows(1)
    seconds = time.monotonic() - start
    run.check_whole()
    assert run.done() > before
    note(table, Fault("training", injected, said, run.lost(saved), 0, seconds))


def test_a_killed_sampling_process_comes_back(run: LongRun, fault_table: list[Fault]) -> None:
    victim = actors(run.node_of(RUNNER), RUNNER)[0]
    suffer(
        run,
        fault_table,
        injected="sampling process killed",
        inject=lambda: kill(victim),
        seen="Lost sampling processes",
        back="is back",
    )


@pytest.mark.parametrize(
    ("order", "error"), [("raise", "WorldError('ordered')"), ("nan", "holds nan in row 0")]
)
def test_a_failed_environment_is_made_anew_and_named(
    order: str, error: str, run: LongRun, orders: Path, fault_table: list[Fault]
) -> None:
    suffer(
        run,
        fault_table,
        injected={"raise": "environment raises", "nan": "a step returns NaN"}[order],
        inject=(orders / order).touch,
        seen="An environment failed once",
    )
    assert run.says(error)


def test_a_hung_environment_is_found_and_its_process_started_again(
    run: LongRun, orders: Path, fault_table: list[Fault]
) -> None:
    suffer(
        run,
        fault_table,
        injected=f"environment hangs (sample_timeout_seconds = {TIMEOUT_SECONDS})",
        inject=(orders / "hang").touch,
        seen=f"has given nothing for {TIMEOUT_SECONDS} s",
        back="is back",
    )


def test_a_lost_node_is_survived_on_the_others(run: LongRun, fault_table: list[Fault]) -> None:
    suffer(
        run,
        fault_table,
        injected="worker node killed",
        inject=lambda: run.cluster.kill_node(run.node_of(RUNNER)),
        seen="Lost sampling processes",
        back="is back",
    )


def test_a_killed_driver_resumes_from_its_newest_checkpoint(run: LongRun, fault_table: list[Fault]) -> None:
    run.driver.kill()
    assert run.wait_for_end() == -signal.SIGKILL
    resume_and_check(run, fault_table, injected="driver killed, --resume", seen="(nothing: it is killed)")


def test_a_damaged_checkpoint_is_found_and_the_one_before_it_resumed(
    run: LongRun, fault_table: list[Fault]
) -> None:
    run.wait_for_rows(1, since=2 * CHECKPOINT_EVERY)
    run.end()
    done, printed, damaged = run.done(), len(run.printed()), run.damage_newest_checkpoint()
    start = time.monotonic()
    run.resume()
    said = run.line(f"{damaged} is damaged", after=printed)
    assert "before it is taken" in said
    run.wait_for_rows(1, since=done)
    seconds = time.monotonic() - start
    back = run.attempts()[-1]
    assert damaged == f"iteration_{back + CHECKPOINT_EVERY:06d}"
    run.check_whole()
    # All but the one that was damaged.
    fault = Fault(
        "training", "newest checkpoint cut short, --resume", said, run.lost(back), done - back, seconds
    )
    note(fault_table, fault)


def test_a_full_disk_stops_the_run_with_its_checkpoints(
    run: LongRun, disk: Disk, fault_table: list[Fault]
) -> None:
    printed = len(run.printed())
    disk.fill(run)
    assert run.wait_for_end() == 3
    said = run.line("Error: the run's folder cannot be written to", after=printed)
    assert f"newest checkpoint, iteration_{run.checkpoint():06d}, is kept" in said
    disk.free()
    resume_and_check(
        run, fault_table, injected=f"results path full ({disk.kind}), room made, --resume", seen=said
    )


def test_a_lost_head_stops_the_run_and_another_cluster_resumes_it(
    run: LongRun, fault_cluster: SharedCluster, fault_table: list[Fault]
) -> None:
    printed = len(run.printed())
    run.cluster.head.kill()
    assert run.wait_for_end() == 3
    said = run.line("Error: the Ray cluster is lost", after=printed)
    assert f"newest checkpoint, iteration_{run.checkpoint():06d}, is kept" in said
    run.cluster = fault_cluster.whole()
    resume_and_check(run, fault_table, injected="head lost, --resume on another cluster", seen=said)


def resume_and_check(run: LongRun, table: list[Fault], *, injected: str, seen: str) -> None:
    """Resume a run whose driver ended; it goes on from its newest checkpoint as if nothing had happened."""
    saved, done = run.checkpoint(), run.done()
    start = time.monotonic()
    run.resume()
    run.wait_for_rows(1, since=done)
    seconds = time.monotonic() - start
    assert run.attempts()[-1] == saved > 0
    run.check_whole()
    note(table, Fault("training", injected, seen, run.lost(saved), done - saved, seconds))
