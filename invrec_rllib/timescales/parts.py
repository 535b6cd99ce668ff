"""How one part of a module learns: its step size, clock, gating, parameters and drift budget."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.base import Schedule, ScheduleLike, schedule_from_data
from invrec_rllib.timescales.drift import DriftBudget, DriftLike, drift_from_data
from invrec_rllib.timescales.values import count, known_keys, number

Clock: TypeAlias = Literal["updates", "gradient_steps", "env_steps"]
CLOCKS: tuple[str, ...] = get_args(Clock)


@dataclass(frozen=True)
class Part:
    """How one part of one module learns.

    Args:
        schedule: step size; a number, RLlib's ``[[t, v], ...]`` or a mapping with `kind` is accepted.
        clock: what the schedule's position counts. "updates": calls of the learner's update in which this part
            stepped before; "gradient_steps": steps of this part's optimizer before; "env_steps": env steps sampled
            in the run so far.
        update_every: the part takes its gradient steps in every so-many-th update only, at least 1. In between its
            position stands still (the env steps sampled meanwhile count at its next step).
        parameters: regular expressions, searched in parameter names; empty: the part's own name decides.
        grad_clip: bound on the norm of the part's gradient, above 0; None: the algorithm's own setting.
        drift: budget of KL divergence per update to which the step size adapts; None: the schedule alone.
    """

    schedule: Schedule
    clock: Clock = "updates"
    update_every: int = 1
    parameters: tuple[str, ...] = ()
    grad_clip: float | None = None
    drift: DriftBudget | None = None

    def __post_init__(self) -> None:
        if self.clock not in CLOCKS:
            raise InputError(f"clock = {self.clock!r} must be one of {', '.join(CLOCKS)}")
        checked = {
            "schedule": schedule_from_data(self.schedule),
            "update_every": count("update_every", self.update_every),
            "parameters": _patterns(self.parameters),
            "grad_clip": None if self.grad_clip is None else number("grad_clip", self.grad_clip, above=0),
            "drift": None if self.drift is None else drift_from_data(self.drift),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def steps_in(self, update: int) -> bool:
        """Whether the part takes gradient steps in an update, counted from 0: in the first, then every k-th."""
        return update % self.update_every == 0

    def to_data(self) -> Any:
        """The schedule's data if all else is at its default, a mapping otherwise."""
        data: dict[str, Any] = {"schedule": self.schedule.to_data()}
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                data[field.name] = _plain(value)
        return data["schedule"] if len(data) == 1 else data


PartLike: TypeAlias = Part | ScheduleLike


def part(
    schedule: ScheduleLike,
    *,
    clock: Clock = "updates",
    update_every: int = 1,
    parameters: Sequence[str] = (),
    grad_clip: float | None = None,
    drift: DriftLike | None = None,
) -> Part:
    """Make a `Part` from values in any form that its fields accept.

    Raises:
        InputError: naming the field, its value and what is allowed.
    """
    return Part(
        schedule_from_data(schedule),
        clock=clock,
        update_every=update_every,
        parameters=_patterns(parameters),
        grad_clip=grad_clip,
        drift=None if drift is None else drift_from_data(drift),
    )


def part_from_data(data: PartLike, *, where: str = "part") -> Part:
    """Make a part from a mapping of its fields, or from its schedule alone in any form.

    Raises:
        InputError: naming the field, its value and what is allowed.
    """
    if isinstance(data, Part):
        return data
    try:
        if isinstance(data, Mapping) and "kind" not in data:
            names = [field.name for field in fields(Part)]
            known_keys("a part", data, required=["schedule"], allowed=names)
            return part(**data)
        return part(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _patterns(given: Any) -> tuple[str, ...]:
    # A single text is itself a sequence of texts, each one letter long.
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"parameters = {given!r} must be a list of regular expressions")
    for pattern in given:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise InputError(f"parameters: {pattern!r} is not a regular expression ({error})") from error
    return tuple(given)


def _plain(value: Any) -> Any:
    if isinstance(value, DriftBudget):
        return value.to_data()
    return list(value) if isinstance(value, tuple) else value
