"""One agent in the place of all plays what the agents would, alone and in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from env_worlds import everything
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv
from pettingzoo.test import parallel_api_test

from invrec_rllib.env import invrec_v0
from invrec_rllib.env.batched_invrec import BatchedInvRec
from invrec_rllib.env.joint import FIRM, JointBatch, JointEnv
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.register import make_batched_invrec, make_env_config, make_invrec

B = 3


def worlds(**options: Any) -> tuple[Any, JointEnv]:
    """The same world for its agents, and for one in their place."""
    return invrec_v0.parallel_env("tiny", **options), JointEnv(invrec_v0.parallel_env("tiny", **options))


@pytest.mark.parametrize("options", [{}, {"inventory_agents": "product"}])
def test_one_agent_plays_what_the_agents_would(options: dict[str, Any]) -> None:
    two, firm = worlds(**options)
    seen, _ = two.reset(seed=7)
    joined, _ = firm.reset(seed=7)
    members = two.possible_agents
    assert firm.possible_agents == firm.agents == [FIRM]
    spaces = [two.action_space(name) for name in members]
    for k, space in enumerate(spaces):
        space.seed(k)
    while two.agents:
        np.testing.assert_array_equal(joined[FIRM], np.concatenate([seen[name] for name in members]))
        assert firm.observation_space(FIRM).contains(joined[FIRM])
        np.testing.assert_array_equal(firm.state(), two.state())
        actions = {name: space.sample() for name, space in zip(members, spaces, strict=True)}
        seen, rewards, ends, cuts, infos = two.step(actions)
        joined, reward, end, cut, info = firm.step(
            {FIRM: np.concatenate([actions[name] for name in members])}
        )
        assert len(set(rewards.values())) == 1
        assert reward == {FIRM: rewards[members[0]]}
        assert (end, cut) == ({FIRM: ends[members[0]]}, {FIRM: cuts[members[0]]})
        assert info[FIRM]["profit"] == infos[members[0]]["profit"]
    assert firm.agents == []
    assert cut[FIRM]
    np.testing.assert_array_equal(joined[FIRM], np.concatenate([seen[name] for name in members]))


def test_it_is_a_parallel_environment() -> None:
    parallel_api_test(worlds()[1], num_cycles=40)


def test_a_batch_plays_what_single_ones_do() -> None:
    options = {"scenario": "tiny"}
    batched = BatchedInvRec(options, num_envs=B, next_seed=lambda index: 11 + index, with_state=True)
    batch = JointBatch(batched, batched.members)
    singles = [worlds()[1] for _ in range(B)]
    look = batch.reset()
    seen = [firm.reset(seed=11 + index)[0] for index, firm in enumerate(singles)]
    space = batch.action_spaces[FIRM]
    assert batch.agents == (FIRM,)
    assert space == singles[0].action_space(FIRM)
    assert batch.observation_spaces[FIRM] == singles[0].observation_space(FIRM)
    space.seed(1)
    while singles[0].agents:
        np.testing.assert_array_equal(look.observations[FIRM], np.stack([each[FIRM] for each in seen]))
        assert look.state is not None
        np.testing.assert_allclose(look.state, np.stack([firm.state() for firm in singles]), rtol=1e-6)
        actions = np.stack([space.sample() for _ in range(B)])
        moved = batch.step({FIRM: actions})
        results = [firm.step({FIRM: action}) for firm, action in zip(singles, actions, strict=True)]
        seen, look = [result[0] for result in results], moved.look
        np.testing.assert_allclose(moved.rewards[FIRM], [result[1][FIRM] for result in results], rtol=1e-5)
        np.testing.assert_array_equal(moved.truncated, [result[3][FIRM] for result in results])
        assert look.decides is None
    assert moved.final is not None
    np.testing.assert_array_equal(moved.final.observations[FIRM], np.stack([each[FIRM] for each in seen]))
    batch.close()


def test_every_step_counts_even_between_reviews() -> None:
    # Slates are shown in every period, orders placed in every second: some part of the joint action always counts.
    batched = BatchedInvRec(
        {"scenario": everything()}, num_envs=B, next_seed=lambda index: index, with_state=False
    )
    batch = JointBatch(batched, batched.members)
    assert batched.reset().decides is not None
    assert batch.reset().decides is None
    moved = batch.step({FIRM: np.stack([batch.action_spaces[FIRM].sample()] * B)})
    assert moved.look.decides is None


@pytest.mark.parametrize("options", [{"reward": "siloed"}, {"reward": "mixed"}, {"accounting": "shortfall"}])
def test_agents_of_unlike_rewards_are_not_joined(options: dict[str, Any]) -> None:
    # Silently, the joint agent would earn what the first of them earns.
    with pytest.raises(InputError, match="joint"):
        make_env_config("tiny", joint=True, **options)
    with pytest.raises(InputError, match="joint"):
        make_batched_invrec(
            {"scenario": "tiny", "joint": True, **options},
            num_envs=1,
            next_seed=lambda index: 0,
            with_state=False,
        )
    make_invrec({"scenario": "tiny", "joint": True}).close()


class Odd(ParallelEnv[str, Any, Any]):  # type: ignore[misc]
    """An environment of given spaces."""

    render_mode = None
    state_space = Box(0, 1, (1,))

    def __init__(self, space: Any, other: Any = None) -> None:
        self.possible_agents = ["a", "b"]
        self.metadata: dict[str, Any] = {}
        self.spaces = {"a": space, "b": other or space}

    def observation_space(self, agent: str) -> Any:
        return Box(0, 1, (2,))

    def action_space(self, agent: str) -> Any:
        return self.spaces[agent]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Odd(Discrete(3)), "Discrete"),
        (Odd(Box(0, 1, (2, 2))), "boxes of one axis"),
        (Odd(Box(0, 1, (2,), np.float32), Box(0, 1, (2,), np.float64)), "float64"),
    ],
)
def test_spaces_that_cannot_lie_side_by_side_are_named(env: Odd, message: str) -> None:
    with pytest.raises(InputError, match=message):
        JointEnv(env)
