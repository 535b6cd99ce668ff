"""torch's learning-rate schedulers as schedules of the timescales: kind "torch", known once this is imported."""

from __future__ import annotations

import inspect
import json
import math
import threading
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch.optim import lr_scheduler

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import Schedule, schedule_kind
from invrec_rllib.timescales.values import known_keys, number

_REFUSED = {
    "ReduceLROnPlateau": "it follows a metric, and a schedule knows positions alone; use a drift budget, or a "
    "schedule of the position",
    "LambdaLR": "its function is no data; derive a kind from invrec_rllib.timescales.Schedule",
    "MultiplicativeLR": "its function is no data; derive a kind from invrec_rllib.timescales.Schedule",
    "SequentialLR": "it takes schedulers, which are no data; use piecewise or warm_up",
    "ChainedScheduler": "it takes schedulers, which are no data; use piecewise or warm_up",
}
# Minutes of replay; whoever comes this far counts env steps, for which there are closed forms.
MOST_STEPS = 10_000_000
# Set by the replay: the position is the caller's, the optimizer a dummy.
_OURS = ("self", "optimizer", "last_epoch", "verbose")


def torch_schedulers() -> tuple[str, ...]:
    """Names of torch's schedulers that `TorchSchedule` can follow."""
    classes = {
        name
        for name, value in vars(lr_scheduler).items()
        if inspect.isclass(value) and issubclass(value, lr_scheduler.LRScheduler)
    }
    own = {name for name in classes if not name.startswith("_") and name not in ("LRScheduler", *_REFUSED)}
    return tuple(sorted(own))


@schedule_kind("torch")
@dataclass(frozen=True)
class TorchSchedule(Schedule):
    """The learning rate that one of torch's `lr_scheduler` classes gives after n steps of it.

    The scheduler is replayed from 0 on an optimizer without gradients, each step once per process: the value at n
    depends on nothing but n. Between whole positions the value of the last one holds. OneCycleLR, which refuses
    steps beyond its end, keeps its last value; CosineAnnealingLR rises again after T_max, as in torch. Replaying
    takes tens of microseconds per position, so clocks of updates and gradient steps suit it, and env steps by the
    million do not.

    Args:
        name: of the class, such as "StepLR"; see `torch_schedulers`.
        initial: learning rate of the optimizer, above 0. OneCycleLR and CyclicLR set their own instead.
        options: the class' other arguments, plain data: numbers, text, booleans, lists.

    Raises:
        InputError: the class is not known, or needs what data cannot hold, or refuses the options; or, when called,
            the position is above `MOST_STEPS`.
    """

    name: str
    initial: float
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.name in _REFUSED:
            raise InputError(f"name = {self.name!r} cannot be a schedule: {_REFUSED[self.name]}")
        if self.name not in torch_schedulers():
            raise InputError(f"name = {self.name!r} must be one of {', '.join(torch_schedulers())}")
        object.__setattr__(self, "initial", number("initial", self.initial, above=0))
        object.__setattr__(self, "options", _checked_options(self.name, self.options))
        try:
            # Some options fail in the constructor, some at the first step only.
            self.at(1)
        except (TypeError, ValueError, ZeroDivisionError, AttributeError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"options = {self.options!r} are refused by {self.name}: {error}") from error

    def at(self, n: float) -> float:
        options = json.dumps(self.options, sort_keys=True)
        return _replay(self.name, self.initial, options).at(math.floor(n))


class _Replay:
    """A scheduler that is stepped as far as anybody asked, and the learning rates on the way."""

    def __init__(self, name: str, initial: float, options: Mapping[str, Any]) -> None:
        # CyclicLR and OneCycleLR cycle the momentum too, and want one.
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=initial, momentum=0.9)
        self.scheduler = getattr(lr_scheduler, name)(self.optimizer, **options)
        self.values = array("d", [self._rate()])
        # torch lets OneCycleLR take one step beyond its end, where the rate leaps up again, and raises at the next.
        self.last = self.scheduler.total_steps - 1 if name == "OneCycleLR" else math.inf
        # Algorithms may learn in one thread and log in another.
        self.lock = threading.Lock()

    def at(self, step: int) -> float:
        step = int(min(step, self.last))
        if step > MOST_STEPS:
            raise InputError(
                f"position {step} is beyond the {MOST_STEPS} steps that a torch scheduler is replayed"
            )
        with self.lock:
            while len(self.values) <= step:
                self.optimizer.step()
                self.scheduler.step()
                self.values.append(self._rate())
            return self.values[step]

    def _rate(self) -> float:
        rate = float(self.optimizer.param_groups[0]["lr"])
        if not (rate >= 0 and math.isfinite(rate)):
            raise InputError(
                f"{type(self.scheduler).__name__} gives a learning rate of {rate:g}, not a finite one of at least 0"
            )
        return rate


@lru_cache(maxsize=256)
def _replay(name: str, initial: float, options: str) -> _Replay:
    return _Replay(name, initial, json.loads(options))


def _checked_options(name: str, options: Any) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        raise InputError(f"options = {options!r} must be a mapping of {name}'s arguments")
    arguments = inspect.signature(getattr(lr_scheduler, name).__init__).parameters
    own = [argument for argument in arguments.values() if argument.name not in _OURS]
    required = [argument.name for argument in own if argument.default is argument.empty]
    known_keys(f"options of {name}", options, required=required, allowed=[argument.name for argument in own])
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"options = {dict(options)!r} must be plain data ({error})") from error
    return plain
