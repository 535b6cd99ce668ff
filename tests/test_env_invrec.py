"""The environment itself: episodes and seeds, horizon, departments split among agents, refusals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from env_worlds import everything

from invrec_rllib.env import encode, parallel_env
from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.policies.view import Observer
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator


def zeros(environment):
    return {
        agent: np.zeros(environment.action_space(agent).shape, np.float32) for agent in environment.agents
    }


def play(environment, *, seed=None, options=None, act=zeros):
    """Profits of an episode, by period."""
    environment.reset(seed=seed, options=options)
    profits = []
    while environment.agents:
        infos = environment.step(act(environment))[-1]
        profits.append(next(iter(infos.values()))["profit"])
    return profits


def test_a_seeded_reset_plays_episode_0_and_unseeded_ones_the_next():
    environment = parallel_env("tiny")
    first = play(environment, seed=5)
    assert environment.episode_key == (5, 0)
    second = play(environment)
    assert environment.episode_key == (5, 1)
    assert first != second
    assert play(environment, seed=5) == first
    assert play(environment) == second
    assert play(environment, options={"episode": 1}) == second


def test_an_episode_is_the_simulators_of_the_same_key():
    environment = parallel_env("tiny", information="full")
    environment.reset(seed=7)
    observations, _ = environment.reset()
    simulator = Simulator(environment.params)
    simulator.reset(seed=7, episodes=[1])
    observer = Observer(environment.params, information="full")
    for _ in range(3):
        view = observer.observe(simulator.state, simulator.streams)
        for agent in environment.agents:
            np.testing.assert_array_equal(observations[agent], encode(view, agent, "full")[0])
        np.testing.assert_array_equal(environment.state(), encode(view, "state", "full")[0])
        facts_order = environment.mapping.to_order(view, np.zeros((1, 2)))
        exposure = environment.mapping.to_exposure(view, np.zeros((1, 2)))
        outcome = simulator.step(order=facts_order, exposure=exposure)
        observations, _, _, _, infos = environment.step(zeros(environment))
        assert infos["inventory"]["profit"] == float(outcome.economics.profit[0])


def test_never_seeded_environments_play_different_episodes():
    one, other = parallel_env("tiny"), parallel_env("tiny")
    assert play(one) != play(other)
    assert one.episode_key[0] != other.episode_key[0]
    assert one.episode_key[1] == 0


def test_a_spawn_key_sets_environments_of_one_seed_apart():
    plain = parallel_env("tiny")
    runs = [play(plain, seed=3)] + [play(plain, seed=3, options={"spawn_key": (1, k)}) for k in range(3)]
    assert plain.episode_key == (3, 1, 2, 0)
    assert len({tuple(run) for run in runs}) == 4
    following = play(plain)
    assert plain.episode_key == (3, 1, 2, 1)
    assert following not in runs


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        (-1, None, "seed is -1, must be an integer >= 0"),
        (1.5, None, "seed is 1.5"),
        (None, {"episode": -2}, r"options\['episode'\] is -2"),
        (None, {"spawn_key": 3}, r"options\['spawn_key'\] is 3, must be a tuple"),
        (None, {"spawn_key": (0, "a")}, r"options\['spawn_key'\] is 'a'"),
    ],
)
def test_seeds_and_options_are_checked(seed, options, message):
    with pytest.raises(InputError, match=message):
        parallel_env("tiny").reset(seed=seed, options=options)


def test_other_options_of_reset_are_ignored():
    environment = parallel_env("tiny")
    assert play(environment, seed=1, options={"anything": 1}) == play(environment, seed=1)


def test_all_agents_are_truncated_at_the_horizon_and_none_terminates():
    environment = parallel_env("tiny")
    environment.reset(seed=0)
    for period in range(30):
        assert environment.agents == ["inventory", "recommender"]
        observations, rewards, terminations, truncations, _ = environment.step(zeros(environment))
        assert not any(terminations.values())
        assert set(truncations.values()) == {period == 29}
        assert set(observations) == set(rewards) == {"inventory", "recommender"}
    assert environment.agents == []
    with pytest.raises(InputError, match="the episode is over or has not begun: call reset"):
        environment.step({})


def test_a_step_before_the_first_reset_and_unknown_agents_are_refused():
    environment = parallel_env("tiny")
    with pytest.raises(InputError, match="call reset"):
        environment.step({})
    with pytest.raises(InputError, match="call reset"):
        environment.state()
    environment.reset(seed=0)
    with pytest.raises(InputError, match=r"missing \['recommender'\], unknown \['shop'\]"):
        environment.step({"inventory": np.zeros(2), "shop": np.zeros(2)})


def test_max_cycles_moves_the_horizon_and_its_salvage():
    environment = parallel_env("paper", max_cycles=5)
    assert environment.scenario.periods == 5
    environment.reset(seed=0)
    for _ in range(5):
        infos = environment.step(zeros(environment))[-1]
    assert environment.agents == []
    assert infos["inventory"]["salvage"] > 0
    assert parallel_env(everything(), max_cycles=7).scenario.demand.season == (0.5, 1.5) * 3 + (0.5,)


def test_max_cycles_changes_nothing_but_the_horizon():
    whole, short = load_scenario("paper"), parallel_env("paper", max_cycles=20).scenario
    assert short.model_copy(update={"periods": 60}) == whole
    assert parallel_env("paper", max_cycles=60).scenario is whole


@pytest.mark.parametrize(("cycles", "error"), [(0, InputError), (61, InputError), (2, ScenarioError)])
def test_max_cycles_is_checked(cycles, error):
    with pytest.raises(error):
        parallel_env("paper", max_cycles=cycles)


SPLITS = [
    ("one", "one", 2),
    ("category", "category", 4),
    ("product", "segment", 15),
    ("one", "product", 11),
    ("category", "one", 3),
]


@pytest.mark.parametrize(("inventory", "recommender", "count"), SPLITS)
def test_many_agents_play_the_world_of_two(inventory, recommender, count):
    two = parallel_env(everything(), information="full")
    many = parallel_env(
        everything(), information="full", inventory_agents=inventory, recommender_agents=recommender
    )
    assert len(many.possible_agents) == count
    rng = np.random.default_rng(0)
    seen_by_two, _ = two.reset(seed=1)
    seen, _ = many.reset(seed=1)
    while two.agents:
        action = {
            "inventory": rng.uniform(-1, 1, 10).astype(np.float32),
            "recommender": rng.uniform(-1, 1, (5, 10)).astype(np.float32),
        }
        parts = {}
        for name, agent in many.cast.items():
            whole = action[agent.department]
            own_part = whole if agent.department == "inventory" else whole[agent.segments]
            parts[name] = own_part[..., agent.products].ravel()
            layout = two.observation_layout(agent.department)
            globals_, products, cells = layout.split(seen_by_two[agent.department])
            own = many.observation_layout(name).split(seen[name])
            np.testing.assert_array_equal(own[0], globals_)
            np.testing.assert_array_equal(own[1], products[agent.products])
            np.testing.assert_array_equal(own[2], cells[agent.segments][:, agent.products])
            assert many.observation_space(name).contains(seen[name])
        seen_by_two, rewards_of_two, _, _, infos_of_two = two.step(
            {"inventory": action["inventory"], "recommender": action["recommender"].ravel()}
        )
        seen, rewards, _, _, infos = many.step(parts)
        assert set(rewards.values()) == set(rewards_of_two.values())
        assert all(info == infos_of_two["inventory"] for info in infos.values())
        np.testing.assert_array_equal(many.state(), two.state())


def test_parts_of_a_department_are_named_by_number_and_know_what_they_are():
    environment = parallel_env(everything(), inventory_agents="category", recommender_agents="segment")
    cast = environment.cast
    assert list(cast) == ["inventory_0", "inventory_1", *(f"recommender_{m}" for m in range(5))]
    assert cast["inventory_1"].label == "snacks"
    np.testing.assert_array_equal(cast["inventory_1"].products, [1, 3, 5, 7, 9])
    assert cast["recommender_4"].label == "segment_4"
    np.testing.assert_array_equal(cast["recommender_4"].action_index, np.arange(40, 50))


def test_an_error_names_the_agent_of_a_split_department():
    environment = parallel_env("paper", inventory_agents="product")
    environment.reset(seed=0)
    actions = zeros(environment)
    actions["inventory_3"] = np.array([np.nan], np.float32)
    with pytest.raises(InputError, match=r"agent 'inventory_3' is nan at index \[0\]"):
        environment.step(actions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inventory_agents": "segment"}, "inventory_agents is 'segment', must be one, category or product"),
        ({"recommender_agents": "two"}, "recommender_agents is 'two', must be"),
        ({"information": "all"}, "information is 'all', must be one of full, observed, department"),
        ({"render_mode": "film"}, "render_mode is 'film', must be None or one of human, ansi, rgb_array"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        parallel_env("tiny", **options)


def test_a_pickled_or_copied_environment_is_made_anew_with_the_same_options():
    environment = parallel_env("tiny", reward="siloed", recommender_agents="product", max_cycles=9)
    expected = play(environment, seed=2)
    for twin in (pickle.loads(pickle.dumps(environment)), copy.deepcopy(environment)):
        assert twin.possible_agents == environment.possible_agents
        assert play(twin, seed=2) == expected


def test_dicts_given_away_are_not_read_again():
    environment = parallel_env("tiny")
    returned = [*environment.reset(seed=0), *environment.step({a: np.zeros(2) for a in environment.agents})]
    for part in returned:
        part.clear()
    assert set(environment.step(zeros(environment))[0]) == {"inventory", "recommender"}
