"""Copies of any multi-agent environment behind the protocol of batched ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from block_worlds import Counting
from gymnasium.spaces import Box, Dict, Discrete

from invrec_rllib.env import parallel_env
from invrec_rllib.env.serial_batch import SerialBatch
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.env_creators import AdapterCreator, make_batch
from invrec_rllib.rllib.register import make_batched_invrec, make_invrec


def constant(batch: Any, value: float = 0.0) -> dict[str, Any]:
    return {
        agent: np.full((batch.num_envs, *(space.shape or ())), value, dtype=space.dtype)
        for agent, space in batch.action_spaces.items()
    }


def test_each_copy_is_reset_when_its_own_episode_ends() -> None:
    batch = SerialBatch([Counting({"lengths": [length]}) for length in (2, 3)])
    assert batch.agents == ("a", "b")
    look = batch.reset()
    np.testing.assert_array_equal(look.observations["a"], [[0, 0], [0, 0]])
    moves = [batch.step(constant(batch)) for _ in range(3)]
    assert [move.truncated.tolist() for move in moves] == [[False, False], [True, False], [False, True]]
    assert moves[0].final is None
    assert moves[1].final is not None
    np.testing.assert_array_equal(moves[1].final.observations["a"], [[2, 0]])
    # The copy that ended shows its next episode, the other goes on.
    np.testing.assert_array_equal(moves[1].look.observations["a"], [[0, 1], [2, 0]])
    np.testing.assert_array_equal(moves[1].rewards["a"], [2, 2])
    np.testing.assert_array_equal(moves[2].look.observations["a"], [[1, 1], [0, 1]])


def test_copies_are_seeded_once_each_with_a_seed_of_its_own() -> None:
    envs = [Counting({"lengths": [1]}) for _ in range(2)]
    batch = SerialBatch(envs, seed=7)
    batch.reset()
    batch.step(constant(batch))
    batch.reset()
    assert [env.seeds for env in envs] == [[7, None, None], [8, None, None]]


def test_the_state_is_the_environments_own_or_all_observations() -> None:
    own = SerialBatch([ParallelEnvAdapter(parallel_env("tiny")) for _ in range(2)], with_state=True)
    look = own.reset()
    assert look.state is not None
    for row, env in zip(look.state, own.envs, strict=True):
        np.testing.assert_array_equal(row, env.state())
    assert own.state_space == own.envs[0].state_space
    joint = SerialBatch([Counting({}) for _ in range(2)], with_state=True)
    joint.reset()
    look = joint.step(constant(joint)).look
    np.testing.assert_array_equal(look.state, [[1, 0, 1, 0]] * 2)
    assert joint.state_space is not None
    assert joint.state_space.shape == (4,)
    assert SerialBatch([Counting({})]).reset().state is None


def test_the_figures_of_our_world_are_its_items() -> None:
    batch = SerialBatch([ParallelEnvAdapter(parallel_env("tiny")) for _ in range(2)])
    batch.reset()
    moved = batch.step(constant(batch))
    assert moved.items["profit"].shape == (2,)
    assert moved.items["period"].tolist() == [0.0, 0.0]
    assert SerialBatch([Counting({})]).reset() is not None


def test_discrete_observations_keep_their_type() -> None:
    class Corridor(Counting):
        def __init__(self) -> None:
            super().__init__({})
            self.observation_spaces = {"a": Discrete(9), "b": Discrete(9)}

        def _seen(self) -> dict[str, Any]:
            return {"a": self.t, "b": self.t}

    look = SerialBatch([Corridor() for _ in range(3)]).reset()
    assert look.observations["a"].shape == (3,)
    assert look.observations["a"].dtype.kind == "i"


def test_what_does_not_fit_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="at least one"):
        SerialBatch([])
    nested = Counting({})
    nested.observation_spaces = {"a": Dict({"x": Box(0, 1, (1,))}), "b": Box(0, 1, (1,))}
    with pytest.raises(InputError, match="observation of 'a' has a Dict space"):
        SerialBatch([nested])
    batch = SerialBatch([Counting({})])
    monkeypatch.setattr(Counting, "_seen", lambda self: {"a": np.zeros(2, np.float32)})
    with pytest.raises(InputError, match=r"no first observation for \['b'\]"):
        batch.reset()


@pytest.mark.parametrize(
    ("ends", "cuts", "expected"),
    [
        ({"__all__": True}, {"__all__": False}, (True, False)),
        ({"__all__": False}, {"__all__": True}, (False, True)),
        # Every agent by a flag of its own, where "__all__" misses it, as Ray's wrapper of PettingZoo does.
        ({"a": True, "b": True, "__all__": False}, {"__all__": False}, (True, False)),
        ({"a": True, "b": False, "__all__": False}, {"b": True, "__all__": False}, (False, True)),
    ],
)
def test_how_an_episode_ended_is_read_from_the_flags(
    monkeypatch: pytest.MonkeyPatch, ends: Any, cuts: Any, expected: tuple[bool, bool]
) -> None:
    batch = SerialBatch([Counting({})])
    batch.reset()
    monkeypatch.setattr(
        Counting, "step", lambda self, actions: (self._seen(), {"a": 1.0, "b": 0.0}, ends, cuts, {})
    )
    moved = batch.step(constant(batch))
    assert (bool(moved.terminated[0]), bool(moved.truncated[0])) == expected


def step_of(*results: Any) -> Any:
    """A `step` that gives these, one after the other."""
    given = iter(results)
    return lambda self, actions: next(given)


def at(value: float) -> Any:
    return np.full(2, value, np.float32)


def test_an_agent_that_ends_first_is_last_seen_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = SerialBatch([Counting({})], with_state=True)
    over = {"__all__": True}
    monkeypatch.setattr(
        Counting,
        "step",
        step_of(
            ({"a": at(1), "b": at(2)}, {"a": 5.0, "b": 6.0}, {"b": True, "__all__": False}, {}, {}),
            ({"a": at(3)}, {"a": 7.0, "b": 9.0}, {"__all__": False}, {"__all__": False}, {}),
            ({"a": at(4)}, {"a": 8.0}, {"__all__": False}, over, {}),
        ),
    )
    assert batch.reset().alive is None
    first, second, third = (batch.step(constant(batch)) for _ in range(3))
    assert (first.look.alive, second.look.alive) == ({"a": [True], "b": [False]},) * 2
    assert first.look.observations["b"].tolist() == [[2, 2]]
    # Its last observation is shown once, and then nothing, to the critic neither.
    assert second.look.observations["b"].tolist() == [[0, 0]]
    assert second.look.state is not None
    assert second.look.state.tolist() == [[3, 3, 0, 0]]
    assert [move.rewards["b"].tolist() for move in (first, second, third)] == [[6], [0], [0]]
    assert first.terminals == {"a": [False], "b": [True]}
    assert [bool(move.truncated[0]) for move in (first, second, third)] == [False, False, True]
    assert third.final is not None
    assert third.final.observations["a"].tolist() == [[4, 4]]
    # The next episode has both.
    assert third.look.alive is None
    assert third.terminals is None


def test_actions_reach_the_living_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    acted = []
    batch = SerialBatch([Counting({"lengths": [9]})])
    batch.reset()

    def step(self: Any, actions: Any) -> Any:
        acted.append(sorted(actions))
        return {agent: at(1) for agent in actions}, {}, {"a": True, "__all__": False}, {}, {}

    monkeypatch.setattr(Counting, "step", step)
    for _ in range(2):
        batch.step(constant(batch))
    assert acted == [["a", "b"], ["b"]]


@pytest.mark.parametrize(
    ("ends", "cuts", "expected"),
    [
        ({"a": True, "b": False, "__all__": False}, {"a": False, "b": True, "__all__": True}, (True, False)),
        # A flag of its own goes before that of all.
        ({"a": True, "b": False, "__all__": True}, {"a": False, "b": True, "__all__": False}, (True, False)),
        ({"a": True, "__all__": False}, {"__all__": True}, (True, False)),
        ({"__all__": True}, {"b": True, "__all__": False}, (True, False)),
        ({"a": True, "b": True, "__all__": True}, {"__all__": False}, (True, True)),
    ],
)
def test_agents_that_end_in_one_step_may_do_so_unlike(
    monkeypatch: pytest.MonkeyPatch, ends: Any, cuts: Any, expected: tuple[bool, bool]
) -> None:
    batch = SerialBatch([Counting({})])
    batch.reset()
    monkeypatch.setattr(Counting, "step", step_of(({"a": at(0), "b": at(0)}, {}, ends, cuts, {})))
    moved = batch.step(constant(batch))
    assert moved.terminated[0] ^ moved.truncated[0]
    terminals = moved.terminals or {"a": moved.terminated, "b": moved.terminated}
    assert (bool(terminals["a"][0]), bool(terminals["b"][0])) == expected


def test_an_agent_that_terminates_needs_no_last_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = SerialBatch([Counting({})])
    batch.reset()
    monkeypatch.setattr(Counting, "step", step_of(({"a": at(1)}, {}, {"b": True}, {}, {})))
    look = batch.step(constant(batch)).look
    np.testing.assert_array_equal(look.observations["b"], [[0, 0]])
    assert look.alive == {"a": [True], "b": [False]}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([({"a": at(1)}, {}, {}, {}, {})], "no observation for 'b', which acted"),
        # From a last observation that is missing nothing could be foreseen.
        ([({"a": at(1)}, {}, {}, {"b": True}, {})], "no observation for 'b', which acted"),
        (
            [
                ({"a": at(1), "b": at(1)}, {}, {"b": True}, {}, {}),
                ({"a": at(1), "b": at(1)}, {}, {}, {}, {}),
            ],
            "'b' ended and came back",
        ),
    ],
)
def test_agents_that_pause_or_come_back_are_refused(
    monkeypatch: pytest.MonkeyPatch, results: Any, message: str
) -> None:
    batch = SerialBatch([Counting({})])
    batch.reset()
    monkeypatch.setattr(Counting, "step", step_of(*results))
    for _ in results[1:]:
        batch.step(constant(batch))
    with pytest.raises(InputError, match=f"{message}.*MultiAgentEnvRunner"):
        batch.step(constant(batch))


def test_batches_and_copies_of_the_registered_world_play_the_same_episodes() -> None:
    config = {"scenario": "tiny", "seed": 11}
    looks = []
    for creator in (AdapterCreator(make_invrec), AdapterCreator(make_invrec, make_batched_invrec)):
        batch = make_batch(creator, config, num_envs=3, with_state=True, seed=None)
        seen = [batch.reset()]
        for _ in range(31):
            seen.append(batch.step(constant(batch, 0.25)).look)
        looks.append(seen)
        batch.close()
    for copies, whole in zip(*looks, strict=True):
        np.testing.assert_array_equal(copies.state, whole.state)
        for agent, observed in copies.observations.items():
            np.testing.assert_array_equal(observed, whole.observations[agent])


def test_only_multi_agent_environments_are_made_into_batches() -> None:
    with pytest.raises(InputError, match="must be an RLlib MultiAgentEnv, got InvRecEnv"):
        make_batch(lambda config: parallel_env("tiny"), {}, num_envs=2, with_state=False, seed=None)
    with pytest.raises(InputError, match="no environment is registered"):
        make_batch("nowhere", {}, num_envs=2, with_state=False, seed=None)
