"""One episode product by product: what two policies did with the same customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from invrec_rllib.evaluation.trajectories import Trajectory
from invrec_rllib.report import style
from invrec_rllib.sim.params import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def busiest_products(trajectories: Mapping[str, Trajectory], *, count: int) -> list[int]:
    """The products most asked for over all policies, most first."""
    demand = np.sum([trajectory.demand.sum(axis=0) for trajectory in trajectories.values()], axis=0)
    return [int(product) for product in np.argsort(-demand, kind="stable")[:count]]


def product_figure(
    trajectories: Mapping[str, Trajectory], *, product: int, label: str, weights: FloatArray, period_name: str
) -> Figure:
    """Stock with demand, orders, and exposure of a product over an episode, a column per policy.

    Args:
        trajectories: by policy, of one world and episode.
        product: index.
        label: name of the product.
        weights: share of each segment in all visitors, (M,).
        period_name: what a period is.
    """
    figure = style.new_figure(4.7)
    panels = figure.subplots(
        3, len(trajectories), sharex=True, sharey="row", squeeze=False, height_ratios=[2.2, 1, 1]
    )
    unserved = []
    for column, (policy, trajectory) in enumerate(trajectories.items()):
        stock, orders, exposure = panels[:, column]
        lost = trajectory.demand[:, product] - np.minimum(trajectory.sales, trajectory.demand)[:, product]
        unserved.append(f"{policy} {int(lost.sum()):,}")
        _draw_stock(stock, trajectory, product=product, lost=lost, first=column == 0)
        periods = np.arange(len(lost))
        orders.fill_between(periods, trajectory.order[:, product], step="mid", color=style.GREEN, linewidth=0)
        orders.set_ylim(bottom=0)
        shown = (trajectory.exposure[:, :, product] * weights).sum(axis=1)
        exposure.fill_between(periods, shown, step="mid", color=style.PURPLE, linewidth=0)
        exposure.set_ylim(0.0, 1.0)
        style.percent(exposure, "y")
        exposure.set_xlabel(period_name)
        stock.set_title(policy)
    for row, text in enumerate(("units", "units\nordered", "visitors\nshown it")):
        panels[row, 0].set_ylabel(text)
    figure.align_ylabels(panels[:, 0])
    style.headline(figure, f"{label}\nUnits not served: {', '.join(unserved)}")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def _draw_stock(axes: Axes, trajectory: Trajectory, *, product: int, lost: IntArray, first: bool) -> None:
    periods = np.arange(len(lost))
    demand = trajectory.demand[:, product]
    axes.fill_between(
        periods,
        trajectory.on_hand[:, product],
        step="mid",
        color=style.SKY,
        alpha=0.55,
        linewidth=0,
        label="stock before sales" if first else None,
    )
    axes.plot(periods, demand, color=style.INK, linewidth=1.1, label="demand" if first else None)
    short = lost > 0
    # Bars hang from demand down to what was served.
    axes.bar(
        periods[short],
        lost[short],
        bottom=(demand - lost)[short],
        width=1.0,
        color=style.VERMILION,
        edgecolor=style.VERMILION,
        linewidth=0.3,
        label="demand not served" if first else None,
    )
    axes.set_ylim(bottom=0)
