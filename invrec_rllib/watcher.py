"""Who wants to hear of a run while it trains, and may ask it to stop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Watcher:
    """What a caller wants to hear of a run; each function is optional.

    Attributes:
        on_start: called with (first iteration to do, number of iterations).
        on_iteration: called with each row of `progress.csv`.
        on_comparison: called with a policy's name and the fraction done, during the final comparison.
        stop: asked after every iteration whether to stop.
        on_fault: called with a line on each loss of processes, each failed environment, and each return.
        on_stop_asked: called when a first Ctrl-C (or SIGTERM) asks to stop after the running iteration.
        handle_signals: whether they do; False leaves them to the process's own handlers, such as Ray's in a worker.
    """

    on_start: Callable[[int, int], None] = lambda first, total: None
    on_iteration: Callable[[dict[str, Any]], None] = lambda row: None
    on_comparison: Callable[[str, float], None] = lambda policy, fraction: None
    stop: Callable[[], bool] = lambda: False
    on_fault: Callable[[str], None] = lambda line: None
    on_stop_asked: Callable[[], None] = lambda: None
    handle_signals: bool = True


@contextlib.contextmanager
def stop_on_signals(watcher: Watcher) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks to stop after the iteration; a second one interrupts at once."""
    asked = False
    numbers = (signal.SIGINT, signal.SIGTERM) if watcher.handle_signals else ()

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        watcher.on_stop_asked()

    try:
        before = {number: signal.signal(number, ask) for number in numbers}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
