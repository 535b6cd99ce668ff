"""Trained agents behind the call signature of all policies of `invrec_v0`, without RLlib and without Ray."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from invrec_rllib.env.actions import ActionMapping
from invrec_rllib.env.advice import Adviser
from invrec_rllib.env.agents import (
    Agent,
    Department,
    InventoryAgents,
    RecommenderAgents,
    cast_agents,
    join_actions,
)
from invrec_rllib.env.encoder import ObservationEncoder, encoder_for
from invrec_rllib.env.facts import Facts
from invrec_rllib.env.joint import FIRM
from invrec_rllib.errors import InputError
from invrec_rllib.learning.actor import Actor, ActorState
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.transfer import Alignment, fields_of, resized
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import Information, View
from invrec_rllib.sim.params import FloatArray, Params

_DEPARTMENTS: tuple[Department, ...] = ("inventory", "recommender")


@dataclass(frozen=True)
class Seen:
    """What agents of `invrec_v0` see, and what their actions mean.

    Attributes:
        information: what they see.
        action_options: of `env.actions.ActionMapping`.
        inventory_agents, recommender_agents: how departments divide into agents.
        joint: whether one agent, `firm`, decides for all.
        adviser: name of the simple policy whose decisions they adjust; None: they have none.
        fields: name, kind and width of the observation fields of each department, in order; {}: not known.
    """

    information: Information
    action_options: Mapping[str, Any] = field(default_factory=dict)
    inventory_agents: InventoryAgents = "one"
    recommender_agents: RecommenderAgents = "one"
    joint: bool = False
    adviser: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def within(self, params: Params) -> Seen:
        """The same, with the fields that this world shows."""
        shown: dict[str, Any] = {name: fields_of(self.encoder(params, name)) for name in _DEPARTMENTS}
        return replace(self, fields=shown)

    def encoder(self, params: Params, department: Department) -> ObservationEncoder:
        """Of what a department sees of a world."""
        return encoder_for(params, department, self.information, advised=self.adviser is not None)

    def to_data(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return asdict(self)


class TrainedPolicy:
    """Agents of `invrec_v0` that were trained, deciding by their most likely actions.

    They decide in any world whose observations hold the fields that they know; networks that share weights over
    products also where it has another number of products or segments.

    Args:
        policy: with a `world`.
        name: how tables and figures call it.

    Raises:
        InputError: the policy was not trained on `invrec_v0`.
    """

    def __init__(self, policy: Policy, *, name: str = "trained") -> None:
        if policy.world is None:
            raise InputError(f"{name} was not trained on invrec_v0: act with it by `Policy.act`")
        try:
            self._seen = Seen(**policy.world)
        except TypeError as error:
            raise InputError(f"{name} does not say what its agents see: {error}") from error
        self.policy = policy
        self._name = name

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, name: str = "trained") -> TrainedPolicy:
        """The agents of an exported folder, checkpoint or run; nothing that is read can execute code.

        Raises:
            InputError: see `Policy.load`.
        """
        return cls(Policy.load(path), name=name)

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        return self._name

    @property
    def information(self) -> Information:
        """What the agents saw in training."""
        return self._seen.information

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Team:
        """The agents at the start of a batch of episodes; nothing is drawn by `seed`.

        Raises:
            InputError: they cannot decide in this world; the message says why.
        """
        return Team.of(self.policy, self._seen, params, num_episodes=num_episodes, name=self._name)

    def act(self, view: View, memory: Team) -> Decision:
        """Decide one period for a batch of episodes."""
        return memory.decide(view)


@dataclass(frozen=True)
class _Player:
    """An agent with its network at this world's size, and where it finds what it sees."""

    name: str
    actor: Actor
    members: tuple[Agent, ...]
    index: tuple[NDArray[np.intp], ...]
    action_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Team:
    """All agents in one world, and what they remember: the memory of `TrainedPolicy`."""

    mapping: ActionMapping
    seen: Seen
    alignments: Mapping[Department, Alignment]
    players: tuple[_Player, ...]
    states: Mapping[str, ActorState]
    adviser: Adviser | None
    advised: Any

    @classmethod
    def of(cls, policy: Policy, seen: Seen, params: Params, *, num_episodes: int, name: str) -> Team:
        """The agents of a policy at the start of episodes.

        Raises:
            InputError: they cannot decide in this world.
        """
        try:
            alignments = {
                role: Alignment(seen.encoder(params, role), fields=seen.fields.get(role))
                for role in _DEPARTMENTS
            }
        except InputError as error:
            raise InputError(f"{name} cannot decide here: {error}") from error
        unknown = sorted({field for alignment in alignments.values() for field in alignment.unknown})
        if unknown:
            warnings.warn(f"{name} did not see {', '.join(unknown)} in training and ignores it", stacklevel=4)
        agents = cast_agents(
            params, inventory_agents=seen.inventory_agents, recommender_agents=seen.recommender_agents
        )
        groups = {FIRM: agents} if seen.joint else {agent.name: (agent,) for agent in agents}
        players = tuple(
            _player(policy, who, members, alignments, name=name) for who, members in groups.items()
        )
        states = {player.name: player.actor.initial_state(num_episodes) for player in players}
        mapping = ActionMapping(params, **seen.action_options)
        adviser = None if seen.adviser is None else Adviser(seen.adviser)
        advised = None if adviser is None else adviser.begin(params, num_episodes=num_episodes)
        return cls(mapping, seen, alignments, players, states, adviser, advised)

    def decide(self, view: View) -> Decision:
        """Orders and exposures of one period, and the team that remembers it."""
        advice, advised = None, self.advised
        if self.adviser is not None:
            advice, advised = self.adviser.advise(view, advised)
        facts = Facts(view, advice=advice)
        seen = {
            role: alignment.apply(self.seen.encoder(view.params, role).encode(view, facts=facts))
            for role, alignment in self.alignments.items()
        }
        actions: dict[str, FloatArray] = {}
        states: dict[str, ActorState] = {}
        for player in self.players:
            parts = [
                seen[agent.department][:, index]
                for agent, index in zip(player.members, player.index, strict=True)
            ]
            action, states[player.name] = player.actor.act(
                np.concatenate(parts, axis=-1), self.states[player.name]
            )
            cuts = np.cumsum(player.action_sizes)[:-1]
            for agent, part in zip(player.members, np.split(action, cuts, axis=-1), strict=True):
                actions[agent.name] = part
        order = self.mapping.to_order(view, self._joined("inventory", actions), facts=facts)
        exposure = self.mapping.to_exposure(view, self._joined("recommender", actions), facts=facts)
        return Decision(order, exposure, replace(self, states=states, advised=advised))

    def _joined(self, department: Department, actions: dict[str, FloatArray]) -> FloatArray:
        agents = tuple(
            agent for player in self.players for agent in player.members if agent.department == department
        )
        return join_actions(agents, actions, sum(agent.action_size for agent in agents))


def _player(
    policy: Policy,
    who: str,
    members: tuple[Agent, ...],
    alignments: Mapping[Department, Alignment],
    *,
    name: str,
) -> _Player:
    trained = _actor_of(policy, who, members[0].department)
    layouts = {agent.name: agent.observation_layout(alignments[agent.department].layout) for agent in members}
    sizes = tuple(agent.action_size for agent in members)
    network = resized(trained, layouts, name=name)
    actor = Actor(
        network,
        trained.description,
        observation_space=_box(sum(layout.size for layout in layouts.values()), bound=np.inf),
        action_space=_box(sum(sizes), bound=1.0),
        bounds=trained.bounds,
    )
    index = tuple(agent.observation_index(alignments[agent.department].layout) for agent in members)
    return _Player(who, actor, members, index, sizes)


def _actor_of(policy: Policy, who: str, department: Department) -> Actor:
    """Whom an agent acts by; another world may have more agents in a department than that of training."""
    if who in policy.agents or who in policy.actors or department not in policy.actors:
        return policy.actor(who)
    return policy.actor(department)


def _box(size: int, *, bound: float) -> Box:
    return Box(-bound, bound, (size,), np.float32)
