"""The logs of a run, iteration by iteration: money, learning speeds, RLlib's metrics, and TensorBoard's copy."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from invrec_rllib.rundir import RunDir

_STEP = "_effective_step"


class RunLog:
    """Writes what each iteration was.

    Args:
        run: whose logs.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        run.tensorboard.mkdir(parents=True, exist_ok=True)
        # Not its `SummaryWriter`, whose thread ends on a full disk; training would then wait for it for ever.
        self._writer = EventsWriter(str(run.tensorboard / "events"))

    def add(self, row: dict[str, Any], result: dict[str, Any]) -> None:
        """Log an iteration.

        Args:
            row: of `progress.csv`, `iteration` and `env_steps` among it; None: not measured.
            result: RLlib's.
        """
        numbers = finite_numbers(result)
        self._run.append_progress(row)
        place = {"iteration": row["iteration"], "env_steps": row["env_steps"]}
        learned = result.get("learners", {})
        self._run.append_speeds(
            [{**place, **speed} for speed in part_speeds(learned)],
            [{**place, **separation} for separation in part_separations(learned)],
        )
        self._run.append_result({**numbers, "training_iteration": row["iteration"]})
        step = row["env_steps"]
        for name, value in row.items():
            if value is not None and name not in ("iteration", "env_steps"):
                self._add_scalar(f"money_and_units/{name}", value, step=step)
        for name, value in numbers.items():
            if name.startswith(("env_runners/", "learners/", "timers/")):
                self._add_scalar(name, value, step=step)
        self._writer.flush()

    def _add_scalar(self, name: str, value: float, *, step: int) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))

    def close(self) -> None:
        """Flush what TensorBoard reads."""
        self._writer.close()


def part_speeds(learned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How fast each part of each module learned in an iteration.

    Args:
        learned: RLlib's results of learners by module; those of `MultiTimescaleMixin` have parts, others have none.

    Returns:
        A row per part: module, part, learning_rate, effective_step (norm of the change over the norm of the
        parameters), gradient_norm (of the first minibatch), kl_drift (nats, of the module's policy in one update) and
        drift_factor (on the next update's step size). What is not there is None: critics have no policy, a part whose
        gate is closed no gradient, a part without budget no factor.
    """
    return [
        {
            "module": module,
            "part": part,
            "learning_rate": _figure(figures, f"{part}_learning_rate"),
            "effective_step": _figure(figures, f"{part}_effective_step"),
            "gradient_norm": _figure(figures, f"{part}_gradient_norm"),
            "kl_drift": _figure(figures, "kl_drift"),
            "drift_factor": _figure(figures, f"{part}_drift_factor"),
        }
        for module, part, figures in _parts(learned)
    ]


def part_separations(learned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Step size of each timescale over that of the next faster one, per update.

    Args:
        learned: as in `part_speeds`.

    Returns:
        A row per pair: slower and faster, both as "module/part", and their ratio.
    """
    ratios = learned.get("__all_modules__", {}).get("separation", {})
    names = [(f"{module}_{part}", f"{module}/{part}") for module, part, _ in _parts(learned)]
    return [
        {"slower": slower, "faster": faster, "ratio": _figure(ratios, pair)}
        for slow, slower in names
        for fast, faster in names
        if (pair := f"{slow}_over_{fast}") in ratios
    ]


def _parts(learned: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for module, figures in sorted(learned.items()):
        for name in sorted(figures):
            if name.endswith(_STEP):
                yield module, name.removesuffix(_STEP), figures


def _figure(figures: Mapping[str, Any], name: str) -> float | None:
    """A finite figure in as many digits as single precision has."""
    found = finite_numbers({name: figures.get(name)}).get(name)
    return None if found is None else float(f"{found:.7g}")


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
