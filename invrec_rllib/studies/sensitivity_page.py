"""The report of a sensitivity analysis: one HTML page, its figure, its tables."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.comparison import percent_text
from invrec_rllib.evaluation.worth_tables import to_latex, to_markdown
from invrec_rllib.report import style
from invrec_rllib.report.document import PAGE_NAME, Picture, render, write_page
from invrec_rllib.report.words import scenario_facts
from invrec_rllib.scenario.files import load_scenario, write_text_atomically
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.scenario.variations import FACTORS
from invrec_rllib.studies.sensitivity import BASELINES, ORDER_RULE, Settings
from invrec_rllib.studies.sensitivity_folder import SensitivityDir
from invrec_rllib.studies.sensitivity_tables import Line, level_text, make_lines, make_tables, to_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 2
_COLOURS = {
    "silo": style.ORANGE,
    "silo_best": style.BLUE,
    "sequential": style.SKY,
    "traditional": style.GREEN,
    ORDER_RULE: style.INK,
}
_MARKERS = dict(zip(_COLOURS, "osD^v", strict=True))


def write_sensitivity_report(
    folder: SensitivityDir,
    *,
    levels: Mapping[str, Sequence[float]],
    baselines: Sequence[str],
    page: bool = True,
) -> list[Path]:
    """Write tables, and a page with its figure unless that is not wanted, into ``report`` in the folder.

    Args:
        folder: of the analysis; an older report in it is replaced.
        levels: by factor, those that are shown.
        baselines: those that are shown.
        page: whether to draw the figure, as PNG and SVG, and write the page.

    Returns:
        The files; the page is the first, where there is one.

    Raises:
        InputError: no point has been played yet.
        MissingExtraError: matplotlib or jinja2 is not installed, and a page is wanted.
    """
    scenario, settings = load_scenario(folder.scenario_file), folder.settings()
    lines = make_lines(scenario, folder.rows(), levels=levels, baselines=baselines)
    if not lines:
        raise InputError(f"{folder.path} holds no point with {', '.join(baselines)} yet")
    out, tables, note = folder.path / "report", make_tables(lines), explanation(settings)
    written = []
    if page:
        with style.style():
            figure = sensitivity_figure(lines)
            picture = Picture(
                "sensitivity", style.png(figure), alt="Value of coordination, a panel per factor."
            )
            context = _context(scenario, settings, lines) | {
                "figure": picture,
                "tables": tables,
                "explanation": note,
            }
            template = (resources.files("invrec_rllib.studies") / "sensitivity.html").read_text("utf-8")
            written.append(write_page(out / PAGE_NAME, render(template, context), pictures=[picture]))
            write_text_atomically(out / "sensitivity.svg", _svg(figure))
            written.append(out / "sensitivity.svg")
    texts = {
        "sensitivity.csv": to_csv(lines),
        "sensitivity.md": to_markdown(tables, note=note),
        "sensitivity.tex": to_latex(tables, note=note),
    }
    for name, text in texts.items():
        write_text_atomically(out / name, text)
        written.append(out / name)
    return written


def _context(scenario: Scenario, settings: Settings, lines: Sequence[Line]) -> dict[str, Any]:
    seeds = sorted({line.seeds for line in lines})
    played = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return {
        "title": f"What drives the value of coordination in {scenario.name}",
        "headline": headline(lines),
        "making": [
            ("Seeds of episodes", f"{played} from {settings.seed} on, {settings.episodes:,} episodes each"),
            ("Information", settings.information),
            *scenario_facts(scenario),
        ],
    }


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "invrec-rllib"})
    return stream.getvalue()


def headline(lines: Sequence[Line]) -> list[str]:
    """Per baseline what the pair gains at the base, and the factor that moves it most, in sentences."""
    sentences = []
    for baseline in dict.fromkeys(line.baseline for line in lines):
        here = [line for line in lines if line.baseline == baseline]
        base = next((line for line in here if line.at_base), None)
        text = f"Over {BASELINES[baseline]} the coordinated heuristic earns "
        text += "an unknown amount at the base" if base is None else percent_text(base.profit.percent)
        spans = {
            factor: [line.profit.percent.mean for line in here if line.factor == factor]
            for factor in dict.fromkeys(line.factor for line in here)
        }
        widest = max(spans, key=lambda factor: max(spans[factor]) - min(spans[factor]))
        low, high = min(spans[widest]), max(spans[widest])
        sentences.append(
            f"{text} at the base; {widest.replace('_', ' ')} moves that most: from {low:+.1f} to {high:+.1f} %."
        )
    return sentences


def explanation(settings: Settings) -> str:
    """What the numbers are, and what parameters they were found with."""
    text = (
        "Profit of the coordinated heuristic over each baseline, percent of the baseline's, on the same episodes; "
        "95 % intervals over the means of seeds. One factor changes at a time, all else stays at the base. "
    )
    if settings.tune_budget:
        text += (
            "The parameters of the heuristic and of tuned silos were searched for at every point, the base among "
            f"them, with {settings.tune_budget:,} episodes each. "
        )
    else:
        text += (
            "All parameters are those by formula, at the base too: none were tuned to the worlds of this grid, and "
            "those that ship for the base alone are left aside. What tuning adds to either side is not in these "
            "numbers, and a silo whose orders are tuned would be a stronger one. "
        )
    return text + (
        f"{BASELINES[ORDER_RULE].capitalize()}: the heuristic's orders and parameters with the silo's slates; what it "
        "earns beyond that is the value of telling alone, and 0 where there is nothing to tell."
    )


def sensitivity_figure(lines: Sequence[Line]) -> Figure:
    """Small multiples: profit over each baseline against a factor's level, levels evenly spaced, the base marked."""
    factors = list(dict.fromkeys(line.factor for line in lines))
    rows = -(-len(factors) // _COLUMNS)
    figure = style.new_figure(1.1 + 1.9 * rows)
    panels = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, factor in zip(panels, factors, strict=False):
        _draw(axes, [line for line in lines if line.factor == factor], FACTORS[factor].label)
    for axes in panels[len(factors) :]:
        axes.set_axis_off()
    for axes in panels[::_COLUMNS]:
        axes.set_ylabel("profit over, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    style.headline(figure, "Value of coordination as the world changes, one factor at a time")
    return figure


def _draw(axes: Axes, lines: Sequence[Line], label: str) -> None:
    levels = list(dict.fromkeys((line.value, line.at_base) for line in lines))
    place = {value: k for k, (value, _) in enumerate(levels)}
    for k, (_, at_base) in enumerate(levels):
        if at_base:
            axes.axvspan(k - 0.3, k + 0.3, color="#EEEEEE", linewidth=0)
    baselines = list(dict.fromkeys(line.baseline for line in lines))
    for k, baseline in enumerate(baselines):
        here = [line for line in lines if line.baseline == baseline]
        means = [line.profit.percent.mean for line in here]
        below = [line.profit.percent.mean - line.profit.percent.low for line in here]
        above = [line.profit.percent.high - line.profit.percent.mean for line in here]
        # Side by side, so that intervals do not hide each other.
        shift = 0.08 * (k - 0.5 * (len(baselines) - 1))
        axes.errorbar(
            [place[line.value] + shift for line in here],
            means,
            yerr=None if any(map(math.isnan, below)) else [below, above],
            color=_COLOURS[baseline],
            marker=_MARKERS[baseline],
            markersize=4,
            linewidth=1.3,
            capsize=2,
            label=BASELINES[baseline],
        )
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    texts = [level_text(value, at_base=at_base).replace(" ", "\n") for value, at_base in levels]
    axes.set_xticks(range(len(levels)), texts, fontsize=8)
    axes.set_xlabel(label, fontsize=9)
