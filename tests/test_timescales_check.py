"""The check of timescales: verdicts known from theory, confirmed by numbers, and what a run reaches of them."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import (
    Constant,
    Cosine,
    DriftBudget,
    Exponential,
    InverseLog,
    Linear,
    Part,
    Piecewise,
    PowerLaw,
    Schedule,
    TimescaleReport,
    Timescales,
    TimescaleWarning,
    WarmUp,
    part,
)
from invrec_rllib.timescales.pace import Run, step_pace

RUN = Run(1000, gradient_steps=24, env_steps=1664)


def power(exponent: float, initial: float = 0.1, offset: float = 10, **fields: Any) -> Part:
    return part(PowerLaw(initial, offset, exponent), **fields)


def check(
    parts: dict[str, Part], *, num_updates: int = 1000, strict: bool = False, **run: float
) -> TimescaleReport:
    return Timescales({"m": parts}, strict=strict).check(num_updates=num_updates, **run)


# Limits of slow over fast. With gating by k, a_n = c n^-p at the part's own steps is c (n/k)^-p / k per update.
PAIRS = [
    (power(0.6), power(1.0), 0.0),
    (power(0.6), power(0.6, 0.01), 0.1),
    (power(0.6, offset=10), power(0.6, offset=1), 0.1**0.6),
    (power(1.0), part(InverseLog(0.1, 10)), 0.0),
    (part(InverseLog(0.1, 10)), part(InverseLog(0.02, 10)), 0.2),
    (part(0.1), power(0.3), 0.0),
    (part(0.1), part(0.01), 0.1),
    (part(0.1), part(0.1, update_every=5), 0.2),
    (power(0.6), power(0.6, update_every=10), 10**-0.4),
    (power(1.0), power(1.0, update_every=10), 1.0),
    (power(0.6), power(1.0, update_every=10), 0.0),
    (power(0.6, clock="updates"), power(0.6, clock="gradient_steps"), 24**-0.6),
    (power(0.6, clock="gradient_steps"), power(0.6, clock="env_steps"), (24 / 1664) ** 0.6),
    (power(0.6, clock="env_steps"), power(0.6, clock="env_steps", update_every=4), 0.25),
    (power(0.6), part(Exponential(0.1, 50)), 0.0),
    (part(0.1), part(Exponential(0.1, 50, floor=0.02)), 0.2),
    (part(0.1), part(Linear(0.1, 0.0, 500)), 0.0),
    (part(0.1), part(Cosine(0.1, 500, final=0.02)), 0.2),
    (power(0.6), part(WarmUp(PowerLaw(0.1, 10, 1), 50)), 0.0),
    (power(0.6), part(Linear(0.1, 0.0, 500)), 0.0),
    (part([[0, 0.1], [90, 0.05]]), part([[0, 0.1], [90, 0.01]]), 0.2),
    # What is slower in this run need not be so far out.
    (power(0.6, 0.01), part(0.0001), math.inf),
    (part(Exponential(0.1, 300)), power(0.6, 1e-4), math.inf),
]


def numbers_agree(fast: Part, slow: Part, limit: float) -> bool:
    """Whether the ratio goes where it is said to, by its values after 2^200 and 2^400 updates."""

    def ratio(updates: float) -> float:
        top, bottom = step_pace(slow, RUN).at(updates), step_pace(fast, RUN).at(updates)
        return top / bottom if bottom else math.inf

    before, after = ratio(2.0**200), ratio(2.0**400)
    # The slowest decay here, 1 / log n, halves between them.
    if limit == 0:
        return after < 0.6 * before or after == 0
    if limit == math.inf:
        return after > before / 0.6 or after == math.inf
    return math.isclose(after, limit, rel_tol=1e-6)


@pytest.mark.parametrize(("fast", "slow", "limit"), PAIRS, ids=str)
def test_limits_of_ratios(fast: Part, slow: Part, limit: float) -> None:
    report = check({"fast": fast, "slow": slow}, gradient_steps_per_update=24, env_steps_per_update=1664)
    (found,) = report.ratios
    assert numbers_agree(fast, slow, limit)
    turned = report.order == (("m/slow",), ("m/fast",))
    assert found.limit == pytest.approx(1 / limit if turned and limit else limit)
    assert (found.judged, found.tends_to_zero) == ("symbolic", limit == 0)
    assert turned == (limit == 1.0) or not turned
    separate = [line for line in report.violations if "ratio" in line]
    assert bool(separate) == (limit != 0)


@pytest.mark.parametrize(
    ("fast", "slow", "wrong"),
    [
        (power(1.0), part(InverseLog(0.1, 10)), 1.0),  # a logarithm is no constant
        (power(1.0), power(1.0, update_every=10), 0.1),  # forgets that a gated part's position stands still
        (power(0.6), power(0.6, update_every=10), 0.0),  # gating does not change the exponent
        (power(0.6), power(0.6, clock="gradient_steps"), 1.0),  # forgets the clock
        (part(0.1), part(0.01), 0.0),
        (power(0.6), power(1.0), 0.1),
        (power(0.6, 0.01), part(0.0001), 0.0),
    ],
    ids=str,
)
def test_the_numbers_reject_a_wrong_limit(fast: Part, slow: Part, wrong: float) -> None:
    assert not numbers_agree(fast, slow, wrong)


@dataclass(frozen=True)
class Blind(Schedule):
    """A schedule whose asymptotic form nobody states."""

    seen: Schedule

    def at(self, n: float) -> float:
        return self.seen(n)


@pytest.mark.parametrize(
    ("schedule", "sum_diverges", "squares_converge"),
    [
        (Constant(0.1), True, False),
        (PowerLaw(0.1, 10, 0.3), True, False),
        (PowerLaw(0.1, 10, 0.6), True, True),
        (PowerLaw(0.1, 10, 1.0), True, True),
        (PowerLaw(0.1, 10, 1.5), False, True),
        (Exponential(0.1, 200), False, True),
        (Linear(0.1, 0.0, 400), False, True),
        (Linear(0.1, 0.0, 200), False, True),
        (Linear(0.01, 0.1, 1000), True, False),
        (Piecewise([[0, 0.0], [500, 0.0], [1000, 0.1]]), True, False),
    ],
    ids=str,
)
def test_an_unknown_form_is_judged_by_the_run(
    schedule: Schedule, sum_diverges: bool, squares_converge: bool
) -> None:
    (found,) = check({"all": part(Blind(schedule))}).parts
    assert (found.sum_diverges, found.squares_converge) == (sum_diverges, squares_converge)
    assert (found.judged, found.form) == ("numeric", None)


@pytest.mark.parametrize(
    ("fast", "slow", "tends_to_zero"),
    [
        (PowerLaw(0.1, 10, 0.6), PowerLaw(0.1, 10, 1.0), True),
        (PowerLaw(0.1, 10, 1.0), InverseLog(0.1, 10), True),
        (PowerLaw(0.1, 10, 0.6), PowerLaw(0.01, 10, 0.6), False),
        (Constant(0.1), Constant(0.01), False),
        (Constant(0.1), Linear(0.1, 0.0, 300), True),
        (PowerLaw(0.01, 10, 0.6), Constant(1e-6), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("num_updates", [100, 100_000])
def test_a_ratio_of_unknown_form_is_judged_by_the_run(
    fast: Schedule, slow: Schedule, tends_to_zero: bool, num_updates: int
) -> None:
    if num_updates == 100 and isinstance(slow, Linear):
        slow = Linear(0.1, 0.0, 30)
    (found,) = check({"fast": part(fast), "slow": part(Blind(slow))}, num_updates=num_updates).ratios
    assert (found.judged, found.limit, found.tends_to_zero) == ("numeric", None, tends_to_zero)


@pytest.mark.parametrize("num_updates", [1, 2, 3])
def test_a_run_of_an_update_or_two_can_be_judged(num_updates: int) -> None:
    report = check({"a": part(Blind(PowerLaw(1, 1, 1))), "b": power(0.6, 0.1)}, num_updates=num_updates)
    assert len(report.ratios) == 1
    assert str(report)


def test_the_ideal_has_no_violations() -> None:
    report = check({"critic": power(0.55), "encoder": power(0.75), "actor": power(1)})
    assert report.order == (("m/critic",), ("m/encoder",), ("m/actor",))
    assert report.ok
    assert "No violations" in str(report)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.enforce()


def test_figures_of_a_run_by_hand() -> None:
    timescales = Timescales.from_data(
        {
            "buyer": {
                "actor": {
                    "schedule": {"kind": "power_law", "initial": 0.8, "offset": 1, "power": 1},
                    "update_every": 4,
                }
            },
            "seller": {"critic": 0.5},
        }
    )
    report = timescales.check(num_updates=15)
    fast, slow = report.parts
    assert (fast.name, fast.timescale, fast.first, fast.last) == ("seller/critic", 1, 0.5, 0.5)
    # Steps in updates 0, 4, 8 and 12; at position 3 the schedule gives 0.8 / 4, and a quarter of it counts.
    assert (slow.name, slow.timescale, slow.update_every) == ("buyer/actor", 2, 4)
    assert (slow.first, slow.last) == pytest.approx((0.2, 0.05))
    assert str(slow.form) == "0.8 / n"  # 0.8 / (n / 4) / 4
    (ratio,) = report.ratios
    assert (ratio.slow, ratio.first, ratio.last, ratio.limit) == pytest.approx((2, 0.4, 0.1, 0.0))
    assert (fast.sum_diverges, fast.squares_converge) == (True, False)
    assert (slow.sum_diverges, slow.squares_converge) == (True, True)
    (violation,) = report.violations
    assert violation.startswith(
        "seller/critic: the squares of the step sizes (in the end 0.5) sum to infinity"
    )
    assert "Usual practice" in violation


def test_a_clock_of_env_steps_counts_them_through_closed_gates() -> None:
    half_life = {"kind": "exponential", "initial": 1.0, "half_life": 1000}
    gated = part(half_life, clock="env_steps", update_every=4)
    (found,) = check({"all": gated}, num_updates=15, env_steps_per_update=500).parts
    assert found.last == pytest.approx(0.25 * 0.5 ** (12 * 500 / 1000))


def test_an_update_takes_one_gradient_step_and_one_env_step_unless_said_otherwise() -> None:
    report = check(
        {
            "updates": power(1, 0.4, offset=5),
            "gradient": power(1, 0.3, offset=5, clock="gradient_steps"),
            "env": power(1, 0.2, offset=5, clock="env_steps"),
        },
        num_updates=6,
    )
    assert [part.last for part in report.parts] == pytest.approx([0.2, 0.15, 0.1])
    assert not report.strict


def test_clocks_with_offsets_in_their_own_units_are_alike() -> None:
    report = check(
        {
            "updates": power(0.7, offset=10),
            "gradient": power(0.7, offset=240, clock="gradient_steps"),
            "env": power(0.7, offset=16640, clock="env_steps"),
        },
        gradient_steps_per_update=24,
        env_steps_per_update=1664,
    )
    firsts, lasts = {part.first for part in report.parts}, [part.last for part in report.parts]
    assert firsts == {0.1}
    assert lasts == pytest.approx([0.1 / 100.9**0.7] * 3)
    assert [ratio.limit for ratio in report.ratios] == pytest.approx([1, 1])


def test_parts_that_move_alike_are_one_timescale() -> None:
    report = Timescales(
        {"a": {"critic": power(0.6), "actor": power(1)}, "b": {"critic": power(0.6), "actor": power(1)}}
    ).check(num_updates=100)
    assert report.order == (("a/critic", "b/critic"), ("a/actor", "b/actor"))
    assert len(report.ratios) == 1
    assert report.ok


def test_a_constant_is_the_same_on_every_clock_and_not_under_every_gate() -> None:
    report = check({"a": part(0.1), "b": part(0.1, clock="env_steps"), "c": part(0.1, update_every=2)})
    assert report.order == (("m/a", "m/b"), ("m/c",))


def test_a_frozen_part_is_a_choice_and_no_fault() -> None:
    report = check({"frozen": part(0.0), "actor": power(1), "critic": power(0.6)})
    assert report.ok
    assert report.order == (("m/critic",), ("m/actor",))
    assert [part.name for part in report.parts if part.frozen] == ["m/frozen"]
    assert report.parts[-1].frozen


VIOLATIONS: list[tuple[dict[str, Part], str]] = [
    ({"a": part(0.1)}, "m/a: the squares of the step sizes (in the end 0.1) sum to infinity"),
    ({"a": power(0.5)}, "m/a: the squares of the step sizes (in the end 0.316 / n^0.5) sum to infinity"),
    ({"a": power(1.2)}, "m/a: the step sizes (in the end 1.58 / n^1.2) have a finite sum, so learning stops"),
    (
        {"a": part(Linear(0.1, 0, 5))},
        "m/a: the step sizes (in the end 0) have a finite sum, so learning stops",
    ),
    ({"a": part(Blind(Constant(1)))}, "m/a: the squares of the step sizes (as they fall in 1000 updates)"),
    (
        {"a": part(0.1), "b": part(0.01)},
        "m/b over m/a: the ratio of step sizes tends to 0.1, not to 0: in theory one timescale; fine in practice",
    ),
    (
        {"a": power(1), "b": power(1, 0.099)},
        "tends to 0.99, not to 0: in theory one timescale. Let the slower",
    ),
    (
        {"a": power(0.6), "b": power(0.6, update_every=2)},
        "Gating by update_every changes the ratio, but not how fast",
    ),
    ({"a": power(0.6, 0.01), "b": part(0.0001)}, "tends to infinity: the order of this run (0.159"),
    (
        {"a": part(Linear(0.1, 0, 5)), "b": part(Linear(0.01, 0, 5))},
        "m/b over m/a: the ratio of step sizes has no limit, since both stop moving",
    ),
    (
        {"a": part(0.1), "b": part(Blind(Constant(0.02)))},
        "m/b over m/a: the ratio of step sizes does not fall over this run (0.2 first, 0.2 last)",
    ),
]


@pytest.mark.parametrize(("parts", "sentence"), VIOLATIONS, ids=[text for _, text in VIOLATIONS])
def test_violations_are_sentences_that_warn_or_refuse(parts: dict[str, Part], sentence: str) -> None:
    report = check(parts)
    assert any(sentence in line for line in report.violations), report.violations
    assert not report.ok
    assert sentence in str(report)
    with pytest.warns(TimescaleWarning) as caught:
        report.enforce()
    assert sentence in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.raises(InputError, match="strict = True") as refused:
        check(parts, strict=True).enforce()
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"a": power(0.6), "b": power(0.8)}, None),
        ({"a": power(0.6), "b": power(0.61)}, "m/b over m/a, step sizes: still 0.955 in the last update"),
        ({"a": power(0.6), "b": power(1, 5, 0.1)}, "the slower one is the faster one at the start (50)"),
        (
            {"a": power(0.6), "b": part(WarmUp(PowerLaw(0.1, 10, 1), 50, start=0.01))},
            "m/b over m/a, step sizes: tends to 0 far out, but grows over this run (0.01 first, 0.15",
        ),
        (
            {"a": power(0.6, drift=DriftBudget(Constant(0.01)))},
            "a drift budget scales the step sizes by 0.1 to 10",
        ),
    ],
)
def test_notes_tell_what_is_no_violation(parts: dict[str, Part], sentence: str | None) -> None:
    report = check(parts)
    assert report.ok
    assert [sentence for line in report.notes if sentence and sentence in line] == (
        [sentence] if sentence else []
    )
    assert len(report.notes) == (sentence is not None)


def budgeted(step_power: float, drift_power: float, drift: float = 0.01) -> Part:
    return power(step_power, drift=DriftBudget(PowerLaw(drift, 10, drift_power)))


@pytest.mark.parametrize(
    ("fast", "slow", "limits", "ok"),
    [
        # The policy moves by the root of its KL: budgets of n^-1.2 and n^-2 are speeds of n^-0.6 and n^-1.
        (budgeted(0.6, 1.2), budgeted(0.6, 2.0), (1.0, 0.0), True),
        (budgeted(0.6, 1.2), budgeted(1.0, 1.2), (0.0, 1.0), True),
        (budgeted(0.6, 1.2), budgeted(1.0, 2.0), (0.0, 0.0), True),
        (budgeted(0.6, 1.2), budgeted(0.6, 1.2, 0.0025), (1.0, 0.5), False),
    ],
)
def test_budgets_are_timescales_of_their_own(
    fast: Part, slow: Part, limits: tuple[float, float], ok: bool
) -> None:
    report = check({"fast": fast, "slow": slow})
    assert [ratio.of for ratio in report.ratios] == ["step sizes", "drift budgets"]
    assert [ratio.limit for ratio in report.ratios] == pytest.approx(list(limits))
    assert report.order == (("m/fast",), ("m/slow",))
    assert report.ok == ok
    decided = [line for line in report.notes if "budgets decide until a factor meets its bounds" in line]
    assert len(decided) == (limits[0] != limits[1] and 0 in limits)


def test_one_budget_alone_is_compared_with_nothing() -> None:
    report = check({"fast": budgeted(0.6, 1.2), "slow": power(1)})
    assert [ratio.of for ratio in report.ratios] == ["step sizes"]


schedules = st.one_of(
    st.builds(Constant, st.floats(0, 1)),
    st.builds(PowerLaw, st.floats(1e-4, 1), st.floats(1, 1e4), st.floats(0.1, 2)),
    st.builds(InverseLog, st.floats(1e-4, 1), st.floats(1, 1e4)),
    st.builds(Exponential, st.floats(1e-4, 1), st.floats(1, 1e4), st.floats(0, 1e-4)),
    st.builds(Linear, st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e4)),
)
parts = st.builds(
    Part,
    st.one_of(schedules, st.builds(Blind, schedules), st.builds(WarmUp, schedules, st.floats(1, 100))),
    clock=st.sampled_from(["updates", "gradient_steps", "env_steps"]),
    update_every=st.integers(1, 9),
    drift=st.none() | st.builds(DriftBudget, schedules),
)


@given(st.dictionaries(st.sampled_from("abcdef"), parts, min_size=1), st.integers(1, 10**6))
def test_a_report_holds_together(declared: dict[str, Part], num_updates: int) -> None:
    report = check(declared, num_updates=num_updates, gradient_steps_per_update=3, env_steps_per_update=50)
    assert sorted(part.name for part in report.parts) == sorted(f"m/{name}" for name in declared)
    moving = [part for part in report.parts if not part.frozen]
    assert [part.last for part in moving] == sorted((part.last for part in moving), reverse=True)
    assert [part.timescale for part in moving] == sorted(part.timescale for part in moving)
    by_place = {part.timescale: part for part in moving}
    steps = [ratio for ratio in report.ratios if ratio.of == "step sizes"]
    assert [ratio.slow for ratio in steps] == list(range(2, len(by_place) + 1))
    for ratio in steps:
        fast, slow = by_place[ratio.slow - 1], by_place[ratio.slow]
        if fast.last:
            assert ratio.last == pytest.approx(slow.last / fast.last)
            assert ratio.last <= 1
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["order"] == [list(names) for names in report.order]
    assert len(data["ratios"]) == len(report.ratios)
    assert all(part.name in str(report) for part in report.parts)


def test_the_text_is_a_table_to_read() -> None:
    report = check({"actor": power(1, update_every=2), "critic": part(0.01)}, num_updates=500)
    assert (
        str(report)
        == """\
Timescales over 500 updates, from fast to slow (step sizes per update)
     part      first  last     far out  sum inf  squares finite  judged
  1  m/critic  0.01   0.01     0.01     yes      NO              symbolic
  2  m/actor   0.05   0.00193  1 / n    yes      yes             symbolic

Slow over fast
       of          first  last   limit  tends to 0  judged
  2/1  step sizes  5      0.193  0      yes         symbolic

Violations (warnings)
  - m/critic: the squares of the step sizes (in the end 0.01) sum to infinity, so noise never dies out, and the part \
hovers about a solution, the nearer the smaller the step. Usual practice; theory wants faster decay than 1/sqrt(n).

Notes
  - m/actor over m/critic, step sizes: the slower one is the faster one at the start (5)."""
    )


def test_the_report_as_plain_data() -> None:
    drift = DriftBudget(Constant(0.01), low=0.5, high=4)
    slow, fast = part(0.2, update_every=2, drift=drift), part(Blind(Constant(0.4)), clock="env_steps")
    report = check({"slow": slow, "fast": fast}, num_updates=9, strict=True)
    common = {"frozen": False, "sum_diverges": True, "squares_converge": False}
    assert report.to_dict() == {
        "num_updates": 9,
        "ok": False,
        "order": [["m/fast"], ["m/slow"]],
        "parts": [
            {
                "name": "m/fast",
                "timescale": 1,
                "clock": "env_steps",
                "update_every": 1,
                "first": 0.4,
                "last": 0.4,
                "form": None,
                "judged": "numeric",
                "factors": None,
                **common,
            },
            {
                "name": "m/slow",
                "timescale": 2,
                "clock": "updates",
                "update_every": 2,
                "first": 0.1,
                "last": 0.1,
                "form": "0.1",
                "judged": "symbolic",
                "factors": [0.5, 4.0],
                **common,
            },
        ],
        "ratios": [
            {
                "fast": ["m/fast"],
                "slow": ["m/slow"],
                "of": "step sizes",
                "first": 0.25,
                "last": 0.25,
                "limit": None,
                "tends_to_zero": False,
                "judged": "numeric",
            }
        ],
        "violations": list(report.violations),
        "notes": list(report.notes),
        "strict": True,
    }
    assert len(report.violations) == 3
    assert "0.1 x 0.5..4" in str(report)
    assert "Violations (errors)" in str(report)


def test_parts_that_have_stopped_keep_the_order_they_came_in() -> None:
    report = check({"b": part(Linear(0.1, 0, 5)), "a": part(Linear(0.3, 0, 5)), "c": part(Linear(0.2, 0, 5))})
    assert report.order == (("m/a",), ("m/c",), ("m/b",))


def test_equal_steps_of_a_single_update_are_ordered_by_where_they_go() -> None:
    report = check({"slow": power(1.0), "fast": power(0.6), "between": power(0.8)}, num_updates=1)
    assert report.order == (("m/fast",), ("m/between",), ("m/slow",))
    assert report.ok


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"num_updates": 0}, "num_updates = 0 must be a whole number of at least 1"),
        ({"num_updates": 2.5}, "num_updates = 2.5 must be a whole number"),
        ({"num_updates": 1, "gradient_steps_per_update": 0}, "gradient_steps_per_update = 0 must be"),
        ({"num_updates": 1, "env_steps_per_update": -1}, "env_steps_per_update = -1 must be"),
    ],
)
def test_a_run_that_cannot_be_is_refused(run: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Timescales({"m": {"all": part(0.1)}}).check(**run)
