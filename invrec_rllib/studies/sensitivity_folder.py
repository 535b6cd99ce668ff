"""The folder of a sensitivity analysis: its world, its settings, a row per point, policy and seed."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import (
    is_taken,
    load_scenario,
    save_scenario,
    scenario_sha256,
    write_text_atomically,
)
from invrec_rllib.studies.folder import locked
from invrec_rllib.studies.sensitivity import COLUMNS, Row, Settings


class SensitivityDir:
    """One analysis on disk.

    `scenario.yaml` is the base, `sensitivity.yaml` says how points are played, `rows.csv` holds what was found,
    `parameters/` what searches found, `errors/` the tracebacks of points that failed.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self.scenario_file = self.path / "scenario.yaml"
        self.settings_file = self.path / "sensitivity.yaml"
        self.rows_file = self.path / "rows.csv"
        self.parameters = self.path / "parameters"
        self.errors = self.path / "errors"

    def check_free_for(self, scenario: Scenario, settings: Settings) -> None:
        """See that the folder is new, empty, or holds points of the same base, played in the same way.

        Raises:
            InputError: it holds something else; the message tells what differs.
        """
        if not self.settings_file.is_file():
            if is_taken(self.path):
                raise InputError(f"{self.path} exists and is no sensitivity analysis: choose another folder")
            return
        before, now = asdict(self.settings()), asdict(settings)
        changed = [f"{key} {before[key]}, now {now[key]}" for key in now if before[key] != now[key]]
        if scenario_sha256(load_scenario(self.scenario_file)) != scenario_sha256(scenario):
            changed.append("its scenario is another")
        if changed:
            raise InputError(
                f"points in {self.path} were played otherwise: {'; '.join(changed)}. Choose another folder"
            )

    def begin(self, scenario: Scenario, settings: Settings) -> None:
        """Write what the folder is, where that is not written yet."""
        if not self.settings_file.is_file():
            save_scenario(scenario, self.scenario_file, overwrite=True)
            write_text_atomically(self.settings_file, yaml.safe_dump(asdict(settings), sort_keys=False))

    def settings(self) -> Settings:
        """How points are played.

        Raises:
            InputError: the file does not hold settings.
        """
        try:
            return Settings(**yaml.safe_load(self.settings_file.read_text("utf-8")))
        except (OSError, TypeError, yaml.YAMLError) as error:
            raise InputError(f"{self.settings_file} does not hold settings: {error}") from error

    def rows(self) -> list[Row]:
        """What was found so far, in the order in which it was.

        Raises:
            InputError: the file lacks a column, or a cell holds no number.
        """
        if not self.rows_file.is_file():
            return []
        with self.rows_file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise InputError(f"rows {self.rows_file} lack {', '.join(missing)}")
            return [
                _row(record, place=f"{self.rows_file}, line {k}") for k, record in enumerate(reader, start=2)
            ]

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows to `rows.csv`, atomically."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in (*self.rows(), *rows):
            writer.writerow(asdict(row).values())
        write_text_atomically(self.rows_file, text.getvalue())

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from filling the folder, while it lasts.

        Raises:
            InputError: another process does so already.
        """
        return locked(self.path, command="invrec sensitivity")


def _row(record: dict[str, Any], *, place: str) -> Row:
    try:
        numbers = {
            name: float(record[name]) for name in ("value", "profit", "units_sold", "fill_rate", "seconds")
        }
        return Row(factor=record["factor"], policy=record["policy"], seed=int(record["seed"]), **numbers)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: a cell holds no number ({error})") from error
