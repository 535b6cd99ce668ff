"""What coordination is worth as one HTML page, its figures and its tables."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.comparison import percent_text
from invrec_rllib.evaluation.decomposition import PARTS, Decomposition
from invrec_rllib.evaluation.statistics import Estimate
from invrec_rllib.evaluation.worth import Worth
from invrec_rllib.evaluation.worth_tables import (
    basis,
    items_table,
    make_tables,
    parts_table,
    policies_table,
    seeds_csv,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
)
from invrec_rllib.report import style
from invrec_rllib.report.document import PAGE_NAME, Picture, check_replaceable, render, write_page
from invrec_rllib.report.figures import differences_figure, items_figure, waterfall_figure
from invrec_rllib.scenario.files import write_text_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = ("worth.json", "worth.csv", "seeds.csv", "tables.md", "tables.tex")
"""Files of a comparison beside its page."""


_PICTURES = ("differences.png", "waterfall.png", "money.png", "parts_0.png")


def check_folder(folder: Path, *, force: bool) -> None:
    """See that a comparison may be written to a folder, before the work that fills it.

    Raises:
        InputError: files of a comparison's names exist there and `force` is false, or they are not a report's.
    """
    taken = [name for name in (PAGE_NAME, *TABLES) if (folder / name).exists()]
    if taken and not force:
        raise InputError(
            f"{folder} holds {', '.join(taken)}: choose another folder, or overwrite them with --force"
        )
    check_replaceable(folder / PAGE_NAME, pictures=_PICTURES)


def write_worth(worth: Worth, folder: Path, *, page: bool = True) -> list[Path]:
    """Write tables, and a page with its figures unless that is not wanted; each file atomically, over older ones.

    Args:
        worth: what was found.
        folder: where to; it need not exist.
        page: whether to draw figures and write the page.

    Returns:
        The files; the page is the first, where there is one.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed, and a page is wanted.
    """
    written = [_write_page(worth, folder)] if page else []
    tables, note = make_tables(worth), basis(worth)
    texts = (
        to_json(worth),
        to_csv(worth),
        seeds_csv(worth),
        to_markdown(tables, note=note),
        to_latex(tables, note=note),
    )
    for name, text in zip(TABLES, texts, strict=True):
        write_text_atomically(folder / name, text)
        written.append(folder / name)
    return written


def _write_page(worth: Worth, folder: Path) -> Path:
    with style.style():
        pictures = {name: _picture(name, drawn, alt) for name, drawn, alt in _figures(worth)}
    template = (resources.files("invrec_rllib.report") / "worth.html").read_text("utf-8")
    parts = [
        {"table": parts_table(found), "picture": pictures[f"parts_{k}"], "note": parts_note(found)}
        for k, found in enumerate(worth.decompositions)
    ]
    context = {
        "title": f"What coordination is worth in {worth.comparison.scenario}",
        "headline": headline(worth),
        "figures": {name: pictures.get(name) for name in ("differences", "waterfall", "money")},
        "parts": parts,
        "tables": [policies_table(worth), items_table(worth)],
        "basis": basis(worth),
        "making": making(worth),
    }
    older = [*_PICTURES, *(file.name for file in folder.glob("parts_*.png"))]
    html = render(template, context)
    return write_page(folder / PAGE_NAME, html, pictures=list(pictures.values()), replaced=older)


def _picture(name: str, figure: Figure, alt: str) -> Picture:
    return Picture(name=name, png=style.png(figure), alt=alt)


def _figures(worth: Worth) -> list[tuple[str, Figure, str]]:
    found, baseline = worth.comparison, worth.baseline
    drawn = [("money", items_figure(found), "Money by item, a bar per policy.")]
    differences = differences_figure(found, trained=None, baseline=baseline)
    if differences is not None:
        drawn.append(("differences", differences, f"Profit over {baseline} with intervals."))
    for k, taken in enumerate(worth.decompositions):
        drawn.append((f"parts_{k}", parts_figure(taken), f"Parts of the gain of {taken.policy}."))
    if worth.decompositions:
        pair = worth.decompositions[0].policy
        shown = waterfall_figure(found, trained=pair, baseline=baseline)
        drawn.append(("waterfall", shown, f"From {baseline} to {pair}, item by item."))
    return drawn


def parts_figure(found: Decomposition) -> Figure:
    """The parts of a gain as bars with intervals, in percent of the baseline's profit."""
    names = list(found.parts)
    figure = style.new_figure(1.4 + 0.42 * len(names))
    axes = figure.subplots()
    for place, name in enumerate(names):
        percent = found.parts[name]["profit"].percent
        colour = style.INK if name == "total" else style.BLUE if percent.mean >= 0 else style.VERMILION
        nested = PARTS[name].startswith("of these")
        axes.barh(place, percent.mean, height=0.36 if nested else 0.62, color=style.SKY if nested else colour)
        if not math.isnan(percent.low):
            reach = [[percent.mean - percent.low], [percent.high - percent.mean]]
            axes.errorbar(percent.mean, place, xerr=reach, color=style.INK, capsize=3, linewidth=1.2)
        style.beside(axes, place, f"{style.signed(percent.mean, 1)} %", fontsize=9)
    axes.axvline(0.0, color=style.INK, linewidth=1)
    axes.set_yticks(range(len(names)), [textwrap.fill(PARTS[name], 31) for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"% of the profit of {found.baseline} (lines: intervals)")
    style.headline(figure, f"Where the gain of {found.policy} over {found.baseline} comes from")
    return figure


def headline(worth: Worth) -> list[str]:
    """What the best policy and each pair that was taken apart gain, in sentences."""
    found, sentences = worth.comparison, []
    best = max(found.rows, key=lambda row: row.profit.mean)
    if best.policy != worth.baseline:
        difference = best.differences[worth.baseline]
        sentences.append(
            f"{best.policy} earns most: profit {percent_text(difference['profit'].percent)} over {worth.baseline}, "
            f"units sold {percent_text(difference['sales_units'].percent)}."
        )
    else:
        sentences.append(f"Nobody earns more than {worth.baseline}.")
    if worth.gap is not None:
        below = percent_text(worth.gap.below_percent[best.policy], sign=False)
        sentences.append(f"{best.policy} is {below} below the {worth.gap.kind}.")
    sentences += [_in_words(taken) for taken in worth.decompositions]
    return sentences


def _in_words(found: Decomposition) -> str:
    def share(name: str) -> str:
        return percent_text(_profit(found, name))

    return (
        f"Of the gain of {found.policy}, {share('total')}, its orders alone bring {share('orders')}, its slates alone "
        f"{share('slates')}, and both together {share('interaction')} beyond that."
    )


def _profit(found: Decomposition, part: str) -> Estimate:
    return found.parts[part]["profit"].percent


def parts_note(found: Decomposition) -> str:
    """How to read the parts."""
    text = (
        f"All play the same episodes. Orders alone: {found.policy} orders, {found.baseline} shows. Slates alone: "
        f"{found.baseline} orders, {found.policy} shows. Percentages are of the profit and units of {found.baseline}. "
    )
    if found.told:
        return text + (
            "Its orders are told of the slates that are shown, whoever shows them. Told of the past alone they still "
            "follow another rule, and know tastes: that part needs no plans told. What is above it is coordination."
        )
    return text + (
        f"The orders of {found.policy} are planned for its own slates, and its slates for its own orders: beside "
        "another department each acts outside what it was made or trained for, which the parts contain."
    )


def making(worth: Worth) -> Sequence[tuple[str, Any]]:
    """What the page is based on: label and value."""
    found = worth.comparison
    return [
        ("Episodes", found.drawn),
        ("Information", found.information),
        ("Fingerprint of the world", found.scenario_sha256),
        ("Seconds", f"{found.seconds:,.0f}"),
        *found.provenance.items(),
    ]
