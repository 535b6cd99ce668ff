"""Where the time of a run goes, by methods that do its work."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple


class Watched(NamedTuple):
    """A method, and what its own time is counted as."""

    owner: type
    method: str
    label: str


@contextmanager
def own_time(watched: Sequence[Watched]) -> Iterator[dict[str, float]]:
    """Count the own time of methods while it lasts: what other watched ones take that they call is not theirs.

    So the labels' sum is the time of the outermost calls. For calls in one thread.

    Args:
        watched: methods; of a class, or inherited by it.

    Returns:
        Seconds by label, all 0 at first, which grow.
    """
    seconds = {watch.label: 0.0 for watch in watched}
    inner: list[float] = []

    def timed(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                elapsed = time.perf_counter() - started
                seconds[label] += elapsed - inner.pop()
                if inner:
                    inner[-1] += elapsed

        return call

    undo: list[Callable[[], None]] = []
    try:
        for owner, method, label in watched:
            undo.append(_restoring(owner, method))
            setattr(owner, method, timed(getattr(owner, method), label))
        yield seconds
    finally:
        for restore in reversed(undo):
            restore()


def _restoring(owner: type, method: str) -> Callable[[], None]:
    """What puts a class's method back as it is now."""
    if method in vars(owner):
        return functools.partial(setattr, owner, method, vars(owner)[method])
    return functools.partial(delattr, owner, method)
