"""Figures of a sweep: profit against each searched key, learning curves by trial, importance of keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from invrec_rllib.report import style
from invrec_rllib.tuning.dimension import Dimension
from invrec_rllib.tuning.importance import Importance
from invrec_rllib.tuning.results import FINISHED, Configuration, TrialRow, group
from invrec_rllib.tuning.sweep import Sweep, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY)
# Numbers whose largest is so many times the smallest are drawn on a logarithmic axis.
_WIDE = 8.0
_STEP_ASIDE = 0.07


def slice_figure(sweep: Sweep, key: str, rows: Sequence[TrialRow], *, currency: str) -> Figure:
    """Profit against a searched key: a dot per trial, and means with their spread.

    A listed key has a mean per value, a line for each value of the other key where there is but one other, listed too;
    a drawn one has a mean per configuration over its seeds. Spread is a standard deviation.

    Args:
        sweep: whose key.
        key: searched.
        rows: of trials in one world.
        currency: unit of money.
    """
    dimension, known = sweep.space[key], [row for row in rows if not math.isnan(row.profit)]
    figure = style.new_figure(3.4)
    axes = figure.subplots()
    if dimension.values is None:
        _draw_drawn(axes, key, known, log=dimension.is_log)
    else:
        _draw_listed(axes, sweep, key, known)
    axes.set_xlabel(key)
    axes.set_ylabel(f"profit per episode, evaluated\n({currency})")
    if known and max(abs(row.profit) for row in known) >= 10_000:
        style.thousands(axes, "y")
    style.headline(figure, f"Profit against {key}: trials, and means with a standard deviation")
    return figure


def _draw_drawn(axes: Axes, key: str, rows: Sequence[TrialRow], *, log: bool) -> None:
    for finished, colour, label in (
        (True, style.BLUE, "finished"),
        (False, style.GREY, "stopped early or unfinished"),
    ):
        shown = [c for c in group(rows) if all(row.status == FINISHED for row in c.trials) == finished]
        if not shown:
            continue
        x = [configuration.values[key] for configuration in shown]
        spread = None if all(math.isnan(c.spread) for c in shown) else [c.spread for c in shown]
        axes.errorbar(
            x,
            [c.mean for c in shown],
            yerr=spread,
            fmt="o",
            color=colour,
            markersize=5,
            capsize=3,
            label=label,
        )
    if log:
        axes.set_xscale("log")
    if any(row.status != FINISHED for row in rows):
        axes.legend(loc="best")


def _draw_listed(axes: Axes, sweep: Sweep, key: str, rows: Sequence[TrialRow]) -> None:
    options = sweep.space[key].values or []
    numbers = as_numbers(options)
    places = numbers if numbers is not None else [float(place) for place in range(len(options))]
    other, lines = _other(sweep, key)
    for number, line in enumerate(lines):
        kept = [row for row in rows if other is None or row.configuration[other] == line]
        profits = [[row.profit for row in kept if row.configuration[key] == option] for option in options]
        # Values without a scale have room for their lines side by side.
        beside = 0.0 if numbers is not None else _STEP_ASIDE * (number - (len(lines) - 1) / 2)
        filled = [(x + beside, np.array(found)) for x, found in zip(places, profits, strict=True) if found]
        if not filled:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        for place, found in filled:
            axes.plot([place] * len(found), found, "o", color=colour, markersize=3, alpha=0.45)
        axes.errorbar(
            [place for place, _ in filled],
            [found.mean() for _, found in filled],
            yerr=[found.std(ddof=1) if len(found) > 1 else math.nan for _, found in filled],
            color=colour,
            marker="o",
            markersize=6,
            capsize=4,
            linewidth=1.8 if numbers is not None else 0,
            elinewidth=1.4,
            label=None if other is None else f"{other} = {line}",
        )
    if numbers is not None and min(numbers) > 0 and max(numbers) >= _WIDE * min(numbers):
        axes.set_xscale("log")
    axes.set_xticks(places, [str(option) for option in options])
    axes.minorticks_off()
    if other is not None:
        axes.legend(loc="best")


def as_numbers(options: Sequence[Any]) -> list[float] | None:
    """Values or labels as numbers; None where one is none."""
    try:
        return [float(option) for option in options if not isinstance(option, bool)] or None
    except (TypeError, ValueError):
        return None


def _other(sweep: Sweep, key: str) -> tuple[str | None, list[Any]]:
    """The one other listed key, whose values get lines of their own; scenarios have figures of their own."""
    others: list[tuple[str, Dimension]] = [
        (name, dimension) for name, dimension in sweep.space.items() if name not in (key, "scenario")
    ]
    if len(others) == 1 and 1 < len(others[0][1].values or ()) <= len(_COLOURS):
        return others[0][0], others[0][1].values or []
    return None, [None]


def curves_figure(rows: Sequence[TrialRow], *, best: Configuration | None, currency: str) -> Figure:
    """Evaluated profit against env steps, a line per trial; those of the best configuration stand out."""
    figure = style.new_figure(3.8)
    axes = figure.subplots()
    chosen = {trial.trial for trial in best.trials} if best else set()
    for row in sorted(rows, key=lambda row: row.trial in chosen):
        if row.curve:
            steps, profit = zip(*row.curve, strict=True)
            is_best = row.trial in chosen
            axes.plot(
                steps,
                profit,
                color=style.BLUE if is_best else style.GREY,
                linewidth=2.0 if is_best else 0.9,
                alpha=1.0 if is_best else 0.6,
                marker="o" if len(row.curve) == 1 else None,
                markersize=3,
            )
    axes.set_xlabel("env steps (periods simulated)")
    axes.set_ylabel(f"profit per episode, evaluated\n({currency})")
    style.thousands(axes, "x")
    axes.locator_params(axis="x", nbins=5)
    if any(abs(profit) >= 10_000 for row in rows for _, profit in row.curve):
        style.thousands(axes, "y")
    named = f"; blue: {describe(best.values) or 'the configuration'}" if best else ""
    style.headline(figure, f"Learning, a line per trial{named}")
    return figure


def importance_figure(found: Sequence[Importance]) -> Figure:
    """The share of the variance of profit's ranks that each key explains alone."""
    figure = style.new_figure(1.2 + 0.4 * len(found))
    axes = figure.subplots()
    ordered = list(reversed(found))
    axes.barh([one.key for one in ordered], [one.share for one in ordered], color=style.BLUE, height=0.6)
    for place, one in enumerate(ordered):
        sign = "" if math.isnan(one.direction) else f", {'rising' if one.direction > 0 else 'falling'}"
        style.beside(axes, place, f"{100 * one.share:.0f} %{sign}, p = {one.p_value:.2g}", fontsize=9)
    axes.set_xlim(0, 1)
    style.percent(axes, "x")
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    style.headline(figure, "Share of the variance of profit's ranks that each key explains alone")
    return figure
