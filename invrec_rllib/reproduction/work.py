"""Pieces of an experiment's work under Ray: what fails is noted in the experiment's folder, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from invrec_rllib.reproduction.folder import ExperimentDir
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.pool import Failure, work_side_by_side


class Named(Protocol):
    """A piece of work with a name."""

    @property
    def name(self) -> str:
        """``condition/player`` or ``condition/variant/seed``."""


Piece = TypeVar("Piece", bound=Named)


def work_through(
    function: Callable[..., Any],
    pieces: Sequence[Piece],
    folder: ExperimentDir,
    *,
    begin: Callable[[Piece], tuple[Any, ...]],
    tell: Callable[[Piece, Failure | None, int], None],
    **limits: Any,
) -> tuple[int, dict[str, str]]:
    """Do pieces of work side by side.

    Args:
        function, begin, limits: as of `work_side_by_side`.
        pieces: to do.
        folder: whose `errors/` holds the tracebacks of those that fail.
        tell: called with each piece that comes to its end, why it failed, and how many have ended.

    Returns:
        How many were not begun, and why others failed, by name.
    """
    ended, failed = 0, {}

    def end(piece: Piece, failure: Failure | None) -> None:
        nonlocal ended
        ended += 1
        error_file = folder.errors / f"{piece.name}.txt"
        if failure is None:
            error_file.unlink(missing_ok=True)
        else:
            failed[piece.name] = failure.summary
            write_text_atomically(error_file, failure.details)
        tell(piece, failure, ended)

    if pieces:
        work_side_by_side(function, pieces, begin=begin, end=end, **limits)
    return len(pieces) - ended, failed
