"""What the runs of a study found, one row each, as CSV."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.rundir import RunDir
from invrec_rllib.scenario.files import write_text_atomically

_TRAINED, _SILO = "trained", "silo"


@dataclass(frozen=True)
class Row:
    """One finished run; NaN and empty text where a table of rows does not say.

    Attributes:
        study, condition, variant: names.
        seed: of training.
        profit: of mean actions per episode, mean over the final episodes, which are the same for all runs; money.
        units_sold: per episode.
        fill_rate: share of demand served at once.
        over_silo_percent: profit over the simple policy `silo` on the same episodes.
        env_steps: sampled in training.
        seconds: wall time of the run.
        code: git revision or version of the package.
    """

    study: str
    condition: str
    variant: str
    seed: int
    profit: float
    units_sold: float = math.nan
    fill_rate: float = math.nan
    over_silo_percent: float = math.nan
    env_steps: float = math.nan
    seconds: float = math.nan
    code: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
_TEXTS = ("study", "condition", "variant", "code")
_REQUIRED = ("variant", "seed", "profit")


def row_of_run(run: RunDir, *, study: str, condition: str, variant: str) -> Row | None:
    """The row of a run's folder, which is named after its seed; None where the run is not finished."""
    manifest = run.manifest()
    if manifest.get("status") != "finished" or not run.comparison_file.is_file():
        return None
    comparison = Comparison.from_json(run.comparison_file.read_text("utf-8"))
    trained = comparison.row(_TRAINED)
    return Row(
        study=study,
        condition=condition,
        variant=variant,
        seed=int(run.path.name),
        profit=round(trained.profit.mean, 2),
        units_sold=round(trained.metrics["sales_units"].mean, 2),
        fill_rate=round(trained.metrics["fill_rate"].mean, 5),
        over_silo_percent=round(trained.differences[_SILO]["profit"].percent.mean, 3),
        env_steps=int(run.progress()[-1]["env_steps"]),
        seconds=float(manifest["wall_seconds"]),
        code=manifest.get("git_revision") or f"invrec-rllib {manifest['versions']['invrec-rllib']}",
    )


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, atomically; an older file is replaced."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if value != value else value for value in asdict(row).values()])
    write_text_atomically(path, text.getvalue())


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """Read rows; columns other than variant, seed and profit may be missing, and further ones are ignored.

    Raises:
        InputError: the file cannot be read, lacks a column or a row, holds a cell that is no number, or a run twice.
    """
    file = Path(path).expanduser()
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            records = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"rows {file} cannot be read: {error}") from error
    if missing := [name for name in _REQUIRED if name not in (reader.fieldnames or ())]:
        raise InputError(f"rows {file} lack {', '.join(missing)}; known columns are {', '.join(COLUMNS)}")
    rows = [_row(record, place=f"{file}, line {number}") for number, record in enumerate(records, start=2)]
    if not rows:
        raise InputError(f"rows {file} hold no run")
    runs = [(row.condition, row.variant, row.seed) for row in rows]
    if len(set(runs)) < len(runs):
        twice = next(run for run in runs if runs.count(run) > 1)
        raise InputError(f"rows {file} hold the run {'/'.join(map(str, twice))} more than once")
    return rows


def _row(record: dict[str, str], *, place: str) -> Row:
    def number(name: str) -> float:
        text = record.get(name) or ""
        try:
            return float(text) if text or name in _REQUIRED else math.nan
        except ValueError as error:
            raise InputError(f"{place}: {name} must be a number, got {text!r}") from error

    texts = {name: record.get(name) or "" for name in _TEXTS}
    seed = number("seed")
    if not seed.is_integer():
        raise InputError(f"{place}: seed must be a whole number, got {record['seed']!r}")
    numbers = {name: number(name) for name in COLUMNS if name not in (*_TEXTS, "seed")}
    return Row(**{**texts, **numbers, "condition": texts["condition"] or "base"}, seed=int(seed))  # type: ignore[arg-type]
