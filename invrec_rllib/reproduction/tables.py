"""An experiment's findings as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from invrec_rllib.evaluation.comparison import markdown_table
from invrec_rllib.evaluation.robust import Interval
from invrec_rllib.reproduction.experiment import Experiment
from invrec_rllib.reproduction.findings import Finding, Ratio
from invrec_rllib.reproduction.scores import BOUND
from invrec_rllib.studies.tables import interval_text

HEADER = ("trained", "held against", "seeds", "profit, %", "over episodes", "units sold, %")


def to_markdown(experiment: Experiment, findings: Sequence[Finding], *, provenance: Mapping[str, Any]) -> str:
    """A table for every condition: each way to train against each of the others.

    Args:
        experiment: that was made.
        findings: its own.
        provenance: `training_hours` and `code`.
    """
    made = (
        f"`invrec reproduce --only {experiment.name}`; training took {provenance['training_hours']:.2f} hours of a "
        f"process in all; code {', '.join(provenance['code'])}."
    )
    parts = [f"# {experiment.name}\n\n{experiment.ways.question}\n\n{explanation(experiment)}\n\n{made}\n"]
    conditions = experiment.ways.conditions
    for name, condition in conditions.items():
        rows = [cells for finding in findings if finding.condition == name for cells in rows_of(finding)]
        heading = f"## {condition.label}\n\n" if len(conditions) > 1 else ""
        parts.append(f"{heading}{markdown_table(HEADER, rows)}")
    return "\n".join(parts)


def explanation(experiment: Experiment) -> str:
    """What the numbers are."""
    text = (
        f"Profit per episode of mean actions over {experiment.episodes:,} episodes that neither training nor searches "
        "for parameters met, less that of the other on the same episodes, in percent of the other's: interquartile "
        "means over training seeds with 95 % bootstrap intervals over seeds, and 95 % intervals of the mean over "
        f"episodes. Simple policies are shown {experiment.information} information."
    )
    if experiment.bound_paths:
        text += f" No policy exceeds the bound on average; it is over the first {experiment.bound_paths} episodes."
    return text


def rows_of(finding: Finding) -> list[tuple[str, ...]]:
    """Cells in the order of `HEADER`, a row for everything that a way to train is held against."""
    return [
        (
            finding.label,
            f"upper {BOUND}" if other == BOUND else f"`{other}`",
            f"{len(finding.seeds)}",
            interval_text(percent_over(ratio), digits=2, sign=True),
            f"[{100 * (ratio.episodes_low - 1):+.2f}, {100 * (ratio.episodes_high - 1):+.2f}]",
            interval_text(percent_over(finding.units_over[other]), digits=2, sign=True)
            if other in finding.units_over
            else "",
        )
        for other, ratio in finding.profit_over.items()
    ]


def percent_over(ratio: Ratio) -> Interval:
    """A ratio as what is above 1, in percent, with its interval over seeds."""
    return Interval(
        *(100.0 * (part - 1.0) for part in (ratio.seeds.value, ratio.seeds.low, ratio.seeds.high))
    )
