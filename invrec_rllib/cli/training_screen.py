"""What `invrec train` shows while it works: a bar on a terminal, plain lines elsewhere, rows in money."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from invrec_rllib.cli.console import FractionProgress, clock, messages, new_progress

if TYPE_CHECKING:
    from invrec_rllib.watcher import Watcher

# 78 characters: a row fits the narrowest usual terminal.
_COLUMNS = (
    ("iteration", 9),
    ("env steps", 11),
    ("profit", 9),
    ("over silo", 10),
    ("fill", 8),
    ("lost", 7),
    ("holding", 8),
    ("steps/s", 8),
    ("left", 8),
)


class TrainingScreen:
    """Shows a run; a context manager, so that the bar goes whatever happens.

    Args:
        title: first line.
        currency: unit of money.
        silo_profit: mean profit of the silo on the validation episodes; asked once, when training starts.
        evaluates: whether the run evaluates on validation episodes; else rows show profit while exploring.
        final_episodes: episodes per policy of the final comparison.
        on_interrupt: gives the line to print, if any, when the run is interrupted at once.
    """

    def __init__(
        self,
        *,
        title: str,
        currency: str,
        silo_profit: Callable[[], float],
        evaluates: bool,
        final_episodes: int,
        on_interrupt: Callable[[], str],
    ) -> None:
        self._title, self._currency = title, currency
        self._silo_profit, self._evaluates = silo_profit, evaluates
        self._on_interrupt = on_interrupt
        self._final = FractionProgress(work="episodes", amount=final_episodes)
        self._comparing = False
        self._console: Console = messages()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._silo = float("nan")
        self._first = self._total = 0
        self._steps_before: int | None = None
        self._started = 0.0

    def watcher(self) -> Watcher:
        """What `train` and `resume` call."""
        from invrec_rllib.watcher import Watcher

        return Watcher(
            on_start=self.start,
            on_iteration=self.show_iteration,
            on_comparison=self.compare,
            on_fault=self.tell_of_fault,
            on_stop_asked=self.promise_to_stop,
        )

    def __enter__(self) -> TrainingScreen:
        self._say(self._title)
        self._say("Starting Ray and building the agents")
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._stop_bar()
        if self._comparing:
            self._final.__exit__(kind, *exception)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._say(self._on_interrupt())

    def start(self, first: int, total: int) -> None:
        """Training begins, with `first` iterations done already; again, where it goes back after a fault."""
        self._stop_bar()
        self._first, self._total, self._started = first, total, time.monotonic()
        self._steps_before = None
        self._silo = self._silo_profit() if self._evaluates else float("nan")
        profit = "mean on validation episodes" if self._evaluates else "mean of training episodes"
        self._say(
            f"profit: {self._currency} per episode, {profit}; fill (share of demand served), lost (units) and "
            "holding (cost): training episodes, with exploration"
        )
        self._say("".join(f"{name:>{width}}" for name, width in _COLUMNS))
        if self._console.is_terminal:
            self._bar = new_progress(self._console)
            self._task = self._bar.add_task("training", total=total, completed=first, rate="")
            self._bar.start()

    def show_iteration(self, row: dict[str, Any]) -> None:
        """An iteration is done: move the bar, and print a row where it was evaluated."""
        done, steps = row["iteration"], row["env_steps"]
        seconds = time.monotonic() - self._started
        if self._steps_before is None:
            # Of a resumed run, the steps before this attempt are those of the iterations before it.
            self._steps_before = round(steps * self._first / done)
        rate = (steps - self._steps_before) / seconds
        left = seconds / (done - self._first) * (self._total - done)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:,.0f} env steps/s")
        profit = row["profit_eval_mean"] if self._evaluates else row["profit_mean"]
        if profit is not None:
            self._print_row(row, profit, rate=rate, left=left)

    def _print_row(self, row: dict[str, Any], profit: float, *, rate: float, left: float) -> None:
        over = (profit - self._silo) / abs(self._silo) if self._evaluates and self._silo else None
        cells = (
            f"{row['iteration']}/{self._total}",
            f"{row['env_steps']:,}",
            _short(profit),
            "-" if over is None else f"{100 * over:+.1f} %",
            "-" if row["fill_rate"] is None else f"{100 * row['fill_rate']:.1f} %",
            _short(row["lost_units"]),
            _short(row["holding_cost"]),
            f"{rate:,.0f}",
            clock(left),
        )
        self._say("".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, _COLUMNS, strict=True)))

    def compare(self, policy: str, fraction: float) -> None:
        """A fraction of a policy's episodes of the final comparison is done."""
        if not self._comparing:
            self._stop_bar()
            self._say("Comparing with simple policies on episodes that training never met")
            self._final.__enter__()
            self._comparing = True
        self._final(policy, fraction)

    def tell_of_fault(self, line: str) -> None:
        """Something was lost, or is back."""
        self._say(line)

    def promise_to_stop(self) -> None:
        """The first Ctrl-C."""
        self._say("Stopping after this iteration; Ctrl-C again stops at once and loses it")

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"
