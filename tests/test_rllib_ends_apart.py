"""Agents that end each for itself: what is sampled, built, estimated and learned of them, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import deterministic, make_runner
from leaving_worlds import ENVS, STEPS, leaving
from mtmappo_worlds import GAMMA, LAMBDA, policy_of, sample, train_batch, update, vector
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from test_rllib_block_connector import rows_in_order
from test_rllib_block_episodes import assert_alike, content
from test_rllib_block_runner import peek

from invrec_rllib.rllib.block_connector import TARGET_MASK, BlockToBatch
from invrec_rllib.rllib.block_episodes import EpisodeBuilder, StepExtras
from invrec_rllib.rllib.block_runner import BlockEpisodeRunner, BlockRunner
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig

KEPT = ("env_t_to_agent_t", "agent_t_started", "_agent_to_module_mapping")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def ppo_config(**options: Any) -> PPOConfig:
    """RLlib's PPO with modules that have value functions of their own."""
    model = DefaultModelConfig(fcnet_hiddens=[16], vf_share_layers=False)
    config: PPOConfig = leaving(PPOConfig().rl_module(model_config=model), **options)
    return config


def critic_config(kind: str, **options: Any) -> Any:
    return leaving(MTMAPPOConfig(), **options).critic(kind).network("mlp", hidden_sizes=(8,))


def sampled(cls: Any, config: Any, times: int, **how: Any) -> tuple[list[list[Any]], dict[str, Any]]:
    """What some calls of `sample` return, with constant weights, and the metrics."""
    runner = deterministic(make_runner(cls, config))
    samples = [runner.sample(explore=False, **how) for _ in range(times)]
    metrics = peek(runner.get_metrics())
    runner.stop()
    return samples, metrics


def living(episode: Any) -> dict[str, Any]:
    """All that RLlib saves of an episode, without what it keeps of agents that ended before it was cut."""
    state = content(episode)
    there = set(state["agent_episodes"])
    for name in [name for name in state if name in KEPT or "hanging" in name]:
        state[name] = {agent: value for agent, value in dict(state[name]).items() if agent in there}
    return state


def in_order(episodes: list[Any]) -> list[Any]:
    """By the first observation of some agent; all are unlike."""
    return sorted(
        episodes,
        key=lambda each: next(iter(sorted(each.agent_episodes.items())))[1].get_observations(0).tolist(),
    )


@pytest.mark.parametrize("how", ["terminated", "truncated", "mixed"])
@pytest.mark.parametrize("lookback", [1, 3])
def test_episodes_and_metrics_equal_rllibs(how: str, lookback: int) -> None:
    """In chunks of 4 steps: agents end within them, at their end, and before them."""

    def config() -> PPOConfig:
        made = ppo_config(how=how)
        # RLlib's vector of several loses a step of one where another is reset.
        made.env_runners(
            num_envs_per_env_runner=1, rollout_fragment_length=4, episode_lookback_horizon=lookback
        )
        return made

    (expected, their_metrics), (got, metrics) = (
        sampled(cls, config(), 24) for cls in (MultiAgentEnvRunner, BlockEpisodeRunner)
    )
    lengths = set()
    for ours, theirs in zip(got, expected, strict=True):
        assert len(ours) == len(theirs)
        for mine, reference in zip(in_order(ours), in_order(theirs), strict=True):
            assert_alike(living(mine), living(reference))
            assert mine.agent_steps() == reference.agent_steps()
            mine.validate()
            lengths.add((len(mine.agent_episodes), len({len(each) for each in mine.agent_episodes.values()})))
    # Some chunks hold all agents, some one; some hold agents of unlike lengths.
    assert {count for count, _ in lengths} == {1, 2, 3}
    assert max(unlike for _, unlike in lengths) > 1
    named = (
        "num_agent_steps_sampled/",
        "num_module_steps_sampled/",
        "agent_",
        "module_e",
        "episode_",
        "num_e",
    )
    names = [name for name in their_metrics if name.startswith(named) and "duration" not in name]
    assert {"num_agent_steps_sampled/a", "agent_steps/a", "agent_episode_returns_mean/a"} <= set(names)
    for name in names:
        assert metrics[name] == pytest.approx(their_metrics[name], rel=1e-4, abs=1e-5), name
