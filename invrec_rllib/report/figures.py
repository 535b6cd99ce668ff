"""Figures of a training run: learning, profit by item, differences to the baselines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from invrec_rllib.evaluation.comparison import Comparison, Row
from invrec_rllib.report import style
from invrec_rllib.report.run import RunRecord
from invrec_rllib.sim.params import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Item of the economics, its label, its sign in profit, its colour; the two stock purchases are one bar.
_ITEMS: tuple[tuple[tuple[str, ...], str, int, str], ...] = (
    (("revenue",), "revenue", 1, style.GREEN),
    (("salvage",), "salvage of what is left", 1, style.SKY),
    (("purchase_cost", "initial_stock_cost"), "purchases, initial stock", -1, style.ORANGE),
    (("holding_cost",), "holding", -1, style.PURPLE),
    (("stockout_cost",), "lost sales penalty", -1, style.VERMILION),
    (("overflow_cost",), "storage overflow", -1, style.YELLOW),
    (("order_cost",), "fixed order costs", -1, style.GREY),
    (("exposure_cost",), "exposure", -1, style.INK),
)


def learning_figure(run: RunRecord) -> Figure | None:
    """Profit against env steps with the baselines' level, and the fill rate below; None without data."""
    steps = run.column("env_steps")
    training, evaluated = run.column("profit_mean"), run.column("profit_eval_mean")
    if steps is None or (training is None and evaluated is None):
        return None
    fill_rate = run.column("fill_rate")
    heights = [2, 1] if fill_rate is not None else [1]
    figure = style.new_figure(5.6 if fill_rate is not None else 3.8)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    currency = run.scenario.currency if run.scenario else "money"
    draw_curve(panels[0], steps, training, label="while training (explores)", colour=style.SKY)
    draw_curve(panels[0], steps, evaluated, label="evaluated", colour=style.BLUE, marker="o")
    curve = training if evaluated is None else evaluated
    assert curve is not None
    panels[0].set_title(f"Profit per episode {_course(curve, '{:,.0f}')}")
    panels[0].set_ylabel(f"profit per episode\n({currency})")
    style.thousands(panels[0], "y")
    if fill_rate is not None:
        draw_curve(panels[1], steps, fill_rate, label=None, colour=style.SKY)
        panels[1].set_title(f"Fill rate {_course(fill_rate, '{:.1%}')}")
        panels[1].set_ylabel("demand served\nat once")
        style.percent(panels[1], "y")
    _draw_baselines(run, panels[0], panels[1] if fill_rate is not None else None)
    panels[-1].set_xlabel("env steps (periods simulated)")
    style.thousands(panels[-1], "x")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def draw_curve(
    axes: Axes,
    steps: FloatArray,
    values: FloatArray | None,
    *,
    label: str | None,
    colour: str,
    marker: str = "",
) -> None:
    """A line through what is known; None: no line. Where there are few values, each is marked."""
    if values is None:
        return
    known = np.isfinite(values) & np.isfinite(steps)
    few = np.count_nonzero(known) < 40
    axes.plot(
        steps[known],
        values[known],
        color=colour,
        linewidth=2,
        marker=marker if few else "",
        markersize=4,
        label=label,
    )


def _draw_baselines(run: RunRecord, profit_axes: Axes, fill_axes: Axes | None) -> None:
    if run.comparison is None:
        return
    colours = style.policy_colours(run.comparison.policies, trained=run.trained)
    for row in run.comparison.rows:
        if row.policy == run.trained or row.policy not in ("silo", "traditional", *run.comparison.baselines):
            continue
        dashes = "--" if row.policy == "silo" else ":"
        profit_axes.axhline(
            row.profit.mean, color=colours[row.policy], linestyle=dashes, linewidth=2, label=row.policy
        )
        if fill_axes is not None:
            fill_axes.axhline(
                row.metrics["fill_rate"].mean, color=colours[row.policy], linestyle=dashes, linewidth=2
            )


def _course(values: FloatArray, number: str) -> str:
    known = values[np.isfinite(values)]
    if len(known) == 1:
        return number.format(known[0])
    return f"from {number.format(known[0])} to {number.format(known[-1])}"


def items_figure(comparison: Comparison) -> Figure:
    """Money earned and spent by item, a bar per policy, the profit marked."""
    rows = sorted(comparison.rows, key=lambda row: row.profit.mean)
    figure = style.new_figure(1.9 + 0.42 * len(rows))
    axes = figure.subplots()
    height = np.arange(len(rows))
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for items, label, sign, colour in _ITEMS:
        amount = np.array([sum(row.economics[item] for item in items) for row in rows])
        if not amount.any():
            continue
        start = right if sign > 0 else left
        axes.barh(height, sign * amount, left=start, height=0.62, color=colour, label=label)
        start += sign * amount
    profit = [row.profit.mean for row in rows]
    axes.plot(
        profit,
        height,
        linestyle="",
        marker="D",
        markersize=6,
        color="white",
        markeredgecolor=style.INK,
        label="profit",
    )
    for money, row in zip(profit, height, strict=True):
        _note(axes, f"{money:,.0f}", at=(money, float(row)), gap=7)
    axes.axvline(0.0, color=style.INK, linewidth=0.8)
    axes.set_yticks(height, [row.policy for row in rows])
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{comparison.currency} per episode, costs to the left")
    style.thousands(axes, "x")
    axes.locator_params(axis="x", nbins=6)
    style.headline(figure, f"Profit by item: {rows[-1].policy} earns most, {profit[-1]:,.0f} per episode")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def waterfall_figure(comparison: Comparison, *, trained: str, baseline: str) -> Figure:
    """From the baseline's profit to the trained pair's, item by item."""
    first, last = comparison.row(baseline), comparison.row(trained)
    labels, changes = [], []
    for items, label, sign, _ in _ITEMS:
        change = sign * sum(last.economics[item] - first.economics[item] for item in items)
        if any(row.economics[item] for row in (first, last) for item in items):
            labels.append(label)
            changes.append(change)
    figure = style.new_figure(1.4 + 0.36 * (len(labels) + 2))
    axes = figure.subplots()
    edges = first.profit.mean + np.concatenate(([0.0], np.cumsum(changes)))
    low = min(edges.min(), last.profit.mean)
    high = max(edges.max(), last.profit.mean)
    # Changes are small beside the profits: the axis starts near them, so the totals are marks, not bars.
    axes.set_xlim(low - 0.12 * (high - low), high + 0.22 * (high - low))
    colours = [style.BLUE if change >= 0 else style.VERMILION for change in changes]
    rows = np.arange(1, len(labels) + 1)
    axes.barh(rows, changes, left=edges[:-1], height=0.62, color=colours)
    for row, change, edge in zip(rows, changes, np.maximum(edges[:-1], edges[1:]), strict=True):
        _note(axes, style.signed(change), at=(float(edge), float(row)), gap=4)
    for place, total in ((0, first.profit.mean), (len(labels) + 1, last.profit.mean)):
        axes.plot(total, place, marker="D", markersize=7, color=style.INK)
        _note(axes, f"{total:,.0f}", at=(total, place), gap=8)
    axes.set_yticks(np.arange(len(labels) + 2), [f"profit, {baseline}", *labels, f"profit, {trained}"])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{comparison.currency} per episode (axis does not start at 0)")
    style.thousands(axes, "x")
    axes.locator_params(axis="x", nbins=5)
    largest = int(np.argmax(np.abs(changes)))
    style.headline(
        figure,
        f"From {baseline} to {trained}: {style.signed(sum(changes))} per episode; the largest change is "
        f"{labels[largest]}, {style.signed(changes[largest])}",
    )
    return figure


def differences_figure(comparison: Comparison, *, trained: str | None, baseline: str) -> Figure | None:
    """Paired profit differences to a baseline in percent, with intervals; None where there are none.

    The random policy stays in the table alone: drawn, it would leave no room between the others.
    """
    rows = [
        row for row in comparison.rows if not math.isnan(_percent(row, baseline)) and row.policy != "random"
    ]
    rows.sort(key=lambda row: _percent(row, baseline))
    if not rows:
        return None
    colours = style.policy_colours(comparison.policies, trained=trained)
    figure = style.new_figure(1.3 + 0.34 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        percent = row.differences[baseline]["profit"].percent
        spread = [[percent.mean - percent.low], [percent.high - percent.mean]]
        axes.errorbar(
            percent.mean,
            place,
            xerr=None if math.isnan(percent.low) else spread,
            marker="o",
            markersize=7,
            capsize=4,
            linewidth=2,
            color=colours[row.policy],
        )
        style.beside(axes, place, f"{style.signed(percent.mean, 1)} %")
    axes.axvline(0.0, color=style.INK, linewidth=1)
    axes.set_yticks(range(len(rows)), [row.policy for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"profit over {baseline}, % (bars: {100 * comparison.confidence:g} % interval)")
    style.headline(figure, f"Profit over {baseline}, paired over {comparison.episodes:,} episodes")
    return figure


def _note(axes: Axes, text: str, *, at: tuple[float, float], gap: float) -> None:
    axes.annotate(text, at, xytext=(gap, 0), textcoords="offset points", va="center", fontsize=9)


def _percent(row: Row, baseline: str) -> float:
    difference = row.differences.get(baseline)
    return difference["profit"].percent.mean if difference else math.nan
