"""A sweep in Tune's words: domains, searchers, schedulers."""

from __future__ import annotations

from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, PopulationBasedTraining
from ray.tune.search import BasicVariantGenerator, Repeater
from ray.tune.search.variant_generator import generate_variants

from invrec_rllib.tuning.dimension import RANGES, Dimension
from invrec_rllib.tuning.domains import domain, param_space, scheduler, searcher
from invrec_rllib.tuning.sweep import Sweep, make_sweep


def sweep(**changes: Any) -> Sweep:
    return make_sweep({"name": "some", "question": "Which?", **changes})


@pytest.mark.parametrize("kind", RANGES)
def test_a_range_is_tunes_own_domain(kind: str) -> None:
    arguments = [2, 8, 2][: RANGES[kind]]
    found, wanted = domain(Dimension(**{kind: arguments})), getattr(tune, kind)(*arguments)
    assert type(found) is type(wanted)
    assert found.domain_str == wanted.domain_str
    low, high = Dimension(**{kind: arguments}).limits
    values = [found.sample(random_state=seed) for seed in range(50)]
    assert low <= min(values) <= max(values) <= high


def test_lists_are_grids_and_choices_of_values_or_labels() -> None:
    assert domain(Dimension(grid=[1, None])) == {"grid_search": [1, None]}
    assert domain(Dimension(grid={"a": {"clip": 1}, "b": {"clip": 2}})) == {"grid_search": ["a", "b"]}
    assert domain(Dimension(choice=[1, 2])).categories == [1, 2]


def test_all_seeds_and_grids_get_the_same_draws() -> None:
    found = sweep(
        space={"clip": {"uniform": [0.1, 0.3]}, "memory": {"grid": ["none", "gru"]}}, samples=2, seeds=[3, 4]
    )
    assert isinstance(searcher(found), BasicVariantGenerator)
    configs = [
        spec["config"]
        for seed in range(found.samples)
        for _, spec in generate_variants(
            {"config": param_space(found)}, constant_grid_search=True, random_state=seed
        )
    ]
    assert len(configs) == found.num_trials == 8
    assert len({config["clip"] for config in configs}) == 2
    assert {(config["memory"], config["seed"]) for config in configs[:4]} == {
        ("none", 3), ("none", 4), ("gru", 3), ("gru", 4),
    }  # fmt: skip


def test_with_optuna_a_draw_is_repeated_for_the_seeds() -> None:
    pytest.importorskip("optuna")
    found = sweep(space={"clip": {"uniform": [0.1, 0.3]}}, search="optuna", samples=2, seeds=[3, 4])
    repeater = searcher(found)
    assert isinstance(repeater, Repeater)
    assert repeater.set_search_properties("profit", "max", param_space(found))
    drawn = [repeater.suggest(f"trial {number}") for number in range(4)]
    assert [found.settings(config).seed for config in drawn] == [3, 4, 3, 4]
    assert drawn[0]["clip"] == drawn[1]["clip"] != drawn[2]["clip"]


def test_schedulers_are_tunes_own_and_count_iterations() -> None:
    space = {"clip": {"uniform": [0.1, 0.3]}}
    assert isinstance(scheduler(sweep()), FIFOScheduler)
    asha = scheduler(sweep(space=space, base={"iterations": 90}, scheduler={"kind": "asha"}))
    assert isinstance(asha, ASHAScheduler)
    assert [rung[0] for rung in asha._brackets[0]._rungs] == [90, 30, 10]
    assert isinstance(scheduler(sweep(space=space, scheduler={"kind": "median"})), MedianStoppingRule)
    assert isinstance(scheduler(sweep(space=space, scheduler={"kind": "pbt"})), PopulationBasedTraining)


def test_what_a_population_multiplies_stays_within_the_space() -> None:
    space = {
        "discount": {"uniform": [0.8, 0.95]},
        "epochs": {"randint": [1, 7]},
        "clip": {"choice": [0.1, 0.2]},
    }
    population = scheduler(sweep(space=space, scheduler={"kind": "pbt"}))
    assert isinstance(population, PopulationBasedTraining)
    # Tune multiplies by 0.8 or 1.2: a discount above 1 is no discount.
    moved = population._custom_explore_fn({"discount": 1.1, "epochs": 7.2, "clip": 0.1, "seed": 3})
    assert moved == {"discount": 0.95, "epochs": 6, "clip": 0.1, "seed": 3}
    assert population._hyperparam_mutations["clip"] == [0.1, 0.2]
