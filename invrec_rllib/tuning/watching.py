"""What is known of a sweep's trials while they run, for whoever shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ray import cloudpickle, tune

from invrec_rllib.rllib.health import in_one_line
from invrec_rllib.tuning.plan import Plan
from invrec_rllib.tuning.results import FAILED, FINISHED, STOPPED
from invrec_rllib.tuning.sweep import describe

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
        failures: so far.
    """

    name: str
    configuration: dict[str, Any]
    seed: int
    iterations: int
    status: str = "waiting"
    iteration: int = 0
    profit: float | None = None
    seconds: float = 0.0
    failures: int = 0

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

    @property
    def gave_up_early(self) -> bool:
        """Whether all trials are over, but some failed that have failures left.

        Tune 2.60 notes it twice when a process is lost that is just becoming another trial's, and the second time
        takes the trial, which by then waits to go on, for one that must not.
        """
        return self.num_over == self.plan.sweep.num_trials and any(map(self.may_go_on, self.trials.values()))

    def may_go_on(self, trial: TrialView) -> bool:
        """Whether a trial failed, but has failures left."""
        return trial.status == FAILED and trial.failures <= self.plan.sweep.max_failures

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
        view.failures = trial.num_failures
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
        on_fault: called with a line on each trial that failed and goes on.
    """

    on_start: Callable[[Plan, int], None] = lambda plan, at_once: None
    on_change: Callable[[Board, TrialView], None] = lambda board, trial: None
    on_fault: Callable[[str], None] = lambda line: None


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

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed, its process or its machine is lost, and it goes on."""
        if self._current is not None:
            board, watcher = self._current
            board.look_at([trial])
            watcher.on_fault(f"{_failed(board, trial)}; it goes on from its newest checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good, or so Tune thinks."""
        self._tell(trial)
        if self._current is not None:
            board, watcher = self._current
            if board.may_go_on(board.trials[trial.trial_id]):
                watcher.on_fault(f"{_failed(board, trial)}; it goes on when all others are over")

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


def _failed(board: Board, trial: Any) -> str:
    view, most = board.trials[trial.trial_id], board.plan.sweep.max_failures
    return (
        f"{describe(view.configuration) or 'base'} seed {view.seed} failed after {view.iteration} iterations, "
        f"{view.failures} of at most {most} times ({_reason(trial)})"
    )


def _reason(trial: Any) -> str:
    """What Tune has noted of a trial's newest failure; of some it notes nothing, and of a resumed sweep's elsewhere."""
    if trial.pickled_error_file is None or not Path(trial.pickled_error_file).is_file():
        return "no error is known"
    with open(trial.pickled_error_file, "rb") as file:
        return in_one_line(cloudpickle.load(file))
