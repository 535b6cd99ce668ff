"""The speeds that settings ask for: schedules, budgets of drift, and what theory says of them."""

from __future__ import annotations

from typing import Any

import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, make_settings
from invrec_rllib.learning.speeds import check_of, timescales_of
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.timescales import Constant, Part, TimescaleWarning


def part(settings: TrainSettings, module: str, name: str = "actor") -> Part:
    return timescales_of(settings).modules[module][name]


def test_every_part_falls_by_its_own_rate_and_power() -> None:
    settings = TrainSettings(learning_rate_inventory=0.01, power_inventory=2.0, power_offset=10.0)
    # 0.01 / (1 + 10 / 10)^2 after ten updates.
    assert part(settings, "inventory").schedule(10) == pytest.approx(0.0025)
    assert part(settings, "critic", "critic").schedule(0) == 4e-3
    assert part(settings, "recommender").drift is None


def test_the_joint_agent_keeps_a_speed_for_each_department() -> None:
    settings = TrainSettings(agents="joint", critic="own")
    assert set(timescales_of(settings).modules) == {"firm", "firm_critic"}
    assert part(settings, "firm", "recommender").schedule(0) == settings.learning_rate_recommender


def test_a_drift_budget_falls_like_the_square_of_its_step_sizes() -> None:
    settings = TrainSettings(drift_recommender=0.02, power_recommender=0.75)
    with_budget = part(settings, "recommender")
    assert with_budget.drift is not None
    assert with_budget.drift.target(0) == 0.02
    for update in (1, 12, 500):
        step = with_budget.schedule(update) / with_budget.schedule(0)
        assert with_budget.drift.target(update) / 0.02 == pytest.approx(step**2)
    assert part(settings, "inventory").drift is None


def test_a_budget_beside_constant_step_sizes_is_constant() -> None:
    budget = part(TrainSettings(drift_inventory=0.01, power_inventory=0), "inventory").drift
    assert budget is not None
    assert budget.target == Constant(0.01)


def test_budgets_separate_as_their_step_sizes_do() -> None:
    settings = TrainSettings(drift_inventory=0.002, drift_recommender=0.01)
    found = {ratio.of: ratio for ratio in check_of(settings).ratios if ratio.slow == 3}
    assert set(found) == {"step sizes", "drift budgets"}
    assert all(ratio.tends_to_zero for ratio in found.values())
    # The root of the budgets, then both at the pace of n^-(1.0 - 0.8) over 150 updates.
    assert found["drift budgets"].first == pytest.approx(0.2**0.5)
    fall = (1 + 149 / 12) ** -0.2
    for ratio in found.values():
        assert ratio.last / ratio.first == pytest.approx(fall)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"algo": "ppo"}, "algo = 'ppo'"),
        ({"agents": "joint"}, "agents = 'joint'"),
        ({"schedule": "linear"}, "schedule = 'linear'"),
        ({"timescales": {"inventory": {"actor": 1e-3}}}, "timescales = "),
    ],
)
def test_a_budget_that_would_be_ignored_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"drift_inventory = 0.01 needs algo = mtmappo.*but {words}"):
        make_settings({"drift_inventory": 0.01, **change})
    make_settings(change)


def test_the_defaults_meet_what_theory_asks() -> None:
    report = check_of(TrainSettings())
    assert report.ok
    assert report.order == (("critic/critic",), ("recommender/actor",), ("inventory/actor",))


def test_listed_speeds_are_judged_on_the_clock_that_they_name() -> None:
    speed = {"kind": "power_law", "initial": 1e-3, "offset": 1000, "power": 1.0}
    clocks = {"a": "env_steps", "b": "gradient_steps", "c": "updates"}
    settings = TrainSettings(
        timescales={name: {"actor": {"schedule": speed, "clock": clock}} for name, clock in clocks.items()},
        iterations=2,
        steps_per_iteration=1000,
        minibatch_size=500,
        epochs=3,
    )
    last = {found.name: found.last for found in check_of(settings).parts}
    # In the second update: after 1000 env steps, after 3 passes over 2 minibatches, after 1 update.
    assert last["a/actor"] == pytest.approx(1e-3 / 2)
    assert last["b/actor"] == pytest.approx(1e-3 / 1.006)
    assert last["c/actor"] == pytest.approx(1e-3 / 1.001)


def test_speeds_that_do_not_separate_are_warned_of_and_refused_when_strict() -> None:
    equal = {"learning_rate_recommender": 2e-3, "power_recommender": 0.9, "power_inventory": 0.9}
    with pytest.warns(TimescaleWarning, match="not to 0"):
        build_config(TrainSettings(scenario="tiny", learning_rate_inventory=1e-3, **equal))
    with pytest.raises(InputError, match="not to 0"):
        build_config(
            TrainSettings(scenario="tiny", learning_rate_inventory=1e-3, strict_timescales=True, **equal)
        )
