"""Copies of any multi-agent environment stepped one after the other behind the protocol of batched ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from numpy.typing import NDArray

from invrec_rllib.env.accounts import MONEY, UNITS
from invrec_rllib.env.batched import Array, Look, Moved
from invrec_rllib.errors import InputError

_LOG = logging.getLogger(__name__)
_ITEMS = (*MONEY, *UNITS, "fill_rate", "period")
_FIXED = (Box, Discrete, MultiBinary, MultiDiscrete)
_INSTEAD = "use RLlib's MultiAgentEnvRunner for this environment"


class SerialBatch:
    """B copies of an RLlib `MultiAgentEnv`, such as our adapter around any PettingZoo environment.

    A Python loop steps them, so it is no faster than they are; what it saves is RLlib's own work per agent and
    step. An environment that ends is reset in the same step, whatever the others do. All agents must be there when
    an episode begins and act in every step until they end, together or each for itself.

    The global state is the environment's own `state()` where it has one and a `state_space`, else all
    observations, flattened, agent after agent (which is logged once).

    Args:
        envs: the copies, alike; at least one. Only `possible_agents`, `get_observation_space`,
            `get_action_space`, `reset`, `step` and `close` are used, and `state` with `state_space`.
        with_state: whether looks hold the global state.
        seed: copy i is first reset with `seed + i`, later without a seed, as RLlib does it; None: never seeded.

    Attributes:
        agents, num_envs, observation_spaces, action_spaces, state_space: see `BatchedEnv`.
        envs: the copies.

    Raises:
        InputError: no copy, or a space that is neither Box, Discrete, MultiDiscrete nor MultiBinary.
    """

    def __init__(self, envs: Sequence[Any], *, with_state: bool = False, seed: int | None = None) -> None:
        if not envs:
            raise InputError("envs must hold at least one environment")
        self.envs = list(envs)
        first = self.envs[0].unwrapped
        self.agents = tuple(sorted(first.possible_agents, key=str))
        self.num_envs = len(self.envs)
        self.observation_spaces = {
            agent: _checked(first.get_observation_space(agent), f"observation of {agent!r}")
            for agent in self.agents
        }
        self.action_spaces = {
            agent: _checked(first.get_action_space(agent), f"action of {agent!r}") for agent in self.agents
        }
        self.with_state = with_state
        self._seed = seed
        self._own_state = _has_state(first)
        self.state_space: Box | None = first.state_space if self._own_state else self._joint_space()
        if with_state and not self._own_state:
            _LOG.warning("%s has no state: its observations, flattened, stand for it", first)
        self._seen: list[Mapping[Any, Any]] = []
        self._acting: list[list[Any]] = [[] for _ in self.envs]

    def reset(self) -> Look:
        """Start a fresh episode in every copy."""
        seeds = [None if self._seed is None else self._seed + index for index in range(self.num_envs)]
        self._seed = None
        self._seen = [self._begin(index, seed) for index, seed in enumerate(seeds)]
        return self._look(self._seen, self._states(range(self.num_envs)))

    def step(self, actions: dict[str, Array]) -> Moved:
        """Step every copy once, and reset those that ended.

        Raises:
            InputError: an agent did not act in a step before its end, or came back after it.
        """
        rewards = {agent: np.zeros(self.num_envs, dtype=np.float32) for agent in self.agents}
        terminals = {agent: np.zeros(self.num_envs, dtype=np.bool_) for agent in self.agents}
        terminated, truncated = (np.zeros(self.num_envs, dtype=np.bool_) for _ in range(2))
        infos: list[Mapping[str, Any]] = []
        for index, env in enumerate(self.envs):
            acting = self._acting[index]
            seen, earned, ends, cuts, info = env.step({agent: actions[agent][index] for agent in acting})
            self._seen[index] = self._complete(seen, index, ends)
            for agent in acting:
                rewards[agent][index] = earned.get(agent, 0.0)
            left = _left(acting, ends, cuts)
            for agent, how in left.items():
                terminals[agent][index] = how
            self._acting[index] = [agent for agent in acting if agent not in left]
            if not self._acting[index]:
                terminated[index] = _terminated(left, ends, cuts)
                truncated[index] = not terminated[index]
            infos.append(next(iter(info.values()), {}))
        ended = np.flatnonzero(terminated | truncated)
        final = (
            self._look([self._seen[index] for index in ended], self._states(ended)) if ended.size else None
        )
        for index in ended.tolist():
            self._seen[index] = self._begin(index, None)
        alike = all(np.array_equal(own, terminated) for own in terminals.values())
        return Moved(
            look=self._look(self._seen, self._states(range(self.num_envs)))._replace(alive=self._alive()),
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            final=final,
            items=_items(infos),
            terminals=None if alike else terminals,
        )

    def close(self) -> None:
        """Close the copies."""
        for env in self.envs:
            env.close()

    def _begin(self, index: int, seed: int | None) -> Mapping[Any, Any]:
        seen: Mapping[Any, Any]
        seen, _ = self.envs[index].reset(seed=seed)
        missing = [agent for agent in self.agents if agent not in seen]
        if missing:
            raise InputError(
                f"the environment gave no first observation for {missing}: fast sampling needs all agents from the "
                f"first step on; {_INSTEAD}"
            )
        self._acting[index] = list(self.agents)
        return seen

    def _complete(self, seen: Mapping[Any, Any], index: int, ends: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """What each agent sees after a step: what it was given, and nothing if it had ended before."""
        acting, before = self._acting[index], self._seen[index]
        whole: dict[Any, Any] = {}
        for agent in self.agents:
            if agent not in acting:
                if agent in seen:
                    raise InputError(
                        f"{agent!r} ended and came back in the same episode: fast sampling needs agents that stay "
                        f"away; {_INSTEAD}"
                    )
                whole[agent] = np.zeros_like(before[agent])
            elif agent in seen:
                whole[agent] = seen[agent]
            elif ends.get(agent) or ends.get("__all__"):
                # Nothing follows, so that nobody learns from it: RLlib repeats the observation, too.
                whole[agent] = before[agent]
            else:
                raise InputError(
                    f"the environment gave no observation for {agent!r}, which acted: fast sampling needs agents "
                    f"that act in every step until they end; {_INSTEAD}"
                )
        return whole

    def _alive(self) -> dict[str, NDArray[np.bool_]] | None:
        if all(len(acting) == len(self.agents) for acting in self._acting):
            return None
        return {agent: np.array([agent in acting for acting in self._acting]) for agent in self.agents}

    def _look(self, seen: Sequence[Mapping[Any, Any]], states: list[Any]) -> Look:
        observations = {agent: np.stack([np.asarray(each[agent]) for each in seen]) for agent in self.agents}
        if not self.with_state:
            return Look(observations, None, None)
        if self._own_state:
            return Look(observations, np.stack(states).astype(np.float32, copy=False), None)
        flat = [array.reshape(len(seen), -1).astype(np.float32) for array in observations.values()]
        return Look(observations, np.concatenate(flat, axis=1), None)

    def _states(self, indices: Any) -> list[Any]:
        if not (self.with_state and self._own_state):
            return []
        return [np.asarray(self.envs[index].unwrapped.state()).ravel() for index in indices]

    def _joint_space(self) -> Box:
        size = sum(int(np.prod(space.shape or (1,))) for space in self.observation_spaces.values())
        return Box(-np.inf, np.inf, (size,), dtype=np.float32)


def _left(acting: list[Any], ends: Mapping[Any, Any], cuts: Mapping[Any, Any]) -> dict[Any, bool]:
    """The agents that ended in a step, and whether they terminated; a flag of their own goes before `__all__`."""
    over = bool(ends.get("__all__") or cuts.get("__all__"))
    left = {}
    for agent in acting:
        if ends.get(agent) or cuts.get(agent):
            left[agent] = bool(ends.get(agent))
        elif over:
            left[agent] = bool(ends.get("__all__"))
    return left


def _terminated(left: Mapping[Any, bool], ends: Mapping[Any, Any], cuts: Mapping[Any, Any]) -> bool:
    """Whether an episode terminated in its last step: as `__all__` says, else cut if any agent of that step was."""
    if ends.get("__all__") or cuts.get("__all__"):
        return bool(ends.get("__all__"))
    return all(left.values())


def _checked(space: Space[Any], what: str) -> Space[Any]:
    if not isinstance(space, _FIXED):
        raise InputError(
            f"the {what} has a {type(space).__name__} space: fast sampling needs Box, Discrete, MultiDiscrete or "
            "MultiBinary; flatten it in the environment, or use RLlib's MultiAgentEnvRunner"
        )
    return space


def _has_state(env: Any) -> bool:
    try:
        space = getattr(env, "state_space", None)
    except InputError:
        return False
    return isinstance(space, Box) and len(space.shape) == 1 and callable(getattr(env, "state", None))


def _items(infos: list[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Figures of `env.accounts`, where the environment is of our kind and reports them."""
    if not all("profit" in info for info in infos):
        return {}
    return {name: np.array([float(info[name]) for info in infos]) for name in _ITEMS if name in infos[0]}
