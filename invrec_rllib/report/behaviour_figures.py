"""Figures of how policies react: signs side by side, response surfaces, the date, orders against later exposures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from invrec_rllib.evaluation.behaviour import Behaviour, EffectTest, PolicyBehaviour, Surface
from invrec_rllib.evaluation.behaviour.surfaces import Across
from invrec_rllib.evaluation.behaviour.tables import effect_names, size_text, title_of
from invrec_rllib.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS: dict[Across, tuple[str, str]] = {
    "others": ("stock of all others\n(periods of demand)", "that of the others"),
    "delivery": ("units that arrive\nnext period", "the next delivery"),
}
_DARK, _PALE = 0.55, 0.25


def signs_figure(found: Behaviour) -> Figure:
    """Effects by policies: the size in every cell, the colour says whether the optimum's sign holds."""
    names, policies = effect_names(found), found.all
    figure = style.new_figure(1.9 + 0.31 * len(names))
    axes = figure.subplots()
    labels = {}
    for column, policy in enumerate(policies):
        for test in policy.tests:
            row = names.index(test.name)
            labels[row] = test.label
            axes.barh(row, 0.94, left=column - 0.47, height=0.88, color=_colour(test), alpha=_alpha(test))
            axes.text(column, row, size_text(test), ha="center", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [labels[row] for row in range(len(names))], fontsize=8)
    titles = [textwrap.fill(title_of(policy, found), 13) for policy in policies]
    axes.set_xticks(range(len(policies)), titles, fontsize=8)
    axes.xaxis.tick_top()
    axes.set_xlim(-0.5, len(policies) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    style.headline(figure, "What one change does, and whether the sign is the optimum's")
    shown = (
        (style.BLUE, _DARK, "the optimum's sign"),
        (style.VERMILION, _DARK, "the opposite"),
        (style.GREY, _PALE, "not significant, or no sign to hold"),
    )
    handles = [axes.barh(-5, 0.0, color=colour, alpha=alpha, label=label) for colour, alpha, label in shown]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _colour(test: EffectTest) -> str:
    wanted = test.expected or test.sign
    if not wanted:
        return style.GREY
    if test.holds is not False and test.sign == wanted:
        return style.BLUE
    against = test.size.high < 0.0 if wanted > 0 else test.size.low > 0.0
    return style.VERMILION if against else style.GREY


def _alpha(test: EffectTest) -> float:
    return _PALE if _colour(test) == style.GREY else _DARK


def surface_figure(found: Behaviour, across: Across) -> Figure | None:
    """Exposure and order of one product by its stock and another quantity, a row per policy; None without any."""
    drawn = [(policy, surface) for policy in found.all if (surface := _find(policy, across)) is not None]
    if not drawn:
        return None
    figure = style.new_figure(0.9 + 1.95 * len(drawn))
    panels = figure.subplots(len(drawn), 2, squeeze=False)
    for (policy, surface), (left, right) in zip(drawn, panels, strict=True):
        alike = [other for who, other in drawn if who.scenario == policy.scenario]
        _heat(
            figure, left, surface, surface.exposure, most=max(s.exposure.max() for s in alike), map_="Blues"
        )
        _heat(figure, right, surface, surface.order, most=max(s.order.max() for s in alike), map_="Oranges")
        name = title_of(policy, found)
        left.set_title(f"{name}: exposure", fontsize=10)
        right.set_title(f"{name}: order, units", fontsize=10)
        left.set_ylabel(_ACROSS[across][0], fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("own stock (units)")
    for axes in panels.flat:
        style.whole_numbers(axes, "x")
        style.whole_numbers(axes, "y")
    style.headline(figure, f"One product by its own stock and {_ACROSS[across][1]}")
    return figure


def _heat(
    figure: Figure, axes: Axes, surface: Surface, values: np.ndarray, *, most: float, map_: str
) -> None:
    mesh = axes.pcolormesh(
        surface.stock, surface.values, values, shading="nearest", cmap=map_, vmin=0.0, vmax=max(most, 1e-9)
    )
    axes.grid(visible=False)
    figure.colorbar(mesh, ax=axes, fraction=0.06, pad=0.02)


def date_figure(found: Behaviour) -> Figure | None:
    """Exposure and order of one product where the date alone is moved, a line per policy; None without any."""
    drawn = [(policy, surface) for policy in found.all if (surface := _find(policy, "date")) is not None]
    if not drawn:
        return None
    worlds = list(dict.fromkeys(policy.scenario for policy, _ in drawn))
    figure = style.new_figure(1.0 + 2.3 * len(worlds))
    panels = figure.subplots(len(worlds), 2, squeeze=False)
    colours = _colours(found)
    for world, (left, right) in zip(worlds, panels, strict=True):
        for policy, surface in drawn:
            if policy.scenario != world:
                continue
            name = title_of(policy, found)
            for axes, values in ((left, surface.exposure), (right, surface.order)):
                axes.plot(surface.values, values, color=colours[policy.policy], linewidth=2, label=name)
        for axes in (left, right):
            axes.set_ylim(bottom=0.0)
        left.set_title(f"{world}: exposure", fontsize=10)
        right.set_title(f"{world}: order, units", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("date (period)")
    style.headline(figure, "One product with the date alone moved")
    _legend(figure, [axes for row in panels for axes in row[:1]])
    return figure


def correlogram_figure(found: Behaviour) -> Figure | None:
    """Correlation of orders with exposures before and after, a line with a band per policy; None without any."""
    drawn = [policy for policy in found.all if policy.correlogram]
    if not drawn:
        return None
    figure = style.new_figure(3.9)
    axes = figure.subplots()
    colours = _colours(found)
    for policy in drawn:
        lags = np.array(list(policy.correlogram))
        mean, low, high = (
            np.array([getattr(value, name) for value in policy.correlogram.values()])
            for name in ("mean", "low", "high")
        )
        if np.isnan(mean).all():
            continue
        colour = colours[policy.policy]
        axes.fill_between(lags, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            lags, mean, color=colour, linewidth=2, marker="o", markersize=4, label=title_of(policy, found)
        )
    axes.axhline(0.0, color=style.INK, linewidth=1)
    axes.axvline(0.0, color=style.GREY, linewidth=1, linestyle=":")
    axes.set_xlabel("periods from a product's order to its exposure")
    axes.set_ylabel("correlation within episodes")
    style.headline(figure, "Exposures before (left) and after (right) a product's orders")
    _legend(figure, [axes])
    return figure


def _find(policy: PolicyBehaviour, across: Across) -> Surface | None:
    return next((surface for surface in policy.surfaces if surface.across == across), None)


def _colours(found: Behaviour) -> dict[str, str]:
    others = tuple(policy.policy for policy in found.policies)
    return {**style.policy_colours(others, trained=None), found.optimum.policy: style.INK}


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=4)
