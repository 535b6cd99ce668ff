"""Gathering the steps of a batch of environments into a block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.env.batched import Array, Look, Moved
from invrec_rllib.rllib.batched_policies import Acted
from invrec_rllib.rllib.blocks import Block

Flags = dict[str, NDArray[np.bool_]]


class BlockRecorder:
    """Fills the arrays of one `Block` step by step.

    Args:
        policy_of: module id of each agent.
        memory_every: steps between the states that are kept of modules with memory; None: there are none.
        expected_steps: how many steps will come; where it is wrong, arrays are moved.

    Attributes:
        num_steps: steps so far.
    """

    def __init__(self, policy_of: dict[str, str], *, memory_every: int | None, expected_steps: int) -> None:
        self._policy_of = policy_of
        self._memory_every = memory_every
        self._expected = max(expected_steps, 1)
        self._columns: dict[tuple[str, ...], _Column] = {}
        self._ends: list[Array] = []
        self._finals: list[Look] = []
        self._alive: list[Flags | None] = []
        self._terminals: list[Flags | None] = []
        self._last: Look | None = None
        self.num_steps = 0

    @property
    def wants_memory(self) -> bool:
        """Whether the modules' states before the next step are to be kept."""
        return self._memory_every is not None and self.num_steps % self._memory_every == 0

    def remember(self, memory: dict[str, dict[str, Array]]) -> None:
        """Keep the modules' states before the next step."""
        for agent, state in memory.items():
            for key, value in state.items():
                self._put(("memory", agent, key), value)

    def remember_after(self, memory: dict[str, dict[str, Array]]) -> None:
        """Keep the modules' states after the step at hand; call it in every step, before `add`, or in none."""
        for agent, state in memory.items():
            for key, value in state.items():
                self._put(("memory_after", agent, key), value)

    def add(self, look: Look, acted: Acted, moved: Moved, *, with_items: bool = False) -> None:
        """Add a step: what was seen, what was done, what came of it."""
        for name, values in (
            ("observations", look.observations),
            ("actions", acted.actions),
            ("dist_inputs", acted.dist_inputs),
            ("logp", acted.logp),
            ("rewards", moved.rewards),
            ("decides", look.decides or {}),
            ("items", moved.items if with_items else {}),
        ):
            for agent, array in values.items():
                self._put((name, agent), array)
        if look.state is not None:
            self._put(("states",), look.state)
        self._put(("terminated",), moved.terminated)
        self._put(("truncated",), moved.truncated)
        self._alive.append(look.alive)
        self._terminals.append(moved.terminals)
        if moved.final is not None:
            ended = np.flatnonzero(moved.terminated | moved.truncated)
            self._ends.append(np.stack([np.full(ended.shape, self.num_steps), ended], axis=1))
            self._finals.append(moved.final)
        self._last = moved.look
        self.num_steps += 1

    def block(self) -> Block:
        """All steps so far, at least one."""
        assert self._last is not None
        terminated = self._columns["terminated",].array()
        # An agent may have ended in the last step of all.
        apart = self._last.alive is not None or any(self._alive)
        return Block(
            policy_of=dict(self._policy_of),
            observations=self._by_agent("observations"),
            actions=self._by_agent("actions"),
            dist_inputs=self._by_agent("dist_inputs"),
            logp=self._by_agent("logp"),
            rewards=self._by_agent("rewards"),
            states=self._get("states"),
            decides=self._by_agent("decides") or None,
            terminated=terminated,
            truncated=self._columns["truncated",].array(),
            last=self._last,
            final_index=np.concatenate([np.empty((0, 2), dtype=np.int64), *self._ends]),
            final=_join(self._finals),
            memory=self._memory("memory"),
            memory_every=self._memory_every or self.num_steps,
            alive=self._flags(self._alive, otherwise=np.ones_like(terminated)) if apart else None,
            terminals=(self._flags(self._terminals, otherwise=terminated) if any(self._terminals) else None),
        )

    def items(self) -> dict[str, Array]:
        """Figures of every step, (T, B) each, where they were kept."""
        return self._by_agent("items")

    def memory_after(self) -> dict[str, dict[str, Array]]:
        """States after every step, by agent and key, (T, B, ...), where they were kept."""
        return self._memory("memory_after")

    def _put(self, key: tuple[str, ...], values: Array) -> None:
        column = self._columns.get(key)
        if column is None:
            steps = self._expected
            if key[0] == "memory" and self._memory_every:
                steps = -(-steps // self._memory_every)
            column = self._columns[key] = _Column(values, steps)
        column.add(values)

    def _flags(self, given: list[Flags | None], *, otherwise: NDArray[np.bool_]) -> Flags:
        """(T, B) by agent of flags that were given in some steps."""
        return {
            agent: np.stack(
                [
                    default if flags is None else flags[agent]
                    for flags, default in zip(given, otherwise, strict=True)
                ]
            )
            for agent in self._policy_of
        }

    def _get(self, name: str) -> Any:
        column = self._columns.get((name,))
        return None if column is None else column.array()

    def _by_agent(self, name: str) -> dict[str, Any]:
        return {key[1]: column.array() for key, column in self._columns.items() if key[0] == name}

    def _memory(self, name: str) -> dict[str, dict[str, Array]]:
        memory: dict[str, dict[str, Array]] = {}
        for key, column in self._columns.items():
            if key[0] == name:
                memory.setdefault(key[1], {})[key[2]] = column.array()
        return memory


class _Column:
    """One array that grows along its first axis."""

    def __init__(self, first: Array, steps: int) -> None:
        self._data: Array = np.empty((steps, *first.shape), dtype=first.dtype)
        self._length = 0

    def add(self, values: Array) -> None:
        if self._length == len(self._data):
            grown: Array = np.empty((2 * self._length, *self._data.shape[1:]), dtype=self._data.dtype)
            grown[: self._length] = self._data
            self._data = grown
        self._data[self._length] = values
        self._length += 1

    def array(self) -> Array:
        return self._data if self._length == len(self._data) else self._data[: self._length].copy()


def _join(looks: list[Look]) -> Look | None:
    if len(looks) < 2:
        return looks[0] if looks else None
    first = looks[0]
    return Look(
        {agent: np.concatenate([look.observations[agent] for look in looks]) for agent in first.observations},
        None if first.state is None else np.concatenate([_given(look.state) for look in looks]),
        None
        if first.decides is None
        else {
            agent: np.concatenate([_given(look.decides)[agent] for look in looks]) for agent in first.decides
        },
    )


def _given(value: Any) -> Any:
    assert value is not None, "looks of one environment hold the same parts"
    return value
