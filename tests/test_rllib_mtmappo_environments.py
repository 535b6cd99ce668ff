"""MTMA-PPO on environments that are not ours: any spaces, with a state or without, and tasks that need its parts."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import make_runner
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from mpe2 import simple_speaker_listener_v4, simple_spread_v3
from mtmappo_worlds import update, vector
from pettingzoo import ParallelEnv

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.register import register_parallel_env

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ENVS = 16


class Scene(ParallelEnv[str, Any, Any]):  # type: ignore[misc]
    """Agents "left" and "right" of given spaces, who see chance and earn nothing; episodes of 5 steps."""

    metadata = {"name": "scene"}  # noqa: RUF012  # PettingZoo's class attribute
    length = 5

    def __init__(self, options: dict[str, Any]) -> None:
        self.possible_agents = ["left", "right"]
        self.render_mode = None
        self.options = options
        self.rng = np.random.default_rng(0)

    def observation_space(self, agent: str) -> Any:
        return self.options.get("seen", Box(-1, 1, (2,)))

    def action_space(self, agent: str) -> Any:
        return self.options.get("acts", Discrete(2))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents, self.time = list(self.possible_agents), 0
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.begin()
        return {agent: self.look(agent) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        earned = self.reward(actions)
        self.time += 1
        over, acting = self.time == self.length, self.agents
        self.agents = [] if over else acting
        return (
            {agent: self.look(agent) for agent in acting},
            dict.fromkeys(acting, earned),
            dict.fromkeys(acting, over),
            dict.fromkeys(acting, False),
            {agent: {} for agent in acting},
        )

    def begin(self) -> None:
        for agent in self.possible_agents:
            space = self.observation_space(agent)
            space.seed(int(self.rng.integers(2**31)))

    def look(self, agent: str) -> Any:
        return self.observation_space(agent).sample()

    def reward(self, actions: dict[str, Any]) -> float:
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action), action
        return 0.0


class Recall(Scene):
    """Each agent is shown a cue in the first step, and paid for naming it in the fourth; in between it sees nothing.

    Guessing earns 0.5 per episode, on average; remembering 1.
    """

    length = 4

    def observation_space(self, agent: str) -> Any:
        return Box(-1, 1, (2,))

    def begin(self) -> None:
        self.cues = dict(zip(self.possible_agents, self.rng.integers(2, size=2).tolist(), strict=True))

    def look(self, agent: str) -> Any:
        cue = 2.0 * self.cues[agent] - 1 if self.time == 0 else 0.0
        return np.array([cue, float(self.time == self.length - 1)], np.float32)

    def reward(self, actions: dict[str, Any]) -> float:
        if self.time < self.length - 1:
            return 0.0
        return float(np.mean([actions[agent] == cue for agent, cue in self.cues.items()]))


class Weather(Scene):
    """One of 8 tasks, each with a right action, and luck that is 30 times its worth: the state alone shows the luck."""

    length = 1
    tasks = 8

    @property
    def state_space(self) -> Any:
        return Box(-np.inf, np.inf, (1 + 2 * self.tasks,), np.float32)

    def observation_space(self, agent: str) -> Any:
        return Box(0, 1, (self.tasks,))

    def begin(self) -> None:
        self.luck = float(self.rng.normal())
        self.task = dict(
            zip(self.possible_agents, self.rng.integers(self.tasks, size=2).tolist(), strict=True)
        )

    def look(self, agent: str) -> Any:
        return np.eye(self.tasks, dtype=np.float32)[self.task[agent]]

    def state(self) -> Any:
        return np.concatenate([[self.luck], *(self.look(agent) for agent in self.possible_agents)]).astype(
            np.float32
        )

    def reward(self, actions: dict[str, Any]) -> float:
        right = np.mean([actions[agent] == self.task[agent] % 2 for agent in self.possible_agents])
        return float(right + 30.0 * self.luck)


def configure(make: Any, *, policies: Any = None, steps: int = 25, **options: Any) -> Any:
    """MTMA-PPO on a PettingZoo environment, one policy for all agents or those that are given by agent."""
    register_parallel_env("not_ours", make)
    names = sorted(set(policies.values())) if policies else ["all"]
    return (
        MTMAPPOConfig()
        .environment("not_ours", env_config=options, disable_env_checking=True)
        .env_runners(
            num_envs_per_env_runner=ENVS, rollout_fragment_length=steps, batch_mode="truncate_episodes"
        )
        .multi_agent(
            policies=names,
            policy_mapping_fn=lambda agent, *args, **kwargs: policies[agent] if policies else "all",
        )
        .network("mlp", hidden_sizes=(16,))
        .training(train_batch_size_per_learner=ENVS * steps, minibatch_size=100, num_epochs=4)
        .debugging(seed=2)
    )


def train(config: Any, iterations: int) -> tuple[Any, list[Any]]:
    """Iterations of sampling and learning as the algorithm does them, without Ray: the learner, and the blocks."""
    torch.manual_seed(0)
    runner = make_runner(BlockRunner, config)
    learner = config.build_learner(spaces=runner.get_spaces())
    blocks = []
    for _ in range(iterations):
        state = learner.module.get_state()
        runner.module.set_state({name: state[name] for name in runner.module.keys()})  # noqa: SIM118
        (block,) = runner.sample(num_timesteps=config.train_batch_size_per_learner)
        update(learner, block, minibatch_size=config.minibatch_size, num_epochs=config.num_epochs)
        blocks.append(block)
    return learner, blocks


def spread(options: dict[str, Any]) -> Any:
    return simple_spread_v3.parallel_env(**options)


def speaker_listener(options: dict[str, Any]) -> Any:
    return simple_speaker_listener_v4.parallel_env(**options)


@pytest.mark.parametrize("continuous", [False, True])
def test_three_agents_of_mpe_share_a_policy_and_a_critic_of_their_state(continuous: bool) -> None:
    config = configure(spread, N=3, max_cycles=25, continuous_actions=continuous)
    learner, blocks = train(config, 2)
    critic = learner.module["critic"].unwrapped()
    assert critic.agents == ("agent_0", "agent_1", "agent_2")
    # The environment's own state, which is that of all observations side by side.
    seen = [blocks[-1].observations[agent] for agent in critic.agents]
    np.testing.assert_array_equal(blocks[-1].states, np.concatenate(seen, axis=-1))
    fresh = config.copy(copy_frozen=False).build_learner(spaces=make_runner(BlockRunner, config).get_spaces())
    for name in ("all", "critic"):
        assert torch.isfinite(vector(learner.module[name])).all()
        assert not torch.equal(vector(learner.module[name]), vector(fresh.module[name]))


def test_agents_of_unlike_spaces_have_policies_of_their_own() -> None:
    policies = {"speaker_0": "speaker", "listener_0": "listener"}
    config = configure(speaker_listener, policies=policies, max_cycles=25).memory(
        "gru", size=4, max_seq_len=10
    )
    learner, blocks = train(config, 2)
    shapes = {agent: seen.shape[-1] for agent, seen in blocks[-1].observations.items()}
    assert shapes == {"speaker_0": 3, "listener_0": 11}
    inputs = {agent: given.shape[-1] for agent, given in blocks[-1].dist_inputs.items()}
    assert inputs == {"speaker_0": 3, "listener_0": 5}
    assert all(
        torch.isfinite(vector(learner.module[name])).all() for name in ("speaker", "listener", "critic")
    )


@pytest.mark.parametrize(
    ("seen", "acts"),
    [
        (Discrete(4), Discrete(3)),
        (Box(0, 255, (3, 4, 2), np.uint8), MultiDiscrete([2, 5])),
        (Box(-1, 1, (3,), np.float64), Box(-2, 2, (2,), np.float64)),
        (Box(-1, 1, (2,)), Box(-2, 2, (1,), np.float32)),
    ],
)
@pytest.mark.parametrize("critic", ["shared", "own"])
def test_spaces_of_many_kinds_are_learned_in(seen: Any, acts: Any, critic: Any) -> None:
    learner, blocks = train(configure(Scene, seen=seen, acts=acts).critic(critic), 2)
    names = ["all", "critic" if critic == "shared" else "all_critic"]
    assert all(torch.isfinite(vector(learner.module[name])).all() for name in names)
    assert blocks[-1].observations["left"].shape[2:] == seen.shape


def test_an_environment_without_a_state_says_what_stands_for_it(caplog: pytest.LogCaptureFixture) -> None:
    config = configure(Scene)
    with caplog.at_level(logging.INFO, logger="invrec_rllib"):
        _, blocks = train(config, 1)
    said = [record.getMessage() for record in caplog.records if "has no state" in record.getMessage()]
    assert len(said) == 1
    both = [blocks[0].observations[agent] for agent in ("left", "right")]
    np.testing.assert_array_equal(blocks[0].states, np.concatenate(both, axis=-1))


def test_a_state_that_the_environment_has_is_not_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="invrec_rllib"):
        _, blocks = train(configure(Weather, steps=4), 1)
    assert not [record for record in caplog.records if "has no state" in record.getMessage()]
    assert blocks[0].states.shape[-1] == 17
    np.testing.assert_array_equal(blocks[0].states[..., 1:9], blocks[0].observations["left"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seen": Dict({"image": Box(0, 1, (2,))})}, "Dict"),
        ({"acts": Box(-1, 1, (2, 2))}, "Box of one axis"),
        ({"seen": MultiDiscrete([2, 3])}, "neither Box nor Discrete"),
    ],
)
def test_spaces_that_no_network_reads_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(configure(Scene, **options), 1)


def score(blocks: list[Any], worth: Any, *, last: int = 5) -> float:
    return float(np.mean([worth(block) for block in blocks[-last:]]))


def named(block: Any) -> float:
    return float(block.rewards["left"][block.terminated].mean())


@pytest.mark.parametrize(
    ("memory", "least", "most"), [("gru", 0.95, 1.0), ("lstm", 0.95, 1.0), ("none", 0.4, 0.6)]
)
def test_what_was_shown_earlier_is_named_with_memory_alone(memory: Any, least: float, most: float) -> None:
    config = configure(Recall, steps=16).memory(memory, size=8, max_seq_len=8).training(lr=0.01, gamma=0.95)
    _, blocks = train(config, 40)
    assert least <= score(blocks, named) <= most


def right(block: Any) -> float:
    shown = block.observations["left"].argmax(-1)
    return float((block.actions["left"] == shown % 2).mean())


@pytest.mark.parametrize(("critic", "least", "most"), [("shared", 0.9, 1.0), ("own", 0.3, 0.7)])
def test_luck_that_the_state_shows_is_seen_through_by_a_central_critic_alone(
    critic: Any, least: float, most: float
) -> None:
    config = configure(Weather, steps=16).critic(critic).training(lr=0.01)
    _, blocks = train(config, 60)
    assert least <= score(blocks, right) <= most
