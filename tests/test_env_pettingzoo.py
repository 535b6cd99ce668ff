"""PettingZoo's own suites, for scenarios, information, rewards, mappings and splits."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import partial
from types import SimpleNamespace

import pytest
from env_worlds import everything
from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.test.render_test import render_test

from invrec_rllib.env import invrec_v0

# What PettingZoo says of agents with names of their own and unequal spaces; nothing else may be said.
NAMES = "We recommend agents to be named in the format <descriptor>_<number>"
SIZES = "Agents have different observation space sizes"
SHAPES = "Observations are different shapes"

OPTIONS = {
    "default": {},
    "tiny": {"scenario": "tiny"},
    "seasonal": {"scenario": "seasonal", "order": "quantity", "exposure": "scores"},
    "capacity": {"scenario": "capacity", "information": "department", "reward": "siloed"},
    "full": {"information": "full", "reward": "mixed", "exposure": "greedy"},
    "categories": {
        "scenario": everything(),
        "inventory_agents": "category",
        "recommender_agents": "category",
    },
    "many": {"scenario": "tiny", "inventory_agents": "product", "recommender_agents": "segment"},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def said_by(check) -> set[str]:
    """Warnings of a suite, silencing what it prints."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        check()
    return {str(warning.message) for warning in caught}


@every_option
def test_the_parallel_suite_passes_in_silence(options):
    assert said_by(lambda: parallel_api_test(invrec_v0.parallel_env(**options), num_cycles=70)) == set()


@every_option
def test_the_turn_based_suite_passes_with_the_known_remarks_alone(options):
    said = said_by(lambda: api_test(invrec_v0.env(**options), num_cycles=70))
    whole = "one" in (options.get("inventory_agents", "one"), options.get("recommender_agents", "one"))
    assert {text[: len(NAMES)] for text in said} == {SIZES, SHAPES, *([NAMES] if whole else [])}


@every_option
def test_the_seed_suites_pass(options):
    assert said_by(lambda: parallel_seed_test(partial(invrec_v0.parallel_env, **options), 70)) == set()
    assert said_by(lambda: seed_test(partial(invrec_v0.env, **options), 70)) == set()


# The suite plays 4 periods; orders of these two worlds take longer to arrive, which a shorter horizon refuses.
@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("seasonal", "categories")])
def test_max_cycles_is_respected(name):
    options = OPTIONS[name]
    module = SimpleNamespace(
        parallel_env=partial(invrec_v0.parallel_env, **options), env=partial(invrec_v0.env, **options)
    )
    assert said_by(lambda: max_cycles_test(module)) == set()


@pytest.mark.slow
@every_option
def test_the_render_suite_passes(options):
    assert said_by(lambda: render_test(partial(invrec_v0.env, **options))) == set()


def test_name_version_and_metadata_follow_the_convention():
    environment = invrec_v0.parallel_env("tiny")
    assert str(environment) == "invrec_v0"
    assert environment.metadata["is_parallelizable"]
    assert environment.metadata["render_modes"] == ["human", "ansi", "rgb_array"]
    assert environment.possible_agents == ["inventory", "recommender"]
    assert environment.unwrapped is environment
    turn_based = invrec_v0.env("tiny")
    assert turn_based.metadata["name"] == "invrec_v0"


def test_the_turn_based_form_plays_the_same_episode():
    parallel, turns = invrec_v0.parallel_env("tiny"), invrec_v0.env("tiny")
    turns.reset(seed=4)
    parallel.reset(seed=4)
    total = {"inventory": 0.0, "recommender": 0.0}
    spaces = {agent: parallel.action_space(agent) for agent in parallel.possible_agents}
    while parallel.agents:
        rewards = parallel.step({agent: space.high for agent, space in spaces.items()})[1]
        for agent in total:
            total[agent] += rewards[agent]
    earned = dict.fromkeys(total, 0.0)
    for agent in turns.agent_iter():
        _, reward, terminated, truncated, _ = turns.last()
        earned[agent] += reward
        turns.step(None if terminated or truncated else spaces[agent].high)
    assert earned == pytest.approx(total)
