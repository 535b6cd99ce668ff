"""What a check of timescales found: figures per part and per pair, sentences, a text form and plain data."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.asymptotics import Tail
from invrec_rllib.timescales.pace import Judged
from invrec_rllib.timescales.parts import Clock

_PART_HEAD = ("", "part", "first", "last", "far out", "sum inf", "squares finite", "judged")
_RATIO_HEAD = ("", "of", "first", "last", "limit", "tends to 0", "judged")


class TimescaleWarning(UserWarning):
    """The declared step sizes break what the theory of multi-timescale learning asks for."""


@dataclass(frozen=True)
class PartReport:
    """One part's step sizes, per update: one that is taken every k-th update counts for a k-th of it.

    Args:
        name: module and part, as "inventory/actor".
        timescale: place in the order from fast to slow, from 1; parts that move alike share one. 0: frozen.
        clock: what the part's position counts.
        update_every: updates from one step to the next.
        first: step size in the run's first update.
        last: step size in the run's last update.
        form: asymptotic form in the number of updates; None where it is not known.
        sum_diverges: whether the step sizes sum to infinity.
        squares_converge: whether the sum of their squares is finite.
        judged: "symbolic" by the form, "numeric" by the run's length alone.
        factors: bounds of the factor by which a drift budget may change the step sizes; None without a budget. The
            verdicts hold for every factor within; `first` and `last` are those of a factor of 1.
    """

    name: str
    timescale: int
    clock: Clock
    update_every: int
    first: float
    last: float
    form: Tail | None
    sum_diverges: bool
    squares_converge: bool
    judged: Judged
    factors: tuple[float, float] | None

    @property
    def frozen(self) -> bool:
        """Whether the part never moves, which is a choice and no fault."""
        return self.timescale == 0


@dataclass(frozen=True)
class RatioReport:
    """Slow over fast, for two consecutive timescales.

    Args:
        slow: place of the slower one in the order from fast to slow; the faster one is the place before.
        of: what is compared: step sizes per update, or the movement that drift budgets allow (the root of their KL).
        first: ratio in the run's first update; nan where it is not defined.
        last: ratio in the run's last update.
        limit: of the ratio far out; None where it is not known, nan where both stop.
        tends_to_zero: whether it does, far out or, judged numerically, over the run's length.
        judged: "symbolic" by the forms, "numeric" by the run's length alone.
    """

    slow: int
    of: Literal["step sizes", "drift budgets"]
    first: float
    last: float
    limit: float | None
    tends_to_zero: bool
    judged: Judged


@dataclass(frozen=True)
class TimescaleReport:
    """What theory says of declared timescales, and how far this run separates them.

    The conditions are those of stochastic approximation on several timescales [Borkar, Stochastic Approximation: A
    Dynamical Systems Viewpoint, chapters 2 and 6]: step sizes a_n of each part with sum a_n = inf and
    sum a_n^2 < inf, and the slower over the faster tending to 0. They are sufficient conditions on plain stochastic
    gradient steps; constant step sizes, the usual practice, converge to a neighbourhood instead (chapter 9).

    Args:
        num_updates: length of the run in updates of the learner.
        parts: from fast to slow by the step size per update in the run's last update; frozen ones at the end.
        ratios: of consecutive timescales.
        violations: a sentence each; none: the conditions hold.
        notes: what is worth knowing but no violation.
        strict: whether violations are errors.
    """

    num_updates: int
    parts: tuple[PartReport, ...]
    ratios: tuple[RatioReport, ...]
    violations: tuple[str, ...]
    notes: tuple[str, ...]
    strict: bool

    @property
    def ok(self) -> bool:
        """Whether no condition is violated."""
        return not self.violations

    @property
    def order(self) -> tuple[tuple[str, ...], ...]:
        """Names of the parts of each timescale, from fast to slow."""
        places = sorted({part.timescale for part in self.parts if not part.frozen})
        return tuple(tuple(part.name for part in self.parts if part.timescale == place) for place in places)

    def enforce(self) -> None:
        """Warn of violations, or refuse them if the timescales are strict.

        Raises:
            InputError: there are violations, and the timescales are strict.
        """
        if self.ok:
            return
        message = "timescales break the theory of multi-timescale learning:\n  " + "\n  ".join(
            self.violations
        )
        if self.strict:
            raise InputError(f"{message}\n  (strict = True makes these errors)")
        warnings.warn(message, TimescaleWarning, stacklevel=2)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and YAML; numbers that are not finite become None."""
        return {
            "num_updates": self.num_updates,
            "ok": self.ok,
            "order": [list(names) for names in self.order],
            "parts": [_part_data(part) for part in self.parts],
            "ratios": [
                {
                    "fast": list(self.order[ratio.slow - 2]),
                    "slow": list(self.order[ratio.slow - 1]),
                    "of": ratio.of,
                    "first": _finite(ratio.first),
                    "last": _finite(ratio.last),
                    "limit": _finite(ratio.limit),
                    "tends_to_zero": ratio.tends_to_zero,
                    "judged": ratio.judged,
                }
                for ratio in self.ratios
            ],
            "violations": list(self.violations),
            "notes": list(self.notes),
            "strict": self.strict,
        }

    def __str__(self) -> str:
        lines = [f"Timescales over {self.num_updates} updates, from fast to slow (step sizes per update)"]
        lines += _table([_PART_HEAD, *map(_part_row, self.parts)])
        if self.ratios:
            lines += ["", "Slow over fast", *_table([_RATIO_HEAD, *map(_ratio_row, self.ratios)])]
        title = (
            f"Violations ({'errors' if self.strict else 'warnings'})" if self.violations else "No violations"
        )
        for heading, sentences in ((title, self.violations), ("Notes" if self.notes else "", self.notes)):
            lines += ["", heading] if heading else []
            lines += [f"  - {sentence}" for sentence in sentences]
        return "\n".join(lines)


def _part_data(part: PartReport) -> dict[str, Any]:
    return {
        "name": part.name,
        "timescale": part.timescale,
        "frozen": part.frozen,
        "clock": part.clock,
        "update_every": part.update_every,
        "first": part.first,
        "last": part.last,
        "form": None if part.form is None else str(part.form),
        "sum_diverges": part.sum_diverges,
        "squares_converge": part.squares_converge,
        "judged": part.judged,
        "factors": None if part.factors is None else list(part.factors),
    }


def _part_row(part: PartReport) -> tuple[str, ...]:
    form = "?" if part.form is None else str(part.form)
    if part.frozen:
        return ("-", part.name, "0", "0", "frozen", "-", "-", part.judged)
    factors = "" if part.factors is None else f" x {part.factors[0]:g}..{part.factors[1]:g}"
    return (
        str(part.timescale),
        part.name,
        f"{part.first:.3g}",
        f"{part.last:.3g}",
        form + factors,
        _yes(part.sum_diverges),
        _yes(part.squares_converge),
        part.judged,
    )


def _ratio_row(ratio: RatioReport) -> tuple[str, ...]:
    return (
        f"{ratio.slow}/{ratio.slow - 1}",
        ratio.of,
        _short(ratio.first),
        _short(ratio.last),
        _short(ratio.limit),
        _yes(ratio.tends_to_zero),
        ratio.judged,
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def _short(value: float | None) -> str:
    return "?" if value is None else "-" if math.isnan(value) else f"{value:.3g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
