"""One look for all figures: light, legible on a phone, safe for colour-blind readers."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from invrec_rllib.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 6.0

# Okabe and Ito's palette, which stays apart under the common forms of colour blindness.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY, INK = "#56B4E9", "#CC79A7", "#F0E442", "#8A8A8A", "#222222"

_FIXED = {"silo": ORANGE, "traditional": GREEN, "random": GREY, "no_recommendation": GREY, "uniform": SKY}
_OTHERS = (PURPLE, VERMILION, SKY)

_RC: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.dpi": 160,
}


def new_figure(height_inches: float) -> Figure:
    """An empty figure that belongs to no window and lays itself out.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure: Figure = require("matplotlib.figure", extra="report").Figure(
        figsize=(WIDTH_INCHES, height_inches), layout="constrained", facecolor="white"
    )
    return figure


def style() -> Any:
    """A context in which figures have the common look."""
    return require("matplotlib", extra="report").rc_context(_RC)


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_RC["figure.dpi"], metadata={"Software": "invrec-rllib"})
    return stream.getvalue()


def policy_colours(policies: tuple[str, ...], *, trained: str | None) -> dict[str, str]:
    """A colour for every policy: the trained one blue, the usual baselines always the same."""
    others = iter(_OTHERS * len(policies))
    return {policy: BLUE if policy == trained else _FIXED.get(policy) or next(others) for policy in policies}


def headline(figure: Figure, text: str) -> None:
    """A title over the whole width, of as many lines as it needs."""
    wrapped = "\n".join(textwrap.fill(line, 66) for line in text.splitlines())
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11, weight="bold")


def beside(axes: Axes, place: float, text: str, *, fontsize: float = 10) -> None:
    """Text on the height of a row, to the right of the panel, where no mark can hide it."""
    axes.annotate(
        text,
        (1.02, place),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=fontsize,
        annotation_clip=False,
    )


def signed(value: float, digits: int = 0) -> str:
    """A change with its sign, separators, and the minus of typesetters."""
    return f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def thousands(axes: Axes, axis: str) -> None:
    """Write the numbers of an axis ("x" or "y") with separators."""
    formatter = require("matplotlib.ticker", extra="report").StrMethodFormatter("{x:,.0f}")
    getattr(axes, f"{axis}axis").set_major_formatter(formatter)


def percent(axes: Axes, axis: str) -> None:
    """Write shares on an axis ("x" or "y") as percentages."""
    formatter = require("matplotlib.ticker", extra="report").PercentFormatter(1.0, decimals=0)
    getattr(axes, f"{axis}axis").set_major_formatter(formatter)


def whole_numbers(axes: Axes, axis: str) -> None:
    """Mark an axis ("x" or "y") at whole numbers only."""
    locator = require("matplotlib.ticker", extra="report").MaxNLocator("auto", integer=True)
    getattr(axes, f"{axis}axis").set_major_locator(locator)
