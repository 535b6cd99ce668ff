"""What a fast runner hands to a learner: whole arrays over time and environments instead of episodes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.env.batched import Array, Look
from invrec_rllib.errors import InputError

# What runners call the space of the global state, among the spaces that they report.
STATE_SPACE = "__global_state__"


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(eq=False)
class Block:
    """T steps of B environments; arrays are time-major, and each environment's column is one stream of episodes.

    RLlib handles it as it does an episode: it has a length (env steps), an `id_`, and slices by env steps, as
    RLlib cuts a batch for several learners. A cut goes between environments, never through one: see `slice`.

    Attributes:
        policy_of: module id of each agent.
        observations: by agent, (T, B, ...).
        actions: by agent, as the module's distribution gave them, before they were clipped or unsquashed,
            (T, B, ...).
        dist_inputs: by agent, what the distribution was made from, (T, B, P); {} for random actions.
        logp: by agent, log-probability of the action, (T, B); {} for random actions.
        rewards: by agent, float32, (T, B).
        states: global states, (T, B, S); None if they were not asked for.
        decides: by agent whether its action counted, (T, B); None: all, always.
        terminated, truncated: of the episodes, (T, B).
        last: what is seen after step T - 1; the next episode's first look where one ended there.
        final_index: (t, b) of the episodes' ends, rising in t then b, (K, 2).
        final: last looks of these episodes, K rows; None if none ended.
        memory: by agent and key the module's state before steps 0, L, 2L, ..., (ceil(T / L), B, ...); {} for
            modules without one. Where an episode ended, the module's state started anew.
        memory_every: L, the module's `model_config["max_seq_len"]`; T where nobody has a state.
        alive: by agent whether it acted, (T, B); None: all, always, and none ended before its episode. The row after
            an agent's end shows its last observation.
        terminals: by agent whether it terminated in a step, (T, B); None: `terminated`.
        id_: unique.
    """

    policy_of: dict[str, str]
    observations: dict[str, Array]
    actions: dict[str, Array]
    dist_inputs: dict[str, Array]
    logp: dict[str, Array]
    rewards: dict[str, NDArray[np.float32]]
    states: NDArray[np.float32] | None
    decides: dict[str, NDArray[np.bool_]] | None
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    last: Look
    final_index: NDArray[np.int64]
    final: Look | None
    memory: dict[str, dict[str, Array]] = field(default_factory=dict)
    memory_every: int = 1
    alive: dict[str, NDArray[np.bool_]] | None = None
    terminals: dict[str, NDArray[np.bool_]] | None = None
    id_: str = field(default_factory=_new_id)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents."""
        return tuple(self.policy_of)

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.terminated)

    @property
    def num_envs(self) -> int:
        """B."""
        return int(self.terminated.shape[1])

    def __len__(self) -> int:
        """Env steps, T * B."""
        return self.terminated.size

    def env_steps(self) -> int:
        """Env steps, T * B, as an episode of RLlib says it."""
        return len(self)

    def agent_steps(self) -> int:
        """Steps of all agents, as an episode of RLlib says it."""
        return sum(map(self.steps_of, self.policy_of))

    def steps_of(self, agent: str) -> int:
        """Steps in which an agent acted."""
        return len(self) if self.alive is None else int(self.alive[agent].sum())

    def ends_of(self, agent: str) -> NDArray[np.bool_]:
        """Whether an agent's steps end with step t, with its episode or before, (T, B)."""
        ends = self.terminated | self.truncated
        if self.alive is None:
            return ends
        alive = self.alive[agent]
        after = np.ones_like(alive)
        after[:-1] = alive[1:]
        if self.last.alive is not None:
            after[-1] = self.last.alive[agent]
        left: NDArray[np.bool_] = ends | (alive & ~after)
        return left

    def terminals_of(self, agent: str) -> NDArray[np.bool_]:
        """Whether nothing follows step t for an agent, since it terminated there, (T, B)."""
        return self.terminated if self.terminals is None else self.terminals[agent]

    def counts_of(self, agent: str) -> NDArray[np.bool_] | None:
        """Whether there was an action of an agent to learn from, (T, B); None: always."""
        given = [flags[agent] for flags in (self.decides, self.alive) if flags is not None]
        return np.logical_and.reduce(given) if given else None

    def __getitem__(self, part: slice) -> Block:
        """As `slice`."""
        return self.slice(part)

    def slice(self, part: slice, *, len_lookback_buffer: int | None = None) -> Block:
        """The environments that begin within a range of env steps, whole.

        A cut within an environment's T steps moves up to the environment's end, but leaves at least one
        environment on its other side where there are two or more: so RLlib's `ShardEpisodesIterator`, which
        asks for ``[:n]`` and then ``[n:]`` until its shards are full, comes to an end.

        Args:
            part: of env steps counted environment after environment, without a step.
            len_lookback_buffer: not used; part of the signature that RLlib calls.

        Raises:
            InputError: the slice has a step.
        """
        if part.step not in (None, 1):
            raise InputError(f"a Block is cut in one piece, got a slice with step {part.step}")
        start, stop, _ = part.indices(len(self))
        return self.columns(self._column(start), self._column(stop))

    def columns(self, start: int, stop: int) -> Block:
        """Environments `start` to `stop - 1`; the arrays are views."""
        kept = (self.final_index[:, 1] >= start) & (self.final_index[:, 1] < stop)
        final_index = self.final_index[kept] - np.array([0, start])

        def cut(arrays: dict[str, Any]) -> dict[str, Any]:
            return {agent: array[:, start:stop] for agent, array in arrays.items()}

        return replace(
            self,
            observations=cut(self.observations),
            actions=cut(self.actions),
            dist_inputs=cut(self.dist_inputs),
            logp=cut(self.logp),
            rewards=cut(self.rewards),
            states=None if self.states is None else self.states[:, start:stop],
            decides=None if self.decides is None else cut(self.decides),
            terminated=self.terminated[:, start:stop],
            truncated=self.truncated[:, start:stop],
            last=_rows(self.last, slice(start, stop)),
            final_index=final_index,
            final=_rows(self.final, kept) if self.final is not None and kept.any() else None,
            memory={agent: cut(states) for agent, states in self.memory.items()},
            alive=None if self.alive is None else cut(self.alive),
            terminals=None if self.terminals is None else cut(self.terminals),
            id_=_new_id(),
        )

    def _column(self, step: int) -> int:
        if step in (0, len(self)):
            return step and self.num_envs
        return min(-(-step // self.num_steps), max(self.num_envs - 1, 1))


def _rows(look: Look, rows: Any) -> Look:
    def cut(flags: dict[str, NDArray[np.bool_]] | None) -> dict[str, NDArray[np.bool_]] | None:
        return None if flags is None else {agent: values[rows] for agent, values in flags.items()}

    return Look(
        {agent: observed[rows] for agent, observed in look.observations.items()},
        None if look.state is None else look.state[rows],
        cut(look.decides),
        cut(look.alive),
    )
