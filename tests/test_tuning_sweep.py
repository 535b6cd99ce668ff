"""Sweeps: their schema, what they refuse, what a configuration sets, and those that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.tuning.files import dump_sweep, load_sweep, parse_sweep
from invrec_rllib.tuning.plan import make_plan
from invrec_rllib.tuning.sweep import TRIAL_INDEX, Sweep, describe, make_sweep, with_samples

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "tune_configs").glob("*.yaml"))
RATIO = {"slow": {"learning_rate_inventory": 0.001}, "fast": {"learning_rate_inventory": 0.01}}


def sweep(**changes: Any) -> Sweep:
    return make_sweep({"name": "some", "question": "Which?", **changes})


def test_the_seven_sweeps_are_there() -> None:
    assert [file.stem for file in CONFIGS] == [
        "bayesopt",
        "learning_rates",
        "memory_and_critic",
        "pbt_schedules",
        "scenarios",
        "seeds",
        "timescale_ratio",
    ]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_shipped_sweep_is_valid_and_can_be_planned(file: Path) -> None:
    found = load_sweep(file)
    assert found.name == file.stem
    plan = make_plan(found)
    assert plan.resources == {"CPU": 1.0}
    assert plan.at_once({"CPU": 3.0}) == 3
    assert parse_sweep(dump_sweep(found)) == found


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_key_of_a_shipped_sweep_has_a_comment(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[0].rstrip().endswith("?")
    keys = [number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    for number in keys:
        label = lines[number].lstrip().split(":")[0]
        # Labels of a grid are values, not keys.
        if not label.startswith('"') and label not in ("equal", "declared"):
            assert lines[number - 1].lstrip().startswith("#"), f"{file.name}:{number + 1}: {lines[number]}"


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_shipped_sweep_says_all_that_a_sweep_has(file: Path) -> None:
    optional = {"search_seed", "space"}
    assert set(Sweep.model_fields) - set(yaml.safe_load(file.read_text("utf-8"))) <= optional


def test_trials_are_grids_times_draws_times_seeds() -> None:
    found = sweep(
        space={
            "memory": {"grid": ["none", "gru"]},
            "ratio": {"grid": RATIO},
            "clip": {"uniform": [0.1, 0.3]},
        },
        samples=3,
        seeds=[5, 7],
    )
    assert (found.num_configurations, found.num_trials) == (12, 24)


def test_a_label_stands_for_several_settings_and_the_seed_is_no_part_of_the_configuration() -> None:
    found = sweep(space={"ratio": {"grid": RATIO}}, base={"iterations": 7}, seeds=[5, 7])
    settings = found.settings({"ratio": "fast", "seed": 7})
    assert (settings.learning_rate_inventory, settings.iterations, settings.seed) == (0.01, 7, 7)
    assert found.searched({"ratio": "fast", "seed": 7}) == {"ratio": "fast"}
    assert found.settings({"ratio": "slow", TRIAL_INDEX: 1}).seed == 7
    assert found.settings({"ratio": "slow"}).seed == 5


def test_a_configuration_in_words() -> None:
    assert describe({"clip": 0.123456, "memory": "gru", "drift_inventory": None}) == (
        "clip=0.1235 memory=gru drift_inventory=null"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nam": "x"}, r"nam: unknown key; known are name, question"),
        ({"samples": 0}, r"samples: must be at least 1, got 0"),
        ({"search": "bohb"}, r"search: must be 'random' or 'optuna', got 'bohb'"),
        ({"name": "a/b"}, r"name: must match"),
        (
            {"space": {"clop": {"grid": [1]}}},
            r"space.clop: no setting of training; allowed are scenario, algo",
        ),
        ({"space": {"clip": {"loguniform": [0, 1]}}}, r"space.clip: loguniform: low = 0 must be above 0"),
        (
            {"space": {"clip": {"uniform": [0.3, 0.1]}}},
            r"space.clip: uniform: low = 0.3 must be below high = 0.1",
        ),
        (
            {"space": {"clip": {"uniform": [0.3]}}},
            r"space.clip: uniform must be \[low, high\], all of them numbers",
        ),
        ({"space": {"clip": {"uniform": [0.1, "x"]}}}, r"space.clip: uniform must be \[low, high\]"),
        ({"space": {"clip": {"quniform": [0.1, 0.3, 0]}}}, r"space.clip: quniform: step = 0 must be above 0"),
        (
            {"space": {"clip": {"quniform": [0.1, 0.3, 0.2]}}},
            r"space.clip: quniform: low = 0.1 and high = 0.3 must be multiples of step = 0.2",
        ),
        (
            {"space": {"epochs": {"randint": [1, 2.5]}}},
            r"space.epochs: randint must be \[low, high\] of whole",
        ),
        ({"space": {"clip": {"grid": 1}}}, r"space.clip: grid must be a list of values"),
        (
            {"space": {"clip": {"grid": [0.1, 0.1]}}},
            r"space.clip: grid must list each value once, got 0.1 again",
        ),
        ({"space": {"clip": {}}}, r"space.clip: needs exactly one of grid, choice, uniform"),
        (
            {"space": {"clip": {"grid": [1], "choice": [1]}}},
            r"space.clip: needs exactly one of .* got choice, grid",
        ),
        ({"space": {"clip": {"normal": [0, 1]}}}, r"space.clip.normal: unknown key; known are grid, choice"),
        ({"space": {"clip": {"grid": RATIO}}}, r"space.clip: labels need a name that is no setting"),
        (
            {"space": {"ratio": {"grid": {"a": 1}}}},
            r"space.ratio: grid.a: must be a mapping of settings, got 1",
        ),
        ({"space": {"clip": {"grid": [0.2, -1]}}}, r"settings of clip=-1 are not valid:\s+clip: .* got -1"),
        (
            {"space": {"minibatch_size": {"choice": [64, 512]}}, "base": {"steps_per_iteration": 256}},
            r"settings of minibatch_size=512 are not valid:\s+settings: minibatch_size = 512 is above",
        ),
        (
            {"space": {"ratio": {"grid": {"a": {"nothing": 1}}}}},
            r"settings of ratio=a are not valid:\s+nothing",
        ),
        ({"space": {"seed": {"grid": [1, 2]}}}, r"space.seed: must not search seed: seeds decides it"),
        (
            {"space": {"evaluate_every": {"grid": [1, 2]}}},
            r"must not search evaluate_every: trials are looked at",
        ),
        ({"base": {"seed": 1}}, r"base.seed: must not be set: seeds decides it"),
        (
            {"base": {"clip": 1.0}, "space": {"clip": {"grid": [1, 2]}}},
            r"base and space.clip both decide clip",
        ),
        (
            {"space": {"ratio": {"grid": RATIO}, "learning_rate_inventory": {"grid": [1]}}},
            r"space.ratio and space.learning_rate_inventory both decide learning_rate_inventory",
        ),
        ({"base": {"evaluate_every": 0}}, r"base.evaluate_every: must be at least 1"),
        ({"seeds": [1, 1]}, r"seeds: must be distinct, got 1 again"),
        ({"samples": 2, "space": {"clip": {"grid": [1]}}}, r"samples = 2 would repeat the same trials"),
        (
            {"search": "optuna", "space": {"clip": {"grid": [1]}}},
            r"search: optuna draws, .* without grid, got clip",
        ),
        ({"search": "optuna"}, r"search: optuna draws, .* got no space"),
        ({"scheduler": {"kind": "hyperband"}}, r"scheduler.kind: must be 'none', 'asha', 'median' or 'pbt'"),
        (
            {"scheduler": {"kind": "none", "grace_iterations": 3}},
            r"scheduler.grace_iterations: not of kind none, which has no options",
        ),
        (
            {"scheduler": {"kind": "asha", "interval_iterations": 3}},
            r"scheduler.interval_iterations: not of kind asha, which has grace_iterations, reduction_factor",
        ),
        (
            {"scheduler": {"kind": "asha", "reduction_factor": 1}},
            r"scheduler.reduction_factor: must be above 1",
        ),
        (
            {"scheduler": {"kind": "asha"}, "space": {"iterations": {"grid": [10, 20]}}},
            r"scheduler.kind: asha compares trials of equal length, so space must not search iterations",
        ),
        ({"scheduler": {"kind": "pbt"}}, r"space: pbt needs something to change"),
        (
            {"scheduler": {"kind": "pbt"}, "space": {"memory": {"choice": ["none", "gru"]}}},
            r"space.memory: pbt changes it while a trial runs, .* one of learning_rate_inventory",
        ),
        (
            {"scheduler": {"kind": "pbt"}, "space": {"clip": {"uniform": [0.1, 0.2]}}, "seeds": [0, 1]},
            r"scheduler.kind: pbt needs search = random and one seed, .* 2 seeds",
        ),
        (
            {
                "scheduler": {"kind": "asha"},
                "search": "optuna",
                "space": {"clip": {"uniform": [0.1, 0.2]}},
                "seeds": [0, 1],
            },
            r"scheduler.kind: asha stops seeds of one configuration at different times",
        ),
        (
            {"scheduler": {"kind": "asha"}, "space": {"scenario": {"grid": ["tiny", "paper"]}}},
            r"profits of different scenarios do not compare, .* got random and asha",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_what_is_allowed(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=r"^sweep is not a valid sweep:") as caught:
        sweep(**changes)
    assert caught.match(message)


def test_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: x\nname: y\n")
    with pytest.raises(InputError, match=r"mine.yaml is not valid YAML: .*'name' is given twice"):
        load_sweep(file)
    file.write_text("- 1\n")
    with pytest.raises(InputError, match=r"mine.yaml must hold a mapping with the keys of a sweep, got list"):
        load_sweep(file)
    file.write_text("name: x\n")
    with pytest.raises(
        InputError, match=r"mine.yaml is not a valid sweep:\s+question: missing, but required"
    ):
        load_sweep(file)
    with pytest.raises(InputError, match=r"nothing.yaml cannot be read"):
        load_sweep(tmp_path / "nothing.yaml")


def test_with_too_many_combinations_each_key_is_checked_alone() -> None:
    rates = (
        "learning_rate_inventory",
        "learning_rate_recommender",
        "learning_rate_critic",
        "clip",
        "entropy",
    )
    space = {key: {"grid": [0.001 * (n + 1) for n in range(8)]} for key in rates}
    assert len(list(sweep(space=space).corners())) == 8 * len(rates)
    space["entropy"] = {"grid": [*(0.001 * n for n in range(7)), -1.0]}
    with pytest.raises(InputError, match=r"entropy=-1 are not valid"):
        sweep(space=space)


def test_another_number_of_draws_is_checked_as_the_file_is() -> None:
    found = sweep(space={"clip": {"uniform": [0.1, 0.2]}})
    assert with_samples(found, 5).num_trials == 5
    with pytest.raises(InputError, match="samples = 2 would repeat"):
        with_samples(sweep(), 2)


def test_a_plan_names_what_a_trial_takes_and_how_many_fit() -> None:
    found = sweep(base={"scenario": "tiny", "env_runners": 2, "iterations": 30}, seeds=[0, 1, 2])
    plan = make_plan(found)
    assert plan.resources == {"CPU": 3.0}
    assert [plan.at_once({"CPU": cpus}) for cpus in (2.0, 3.0, 8.0, 100.0)] == [0, 1, 2, 3]
    assert plan.at_once({"CPU": 100.0}, jobs=2) == 2
    assert plan.iterations == 90


def test_a_plan_finds_a_configuration_that_cannot_be_built() -> None:
    with pytest.raises(InputError, match="nobody"):
        make_plan(sweep(space={"adviser": {"grid": [None, "nobody"]}}, base={"scenario": "tiny"}))
    with pytest.raises(ScenarioError, match="neither a file nor a preset"):
        make_plan(sweep(base={"scenario": "nowhere"}))
