"""Measuring several ways in turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from invrec_rllib.errors import InputError

Name = TypeVar("Name", bound=Hashable)


def fastest_turns(
    paths: Mapping[Name, Callable[[], int]], *, rounds: int, seconds: float = 0.0
) -> dict[Name, float]:
    """Env steps per second of each path's fastest turn.

    Args:
        paths: what does a piece of work and returns its env steps, by name; warmed up.
        rounds: turns of each.
        seconds: least time of a turn, which is one piece of work at least.

    Raises:
        InputError: `rounds` is below 1.
    """
    check_rounds(rounds)
    speeds = dict.fromkeys(paths, 0.0)
    for _ in range(rounds):
        for name, work in paths.items():
            speeds[name] = max(speeds[name], _turn(work, seconds=seconds))
    return speeds


def check_rounds(rounds: int) -> None:
    """See that there is something to measure.

    Raises:
        InputError: `rounds` is below 1.
    """
    if rounds < 1:
        raise InputError(f"rounds must be at least 1, got {rounds}")


def _turn(work: Callable[[], int], *, seconds: float) -> float:
    steps, started = 0, time.perf_counter()
    while True:
        steps += work()
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return steps / elapsed
