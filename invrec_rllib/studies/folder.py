"""The folder of a study: its runs, their rows, what it is, and why runs failed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import RunDir
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import is_taken, write_text_atomically
from invrec_rllib.studies.files import dump_study, parse_study
from invrec_rllib.studies.plan import PlannedRun
from invrec_rllib.studies.rows import Row, row_of_run, write_rows
from invrec_rllib.studies.study import Study


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
            InputError: it holds something else, or runs of other settings or in other worlds than the study's.
        """
        if not self.study_file.is_file():
            if is_taken(self.path):
                raise InputError(f"{self.path} exists and is no study's folder: choose another")
            return
        if (held := self.study().name) != study.name:
            raise InputError(
                f"{self.path} holds runs of study {held}, not of {study.name}: choose another folder"
            )
        for condition in study.conditions:
            world = study.world(condition)
            for variant in study.variants:
                for made in self._runs(condition, variant):
                    self._check_made(
                        made, study.settings(condition, variant, seed=int(made.path.name)), world
                    )

    def _check_made(self, made: RunDir, settings: TrainSettings, world: Scenario) -> None:
        if not made.settings_file.is_file() or not made.scenario_file.is_file():
            return  # cut off while it began
        before, now = made.settings().model_dump(), settings.model_dump()
        changed = [f"{key} {before[key]!r}, now {now[key]!r}" for key in now if before[key] != now[key]]
        if made.scenario() != world:
            changed.append("its scenario is another")
        if changed:
            name = made.path.relative_to(self.runs)
            raise InputError(
                f"run {name} in {self.path} was made otherwise: {'; '.join(changed)}. Choose another folder "
                "for the changed study, or delete that run's"
            )

    def write_study(self, study: Study) -> None:
        """Write `study.yaml`, over an older one of the same study."""
        write_text_atomically(self.study_file, dump_study(study))

    def folder(self, run: PlannedRun) -> Path:
        """Where a run lies."""
        return self.runs / run.name

    def error_file(self, run: PlannedRun) -> Path:
        """Where the traceback of a run that failed lies."""
        return self.errors / f"{run.name}.txt"

    def is_finished(self, run: PlannedRun) -> bool:
        """Whether a run came to its end."""
        return RunDir(self.folder(run)).manifest().get("status") == "finished"

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
                found = (
                    row_of_run(run, study=study.name, condition=condition, variant=variant)
                    for run in self._runs(condition, variant)
                )
                rows += [row for row in found if row is not None]
        return rows

    def _runs(self, condition: str, variant: str) -> list[RunDir]:
        folders = [path for path in (self.runs / condition / variant).glob("*") if path.name.isdecimal()]
        return [RunDir(path) for path in sorted(folders, key=lambda path: int(path.name))]

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from running the study in this folder, while it lasts.

        Raises:
            InputError: another process does so already.
        """
        return locked(self.path, command="invrec study run")


@contextlib.contextmanager
def locked(folder: Path, *, command: str) -> Iterator[None]:
    """Keep other processes from filling a folder, while it lasts.

    Args:
        folder: made where it is missing.
        command: that fills it, for the message.

    Raises:
        InputError: another process does so already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another {command} is at work in {folder}: wait for its end") from error
        yield
