"""What an episode looks like: its history, a table that a planner can read, or a picture."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.env.history import History
from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.derived import organic_margin
from invrec_rllib.sim.params import FloatArray, Params

RenderMode = Literal["human", "ansi", "rgb_array"]
RENDER_MODES: tuple[str, ...] = get_args(RenderMode)

# Beyond these the largest sellers stand for the rest.
_ROWS_IN_TABLE = 30
_ROWS_IN_PICTURE = 40
_BAR = 10


def check_render_mode(render_mode: str | None) -> None:
    """Refuse an unknown mode before anything is played.

    Raises:
        InputError: naming what is allowed.
        MissingExtraError: "rgb_array" without matplotlib.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise InputError(f"render_mode is {render_mode!r}, must be None or one of {', '.join(RENDER_MODES)}")
    if render_mode == "rgb_array":
        require("matplotlib.figure", extra="report")


def draw_table(params: Params, history: History) -> str:
    """A table of the stock now and of the period before, with the firm's result below.

    Args:
        params: the world.
        history: of an episode that has begun.
    """
    shown = _largest_sellers(params, _ROWS_IN_TABLE)
    labels = params.scenario.products.labels
    width = max(len("product"), *(len(labels[i]) for i in shown))
    lines = [
        _headline(params, history),
        f"{'':{width}} | {'now':^26} | {'period before':^42}",
        f"{'product':{width}} | {'on hand':>8} {'on order':>8} {'cover':>8} |"
        f" {'ordered':>7} {'demand':>7} {'sold':>7} {'lost':>7} {'shown':<{_BAR}}",
    ]
    lines.append("-" * (width + 1) + "+" + "-" * 28 + "+" + "-" * 43)
    cover = history.on_hand / np.maximum(params.organic_demand, 1e-9)
    last = history.last()
    for i in shown:
        row = f"{labels[i]:{width}} | {history.on_hand[i]:8d} {history.on_order[i]:8d} {cover[i]:8.1f} |"
        if last is not None:
            bar = "#" * round(_BAR * last.exposure[i])
            row += (
                f" {last.order[i]:7d} {last.demand[i]:7d} {last.sales[i]:7d} {last.lost[i]:7d} {bar:.<{_BAR}}"
            )
        lines.append(row.rstrip())
    if len(shown) < params.num_products:
        lines.append(f"... and {params.num_products - len(shown)} products that sell less")
    lines.append(
        f"{'all':{width}} | {history.on_hand.sum():8d} {history.on_order.sum():8d} {'':8} |" + _sums(last)
    )
    lines.append(_result(params, history))
    return "\n".join(lines) + "\n"


def _sums(last: Any) -> str:
    if last is None:
        return ""
    return f" {last.order.sum():7d} {last.demand.sum():7d} {last.sales.sum():7d} {last.lost.sum():7d}"


def _result(params: Params, history: History) -> str:
    if not history.num_periods:
        return "no period played yet"
    currency = params.scenario.currency
    profit = history.profits()
    return (
        f"profit {profit[-1]:,.0f} in the period, {profit.sum():,.0f} so far ({currency}); "
        f"fill rate so far {100 * history.fill_rate():.1f} %; cover in periods of organic demand"
    )


def _largest_sellers(params: Params, count: int) -> list[int]:
    """The products of the largest organic revenue, in the scenario's order."""
    revenue = params.price[0] * params.organic_demand
    return sorted(np.argsort(-revenue, kind="stable")[:count].tolist())


def draw_picture(params: Params, history: History) -> NDArray[np.uint8]:
    """Stock, orders, exposures and margin of every product over time, and the firm's profit below.

    Axes and colours are fixed by the scenario, so that frames make a film.

    Args:
        params: the world.
        history: of an episode that has begun.

    Returns:
        Pixels, (720, 1120, 3).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", extra="report").Figure(figsize=(11.2, 7.2), dpi=100)
    canvas = require("matplotlib.backends.backend_agg", extra="report").FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    scenario = params.scenario
    figure.suptitle(_headline(params, history), fontsize=12)
    upper, lower = figure.subfigures(2, 1, height_ratios=[4, 1.3])
    axes = upper.subplot_mosaic([["stock", "orders"], ["exposure", "margin"]])
    shown = _largest_sellers(params, _ROWS_IN_PICTURE)
    organic = np.maximum(params.organic_demand, 1e-9)[shown]
    margin = np.maximum(params.price[0] - params.unit_cost, 1e-9)[shown] * organic
    panels = (
        ("stock", f"Stock, {scenario.period_name}s of organic demand (red dots: demand lost)",
         history.stocks(shown) / organic, (0, 4), "viridis"),
        ("orders", f"Orders, {scenario.period_name}s of organic demand",
         history.orders(shown) / organic, (0, 2.5), "viridis"),
        ("exposure", "Exposure, mean over visitors", history.exposures(shown), (0, 1), "magma"),
        ("margin", "Margin less holding and stockouts / organic",
         history.margins(params, shown) / margin, (-2, 2), "RdBu"),
    )  # fmt: skip
    for name, title, values, limits, colours in panels:
        _heat(upper, axes[name], params, title, values=values, limits=limits, colours=colours, shown=shown)
    period, product = np.nonzero(history.losses(shown))
    axes["stock"].scatter(period, product, s=7, c="#ff3b30", linewidths=0)
    _profit(lower.subplots(), params, history)
    canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return pixels


def _headline(params: Params, history: History) -> str:
    scenario = params.scenario
    return f"{scenario.name}: {scenario.period_name} {history.num_periods} of {params.num_periods}"


def _heat(
    figure: Any,
    axes: Any,
    params: Params,
    title: str,
    *,
    values: FloatArray,
    limits: tuple[float, float],
    colours: str,
    shown: list[int],
) -> None:
    """A map of products (rows) over all periods (columns); what is not played yet stays grey."""
    cells = np.full((len(shown), params.num_periods), np.nan)
    cells[:, : len(values)] = values[: params.num_periods].T
    image = axes.imshow(
        cells, aspect="auto", interpolation="nearest", cmap=colours, vmin=limits[0], vmax=limits[1]
    )
    axes.set_facecolor("#e6e6e6")
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    if len(shown) <= 20:
        axes.set_yticks(range(len(shown)), [params.scenario.products.labels[i] for i in shown])
    else:
        axes.set_ylabel("product", fontsize=8)
    figure.colorbar(image, ax=axes, pad=0.01, extend="both" if limits[0] < 0 else "max").ax.tick_params(
        labelsize=7
    )


def _profit(axes: Any, params: Params, history: History) -> None:
    profit = history.profits()
    period = np.arange(len(profit))
    typical = organic_margin(params.scenario) or 1.0
    axes.bar(period, profit, color=np.where(profit >= 0, "#4c9f70", "#c0504d"), width=0.9)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xlim(-0.5, params.num_periods - 0.5)
    # The initial stock is paid in period 0 and the rest salvaged in the last: both leave the frame.
    axes.set_ylim(-typical, 3.0 * typical)
    axes.set_xlabel(params.scenario.period_name, fontsize=8)
    axes.set_ylabel(f"{params.scenario.currency} per {params.scenario.period_name}", fontsize=8)
    axes.tick_params(labelsize=7)
    so_far = axes.twinx()
    total = profit.cumsum()
    so_far.plot(period, total, color="#1f3b73", linewidth=1.8)
    expected = 1.2 * typical * params.num_periods
    so_far.set_ylim(-expected / 3.0, max(expected, 1.05 * total.max(initial=0.0)))
    so_far.set_ylabel(f"{params.scenario.currency} so far", fontsize=8, color="#1f3b73")
    so_far.tick_params(labelsize=7, colors="#1f3b73")
    title = "Firm's profit"
    if len(profit):
        fill = 100.0 * history.fill_rate()
        title += f": {total[-1]:,.0f} {params.scenario.currency} so far, fill rate {fill:.1f} %"
    axes.set_title(title, fontsize=9, loc="left")
