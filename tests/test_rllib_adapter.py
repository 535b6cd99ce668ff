"""The adapter of PettingZoo environments to RLlib, its registration, and Ray's start."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import ParallelEnv
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.pre_checks.env import check_multiagent_environments
from ray.tune.registry import ENV_CREATOR, _global_registry
from ray.util import placement_group, remove_placement_group

import invrec_rllib.env
from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.env_creators import AdapterCreator
from invrec_rllib.rllib.quiet import (
    build_quietly,
    drop_from_stderr,
    has_room,
    resources_needed,
    start_ray,
    stop_ray,
)
from invrec_rllib.rllib.register import (
    ENV_NAME,
    make_env_config,
    make_invrec,
    register,
    register_parallel_env,
)
from invrec_rllib.scenario.files import load_scenario
from invrec_rllib.scenario.schema import Scenario

HORIZON = 4
# Ray leaves sockets and the pipes of its processes to the garbage collector when it stops.
QUIET_RAY = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Toy(ParallelEnv):
    """Agents "b" and "a" (in that order) with unequal boxes; `ends` says when and how each of them ends."""

    metadata = {"name": "toy_v0", "render_modes": ["ansi"]}  # noqa: RUF012  # PettingZoo's convention

    def __init__(self, ends: dict[str, tuple[int, str]] | None = None) -> None:
        self.possible_agents = ["b", "a"]
        self.agents: list[str] = []
        self.ends = ends or dict.fromkeys(self.possible_agents, (HORIZON, "truncated"))
        self.render_mode = "ansi"
        self.state_space = gym.spaces.Box(-1, 1, (3,), np.float32)
        self.spaces = {
            "a": (gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Box(0, 5, (1,), np.float32)),
            "b": (gym.spaces.Box(-1, 1, (3,), np.float32), gym.spaces.Box(0, 5, (2,), np.float32)),
        }
        self.seeds_seen: list[Any] = []
        self.actions_seen: list[Any] = []
        self.returned: Any = None

    def observation_space(self, agent: str) -> gym.Space:
        return self.spaces[agent][0]

    def action_space(self, agent: str) -> gym.Space:
        return self.spaces[agent][1]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.seeds_seen.append(seed)
        self.random = np.random.default_rng(seed)
        self.agents, self.t = list(self.possible_agents), 0
        return self._observations(), {agent: {} for agent in self.agents}

    def _observations(self) -> dict[str, Any]:
        return {
            agent: self.random.uniform(-1, 1, self.spaces[agent][0].shape).astype(np.float32)
            for agent in self.agents
        }

    def step(self, actions: dict[str, Any]) -> Any:
        self.t += 1
        self.actions_seen.append(actions)
        observations = self._observations()
        rewards = {agent: np.float32(self.t) for agent in self.agents}
        terminated, truncated = (
            {agent: self.ends[agent] == (self.t, how) for agent in self.agents}
            for how in ("terminated", "truncated")
        )
        infos = {agent: {"t": self.t} for agent in self.agents}
        self.agents = [agent for agent in self.agents if not (terminated[agent] or truncated[agent])]
        self.returned = observations, rewards, terminated, truncated, infos
        return self.returned

    def render(self) -> str:
        return f"t={self.t}"

    def state(self) -> np.ndarray:
        return np.full(3, 0.5, np.float32)


def make_toy(options: dict[str, Any]) -> Toy:
    return Toy(**options)


def play(ends: dict[str, tuple[int, str]]) -> tuple[ParallelEnvAdapter, list[Any]]:
    """Play to the end of the episode; returns the adapter and the result of each step."""
    adapter = ParallelEnvAdapter(Toy(ends))
    adapter.reset(seed=1)
    steps = []
    while adapter.par_env.agents:
        actions = {agent: adapter.action_spaces[agent].low for agent in adapter.par_env.agents}
        steps.append((actions, *adapter.step(actions)))
    return adapter, steps


def recorded_episode(ends: dict[str, tuple[int, str]]) -> MultiAgentEpisode:
    """RLlib's own record of such an episode."""
    adapter, steps = play(ends)
    episode = MultiAgentEpisode(
        observation_space=adapter.observation_spaces,
        action_space=adapter.action_spaces,
        agent_to_module_mapping_fn=lambda agent, episode, **_: agent,
    )
    observations, infos = adapter.reset(seed=1)
    episode.add_env_reset(observations=observations, infos=infos)
    for actions, observations, rewards, terminateds, truncateds, infos in steps:
        episode.add_env_step(
            observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds
        )
    return episode


def test_agents_and_spaces_come_in_sorted_order_without_a_reset() -> None:
    adapter = ParallelEnvAdapter(Toy)
    assert (
        adapter.possible_agents
        == list(adapter.observation_spaces)
        == list(adapter.action_spaces)
        == ["a", "b"]
    )
    assert adapter.agents == []
    assert adapter.par_env.seeds_seen == []
    observations, infos = adapter.reset(seed=9)
    assert list(observations) == list(infos) == adapter.agents == ["a", "b"]
    assert adapter.par_env.seeds_seen == [9]
    assert all(adapter.observation_spaces[agent].contains(observations[agent]) for agent in observations)


@pytest.mark.parametrize(
    ("ends", "terminated", "truncated"),
    [
        ({"a": (2, "terminated"), "b": (2, "terminated")}, {"a": True, "b": True, "__all__": True}, False),
        ({"a": (2, "truncated"), "b": (2, "truncated")}, {"a": False, "b": False, "__all__": False}, True),
        ({"a": (2, "terminated"), "b": (2, "truncated")}, {"a": True, "b": False, "__all__": False}, True),
        ({"a": (1, "terminated"), "b": (2, "truncated")}, {"b": False, "__all__": False}, True),
        ({"a": (1, "truncated"), "b": (2, "terminated")}, {"b": True, "__all__": True}, False),
    ],
)
def test_the_episode_ends_when_the_last_agent_does(
    ends: dict[str, tuple[int, str]], terminated: dict[str, bool], truncated: bool
) -> None:
    _, steps = play(ends)
    assert len(steps) == 2
    assert not steps[0][3]["__all__"]
    assert not steps[0][4]["__all__"]
    assert steps[-1][3] == terminated
    assert steps[-1][4]["__all__"] is truncated


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({"a": (3, "truncated"), "b": (3, "truncated")}, {"a": "truncated", "b": "truncated"}),
        ({"a": (3, "terminated"), "b": (3, "terminated")}, {"a": "terminated", "b": "terminated"}),
        ({"a": (3, "terminated"), "b": (3, "truncated")}, {"a": "terminated", "b": "truncated"}),
        ({"a": (1, "terminated"), "b": (3, "truncated")}, {"a": "terminated", "b": "truncated"}),
        ({"a": (1, "truncated"), "b": (3, "truncated")}, {"a": "truncated", "b": "truncated"}),
    ],
)
def test_rllib_bootstraps_from_exactly_the_agents_that_were_truncated(
    ends: dict[str, tuple[int, str]], expected: dict[str, str]
) -> None:
    episode = recorded_episode(ends)
    assert episode.is_done
    ended = {
        agent: "terminated" if record.is_terminated else "truncated" if record.is_truncated else "runs on"
        for agent, record in episode.agent_episodes.items()
    }
    assert ended == expected
    assert {agent: len(record) for agent, record in episode.agent_episodes.items()} == {
        agent: step for agent, (step, _) in ends.items()
    }


def test_rllib_still_calls_an_episode_terminated_when_each_agent_carries_a_truncation_flag() -> None:
    # The reason for leaving those flags out: if this fails, Ray has changed and the adapter may be simpler.
    episode = MultiAgentEpisode(agent_to_module_mapping_fn=lambda agent, episode, **_: agent)
    zeros = {"a": np.zeros(2), "b": np.zeros(2)}
    episode.add_env_reset(observations=zeros)
    episode.add_env_step(
        zeros, zeros, {"a": 0.0, "b": 0.0}, truncateds={"a": True, "b": True, "__all__": True}
    )
    assert episode.agent_episodes["a"].is_terminated


def test_the_last_step_gives_every_agent_that_acted_an_observation_a_reward_and_its_infos() -> None:
    _, steps = play({"a": (2, "terminated"), "b": (3, "truncated")})
    assert [sorted(step[1]) for step in steps] == [["a", "b"], ["a", "b"], ["b"]]
    assert [step[2] for step in steps] == [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"b": 3.0}]
    assert steps[1][5] == {"a": {"t": 2}, "b": {"t": 2}}


def test_the_environments_dicts_are_left_as_they_were() -> None:
    adapter, _ = play({"a": (2, "terminated"), "b": (2, "truncated")})
    assert [sorted(returned) for returned in adapter.par_env.returned] == [["a", "b"]] * 5


@pytest.mark.parametrize(("part", "what"), [(0, "observation"), (1, "reward")])
def test_an_agent_that_acted_and_gets_nothing_back_is_named(part: int, what: str) -> None:
    class Forgetful(Toy):
        def step(self, actions: dict[str, Any]) -> Any:
            returned = super().step(actions)
            del returned[part]["b"]
            return returned

    adapter = ParallelEnvAdapter(Forgetful())
    adapter.reset(seed=1)
    with pytest.raises(InputError, match=rf"returned no {what} for \['b'\]"):
        adapter.step({"a": np.zeros(1), "b": np.zeros(2)})


@pytest.mark.parametrize(("reward", "valid"), [(np.ones(1), True), (2, True), (np.ones(2), False)])
def test_a_reward_is_one_number(reward: Any, valid: bool) -> None:
    class Rewarding(Toy):
        def step(self, actions: dict[str, Any]) -> Any:
            returned = super().step(actions)
            returned[1]["b"] = reward
            return returned

    adapter = ParallelEnvAdapter(Rewarding())
    adapter.reset(seed=1)
    actions = {"a": np.zeros(1), "b": np.zeros(2)}
    if valid:
        value = adapter.step(actions)[1]["b"]
        assert type(value) is float
        assert value == float(np.sum(reward))
    else:
        with pytest.raises(InputError, match=r"reward of 'b' must be one number, got shape \(2,\)"):
            adapter.step(actions)


def test_rendering_and_the_global_state_are_passed_on() -> None:
    adapter = ParallelEnvAdapter(Toy())
    adapter.reset(seed=1)
    assert adapter.render_mode == "ansi"
    assert adapter.render() == "t=0"
    assert adapter.state_space.contains(adapter.state())
    del adapter.par_env.state_space
    with pytest.raises(InputError, match="has no state_space"):
        adapter.state_space  # noqa: B018  # a property


def test_metadata_belongs_to_the_adapter_alone() -> None:
    before = copy.deepcopy(Toy.metadata)
    # Not a key that RLlib writes into the class's dict in other tests.
    ParallelEnvAdapter(Toy()).metadata["written_here"] = True
    assert Toy.metadata == before
    assert "written_here" not in gym.Env.metadata


def test_rllibs_environment_check_passes_even_when_the_first_step_is_the_last() -> None:
    check_multiagent_environments(ParallelEnvAdapter(Toy(dict.fromkeys("ab", (1, "truncated")))))


class CartPole:
    """Not an environment of PettingZoo's."""


def test_something_else_than_a_parallel_environment_is_refused() -> None:
    with pytest.raises(InputError, match="must be a PettingZoo ParallelEnv or make one, got CartPole"):
        ParallelEnvAdapter(CartPole)


@pytest.fixture
def fake_world(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in for the environment's module that lists the arguments it was called with."""
    calls: list[dict[str, Any]] = []

    def parallel_env(scenario: Scenario, *, reward: str = "team") -> Toy:
        calls.append({"scenario": scenario, "reward": reward})
        return Toy()

    monkeypatch.setattr(
        invrec_rllib.env,
        "invrec_v0",
        SimpleNamespace(parallel_env=parallel_env, InvRecEnv=parallel_env),
        raising=False,
    )
    return calls


def test_the_environments_config_becomes_scenario_and_options(fake_world: list[dict[str, Any]]) -> None:
    config = make_env_config(load_scenario("tiny"), seed=3, seed_stream=1, reward="siloed")
    assert config == {"scenario": load_scenario("tiny"), "reward": "siloed", "seed": 3, "seed_stream": 1}
    adapter = AdapterCreator(make_invrec)(config)
    assert fake_world[-1] == {"scenario": load_scenario("tiny"), "reward": "siloed"}
    adapter.reset()
    assert adapter.seeds.record()["stream"] == 1
    adapter.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"scenario": "tiny", "rewards": "team"},
            r"unknown keys \['rewards'\]; known: joint, reward, scenario",
        ),
        ({"scenario": "tiny", "seed": -1}, "seed must be an integer"),
        ({"scenario": "tiny", "seed_stream": "evaluation"}, "seed_stream must be an integer"),
        ({"scenario": 3}, "scenario must be a preset name, a path, a mapping or a Scenario, got int"),
    ],
)
def test_a_wrong_config_fails_before_ray_starts(
    fake_world: list[dict[str, Any]], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_env_config(arguments.pop("scenario"), **arguments)


@pytest.mark.parametrize("scenario", ["no-such-preset", {"no_such_key": 1}])
def test_a_wrong_scenario_fails_before_ray_starts(fake_world: list[dict[str, Any]], scenario: Any) -> None:
    with pytest.raises(ScenarioError):
        make_env_config(scenario)


def test_lines_of_noise_are_dropped_from_standard_error_and_all_others_pass() -> None:
    script = (
        "import os, re, sys\n"
        "from invrec_rllib.rllib.quiet import drop_from_stderr\n"
        "with drop_from_stderr(re.compile(b'noise')):\n"
        "    print('first', file=sys.stderr)\n"
        "    os.write(2, b'C++ noise here\\nsecond\\nthird, unfinished')\n"
        "os.write(2, b' and noise after it\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "first\nsecond\nthird, unfinished and noise after it\n"


def test_standard_error_comes_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), drop_from_stderr():
        raise ValueError("inside")
    print("outside", file=sys.stderr)
    assert capfd.readouterr().err == "outside\n"


def toy_config(
    *, num_env_runners: int, num_envs_per_env_runner: int = 2, run_seed: int | None = 1
) -> PPOConfig:
    """PPO on the toy, one policy per agent."""
    register_parallel_env("toy_v0", make_toy)
    return (
        PPOConfig()
        .environment("toy_v0", env_config={} if run_seed is None else {"seed": run_seed})
        .env_runners(num_env_runners=num_env_runners, num_envs_per_env_runner=num_envs_per_env_runner)
        .multi_agent(policies={"a", "b"}, policy_mapping_fn=_own_policy)
        .training(train_batch_size_per_learner=64, minibatch_size=32, num_epochs=1)
        .rl_module(model_config={"fcnet_hiddens": [8]})
    )


def start_toy_ray() -> None:
    """A local Ray of two CPUs whose workers can import this module."""
    start_ray(2, runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}})


def _own_policy(agent: str, episode: Any, **_: Any) -> str:
    return agent


@pytest.fixture(scope="module", autouse=True)
def _no_ray_left_behind() -> Iterator[None]:
    yield
    stop_ray()


def test_the_cpus_of_runners_evaluation_and_learners_are_counted() -> None:
    config = toy_config(num_env_runners=3)
    assert resources_needed(config) == {"CPU": 3.0}
    assert resources_needed(config, concurrent_trials=2) == {"CPU": 8.0}
    config.learners(num_learners=2).evaluation(evaluation_interval=1, evaluation_num_env_runners=1)
    assert resources_needed(config) == {"CPU": 6.0}


def test_a_local_ray_too_small_for_the_job_is_refused_before_it_starts() -> None:
    with pytest.raises(InputError, match="num_cpus=1, but runners and learners need 3 CPUs"):
        start_ray(1, needed={"CPU": 3.0})


def test_cpus_cannot_be_declared_to_a_cluster_that_runs_already() -> None:
    with pytest.raises(InputError, match="num_cpus=2 is for a local Ray only; the cluster at"):
        start_ray(2, address="192.0.2.1:6379")


@pytest.mark.slow
@QUIET_RAY
@pytest.mark.parametrize("num_env_runners", [0, 2])
def test_ppo_trains_saves_and_restores(num_env_runners: int, tmp_path: Path) -> None:
    start_toy_ray()
    config = toy_config(num_env_runners=num_env_runners)
    algorithm = build_quietly(config)
    result = [algorithm.train() for _ in range(2)][-1]
    runners = result["env_runners"]
    assert set(result["learners"]) >= {"a", "b"}
    assert runners["num_env_steps_sampled_lifetime"] >= 128
    assert runners["episode_len_mean"] == HORIZON
    # Rewards are 1 + 2 + 3 + 4 for each of the two agents.
    assert runners["episode_return_mean"] == 20.0
    played = algorithm.env_runner_group.foreach_env_runner(_play_one, local_env_runner=num_env_runners == 0)
    for flags, dtypes, actions in played:
        assert flags == {"a": (False, True), "b": (False, True)}
        assert dtypes == {"a": ("float32", "float32"), "b": ("float32", "float32")}
        assert all(space.contains(np.asarray(actions[agent])) for agent, (_, space) in Toy().spaces.items())
    algorithm.save_to_path(tmp_path)
    weights = algorithm.get_module("a").get_state()
    algorithm.stop()
    again = build_quietly(config)
    again.restore_from_path(tmp_path)
    restored = again.get_module("a").get_state()
    assert all(np.array_equal(weights[name], restored[name]) for name in weights)
    assert again.train()["training_iteration"] == 3
    again.stop()


def _play_one(runner: Any) -> tuple[Any, Any, Any]:
    episode = runner.sample(num_episodes=1)[0]
    records = episode.agent_episodes
    flags = {agent: (record.is_terminated, record.is_truncated) for agent, record in records.items()}
    dtypes = {
        agent: (str(record.get_observations(-1).dtype), str(record.get_actions(-1).dtype))
        for agent, record in records.items()
    }
    return flags, dtypes, runner.env.envs[0].unwrapped.par_env.actions_seen[-1]


@pytest.mark.slow
@QUIET_RAY
def test_a_cluster_too_small_for_the_job_is_refused_instead_of_hanging() -> None:
    start_toy_ray()
    with pytest.raises(InputError, match="3 CPU needed, 2 in the cluster"):
        build_quietly(toy_config(num_env_runners=3))
    # And while what there is is taken, which the cluster's size does not show.
    assert has_room(toy_config(num_env_runners=0), seconds=0.0)
    assert has_room(toy_config(num_env_runners=2), seconds=60.0)
    taken = placement_group([{"CPU": 1.0}])
    assert taken.wait(60.0)
    assert not has_room(toy_config(num_env_runners=2), seconds=0.5)
    remove_placement_group(taken)


@pytest.mark.slow
@QUIET_RAY
def test_registering_again_serves_a_second_cluster() -> None:
    for _ in range(2):
        start_ray(1)
        assert register() == register() == ENV_NAME
        assert _global_registry.contains(ENV_CREATOR, ENV_NAME)
        stop_ray()


@pytest.mark.slow
def test_a_quiet_run_prints_nothing_and_a_failing_runner_is_still_heard() -> None:
    script = (
        "import sys\n"
        "import test_rllib_adapter as toys\n"
        "from invrec_rllib.rllib.quiet import build_quietly\n"
        "toys.start_toy_ray()\n"
        "config = toys.toy_config(num_env_runners=1)\n"
        "algorithm = build_quietly(config)\n"
        "algorithm.train()\n"
        "algorithm.stop()\n"
        "print('trained', file=sys.stderr)\n"
        "build_quietly(toys.toy_config(num_env_runners=1).environment(env_config={'x': 1}))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == ""
    quiet, _, loud = done.stderr.partition("trained\n")
    assert quiet == ""
    assert done.returncode != 0
    assert "unexpected keyword argument 'x'" in loud


def test_the_real_environment_passes_rllibs_check_and_ends_by_truncation() -> None:
    config = make_env_config("tiny", seed=1)
    adapter = AdapterCreator(make_invrec)(config)
    check_multiagent_environments(adapter)
    observations, _ = adapter.reset()
    assert list(observations) == ["inventory", "recommender"]
    while adapter.par_env.agents:
        result = adapter.step({agent: space.sample() for agent, space in adapter.action_spaces.items()})
    assert result[2] == {"inventory": False, "recommender": False, "__all__": False}
    assert result[3] == {"__all__": True}
    adapter.close()
