"""What a study found, in numbers: a line for every condition and variant, as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.comparison import markdown_table
from invrec_rllib.evaluation.robust import (
    NOTHING,
    Interval,
    RobustDifference,
    estimate_iqm,
    interquartile_mean,
    paired_iqm_difference,
    probability_of_improvement,
)
from invrec_rllib.studies.rows import Row
from invrec_rllib.studies.study import Study

HEADER = (
    "variant",
    "seeds",
    "profit",
    "over the baseline",
    "in percent",
    "probability of more",
    "units sold",
    "fill rate",
)


@dataclass(frozen=True)
class Line:
    """A variant under a condition.

    Attributes:
        condition, variant: names.
        label: of the variant; of the best of several it tells how many.
        chosen_from: variants that it is the best of, chosen when the profits were known; 1: none but itself.
        seeds: of its runs.
        profit: interquartile mean over seeds, money per episode.
        difference: to the baseline on equal seeds; NaN of the baseline itself.
        improvement: probability that a run of it earns more than one of the baseline; NaN of the baseline itself.
        units_sold, fill_rate: interquartile means over seeds; NaN where the rows do not say.
    """

    condition: str
    variant: str
    label: str
    chosen_from: int
    seeds: tuple[int, ...]
    profit: Interval
    difference: RobustDifference
    improvement: Interval
    units_sold: float
    fill_rate: float


def strangers(study: Study, rows: Sequence[Row]) -> list[str]:
    """Names of conditions and variants of rows that the study does not have."""
    names = [row.condition for row in rows if row.condition not in study.conditions]
    names += [row.variant for row in rows if row.variant not in study.variants]
    return list(dict.fromkeys(names))


def make_lines(study: Study, rows: Sequence[Row]) -> list[Line]:
    """A line for every condition and variant that has rows, and then for the best of those that `best_of` lists.

    Raises:
        InputError: rows of a condition or variant that the study does not have.
    """
    if unknown := strangers(study, rows):
        raise InputError(f"rows of {', '.join(unknown)}, which study {study.name} does not have")
    lines = []
    for condition in study.conditions:
        runs: dict[str, list[Row]] = {
            name: [row for row in rows if (row.condition, row.variant) == (condition, name)]
            for name in study.variants
        }
        found = {
            name: _line(study, name, rows=runs[name], base=runs[study.baseline])
            for name in runs
            if runs[name]
        }
        lines += [*found.values(), *_best(study, found)]
    return lines


def shown(study: Study, lines: Sequence[Line], *, condition: str) -> list[Line]:
    """Lines of a condition for a reader: of variants in `best_of` the best alone, but always the baseline."""
    folded = {name for names in study.best_of.values() for name in names} - {study.baseline}
    kept = [line for line in lines if line.condition == condition]
    return [line for line in kept if line.chosen_from > 1 or line.variant not in folded]


def folded(study: Study, lines: Sequence[Line], *, condition: str) -> list[Line]:
    """The lines of a condition that `shown` leaves out."""
    kept = shown(study, lines, condition=condition)
    return [line for line in lines if line.condition == condition and line not in kept]


def _line(study: Study, variant: str, *, rows: list[Row], base: list[Row]) -> Line:
    profits, base_profits = ({row.seed: row.profit for row in runs} for runs in (rows, base))
    common = [seed for seed in profits if seed in base_profits]
    difference, improvement = RobustDifference(NOTHING, NOTHING), NOTHING
    if variant != study.baseline:
        difference = paired_iqm_difference([profits[s] for s in common], [base_profits[s] for s in common])
        improvement = probability_of_improvement(list(profits.values()), list(base_profits.values()))
    return Line(
        condition=rows[0].condition,
        variant=variant,
        label=study.variants[variant].label,
        chosen_from=1,
        seeds=tuple(profits),
        profit=estimate_iqm(list(profits.values())),
        difference=difference,
        improvement=improvement,
        units_sold=float(interquartile_mean([row.units_sold for row in rows])),
        fill_rate=float(interquartile_mean([row.fill_rate for row in rows])),
    )


def _best(study: Study, found: dict[str, Line]) -> list[Line]:
    best = []
    for label, names in study.best_of.items():
        tried = [found[name] for name in names if name in found]
        if len(tried) > 1:
            first = max(tried, key=lambda line: line.profit.value)
            text = f"{label}, best of {len(tried)} ({first.variant})"
            best.append(replace(first, label=text, chosen_from=len(tried)))
    return best


def cells(line: Line) -> list[str]:
    """A line as text, in the order of `HEADER`."""
    money = 0 if abs(line.profit.value) >= 1000 else 1 if abs(line.profit.value) >= 10 else 2
    improvement = line.improvement.value
    return [
        line.label,
        f"{len(line.seeds)}",
        interval_text(line.profit, digits=money),
        interval_text(line.difference.absolute, digits=money, sign=True),
        interval_text(line.difference.percent, digits=2, sign=True),
        "" if math.isnan(improvement) else f"{100 * improvement:.0f} %",
        "" if math.isnan(line.units_sold) else f"{line.units_sold:,.0f}",
        "" if math.isnan(line.fill_rate) else f"{100 * line.fill_rate:.1f} %",
    ]


def interval_text(interval: Interval, *, digits: int, sign: bool = False) -> str:
    """Value and interval as text, such as ``97,468 [96,707, 97,887]``; empty for NaN."""
    if math.isnan(interval.value):
        return ""
    number = f"{{:{'+' if sign else ''},.{digits}f}}"
    text = number.format(interval.value)
    if math.isnan(interval.low):
        return text
    return f"{text} [{number.format(interval.low)}, {number.format(interval.high)}]"


def to_markdown(study: Study, lines: Sequence[Line]) -> str:
    """Markdown: for every condition a table for readers, and one of the variants that it leaves out."""
    parts = [f"# Study {study.name}\n\n{study.question}\n\n{explanation(study)}\n"]
    for name, condition in study.conditions.items():
        kept = shown(study, lines, condition=name)
        if kept:
            parts.append(f"## {condition.label}\n\n{markdown_table(HEADER, map(cells, kept))}")
        if others := folded(study, lines, condition=name):
            parts.append(
                f"All that were tried for a line that was chosen:\n\n{markdown_table(HEADER, map(cells, others))}"
            )
    return "\n".join(parts)


def explanation(study: Study) -> str:
    """What the numbers of a table are."""
    text = (
        "Interquartile means over training seeds with 95 % bootstrap intervals; profit per episode of mean actions, "
        "on episodes that are the same for all runs of a condition. Differences are to "
        f"{study.variants[study.baseline].label!r}, seed by seed; the probability is that of a run to earn more than "
        "one of the baseline."
    )
    if study.best_of:
        text += " A line that is the best of several was chosen after the fact, which flatters it."
    return text


def to_csv(lines: Sequence[Line]) -> str:
    """CSV: every line, those chosen after the fact among them."""
    stream = io.StringIO(newline="")
    records = [record(line) for line in lines]
    writer = csv.DictWriter(stream, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in entry.items()} for entry in records)
    return stream.getvalue()


def record(line: Line) -> dict[str, str | int | float | None]:
    """A line as plain data; None for NaN."""
    intervals = {
        "profit": line.profit,
        "difference": line.difference.absolute,
        "difference_percent": line.difference.percent,
        "improvement": line.improvement,
    }
    numbers = {
        f"{name}{suffix}": value
        for name, interval in intervals.items()
        for suffix, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high))
    }
    numbers |= {"units_sold": line.units_sold, "fill_rate": line.fill_rate}
    return {
        "condition": line.condition,
        "variant": line.variant,
        "label": line.label,
        "chosen_from": line.chosen_from,
        "seeds": len(line.seeds),
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
    }
