"""A training run as one HTML page that needs nothing beside it, and its figures as PNG files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invrec_rllib.report import episode, figures, speed_figures, speeds, style, words
from invrec_rllib.report.document import PAGE_NAME, Picture, check_replaceable, render, write_page
from invrec_rllib.report.run import RunRecord, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_PRODUCTS = 3
_PICTURE_FILES = (
    *(f"{name}.png" for name in ("learning", "speeds", "drift", "differences", "items", "waterfall")),
    *(f"episode_{rank}.png" for rank in range(1, _NUM_PRODUCTS + 1)),
)


@dataclass
class _Pictures:
    learning: Picture | None = None
    speeds: Picture | None = None
    drift: Picture | None = None
    differences: Picture | None = None
    items: Picture | None = None
    waterfall: Picture | None = None
    products: list[Picture] = field(default_factory=list)

    def all(self) -> list[Picture]:
        singles = (self.learning, self.speeds, self.drift, self.differences, self.items, self.waterfall)
        return [picture for picture in singles if picture is not None] + self.products


def write_report(run_dir: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a run: ``index.html`` with everything in it, and the figures as PNG files beside it.

    A run that was interrupted gets a report of what there is, which says what is missing. Equal runs give equal
    files; an older report is replaced.

    Args:
        run_dir: the run's directory (`read_run` says what it may hold).
        out: folder to write to; None: ``report`` in the run's directory.

    Returns:
        The page.

    Raises:
        InputError: not a run directory, or the folder holds files of these names that are not a report's.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    run = read_run(run_dir)
    folder = Path(out) if out is not None else run.directory / "report"
    page = folder / PAGE_NAME
    check_replaceable(page, pictures=_PICTURE_FILES)
    with style.style():
        pictures = _draw(run)
    template = (resources.files("invrec_rllib.report") / "page.html").read_text("utf-8")
    html = render(template, _context(run, pictures))
    return write_page(page, html, pictures=pictures.all(), replaced=_PICTURE_FILES)


def _draw(run: RunRecord) -> _Pictures:
    pictures = _Pictures()
    learning = figures.learning_figure(run)
    if learning is not None:
        pictures.learning = _picture(
            "learning",
            learning,
            alt="Profit per episode and fill rate against env steps, baselines as lines.",
        )
    _draw_speeds(run, pictures)
    comparison, trained = run.comparison, run.trained
    if comparison is not None:
        if comparison.baselines:
            baseline = comparison.baselines[0]
            differences = figures.differences_figure(comparison, trained=trained, baseline=baseline)
            if differences is not None:
                pictures.differences = _picture(
                    "differences",
                    differences,
                    alt=f"Profit over {baseline} in percent with intervals, per policy.",
                )
            if trained is not None and trained != baseline:
                waterfall = figures.waterfall_figure(comparison, trained=trained, baseline=baseline)
                pictures.waterfall = _picture(
                    "waterfall", waterfall, alt=f"Profit from {baseline} to {trained}, item by item."
                )
        pictures.items = _picture(
            "items", figures.items_figure(comparison), alt="Money earned and spent by item, a bar per policy."
        )
    pictures.products = _draw_products(run)
    return pictures


def _draw_speeds(run: RunRecord, pictures: _Pictures) -> None:
    if run.speeds is None:
        return
    pictures.speeds = _picture(
        "speeds",
        speed_figures.speeds_figure(run.speeds),
        alt="Learning rates and effective steps of every part, and ratios of step sizes, against updates.",
    )
    drift = speed_figures.drift_figure(run, run.speeds)
    if drift is not None:
        pictures.drift = _picture(
            "drift", drift, alt="KL divergence of each policy per update, and profit below, against updates."
        )


def _draw_products(run: RunRecord) -> list[Picture]:
    shown = {name: run.trajectories[name] for name in (run.trained, "silo") if name in run.trajectories}
    if not shown:
        shown = dict(list(run.trajectories.items())[:2])
    if not shown:
        return []
    first = next(iter(shown.values()))
    num_segments, num_products = first.exposure.shape[1:]
    labels: tuple[str, ...] = tuple(f"product_{i}" for i in range(num_products))
    weights = np.full(num_segments, 1.0 / num_segments)
    period_name = "period"
    if run.scenario is not None and run.scenario.products.count == num_products:
        labels, period_name = run.scenario.products.labels, run.scenario.period_name
        traffic = np.asarray(run.scenario.segments.traffic)
        weights = traffic / traffic.sum()
    return [
        _picture(
            f"episode_{rank}",
            episode.product_figure(
                shown, product=product, label=labels[product], weights=weights, period_name=period_name
            ),
            alt=f"Stock, demand, orders and exposure of {labels[product]} over one episode, a column per policy.",
        )
        for rank, product in enumerate(episode.busiest_products(shown, count=_NUM_PRODUCTS), start=1)
    ]


def _picture(name: str, figure: Figure, *, alt: str) -> Picture:
    return Picture(name=name, png=style.png(figure), alt=alt)


def _context(run: RunRecord, pictures: _Pictures) -> dict[str, Any]:
    comparison, scenario = run.comparison, run.scenario
    name = scenario.name if scenario else comparison.scenario if comparison else run.manifest.get("scenario")
    table = None
    note = ""
    if comparison is not None:
        header, rows = words.table(comparison)
        table = {"header": header, "rows": rows}
        note = (
            f"Means per episode over {comparison.episodes:,} episodes, {comparison.information} information; in "
            f"brackets {100 * comparison.confidence:g} % intervals, of differences paired on the same customers."
        )
    return {
        "title": f"Training on {name}" if name else f"Training run {run.directory.name}",
        "unfinished": _unfinished(run),
        "headline": words.headline(run),
        "figures": pictures,
        "trained": run.trained,
        "speeds": _speeds_context(run.speeds) if run.speeds else None,
        "table": table,
        "table_note": note,
        "episode_note": "The same customers under two policies, for the products most asked for. Stock is counted "
        "before the period's sales; exposure is the share of visitors who are shown the product.",
        "scenario": {
            "name": scenario.name,
            "description": scenario.description,
            "notice": _notice(scenario.provenance.get("notice")),
            "facts": words.scenario_facts(scenario),
            "assumptions": words.scenario_assumptions(scenario),
        }
        if scenario
        else None,
        "caveats": words.caveats(run),
        "making": words.making_facts(run),
    }


def _speeds_context(found: speeds.Speeds) -> dict[str, Any]:
    header, rows = speeds.table(found)
    return {
        "sentences": speeds.sentences(found),
        "remarks": speeds.remarks(found),
        "header": header,
        "rows": rows,
        "note": "From the run's first update to its last; of effective steps and KL divergences (nats), the medians "
        "of the first and of the last tenth. Far out: what the declared step size comes to after n updates. "
        "A budget's factor scales the step size so that the policy's drift keeps to its budget.",
    }


def _unfinished(run: RunRecord) -> str:
    if run.finished:
        return ""
    status = run.manifest.get("status")
    told = f"its status is “{status}”" if status else "its manifest does not say that it finished"
    return f"This run is not complete: {told}. The report shows what there is."


def _notice(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
