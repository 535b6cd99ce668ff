"""Parts and timescales: what users may write, what comes back, what is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import (
    Constant,
    DriftBudget,
    DriftController,
    InverseLog,
    Part,
    Piecewise,
    PowerLaw,
    Tail,
    Timescales,
    part,
    part_from_data,
    slowness,
)

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
budgets = st.builds(
    DriftBudget,
    st.builds(Constant, st.floats(1e-4, 1)),
    st.floats(0.1, 1),
    st.floats(0.1, 1),
    st.floats(1, 9),
)
parts = st.builds(
    Part,
    st.one_of(
        st.builds(Constant, st.floats(0, 1)),
        st.builds(PowerLaw, st.floats(1e-4, 1), st.floats(1, 1e3), st.floats(0.1, 2)),
        st.just(Piecewise([[0, 1], [5, 0.1]])),
    ),
    clock=st.sampled_from(["updates", "gradient_steps", "env_steps"]),
    update_every=st.integers(1, 9),
    parameters=st.lists(names, max_size=2).map(tuple),
    grad_clip=st.none() | st.floats(0.1, 9),
    drift=st.none() | budgets,
)
some_timescales = st.builds(
    Timescales,
    st.dictionaries(
        names | st.just("*"), st.dictionaries(names, parts, min_size=1, max_size=3), min_size=1, max_size=3
    ),
    strict=st.booleans(),
)


@given(some_timescales)
def test_data_through_yaml_and_json_give_the_same_timescales(timescales: Timescales) -> None:
    data = timescales.to_data()
    assert Timescales.from_data(yaml.safe_load(yaml.safe_dump(data))) == timescales
    assert Timescales.from_data(json.loads(json.dumps(data))) == timescales
    assert pickle.loads(pickle.dumps(timescales)) == timescales


def test_the_short_form_is_module_part_schedule() -> None:
    short = Timescales.from_data({"inventory": {"actor": 1e-3, "critic": [[0, 1e-2], [100, 1e-3]]}})
    assert short.modules == {
        "inventory": {"actor": Part(Constant(1e-3)), "critic": Part(Piecewise([[0, 1e-2], [100, 1e-3]]))}
    }
    assert not short.strict
    assert short.to_data()["modules"]["inventory"]["actor"] == 1e-3


def test_the_long_form_names_every_field() -> None:
    data = yaml.safe_load("""
        strict: true
        modules:
          inventory:
            actor:
              schedule: {kind: power_law, initial: 1e-3, offset: 50, power: 1}
              clock: gradient_steps
              update_every: 4
              parameters: ["^pi\\\\.", log_std]
              grad_clip: 0.5
              drift: {target: 0.01, rate: 0.5, low: 0.2, high: 4}
    """)
    expected = part(
        PowerLaw(1e-3, 50, 1),
        clock="gradient_steps",
        update_every=4,
        parameters=[r"^pi\.", "log_std"],
        grad_clip=0.5,
        drift=DriftBudget(Constant(0.01), rate=0.5, low=0.2, high=4),
    )
    assert Timescales.from_data(data) == Timescales({"inventory": {"actor": expected}}, strict=True)


def test_a_drift_budget_may_be_its_target_alone() -> None:
    for target in (
        0.02,
        "2e-2",
        {"kind": "constant", "value": 0.02},
        {"target": 0.02},
        DriftBudget(Constant(0.02)),
    ):
        assert part_from_data({"schedule": 0.1, "drift": target}).drift == DriftBudget(Constant(0.02))


def test_timescales_and_parts_are_taken_as_they_are() -> None:
    made = Timescales.from_data({"a": {"all": part(0.1)}})
    assert Timescales.from_data(made) is made
    assert made.of_module("a")["all"] == part(0.1)


def test_the_star_stands_for_modules_that_are_not_named() -> None:
    timescales = Timescales.from_data({"*": {"all": 0.1}, "critic": {"all": 0.2}})
    assert timescales.of_module("critic") == {"all": part(0.2)}
    assert timescales.of_module("anyone") == {"all": part(0.1)}
    with pytest.raises(
        InputError, match=r"module 'anyone' is not named, and there is no '\*' .* named are 'critic'"
    ):
        Timescales.from_data({"critic": {"all": 0.2}}).of_module("anyone")


@pytest.mark.parametrize(
    "value",
    [
        part(0.1),
        Constant(0.1),
        DriftBudget(Constant(0.1)),
        DriftController(DriftBudget(Constant(0.1))),
        Timescales({"a": {"all": part(0.1)}}),
        Tail(scale=1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_declarations_do_not_change(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_a_later_change_of_the_given_mapping_changes_nothing() -> None:
    given_parts = {"all": part(0.1)}
    timescales = Timescales({"a": given_parts})
    given_parts["all"] = part(0.2)
    assert timescales.modules["a"]["all"] == part(0.1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "modules must be a mapping of at least one name, got {}"),
        (None, "modules must be a mapping of at least one name, got None"),
        ({"a": 0.1}, "parts of module 'a' must be a mapping of at least one name, got 0.1"),
        ({"a": {}}, "parts of module 'a' must be a mapping of at least one name"),
        ({3: {"all": 0.1}}, "the name 3 must be text"),
        (
            {"modules": {"a": {"all": 0.1}}, "strikt": True},
            "does not know 'strikt'; its keys are modules, strict",
        ),
        ({"modules": {"a": {"all": 0.1}}, "strict": "yes"}, "strict = 'yes' must be true or false"),
        (
            {"a": {"b": -1}},
            "module 'a', part 'b': schedule: value = -1 must be a finite number of at least 0",
        ),
        (
            {"a": {"b": {"lr": 0.1}}},
            "part 'b': a part does not know 'lr' and lacks 'schedule'; its keys are",
        ),
        (
            {"a": {"b": {"schedule": 1, "clock": "steps"}}},
            "clock = 'steps' must be one of updates, gradient_steps",
        ),
        ({"a": {"b": {"schedule": 1, "clock": ["updates"]}}}, "clock = ['updates'] must be one of"),
        (
            {"a": {"b": {"schedule": 1, "update_every": 0}}},
            "update_every = 0 must be a whole number of at least 1",
        ),
        ({"a": {"b": {"schedule": 1, "update_every": 1.5}}}, "update_every = 1.5 must be a whole number"),
        ({"a": {"b": {"schedule": 1, "update_every": True}}}, "update_every = True must be a whole number"),
        (
            {"a": {"b": {"schedule": 1, "parameters": "pi"}}},
            "parameters = 'pi' must be a list of regular expressions",
        ),
        ({"a": {"b": {"schedule": 1, "parameters": ["("]}}}, "parameters: '(' is not a regular expression"),
        ({"a": {"b": {"schedule": 1, "parameters": [1]}}}, "parameters: 1 is not a regular expression"),
        ({"a": {"b": {"schedule": 1, "grad_clip": 0}}}, "grad_clip = 0 must be a finite number above 0"),
        ({"a": {"b": {"schedule": 1, "drift": -1}}}, "drift: target: value = -1 must be"),
        (
            {"a": {"b": {"schedule": 1, "drift": {"rate": 1}}}},
            "a drift budget lacks 'target'; its keys are target,",
        ),
        (
            {"a": {"b": {"schedule": 1, "drift": {"target": 1, "rate": 2}}}},
            "rate = 2 must be above 0 and at most 1",
        ),
        (
            {"a": {"b": {"schedule": 1, "drift": {"target": 1, "low": 2}}}},
            "low = 2 and high = 10 must lie on either",
        ),
        (
            {"a": {"b": {"schedule": 1, "drift": {"target": 1, "high": 0.5}}}},
            "low = 0.1 and high = 0.5 must lie on",
        ),
    ],
)
def test_wrong_data_are_named(data: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Timescales.from_data(data)
    assert "timescales" in str(caught.value)
    assert message in str(caught.value)


def test_a_gated_part_steps_in_the_first_update_and_in_every_third_from_there() -> None:
    gated = part(0.1, update_every=3)
    assert [gated.steps_in(update) for update in range(7)] == [True, False, False, True, False, False, True]
    assert all(part(0.1).steps_in(update) for update in range(7))


def test_slowness_orders_parts_as_they_stand_far_out() -> None:
    fast_to_slow = [
        part(0.1),
        part(0.1, update_every=3),
        part(0.01),
        part(PowerLaw(1, 1, 0.6)),
        part(PowerLaw(50, 1, 0.8)),
        part(PowerLaw(1, 1, 1)),
        part(InverseLog(100, 1)),
        part({"kind": "exponential", "initial": 9, "half_life": 5}),
        part([[0, 9], [5, 0]]),
        part([[0, 1], [5, 0]]),
    ]
    assert sorted(reversed(fast_to_slow), key=slowness) == fast_to_slow


def test_the_room_loads_neither_ray_nor_torch_and_says_where_torchs_kind_is() -> None:
    code = (
        "import sys; from invrec_rllib.timescales import schedule_from_data\n"
        "try: schedule_from_data({'kind': 'torch', 'name': 'StepLR'})\n"
        "except Exception as error: print(error)\n"
        "print('ray' in sys.modules, 'torch' in sys.modules)"
    )
    # A fresh interpreter: this one may have loaded both for other tests.
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert "kind = 'torch' is not known" in run.stdout
    assert "by invrec_rllib.learning.torch_schedule" in run.stdout
    assert run.stdout.splitlines()[-1] == "False False"
