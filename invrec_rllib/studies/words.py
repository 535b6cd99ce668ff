"""What a study found, in sentences, and what to keep in mind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from invrec_rllib.studies.source import Source
from invrec_rllib.studies.tables import Line, shown

_FEW_SEEDS = 5


def headline(source: Source, lines: Sequence[Line]) -> list[str]:
    """Per condition who earns more than the baseline, who less, and who cannot be told apart from it."""
    sentences = []
    for name, condition in source.study.conditions.items():
        here = [
            line
            for line in shown(source.study, lines, condition=name)
            if not math.isnan(line.difference.absolute.value)
        ]
        if not here:
            continue
        kinds = {
            "more": [line for line in here if line.difference.absolute.low > 0],
            "less": [line for line in here if line.difference.absolute.high < 0],
            "not told apart": [
                line for line in here if line.difference.absolute.low <= 0 <= line.difference.absolute.high
            ],
            "without an interval": [line for line in here if math.isnan(line.difference.absolute.low)],
        }
        told = [
            f"{kind}: {', '.join(_with_percent(line) for line in found)}"
            for kind, found in kinds.items()
            if found
        ]
        baseline = source.study.variants[source.study.baseline].label
        sentences.append(f"{condition.label}, against {baseline}. {_sentence('; '.join(told))}")
    return sentences


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _with_percent(line: Line) -> str:
    percent = line.difference.percent.value
    return line.label if math.isnan(percent) else f"{line.label} ({percent:+.1f} %)"


def unfinished(source: Source) -> str:
    """How many of the planned runs have no row; empty where none lacks one."""
    study = source.study
    planned = {(c, v, seed) for c in study.conditions for v in study.variants for seed in study.seeds_of(v)}
    missing = planned - {(row.condition, row.variant, row.seed) for row in source.rows}
    if not missing:
        return ""
    return f"{len(planned) - len(missing):,} of the {len(planned):,} runs that the study plans are finished."


def caveats(source: Source, lines: Sequence[Line]) -> list[str]:
    """What the numbers do not say."""
    notes = [
        "Every interval stands for itself. Among many variants, some intervals leave out zero by chance: about one "
        "in twenty where nothing differs."
    ]
    if any(line.chosen_from > 1 for line in lines):
        notes.append(
            "A line that is the best of several was chosen after the fact, on the profits that it is shown with. That "
            "flatters it, the more the more were tried and the fewer seeds they had; new seeds would tell."
        )
    if any(len(line.seeds) < _FEW_SEEDS for line in lines):
        notes.append(
            f"Some variants have fewer than {_FEW_SEEDS} seeds: bootstrap intervals of so few are too short, and "
            "with a single seed there is none."
        )
    if len(codes := _codes(source)) > 1:
        notes.append(f"The runs were made with different code: {', '.join(codes)}.")
    return notes


def making(source: Source) -> list[tuple[str, str]]:
    """How the study was made: label and value, without what nothing tells."""
    study, rows = source.study, source.rows
    steps = sorted({row.env_steps for row in rows if math.isfinite(row.env_steps)})
    seconds = sum(row.seconds for row in rows if math.isfinite(row.seconds))
    manifest = source.first_of(rows[0].condition, "manifest.json")
    seeds = {len(line) for line in (study.seeds_of(name) for name in study.variants)}
    facts = [
        ("Study", study.name),
        ("Command", str(manifest.get("command") or "")),
        ("Runs", f"{len(rows):,}"),
        ("Seeds planned", " or ".join(map(str, sorted(seeds, reverse=True)))),
        ("Settings of all runs", assignments(study.base)),
        ("Env steps of a run", " or ".join(f"{count:,.0f}" for count in steps)),
        ("Time of all runs", f"{seconds / 3600:.1f} hours" if seconds else ""),
        ("Code", ", ".join(_codes(source))),
        ("Hardware", assignments(manifest.get("hardware") or {})),
        ("Versions", assignments(manifest.get("versions") or {})),
    ]
    return [(label, value) for label, value in facts if value]


def differences(source: Source) -> list[tuple[str, str]]:
    """What makes each condition and each variant: label and settings."""
    study = source.study
    facts = [
        (
            f"{name}: {made.label}",
            " ".join(filter(None, map(assignments, (made.changes, made.world or {}, made.scenario)))),
        )
        for name, made in study.conditions.items()
    ]
    facts += [(f"{name}: {made.label}", assignments(made.changes)) for name, made in study.variants.items()]
    return [(label, value or "as all runs") for label, value in facts]


def assignments(changes: Mapping[str, Any]) -> str:
    """``key=value`` with blanks between."""
    return " ".join(f"{key}={value}" for key, value in changes.items())


def _codes(source: Source) -> list[str]:
    return sorted({row.code for row in source.rows if row.code})
