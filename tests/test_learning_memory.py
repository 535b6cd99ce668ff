"""Memory: products apart, and sequences that repeat what was computed step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.memory import Memory, MemoryKind, ResidualMemory, State, cut_sequences

KINDS: tuple[MemoryKind, ...] = ("gru", "lstm")


def random_ends(seed: int, steps: int, envs: int, rate: float) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((steps, envs)) < rate


def unrolled(
    memory: Memory, inputs: Tensor, ends: NDArray[np.bool_], length: int
) -> tuple[Tensor, dict[str, NDArray[np.float32]]]:
    """Outputs (T, B, N, H) step by step as a runner does, and the states stored before steps 0, L, ..."""
    state: State = {name: torch.randn(inputs.shape[1], inputs.shape[2], memory.size) for name in memory.names}
    outputs: list[Tensor] = []
    stored: dict[str, list[Tensor]] = {name: [] for name in memory.names}
    for t, row in enumerate(inputs):
        if t % length == 0:
            for name in memory.names:
                stored[name].append(state[name])
        step, state = memory(row[:, None], state)
        outputs.append(step[:, 0])
        fresh = torch.tensor(ends[t])[:, None, None]
        state = {name: torch.where(fresh, 0.0, entry) for name, entry in state.items()}
    return torch.stack(outputs), {name: torch.stack(rows).numpy() for name, rows in stored.items()}


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(KINDS),
    steps=st.integers(1, 12),
    length=st.integers(1, 14),
    rate=st.sampled_from([0.0, 0.2, 0.6]),
)
def test_sequences_repeat_what_was_computed_step_by_step(
    seed: int, kind: MemoryKind, steps: int, length: int, rate: float
) -> None:
    torch.manual_seed(seed)
    memory, ends = Memory(3, 4, kind=kind), random_ends(seed, steps, 3, rate)
    inputs = torch.randn(steps, 3, 2, 3)
    with torch.no_grad():
        expected, stored = unrolled(memory, inputs, ends, length)
        cut = cut_sequences(ends, length)
        states = {name: torch.as_tensor(cut.states(entry)) for name, entry in stored.items()}
        outputs, _ = memory(cut.gather(inputs), states)
    mask = torch.tensor(cut.mask)
    torch.testing.assert_close(outputs[mask], cut.gather(expected)[mask], atol=1e-6, rtol=1e-5)


def test_stored_states_matter_for_sequences_amid_an_episode() -> None:
    memory, ends = Memory(3, 4, kind="gru"), np.zeros((8, 2), dtype=bool)
    inputs = torch.randn(8, 2, 1, 3)
    with torch.no_grad():
        expected, _ = unrolled(memory, inputs, ends, 4)
        cut = cut_sequences(ends, 4)
        outputs, _ = memory(cut.gather(inputs), memory.initial_state(len(cut), 1))
    assert (outputs - cut.gather(expected))[2:].abs().max() > 1e-3


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    steps=st.integers(1, 20),
    envs=st.integers(1, 4),
    length=st.integers(1, 22),
    rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_every_step_lies_in_exactly_one_sequence_of_one_episode(
    seed: int, steps: int, envs: int, length: int, rate: float
) -> None:
    ends = random_ends(seed, steps, envs, rate)
    cut = cut_sequences(ends, length)
    assert cut.index.shape == cut.mask.shape == (len(cut), length)
    assert np.array_equal(np.sort(cut.index[cut.mask]), np.arange(steps * envs))
    assert np.array_equal(cut.mask.sum(axis=1), cut.steps)
    for row in range(len(cut)):
        start, column, count = cut.start[row], cut.column[row], cut.steps[row]
        assert not ends[start : start + count - 1, column].any()
        assert start // length == (start + count - 1) // length
        after_end = start > 0 and ends[start - 1, column]
        assert cut.grid[row] == (-1 if after_end else start / length)


def test_cuts_of_a_hand_made_block() -> None:
    ends = np.zeros((5, 2), dtype=bool)
    ends[2, 1] = True
    cut = cut_sequences(ends, 2)
    assert cut.start.tolist() == [0, 0, 2, 2, 3, 4, 4]
    assert cut.column.tolist() == [0, 1, 0, 1, 1, 0, 1]
    assert cut.steps.tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert cut.grid.tolist() == [0, 0, 1, 1, -1, 2, 2]
    assert cut.index[:4].tolist() == [[0, 2], [1, 3], [4, 6], [5, 5]]
    assert not cut.regular


@given(seed=st.integers(0, 10_000), length=st.integers(1, 6), end_rate=st.sampled_from([0.0, 0.2, 0.6]))
@settings(deadline=None, max_examples=40)
def test_sequences_of_absence_are_left_out_and_the_others_are_as_they_were(
    seed: int, length: int, end_rate: float
) -> None:
    rng = np.random.default_rng(seed)
    ends = rng.random((9, 4)) < end_rate
    # From one end to the next an agent is there or is not.
    life = np.cumsum(ends, axis=0) - ends
    alive = (rng.random((10, 4)) < 0.5)[life, np.arange(4)]
    whole, cut = cut_sequences(ends, length), cut_sequences(ends, length, alive=alive)
    there = alive[whole.start, whole.column]
    for name in ("column", "start", "steps", "grid", "index", "mask"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name)[there])
    steps = np.arange(36).reshape(9, 4)
    assert sorted(cut.gather(steps)[cut.mask]) == steps[alive].tolist()


@pytest.mark.parametrize("last", [False, True])
def test_lockstep_episodes_are_cut_by_a_reshape(last: bool) -> None:
    ends = np.zeros((12, 3), dtype=bool)
    ends[5] = True
    ends[-1] = last
    cut = cut_sequences(ends, 3)
    assert cut.regular
    array = np.arange(12 * 3 * 2).reshape(12, 3, 2)
    assert np.array_equal(cut.gather(array), array.reshape(36, 2)[cut.index])
    assert np.array_equal(cut.gather(torch.tensor(array)).numpy(), cut.gather(array))


def test_states_after_an_end_are_the_initial_ones() -> None:
    ends = np.array([[False], [True], [False]])
    stored = np.arange(1.0, 4.0).reshape(3, 1, 1)
    assert cut_sequences(ends, 1).states(stored).ravel().tolist() == [1.0, 2.0, 0.0]
    assert stored.min() == 1.0


def test_padding_does_not_reach_valid_steps() -> None:
    memory = Memory(3, 4, kind="lstm")
    inputs, changed = torch.randn(2, 6, 1, 3), torch.zeros(2, 6, 1, 3)
    changed[:] = inputs
    changed[:, 4:] = 1e3
    state = memory.initial_state(2, 1)
    assert torch.equal(memory(inputs, state)[0][:, :4], memory(changed, state)[0][:, :4])


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_remembered_apart_with_equal_weights(kind: MemoryKind) -> None:
    memory, order = Memory(3, 4, kind=kind), torch.tensor([2, 0, 1])
    inputs, state = torch.randn(2, 5, 3, 3), {n: torch.randn(2, 3, 4) for n in Memory(1, 1, kind=kind).names}
    outputs, after = memory(inputs, state)
    moved, moved_after = memory(inputs[:, :, order], {name: entry[:, order] for name, entry in state.items()})
    torch.testing.assert_close(moved, outputs[:, :, order])
    torch.testing.assert_close(moved_after["h"], after["h"][:, order])
    assert outputs.shape == (2, 5, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_flat_inputs_need_no_rows_and_the_state_carries_on(kind: MemoryKind) -> None:
    memory, inputs = Memory(3, 4, kind=kind), torch.randn(2, 6, 3)
    start = {name: torch.zeros(2, 4) for name in memory.names}
    whole, end = memory(inputs, start)
    first, middle = memory(inputs[:, :2], start)
    second, last = memory(inputs[:, 2:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    for name in memory.names:
        torch.testing.assert_close(last[name], end[name])


def test_a_residual_memory_adds_nothing_until_it_is_trained() -> None:
    torch.manual_seed(0)
    layer, embedded = ResidualMemory(3, 4, kind="gru"), torch.randn(2, 5, 3)
    state = layer.memory.initial_state(2)
    assert torch.equal(layer(embedded, state)[0], embedded)
    layer(embedded, state)[0].square().mean().backward()
    assert layer.project.weight.grad is not None
    assert layer.project.weight.grad.abs().max() > 0


def test_faults_are_named() -> None:
    with pytest.raises(InputError, match="memory = 'rnn'"):
        Memory(3, 4, kind="rnn")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="length = 0"):
        cut_sequences(np.zeros((3, 2), dtype=bool), 0)
