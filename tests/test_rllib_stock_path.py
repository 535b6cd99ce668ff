"""RLlib's own PettingZoo wrapper and a stock PPO take the environment as it is."""

from __future__ import annotations

import math

import pytest
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune import register_env

from invrec_rllib.benchmarks.sampling import benchmark_sampling
from invrec_rllib.env import parallel_env
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray

pytestmark = pytest.mark.slow


def test_a_stock_ppo_trains_over_the_stock_wrapper() -> None:
    start_ray(1)
    try:
        register_env("stock_invrec", lambda _: ParallelPettingZooEnv(parallel_env("tiny")))
        config = (
            PPOConfig()
            .environment("stock_invrec")
            .env_runners(num_env_runners=0)
            .multi_agent(
                policies=["inventory", "recommender"],
                policy_mapping_fn=lambda agent, episode, **kwargs: agent,
            )
            .training(train_batch_size_per_learner=120, minibatch_size=60, num_epochs=1)
        )
        algorithm = build_quietly(config)
        result = algorithm.train()
        algorithm.stop()
    finally:
        stop_ray()
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 120
    for policy in ("inventory", "recommender"):
        assert math.isfinite(result["learners"][policy]["total_loss"])
        # Both are paid the firm's profit, so their returns agree.
        returns = result["env_runners"]["agent_episode_returns_mean"]
        assert returns[policy] == pytest.approx(returns["inventory"])


def test_the_sampling_benchmark_measures_every_path() -> None:
    result = benchmark_sampling("tiny", envs=(2,), seconds=0.2)
    speeds = result["env_steps_per_second"]
    assert set(speeds) == {"stock_1", "ours_2"}
    assert result["ratios"]["ours_2"] == pytest.approx(speeds["ours_2"] / speeds["stock_1"])
