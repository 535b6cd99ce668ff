"""What `invrec tune` shows while it works: a live table in money on a terminal, a line per evaluation elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from invrec_rllib.cli.console import clock, messages, say

if TYPE_CHECKING:
    from invrec_rllib.tuning.plan import Plan
    from invrec_rllib.tuning.watching import Board, TrialView, Watcher

# A terminal of 24 lines holds the table and a shell's prompt.
_MOST_ROWS = 16


class TuningScreen:
    """Shows a sweep; a context manager, so that the table goes whatever happens.

    Args:
        resume_command: what goes on with the sweep, said when it is interrupted at once.
        show_plan: prints the plan, given how many trials go side by side.
    """

    def __init__(self, *, resume_command: str, show_plan: Callable[[Plan, int], None]) -> None:
        self._resume_command, self._show_plan = resume_command, show_plan
        self._live: Live | None = None
        self._begun = False

    def watcher(self) -> Watcher:
        """What `run_sweep` calls."""
        from invrec_rllib.tuning.watching import Watcher

        return Watcher(on_start=self.start, on_change=self.show, on_fault=say)

    def __enter__(self) -> TuningScreen:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._begun:
            say(f"Go on with it: {self._resume_command}")

    def start(self, plan: Plan, at_once: int) -> None:
        """Ray runs, and trials are about to begin."""
        self._begun = True
        self._show_plan(plan, at_once)
        console = messages()
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=2, transient=True)
            self._live.start()

    def show(self, board: Board, trial: TrialView) -> None:
        """There is something new of a trial."""
        if self._live is not None:
            self._live.update(render(board))
        elif trial.profit is not None:
            say(line(board, trial))


def line(board: Board, trial: TrialView) -> str:
    """A trial in one line, and how far the sweep is."""
    profit = "no profit yet" if trial.profit is None else f"profit {trial.profit:,.1f} {board.plan.currency}"
    return (
        f"{board.num_over}/{board.plan.sweep.num_trials} {_label(trial)} seed {trial.seed}: {trial.status}, "
        f"{trial.iteration}/{trial.iterations} iterations, {profit}; {_left(board)}"
    )


def render(board: Board) -> Group:
    """The table: what runs first, then the best configurations so far."""
    table = Table("configuration", "seed", "status", box=box.SIMPLE)
    for column in ("iteration", f"profit, {board.plan.currency}", "mean over seeds", "time"):
        table.add_column(column, justify="right")
    means = _means(board)
    ranked = sorted(
        board.trials.values(), key=lambda trial: (trial.status != "running", -means[_label(trial)])
    )
    for trial in ranked[:_MOST_ROWS]:
        table.add_row(
            Text(_label(trial)),
            str(trial.seed),
            trial.status,
            f"{trial.iteration}/{trial.iterations}",
            "-" if trial.profit is None else f"{trial.profit:,.1f}",
            "-" if math.isinf(means[_label(trial)]) else f"{means[_label(trial)]:,.1f}",
            clock(trial.seconds),
        )
    more = len(board.trials) - _MOST_ROWS
    below = f"{board.num_over} of {board.plan.sweep.num_trials} trials over; {_left(board)}"
    return Group(table, Text(below + (f"; {more} trials not shown" if more > 0 else "")))


def _means(board: Board) -> dict[str, float]:
    """Mean of the profits so far by configuration; minus infinity before the first."""
    profits: dict[str, list[float]] = {}
    for trial in board.trials.values():
        profits.setdefault(_label(trial), []).extend([] if trial.profit is None else [trial.profit])
    return {label: fmean(found) if found else -math.inf for label, found in profits.items()}


def _label(trial: TrialView) -> str:
    from invrec_rllib.tuning.sweep import describe

    return describe(trial.configuration) or "base"


def _left(board: Board) -> str:
    seconds = board.seconds_left()
    return "time left not known yet" if seconds is None else f"about {clock(seconds)} left"
