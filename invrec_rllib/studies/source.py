"""What a report of a study is made from: its folder, or rows alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.studies.files import load_study, study_names
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.rows import Row, read_rows
from invrec_rllib.studies.study import Study, make_study
from invrec_rllib.studies.tables import strangers


@dataclass(frozen=True)
class Source:
    """A study and what its runs found.

    Attributes:
        study: what was compared.
        rows: one per finished run.
        runs: folder of the runs, CONDITION/VARIANT/SEED; None with rows alone.
    """

    study: Study
    rows: list[Row]
    runs: Path | None

    def run_folder(self, row: Row) -> Path | None:
        """Folder of a row's run; None where it is not there."""
        folder = self.runs / row.condition / row.variant / str(row.seed) if self.runs else None
        return folder if folder is not None and folder.is_dir() else None

    def first_of(self, condition: str, file: str) -> dict[str, Any]:
        """A JSON file of the first run of a condition that has it; empty where none has."""
        for row in self.rows:
            folder = self.run_folder(row)
            if row.condition == condition and folder is not None and (folder / file).is_file():
                found: dict[str, Any] = json.loads((folder / file).read_text("utf-8"))
                return found
        return {}


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read a study's folder, or a CSV file of rows.

    Args:
        path: of a folder of `invrec study run`, or of rows. Rows beside a `study.yaml` are that study's; others
            are those of the shipped study that they name, or else of one made of the names in them.

    Raises:
        InputError: neither, no run is finished, or rows of what the study does not have.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        folder = StudyDir(given)
        study = folder.study()
        rows = folder.finished(study) if folder.runs.is_dir() else read_rows(folder.rows_file)
        if not rows:
            raise InputError(f"no run of the study in {given} is finished yet")
        return Source(study, rows, folder.runs)
    rows = read_rows(given)
    beside = StudyDir(given.parent)
    study = beside.study() if beside.study_file.is_file() else study_of(rows)
    if unknown := strangers(study, rows):
        raise InputError(f"rows {given} are of {', '.join(unknown)}, which study {study.name} does not have")
    return Source(study, rows, None)


def study_of(rows: Sequence[Row]) -> Study:
    """The study that rows belong to: a shipped one where they name it, else one made of the names in them.

    The first variant of a study that is not known is its baseline.

    Raises:
        InputError: the rows name several studies, or a name that no study can have.
    """
    names = sorted({row.study for row in rows})
    if len(names) > 1:
        raise InputError(f"rows belong to several studies, {', '.join(names)}: report one at a time")
    if names[0] in study_names():
        study = load_study(names[0])
        if not strangers(study, rows):
            return study
    seeds: dict[str, list[int]] = {}
    for row in rows:
        seeds.setdefault(row.variant, []).append(row.seed)
    return make_study(
        {
            "name": names[0] or "rows",
            "question": "Which way of training earns most?",
            "variants": {name: {"label": name, "seeds": sorted(set(own))} for name, own in seeds.items()},
            "baseline": rows[0].variant,
            "conditions": {row.condition: {"label": row.condition} for row in rows},
            "seeds": 1,
        },
        source="what the rows name",
    )
