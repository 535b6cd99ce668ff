"""`Policy`: trained agents that act without Ray, from files that hold no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.learning.actor import Actor, ActorState

# What every agent remembers, by agent.
PolicyState: TypeAlias = dict[str, ActorState]


@dataclass(frozen=True)
class Policy:
    """The networks of all agents, and who acts by which.

    A step of an episode, for any environment with these spaces:

        policy = Policy.load("runs/first")
        state = policy.initial_state()
        for agent in env.agents:
            actions[agent], state = policy.act(agent, observations[agent], state)

    Attributes:
        actors: by module.
        agents: agent -> module, of the agents that are known; a module's own name stands for itself.
        world: what agents of `invrec_v0` see and do, as data of `learning.trained.Seen`; None elsewhere.
        provenance: where it comes from, for readers.
    """

    actors: Mapping[str, Actor]
    agents: Mapping[str, str] = field(default_factory=dict)
    world: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for agent, module in self.agents.items():
            if module not in self.actors:
                raise InputError(
                    f"agent {agent!r} acts by {module!r}, which is none of {sorted(self.actors)}"
                )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read an exported folder, or the one in a checkpoint or in the newest checkpoint of a run.

        Nothing that it reads can execute code.

        Raises:
            InputError: there is none, or its files are damaged or of a newer format.
        """
        from invrec_rllib.learning.export import find_export, load_policy

        return load_policy(find_export(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a folder for `load`; see `learning.export.save_policy`.

        Raises:
            InputError: it exists and is not empty.
        """
        from invrec_rllib.learning.export import save_policy

        save_policy(self, path)

    def actor(self, agent: str) -> Actor:
        """Whom an agent acts by.

        Args:
            agent: an agent's or a module's name.

        Raises:
            InputError: neither is known.
        """
        module = self.agents.get(str(agent), str(agent))
        if module not in self.actors:
            known = ", ".join(sorted({*self.agents, *self.actors}, key=str))
            raise InputError(f"{agent!r} is neither an agent nor a module of this policy; known: {known}")
        return self.actors[module]

    def initial_state(self, batch: int | None = None) -> PolicyState:
        """What agents and modules remember before the first step of an episode.

        Args:
            batch: number of environments side by side; None: a single one.
        """
        return {name: self.actor(name).initial_state(batch) for name in {**self.actors, **self.agents}}

    def act(
        self,
        agent: str,
        observation: ArrayLike,
        state: PolicyState | None = None,
        *,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[NDArray[Any], PolicyState]:
        """An agent's action, as the environment takes it, and the state with what the agent now remembers.

        Args:
            agent: an agent's or a module's name.
            observation: of one environment, or of a batch, (B, *shape); the action is alike.
            state: from `initial_state` or the last `act`; it stays as it was. None: agents without memory.
            deterministic: the most likely action; else one drawn.
            generator: to draw with; None: torch's global one.

        Raises:
            InputError: an unknown agent, a wrong shape, or a state that is not this agent's.
        """
        # RLlib allows numbers for names; JSON and files do not.
        agent = str(agent)
        actor = self.actor(agent)
        state = state or {}
        action, after = actor.act(
            observation, state.get(agent, {}), deterministic=deterministic, generator=generator
        )
        return action, {**state, agent: after}

    def restart(self, state: PolicyState, over: ArrayLike) -> PolicyState:
        """The state with the memory of some environments as at an episode's start.

        Args:
            state: of a batch of B.
            over: which environments begin anew, bool, (B,).
        """
        mask = np.asarray(over, dtype=bool)
        fresh = self.initial_state(len(mask))

        def mixed(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return {
            name: {key: mixed(value, fresh[name][key]) for key, value in entries.items()}
            for name, entries in state.items()
        }
