"""The runs of a study under Ray: side by side, each in a process of its own, resumable."""

from __future__ import annotations

import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from invrec_rllib.errors import InputError, InvrecError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.quiet import ray_running
from invrec_rllib.rundir import describe_machine
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import PlannedRun, plan_runs
from invrec_rllib.studies.rows import Row
from invrec_rllib.studies.study import Study
from invrec_rllib.training import Watcher, train

# A process trains this many runs: what libraries leave behind does not pile up, and imports are paid for rarely.
_RUNS_PER_PROCESS = 16
# How often Ctrl-C and the time limit are looked at, seconds.
_PATIENCE = 1.0


@dataclass(frozen=True)
class Outcome:
    """A run that came to its end.

    Attributes:
        run: which.
        row: what it found; None where it failed.
        error: the first line of why it failed; empty where it did not.
        done: runs of this call that came to their end so far.
        planned: runs that this call may make in all.
    """

    run: PlannedRun
    row: Row | None
    error: str
    done: int
    planned: int


@dataclass
class StudyResult:
    """How a call of `run_study` ended.

    Attributes:
        path: of the study's folder.
        rows: of all finished runs in it.
        made: runs that this call finished.
        left: runs of the plan that are still to be made, those that failed not among them.
        failed: why runs failed, by name.
    """

    path: Path
    rows: list[Row]
    made: int = 0
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Failure:
    summary: str
    details: str


def run_study(
    study: Study,
    *,
    out: str | os.PathLike[str],
    num_seeds: int | None = None,
    variants: Collection[str] = (),
    conditions: Collection[str] = (),
    jobs: int | None = None,
    address: str | None = None,
    limit: int | None = None,
    max_minutes: float | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> StudyResult:
    """Make the runs of a study that its folder does not hold yet.

    What is finished is not made again; what was interrupted or failed is started anew. `rows.csv` is up to date
    after every run.

    Args:
        study: what is compared.
        out: the study's folder; on a cluster one that all machines share.
        num_seeds: another number of seeds; None: the study's.
        variants, conditions: names of those to run; none: all.
        jobs: runs at once; None: as many as Ray has CPUs.
        address: of a Ray cluster; None: the environment variable ``RAY_ADDRESS``, or a local Ray.
        limit: runs that this call may make; None: all.
        max_minutes: after which no new run begins; None: no limit. What runs is finished.
        on_outcome: told of every run that comes to its end.

    Raises:
        InputError, ScenarioError: the study, a name or the folder is not valid; before Ray starts.
        KeyboardInterrupt: by Ctrl-C; what runs then is stopped and will start anew.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    folder = StudyDir(out)
    plan = plan_runs(study, num_seeds=num_seeds, variants=variants, conditions=conditions)
    folder.check_free_for(study)
    with folder.locked():
        waiting = [run for run in plan if not folder.is_finished(run)]
        folder.write_study(study)
        sweep = _Sweep(study, folder, waiting[:limit], on_outcome)
        if sweep.queue:
            _under_ray(sweep, jobs=jobs, address=address, max_minutes=max_minutes)
        sweep.result.rows = folder.collect(study)
        sweep.result.left = len(waiting) - sweep.result.made - len(sweep.result.failed)
    return sweep.result


def _under_ray(sweep: _Sweep, *, jobs: int | None, address: str | None, max_minutes: float | None) -> None:
    deadline = None if max_minutes is None else time.monotonic() + 60.0 * max_minutes
    cluster = address or os.environ.get("RAY_ADDRESS")
    with ray_running(None if cluster else jobs, address=address, needed={"CPU": 1.0}) as resources:
        sweep.play(jobs=jobs or int(resources["CPU"]), deadline=deadline)


class _Sweep:
    """One call: what waits, what runs, what came of it."""

    def __init__(
        self, study: Study, folder: StudyDir, runs: list[PlannedRun], on_outcome: Callable[[Outcome], None]
    ) -> None:
        self.study, self.folder, self.on_outcome = study, folder, on_outcome
        self.queue, self.planned = deque(runs), len(runs)
        self.running: dict[Any, PlannedRun] = {}
        self.result = StudyResult(folder.path, rows=[])
        self.command = describe_machine()["command"]

    def play(self, *, jobs: int, deadline: float | None) -> None:
        train_run: Any = ray.remote(num_cpus=1, max_retries=0, max_calls=_RUNS_PER_PROCESS)(_train_run)
        try:
            while True:
                if deadline is not None and time.monotonic() >= deadline:
                    self.queue.clear()
                while self.queue and len(self.running) < jobs:
                    self._start(train_run, self.queue.popleft())
                if not self.running:
                    return
                done, _ = ray.wait(list(self.running), timeout=_PATIENCE)
                for reference in done:
                    self._finish(self.running.pop(reference), _failure_of(reference))
        finally:
            for reference in self.running:
                ray.cancel(reference, force=True)

    def _start(self, train_run: Any, run: PlannedRun) -> None:
        self.folder.clear(run)
        manifest = {
            "command": self.command,
            "study": self.study.name,
            "condition": run.condition,
            "variant": run.variant,
        }
        reference = train_run.remote(run.settings, run.world, str(self.folder.folder(run)), manifest)
        self.running[reference] = run

    def _finish(self, run: PlannedRun, failure: _Failure | None) -> None:
        row = None
        if failure is None:
            self.result.made += 1
            self.folder.error_file(run).unlink(missing_ok=True)
            rows = self.folder.collect(self.study)
            key = (run.condition, run.variant, run.seed)
            row = next(row for row in rows if (row.condition, row.variant, row.seed) == key)
        else:
            self.result.failed[run.name] = failure.summary
            write_text_atomically(self.folder.error_file(run), failure.details)
        done = self.result.made + len(self.result.failed)
        self.on_outcome(Outcome(run, row, failure.summary if failure else "", done, self.planned))


def _train_run(
    settings: TrainSettings, world: Scenario, out: str, manifest: Mapping[str, Any]
) -> _Failure | None:
    """Train a run in a worker of Ray; a failure is returned, with the traceback as it was there."""
    try:
        # The worker's own handlers stop it when Ray asks to.
        train(settings, out=out, scenario=world, watcher=Watcher(handle_signals=False), manifest=manifest)
    except Exception as error:
        return _Failure(_first_line(error), traceback.format_exc())
    return None


def _failure_of(reference: Any) -> _Failure | None:
    try:
        failure: _Failure | None = ray.get(reference)
    except ray.exceptions.RayError as error:  # the process died, or could not begin
        return _Failure(_first_line(error), f"{type(error).__name__}: {error}\n")
    return failure


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return line if isinstance(error, InvrecError) else f"{type(error).__name__}: {line}"
