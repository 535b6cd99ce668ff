"""The multi-timescale learner trains on environments that are not ours, in RLlib's own pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mpe2 import simple_speaker_listener_v4, simple_spread_v3
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.examples.envs.classes.multi_agent import MultiAgentCartPole
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer
from ray.rllib.utils.replay_buffers.multi_agent_episode_buffer import MultiAgentEpisodeReplayBuffer
from timescale_learners import SMALL, weights

from invrec_rllib.rllib.env_creators import AdapterCreator
from invrec_rllib.rllib.timescale_config import timescales
from invrec_rllib.timescales import PowerLaw

pytestmark = [
    # RLlib and Gymnasium warn of what RLlib itself does.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*rllib-multi-agent-env-v0.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*rllib-single-agent-env-v0.*:UserWarning"),
]

ACTOR, CRITIC = PowerLaw(1e-3, 10, 0.9), PowerLaw(1e-2, 10, 0.6)
ACTOR_CRITIC = {"actor": ACTOR, "critic": CRITIC}
SAC_PARTS = {**ACTOR_CRITIC, "alpha": 1e-3}
ROUNDS = 3


def by_name(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    return f"policy_{agent_id}"


def spread(options: dict[str, Any]) -> Any:
    return simple_spread_v3.parallel_env(max_cycles=20, **options)


def speaker_listener(options: dict[str, Any]) -> Any:
    return simple_speaker_listener_v4.parallel_env(max_cycles=20, **options)


def single(config: AlgorithmConfig, env: str) -> AlgorithmConfig:
    return config.environment(env)


def many(config: AlgorithmConfig, env: Any, agents: list[Any], **options: Any) -> AlgorithmConfig:
    config.environment(env, env_config=options)
    return config.multi_agent(policies=[by_name(agent) for agent in agents], policy_mapping_fn=by_name)


class Pipeline:
    """RLlib's runner, connectors and learner, put together without Ray; off-policy through its replay buffer."""

    def __init__(self, config: AlgorithmConfig) -> None:
        self.config = config.env_runners(num_env_runners=0).rl_module(model_config=SMALL).debugging(seed=1)
        runner = MultiAgentEnvRunner if config.is_multi_agent else SingleAgentEnvRunner
        self.runner = runner(config=config, worker_index=0)
        self.learner: Any = config.build_learner(env=self.runner.env, spaces=self.runner.get_spaces())
        self.buffer = None
        if not isinstance(config, PPOConfig):
            self.buffer = MultiAgentEpisodeReplayBuffer() if config.is_multi_agent else EpisodeReplayBuffer()
        self.sampled = 0

    def train(self, *, steps: int = 100) -> dict[str, Any]:
        episodes = self.runner.sample(num_timesteps=steps, random_actions=False)
        self.sampled += steps
        how: dict[str, Any] = {"minibatch_size": 32, "num_epochs": 2}
        if self.buffer is not None:
            self.buffer.add(episodes)
            episodes = self.buffer.sample(num_items=32, n_step=1, sample_episodes=True)
            how = {}
        result: dict[str, Any] = self.learner.update(
            episodes=episodes, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.sampled}, **how
        )
        self.runner.set_state(self.learner.get_state(components="rl_module", inference_only=True))
        return result


PIPELINES = [
    pytest.param(lambda: single(PPOConfig(), "CartPole-v1"), ACTOR_CRITIC, id="PPO-CartPole"),
    pytest.param(
        lambda: single(PPOConfig().training(vf_clip_param=1e6), "Pendulum-v1"),
        ACTOR_CRITIC,
        id="PPO-Pendulum",
    ),
    pytest.param(lambda: single(SACConfig(), "Pendulum-v1"), SAC_PARTS, id="SAC-Pendulum"),
    pytest.param(lambda: single(DQNConfig(), "CartPole-v1"), {"all": CRITIC}, id="DQN-CartPole"),
    pytest.param(
        lambda: many(PPOConfig(), MultiAgentCartPole, [0, 1], num_agents=2),
        ACTOR_CRITIC,
        id="PPO-two-CartPoles",
    ),
    pytest.param(
        lambda: many(SACConfig(), MultiAgentCartPole, [0, 1], num_agents=2), SAC_PARTS, id="SAC-two-CartPoles"
    ),
    pytest.param(
        lambda: many(
            PPOConfig(),
            AdapterCreator(spread),
            ["agent_0", "agent_1", "agent_2"],
            continuous_actions=True,
        ),
        ACTOR_CRITIC,
        id="PPO-MPE-spread",
    ),
    pytest.param(
        lambda: many(SACConfig(), AdapterCreator(speaker_listener), ["speaker_0", "listener_0"]),
        SAC_PARTS,
        id="SAC-MPE-speaker-listener",
    ),
    pytest.param(
        lambda: many(DQNConfig(), AdapterCreator(speaker_listener), ["speaker_0", "listener_0"]),
        {"all": CRITIC},
        id="DQN-MPE-speaker-listener",
    ),
]


@pytest.mark.parametrize(("make", "parts"), PIPELINES)
def test_parts_learn_at_their_speeds_in_rllibs_pipeline(make: Any, parts: Any) -> None:
    pipeline = Pipeline(timescales(make(), {"*": parts}))
    before = weights(pipeline.learner)
    for _ in range(ROUNDS):
        result = pipeline.train()
    for mid, values in weights(pipeline.learner).items():
        trained = [name for name in values if not name.startswith(("target_", "_target_"))]
        assert not any(torch.equal(values[name], before[mid][name]) for name in trained)
        rates = {
            name: result[mid][f"{name}_learning_rate"].peek()
            for name, _ in pipeline.learner.get_optimizers_for_module(mid)
        }
        speeds = {"actor": ACTOR, "policy": ACTOR, "alpha": lambda n: 1e-3}
        assert rates == pytest.approx(
            {name: np.mean([speeds.get(name, CRITIC)(ROUNDS - 1)]) for name in rates}
        )


@pytest.mark.slow
def test_the_learner_learns_and_with_a_step_size_of_zero_it_does_not() -> None:
    def after(actor: Any) -> float:
        config = PPOConfig().environment("CartPole-v1").env_runners(num_envs_per_env_runner=4)
        config.training(lr=0.0, gamma=0.99, lambda_=0.95)
        pipeline = Pipeline(timescales(config, {"*": {"actor": actor, "critic": CRITIC}}))
        for _ in range(12):
            pipeline.train(steps=1000)
        episodes = [pipeline.runner.sample(num_episodes=10) for _ in range(2)]
        return float(np.mean([episode.get_return() for batch in episodes for episode in batch]))

    assert after({"kind": "power_law", "initial": 5e-3, "offset": 10, "power": 0.7}) > 2.5 * after(0.0)
