"""`invrec_v0` played by many episodes in step: the same trajectories, in whole arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from invrec_rllib.env.accounts import itemise_batch
from invrec_rllib.env.batched import Array, Look, Moved
from invrec_rllib.env.invrec_v0 import InvRecEnv
from invrec_rllib.errors import InputError


class BatchedInvRec:
    """B episodes of `invrec_v0`, all in the same period; a `BatchedEnv`.

    Environment i plays, bit for bit, what an `InvRecEnv` plays that is reset with `seed=next_seed(i)` before each
    of its episodes; rewards are rounded to 32 bits. All episodes end together, by truncation at the horizon.

    The inventory's action counts in the periods in which orders are possible (`supply.review_periods`), the
    recommender's always: that is what `Look.decides` says, and nothing counts in a last look.

    Args:
        options: of `InvRecEnv`, ``scenario`` among them; ``render_mode`` is not used.
        num_envs: B, at least 1.
        next_seed: the seed of the next episode of environment i; called once for each i at every reset. Where it
            has a method `close`, that is called by `close`.
        with_state: whether looks hold the global state.

    Attributes:
        agents, num_envs, observation_spaces, action_spaces, state_space: see `BatchedEnv`.
        with_state: as given.
        members: the agents in `InvRecEnv`'s own order, the inventory's first.

    Raises:
        InputError, ScenarioError: an option is not valid, or `num_envs` is below 1.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        num_envs: int,
        next_seed: Callable[[int], int],
        with_state: bool = True,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}, must be at least 1")
        self._firm = InvRecEnv(**{**options, "render_mode": None})
        self.members = list(self._firm.possible_agents)
        self.agents = tuple(sorted(self.members, key=str))
        self.num_envs = num_envs
        self.observation_spaces: dict[str, Space[Any]] = dict(self._firm.observation_spaces)
        self.action_spaces: dict[str, Space[Any]] = dict(self._firm.action_spaces)
        self.state_space: Box | None = self._firm.state_space
        self.with_state = with_state
        self._next_seed = next_seed
        self._departments = {agent: self._firm.cast[agent].department for agent in self.agents}
        self._review = self._firm.scenario.supply.review_periods
        self._period = 0

    def reset(self) -> Look:
        """Start the next episode of every environment."""
        self._firm.world.begin([(self._next_seed(index), 0) for index in range(self.num_envs)])
        self._period = 0
        return self._look()

    def step(self, actions: dict[str, Array]) -> Moved:
        """Play one period; after the horizon the next episodes begin.

        Args:
            actions: by agent, in [-1, 1], (B, A).

        Raises:
            InputError: no reset yet, or an agent's action is missing or not allowed.
        """
        world = self._firm.world
        period = world.play(actions, lead=(self.num_envs,))
        earned = self._firm.earned(period)._asdict()
        self._period += 1
        rewards = {department: earned[department].astype(np.float32) for department in earned}
        over = not world.running
        final = self._look() if over else None
        return Moved(
            look=self.reset() if over else self._look(),
            rewards={agent: rewards[department] for agent, department in self._departments.items()},
            terminated=np.zeros(self.num_envs, dtype=np.bool_),
            truncated=np.full(self.num_envs, over),
            final=final,
            items=itemise_batch(*period),
        )

    def close(self) -> None:
        """Close the seeds, where they can be."""
        close = getattr(self._next_seed, "close", None)
        if close is not None:
            close()

    def _look(self) -> Look:
        world = self._firm.world
        observations = world.observations()
        return Look(
            {agent: observations[agent] for agent in self.agents},
            world.state() if self.with_state else None,
            self._decides() if self._review > 1 else None,
        )

    def _decides(self) -> dict[str, NDArray[np.bool_]]:
        running = self._firm.world.running
        ordering = running and self._period % self._review == 0
        counts = {"inventory": ordering, "recommender": running}
        return {
            agent: np.full(self.num_envs, counts[department])
            for agent, department in self._departments.items()
        }
