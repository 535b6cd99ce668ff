"""Figures of a study: profits with intervals, learning curves, profit against a factor."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from invrec_rllib.evaluation.robust import Interval
from invrec_rllib.report import style
from invrec_rllib.studies.curves import Curve
from invrec_rllib.studies.study import Study
from invrec_rllib.studies.tables import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (
    style.BLUE,
    style.VERMILION,
    style.GREEN,
    style.ORANGE,
    style.PURPLE,
    style.SKY,
    style.INK,
    style.GREY,
)
# The colours come again with other dashes.
_DASHES = ("-", "--", ":")
# A profit farther from the median than this many times the median distance, or interval, is put at the edge.
_FAR = 4.0


def intervals_figure(study: Study, lines: Sequence[Line], *, currency: str) -> Figure:
    """Profit of each line with its interval, and in percent how far it is from the baseline.

    What is so far off that the others could not be told apart beside it is an arrow at the edge.

    Args:
        study: whose lines.
        lines: of one condition.
        currency: unit of money.
    """
    ordered = sorted(lines, key=lambda line: line.profit.value)
    figure = style.new_figure(1.5 + 0.42 * len(ordered))
    axes = figure.subplots()
    low, high = _visible([line.profit for line in ordered])
    for place, line in enumerate(ordered):
        colour = style.BLUE if line.variant == study.baseline and line.chosen_from == 1 else style.INK
        if low <= line.profit.value <= high:
            _draw_interval(axes, line.profit, place=place, colour=colour)
        else:
            _draw_far(axes, line.profit.value, place=place, left=line.profit.value < low, limits=(low, high))
        if not math.isnan(percent := line.difference.percent.value):
            style.beside(axes, place, f"{style.signed(percent, 1)} %")
    base = next((line.profit.value for line in ordered if line.variant == study.baseline), None)
    if base is not None:
        axes.axvline(base, color=style.BLUE, linestyle=":", linewidth=1)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_yticks(range(len(ordered)), [textwrap.fill(line.label, 28) for line in ordered])
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"profit per episode, {currency}")
    _money(axes, "x", largest=high)
    axes.locator_params(axis="x", nbins=5)
    label = study.variants[study.baseline].label
    style.headline(
        figure,
        f"{_title(study, ordered)}Profit: interquartile mean over seeds, 95 % interval; at the right, in percent, "
        f"the difference to {label}",
    )
    return figure


def _draw_interval(axes: Axes, profit: Interval, *, place: int, colour: str) -> None:
    known = not math.isnan(profit.low)
    axes.errorbar(
        profit.value,
        place,
        xerr=[[profit.value - profit.low], [profit.high - profit.value]] if known else None,
        marker="o",
        markersize=6,
        capsize=4,
        linewidth=2,
        color=colour,
    )


def _visible(profits: Sequence[Interval]) -> tuple[float, float]:
    """Limits of the axis: of all intervals whose values are not far from the median."""
    values = np.array([profit.value for profit in profits])
    ends = np.array([(profit.low, profit.high) for profit in profits])
    ends = np.where(np.isnan(ends), values[:, None], ends)
    away = np.abs(values - np.median(values))
    near = away <= _FAR * max(np.median(away), np.median(ends[:, 1] - ends[:, 0]))
    low, high = float(ends[near, 0].min()), float(ends[near, 1].max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_far(axes: Axes, profit: float, *, place: int, left: bool, limits: tuple[float, float]) -> None:
    """An arrow at the edge that a profit lies beyond, with the profit beside it."""
    edge, marker, gap, side = (limits[0], "<", 10, "left") if left else (limits[1], ">", -10, "right")
    axes.plot(edge, place, marker=marker, markersize=8, color=style.INK, clip_on=False)
    axes.annotate(
        f"{profit:,.0f}",
        (edge, place),
        xytext=(gap, 0),
        textcoords="offset points",
        va="center",
        ha=side,
        fontsize=9,
    )


def curves_figure(study: Study, curves: Sequence[Curve], *, currency: str) -> Figure:
    """Evaluated profit against env steps, a line with a band per variant.

    Args:
        study: whose curves.
        curves: of one condition.
        currency: unit of money.
    """
    figure = style.new_figure(4.2 + 0.11 * len(curves))
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
        axes.plot(
            curve.env_steps,
            curve.profit,
            color=colour,
            linestyle=dashes,
            linewidth=1.8,
            label=curve.line.label,
        )
        axes.fill_between(curve.env_steps, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel("env steps (periods simulated)")
    axes.set_ylabel(f"profit per episode, evaluated\n({currency})")
    style.thousands(axes, "x")
    axes.locator_params(axis="x", nbins=5)
    _money(axes, "y", largest=max(float(curve.profit.max()) for curve in curves))
    title = _title(study, [curve.line for curve in curves])
    style.headline(figure, f"{title}Learning: interquartile mean over seeds, 95 % band")
    figure.legend(loc="outside lower left", ncols=2 if len(curves) > 1 else 1)
    return figure


def factors_figure(study: Study, lines: Sequence[Line], *, currencies: Mapping[str, str]) -> Figure | None:
    """Profit against the factor of variants, a line with a band per group, a panel per condition; None without factors.

    Args:
        study: whose lines.
        lines: of all conditions.
        currencies: unit of money by condition.
    """
    drawn = [
        line for line in lines if line.chosen_from == 1 and study.variants[line.variant].factor is not None
    ]
    conditions = [name for name in study.conditions if any(line.condition == name for line in drawn)]
    if not conditions:
        return None
    figure = style.new_figure(1.3 + 2.1 * len(conditions))
    panels = figure.subplots(len(conditions), 1, sharex=True, squeeze=False)[:, 0]
    groups = list(dict.fromkeys(study.variants[line.variant].group or "" for line in drawn))
    for axes, condition in zip(panels, conditions, strict=True):
        for number, group in enumerate(groups):
            here = [
                line
                for line in drawn
                if line.condition == condition and (study.variants[line.variant].group or "") == group
            ]
            label = (group or "profit") if condition == conditions[0] else None
            _draw_factors(axes, study, here, colour=_COLOURS[number % len(_COLOURS)], label=label)
        axes.set_title(study.conditions[condition].label)
        axes.set_ylabel(f"profit per episode\n({currencies[condition]})")
        _money(axes, "y", largest=max(line.profit.value for line in drawn))
    factors = sorted({study.variants[line.variant].factor or 1.0 for line in drawn})
    panels[-1].set_xscale("log")
    panels[-1].set_xticks(factors, [f"{factor:g}" for factor in factors])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel(study.factor_label)
    style.headline(figure, "Profit by factor: interquartile mean over seeds, 95 % band")
    if len(groups) > 1:
        figure.legend(loc="outside lower left", ncols=2)
    return figure


def _draw_factors(axes: Axes, study: Study, lines: Sequence[Line], *, colour: str, label: str | None) -> None:
    points = sorted(
        (study.variants[line.variant].factor or 1.0, line.profit.value, line.profit.low, line.profit.high)
        for line in lines
    )
    if points:
        factor, profit, low, high = np.array(points).T
        axes.plot(factor, profit, color=colour, linewidth=2, marker="o", markersize=5, label=label)
        axes.fill_between(factor, low, high, color=colour, alpha=0.18, linewidth=0)


def _money(axes: Axes, axis: str, *, largest: float) -> None:
    """Whole numbers with separators where money is large; small sums keep their digits."""
    if largest >= 10_000:
        style.thousands(axes, axis)


def _title(study: Study, lines: Sequence[Line]) -> str:
    """The condition's name before a title, where there are several."""
    return f"{study.conditions[lines[0].condition].label}\n" if len(study.conditions) > 1 else ""
