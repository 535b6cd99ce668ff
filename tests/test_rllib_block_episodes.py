"""Episodes built in bulk are those that RLlib's own runner returns."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import tree
from block_worlds import (
    HORIZON,
    Counting,
    CountingModule,
    deterministic,
    make_runner,
    tiny_config,
)
from gymnasium.spaces import Space
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.tune import register_env

from invrec_rllib.rllib.block_runner import BlockEpisodeRunner, BlockRunner
from invrec_rllib.rllib.fast_sampling import fast_sampling

# Ids are random, times are measured, and functions are compared by the configuration.
UNLIKE = {"_start_time", "_last_step_time", "agent_to_module_mapping_fn"}
IDS = {"id_", "multi_agent_episode_id"}


class Hearing(RLlibCallback):
    """Notes what it is told, and leaves a note with the episode; that it is there makes infos be kept."""

    heard: ClassVar[list[Any]] = []

    def on_episode_created(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        self.heard.append(("created", env_index, episode.id_))

    def on_episode_start(self, *, episode: Any, env_index: int, **kwargs: Any) -> None:
        self.heard.append(("start", env_index, episode.id_))
        episode.custom_data["note"] = env_index

    def on_episode_end(
        self, *, episode: Any, env_index: int, prev_episode_chunks: Any = (), **kwargs: Any
    ) -> None:
        steps = sum(map(len, prev_episode_chunks)) + len(episode)
        self.heard.append(("end", env_index, episode.id_, steps, dict(episode.custom_data)))


def sample(cls: type[MultiAgentEnvRunner], config: PPOConfig, times: int, **how: Any) -> list[list[Any]]:
    """What some calls of `sample` return, with constant weights; the runner is stopped, so that another is its twin."""
    runner = deterministic(make_runner(cls, config))
    samples = [runner.sample(explore=False, **how) for _ in range(times)]
    runner.stop()
    return samples


def by_environment(episodes: list[Any]) -> list[Any]:
    """In an order that does not depend on who made them: by first observation, then time."""
    return sorted(
        episodes,
        key=lambda episode: (
            next(iter(episode.agent_episodes.values())).get_observations(0).tolist(),
            episode.env_t_started,
        ),
    )


def content(episode: Any) -> dict[str, Any]:
    """All that RLlib saves of an episode."""
    state = {name: value for name, value in episode.get_state().items() if name not in UNLIKE | IDS}
    state["agent_episodes"] = {
        agent: {name: value for name, value in each.items() if name not in UNLIKE | IDS}
        for agent, each in sorted(state["agent_episodes"])
    }
    for agent, each in state["agent_episodes"].items():
        # RLlib gives modes a log-probability of zero per number, not per action; learners never see it.
        logp = each["extra_model_outputs"][Columns.ACTION_LOGP]
        logp["data"] = logp["data"].reshape(len(logp["data"]), -1)[:, 0]
        each["lookbacks"] = episode.agent_episodes[agent].observations.lookback
    state["env_t_to_agent_t"] = {
        agent: buffer.get_state() for agent, buffer in sorted(state["env_t_to_agent_t"].items())
    }
    return state


def assert_alike(got: Any, expected: Any, path: str = "") -> None:
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), path
        for name, value in expected.items():
            assert_alike(got[name], value, f"{path}/{name}")
    elif isinstance(expected, list | tuple):
        assert len(got) == len(expected), path
        for index, (each, other) in enumerate(zip(got, expected, strict=True)):
            assert_alike(each, other, f"{path}[{index}]")
    elif isinstance(expected, Space):
        assert got == expected, path
    elif isinstance(expected, float) or (isinstance(expected, np.ndarray) and expected.dtype.kind == "f"):
        assert getattr(got, "dtype", None) == getattr(expected, "dtype", None), path
        # To the rounding of matrix products of one row and of many, and of rewards to 32 bits.
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4, err_msg=path)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=path)


def assert_same_episodes(got: list[list[Any]], expected: list[list[Any]]) -> None:
    names: dict[str, str] = {}
    for ours, theirs in zip(got, expected, strict=True):
        assert len(ours) == len(theirs)
        for mine, reference in zip(by_environment(ours), by_environment(theirs), strict=True):
            assert_alike(content(mine), content(reference))
            # Chunks of one episode share their ids where RLlib's do.
            assert names.setdefault(reference.id_, mine.id_) == mine.id_
            for agent, single in reference.agent_episodes.items():
                own = mine.agent_episodes[agent]
                assert names.setdefault(single.id_, own.id_) == own.id_
                assert own.multi_agent_episode_id == mine.id_
            assert mine.is_done == reference.is_done
            assert mine.is_numpy
            mine.validate()
    assert len(set(names.values())) == len(names)


def quiet_chunks(config: PPOConfig) -> PPOConfig:
    return config.callbacks(Hearing)


@pytest.mark.parametrize("lookback", [1, 3])
def test_they_equal_rllibs_field_by_field(lookback: int) -> None:
    """Chunks that begin and end within episodes, and where one ends in between."""

    def config() -> PPOConfig:
        made = quiet_chunks(tiny_config(envs=3, fragment=13))
        made.env_runners(episode_lookback_horizon=lookback)
        return made

    expected = sample(MultiAgentEnvRunner, config(), 5)
    got = sample(BlockEpisodeRunner, config(), 5)
    assert_same_episodes(got, expected)
    assert any(episode.is_done for episode in got[2])


def test_whole_episodes_and_a_number_of_them_equal_rllibs() -> None:
    for how in ({}, {"num_episodes": 2}):
        expected = sample(MultiAgentEnvRunner, quiet_chunks(tiny_config(envs=3)), 2, **how)
        got = sample(BlockEpisodeRunner, quiet_chunks(tiny_config(envs=3)), 2, **how)
        assert_same_episodes(got, expected)
        assert [len(episodes) for episodes in got] == [how.get("num_episodes", 3)] * 2


@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_states_of_memory_and_ends_equal_rllibs(how: str) -> None:
    register_env("counting", Counting)

    def config() -> PPOConfig:
        return (
            PPOConfig()
            .environment(
                "counting", env_config={"lengths": [7, 4], "how": how, "box": True}, disable_env_checking=True
            )
            .env_runners(num_env_runners=0, num_envs_per_env_runner=1, rollout_fragment_length=5)
            .multi_agent(policies=["p"], policy_mapping_fn=lambda agent, episode=None, **kwargs: "p")
            .rl_module(
                rl_module_spec=RLModuleSpec(module_class=CountingModule, model_config={"max_seq_len": 4})
            )
        )

    expected = sample(MultiAgentEnvRunner, config(), 4)
    got = sample(BlockEpisodeRunner, config(), 4)
    assert_same_episodes(got, expected)
    states = [
        tree.flatten(single.get_extra_model_outputs(Columns.STATE_OUT))[0].ravel().tolist()
        for episode in got[1]
        for single in episode.agent_episodes.values()
    ]
    # Steps 5 to 9: the last two of an episode of 7, and three of the next.
    assert sorted(states) == [[1, 2, 3]] * 2 + [[6, 7]] * 2


def test_truncated_episodes_are_not_called_terminated() -> None:
    """RLlib 2.60 would, if every agent's flag were set apart."""
    (episodes,) = sample(BlockEpisodeRunner, tiny_config(envs=2), 1)
    assert all(episode.is_truncated and not episode.is_terminated for episode in episodes)
    assert all(
        single.is_truncated and not single.is_terminated
        for episode in episodes
        for single in episode.agent_episodes.values()
    )


@pytest.mark.parametrize("handover", ["blocks", "episodes"])
def test_callbacks_hear_of_every_episode_once(handover: Any) -> None:
    Hearing.heard.clear()
    config = fast_sampling(tiny_config(envs=2, fragment=20).callbacks(Hearing), handover=handover)
    cls: Any = config.env_runner_cls
    runner = make_runner(cls, config)
    for _ in range(3):
        runner.sample()
    begun = [event for event in Hearing.heard if event[0] == "start"]
    ended = [event for event in Hearing.heard if event[0] == "end"]
    # 60 steps are two episodes of 30 in each environment; the next begin with the next sample.
    assert len(begun) == len([event for event in Hearing.heard if event[0] == "created"]) == 4
    assert sorted((event[1], event[3], event[4]["note"]) for event in ended) == [
        (env, HORIZON, env) for env in (0, 0, 1, 1)
    ]
    assert {event[2] for event in ended} == {event[2] for event in begun}
    # No record of finished episodes stays behind.
    assert not runner._ongoing_episodes_for_metrics


def test_infos_hold_the_items_where_callbacks_may_read_them() -> None:
    (episodes,) = sample(BlockEpisodeRunner, tiny_config(envs=2).callbacks(Hearing), 1)
    infos = episodes[0].get_infos(agent_ids=["inventory"])["inventory"]
    assert len(infos) == HORIZON + 1
    assert infos[0] == {}
    assert infos[1]["period"] == 0.0
    assert "profit" in infos[-1]
    (episodes,) = sample(BlockEpisodeRunner, tiny_config(envs=2), 1)
    assert not any(episodes[0].get_infos(agent_ids=["inventory"])["inventory"])


def test_random_actions_come_without_distributions() -> None:
    runner = make_runner(BlockEpisodeRunner, tiny_config(envs=2))
    (episode, _) = runner.sample(random_actions=True)
    single = episode.agent_episodes["inventory"]
    assert single.extra_model_outputs == {}
    assert single.get_actions().shape == (HORIZON, 2)


def test_blocks_alone_are_handed_over_where_nothing_asks_for_episodes() -> None:
    runner = make_runner(BlockRunner, tiny_config(envs=2))
    runner.sample()
    assert runner._builder is None
