"""How policies react as one HTML page, its figures and its tables."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.behaviour import Behaviour, PolicyBehaviour
from invrec_rllib.evaluation.behaviour.tables import (
    basis,
    effects_table,
    held_text,
    make_tables,
    summary_table,
    title_of,
    to_csv,
    to_json,
)
from invrec_rllib.evaluation.worth_tables import to_markdown
from invrec_rllib.report import style
from invrec_rllib.report.behaviour_figures import (
    correlogram_figure,
    date_figure,
    signs_figure,
    surface_figure,
)
from invrec_rllib.report.document import PAGE_NAME, Picture, check_replaceable, render, write_page
from invrec_rllib.scenario.files import write_text_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = ("behaviour.json", "behaviour.csv", "tables.md")
"""Files of a study of behaviour beside its page."""

_PICTURES = ("signs", "together", "stock_and_others", "stock_and_delivery", "date")


def check_folder(folder: Path, *, force: bool) -> None:
    """See that a study of behaviour may be written to a folder, before the work that fills it.

    Raises:
        InputError: files of its names exist there and `force` is false, or they are not a report's.
    """
    taken = [name for name in (PAGE_NAME, *TABLES) if (folder / name).exists()]
    if taken and not force:
        raise InputError(
            f"{folder} holds {', '.join(taken)}: choose another folder, or overwrite them with --force"
        )
    check_replaceable(folder / PAGE_NAME, pictures=[f"{name}.png" for name in _PICTURES])


def write_behaviour(found: Behaviour, folder: Path) -> list[Path]:
    """Write the page with its figures, and the tables; each file atomically, over older ones.

    Args:
        found: what was measured.
        folder: where to; it need not exist.

    Returns:
        The files; the page is the first.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    written = [_write_page(found, folder)]
    texts = (to_json(found), to_csv(found), to_markdown(make_tables(found), note=basis(found)))
    for name, text in zip(TABLES, texts, strict=True):
        write_text_atomically(folder / name, text)
        written.append(folder / name)
    return written


def _write_page(found: Behaviour, folder: Path) -> Path:
    with style.style():
        pictures = {
            name: Picture(name=name, png=style.png(figure), alt=alt)
            for name, figure, alt in _figures(found)
            if figure is not None
        }
    template = (resources.files("invrec_rllib.report") / "behaviour.html").read_text("utf-8")
    context = {
        "title": f"How policies behave in {found.scenario}",
        "headline": headline(found),
        "summary": summary_table(found),
        "tables": [effects_table(policy) for policy in found.all],
        "pictures": {name: pictures.get(name) for name in _PICTURES},
        "basis": basis(found),
        "making": making(found),
    }
    html = render(template, context)
    older = [f"{name}.png" for name in _PICTURES]
    return write_page(folder / PAGE_NAME, html, pictures=list(pictures.values()), replaced=older)


def _figures(found: Behaviour) -> list[tuple[str, Figure | None, str]]:
    return [
        ("signs", signs_figure(found), "Effects by policy, coloured by whether the optimum's sign holds."),
        ("together", correlogram_figure(found), "Correlation of orders with exposures before and after."),
        ("stock_and_others", surface_figure(found, "others"), "Decisions by own stock and others' stock."),
        (
            "stock_and_delivery",
            surface_figure(found, "delivery"),
            "Decisions by own stock and next delivery.",
        ),
        ("date", date_figure(found), "Decisions by date."),
    ]


def headline(found: Behaviour) -> list[str]:
    """What holds, a sentence for each policy but the optimum."""
    return [_in_words(policy, found) for policy in found.policies]


def _in_words(policy: PolicyBehaviour, found: Behaviour) -> str:
    together = {True: "are", False: "are not", None: "cannot be said to be"}[policy.synchronised]
    failing = [test.label for test in policy.tests if test.holds is False]
    text = (
        f"{title_of(policy, found)} holds {held_text(policy)} significant signs of the optimum; its orders and "
        f"exposures {together} synchronised as the optimum's."
    )
    if not failing or len(failing) > 3:
        return text
    return f"{text} Not held: {'; '.join(failing)}."


def making(found: Behaviour) -> list[tuple[str, Any]]:
    """What the page is based on: label and value."""
    return [
        ("Episodes", f"{found.episodes:,} of seed {found.seed}"),
        ("Information", found.information),
        ("Fingerprint of the world", found.scenario_sha256),
        ("Seconds", f"{found.seconds:,.0f}"),
        *found.provenance.items(),
    ]
