"""The report of a sweep: one HTML page and its figures as PNG files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from invrec_rllib.report import style
from invrec_rllib.report.document import PAGE_NAME, Picture, check_replaceable, render, write_page
from invrec_rllib.rundir import describe_machine, now
from invrec_rllib.tuning import figures
from invrec_rllib.tuning.files import dump_sweep
from invrec_rllib.tuning.importance import importances
from invrec_rllib.tuning.results import FINISHED, Configuration, TrialRow, ranked
from invrec_rllib.tuning.sweep import Sweep, describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CONFIGURATIONS = 40


@dataclass(frozen=True)
class World:
    """What a sweep found in one world.

    Attributes:
        scenario: as settings name it.
        currency: unit of money.
        rows: of the trials there.
        best: of the complete configurations; None where there is none.
    """

    scenario: str
    currency: str
    rows: list[TrialRow]
    best: Configuration | None


def write_sweep_report(sweep: Sweep, worlds: Sequence[World], *, out: Path) -> Path:
    """Write the page and its figures; an older report there is replaced.

    Returns:
        The page.

    Raises:
        InputError: the folder holds files of a report's names that are not a report's.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    page, older = out / PAGE_NAME, [file.name for file in out.glob("*.png")]
    check_replaceable(page, pictures=older)
    with style.style():
        drawn = {world.scenario: _draw(sweep, world, alone=len(worlds) == 1) for world in worlds}
    sections = [
        {
            "title": world.scenario,
            "headline": _headline(sweep, world),
            "header": [
                "configuration",
                *sweep.space,
                f"profit, {world.currency}",
                "sd over seeds",
                "seeds",
                "status",
            ],
            "rows": [_cells(sweep, c) for c in ranked(world.rows)[:_MOST_CONFIGURATIONS]],
            "best": None if world.best is None else str(world.best.number),
            "pictures": drawn[world.scenario],
        }
        for world in worlds
    ]
    html = render(
        (resources.files("invrec_rllib.tuning") / "page.html").read_text("utf-8"),
        {
            "title": f"Sweep {sweep.name}",
            "question": sweep.question,
            "sections": sections,
            "notes": _notes(sweep, worlds),
            "making": _making(sweep, worlds),
            "sweep": dump_sweep(sweep),
        },
    )
    pictures = [picture for shown in drawn.values() for picture in shown]
    return write_page(page, html, pictures=pictures, replaced=older)


def _draw(sweep: Sweep, world: World, *, alone: bool) -> list[Picture]:
    suffix = "" if alone else "_" + re.sub(r"\W+", "_", Path(world.scenario).stem)
    pictures = []

    def add(name: str, figure: Figure, alt: str) -> None:
        pictures.append(Picture(name=f"{name}{suffix}", png=style.png(figure), alt=alt))

    for key in sweep.space:
        if key != "scenario":
            drawn = figures.slice_figure(sweep, key, world.rows, currency=world.currency)
            add(f"slice_{key}", drawn, f"Profit against {key}.")
    curves = figures.curves_figure(world.rows, best=world.best, currency=world.currency)
    add("learning", curves, "Evaluated profit against env steps, a line per trial.")
    if found := importances(sweep, world.rows):
        add("importance", figures.importance_figure(found), "Importance of each searched key.")
    return pictures


def _cells(sweep: Sweep, configuration: Configuration) -> list[str]:
    values = [describe({key: configuration.values[key]}).partition("=")[2] for key in sweep.space]
    profit = "-" if math.isnan(configuration.mean) else f"{configuration.mean:,.1f}"
    spread = "-" if math.isnan(configuration.spread) else f"{configuration.spread:,.1f}"
    statuses = ", ".join(dict.fromkeys(trial.status for trial in configuration.trials))
    return [str(configuration.number), *values, profit, spread, str(len(configuration.trials)), statuses]


def _headline(sweep: Sweep, world: World) -> str:
    best = world.best
    if best is None:
        return f"No configuration has trained with all {len(sweep.seeds)} seeds to the end."
    spread = (
        ""
        if math.isnan(best.spread)
        else f", standard deviation {best.spread:,.1f} over {len(best.trials)} seeds"
    )
    return f"Best: {describe(best.values) or 'the base'}, with a profit of {best.mean:,.1f} {world.currency}{spread}."


def _notes(sweep: Sweep, worlds: Sequence[World]) -> list[str]:
    notes = [
        "Profit is that of the last evaluation, of mean actions on validation episodes which also chose the best: "
        "what the best earns on fresh episodes is a little less. invrec evaluate says how much.",
    ]
    if any(row.status != FINISHED for world in worlds for row in world.rows):
        notes.append(
            "Trials that were stopped early, failed or are unfinished stand with the profit that they had then."
        )
    if sweep.scheduler.kind == "pbt":
        notes.append("Population-based training changed values on the way: figures show those at the end.")
    if len(sweep.seeds) == 1:
        notes.append(
            "There is one seed: differences may be chance. tune_configs/seeds.yaml measures how large it is."
        )
    return notes


def _making(sweep: Sweep, worlds: Sequence[World]) -> list[tuple[str, str]]:
    rows, machine = [row for world in worlds for row in world.rows], describe_machine()
    return [
        ("trials", f"{len(rows)} of {sweep.num_trials}"),
        ("search", f"{sweep.search}, scheduler {sweep.scheduler.kind}"),
        ("env steps", f"{sum(row.env_steps for row in rows):,}"),
        ("training", f"{sum(row.seconds for row in rows):,.0f} seconds, all trials together"),
        ("command", machine["command"]),
        ("revision", str(machine["git_revision"])),
        ("machine", ", ".join(f"{key} {value}" for key, value in machine["hardware"].items())),
        ("written", now()),
    ]


def context_worlds(
    sweep: Sweep, rows: Sequence[TrialRow], *, best: dict[str, Configuration], currencies: dict[str, str]
) -> list[World]:
    """Rows of a sweep by the worlds that they ran in."""
    by_scenario: dict[str, list[TrialRow]] = {}
    for row in rows:
        by_scenario.setdefault(sweep.settings(row.configuration).scenario, []).append(row)
    return [World(name, currencies[name], found, best.get(name)) for name, found in by_scenario.items()]
