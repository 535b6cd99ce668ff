"""Any PettingZoo parallel environment as a `MultiAgentEnv` of RLlib's new API stack."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from pettingzoo import ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.seeding import EpisodeSeeds

AgentDict = dict[Any, Any]


class ParallelEnvAdapter(MultiAgentEnv):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """A PettingZoo `ParallelEnv` for RLlib, which changes what Ray's `ParallelPettingZooEnv` gets wrong.

    Agents are in sorted order in every process; the environment is not reset before it is asked to be, and
    its dicts are never written to; rendering, `state` and `state_space` are passed on; every episode gets a
    seed of its own (`EpisodeSeeds`).

    How an episode ends: it is over when no agent is left. ``terminateds["__all__"]`` is then true if all
    agents of the last step terminated, and ``truncateds["__all__"]`` if any of them was truncated only, never
    both. In that last step the flags of the truncated agents are left to ``"__all__"``: RLlib 2.60 calls an
    episode in which each agent has a flag of its own *terminated*, even if all were truncated, and then
    learns a value of zero beyond the horizon. Agents that terminated in the same step keep their flag.

    `agents` holds the agents of the last observations, including those whose episode just ended, since
    RLlib's environment check looks their rewards up there.

    Args:
        env: the environment, or a function without arguments that makes it.
        seeds: the seeds of the episodes; the seed given to `reset` then only counts where `EpisodeSeeds` says
            so. With None it is passed on as it is, as PettingZoo's own contract has it.

    Raises:
        InputError: `env` is not a parallel environment.
    """

    def __init__(
        self, env: ParallelEnv[Any, Any, Any] | Callable[[], Any], *, seeds: EpisodeSeeds | None = None
    ) -> None:
        made: Any = env if isinstance(env, ParallelEnv) or not callable(env) else env()
        if not isinstance(made, ParallelEnv):
            raise InputError(
                f"env must be a PettingZoo ParallelEnv or make one, got {type(made).__name__}; an AEC "
                "environment becomes one by pettingzoo.utils.aec_to_parallel"
            )
        self.par_env = made
        self.possible_agents = sorted(made.possible_agents, key=str)
        self.agents: list[Any] = []
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        # The base class fills an empty `agents`; no agent acts before the first reset.
        self.agents = []
        observations: dict[Any, Any] = {
            agent: made.observation_space(agent) for agent in self.possible_agents
        }
        actions: dict[Any, Any] = {agent: made.action_space(agent) for agent in self.possible_agents}
        self.observation_spaces, self.action_spaces = observations, actions
        self.observation_space = gym.spaces.Dict(observations)
        self.action_space = gym.spaces.Dict(actions)
        # RLlib's vector environment writes into `metadata`, which is one dict for all of a class.
        self.metadata = dict(getattr(made, "metadata", None) or {})
        self.render_mode = getattr(made, "render_mode", None)
        self.seeds = seeds
        if seeds is not None:
            weakref.finalize(self, seeds.close)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[AgentDict, AgentDict]:
        """Start an episode.

        Args:
            seed: see `seeds` of the class.
            options: passed on to the environment.

        Returns:
            Observations and infos by agent, for the agents that act first.
        """
        if self.seeds is not None:
            # RLlib's environment check passes options and 42; its runners pass no options.
            seed = self.seeds.next(seed if options is None else None)
        observations, infos = self.par_env.reset(seed=seed, options=options)
        self.agents = self._in_order(observations)
        return self._pick(observations), self._pick(infos or {})

    def step(  # type: ignore[override]  # gymnasium's single-agent signature, as in Ray's own base
        self, action_dict: Mapping[Any, Any]
    ) -> tuple[AgentDict, dict[Any, float], dict[Any, bool], dict[Any, bool], AgentDict]:
        """Play one step.

        Args:
            action_dict: one action of each living agent.

        Returns:
            Observations, rewards, terminateds, truncateds (see the class) and infos, by agent.

        Raises:
            InputError: the environment gave an agent that acted no observation or reward, or a reward that is
                not one number.
        """
        observations, rewards, terminations, truncations, infos = self.par_env.step(dict(action_dict))
        for what, values in (("observation", observations), ("reward", rewards)):
            missing = [agent for agent in action_dict if agent not in values]
            if missing:
                raise InputError(f"{self.par_env} returned no {what} for {missing}, which acted in this step")
        self.agents = self._in_order(observations)
        terminateds, truncateds = _flags(self.agents, terminations, truncations, over=not self.par_env.agents)
        return (
            self._pick(observations),
            {agent: _scalar(agent, rewards[agent]) for agent in self.agents if agent in rewards},
            terminateds,
            truncateds,
            self._pick(infos or {}),
        )

    def render(self) -> Any:
        """What the environment renders in the `render_mode` that it was made with."""
        return self.par_env.render()

    def state(self) -> npt.NDArray[Any]:
        """Global state, as the environment gives it.

        Raises:
            NotImplementedError: the environment has none.
        """
        return np.asarray(self.par_env.state())

    @property
    def state_space(self) -> gym.Space[Any]:
        """Space of `state`.

        Raises:
            InputError: the environment declares none.
        """
        space = getattr(self.par_env, "state_space", None)
        if space is None:
            raise InputError(f"{self.par_env} has no state_space")
        if not isinstance(space, gym.Space):
            raise InputError(
                f"state_space of {self.par_env} must be a gymnasium Space, got {type(space).__name__}"
            )
        return space

    def close(self) -> None:
        """Close the environment and free its place among the seeds; can be called again."""
        self.par_env.close()
        if self.seeds is not None:
            self.seeds.close()

    def _in_order(self, values: Mapping[Any, Any]) -> list[Any]:
        return [agent for agent in self.possible_agents if agent in values]

    def _pick(self, values: Mapping[Any, Any]) -> AgentDict:
        return {agent: values[agent] for agent in self.agents if agent in values}


def _flags(
    agents: list[Any], terminations: Mapping[Any, Any], truncations: Mapping[Any, Any], *, over: bool
) -> tuple[dict[Any, bool], dict[Any, bool]]:
    terminateds = {agent: bool(terminations.get(agent, False)) for agent in agents}
    truncateds = {agent: bool(truncations.get(agent, False)) for agent in agents}
    cut = any(truncateds[agent] and not terminateds[agent] for agent in agents)
    if over and cut:
        truncateds = {}
    return {**terminateds, "__all__": over and not cut}, {**truncateds, "__all__": over and cut}


def _scalar(agent: Any, reward: Any) -> float:
    array = np.asarray(reward)
    if array.size != 1:
        raise InputError(f"the reward of {agent!r} must be one number, got shape {array.shape}")
    return float(array.item())
