"""One agent, `firm`, in the place of all: what the agents see and decide, side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from invrec_rllib.env.batched import BatchedEnv, Look, Moved
from invrec_rllib.env.encoder import Float32Array
from invrec_rllib.errors import InputError

FIRM = "firm"


class JointEnv(ParallelEnv[str, Float32Array, Float32Array]):  # type: ignore[misc]
    """A parallel environment whose agents share their reward, played by one agent with the joint action.

    Observations and actions are those of the agents in their order, one after the other. The reward is the first
    agent's. `state` is passed on.

    Args:
        env: agents with flat boxes for observations and actions, which end together.

    Raises:
        InputError: another space, or boxes of unlike types.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.members: list[str] = list(env.possible_agents)
        self.possible_agents = [FIRM]
        self.agents: list[str] = []
        self.metadata = {**env.metadata, "name": f"joint_{env.metadata.get('name', 'env')}"}
        self.render_mode = env.render_mode
        self.observation_spaces = {
            FIRM: _side_by_side([env.observation_space(name) for name in self.members])
        }
        self.action_spaces = {FIRM: _side_by_side([env.action_space(name) for name in self.members])}
        self.state_space = env.state_space
        self._sizes = [env.action_space(name).shape[0] for name in self.members]

    def observation_space(self, agent: str) -> gymnasium.spaces.Box:
        """The agents' boxes, one after the other."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Box:
        """The agents' boxes, one after the other."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """As the environment's."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self.agents = [FIRM]
        return {FIRM: self._join(observations)}, {FIRM: infos[self.members[0]]}

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """As the environment's, with the joint action."""
        parts = np.split(np.asarray(actions[FIRM]), np.cumsum(self._sizes)[:-1])
        results = self.env.step(dict(zip(self.members, parts, strict=True)))
        self.agents = [FIRM] if self.env.agents else []
        first = self.members[0]
        observations, rewards, terminations, truncations, infos = (
            {FIRM: values[first]} if k else {FIRM: self._join(values)} for k, values in enumerate(results)
        )
        return observations, rewards, terminations, truncations, infos

    def state(self) -> NDArray[Any]:
        """The environment's global state."""
        state: NDArray[Any] = self.env.state()
        return state

    def render(self) -> Any:
        """As the environment's."""
        return self.env.render()

    def close(self) -> None:
        """As the environment's."""
        self.env.close()

    def _join(self, observations: dict[str, Float32Array]) -> Float32Array:
        return np.concatenate([observations[name] for name in self.members])


class JointBatch:
    """The same for a `BatchedEnv`.

    Args:
        env: agents with flat boxes for observations and actions.
        members: its agents in the order in which they are put side by side.

    Raises:
        InputError: as `JointEnv`.
    """

    def __init__(self, env: BatchedEnv, members: list[str]) -> None:
        self.env, self.members = env, members
        self.agents: tuple[str, ...] = (FIRM,)
        self.num_envs = env.num_envs
        self.observation_spaces: dict[str, gymnasium.Space[Any]] = {
            FIRM: _side_by_side([env.observation_spaces[name] for name in members])
        }
        self.action_spaces: dict[str, gymnasium.Space[Any]] = {
            FIRM: _side_by_side([env.action_spaces[name] for name in members])
        }
        self.state_space = env.state_space
        shapes = [env.action_spaces[name].shape or (0,) for name in members]
        self._cuts = np.cumsum([shape[0] for shape in shapes])[:-1]

    def reset(self) -> Look:
        """As the environment's."""
        return self._look(self.env.reset())

    def step(self, actions: dict[str, NDArray[Any]]) -> Moved:
        """As the environment's, with the joint action (B, A)."""
        parts = np.split(actions[FIRM], self._cuts, axis=-1)
        moved = self.env.step(dict(zip(self.members, parts, strict=True)))
        return moved._replace(
            look=self._look(moved.look),
            rewards={FIRM: moved.rewards[self.members[0]]},
            final=None if moved.final is None else self._look(moved.final),
        )

    def close(self) -> None:
        """As the environment's."""
        self.env.close()

    def _look(self, look: Look) -> Look:
        joined = np.concatenate([look.observations[name] for name in self.members], axis=-1)
        # Some agent always decides, and one ratio of probabilities covers them all.
        return Look({FIRM: joined}, look.state, None)


def _side_by_side(spaces: list[Any]) -> gymnasium.spaces.Box:
    for space in spaces:
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise InputError(f"a joint agent puts boxes of one axis side by side, got the space {space}")
    dtypes = {space.dtype for space in spaces}
    if len(dtypes) > 1:
        raise InputError(f"a joint agent needs spaces of one type, got {sorted(map(str, dtypes))}")
    return gymnasium.spaces.Box(
        np.concatenate([space.low for space in spaces]),
        np.concatenate([space.high for space in spaces]),
        dtype=spaces[0].dtype,
    )
