"""Step-size schedules: frozen values, pure functions of the position n."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.asymptotics import Tail
from invrec_rllib.timescales.base import Schedule, schedule_from_data, schedule_kind
from invrec_rllib.timescales.values import number


def _set(schedule: Schedule, /, **values: Any) -> None:
    # Frozen: checked and converted values replace the given ones once, before anybody sees the object.
    for name, value in values.items():
        object.__setattr__(schedule, name, value)


def _flat(value: float) -> Tail:
    return Tail(scale=value)


@schedule_kind("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same step size for ever.

    Args:
        value: at least 0; 0 freezes the part.
    """

    value: float

    def __post_init__(self) -> None:
        _set(self, value=number("value", self.value, least=0))

    def at(self, n: float) -> float:
        return self.value

    def tail(self) -> Tail:
        return _flat(self.value)

    def to_data(self) -> float:
        return self.value


@schedule_kind("power_law")
@dataclass(frozen=True)
class PowerLaw(Schedule):
    """``initial / (1 + n / offset)^power`` [a_0, n_0, p], the step size of stochastic approximation.

    Robbins and Monro's conditions hold for 1/2 < power <= 1.

    Args:
        initial: step size at 0, above 0.
        offset: position at which ``1 + n / offset`` is 2: below it nearly constant, far beyond it a power;
            above 0, in units of the part's clock.
        power: above 0.
    """

    initial: float
    offset: float
    power: float

    def __post_init__(self) -> None:
        _set(
            self,
            **{name: number(name, getattr(self, name), above=0) for name in ("initial", "offset", "power")},
        )

    def at(self, n: float) -> float:
        # Not (1 + n / offset) ** power, which overflows for large powers.
        return self.initial * math.exp(-self.power * math.log1p(n / self.offset))

    def tail(self) -> Tail:
        return Tail(scale=self.initial, power=self.power).at_speed(1 / self.offset)


@schedule_kind("inverse_log")
@dataclass(frozen=True)
class InverseLog(Schedule):
    """``initial / ((1 + n / offset) log(e + n / offset))``: falls like 1 / (n log n).

    The slow partner of a `PowerLaw` of power 1, as in Borkar's examples: the ratio of the two falls like
    1 / log n, which is very slow. Both satisfy Robbins and Monro's conditions.

    Args:
        initial: step size at 0, above 0.
        offset: position that counts as 1; above 0, in units of the part's clock.
    """

    initial: float
    offset: float

    def __post_init__(self) -> None:
        _set(self, **{name: number(name, getattr(self, name), above=0) for name in ("initial", "offset")})

    def at(self, n: float) -> float:
        position = n / self.offset
        return self.initial / ((1 + position) * math.log(math.e + position))

    def tail(self) -> Tail:
        return Tail(scale=self.initial, power=1, log_power=1).at_speed(1 / self.offset)


@schedule_kind("exponential")
@dataclass(frozen=True)
class Exponential(Schedule):
    """``initial * 2^(-n / half_life)``, never below the floor.

    Args:
        initial: step size at 0, above 0.
        half_life: distance over which the step size halves, above 0, in units of the part's clock.
        floor: lowest step size, from 0 to `initial`. Without one the steps have a finite sum, and learning stops.
    """

    initial: float
    half_life: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        _set(self, initial=number("initial", self.initial, above=0))
        _set(self, half_life=number("half_life", self.half_life, above=0))
        _set(self, floor=number("floor", self.floor, least=0))
        if self.floor > self.initial:
            raise InputError(f"floor = {self.floor:g} must not be above initial = {self.initial:g}")

    def at(self, n: float) -> float:
        return max(self.floor, self.initial * math.pow(0.5, n / self.half_life))

    def tail(self) -> Tail:
        if self.floor:
            return _flat(self.floor)
        return Tail(scale=self.initial, rate=math.log(2) / self.half_life)


@schedule_kind("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """Straight from `initial` to `final` over `length`, then `final`.

    Args:
        initial: step size at 0, at least 0.
        final: step size from `length` on, at least 0.
        length: above 0, in units of the part's clock.
    """

    initial: float
    final: float
    length: float

    def __post_init__(self) -> None:
        _set(self, initial=number("initial", self.initial, least=0))
        _set(self, final=number("final", self.final, least=0))
        _set(self, length=number("length", self.length, above=0))

    def at(self, n: float) -> float:
        return self.final + (self.initial - self.final) * (1 - min(n / self.length, 1.0))

    def tail(self) -> Tail:
        return _flat(self.final)


@schedule_kind("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from `initial` to `final` over `length`, then `final`.

    Args:
        initial: step size at 0, at least 0.
        length: above 0, in units of the part's clock.
        final: step size from `length` on, at least 0.
    """

    initial: float
    length: float
    final: float = 0.0

    def __post_init__(self) -> None:
        _set(self, initial=number("initial", self.initial, least=0))
        _set(self, length=number("length", self.length, above=0))
        _set(self, final=number("final", self.final, least=0))

    def at(self, n: float) -> float:
        wave = (1 + math.cos(math.pi * min(n / self.length, 1.0))) / 2
        return self.final + (self.initial - self.final) * wave

    def tail(self) -> Tail:
        return _flat(self.final)


@schedule_kind("piecewise")
@dataclass(frozen=True)
class Piecewise(Schedule):
    """Straight lines between points, constant after the last: RLlib's ``[[t, v], ...]``.

    Args:
        points: (position, step size), at least one, the first position 0, positions not falling (two points at one
            position are a jump, and the later one holds there), step sizes at least 0.
    """

    points: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        given = self.points
        if not isinstance(given, (list, tuple)) or not given:
            raise InputError(f"points = {given!r} must be [[0, value], [position, value], ...]")
        points = []
        for index, point in enumerate(given):
            if not isinstance(point, (list, tuple)) or len(point) != 2:
                raise InputError(f"points[{index}] = {point!r} must be [position, value]")
            position = number(f"points[{index}][0]", point[0], least=0)
            points.append((position, number(f"points[{index}][1]", point[1], least=0)))
        positions = [position for position, _ in points]
        if positions[0] != 0:
            raise InputError(f"points[0][0] = {positions[0]:g} must be 0, where the schedule starts")
        if positions != sorted(positions):
            raise InputError(f"positions {positions} of points must not fall")
        _set(self, points=tuple(points))

    def at(self, n: float) -> float:
        after = bisect_right(self.points, n, key=lambda point: point[0])
        start, first = self.points[after - 1]
        if after == len(self.points):
            return first
        end, second = self.points[after]
        return first + (second - first) * (n - start) / (end - start)

    def tail(self) -> Tail:
        return _flat(self.points[-1][1])


@schedule_kind("warm_up")
@dataclass(frozen=True)
class WarmUp(Schedule):
    """Another schedule, its first stretch scaled up in a straight line from `start` to 1.

    The other schedule runs from position 0, not from the end of the warm-up: beyond `length` both are equal, and
    the positions that it names keep their meaning.

    Args:
        schedule: any schedule, or its data.
        length: of the warm-up, above 0, in units of the part's clock.
        start: share of the step size at position 0, from 0 to 1.
    """

    schedule: Schedule
    length: float
    start: float = 0.0

    def __post_init__(self) -> None:
        _set(self, schedule=schedule_from_data(self.schedule))
        _set(self, length=number("length", self.length, above=0))
        _set(self, start=number("start", self.start, least=0))
        if self.start > 1:
            raise InputError(
                f"start = {self.start:g} must not be above 1, the share at the end of the warm-up"
            )

    def at(self, n: float) -> float:
        share = min(n / self.length, 1.0)
        return self.schedule(n) * (self.start + (1 - self.start) * share)

    def tail(self) -> Tail | None:
        return self.schedule.tail()
