"""An experiment's findings as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invrec_rllib.report import style
from invrec_rllib.reproduction.experiment import Experiment
from invrec_rllib.reproduction.findings import Finding
from invrec_rllib.reproduction.scores import BOUND
from invrec_rllib.reproduction.tables import percent_over

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY, style.ORANGE)


def findings_figure(experiment: Experiment, findings: Sequence[Finding]) -> Figure:
    """Profit over everything that pairs are held against, in percent: a panel for every condition.

    Thick lines are intervals over seeds, thin ones over episodes.

    Args:
        experiment: that was made.
        findings: its own.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    ways = experiment.ways
    colours = dict(zip(ways.variants, _COLOURS * len(ways.variants), strict=False))
    rows = {name: [found for found in findings if found.condition == name] for name in ways.conditions}
    heights = [0.9 + 0.3 * sum(len(found.profit_over) for found in those) for those in rows.values()]
    with style.style():
        figure = style.new_figure(0.8 + sum(heights))
        panels = figure.subplots(len(rows), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, those) in zip(panels, rows.items(), strict=True):
            _draw(axes, those, colours=colours)
            if len(rows) > 1:
                axes.set_title(ways.conditions[name].label)
        panels[-1].set_xlabel("profit over the other, %")
        style.headline(
            figure,
            "Profit over others on the same episodes: interquartile mean over seeds, 95 % intervals over seeds "
            "(thick) and episodes (thin)",
        )
    return figure


def _draw(axes: Axes, findings: Sequence[Finding], *, colours: dict[str, str]) -> None:
    lines = [(found, other) for found in findings for other in found.profit_over]
    for place, (found, other) in enumerate(reversed(lines)):
        ratio, colour = found.profit_over[other], colours[found.variant]
        over = percent_over(ratio)
        axes.hlines(
            place,
            100 * (ratio.episodes_low - 1),
            100 * (ratio.episodes_high - 1),
            color=colour,
            linewidth=1.2,
        )
        if over.low == over.low:  # one seed has no interval
            axes.hlines(place, over.low, over.high, color=colour, linewidth=4, alpha=0.5)
        axes.plot(over.value, place, marker="o", markersize=5, color=colour)
        style.beside(axes, place, f"{style.signed(over.value, 2)} %", fontsize=9)
    axes.axvline(0.0, color=style.GREY, linewidth=1)
    several = len({found.variant for found in findings}) > 1
    axes.set_yticks(
        range(len(lines)), [_label(found, other, several=several) for found, other in reversed(lines)]
    )
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _label(found: Finding, other: str, *, several: bool) -> str:
    against = f"the upper {BOUND}" if other == BOUND else other
    return f"{found.label} over {against}" if several else f"over {against}"
