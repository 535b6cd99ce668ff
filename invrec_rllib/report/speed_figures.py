"""Figures of how fast the parts of a run learned: step sizes, movement, separation, drift beside profit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invrec_rllib.report import style
from invrec_rllib.report.figures import draw_curve
from invrec_rllib.report.run import RunRecord
from invrec_rllib.report.speeds import Speeds, Table, plain_name
from invrec_rllib.sim.params import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (style.GREEN, style.BLUE, style.ORANGE, style.PURPLE, style.VERMILION, style.SKY)


def speeds_figure(speeds: Speeds) -> Figure:
    """Learning rates and effective steps by part, and ratios of consecutive timescales, against updates."""
    figure = style.new_figure(6.4 if speeds.separations else 4.6)
    panels = figure.subplots(3 if speeds.separations else 2, 1, sharex=True)
    colours = _colours(speeds)
    for axes, column, title in (
        (panels[0], "learning_rate", "Learning rates, from fast to slow in the legend"),
        (panels[1], "effective_step", "Effective steps: change of a part's parameters per update"),
    ):
        for name, table in speeds.parts.items():
            label = plain_name(name) if column == "learning_rate" else None
            _draw(axes, table, column, label=label, colour=colours[name])
        axes.set_title(title)
        axes.set_ylabel("learning rate" if column == "learning_rate" else "relative to\ntheir norm")
        axes.set_yscale("log")
    if speeds.separations:
        for (slower, faster), table in speeds.separations.items():
            label = f"{plain_name(slower)} over {plain_name(faster)}"
            draw_curve(
                panels[2], table["iteration"], table["ratio"], label=label, colour=colours[slower], marker="s"
            )
        panels[2].set_title("Separation: step sizes, slower over faster")
        panels[2].set_ylabel("ratio")
        panels[2].legend(loc="best")
        panels[2].set_ylim(bottom=0)
    panels[0].legend(loc="best")
    _mark_updates(panels[-1])
    return figure


def drift_figure(run: RunRecord, speeds: Speeds) -> Figure | None:
    """KL divergence per update of each policy, and profit below; None where no policy was seen to move."""
    policies = speeds.policies
    if not policies:
        return None
    iterations = run.column("iteration")
    training, evaluated = run.column("profit_mean"), run.column("profit_eval_mean")
    with_profit = iterations is not None and (training is not None or evaluated is not None)
    figure = style.new_figure(4.6 if with_profit else 2.8)
    panels = figure.subplots(2 if with_profit else 1, 1, sharex=True, squeeze=False)[:, 0]
    colours = {name.partition("/")[0]: colour for name, colour in reversed(_colours(speeds).items())}
    for module, table in policies.items():
        _draw(panels[0], table, "kl_drift", label=module.replace("_", " "), colour=colours[module])
    panels[0].set_title("Drift: how far one update moves each policy")
    panels[0].set_ylabel("KL divergence\n(nats per update)")
    panels[0].set_yscale("log")
    panels[0].legend(loc="best")
    if with_profit and iterations is not None:
        draw_curve(panels[1], iterations, training, label="while training (explores)", colour=style.GREY)
        draw_curve(panels[1], iterations, evaluated, label="evaluated", colour=style.INK, marker="o")
        panels[1].set_title("Profit meanwhile")
        panels[1].set_ylabel(f"profit per episode\n({run.scenario.currency if run.scenario else 'money'})")
        style.thousands(panels[1], "y")
        panels[1].legend(loc="best")
    _mark_updates(panels[-1])
    return figure


def _colours(speeds: Speeds) -> dict[str, str]:
    return {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(speeds.parts)}


def _draw(axes: Axes, table: Table, column: str, *, label: str | None, colour: str) -> None:
    draw_curve(axes, table["iteration"], _positive(table[column]), label=label, colour=colour, marker=".")


def _positive(values: FloatArray) -> FloatArray:
    """Without what a logarithmic axis cannot show: a part that stands still."""
    return np.where(values > 0, values, np.nan)


def _mark_updates(axes: Axes) -> None:
    axes.set_xlabel("update (one per iteration)")
    axes.locator_params(axis="x", integer=True)
    style.thousands(axes, "x")
