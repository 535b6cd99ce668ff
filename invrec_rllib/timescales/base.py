"""What a step-size schedule is, and the registry of the kinds that data can name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeAlias, TypeVar

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.asymptotics import Tail
from invrec_rllib.timescales.values import known_keys

ScheduleData: TypeAlias = float | str | Sequence[Sequence[float]] | Mapping[str, Any]


@dataclass(frozen=True)
class Schedule(ABC):
    """A step size as a pure function of a position: restore the position, and everything is restored.

    A kind of one's own is a frozen dataclass that derives from this class, gives `at` (and `tail` where it
    is known), and is registered by `@schedule_kind`; its fields are the keys of its data form.
    """

    kind: ClassVar[str]

    def __call__(self, n: float) -> float:
        """Step size at position n >= 0, which may lie between whole numbers.

        Raises:
            InputError: n is negative or not finite.
        """
        if not (n >= 0 and math.isfinite(n)):
            raise InputError(f"position n = {n!r} of a schedule must be a finite number of at least 0")
        return self.at(n)

    @abstractmethod
    def at(self, n: float) -> float:
        """Step size at a position that has been checked."""

    def tail(self) -> Tail | None:
        """Asymptotic form; None where it is not known, and only a run's length can be judged."""
        return None

    def to_data(self) -> float | dict[str, Any]:
        """Plain numbers, lists and dicts from which `schedule_from_data` makes an equal schedule."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return {"kind": self.kind, **{name: _plain(value) for name, value in values.items()}}


ScheduleLike: TypeAlias = Schedule | ScheduleData
AnyKind = TypeVar("AnyKind", bound=type[Schedule])

_KINDS: dict[str, type[Schedule]] = {}


def schedule_kind(kind: str) -> Callable[[AnyKind], AnyKind]:
    """Class decorator: data with this `kind` makes an instance of the class."""

    def register(schedule: AnyKind) -> AnyKind:
        schedule.kind = kind
        _KINDS[kind] = schedule
        return schedule

    return register


def schedule_kinds() -> tuple[str, ...]:
    """Names that `kind` may have, as far as their modules are imported."""
    return tuple(sorted(_KINDS))


def schedule_from_data(data: ScheduleLike, *, where: str = "schedule") -> Schedule:
    """Make a schedule.

    Args:
        data: a number (constant), RLlib's ``[[position, value], ...]`` (linear in between), a mapping with `kind`
            and the fields of that kind, or a schedule, which is returned as it is.
        where: what the errors call the data.

    Raises:
        InputError: naming the field, its value and what is allowed.
    """
    if isinstance(data, Schedule):
        return data
    try:
        if isinstance(data, Mapping):
            return _from_mapping(data)
        if isinstance(data, (list, tuple)):
            return _from_mapping({"kind": "piecewise", "points": data})
        return _from_mapping({"kind": "constant", "value": data})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _from_mapping(data: Mapping[str, Any]) -> Schedule:
    if "kind" not in data:
        raise InputError(
            f"a mapping must say its kind, one of {', '.join(schedule_kinds())}; got {dict(data)!r}"
        )
    schedule = _KINDS.get(data["kind"]) if isinstance(data["kind"], str) else None
    if schedule is None:
        raise InputError(
            f"kind = {data['kind']!r} is not known; known are {', '.join(schedule_kinds())} (a kind is known once "
            "its module is imported: 'torch' by invrec_rllib.learning.torch_schedule)"
        )
    own = [field for field in fields(schedule) if field.init]
    required = [field.name for field in own if field.default is MISSING and field.default_factory is MISSING]
    values = {key: value for key, value in data.items() if key != "kind"}
    known_keys(f"kind {data['kind']}", values, required=required, allowed=[field.name for field in own])
    return schedule(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_data()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
