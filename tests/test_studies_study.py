"""Studies: what they may say, the settings and worlds that they stand for, and those that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import invrec_rllib.studies
from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.scenario import load_scenario, organic_margin
from invrec_rllib.studies.files import dump_study, load_study, parse_study, study_names
from invrec_rllib.studies.plan import estimate_seconds, plan_runs
from invrec_rllib.studies.rows import Row, read_rows
from invrec_rllib.studies.study import make_study

RATES = ("learning_rate_critic", "learning_rate_recommender", "learning_rate_inventory")
POWERS = ("power_critic", "power_recommender", "power_inventory")


def data(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "question": "Which?",
        "base": {"scenario": "tiny", "iterations": 7},
        "variants": {"a": {"label": "A"}, "b": {"label": "B", "set": {"hidden": 8}}},
        "baseline": "a",
        "seeds": 2,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "c"}, "baseline: 'c' is no variant, must be one of a, b"),
        ({"best_of": {"best": ["a", "c"]}}, "best_of.best: 'c' is no variant"),
        ({"best_of": {"one": ["a", "b"], "two": ["b", "a"]}}, "best_of: a, b must be listed once"),
        ({"seeds": 0}, "at least 1, got 0"),
        ({"seeds": [3, 3]}, r"variants.a.seeds: must be distinct, got \[3, 3\]"),
        ({"variants": {"a": {"label": "A"}, "b": {"label": "B", "seeds": [9]}}}, r"\[9\] shares no seed"),
        ({"variants": {"a": {"label": "A", "factor": 0}}}, "variants.a.factor: must be above 0, got 0"),
        ({"variants": {"a": {"label": "A", "group": "g"}}}, "variants.a.factor: missing"),
        ({"variants": {"a": {"labl": "A"}}}, "unknown key; known are label, set, seeds, factor, group"),
        ({"variants": {"a/b": {"label": "A"}}, "baseline": "a/b"}, "must match"),
        ({"variants": {"a": {"label": "A", "set": {"hiden": 8}}}}, "condition base, variant a.*\n.*hiden"),
        ({"base": {"hidden": 0}}, "hidden: .*greater than or equal to 1, got 0"),
        ({"base": {"seed": 3}}, "base.seed: must not be set: the study's seeds decide it, got 3"),
        ({"base": {"env_runners": 2}}, "base.env_runners: must not be set"),
        (
            {"variants": {"a": {"label": "A", "set": {"scenario": "paper"}}}},
            "make it a condition, got 'paper'",
        ),
        ({"conditions": {"c": {"label": "C", "set": {"hidden": 4}}}}, "both decide hidden"),
        ({"extra": 1}, "extra: unknown key; known are name, question"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        make_study(data(**changes))


def test_variants_win_over_conditions_and_conditions_over_the_base() -> None:
    study = make_study(data(conditions={"short": {"label": "S", "set": {"iterations": 3, "clip": 0.3}}}))
    settings = study.settings("short", "b", seed=5)
    assert (settings.scenario, settings.iterations, settings.clip, settings.hidden) == ("tiny", 3, 0.3, 8)
    assert settings.seed == 5
    assert settings.checkpoint_every == 3  # the last checkpoint alone


def test_a_name_given_twice_is_refused_rather_than_lost() -> None:
    text = "name: x\nquestion: q\nbaseline: a\nseeds: 1\nvariants:\n  a: {label: A}\n  a: {label: B}\n"
    with pytest.raises(InputError, match="'a' is given twice"):
        parse_study(text)


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_what_holds_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_study(text)


def test_a_condition_draws_the_world_of_seed_1() -> None:
    study = make_study(data(conditions={"drawn": {"label": "D", "world": {"lead_times": [4, 5, 6]}}}))
    world, paper = study.world("drawn"), load_scenario("paper")
    assert world.name == "drawn"
    assert world.products.lead_time[:4] == (4, 5, 6, 4)
    assert (world.products.price, world.segments) == (paper.products.price, paper.segments)


def test_a_condition_changes_fields_of_its_world_and_nothing_else() -> None:
    fields = {"tastes.noise": 0.6, "reward_scale": 50.0}
    world = make_study(data(conditions={"c": {"label": "C", "scenario": fields}})).world("c")
    tiny = load_scenario("tiny").model_dump()
    expected = {**tiny, "name": "c", "reward_scale": 50.0, "tastes": {**tiny["tastes"], "noise": 0.6}}
    assert world.model_dump() == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"scenario": {"tastes.nose": 1}}, "'tastes.nose' is no field of a scenario; known are reversion"),
        ({"scenario": {"taste.noise": 1}}, "'taste.noise' is no field"),
        ({"scenario": {"periods.x": 1}}, "'periods.x' is no field"),
        ({"scenario": {"tastes.noise": -1}}, "tastes.noise: must be at least 0, got -1"),
        ({"world": {"lead_tims": [1]}}, "lead_tims"),
        ({"world": {"periods": 0}}, "periods"),
    ],
)
def test_a_world_that_cannot_be_is_refused_before_anything_runs(
    condition: dict[str, Any], message: str
) -> None:
    study = make_study(data(conditions={"c": {"label": "C", **condition}}))
    with pytest.raises((InputError, ScenarioError), match=message):
        plan_runs(study)


def test_the_plan_pairs_seeds_first() -> None:
    variants = {"a": {"label": "A"}, "b": {"label": "B", "seeds": [0]}, "c": {"label": "C"}}
    names = [run.name for run in plan_runs(make_study(data(variants=variants)))]
    assert names == ["base/a/0", "base/b/0", "base/c/0", "base/a/1", "base/c/1"]


def test_fewer_seeds_bind_all_variants_and_more_only_those_without_their_own() -> None:
    study = make_study(data(variants={"a": {"label": "A"}, "b": {"label": "B", "seeds": [5, 0, 1]}}, seeds=8))
    few, many = study.with_num_seeds(2), study.with_num_seeds(10)
    assert (few.seeds_of("a"), few.seeds_of("b")) == ((0, 1), (5, 0))
    assert (many.seeds_of("a"), many.seeds_of("b")) == (tuple(range(10)), (5, 0, 1))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"variants": ["z"]}, "variant 'z' is unknown, must be one of a, b"),
        ({"conditions": ["z"]}, "condition 'z' is unknown, must be one of base"),
    ],
)
def test_an_unknown_choice_is_refused(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_runs(make_study(data()), **choice)


def test_time_is_estimated_from_the_runs_most_alike() -> None:
    runs = plan_runs(make_study(data(conditions={"c": {"label": "C"}, "d": {"label": "D"}}, seeds=1)))
    assert [run.name for run in runs] == ["c/a/0", "c/b/0", "d/a/0", "d/b/0"]
    rows = [Row("mine", "c", "a", 0, 1.0, seconds=s) for s in (10.0, 20.0)]
    rows.append(Row("mine", "d", "a", 0, 1.0, seconds=60.0))
    # b has no run yet: as long as the others of its condition.
    assert estimate_seconds(runs, rows, jobs=2) == pytest.approx((15 + 15 + 60 + 60) / 2)
    # Of condition c nothing is known: the mean of the variant's runs, and for b of all.
    assert estimate_seconds(runs[:2], rows[2:], jobs=1) == pytest.approx(60 + 60)
    assert estimate_seconds(runs, [Row("mine", "c", "a", 0, 1.0)], jobs=2) is None


SHIPPED = {"parts": 84, "normalisation": 30, "speeds": 160, "ratio": 24}


@pytest.mark.parametrize("name", study_names())
def test_a_shipped_study_reads_back_and_plans_its_runs(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert parse_study(dump_study(study)) == study
    assert len(plan_runs(study)) == SHIPPED[name]


def test_an_unknown_study_is_told_which_ship() -> None:
    with pytest.raises(InputError, match="shipped: normalisation, parts, ratio, speeds"):
        load_study("nothing")


@pytest.mark.parametrize("name", ["parts", "normalisation", "speeds"])
def test_stored_rows_are_of_the_shipped_studies_runs(name: str) -> None:
    rows = read_rows(Path(invrec_rllib.studies.__file__).parent / "results" / f"{name}.csv")
    plan = {(run.condition, run.variant, run.seed): run for run in plan_runs(load_study(name))}
    stored = [(row.condition, row.variant, row.seed) for row in rows]
    assert len(set(stored)) == len(stored)
    assert set(stored) <= set(plan)
    assert name == "speeds" or set(stored) == set(plan)
    for row in rows:
        # Environments play whole episodes, so an iteration is one of each.
        run = plan[row.condition, row.variant, row.seed]
        steps = run.settings.envs_per_runner * run.world.periods
        assert row.env_steps == run.settings.iterations * steps


def test_money_is_badly_scaled_a_hundredfold_both_ways() -> None:
    study = load_study("normalisation")
    margin = organic_margin(load_scenario("paper"))
    assert study.world("paper") == load_scenario("paper")
    scales = [study.world(name).reward_scale or 0.0 for name in ("rewards_small", "rewards_large")]
    assert scales == pytest.approx([100 * margin, margin / 100], rel=1e-3)


def test_speeds_are_multiplied_alike_and_one_speed_is_one() -> None:
    study = load_study("speeds")
    first = {name: study.settings("paper", name, seed=0) for name in study.variants}
    for name, settings in first.items():
        group, factor = study.variants[name].group, study.variants[name].factor
        plain = first["different_1" if group == "different speeds" else "one_1"]
        for rate in RATES:
            assert getattr(settings, rate) == pytest.approx(factor * getattr(plain, rate))
        assert [getattr(settings, power) for power in POWERS] == [getattr(plain, power) for power in POWERS]
    assert first["different_1"] == TrainSettings(scenario="paper", iterations=100, checkpoint_every=100)
    assert [getattr(first["one_1"], name) for name in RATES + POWERS] == [2e-3] * 3 + [0.8] * 3
    assert study.world("tastes").tastes.noise == 0.6
    assert set(study.world("lead_times").products.lead_time) == {4, 5, 6}


def test_ratios_lie_between_consecutive_speeds_around_one_mean() -> None:
    study = load_study("ratio")
    for name, variant in study.variants.items():
        settings = study.settings("paper", name, seed=0)
        critic, recommender, inventory = (getattr(settings, rate) for rate in RATES)
        assert critic / recommender == pytest.approx(variant.factor)
        assert recommender / inventory == pytest.approx(variant.factor)
        assert (critic * recommender * inventory) ** (1 / 3) == pytest.approx(2e-3)
        assert {getattr(settings, power) for power in POWERS} == {0.8}
    assert [variant.factor for variant in study.variants.values()] == [0.25, 0.5, 1, 2, 4, 8]
