"""`invrec_v0` in a batch that fails at its next step when a file in a folder orders it to.

As a script it is `invrec` with such worlds: ``python faulty_world.py train ...``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from invrec_rllib.env.batched import Moved
from invrec_rllib.rllib import register as registration
from invrec_rllib.rllib.register import make_batched_invrec

FOLDER = "INVREC_TEST_FAULTS"
# The first of these lasts as long as its file; of the others one batch takes the file, and fails once.
LASTING = "raise_always"
ONCE = ("raise", "nan", "hang")
HANGING_SECONDS = 3600.0


class WorldError(Exception):
    """What an order makes a step raise."""


class FaultyBatch:
    """A batch of environments, whole but for its faults."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def step(self, actions: dict[str, Any]) -> Moved:
        """Play one step, and fail as ordered."""
        order = take_order()
        if order in ("raise", LASTING):
            raise WorldError("ordered")
        if order == "hang":
            time.sleep(HANGING_SECONDS)
        moved: Moved = self._batch.step(actions)
        if order == "nan":
            moved.rewards["inventory"][0] = np.nan
        return moved


def take_order() -> str | None:
    """The order of this moment, if any."""
    folder = Path(os.environ[FOLDER])
    if (folder / LASTING).exists():
        return LASTING
    for kind in ONCE:
        try:
            (folder / kind).rename(folder / f"{kind}.taken.{os.getpid()}")
        except FileNotFoundError:
            continue
        return kind
    return None


def make_batched(options: dict[str, Any], **batch: Any) -> FaultyBatch:
    """As `make_batched_invrec`."""
    return FaultyBatch(make_batched_invrec(options, **batch))


def main() -> None:
    """Run `invrec` with worlds of this module, which the cluster's workers import by its name."""
    from faulty_world import make_batched as importable

    from invrec_rllib.cli import main as invrec

    registration.make_batched_invrec = importable
    sys.argv[0] = "invrec"
    invrec()


if __name__ == "__main__":
    main()
