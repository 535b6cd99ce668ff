"""The checker itself: it passes our environments, and rejects each of a table of broken ones."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from env_worlds import everything
from pettingzoo.test import parallel_api_test, parallel_seed_test

from invrec_rllib.env import EnvironmentCheckError, check_env, parallel_env


@pytest.mark.parametrize("information", ["full", "observed", "department"])
@pytest.mark.parametrize("scenario", ["tiny", "paper", "seasonal", "capacity", everything()])
def test_our_environments_pass(scenario, information):
    check_env(parallel_env(scenario, information=information, reward="mixed"))


@pytest.mark.parametrize("options", [
    {"inventory_agents": "product", "recommender_agents": "segment"},
    {"inventory_agents": "category", "recommender_agents": "category"},
    {"order": "quantity", "exposure": "greedy", "reward": "siloed"},
    {"exposure": "scores", "render_mode": "ansi"},
])  # fmt: skip
def test_our_options_pass(options):
    check_env(parallel_env(everything(), **options))


class Toy:
    """A sound environment of two agents and five steps; the broken ones below each spoil one thing."""

    possible_agents: ClassVar[list[str]] = ["a", "b"]
    metadata: ClassVar[dict[str, Any]] = {"name": "toy_v0"}
    render_mode = None
    steps = 5

    def __init__(self) -> None:
        self.agents: list[str] = []
        box = gymnasium.spaces.Box
        self.state_space = box(0, 1, (3,), np.float32)
        self.spaces = {agent: box(0, 1, (2,), np.float32) for agent in self.possible_agents}
        self.actions = {agent: box(-1, 1, (2,), np.float32) for agent in self.possible_agents}
        self.seed, self.episode = 0, 0

    @property
    def unwrapped(self):
        return self

    def observation_space(self, agent):
        return self.spaces[agent]

    def action_space(self, agent):
        return self.actions[agent]

    def state(self):
        return np.full(3, self.time / self.steps, np.float32)

    def reset(self, seed=None, options=None):
        self.seed, self.episode = (self.seed, self.episode + 1) if seed is None else (seed, 0)
        self.rng = np.random.default_rng((self.seed, self.episode))
        self.time, self.agents = 0, list(self.possible_agents)
        return self.look(), {agent: {} for agent in self.agents}

    def look(self):
        return {agent: self.rng.random(2, dtype=np.float32) for agent in self.possible_agents}

    def step(self, actions):
        self.refuse(actions)
        self.time += 1
        over, names = self.time == self.steps, list(self.possible_agents)
        if over:
            self.agents = []
        return (
            self.look(),
            {agent: float(np.sum(actions[agent])) for agent in names},
            dict.fromkeys(names, False),
            dict.fromkeys(names, over),
            {agent: {"time": self.time} for agent in names},
        )

    def close(self):
        pass

    def refuse(self, actions):
        if not self.agents or actions.keys() != self.actions.keys():
            raise ValueError("agents")
        for agent, action in actions.items():
            if not self.actions[agent].contains(action):
                raise ValueError(agent)


class RandomFromStepTwo(Toy):
    def look(self):
        if self.time >= 2:
            return {agent: np.random.default_rng().random(2, dtype=np.float32) for agent in ("a", "b")}
        return super().look()


class RandomReward(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[1]["a"] = float(np.random.default_rng().random())
        return returned


class RandomState(Toy):
    def state(self):
        return np.random.default_rng().random(3, dtype=np.float32)


class DeafToSeeds(Toy):
    def reset(self, seed=None, options=None):
        return super().reset(seed=1)


class RepeatsUnseeded(Toy):
    def reset(self, seed=None, options=None):
        return super().reset(seed=self.seed if seed is None else seed)


class WrongShape(Toy):
    def look(self):
        return {**super().look(), "b": np.zeros(3, np.float32)}


class WrongType(Toy):
    def look(self):
        return {agent: value.astype(np.float64) for agent, value in super().look().items()}


class OutOfBounds(Toy):
    def look(self):
        return {agent: value + np.float32(self.time == 2) for agent, value in super().look().items()}


class NotANumber(Toy):
    def look(self):
        return {agent: value * (np.nan if self.time == 3 else 1.0) for agent, value in super().look().items()}


class NanReward(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[1]["b"] = float("nan")
        return returned


class ArrayReward(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[1]["b"] = np.zeros(1)
        return returned


class IntegerFlag(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[2]["a"] = 0
        return returned


class InfiniteInfo(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[4]["a"]["profit"] = float("inf")
        return returned


class SharedInfo(Toy):
    def step(self, actions):
        *rest, infos = super().step(actions)
        return (*rest, dict.fromkeys(infos, infos["a"]))


class StateOutside(Toy):
    def state(self):
        return super().state() + 0.5


class LosesAnAgent(Toy):
    def step(self, actions):
        returned = super().step(actions)
        del returned[1]["b"]
        return returned


class KeepsItsDicts(Toy):
    def step(self, actions):
        self.kept = getattr(self, "kept", {"a": {}, "b": {}})
        return (*super().step(actions)[:4], self.kept)


class KeepsItsArrays(Toy):
    def look(self):
        self.arrays = getattr(self, "arrays", {agent: np.zeros(2, np.float32) for agent in ("a", "b")})
        for agent, fresh in super().look().items():
            self.arrays[agent][:] = fresh
        return dict(self.arrays)


class ChangesActions(Toy):
    def step(self, actions):
        returned = super().step(actions)
        actions["a"][:] = 0.0
        return returned


class TerminatedAndTruncated(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[2].update(returned[3])
        return returned


class EndsApart(Toy):
    def step(self, actions):
        returned = super().step(actions)
        returned[3]["b"] = returned[3]["b"] or self.time == 4
        return returned


class AgentsLinger(Toy):
    def step(self, actions):
        returned = super().step(actions)
        self.agents = list(self.possible_agents)
        return returned


class GoesOnAfterTheEnd(Toy):
    def refuse(self, actions):
        if self.agents:
            super().refuse(actions)


class RefusesTheBounds(Toy):
    def refuse(self, actions):
        super().refuse(actions)
        if max(action.max() for action in actions.values()) >= 1.0:
            raise EnvironmentCheckError("the bound was refused")


class ClipsNan(Toy):
    def step(self, actions):
        return super().step({agent: np.nan_to_num(action, nan=0.0) for agent, action in actions.items()})


class ClipsValues(Toy):
    def step(self, actions):
        return super().step({a: np.clip(v, -1, 1) if np.isfinite(v).all() else v for a, v in actions.items()})


class CutsShapes(Toy):
    def step(self, actions):
        return super().step({agent: action[:2] for agent, action in actions.items()})


class FillsIn(Toy):
    def step(self, actions):
        idle = {agent: np.zeros(2, np.float32) for agent in self.possible_agents} if self.agents else {}
        return super().step({**idle, **actions})


class HeedsStrangers(Toy):
    def step(self, actions):
        return super().step({agent: actions[agent] for agent in self.possible_agents})


class NewSpaces(Toy):
    def observation_space(self, agent):
        return gymnasium.spaces.Box(0, 1, (2,), np.float32)


class UnboundedSpace(Toy):
    def __init__(self):
        super().__init__()
        self.spaces["b"] = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


BROKEN = [
    (RandomFromStepTwo, "episodes of seed 0 with equal actions differ in observations at step 1"),
    (RandomReward, "with equal actions differ in rewards at step 0"),
    (RandomState, "with equal actions differ in state at reset"),
    (DeafToSeeds, "seeds 0 and 1 must differ"),
    (RepeatsUnseeded, "seed 0 and of the unseeded reset after it must differ"),
    (WrongShape, r"observation of 'b' at reset must have shape \(2,\), has \(3,\)"),
    (WrongType, "observation of 'a' at reset must be float32, is float64"),
    (OutOfBounds, r"observation of 'a' at step 1 is 1\.\d+ at \[0\], outside its bounds \[0.0, 1.0\]"),
    (NotANumber, "observation of 'a' at step 2 must be finite"),
    (NanReward, "reward of 'b' at step 0 must be a finite float, is nan"),
    (ArrayReward, "reward of 'b' at step 0 must be a finite float, is array"),
    (IntegerFlag, "flag of 'a' at step 0 must be a bool, is 0"),
    (InfiniteInfo, "info 'profit' of 'a' at step 0 must be finite, is inf"),
    (SharedInfo, "infos at step 0 share a dict"),
    (StateOutside, r"state\(\) at step 2 is 1.1"),
    (LosesAnAgent, r"rewards of step 0 must be a fresh dict with the keys \['a', 'b'\]"),
    (KeepsItsDicts, r"infos of step 1 must be a fresh dict .* keys \['a', 'b', '__all__'\]"),
    (KeepsItsArrays, "step 0 changed the observation of 'a' that was returned before it"),
    (ChangesActions, "step 0 changed the action of 'a' in place"),
    (TerminatedAndTruncated, "'a' is terminated and truncated at step 4: only one may be true"),
    (EndsApart, "agents must end together and alike, at step 3"),
    (AgentsLinger, r"agents after step 4 must be \[\], are \['a', 'b'\]"),
    (GoesOnAfterTheEnd, "a step after the end of the episode must raise an error"),
    (RefusesTheBounds, "the bound was refused"),
    (ClipsNan, "NaN in the action of 'a' must raise an error, but was accepted"),
    (ClipsValues, "a value above the space in the action of 'a' must raise an error"),
    (CutsShapes, "a wrong shape in the action of 'a' must raise an error"),
    (FillsIn, "a step without an action of 'a' must raise an error"),
    (HeedsStrangers, "an action of an unknown agent must raise an error"),
    (NewSpaces, r"observation_space\('a'\) must return the same object every time"),
    (UnboundedSpace, r"observation_space\('b'\) must have finite bounds"),
]


def test_the_sound_toy_passes():
    check_env(Toy())


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_environment_is_rejected(broken, message):
    with pytest.raises(EnvironmentCheckError, match=message):
        check_env(broken())


def test_every_broken_environment_is_in_the_table():
    assert {broken for broken, _ in BROKEN} == set(Toy.__subclasses__())


def test_pettingzoos_suites_let_pass_what_the_checker_rejects(capsys):
    parallel_seed_test(RandomFromStepTwo, 10)
    for hole in (WrongShape, WrongType, OutOfBounds, NanReward):
        parallel_api_test(hole(), num_cycles=10)
