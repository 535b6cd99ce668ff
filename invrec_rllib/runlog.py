"""The logs of a run, iteration by iteration: a table in money, RLlib's own metrics, and TensorBoard's copy of both."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from tensorboardX import SummaryWriter

from invrec_rllib.rundir import RunDir


class RunLog:
    """Writes what each iteration was.

    Args:
        run: whose logs.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._writer = SummaryWriter(str(run.tensorboard))

    def add(self, row: dict[str, Any], result: dict[str, Any]) -> None:
        """Log an iteration.

        Args:
            row: of `progress.csv`, `iteration` and `env_steps` among it; None: not measured.
            result: RLlib's.
        """
        numbers = finite_numbers(result)
        self._run.append_progress(row)
        self._run.append_result({**numbers, "training_iteration": row["iteration"]})
        step = row["env_steps"]
        for name, value in row.items():
            if value is not None and name not in ("iteration", "env_steps"):
                self._writer.add_scalar(f"money_and_units/{name}", value, step)
        for name, value in numbers.items():
            if name.startswith(("env_runners/", "learners/", "timers/")):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush what TensorBoard reads."""
        self._writer.close()


def finite_numbers(result: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """All finite numbers of RLlib's nested results, by path; no booleans, no text, no configuration."""
    flat: dict[str, float] = {}
    for key, value in result.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            if key != "config":
                flat.update(finite_numbers(value, f"{path}/"))
        elif not isinstance(value, bool | str):
            with contextlib.suppress(TypeError, ValueError):
                number = float(value)
                if math.isfinite(number):
                    flat[path] = number
    return flat
