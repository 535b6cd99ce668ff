"""The folder of an experiment: its study with the runs, the scores, and the findings."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.reproduction.experiment import Experiment
from invrec_rllib.scenario.files import is_taken, write_text_atomically
from invrec_rllib.studies.folder import locked


class ExperimentDir:
    """One experiment on disk.

    `experiment.json` says what it is, `study/` is a folder of `invrec study` with the training runs, or `pairs/` holds
    pairs of `invrec pathwise`, `scores/` what every policy made of every episode, `findings.json`, `findings.md`
    and `findings.png` the numbers.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self.experiment_file = self.path / "experiment.json"
        self.study = self.path / "study"
        self.pairs = self.path / "pairs"
        self.scores = self.path / "scores"
        self.errors = self.path / "errors"
        self.findings_file = self.path / "findings.json"
        self.table_file = self.path / "findings.md"
        self.figure_file = self.path / "findings.png"

    def score_file(self, game: str) -> Path:
        """Where the score of a game lies."""
        return self.scores / f"{game}.npz"

    def begin(self, experiment: Experiment) -> None:
        """Write what the folder is, or see that it is that already.

        Raises:
            InputError: it holds something else, or the same experiment declared otherwise.
        """
        text = json.dumps(experiment.model_dump(mode="json", by_alias=True), indent=2) + "\n"
        if not self.experiment_file.is_file():
            if is_taken(self.path):
                raise InputError(f"{self.path} exists and is no experiment's folder: choose another")
            write_text_atomically(self.experiment_file, text)
        elif self.experiment_file.read_text("utf-8") != text:
            changed = ", ".join(
                _changed(json.loads(self.experiment_file.read_text("utf-8")), json.loads(text))
            )
            raise InputError(
                f"{self.path} holds the experiment with another {changed}: choose another folder"
            )

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from filling the folder, while it lasts.

        Raises:
            InputError: another process does so already.
        """
        return locked(self.path, command="invrec reproduce")


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [key for key in now if before.get(key) != now[key]] or ["set of keys"]
