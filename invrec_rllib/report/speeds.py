"""How fast the parts of a run learned: its tables, what was declared, and what to say of both."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray
from invrec_rllib.timescales import TimescaleReport

Table = dict[str, FloatArray]
"""Columns of numbers by name, one entry per iteration, NaN where empty."""

_SEPARATES = "each slower part's step over the next faster one's falls to 0"
_SUMS = (
    "step sizes have an infinite sum, so that learning can get anywhere, and squares of a finite sum, so that noise "
    "dies out"
)


@dataclass(frozen=True, eq=False)
class Speeds:
    """Learning speeds of a run.

    Attributes:
        parts: columns of speeds.csv by part, "module/part", from fast to slow where that was declared.
        separations: columns of separations.csv by the pair's slower and faster part.
        declared: what theory says of the speeds that the run's settings ask for; None where they are not known.
    """

    parts: dict[str, Table]
    separations: dict[tuple[str, str], Table]
    declared: TimescaleReport | None

    @property
    def policies(self) -> dict[str, Table]:
        """The parts whose module has a policy that was seen to move, by module; the first part of each."""
        found: dict[str, Table] = {}
        for name, table in self.parts.items():
            if np.isfinite(table["kl_drift"]).any():
                found.setdefault(name.partition("/")[0], table)
        return found


def read_speeds(speeds: Path, *, separations: Path, declared: TimescaleReport | None) -> Speeds:
    """Read a run's tables of speeds.

    Raises:
        InputError: a column is missing.
    """
    numbers = ("iteration", "learning_rate", "effective_step", "kl_drift", "drift_factor")
    parts = {
        "/".join(key): table for key, table in _read(speeds, ("module", "part"), numbers=numbers).items()
    }
    order = [name for names in declared.order for name in names] if declared else []
    ranked = sorted(parts, key=lambda name: order.index(name) if name in order else len(order))
    pairs = (
        _read(separations, ("slower", "faster"), numbers=("iteration", "ratio"))
        if separations.is_file()
        else {}
    )
    return Speeds(
        parts={name: parts[name] for name in ranked},
        separations={
            (slower, faster): pairs[slower, faster]
            for faster in ranked
            for slower in ranked
            if (slower, faster) in pairs
        },
        declared=declared,
    )


def _read(path: Path, keys: tuple[str, ...], *, numbers: tuple[str, ...]) -> dict[tuple[str, ...], Table]:
    """Columns of numbers by the texts in the columns of the keys; a last line cut short is dropped."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if None not in row.values()]
        missing = [name for name in (*keys, *numbers) if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path.name} has no column {', '.join(missing)}")
    grouped: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[key] for key in keys), []).append(row)
    return {
        key: {name: np.array([_number(row[name]) for row in group]) for name in numbers}
        for key, group in grouped.items()
    }


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def plain_name(part: str) -> str:
    """What readers call a part, as "inventory" for "inventory/actor" and "critic" for "critic/critic"."""
    module, _, name = part.partition("/")
    name = "" if name == "actor" or module.endswith(name) else f", {name}"
    return f"{module}{name}".replace("_", " ")


def sentences(speeds: Speeds) -> list[str]:
    """What was declared, and how far the run separated it, in words."""
    said = []
    if speeds.declared is not None:
        order = [" and ".join(map(plain_name, names)) for names in speeds.declared.order]
        said.append(
            f"Declared from fast to slow: {', then '.join(order)}."
            if len(order) > 1
            else f"Declared: one speed for {order[0]}."
            if order
            else "Declared: nothing moves."
        )
        if speeds.declared.ok:
            said.append(
                f"That meets what theory asks of many timescales (Robbins and Monro, Borkar): {_SUMS}"
                + (f"; and {_SEPARATES}." if len(order) > 1 else ".")
            )
        else:
            said.append(
                f"Theory asks for more (Robbins and Monro, Borkar): that {_SUMS}, and that {_SEPARATES}. "
                "These conditions are sufficient, and practice often does without; what is missing is listed below."
            )
    said += [_reached(pair, table, declared=speeds.declared) for pair, table in speeds.separations.items()]
    return said


def _reached(pair: tuple[str, str], table: Table, *, declared: TimescaleReport | None) -> str:
    slower, faster = map(plain_name, pair)
    known = np.flatnonzero(np.isfinite(table["ratio"]))
    if not len(known):
        return f"{slower} over {faster}: the ratio of their step sizes was not measured."
    first, last = known[0], known[-1]
    updates, ratios = table["iteration"].astype(int), table["ratio"]
    course = f"{ratios[first]:.3g} in update {updates[first]:,}"
    if last > first:
        course += f" and {ratios[last]:.3g} in update {updates[last]:,}"
    return f"Separation reached, {slower} over {faster}: the ratio of step sizes was {course}{_limit(pair, declared)}."


def _limit(pair: tuple[str, str], declared: TimescaleReport | None) -> str:
    """How a ratio would go on, for the pair that the declaration orders likewise."""
    if declared is None:
        return ""
    for ratio in declared.ratios:
        upper, lower = declared.order[ratio.slow - 2], declared.order[ratio.slow - 1]
        if ratio.of == "step sizes" and pair[0] in lower and pair[1] in upper and ratio.limit is not None:
            return (
                "; both stop in the end"
                if math.isnan(ratio.limit)
                else f"; far out it tends to {ratio.limit:.3g}"
            )
    return ""


def remarks(speeds: Speeds) -> list[str]:
    """What the check of the declared speeds found wrong, and what it notes."""
    if speeds.declared is None:
        return []
    return [*speeds.declared.violations, *speeds.declared.notes]


def table(speeds: Speeds) -> tuple[list[str], list[list[str]]]:
    """Header and cells: each part's speeds at the start and at the end of the run."""
    header = [
        "part",
        "learning rate",
        "far out",
        "infinite sum",
        "squares finite",
        "effective step",
        "KL per update",
    ]
    rows = [[plain_name(name), *_cells(name, speeds)] for name in speeds.parts]
    factors = [_course(columns["drift_factor"], noisy=False) for columns in speeds.parts.values()]
    if any(factors):
        header.append("budget's factor")
        rows = [[*cells, factor] for cells, factor in zip(rows, factors, strict=True)]
    return header, rows


def _cells(name: str, speeds: Speeds) -> Iterable[str]:
    columns = speeds.parts[name]
    known = speeds.declared.parts if speeds.declared else ()
    told = next((part for part in known if part.name == name), None)
    yield _course(columns["learning_rate"], noisy=False)
    yield (
        ""
        if told is None
        else "frozen"
        if told.frozen
        else "unknown"
        if told.form is None
        else str(told.form)
    )
    for holds in (None, None) if told is None else (told.sum_diverges, told.squares_converge):
        yield "" if holds is None else "yes" if holds else "no"
    yield _course(columns["effective_step"])
    yield _course(columns["kl_drift"])


def _course(values: FloatArray, *, noisy: bool = True) -> str:
    """First and last value, of noisy figures the medians of the first and of the last tenth."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    tenth = max(1, len(known) // 10) if noisy else 1
    ends = [f"{np.median(part):.2g}" for part in (known[:tenth], known[-tenth:])]
    return ends[0] if len(known) == 1 else " \N{RIGHTWARDS ARROW} ".join(ends)
