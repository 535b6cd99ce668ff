"""The runs of a study under Ray: side by side, each in a process of its own, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import describe_machine
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import PlannedRun, plan_runs
from invrec_rllib.studies.pool import Failure, check_jobs, work_side_by_side
from invrec_rllib.studies.rows import Row
from invrec_rllib.studies.study import Study
from invrec_rllib.training import train
from invrec_rllib.watcher import Watcher


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
    check_jobs(jobs)
    folder = StudyDir(out)
    plan = plan_runs(study, num_seeds=num_seeds, variants=variants, conditions=conditions)
    folder.check_free_for(study)
    with folder.locked():
        waiting = [run for run in plan if not folder.is_finished(run)]
        folder.write_study(study)
        sweep = _Sweep(study, folder, waiting[:limit], on_outcome)
        if sweep.runs:
            work_side_by_side(
                _train_run,
                sweep.runs,
                begin=sweep.begin,
                end=sweep.end,
                jobs=jobs,
                address=address,
                max_minutes=max_minutes,
            )
        sweep.result.rows = folder.collect(study)
        sweep.result.left = len(waiting) - sweep.result.made - len(sweep.result.failed)
    return sweep.result


class _Sweep:
    """One call: what it is to make, and what came of it."""

    def __init__(
        self, study: Study, folder: StudyDir, runs: list[PlannedRun], on_outcome: Callable[[Outcome], None]
    ) -> None:
        self.study, self.folder, self.runs, self.on_outcome = study, folder, runs, on_outcome
        self.result = StudyResult(folder.path, rows=[])
        self.command = describe_machine()["command"]

    def begin(self, run: PlannedRun) -> tuple[TrainSettings, Scenario, str, dict[str, Any]]:
        """Make room for a run; the arguments of `_train_run`."""
        self.folder.clear(run)
        manifest = {
            "command": self.command,
            "study": self.study.name,
            "condition": run.condition,
            "variant": run.variant,
        }
        return run.settings, run.world, str(self.folder.folder(run)), manifest

    def end(self, run: PlannedRun, failure: Failure | None) -> None:
        """Note what came of a run."""
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
        self.on_outcome(Outcome(run, row, failure.summary if failure else "", done, len(self.runs)))


def _train_run(settings: TrainSettings, world: Scenario, out: str, manifest: Mapping[str, Any]) -> None:
    """Train a run in a worker of Ray."""
    # The worker's own handlers stop it when Ray asks to.
    train(settings, out=out, scenario=world, watcher=Watcher(handle_signals=False), manifest=manifest)
