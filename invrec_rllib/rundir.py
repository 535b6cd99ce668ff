"""The folder of a run: what is in it, written so that nothing is lost and nothing is overwritten in silence."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import secrets
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, load_settings
from invrec_rllib.scenario import Scenario, load_scenario, save_scenario
from invrec_rllib.scenario.files import is_taken, write_text_atomically
from invrec_rllib.seals import DamagedCheckpointWarning, damage, seal

_PACKAGES = ("invrec-rllib", "ray", "torch", "numpy", "pettingzoo", "gymnasium")
_CHECKPOINT = "iteration_{:06d}"
_PART = ".part-"


class RunDir:
    """One run on disk.

    `manifest.json` says how it was made, `settings.yaml` and `scenario.yaml` what it trains, `progress.csv` how
    it went (a row per iteration), `speeds.csv` and `separations.csv` how fast every part learned (MTMA-PPO),
    `results.jsonl` RLlib's own metrics, `tensorboard/` all of it, `checkpoints/` the agents, `comparison.json` and
    `trajectory.npz` what they earn in the end.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self.manifest_file = self.path / "manifest.json"
        self.settings_file = self.path / "settings.yaml"
        self.scenario_file = self.path / "scenario.yaml"
        self.progress_file = self.path / "progress.csv"
        self.speeds_file = self.path / "speeds.csv"
        self.separations_file = self.path / "separations.csv"
        self.results_file = self.path / "results.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.comparison_file = self.path / "comparison.json"
        self.trajectory_file = self.path / "trajectory.npz"

    @classmethod
    def create(cls, path: str | os.PathLike[str], settings: TrainSettings, *, scenario: Scenario) -> RunDir:
        """Make the folder of a new run.

        Raises:
            InputError: it exists and is not empty.
        """
        run = cls(path)
        if is_taken(run.path):
            raise InputError(
                f"{run.path} exists and is not empty: choose another folder, or resume the run with --resume"
            )
        run.checkpoints.mkdir(parents=True)
        save_scenario(scenario, run.scenario_file)
        run.write_settings(settings)
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDir:
        """The folder of an existing run.

        Raises:
            InputError: there is none.
        """
        run = cls(path)
        if not run.settings_file.is_file() or not run.scenario_file.is_file():
            raise InputError(
                f"{run.path} is not a run of invrec train: it has no settings.yaml and scenario.yaml"
            )
        return run

    def settings(self) -> TrainSettings:
        """The settings that it was started with, or last extended to."""
        return load_settings(self.settings_file)

    def scenario(self) -> Scenario:
        """The world that it trains on."""
        return load_scenario(self.scenario_file)

    def write_settings(self, settings: TrainSettings) -> None:
        """Write `settings.yaml`."""
        write_text_atomically(
            self.settings_file, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        )

    def manifest(self) -> dict[str, Any]:
        """What `update_manifest` wrote so far; empty where nothing was."""
        if not self.manifest_file.is_file():
            return {}
        content: dict[str, Any] = json.loads(self.manifest_file.read_text("utf-8"))
        return content

    def update_manifest(self, **entries: Any) -> None:
        """Merge entries into `manifest.json`."""
        merged = {**self.manifest(), **entries}
        write_text_atomically(self.manifest_file, json.dumps(merged, indent=2, default=str) + "\n")

    def progress(self) -> list[dict[str, str]]:
        """Rows of `progress.csv`, as text."""
        return _rows(self.progress_file)

    def append_progress(self, row: Mapping[str, Any]) -> None:
        """Add a row to `progress.csv`; None becomes an empty value."""
        _append(self.progress_file, [row])

    def append_speeds(
        self, speeds: Sequence[Mapping[str, Any]], separations: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add an iteration's rows to `speeds.csv` and `separations.csv`; without rows there is no file."""
        _append(self.speeds_file, speeds)
        _append(self.separations_file, separations)

    def append_result(self, result: Mapping[str, Any]) -> None:
        """Add a line to `results.jsonl`."""
        with self.results_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result, default=str) + "\n")

    def forget_after(self, iteration: int) -> None:
        """Drop what came after the iteration that the run resumes from, and what a killed write left half done.

        The comparison at the end is of agents that go on learning now, so it goes too.
        """
        for table in (self.progress_file, self.speeds_file, self.separations_file):
            _cut(table, iteration)
        if self.results_file.is_file():
            lines = self.results_file.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _iteration(_parsed(line)) <= iteration]
            write_text_atomically(self.results_file, "".join(kept))
        self.comparison_file.unlink(missing_ok=True)
        self.trajectory_file.unlink(missing_ok=True)
        for part in self.checkpoints.glob(f"{_PART}*"):
            shutil.rmtree(part, ignore_errors=True)
        # Damaged ones, which training writes again: out of the way, but not lost.
        for later in self._complete_checkpoints():
            if iteration_of(later) > iteration:
                later.replace(later.with_name(f"damaged_{later.name}_{secrets.token_hex(4)}"))

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.path)

    def save_checkpoint(self, iteration: int, write: Callable[[Path], None]) -> Path:
        """Let `write` fill a folder, and give it its name only when it is complete.

        It is sealed with checksums. The two newest checkpoints are kept. What could not be finished is removed.
        """
        target = self.checkpoints / _CHECKPOINT.format(iteration)
        if target.is_dir():
            return target
        part = self.checkpoints / f"{_PART}{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            write(part)
            seal(part)
            part.rename(target)
        except BaseException:
            # A full disk needs the room.
            shutil.rmtree(part, ignore_errors=True)
            raise
        for old in self._complete_checkpoints()[:-2]:
            shutil.rmtree(old)
        return target

    def has_checkpoint(self) -> bool:
        """Whether there is a complete checkpoint."""
        return bool(self._complete_checkpoints())

    def latest_checkpoint(self) -> Path:
        """The newest complete checkpoint whose files are what was written.

        Raises:
            InputError: there is none yet, or all are damaged.

        Warns:
            DamagedCheckpointWarning: a newer one is damaged; the message says how.
        """
        faults: list[str] = []
        for checkpoint in reversed(self._complete_checkpoints()):
            if (fault := damage(checkpoint)) is None:
                for message in faults:
                    text = f"{message}; {checkpoint.name} before it is taken"
                    warnings.warn(text, DamagedCheckpointWarning, stacklevel=2)
                return checkpoint
            faults.append(f"checkpoint {checkpoint} is damaged: {fault}")
        if faults:
            raise InputError(f"no checkpoint of {self.path} can be used: {'; '.join(faults)}")
        raise InputError(f"{self.path} has no checkpoint yet")

    def _complete_checkpoints(self) -> list[Path]:
        return sorted(self.checkpoints.glob("iteration_*"))


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _append(table: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    new = not table.is_file()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _cut(table: Path, iteration: int) -> None:
    """Keep a table's rows up to an iteration; one without rows goes."""
    rows = [row for row in _rows(table) if _iteration(row) <= iteration]
    if not rows:
        table.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(table, text.getvalue())


def _parsed(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _iteration(row: Mapping[str, Any]) -> float:
    """The iteration of a row; of one that was cut in the middle, later than all."""
    if any(value is None for value in row.values()):
        return math.inf
    try:
        return int(row.get("iteration") or row["training_iteration"])
    except (KeyError, ValueError):
        return math.inf


def iteration_of(checkpoint: Path) -> int:
    """The iteration that a checkpoint of `RunDir` was written after."""
    return int(checkpoint.name.removeprefix("iteration_"))


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """A checkpoint from its own path, or the newest of a run's folder.

    Raises:
        InputError: the checkpoint is damaged, or the run has none that is not.
    """
    given = Path(path).expanduser().resolve()
    if (given / "settings.yaml").is_file():
        return RunDir.open(given).latest_checkpoint()
    if (fault := damage(given)) is not None:
        raise InputError(f"checkpoint {given} is damaged: {fault}")
    return given


def describe_machine() -> dict[str, Any]:
    """Versions, git revision and hardware, for manifests."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "git_revision": _git_revision(),
        "hardware": {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "command": " ".join(["invrec", *sys.argv[1:]])
        if Path(sys.argv[0]).name == "invrec"
        else " ".join(sys.argv),
    }


def now() -> str:
    """UTC time, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Revision of the checkout that this code runs from; None where it was installed from a package."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
