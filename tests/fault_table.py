"""The table of faults: what was injected, what the user saw, what was lost, how long it took; tests fill it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

# Names a file for the table as JSON.
FILE_VARIABLE = "INVREC_FAULTS_JSON"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        during: what it hit.
        injected: what was done to it.
        seen: what the user saw, in the program's words.
        lost: checkpoints, or finished trials, that were there before and are not afterwards.
        redone: iterations that were trained again; in a sweep of all its trials together.
        seconds: from the fault until work went on.
    """

    during: str
    injected: str
    seen: str
    lost: int
    redone: int
    seconds: float


def note(table: list[Fault], fault: Fault) -> None:
    """Add a row, and see that nothing is lost."""
    table.append(fault)
    assert fault.lost == 0, fault


TABLE = pytest.StashKey[list[Fault]]()


def lines_of(faults: Sequence[Fault]) -> list[str]:
    """The table as Markdown."""
    names = [field.name for field in fields(Fault)]
    rows = [
        [f"{value:.1f}" if isinstance(value, float) else str(value) for value in asdict(fault).values()]
        for fault in faults
    ]
    return ["| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *rows)]


def write(faults: Sequence[Fault], file: Path) -> None:
    """The table as JSON."""
    file.write_text(json.dumps([asdict(fault) for fault in faults], indent=2) + "\n", "utf-8")
