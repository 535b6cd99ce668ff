"""The report of a study: one HTML page, its figures as PNG files, its tables as Markdown and CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invrec_rllib.errors import InputError
from invrec_rllib.report import style
from invrec_rllib.report.document import PAGE_NAME, Picture, check_replaceable, render, write_page
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies import figures, words
from invrec_rllib.studies.curves import read_curves
from invrec_rllib.studies.source import Source, read_source
from invrec_rllib.studies.tables import (
    HEADER,
    Line,
    cells,
    explanation,
    folded,
    make_lines,
    shown,
    to_csv,
    to_markdown,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKDOWN_NAME, CSV_NAME = "tables.md", "tables.csv"


@dataclass(frozen=True)
class StudyReport:
    """Files of a report: the page, its figures, its tables."""

    page: Path
    figures: list[Path]
    tables: list[Path]


def write_study_report(
    path: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None
) -> StudyReport:
    """Write the report of a study; an older one is replaced.

    Args:
        path: the study's folder, or a CSV file of rows, which gives all but the learning curves.
        out: folder to write to; None: ``report`` in the study's folder.

    Raises:
        InputError: nothing to report, `out` is missing where there is no study's folder, or the folder holds
            files of a report's names that are not a report's.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    source = read_source(path)
    if out is None and source.runs is None:
        raise InputError("rows alone have no folder for their report: say where to write it with out=")
    folder = Path(out).expanduser() if out is not None else Path(path).expanduser() / "report"
    lines = make_lines(source.study, source.rows)
    page = folder / PAGE_NAME
    older = _older_pictures(folder)
    check_replaceable(page, pictures=[*older, MARKDOWN_NAME, CSV_NAME])
    with style.style():
        factors, by_condition = _draw(source, lines)
    template = (resources.files("invrec_rllib.studies") / "page.html").read_text("utf-8")
    pictures = [
        *([factors] if factors else []),
        *(shown for drawn in by_condition.values() for shown in drawn),
    ]
    html = render(template, _context(source, lines, factors, by_condition))
    write_page(page, html, pictures=pictures, replaced=older)
    write_text_atomically(folder / MARKDOWN_NAME, to_markdown(source.study, lines))
    write_text_atomically(folder / CSV_NAME, to_csv(lines))
    return StudyReport(
        page,
        figures=[folder / f"{picture.name}.png" for picture in pictures],
        tables=[folder / MARKDOWN_NAME, folder / CSV_NAME],
    )


def _older_pictures(folder: Path) -> list[str]:
    patterns = ("factors.png", "intervals_*.png", "learning_*.png")
    return [file.name for pattern in patterns for file in folder.glob(pattern)]


def _draw(source: Source, lines: Sequence[Line]) -> tuple[Picture | None, dict[str, list[Picture]]]:
    """The figure of factors, and the figures of each condition."""
    study = source.study
    currencies = {
        name: source.first_of(name, "comparison.json").get("currency", "money") for name in study.conditions
    }
    pictures: dict[str, list[Picture]] = {}
    for name, condition in study.conditions.items():
        kept = shown(study, lines, condition=name)
        if not kept:
            continue
        drawn = figures.intervals_figure(study, kept, currency=currencies[name])
        pictures[name] = [
            _picture(f"intervals_{name}", drawn, alt=f"{condition.label}: profit with interval per variant.")
        ]
        curves = read_curves(source.runs, kept) if source.runs else []
        if curves:
            drawn = figures.curves_figure(study, curves, currency=currencies[name])
            alt = f"{condition.label}: evaluated profit against env steps, a line per variant."
            pictures[name].append(_picture(f"learning_{name}", drawn, alt=alt))
    factors = figures.factors_figure(study, lines, currencies=currencies)
    alt = f"Profit against {study.factor_label}, a panel per condition."
    return _picture("factors", factors, alt=alt) if factors else None, pictures


def _picture(name: str, figure: Figure, *, alt: str) -> Picture:
    return Picture(name=name, png=style.png(figure), alt=alt)


def _context(
    source: Source, lines: Sequence[Line], factors: Picture | None, pictures: dict[str, list[Picture]]
) -> dict[str, Any]:
    study = source.study

    def table(kept: Sequence[Line]) -> list[dict[str, Any]]:
        return [
            {"cells": cells(line), "baseline": line.variant == study.baseline and line.chosen_from == 1}
            for line in kept
        ]

    return {
        "title": f"Study {study.name}",
        "unfinished": words.unfinished(source),
        "question": study.question,
        "headline": words.headline(source, lines),
        "factors": factors,
        "header": HEADER,
        "conditions": [
            {
                "label": study.conditions[name].label,
                "rows": table(shown(study, lines, condition=name)),
                "folded": table(folded(study, lines, condition=name)),
                "pictures": drawn,
            }
            for name, drawn in pictures.items()
        ],
        "explanation": explanation(study),
        "caveats": words.caveats(source, lines),
        "making": words.making(source),
        "differences": words.differences(source),
    }
