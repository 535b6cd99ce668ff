"""Pieces of work side by side under Ray, each in a process of its own, until they end or time is up."""

from __future__ import annotations

import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray

from invrec_rllib.errors import InputError, InvrecError
from invrec_rllib.rllib.quiet import ray_running

# A process does this many pieces: what libraries leave behind does not pile up, and imports are paid for rarely.
_PIECES_PER_PROCESS = 16
# How often Ctrl-C and the time limit are looked at, seconds.
_PATIENCE = 1.0

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Failure:
    """Why a piece of work failed.

    Attributes:
        summary: the first line.
        details: the traceback as it was in the process.
    """

    summary: str
    details: str


def check_jobs(jobs: int | None) -> None:
    """See that a number of jobs is one.

    Raises:
        InputError: it is below 1.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")


def work_side_by_side(
    function: Callable[..., Any],
    pieces: Sequence[Piece],
    *,
    begin: Callable[[Piece], tuple[Any, ...]],
    end: Callable[[Piece, Any], None],
    jobs: int | None = None,
    address: str | None = None,
    max_minutes: float | None = None,
) -> None:
    """Do pieces of work, in their order; a piece that fails does not stop the others.

    Args:
        function: what is done in another process; it is sent there with its arguments.
        pieces: of work.
        begin: called here before a piece begins; its arguments.
        end: called here with a piece and its result, or the `Failure`.
        jobs: pieces at once; None: as many as Ray has CPUs.
        address: of a Ray cluster; None: the environment variable ``RAY_ADDRESS``, or a local Ray.
        max_minutes: after which no piece begins; None: no limit. What is at work is finished.

    Raises:
        KeyboardInterrupt: by Ctrl-C; what is at work then is stopped.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60.0 * max_minutes
    cluster = address or os.environ.get("RAY_ADDRESS")
    with ray_running(None if cluster else jobs, address=address, needed={"CPU": 1.0}) as resources:
        _work(function, deque(pieces), begin, end, jobs=jobs or int(resources["CPU"]), deadline=deadline)


def _work(
    function: Callable[..., Any],
    queue: deque[Piece],
    begin: Callable[[Piece], tuple[Any, ...]],
    end: Callable[[Piece, Any], None],
    *,
    jobs: int,
    deadline: float | None,
) -> None:
    remote: Any = ray.remote(num_cpus=1, max_retries=0, max_calls=_PIECES_PER_PROCESS)(_guarded)
    running: dict[Any, Piece] = {}
    try:
        while True:
            if deadline is not None and time.monotonic() >= deadline:
                queue.clear()
            while queue and len(running) < jobs:
                piece = queue.popleft()
                running[remote.remote(function, *begin(piece))] = piece
            if not running:
                return
            done, _ = ray.wait(list(running), timeout=_PATIENCE)
            for reference in done:
                end(running.pop(reference), _result(reference))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a worker: the result, or the failure with the traceback as it was there."""
    try:
        return function(*arguments)
    except Exception as error:
        return Failure(_first_line(error), traceback.format_exc())


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:  # the process died, or could not begin
        return Failure(_first_line(error), f"{type(error).__name__}: {error}\n")


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return line if isinstance(error, InvrecError) else f"{type(error).__name__}: {line}"
