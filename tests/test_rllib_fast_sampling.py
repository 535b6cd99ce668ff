"""RLlib's algorithms train, evaluate and recover with the fast runners."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import ray
from block_worlds import HORIZON, deterministic, make_runner, make_two_carts, tiny_config
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from invrec_rllib.rllib.algorithm import AGENTS, policy_of_agent
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.callbacks import EconomicsCallback
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray
from invrec_rllib.rllib.register import make_env_config, register, register_batched_env

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and the pipes of its processes to the garbage collector when it stops.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One small Ray for all tests of this file that need one."""
    start_ray(4)
    yield
    stop_ray()


def test_returns_are_distributed_as_those_of_rllibs_runner() -> None:
    """Stochastic policies with equal weights, whose random numbers differ."""
    stock = deterministic(make_runner(MultiAgentEnvRunner, tiny_config(envs=16)))
    fast = deterministic(make_runner(BlockRunner, tiny_config(envs=64)))
    episodes = [episode for _ in range(8) for episode in stock.sample()]
    theirs = [sum(episode.agent_episodes["inventory"].get_rewards()) for episode in episodes]
    ours = np.concatenate([fast.sample()[0].rewards["inventory"].sum(axis=0) for _ in range(8)])
    assert (len(theirs), len(ours)) == (128, 512)
    error = np.sqrt(np.var(theirs) / len(theirs) + np.var(ours) / len(ours))
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * error
    assert 0.7 < np.std(ours) / np.std(theirs) < 1.4


@pytest.mark.parametrize("handover", ["blocks", "episodes"])
def test_ppo_trains_and_evaluates_as_it_was_asked_to(cluster: None, handover: Any) -> None:
    config = fast_sampling(tiny_config(envs=8).callbacks(EconomicsCallback), handover=handover)
    config.evaluation(
        evaluation_interval=1,
        evaluation_duration=5,
        evaluation_config={"explore": False, "env_config": {"seed_stream": 1}},
    )
    algorithm = build_quietly(config)
    try:
        results = [algorithm.train() for _ in range(2)]
    finally:
        algorithm.stop()
    for result in results:
        assert result["env_runners"]["num_env_steps_sampled"] == 8 * HORIZON
        evaluation = result["evaluation"]["env_runners"]
        assert evaluation["num_episodes"] == 5
        assert evaluation["episode_len_mean"] == HORIZON
        assert np.isfinite(evaluation["economics"]["profit"])
        assert set(result["learners"]) >= set(AGENTS)


def test_remote_runners_sample_and_are_replaced_when_they_die(cluster: None) -> None:
    config = fast_sampling(tiny_config(envs=4, fragment=HORIZON), handover="episodes")
    config.env_runners(num_env_runners=2)
    config.training(train_batch_size_per_learner=8 * HORIZON, minibatch_size=8 * HORIZON)
    algorithm = build_quietly(config)
    try:
        group: Any = algorithm.env_runner_group
        assert algorithm.train()["env_runners"]["num_env_steps_sampled"] == 8 * HORIZON
        ray.kill(group._worker_manager.actors()[1], no_restart=False)
        deadline = time.monotonic() + 60
        sampled = []
        while time.monotonic() < deadline:
            sampled.append(int(algorithm.train()["env_runners"]["num_env_steps_sampled"]))
            if len(sampled) > 1 and group.num_healthy_remote_workers() == 2:
                break
        assert group.num_healthy_remote_workers() == 2
        assert min(sampled) >= 8 * HORIZON
        seen = group.foreach_env_runner(
            lambda runner: (
                runner.worker_index,
                float(runner.sample()[0].get_observations(0)["inventory"].sum()),
            ),
            local_env_runner=False,
        )
        assert sorted(index for index, _ in seen) == [1, 2]
        weights = group.foreach_env_runner(
            lambda runner: runner.module["inventory"].get_state()["pi.net.mlp.0.bias"], local_env_runner=False
        )
        np.testing.assert_array_equal(weights[0], weights[1])
    finally:
        algorithm.stop()


def test_appo_learns_from_episodes_built_in_bulk(cluster: None) -> None:
    register()
    config = (
        APPOConfig()
        .environment("invrec_v0", env_config=make_env_config("tiny", seed=5), disable_env_checking=True)
        .env_runners(num_env_runners=1, num_envs_per_env_runner=8, rollout_fragment_length=HORIZON)
        .learners(num_learners=0)
        .multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
        .training(train_batch_size_per_learner=8 * HORIZON)
        .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=8 * HORIZON)
        .debugging(seed=1)
    )
    algorithm = build_quietly(fast_sampling(config, handover="episodes"))
    try:
        deadline = time.monotonic() + 60
        losses: dict[str, Any] = {}
        while time.monotonic() < deadline and not losses:
            result = algorithm.train()
            losses = {
                policy: figures["total_loss"]
                for policy, figures in result.get("learners", {}).items()
                if policy in AGENTS and "total_loss" in figures
            }
    finally:
        algorithm.stop()
    assert set(losses) == set(AGENTS)
    assert all(np.isfinite(loss) for loss in losses.values())


def test_ppo_learns_to_balance_two_carts_that_are_not_ours(cluster: None) -> None:
    register_batched_env("two_carts", make_two_carts)
    config = (
        PPOConfig()
        .environment("two_carts", disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=32, rollout_fragment_length=64)
        .learners(num_learners=0)
        .multi_agent(policies=["left", "right"], policy_mapping_fn=lambda agent, *args, **kwargs: str(agent))
        .training(
            train_batch_size_per_learner=2048, minibatch_size=256, num_epochs=6, lr=1e-3, use_kl_loss=False
        )
        .debugging(seed=0)
    )
    algorithm = build_quietly(fast_sampling(config, handover="episodes"))
    try:
        lengths = [algorithm.train()["env_runners"]["episode_len_mean"] for _ in range(8)]
    finally:
        algorithm.stop()
    # Either pole ends the episode of both: at random that is after about 16 steps.
    assert lengths[0] < 25
    assert lengths[-1] > 2 * lengths[0]
