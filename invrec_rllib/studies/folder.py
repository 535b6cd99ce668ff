"""The folder of a study: its runs, their rows, what it is, and why runs failed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from invrec_rllib.errors import InputError
from invrec_rllib.rundir import RunDir
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.files import dump_study, parse_study
from invrec_rllib.studies.plan import PlannedRun
from invrec_rllib.studies.rows import Row, row_of_run, write_rows
from invrec_rllib.studies.study import Study

State = Literal["finished", "unfinished", "missing"]


class StudyDir:
    """One study on disk.

    `study.yaml` says what it compares, `runs/CONDITION/VARIANT/SEED` are ordinary folders of runs, `rows.csv` holds
    what the finished ones found, and `errors/` the tracebacks of those that failed.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self.study_file = self.path / "study.yaml"
        self.rows_file = self.path / "rows.csv"
        self.lock_file = self.path / ".lock"
        self.runs = self.path / "runs"
        self.errors = self.path / "errors"

    def study(self) -> Study:
        """The study whose runs the folder holds.

        Raises:
            InputError: the folder is no study's.
        """
        if not self.study_file.is_file():
            raise InputError(f"{self.path} is not a study of invrec study run: it has no study.yaml")
        return parse_study(self.study_file.read_text("utf-8"), source=str(self.study_file))

    def check_free_for(self, study: Study) -> None:
        """See that the folder is new, empty or the study's own.

        Raises:
            InputError: it holds something else.
        """
        if self.study_file.is_file():
            if (held := self.study().name) != study.name:
                raise InputError(
                    f"{self.path} holds runs of study {held}, not of {study.name}: choose another folder"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(f"{self.path} exists and is no study's folder: choose another")

    def write_study(self, study: Study) -> None:
        """Write `study.yaml`, over an older one of the same study."""
        write_text_atomically(self.study_file, dump_study(study))

    def folder(self, run: PlannedRun) -> Path:
        """Where a run lies."""
        return self.runs / run.name

    def error_file(self, run: PlannedRun) -> Path:
        """Where the traceback of a run that failed lies."""
        return self.errors / f"{run.name}.txt"

    def state(self, run: PlannedRun) -> State:
        """How far a run has come.

        Raises:
            InputError: its folder holds a run of other settings or in another world.
        """
        if not self.folder(run).exists():
            return "missing"
        made = RunDir(self.folder(run))
        if not made.settings_file.is_file() or not made.scenario_file.is_file():
            return "unfinished"
        settings, planned = made.settings().model_dump(), run.settings.model_dump()
        changed = [
            f"{key} {settings[key]!r}, now {planned[key]!r}"
            for key in planned
            if settings[key] != planned[key]
        ]
        if made.scenario() != run.world:
            changed.append("its scenario is another")
        if changed:
            raise InputError(
                f"run {run.name} in {self.path} was made otherwise: {'; '.join(changed)}. Choose another folder "
                "for the changed study, or delete that run's"
            )
        return "finished" if made.manifest().get("status") == "finished" else "unfinished"

    def clear(self, run: PlannedRun) -> None:
        """Delete what an interrupted run left: started anew, it is what it would have been undisturbed."""
        shutil.rmtree(self.folder(run), ignore_errors=True)

    def collect(self, study: Study) -> list[Row]:
        """Rows as `finished` gives them, written to `rows.csv` as well."""
        rows = self.finished(study)
        write_rows(rows, self.rows_file)
        return rows

    def finished(self, study: Study) -> list[Row]:
        """Rows of all finished runs in the folder that are the study's, in its order."""
        rows = []
        for condition in study.conditions:
            for variant in study.variants:
                runs = sorted(
                    (self.runs / condition / variant).glob("*"), key=lambda run: (len(run.name), run.name)
                )
                found = (
                    row_of_run(RunDir(run), study=study.name, condition=condition, variant=variant)
                    for run in runs
                )
                rows += [row for row in found if row is not None]
        return rows

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running the study in this folder, while it lasts.

        Raises:
            InputError: another process does so already.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"another invrec study run is at work in {self.path}: wait for its end"
                ) from error
            yield
