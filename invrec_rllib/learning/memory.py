"""Memory for actors: recurrent cores with weights shared over products, and the sequences they are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invrec_rllib.errors import InputError

MemoryKind: TypeAlias = Literal["none", "gru", "lstm"]
State: TypeAlias = dict[str, Tensor]


class Memory(nn.Module):
    """A recurrent core that every row (product) passes apart from the others, with the same weights.

    Args:
        input_size: width E of what is put in.
        size: width H of the memory.
        kind: "gru" (state "h") or "lstm" (states "h" and "c").

    Raises:
        InputError: another kind.
    """

    def __init__(self, input_size: int, size: int, *, kind: MemoryKind) -> None:
        super().__init__()
        if kind not in ("gru", "lstm"):
            raise InputError(f"memory = {kind!r}: must be 'gru' or 'lstm'")
        self.size = size
        self.names = ("h",) if kind == "gru" else ("h", "c")
        self.core: nn.GRU | nn.LSTM = (nn.GRU if kind == "gru" else nn.LSTM)(input_size, size)

    def initial_state(self, *rows: int) -> State:
        """Zeros by state name, each (*rows, H)."""
        return {name: torch.zeros(*rows, self.size) for name in self.names}

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """What is remembered after every step, and the state after the last.

        Args:
            inputs: (B, T, *rows, E).
            state: arrays (B, *rows, H) by name, from before the first step.

        Returns:
            Outputs (B, T, *rows, H), and the new state.
        """
        batch, steps, *rows, width = inputs.shape
        sequences = inputs.transpose(0, 1).reshape(steps, -1, width)
        before = tuple(state[name].reshape(1, -1, self.size) for name in self.names)
        outputs, after = self.core(sequences, before if len(before) > 1 else before[0])
        entries = after if len(before) > 1 else (after,)
        lead = (batch, *rows, self.size)
        new_state = {name: entry.reshape(lead) for name, entry in zip(self.names, entries, strict=True)}
        return outputs.reshape(steps, *lead).transpose(0, 1), new_state


class ResidualMemory(nn.Module):
    """Embeddings plus what a memory of them adds; it adds nothing before training.

    The network without memory is hence where learning starts, and its path stays as short as it was.

    Args:
        width: of the embeddings.
        size: width H of the memory.
        kind: "gru" or "lstm".
    """

    def __init__(self, width: int, size: int, *, kind: MemoryKind) -> None:
        super().__init__()
        self.memory = Memory(width, size, kind=kind)
        self.project = nn.Linear(size, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """Embeddings of the same shape (B, T, *rows, width), and the new state."""
        remembered, state = self.memory(embedded, state)
        return embedded + self.project(remembered), state


def remembered(
    memory: ResidualMemory | None, embedded: Tensor, state: State | None
) -> tuple[Tensor, State | None]:
    """What an actor's memory, if it has one, makes of its embeddings, and the state after them.

    Raises:
        InputError: a memory without a state, or a state without a memory.
    """
    if (state is None) != (memory is None):
        raise InputError("a state must be given to actors with a memory, and to no others")
    if memory is None:
        return embedded, None
    outputs: tuple[Tensor, State] = memory(embedded, state)
    return outputs


@dataclass(frozen=True, eq=False)
class Sequences:
    """Where S sequences of at most L steps lie in time-major arrays (T, B, ...).

    Ordered by start, then by column.

    Attributes:
        column: environment b of each sequence, (S,).
        start: its first step t, (S,).
        steps: its number of valid steps, (S,), 1 to L.
        grid: g where the state stored before step g x L starts it, -1 where the initial state does, (S,).
        index: into arrays flattened to (T x B, ...), (S, L); padding repeats the last valid step.
        mask: whether an entry is a step of its own and no padding, bool, (S, L).
        regular: whether all sequences are full and lie on the grid, so that gathering is a reshape.
    """

    column: NDArray[np.intp]
    start: NDArray[np.intp]
    steps: NDArray[np.intp]
    grid: NDArray[np.intp]
    index: NDArray[np.intp]
    mask: NDArray[np.bool_]
    regular: bool

    def __len__(self) -> int:
        return len(self.start)

    def gather(self, array: Any) -> Any:
        """(S, L, ...) of an array or tensor (T, B, ...)."""
        steps, envs, *rest = array.shape
        if self.regular:
            length = self.index.shape[1]
            return array.reshape(-1, length, envs, *rest).swapaxes(1, 2).reshape(-1, length, *rest)
        return array.reshape(steps * envs, *rest)[self.index]

    def states(self, stored: NDArray[Any]) -> NDArray[Any]:
        """States (S, ...) that the sequences start from, of those stored (G, B, ...); the initial ones are 0."""
        chosen = stored[self.grid, self.column]
        # The index -1 chose some stored state.
        chosen[self.grid < 0] = 0
        return chosen


def cut_sequences(
    ends: NDArray[np.bool_], length: int, *, alive: NDArray[np.bool_] | None = None
) -> Sequences:
    """Cut T steps of B environments at the multiples of a length and after every end of an episode.

    Args:
        ends: whether an episode ended in step t of column b, (T, B).
        length: L, steps between stored states, at least 1.
        alive: whether the agent acted, (T, B), the same from one end to the next; sequences in which it did not are
            left out. None: always.

    Raises:
        InputError: the length is below 1.
    """
    if length < 1:
        raise InputError(f"length = {length}: sequences have at least 1 step")
    num_steps, num_envs = ends.shape
    starts = np.zeros((num_steps, num_envs), dtype=bool)
    starts[1:] = ends[:-1]
    fresh = starts.copy()
    starts[::length] = True
    start, column = np.nonzero(starts)
    # In column order a sequence reaches up to the next start, or to the last step.
    by_column = np.lexsort((start, column))
    following = np.append(start[by_column][1:], 0)
    steps = np.empty_like(start)
    steps[by_column] = np.where(following > start[by_column], following, num_steps) - start[by_column]
    if alive is not None:
        kept = alive[start, column]
        start, column, steps = start[kept], column[kept], steps[kept]
    offset = np.arange(length)
    index = (start[:, None] + np.minimum(offset, steps[:, None] - 1)) * num_envs + column[:, None]
    return Sequences(
        column=column,
        start=start,
        steps=steps,
        grid=np.where(fresh[start, column], -1, start // length),
        index=index,
        mask=offset < steps[:, None],
        regular=len(steps) * length == ends.size and bool((steps == length).all()),
    )
