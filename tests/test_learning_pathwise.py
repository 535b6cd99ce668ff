"""Pathwise search: it begins as the heuristic, climbs, and what it finds is kept and found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policies_made import shaken
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.learning.pathwise.files import (
    PAIR_FILE,
    SavedPair,
    is_pair,
    load_pair,
    save_pair,
)
from invrec_rllib.learning.pathwise.heuristic import Heuristic
from invrec_rllib.learning.pathwise.networks import ProductNetwork
from invrec_rllib.learning.pathwise.pair import FIXED, Pair
from invrec_rllib.learning.pathwise.policy import PathwisePolicy
from invrec_rllib.learning.pathwise.search import play, rate_factor, search
from invrec_rllib.learning.pathwise.settings import Memory, PathwiseSettings, make_pathwise_settings
from invrec_rllib.learning.pathwise.start import starting_parameters
from invrec_rllib.learning.pathwise.world import World
from invrec_rllib.policies.coordinated import CoordinatedParameters, CoordinatedPolicy
from invrec_rllib.policies.tuned import TunedParameters, shipped_parameters
from invrec_rllib.policies.view import Information, Observer
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Simulator, compile_scenario
from invrec_rllib.sim.randomness import episode_keys

QUICK: dict[str, Any] = {"episodes": 16, "hidden": 8, "validation_episodes": 64, "validations": 4}
WORLDS = {
    **{name: load_scenario(name) for name in ("tiny", "paper", "seasonal", "capacity")},
    "everything": make_world(
        3,
        order_costs=True,
        capacity=True,
        season=True,
        promotions=True,
        review_periods=2,
        carryover=0.3,
        disappointment=0.5,
        linear_lift=True,
        exposure_cost=0.4,
        supply_limit=True,
    ),
}
# All parameters off their neutral values, so that each counts.
ODD = CoordinatedParameters.from_values(
    {
        name: low + share * (high - low)
        for share, (name, (low, high)) in zip(
            np.linspace(0.25, 0.6, len(CoordinatedParameters().bounds())),
            CoordinatedParameters().bounds().items(),
            strict=True,
        )
    }
)


def untrained(
    scenario: Scenario, chosen: CoordinatedParameters, *, information: Information = "full"
) -> PathwisePolicy:
    heuristic = Heuristic(World(compile_scenario(scenario)), chosen)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pair = Pair(chosen, num_features=heuristic.num_features, hidden=8)
    return PathwisePolicy(pair.eval(), information, "pair")


def shaken_pair(scenario: Scenario) -> Pair:
    pair = untrained(scenario, CoordinatedParameters()).pair
    shaken(pair.corrections, spread=0.2)
    return pair


@pytest.mark.parametrize("information", ["full", "observed"])
@pytest.mark.parametrize("name", WORLDS)
def test_before_it_has_learned_it_is_the_heuristic(name: str, information: Information) -> None:
    given: dict[str, Any] = {"seed": 5, "episodes": 6, "information": information}
    expected = rollout(WORLDS[name], CoordinatedPolicy(ODD), **given)
    found = rollout(WORLDS[name], untrained(WORLDS[name], ODD, information=information), **given)
    np.testing.assert_array_equal(found.sales_units, expected.sales_units)
    np.testing.assert_allclose(found.profit, expected.profit, rtol=1e-9)
    assert not np.array_equal(found.profit, rollout(WORLDS[name], CoordinatedPolicy(), **given).profit)


@pytest.mark.parametrize(
    ("information", "memory"), [("full", "filter"), ("observed", "filter"), ("observed", "none")]
)
def test_what_the_search_plays_is_what_the_policy_plays(information: Information, memory: Memory) -> None:
    world = WORLDS["everything"]
    pair = shaken_pair(world)
    heuristic = Heuristic(World(compile_scenario(world), dtype=torch.float64), pair.chosen)
    policy = PathwisePolicy(pair, information, memory=memory)
    expected = rollout(world, policy, seed=9, episodes=5, information=information).profit
    with torch.no_grad():
        found = play(heuristic, pair.double(), episode_keys(9, 5), information=information, memory=memory)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    heuristics = untrained(world, pair.chosen, information=information)
    plain = rollout(world, heuristics, seed=9, episodes=5, information=information).profit
    assert not np.array_equal(found.numpy(), plain)


def test_memory_tells_hidden_tastes_from_blur_and_changes_nothing_where_they_are_seen() -> None:
    world = load_scenario("paper")
    pair = untrained(world, starting_parameters(world, information="observed")).pair

    def profit(information: Information, memory: Memory) -> Any:
        policy = PathwisePolicy(pair, information, memory=memory)
        return rollout(world, policy, seed=1, episodes=100, information=information).profit

    np.testing.assert_array_equal(profit("full", "none"), profit("full", "filter"))
    assert (
        profit("observed", "none").mean()
        < profit("observed", "filter").mean()
        < profit("full", "filter").mean()
    )


def test_orders_follow_slates_that_are_told() -> None:
    world = compile_scenario(load_scenario("paper"))
    policy = untrained(load_scenario("paper"), CoordinatedParameters())
    simulator = Simulator(world)
    observer = Observer(world, information="full")
    view = observer.observe(simulator.reset(seed=0, episodes=2), simulator.streams)
    shown = np.zeros((2, world.num_segments, world.num_products))
    memory = policy.begin(world, num_episodes=2, seed=0)
    nothing = policy.act_told(view, memory, exposure=shown)
    shown[:, :, 3] = 1.0
    told = policy.act_told(view, memory, exposure=shown)
    assert (told.order[:, 3] > nothing.order[:, 3]).all()
    np.testing.assert_array_equal(told.exposure, shown)


def test_networks_treat_products_alike_and_say_nothing_at_first() -> None:
    network = ProductNetwork(3, 2, hidden=5)
    features = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert all(float(output.abs().max().detach()) == 0.0 for output in network(features))
    shaken(network)
    order = [2, 0, 3, 1]
    for output, reordered in zip(network(features), network(features[:, order]), strict=True):
        torch.testing.assert_close(reordered, output[:, order])
        assert float(output.std().detach()) > 0.0


def test_a_search_climbs_from_parameters_that_are_off_and_finds_the_same_again() -> None:
    params = compile_scenario(load_scenario("tiny"))
    off = CoordinatedParameters.from_values({**CoordinatedParameters().values(), "mean_factor": 0.7})
    settings = PathwiseSettings(**QUICK, steps=20, learning_rate=0.03)
    seen: list[int] = []
    found = search(
        params, off, information="full", settings=settings, progress=lambda step, at: seen.append(step)
    )
    assert seen == list(range(1, 21))
    assert [at.step for at in found.history] == [0, 5, 10, 15, 20]
    assert found.history[-1].best > 1.03 * found.history[0].profit
    assert float(found.pair.weights()["mean_factor"].detach()) > 0.7
    again = search(params, off, information="full", settings=settings)
    assert again.history == found.history
    for first, second in zip(found.pair.parameters(), again.pair.parameters(), strict=True):
        assert torch.equal(first, second)
    other = search(
        params,
        off,
        information="full",
        settings=PathwiseSettings(**{**QUICK, "episodes": 2}, steps=1, seed=1),
    )
    assert other.history[0].profit != found.history[0].profit


def test_what_is_returned_is_the_best_that_was_validated() -> None:
    params = compile_scenario(load_scenario("tiny"))
    chosen = starting_parameters(load_scenario("tiny"), information="full")
    # Steps so large that it falls.
    settings = PathwiseSettings(
        **QUICK, steps=4, learning_rate=5.0, parameter_share=1.0, warmup_steps=1, averaging=0.0
    )
    found = search(params, chosen, information="full", settings=settings)
    assert found.history[-1].profit < found.history[0].profit == found.history[-1].best
    assert found.pair.weights().keys() == chosen.values().keys() - set(FIXED)
    for name, value in found.pair.weights().items():
        assert float(value.detach()) == pytest.approx(chosen.values()[name], abs=1e-9)


def test_parameters_stay_between_their_bounds() -> None:
    pair = untrained(load_scenario("tiny"), CoordinatedParameters()).pair
    with torch.no_grad():
        for value in pair.scaled.values():
            value.add_(7.0)
    pair.stay_within_bounds()
    bounds = pair.chosen.bounds()
    for name, value in pair.weights().items():
        assert float(value.detach()) == pytest.approx(bounds[name][1])


def test_step_sizes_rise_hold_and_fall() -> None:
    settings = PathwiseSettings(steps=100, warmup_steps=4, hold=0.5, learning_rate_end=0.1)
    factors = [rate_factor(step, settings) for step in range(100)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[3:51] == [1.0] * 48
    assert factors[75] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps: must be at least 1, got 0"),
        ({"hold": 1.5}, "hold: must be at most 1, got 1.5"),
        ({"averaging": 1.0}, "averaging: must be below 1, got 1.0"),
        ({"learning_rat": 1.0}, "learning_rat: .*learning_rate"),
    ],
)
def test_wrong_settings_name_field_value_and_what_is_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pathwise_settings(given)


def test_a_search_begins_with_what_is_given_else_shipped_else_by_formula() -> None:
    paper = load_scenario("paper")
    shipped = shipped_parameters("coordinated", paper, information="full")
    assert shipped is not None
    assert starting_parameters(paper, information="full").values() == pytest.approx(dict(shipped.parameters))
    assert starting_parameters(WORLDS["everything"], information="full") == CoordinatedParameters()
    given = shipped_parameters("coordinated", paper, information="observed")
    assert given is not None
    found = starting_parameters(paper, information="full", tuned=given)
    assert found.values() == pytest.approx(dict(given.parameters))
    silo = shipped_parameters("silo_best", paper, information="full")
    assert isinstance(silo, TunedParameters)
    with pytest.raises(InputError, match="parameters are of silo_best, must be of coordinated"):
        starting_parameters(paper, information="full", tuned=silo)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    world = load_scenario("tiny")
    pair = SavedPair(shaken_pair(world), "observed", world, {"seconds": 1.5}, "none")
    return save_pair(pair, tmp_path / "pair")


def test_a_pair_comes_back_as_it_was_written(saved: Path) -> None:
    world = load_scenario("tiny")
    found = load_pair(saved)
    assert is_pair(saved)
    assert not is_pair(saved.parent)
    assert (found.information, found.memory, found.scenario) == ("observed", "none", world)
    assert found.provenance == {"seconds": 1.5}
    given: dict[str, Any] = {"seed": 0, "episodes": 8, "information": "observed"}
    expected = rollout(world, PathwisePolicy(shaken_pair(world), "observed", memory="none"), **given).profit
    np.testing.assert_array_equal(rollout(world, PathwisePolicy.load(saved), **given).profit, expected)
    assert sorted(path.name for path in saved.iterdir()) == [
        PAIR_FILE,
        "scenario.yaml",
        "weights.safetensors",
    ]


def test_what_is_there_is_not_overwritten(saved: Path) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        save_pair(load_pair(saved), saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def change(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda pair: (pair / "weights.safetensors").write_bytes(b"x"), "is damaged, or does not belong"),
        (lambda pair: (pair / "weights.safetensors").unlink(), "is not complete: weights.safetensors"),
        (lambda pair: (pair / PAIR_FILE).write_text("{"), "cannot be read as JSON"),
        (lambda pair: change(pair / PAIR_FILE, format="other"), "its format is not 'invrec-pathwise'"),
        (lambda pair: change(pair / PAIR_FILE, format_version=2), "has format_version 2, .* reads 1"),
        (lambda pair: change(pair / PAIR_FILE, hidden=9), "does not describe a pair"),
        (lambda pair: change(pair / PAIR_FILE, start={}), "does not describe a pair"),
        (
            lambda pair: change(pair / PAIR_FILE, information="all"),
            "information is 'all', must be one of full",
        ),
        (lambda pair: change(pair / PAIR_FILE, memory="gru"), "memory is 'gru', must be one of filter, none"),
    ],
)
def test_damage_is_named(saved: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(saved)
    with pytest.raises(InputError, match=message):
        load_pair(saved)


def test_a_world_with_other_features_is_refused(saved: Path) -> None:
    policy = PathwisePolicy.load(saved, name="mine")
    with pytest.raises(InputError, match=r"mine knows \d+ features of a product, the world capacity shows"):
        policy.begin(compile_scenario(load_scenario("capacity")), num_episodes=1, seed=0)
