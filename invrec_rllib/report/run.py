"""What a run directory holds, read with patience: an interrupted run lacks some of it."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from invrec_rllib.errors import InputError, InvrecError
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.evaluation.trajectories import Trajectory, load_trajectories
from invrec_rllib.learning.settings import load_settings
from invrec_rllib.learning.speeds import check_of
from invrec_rllib.policies.registry import policy_names
from invrec_rllib.report.speeds import Speeds, read_speeds
from invrec_rllib.scenario.files import parse_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray

_FINISHED = ("finished", "completed")

_Part = TypeVar("_Part")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A training run as its directory tells it.

    Attributes:
        directory: where it lies.
        manifest: manifest.json; empty where it is missing.
        scenario: scenario.yaml.
        progress: progress.csv by column, one entry per iteration, NaN where empty.
        comparison: comparison.json.
        trajectories: trajectory.npz by policy.
        speeds: speeds.csv and separations.csv, with what settings.yaml declares; None for runs whose learner has no
            parts.
        gaps: sentences on the parts that are missing or cannot be read.
    """

    directory: Path
    manifest: dict[str, Any]
    scenario: Scenario | None
    progress: dict[str, FloatArray] | None
    comparison: Comparison | None
    trajectories: dict[str, Trajectory]
    speeds: Speeds | None
    gaps: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.manifest.get("status") in _FINISHED

    @property
    def trained(self) -> str | None:
        """Name of the policy that the run trained; None where nothing tells."""
        policies = self.comparison.policies if self.comparison else tuple(self.trajectories)
        named = self.manifest.get("policy")
        if named in policies:
            return str(named)
        return next((policy for policy in policies if policy not in policy_names()), None)

    def column(self, name: str) -> FloatArray | None:
        """A column of progress.csv; None where it is missing or holds no number."""
        values = (self.progress or {}).get(name)
        return values if values is not None and np.isfinite(values).any() else None


def read_run(run_dir: str | os.PathLike[str]) -> RunRecord:
    """Read a run directory.

    Args:
        run_dir: a folder with manifest.json, scenario.yaml, progress.csv, comparison.json and trajectory.npz,
            or some of them; speeds.csv, separations.csv and settings.yaml are read where they are.

    Raises:
        InputError: the folder does not exist, or holds none of them.
    """
    directory = Path(run_dir)
    if not directory.is_dir():
        raise InputError(f"run directory {directory} does not exist")
    gaps: list[str] = []

    def read(name: str, reader: Callable[[Path], _Part]) -> _Part | None:
        path = directory / name
        if not path.is_file():
            gaps.append(f"{name} is missing.")
            return None
        try:
            return reader(path)
        except (InvrecError, OSError, ValueError) as error:
            gaps.append(f"{name} cannot be read: {error}")
            return None

    parts: dict[str, Any] = {
        "manifest": read("manifest.json", _read_manifest),
        "scenario": read(
            "scenario.yaml", lambda path: parse_scenario(path.read_text("utf-8"), source=path.name)
        ),
        "progress": read("progress.csv", read_progress),
        "comparison": read("comparison.json", lambda path: Comparison.from_json(path.read_text("utf-8"))),
        "trajectories": read("trajectory.npz", load_trajectories),
    }
    if all(part is None for part in parts.values()):
        raise InputError(f"{directory} is not a run directory: {' '.join(gaps)}")
    if (directory / "speeds.csv").is_file():
        declared = read("settings.yaml", lambda path: check_of(load_settings(path)))
        separations = directory / "separations.csv"
        parts["speeds"] = read(
            "speeds.csv", lambda path: read_speeds(path, separations=separations, declared=declared)
        )
    else:
        parts["speeds"] = None
    parts["manifest"] = parts["manifest"] or {}
    parts["trajectories"] = parts["trajectories"] or {}
    return RunRecord(directory=directory, gaps=tuple(gaps), **parts)


def read_progress(path: Path) -> dict[str, FloatArray]:
    """Read progress.csv by column; cells that hold no number are NaN, a last line cut short is dropped.

    Raises:
        InputError: the file has no header.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise InputError(f"{path.name} has no header")
    header = rows[0]
    complete = [row for row in rows[1:] if len(row) == len(header)]
    return {name: np.array([_number(row[k]) for row in complete]) for k, name in enumerate(header)}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = json.loads(path.read_text("utf-8"))
    if not isinstance(manifest, dict):
        raise InputError(f"must hold an object, got {type(manifest).__name__}")
    return manifest
