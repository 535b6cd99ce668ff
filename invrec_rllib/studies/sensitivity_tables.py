"""The value of coordination at every point of a sensitivity analysis: lines with intervals over seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from invrec_rllib.evaluation.comparison import percent_text
from invrec_rllib.evaluation.statistics import Difference, paired_difference
from invrec_rllib.evaluation.worth_tables import Table
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.scenario.variations import FACTORS
from invrec_rllib.studies.sensitivity import BASE, BASELINES, PAIR, Point, Row, is_base


@dataclass(frozen=True)
class Line:
    """What the pair gains over a baseline at a level of a factor.

    Attributes:
        factor: name.
        value: its level.
        at_base: whether that is where the base stands: the same numbers in every factor.
        baseline: that the pair is held against.
        seeds: that both were played with.
        profit, units: gain per episode; differences of means by seed, with intervals over seeds.
    """

    factor: str
    value: float
    at_base: bool
    baseline: str
    seeds: int
    profit: Difference
    units: Difference


def make_lines(
    scenario: Scenario,
    rows: Sequence[Row],
    *,
    levels: Mapping[str, Sequence[float]],
    baselines: Sequence[str],
) -> list[Line]:
    """A line for every factor, level and baseline that has rows, levels rising; the base is a level of each factor.

    Args:
        scenario: the base.
        rows: of its points.
        levels: by factor.
        baselines: names.
    """
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        found.setdefault((row.point.name, row.policy), {})[row.seed] = row
    lines = []
    for factor, values in levels.items():
        apart = [value for value in values if not is_base(scenario, factor, value)]
        for value in sorted({*apart, FACTORS[factor].value(scenario)}):
            at_base = value not in apart
            name = BASE if at_base else Point(factor, value).name
            for baseline in baselines:
                line = _line(found.get((name, PAIR), {}), found.get((name, baseline), {}))
                if line is not None:
                    seeds, profit, units = line
                    lines.append(Line(factor, value, at_base, baseline, seeds, profit, units))
    return lines


def _line(pair: Mapping[int, Row], base: Mapping[int, Row]) -> tuple[int, Difference, Difference] | None:
    seeds = [seed for seed in pair if seed in base]
    if not seeds:
        return None
    profit, units = (
        paired_difference(
            [getattr(pair[seed], name) for seed in seeds], [getattr(base[seed], name) for seed in seeds]
        )
        for name in ("profit", "units_sold")
    )
    return len(seeds), profit, units


def make_tables(lines: Sequence[Line]) -> list[Table]:
    """A table per factor: profit over each baseline in percent, a row per level."""
    tables = []
    for factor in dict.fromkeys(line.factor for line in lines):
        here = [line for line in lines if line.factor == factor]
        baselines = list(dict.fromkeys(line.baseline for line in here))
        cells = {(line.value, line.baseline): percent_text(line.profit.percent) for line in here}
        rows = tuple(
            (
                level_text(value, at_base=at_base),
                *(cells.get((value, baseline), "") for baseline in baselines),
            )
            for value, at_base in dict.fromkeys((line.value, line.at_base) for line in here)
        )
        header = (FACTORS[factor].label, *(f"over {BASELINES[baseline]}" for baseline in baselines))
        tables.append(Table(factor.replace("_", " "), header, rows))
    return tables


def level_text(value: float, *, at_base: bool) -> str:
    """A level for readers, the base's marked."""
    text = "none" if math.isinf(value) else f"{value:.3g}"
    return f"{text} (base)" if at_base else text


def to_csv(lines: Sequence[Line]) -> str:
    """CSV: every line; percentages are of the baseline's mean."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    numbers = [
        f"{name}{suffix}"
        for name in ("profit", "profit_percent", "units", "units_percent")
        for suffix in ("", "_low", "_high")
    ]
    writer.writerow(("factor", "value", "at_base", "baseline", "seeds", *numbers))
    for line in lines:
        estimates = (line.profit.absolute, line.profit.percent, line.units.absolute, line.units.percent)
        values = [number for found in estimates for number in (found.mean, found.low, found.high)]
        cells = ("" if math.isnan(number) else number for number in values)
        writer.writerow((line.factor, line.value, int(line.at_base), line.baseline, line.seeds, *cells))
    return stream.getvalue()
