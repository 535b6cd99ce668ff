"""The firm played for one episode or many side by side, as its agents see and decide it; without PettingZoo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from invrec_rllib.env.actions import ActionMapping, check_action
from invrec_rllib.env.advice import Adviser
from invrec_rllib.env.agents import Agent, Department, join_actions
from invrec_rllib.env.encoder import Float32Array, ObservationEncoder
from invrec_rllib.env.facts import Facts
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.policies.view import Information, Observer
from invrec_rllib.sim.params import FloatArray, IntArray
from invrec_rllib.sim.randomness import EpisodeKey
from invrec_rllib.sim.simulator import Simulator
from invrec_rllib.sim.state import Outcome, State


class Period(NamedTuple):
    """A period that was played: its start, what happened, and the start of the next."""

    before: State
    outcome: Outcome
    after: State


class World:
    """B running episodes in step, their observations and their decisions.

    All fields are encoded once; agents and global state take what they see from that.

    Args:
        simulator: plays the scenario.
        information: what the agents see.
        mapping: what their actions mean.
        cast: the agents by name, inventory first.
        adviser: whose advice the agents see and adjust; None: they have none.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        information: Information,
        mapping: ActionMapping,
        cast: dict[str, Agent],
        adviser: Adviser | None = None,
    ) -> None:
        self._simulator = simulator
        self._observer = Observer(simulator.params, information=information)
        self._mapping, self._cast, self._adviser = mapping, cast, adviser
        departments: tuple[Department, ...] = ("inventory", "recommender")
        self._encoders = {
            name: ObservationEncoder(simulator.params, name, information, advised=adviser is not None)
            for name in departments
        }
        self._state_encoder = ObservationEncoder(
            simulator.params, "state", information, advised=adviser is not None
        )
        self._exact = information == "full"
        self._agents = {
            department: tuple(agent for agent in cast.values() if agent.department == department)
            for department in departments
        }
        self._seen = {name: self._observation_index(agent) for name, agent in cast.items()}
        self._facts: Facts | None = None
        self._advised: Any = None
        self._fields: Float32Array | None = None

    @property
    def running(self) -> bool:
        """Whether an episode has begun and its horizon is not reached."""
        return self._facts is not None and not self._simulator.done

    @property
    def state_space(self) -> gymnasium.spaces.Box:
        """A new space of `state`."""
        return self._state_encoder.space

    @property
    def state_layout(self) -> ObservationLayout:
        """How `state` is laid out."""
        return self._state_encoder.layout

    def observation_layout(self, name: str) -> ObservationLayout:
        """How an agent's observations are laid out."""
        agent = self._cast[name]
        return agent.observation_layout(self._encoders[agent.department].layout)

    def observation_space(self, name: str) -> gymnasium.spaces.Box:
        """A new space of an agent's observations."""
        encoder, seen = self._state_encoder, self._seen[name]
        return gymnasium.spaces.Box(encoder.low[seen], encoder.high[seen], dtype=np.float32)

    def begin(self, keys: Sequence[EpisodeKey]) -> State:
        """Start the episodes of B keys."""
        state = self._simulator.reset_keys(keys)
        if self._adviser is not None:
            self._advised = self._adviser.begin(self._simulator.params, num_episodes=len(keys))
        self._look()
        return state

    def play(self, actions: dict[str, Any], *, lead: tuple[int, ...] = ()) -> Period:
        """Play one period with every agent's action.

        Args:
            actions: by agent, (*lead, A).
            lead: (B,), or () for one episode without a batch axis.

        Raises:
            InputError: an agent lacks an action or is unknown, or an action is not allowed.
        """
        if actions.keys() != self._cast.keys():
            missing, unknown = self._cast.keys() - actions.keys(), actions.keys() - self._cast.keys()
            raise InputError(
                f"actions must hold one of each agent: missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        facts = self._now
        ordered = self._joined("inventory", actions, lead=lead)
        exposed = self._joined("recommender", actions, lead=lead)
        order = self._mapping.to_order(facts.view, ordered, facts=facts)
        exposure = self._mapping.to_exposure(facts.view, exposed, facts=facts)
        before = self._simulator.state
        outcome = self._simulator.step(order=order, exposure=exposure)
        self._look()
        return Period(before, outcome, self._simulator.state)

    def observations(self) -> dict[str, Float32Array]:
        """What every agent sees now, in a fresh dict of fresh arrays, float32, (B, D) each."""
        fields = self._encoded
        return {name: fields.take(seen, axis=1) for name, seen in self._seen.items()}

    def state(self) -> Float32Array:
        """The global state with the true affinities, float32, (B, D); one array per period, not to be changed."""
        if self._exact:
            return self._encoded
        return self._state_encoder.encode(self._now.view, facts=self._now)

    @property
    def _encoded(self) -> Float32Array:
        """All fields by the agents' scores, in the layout of the state."""
        if self._fields is None:
            self._fields = self._state_encoder.encode_facts(self._now)
        return self._fields

    @property
    def _now(self) -> Facts:
        if self._facts is None:
            raise InputError("no episode has begun: call reset")
        return self._facts

    def _look(self) -> None:
        view = self._observer.observe(self._simulator.state, self._simulator.streams)
        advice = None
        if self._adviser is not None:
            advice, self._advised = self._adviser.advise(view, self._advised)
        self._facts = Facts(view, advice=advice)
        self._fields = None

    def _joined(
        self, department: Department, actions: dict[str, Any], *, lead: tuple[int, ...]
    ) -> FloatArray:
        agents = self._agents[department]
        parts = {
            agent.name: check_action(agent.name, actions[agent.name], (*lead, agent.action_size)).reshape(
                -1, agent.action_size
            )
            for agent in agents
        }
        if len(agents) == 1:
            return parts[agents[0].name]
        return join_actions(agents, parts, sum(agent.action_size for agent in agents))

    def _observation_index(self, agent: Agent) -> IntArray:
        """Where an agent's observation stands among all fields."""
        encoder, every = self._encoders[agent.department], self._state_encoder
        index = every.index_of_fields(encoder.fields)
        return index if agent.whole else index[agent.observation_index(encoder.layout)]
