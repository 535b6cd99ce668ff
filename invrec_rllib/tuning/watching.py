"""What is known of a sweep's trials while they run, for whoever shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ray import tune

from invrec_rllib.tuning.plan import Plan
from invrec_rllib.tuning.results import FAILED, FINISHED, STOPPED

RUNNING = "running"


@dataclass
class TrialView:
    """A trial as it stands.

    Attributes:
        name: its id.
        configuration: what is searched.
        seed: of its training.
        status: waiting, running, finished, stopped early or failed.
        iteration, iterations: done, and in all.
        profit: at the last evaluation; None before the first.
        seconds: that it trained.
    """

    name: str
    configuration: dict[str, Any]
    seed: int
    iterations: int
    status: str = "waiting"
    iteration: int = 0
    profit: float | None = None
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it will not train any more."""
        return self.status in (FINISHED, STOPPED, FAILED)


@dataclass
class Board:
    """All trials of a sweep as they stand.

    Attributes:
        plan: of the sweep.
        trials: by name, in the order of their start.
    """

    plan: Plan
    trials: dict[str, TrialView] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _done_before: int | None = None

    @property
    def num_over(self) -> int:
        """Trials that are over."""
        return sum(trial.is_over for trial in self.trials.values())

    def seconds_left(self) -> float | None:
        """Estimate from the iterations done so far, as if no trial were stopped early; None before the first."""
        done = sum(trial.iteration for trial in self.trials.values())
        saved = sum(t.iterations - t.iteration for t in self.trials.values() if t.is_over)
        if self._done_before is None or done <= self._done_before:
            return None
        pace = (time.monotonic() - self._started) / (done - self._done_before)
        return max(0.0, pace * (self.plan.iterations - done - saved))

    def look_at(self, trials: list[Any], *, result: dict[str, Any] | None = None) -> None:
        """Take what Tune says of its trials; `result` is newer than what it has noted of the only one."""
        for trial in trials:
            self._look_at(trial, result or trial.last_result or {})
        if self._done_before is None:
            # Of a resumed sweep, what was done before says nothing on the pace of this call.
            self._done_before = sum(trial.iteration for trial in self.trials.values())
            self._started = time.monotonic()

    def _look_at(self, trial: Any, result: dict[str, Any]) -> None:
        sweep = self.plan.sweep
        settings = sweep.settings(trial.config)
        view = self.trials.setdefault(trial.trial_id, TrialView(trial.trial_id, {}, 0, 0))
        view.configuration, view.seed = sweep.searched(trial.config), settings.seed
        view.iterations, view.iteration = settings.iterations, int(result.get("iteration", 0))
        view.profit, view.seconds = result.get("profit"), float(result.get("seconds", 0.0))
        # Not the status TERMINATED: Tune gives it late to trials that end, and to all when a sweep is interrupted.
        over = bool(result.get("done"))
        view.status = _status(trial.status, over=over, ended=view.iteration >= view.iterations)


def _status(status: str, *, over: bool, ended: bool) -> str:
    if status == "ERROR":
        return FAILED
    if over:
        return FINISHED if ended else STOPPED
    return RUNNING if status == "RUNNING" else "waiting"


@dataclass
class Watcher:
    """What a caller wants to hear of a sweep; each function is optional.

    Attributes:
        on_start: called with the plan and how many trials go side by side.
        on_change: called with the board and the trial of which there is something new.
    """

    on_start: Callable[[Plan, int], None] = lambda plan, at_once: None
    on_change: Callable[[Board, TrialView], None] = lambda board, trial: None


class Reporter(tune.Callback):
    """Tells a watcher what Tune's trials do.

    Tune pickles its callbacks with the sweep, and a resumed one gets them back: so what it tells, and whom, is not
    part of it, but is given by `reporting_to` while the sweep runs.
    """

    _current: ClassVar[tuple[Board, Watcher] | None] = None

    @classmethod
    @contextlib.contextmanager
    def reporting_to(cls, board: Board, watcher: Watcher) -> Iterator[None]:
        """Tell this watcher, while it lasts."""
        Reporter._current = (board, watcher)
        try:
            yield
        finally:
            Reporter._current = None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take over what a resumed sweep has done already."""
        if self._current is not None and not self._current[0].trials:
            self._current[0].look_at(trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or goes on from a checkpoint."""
        self._tell(trial, running=True)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial was evaluated."""
        self._tell(trial, result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good."""
        self._tell(trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """The sweep is over, or interrupted: of one that was resumed with nothing left to do, the only word."""
        if self._current is not None:
            self._current[0].look_at(trials)

    def _tell(self, trial: Any, result: dict[str, Any] | None = None, *, running: bool = False) -> None:
        if self._current is not None:
            board, watcher = self._current
            board.look_at([trial], result=result)
            view = board.trials[trial.trial_id]
            if running:
                view.status = RUNNING
            watcher.on_change(board, view)
