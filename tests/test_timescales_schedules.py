"""Schedules: values by hand, what they are far out, and their data form."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import (
    Constant,
    Cosine,
    Exponential,
    InverseLog,
    Linear,
    Piecewise,
    PowerLaw,
    Schedule,
    Tail,
    WarmUp,
    schedule_from_data,
    schedule_kind,
    schedule_kinds,
)

E = math.e
sizes = st.floats(1e-6, 10.0)
lengths = st.floats(0.5, 1e6)
simple = st.one_of(
    st.builds(Constant, st.floats(0, 10)),
    st.builds(PowerLaw, sizes, lengths, st.floats(0.1, 3)),
    st.builds(InverseLog, sizes, lengths),
    st.builds(Exponential, sizes, lengths),
    st.builds(Cosine, sizes, lengths, st.floats(0, 1e-6)),
    st.builds(Linear, sizes, st.floats(0, 1e-6), lengths),
    st.lists(st.tuples(lengths, sizes), max_size=4).map(lambda rest: Piecewise([(0.0, 0.5), *sorted(rest)])),
)
schedules = st.recursive(
    simple, lambda inner: st.builds(WarmUp, inner, lengths, st.floats(0, 1)), max_leaves=3
)
positions = st.floats(0, 1e9)


@pytest.mark.parametrize(
    ("schedule", "n", "value"),
    [
        (Constant(0.3), 1e9, 0.3),
        (PowerLaw(0.8, offset=10, power=1), 0, 0.8),
        (PowerLaw(0.8, offset=10, power=1), 30, 0.2),
        (PowerLaw(0.8, offset=1, power=0.5), 15, 0.2),
        (PowerLaw(0.8, offset=1, power=2), 3, 0.05),
        (InverseLog(0.8, offset=10), 0, 0.8),
        (InverseLog(0.8, offset=1), E**2 - E, 0.8 / (2 * (1 + E**2 - E))),
        (InverseLog(0.8, offset=10), 10 * (E**3 - E), 0.8 / (3 * (1 + E**3 - E))),
        (Exponential(0.8, half_life=5), 15, 0.1),
        (Exponential(0.8, half_life=5, floor=0.15), 10, 0.2),
        (Exponential(0.8, half_life=5, floor=0.15), 15, 0.15),
        (Cosine(0.8, length=12), 0, 0.8),
        (Cosine(0.8, length=12), 4, 0.6),
        (Cosine(0.8, length=12), 6, 0.4),
        (Cosine(0.8, length=12, final=0.2), 13, 0.2),
        (Linear(0.8, 0.2, length=6), 2, 0.6),
        (Linear(0.2, 0.8, length=6), 2, 0.4),
        (Linear(0.8, 0.2, length=6), 7, 0.2),
        (Piecewise([[0, 1.0], [10, 0.5], [20, 0.0]]), 5, 0.75),
        (Piecewise([[0, 1.0], [10, 0.5], [20, 0.0]]), 10, 0.5),
        (Piecewise([[0, 1.0], [10, 0.5], [20, 0.0]]), 15, 0.25),
        (Piecewise([[0, 1.0], [10, 0.5], [20, 0.1]]), 99, 0.1),
        (Piecewise([[0, 1.0], [10, 1.0], [10, 0.1]]), 9.999, 1.0),
        (Piecewise([[0, 1.0], [10, 1.0], [10, 0.1]]), 10, 0.1),
        (WarmUp(Constant(0.8), length=4), 0, 0.0),
        (WarmUp(Constant(0.8), length=4), 1, 0.2),
        (WarmUp(Constant(0.8), length=4, start=0.5), 2, 0.6),
        (WarmUp(PowerLaw(0.8, 1, 1), length=4), 3, 0.2 * 0.75),
        (WarmUp(PowerLaw(0.8, 1, 1), length=4), 7, 0.1),
    ],
)
def test_values_by_hand(schedule: Schedule, n: float, value: float) -> None:
    assert schedule(n) == pytest.approx(value, rel=1e-12)


@given(schedules, positions)
def test_a_step_size_is_a_number_of_at_least_zero(schedule: Schedule, n: float) -> None:
    assert 0 <= schedule(n) < math.inf


@given(
    st.one_of(
        st.builds(PowerLaw, sizes, lengths, st.floats(0.1, 500)), st.builds(Exponential, sizes, lengths)
    ),
    positions,
    positions,
)
def test_decaying_schedules_never_rise(schedule: Schedule, n: float, m: float) -> None:
    assert schedule(max(n, m)) <= schedule(min(n, m)) <= schedule(0)


@pytest.mark.parametrize("n", [-1, -1e-9, math.nan, math.inf])
def test_a_position_below_zero_or_beyond_numbers_is_refused(n: float) -> None:
    with pytest.raises(InputError, match=r"position n = .* must be a finite number of at least 0"):
        Constant(1)(n)


@given(simple, lengths, st.floats(0, 1))
def test_a_warm_up_meets_its_schedule_without_a_jump(schedule: Schedule, length: float, start: float) -> None:
    warm = WarmUp(schedule, length, start)
    assert warm(length) == pytest.approx(schedule(length))
    assert warm(length * (1 - 1e-9)) == pytest.approx(schedule(length * (1 - 1e-9)), rel=1e-6, abs=1e-12)
    assert warm(2 * length) == schedule(2 * length)
    assert warm(0) == pytest.approx(start * schedule(0))


@given(schedules)
def test_data_through_yaml_give_the_same_schedule(schedule: Schedule) -> None:
    data = yaml.safe_load(yaml.safe_dump(schedule.to_data()))
    assert schedule_from_data(data) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({schedule, schedule_from_data(data)}) == 1


def test_equal_only_if_every_value_is() -> None:
    schedule = PowerLaw(0.1, 10, 0.6)
    assert [replace(schedule, **{name: 7.0}) == schedule for name in ("initial", "offset", "power")] == [
        False
    ] * 3


@pytest.mark.parametrize(
    ("data", "schedule"),
    [
        (0.01, Constant(0.01)),
        (1, Constant(1.0)),
        ("3e-4", Constant(3e-4)),
        ([[0, 0.1], [1000, 0.01]], Piecewise(((0.0, 0.1), (1000.0, 0.01)))),
        ({"kind": "constant", "value": 2}, Constant(2.0)),
        ({"kind": "power_law", "initial": "1e-2", "offset": 5, "power": 1}, PowerLaw(0.01, 5, 1)),
        ({"kind": "cosine", "initial": 1, "length": 5}, Cosine(1, 5, 0)),
        ({"kind": "warm_up", "schedule": 0.1, "length": 5}, WarmUp(Constant(0.1), 5)),
        (
            {"kind": "warm_up", "schedule": [[0, 1], [9, 0]], "length": 5},
            WarmUp(Piecewise([[0, 1], [9, 0]]), 5),
        ),
    ],
)
def test_short_and_long_forms_of_data(data: Any, schedule: Schedule) -> None:
    assert schedule_from_data(data) == schedule


def test_yaml_reads_a_power_of_ten_without_a_point_as_text_and_it_still_counts() -> None:
    assert schedule_from_data(yaml.safe_load("lr: 3e-4")["lr"]) == Constant(3e-4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (-0.1, "value = -0.1 must be a finite number of at least 0"),
        (math.nan, "value = nan must be a finite number"),
        (True, "value = True must be a finite number"),
        (None, "value = None must be a finite number"),
        ("fast", "value = 'fast' must be a finite number"),
        ([], "must be [[0, value], [position, value], ...]"),
        ([0.1], "points[0] = 0.1 must be [position, value]"),
        ([[5, 0.1]], "points[0][0] = 5 must be 0"),
        ([[0, 0.1], [9, 0.1], [5, 0.1]], "positions [0.0, 9.0, 5.0] of points must not fall"),
        ([[0, 0.1], [9, -0.1]], "points[1][1] = -0.1 must be a finite number of at least 0"),
        ({"value": 3}, "must say its kind, one of constant, cosine,"),
        ({"kind": "stepwise"}, "kind = 'stepwise' is not known; known are constant, cosine,"),
        ({"kind": ["cosine"]}, "kind = ['cosine'] is not known"),
        (
            {"kind": "power_law", "initial": 1, "offset": 0, "power": 1},
            "offset = 0 must be a finite number above 0",
        ),
        (
            {"kind": "power_law", "initial": 1, "offset": 1, "power": -1},
            "power = -1 must be a finite number above 0",
        ),
        ({"kind": "inverse_log", "initial": 0, "offset": 1}, "initial = 0 must be a finite number above 0"),
        (
            {"kind": "exponential", "initial": 1, "half_life": 0},
            "half_life = 0 must be a finite number above 0",
        ),
        (
            {"kind": "exponential", "initial": 1, "half_life": 1, "floor": 2},
            "floor = 2 must not be above initial = 1",
        ),
        ({"kind": "cosine", "initial": 1, "length": -3}, "length = -3 must be a finite number above 0"),
        ({"kind": "linear", "initial": 1, "length": 3}, "lacks 'final'; its keys are initial, final, length"),
        ({"kind": "linear", "initial": 1, "final": 0, "length": 3, "step": 1}, "does not know 'step'"),
        ({"kind": "warm_up", "schedule": 0.1, "length": 5, "start": 2}, "start = 2 must not be above 1"),
        ({"kind": "warm_up", "schedule": -1, "length": 5}, "schedule: value = -1 must be"),
    ],
)
def test_wrong_data_are_named(data: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        schedule_from_data(data, where="actor's schedule")
    assert str(caught.value).startswith("actor's schedule: ")
    assert message in str(caught.value)


def test_a_kind_of_ones_own_is_known_once_registered() -> None:
    @schedule_kind("test_sawtooth")
    @dataclass(frozen=True)
    class Sawtooth(Schedule):
        initial: float
        period: int = 2

        def at(self, n: float) -> float:
            return self.initial * (1 - (n % self.period) / self.period)

    assert "test_sawtooth" in schedule_kinds()
    made = schedule_from_data({"kind": "test_sawtooth", "initial": 0.5, "period": 4})
    assert made == Sawtooth(0.5, 4)
    assert schedule_from_data(made.to_data()) == made
    assert made(7) == 0.125
    assert made.tail() is None


FORMS = (
    Constant(0.3),
    PowerLaw(0.3, 20, 0.4),
    PowerLaw(0.3, 20, 0.5),
    PowerLaw(0.3, 20, 0.6),
    PowerLaw(0.3, 20, 1.0),
    PowerLaw(0.3, 20, 1.5),
    InverseLog(0.3, 20),
    Exponential(0.3, 20),
    Exponential(0.3, 20, floor=0.01),
    Cosine(0.3, 20),
    Cosine(0.3, 20, final=0.1),
    Linear(0.3, 0.0, 20),
    Linear(0.3, 0.1, 20),
    Piecewise([[0, 0.3], [20, 0.1]]),
    Piecewise([[0, 0.3], [20, 0.0]]),
    WarmUp(PowerLaw(0.3, 20, 0.6), 50),
    WarmUp(Constant(0.3), 50),
)


def form_at(tail: Tail, n: float) -> float:
    return (
        tail.scale
        * math.exp(-tail.rate * n)
        / (math.pow(n, tail.power) * math.pow(math.log(n), tail.log_power))
    )


def has_form(schedule: Schedule) -> bool:
    """Whether the stated asymptotic form is what the values come to.

    At a million offsets 1 + n/n_0 is n/n_0 to six digits. The logarithm of n/n_0 differs from that of n by log n_0,
    which only much farther out does not matter; a geometric decay underflows there.
    """
    tail = schedule.tail()
    assert tail is not None
    n = 1e300 if tail.log_power else 300.0 if tail.rate else 1e9
    return math.isclose(schedule(n), form_at(tail, n), rel_tol=5e-3)


@pytest.mark.parametrize("schedule", FORMS, ids=str)
def test_the_stated_form_is_what_the_values_come_to(schedule: Schedule) -> None:
    assert has_form(schedule)


@dataclass(frozen=True)
class Liar(Schedule):
    """States the form of one schedule, has the values of another."""

    true: Schedule
    stated: Schedule

    def at(self, n: float) -> float:
        return self.true(n)

    def tail(self) -> Tail | None:
        return self.stated.tail()


@pytest.mark.parametrize(
    ("true", "stated"),
    [
        (PowerLaw(0.3, 20, 0.6), PowerLaw(0.3, 20, 0.61)),
        (PowerLaw(0.3, 20, 1.0), InverseLog(0.3, 20)),
        (InverseLog(0.3, 20), PowerLaw(0.3, 20, 1.0)),
        (PowerLaw(0.3, 20, 1.0), PowerLaw(0.3, 21, 1.0)),
        (Exponential(0.3, 20), Exponential(0.3, 21)),
        (Cosine(0.3, 20), Constant(0.3)),
    ],
    ids=str,
)
def test_a_wrong_form_is_rejected(true: Schedule, stated: Schedule) -> None:
    assert not has_form(Liar(true, stated))


def diverges(schedule: Schedule, *, power: int) -> bool:
    """Whether the step sizes to a power sum to infinity, by Cauchy's condensation test in numbers.

    The sum of a(n) is infinite just where that of 2^k a(2^k) is. Of these, the sum over k from 200 to 400 against
    that from 100 to 200 is 0 for geometric decay, 2 for constants, and 1 for 1/k: only decay below that converges.
    """

    def block(start: int, stop: int) -> float:
        return sum(2.0**k * schedule(2.0**k) ** power for k in range(start, stop))

    return block(200, 400) > 0.9 * block(100, 200) > 0


VERDICTS = [
    # schedule, sum a = inf, sum a^2 < inf
    (Constant(0.3), True, False),
    (Constant(0.0), False, True),
    (PowerLaw(0.3, 20, 0.3), True, False),
    (PowerLaw(0.3, 20, 0.5), True, False),
    (PowerLaw(0.3, 20, 0.51), True, True),
    (PowerLaw(0.3, 20, 0.6), True, True),
    (PowerLaw(0.3, 20, 1.0), True, True),
    (PowerLaw(0.3, 20, 1.01), False, True),
    (PowerLaw(0.3, 20, 2.0), False, True),
    (InverseLog(0.3, 20), True, True),
    (Exponential(0.3, 20), False, True),
    (Exponential(0.3, 20, floor=0.1), True, False),
    (Cosine(0.3, 20), False, True),
    (Cosine(0.3, 20, final=0.1), True, False),
    (Linear(0.3, 0.0, 20), False, True),
    (Linear(0.3, 0.1, 20), True, False),
    (Piecewise([[0, 0.1]]), True, False),
    (Piecewise([[0, 0.1], [1e6, 0]]), False, True),
    (WarmUp(PowerLaw(0.3, 20, 1.0), 50), True, True),
    (WarmUp(Linear(0.3, 0.0, 20), 50), False, True),
]


@pytest.mark.parametrize(("schedule", "sum_diverges", "squares_converge"), VERDICTS, ids=str)
def test_robbins_and_monros_conditions(
    schedule: Schedule, sum_diverges: bool, squares_converge: bool
) -> None:
    tail = schedule.tail()
    assert tail is not None
    assert (tail.sum_diverges, tail.squares_converge) == (sum_diverges, squares_converge)
    assert (diverges(schedule, power=1), not diverges(schedule, power=2)) == (sum_diverges, squares_converge)


@pytest.mark.parametrize(
    ("tail", "sum_diverges", "squares_converge"),
    [
        (Tail(scale=1, power=1, log_power=1.1), False, True),  # sum 1 / (n log^1.1 n) converges
        (Tail(scale=1, power=0.5, log_power=0.5), True, False),  # its square is 1 / (n log n)
        (Tail(scale=1, power=0.5, log_power=0.6), True, True),
        (Tail(scale=1, power=1, log_power=-1), True, True),  # log n / n
    ],
)
def test_logarithms_decide_on_the_border(tail: Tail, sum_diverges: bool, squares_converge: bool) -> None:
    assert (tail.sum_diverges, tail.squares_converge) == (sum_diverges, squares_converge)


@given(
    st.builds(Tail, scale=st.floats(0.1, 10), power=st.floats(0, 2), rate=st.sampled_from([0.0, 1e-3])),
    st.floats(0.1, 10),
)
def test_another_unit_of_the_clock_changes_the_scale_alone(tail: Tail, speed: float) -> None:
    assert form_at(tail.at_speed(speed), 700) == pytest.approx(form_at(tail, 700 * speed))
    assert form_at(tail.times(3), 700) == pytest.approx(3 * form_at(tail, 700))
    assert form_at(tail.root(), 700) == pytest.approx(math.sqrt(form_at(tail, 700)))


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        (Tail(scale=0), "0"),
        (Tail(scale=0.01), "0.01"),
        (Tail(scale=2, power=1), "2 / n"),
        (Tail(scale=2, power=0.6), "2 / n^0.6"),
        (Tail(scale=2, power=1, log_power=1), "2 / (n log n)"),
        (Tail(scale=2, rate=0.5), "2 exp(-0.5 n)"),
    ],
)
def test_a_form_reads_like_a_formula(tail: Tail, text: str) -> None:
    assert str(tail) == text


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1)), min_size=1, max_size=5),
    st.integers(0, 2000),
)
def test_points_mean_what_rllib_means_by_them(rest: list[tuple[int, float]], n: int) -> None:
    from ray.rllib.utils.schedules.scheduler import Scheduler

    points = [[0, 0.5], *map(list, sorted(rest))]
    theirs = Scheduler(points, framework="torch")
    theirs.update(n)
    assert Piecewise(points)(n) == pytest.approx(float(theirs.get_current_value()), rel=1e-6, abs=1e-7)
