"""A long run of `invrec train` on a cluster of processes, and what can befall it."""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cluster_processes import Node, ProcessCluster, family, process_cluster, wait_until
from faulty_world import FOLDER

from invrec_rllib.rundir import RunDir, iteration_of

TESTS = Path(__file__).resolve().parent
# In the names of processes: RLlib's learners are workers of Ray Train.
RUNNER, LEARNER = "BlockRunner", "_WrappedExecutable"
STEPS, CHECKPOINT_EVERY = 480, 5
# Of a tiny world and networks: an iteration takes less than a second.
QUICK: dict[str, Any] = {
    "information": "full",
    "steps_per_iteration": STEPS,
    "minibatch_size": 240,
    "hidden": 8,
    "cell_hidden": 4,
    "evaluate_every": 0,
    "final_episodes": 2,
    "checkpoint_every": CHECKPOINT_EVERY,
}
# More than any test waits for.
ITERATIONS = 9000
# First step sizes and powers of the default settings: a / (1 + n / 12)^power after n updates.
RATES = {"inventory": (2e-3, 1.0), "recommender": (4e-3, 0.8), "critic": (4e-3, 0.6)}


def variables(orders: Path) -> dict[str, str]:
    """Environment of a cluster whose worlds obey a folder's orders, and that soon notes that a node is gone."""
    return {
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        FOLDER: str(orders),
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
    }


def title(pid: int) -> str:
    """What a process calls itself; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def actors(node: Node, name: str) -> list[int]:
    """Processes of a node's actors whose class name holds `name`."""
    return [pid for pid in family(node.process.pid) if title(pid).startswith("ray::") and name in title(pid)]


class SharedCluster:
    """The cluster of all tests of faults: a head, and two worker nodes of two CPUs; mended after each test.

    Args:
        orders: folder of orders to its worlds, see `faulty_world`.
    """

    NUM_WORKERS, NUM_CPUS = 2, 2

    def __init__(self, orders: Path) -> None:
        self._orders, self._stack = orders, contextlib.ExitStack()
        self._running: ProcessCluster | None = None

    def whole(self) -> ProcessCluster:
        """The cluster with all of its nodes; another one, where the head was lost."""
        running = self._running
        if running is None or running.head.process.poll() is not None:
            self.close()
            running = self._stack.enter_context(
                process_cluster(dashboard=True, variables=variables(self._orders))
            )
            self._running = running
        running.add_nodes(self.NUM_WORKERS - len(running.workers), num_cpus=self.NUM_CPUS)
        return running

    def close(self) -> None:
        """End all of its processes."""
        self._stack.close()


@dataclass(eq=False)
class LongRun:
    """A run of `invrec train` that goes on until it is stopped.

    Attributes:
        cluster: where it runs.
        folder: of the run.
        log: what its drivers print, one after the other.
        settings: besides those of `QUICK`.
    """

    cluster: ProcessCluster
    folder: Path
    log: Path
    settings: Mapping[str, Any]
    driver: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it."""
        given = {**QUICK, **self.settings, "iterations": ITERATIONS}
        settings = (part for key, value in given.items() for part in ("--set", f"{key}={value}"))
        self._launch("--scenario", "tiny", *settings)

    def resume(self, cluster: ProcessCluster | None = None) -> None:
        """Start it again, on another cluster where one is given."""
        self.cluster = cluster or self.cluster
        self._launch("--resume")

    def _launch(self, *options: str) -> None:
        command = [sys.executable, str(TESTS / "faulty_world.py"), "train", "--out", str(self.folder)]
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [*command, "--address", self.cluster.address, *options],
                env=self.cluster.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def run(self) -> RunDir:
        """Its folder."""
        return RunDir(self.folder)

    def rows(self) -> list[tuple[int, int]]:
        """Iteration and env steps of all complete rows of `progress.csv`."""
        found = [(row["iteration"], row["env_steps"], row["sales_units"]) for row in self.run.progress()]
        return [(int(row[0]), int(row[1])) for row in found if None not in row and row[2]]

    def printed(self) -> str:
        """All that its drivers printed."""
        return self.log.read_text("utf-8", "replace")

    def says(self, text: str, *, after: int = 0) -> bool:
        """Whether they printed a text, after so many characters."""
        return text in self.printed()[after:]

    def line(self, text: str, *, after: int = 0) -> str:
        """The line that a text is in; waits for it."""
        self.wait(lambda: self.says(text, after=after), f"the line {text!r}")
        return next(line for line in self.printed()[after:].splitlines() if text in line)

    def checkpoint(self) -> int:
        """Iteration of the newest checkpoint."""
        return iteration_of(self.run.latest_checkpoint()) if self.run.has_checkpoint() else 0

    def lost(self, saved: int) -> int:
        """How many of its checkpoints are lost, when the newest was that of iteration `saved`: 0, or at least 1."""
        return int(self.checkpoint() < saved)

    def wait(self, holds: Callable[[], bool], what: str, *, dead: bool = False) -> None:
        """Wait until something holds, while the driver lives, or where it may be dead."""

        def check() -> bool:
            if holds():
                return True
            if not dead and self.driver.poll() is not None:
                raise AssertionError(f"{what}: the driver ended:\n{self.printed()[-6000:]}")
            return False

        try:
            wait_until(check, what, seconds=90.0)
        except TimeoutError as error:
            raise AssertionError(f"{error}:\n{self.printed()[-6000:]}") from error

    def done(self) -> int:
        """Iterations so far."""
        return self.rows()[-1][0] if self.rows() else 0

    def attempts(self) -> list[int]:
        """Iterations that its attempts went on from."""
        return [attempt["from_iteration"] for attempt in self.run.manifest()["attempts"]]

    def wait_for_rows(self, more: int, *, since: int | None = None) -> None:
        """Wait until it has done so many iterations more than `since`, or than now."""
        goal = (self.done() if since is None else since) + more
        self.wait(lambda: self.done() >= goal, f"iteration {goal}")

    def wait_for_end(self) -> int:
        """Wait until the driver ends; its exit code."""
        self.wait(lambda: self.driver.poll() is not None, "the end of the driver", dead=True)
        return int(self.driver.returncode)

    def end(self) -> None:
        """End the driver at once, if it lives."""
        if self.driver.poll() is None:
            self.driver.kill()
        self.driver.wait()

    def node_of(self, name: str) -> Node:
        """A worker node with an actor of a class."""
        return next(node for node in self.cluster.workers if actors(node, name))

    def damage_newest_checkpoint(self) -> str:
        """Cut its largest file short, as a machine leaves it that lost its power; the checkpoint's name."""
        newest = self.run.latest_checkpoint()
        file = max(
            (path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return newest.name

    def check_whole(self) -> None:
        """Every iteration is there once, with the env steps and learning rates of an undisturbed run."""
        rows = self.rows()
        assert rows == [(number, STEPS * number) for number in range(1, len(rows) + 1)]
        # An iteration's learning rates are written after its row.
        rows = rows[:-1]
        with self.run.speeds_file.open(newline="") as file:
            speeds = [row for row in csv.DictReader(file) if int(row["iteration"]) <= len(rows)]
        for module, (first, power) in RATES.items():
            mine = [row for row in speeds if row["module"] == module]
            assert [int(row["iteration"]) for row in mine] == [number for number, _ in rows]
            expected = first / (1 + np.arange(len(rows)) / 12) ** power
            np.testing.assert_allclose([float(row["learning_rate"]) for row in mine], expected, rtol=1e-5)


class Disk:
    """The results path's disk, which can be filled: a small tmpfs, or where that may not be mounted a limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], capture_output=True, check=False
        )
        self.mounted = mounted.returncode == 0
        self.kind = "full tmpfs" if self.mounted else "limit of file sizes"

    def fill(self, run: LongRun) -> None:
        """Leave no room for what a run writes."""
        if not self.mounted:
            # What its driver prints goes to a file as well, and must still have room.
            size = run.run.results_file.stat().st_size
            resource.prlimit(run.driver.pid, resource.RLIMIT_FSIZE, (size, size))
            return
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Make room again; a limit goes with the process that had it."""
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@contextlib.contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Seconds since now."""
    start = time.monotonic()
    yield lambda: time.monotonic() - start


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
