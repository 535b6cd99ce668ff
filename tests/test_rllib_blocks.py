"""Blocks: cut by whole environments, as RLlib's sharding asks for it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from ray.rllib.utils.minibatch_utils import ShardEpisodesIterator

from invrec_rllib.env.batched import Look
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.blocks import Block


def make_block(*, steps: int, envs: int) -> Block:
    """A block whose observation of step t in environment b is (t, b); environment b ends in step b, if any."""
    t, b = np.meshgrid(np.arange(steps), np.arange(envs), indexing="ij")
    seen = np.stack([t, b], axis=-1).astype(np.float32)
    truncated = t == b
    ends = np.argwhere(truncated)
    last = np.stack([np.full(envs, steps), np.arange(envs)], axis=-1).astype(np.float32)
    return Block(
        policy_of={"a": "p"},
        observations={"a": seen},
        actions={"a": seen[..., :1].copy()},
        dist_inputs={"a": seen},
        logp={"a": seen[..., 0].copy()},
        rewards={"a": seen[..., 1].copy()},
        states=seen,
        decides={"a": truncated},
        terminated=np.zeros_like(truncated),
        truncated=truncated,
        last=Look({"a": last}, last, {"a": last[:, 0] > 0}),
        final_index=ends,
        final=Look({"a": ends.astype(np.float32)}, ends.astype(np.float32), None),
        memory={"a": {"h": seen[::2].copy()}},
        memory_every=2,
    )


def shard(blocks: list[Block], num_shards: int) -> list[list[Block]]:
    """What RLlib gives each of several learners."""
    sharder: Any = ShardEpisodesIterator
    return list(sharder(blocks, num_shards=num_shards))


def test_a_slice_holds_whole_environments_and_their_own_ends() -> None:
    block = make_block(steps=3, envs=5)
    part = block.slice(slice(3, 12))
    assert len(block) == 15
    assert part.env_steps() == len(part) == 9
    assert part.agent_steps() == 9
    np.testing.assert_array_equal(part.observations["a"][0, :, 1], [1, 2, 3])
    np.testing.assert_array_equal(part.memory["a"]["h"][0, :, 1], [1, 2, 3])
    np.testing.assert_array_equal(part.last.observations["a"][:, 1], [1, 2, 3])
    # Environments 1 and 2 ended in steps 1 and 2; they are columns 0 and 1 of the part.
    np.testing.assert_array_equal(part.final_index, [[1, 0], [2, 1]])
    assert part.final is not None
    np.testing.assert_array_equal(part.final.observations["a"], [[1, 1], [2, 2]])
    assert part.id_ != block.id_


def test_a_slice_without_an_end_has_no_final_look() -> None:
    part = make_block(steps=3, envs=5)[9:]
    assert part.final is None
    assert part.final_index.shape == (0, 2)


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("sizes", [[(3, 5)], [(4, 8)], [(10, 7), (10, 7)], [(5, 1), (3, 9)], [(5, 1)]])
def test_rllib_shards_blocks_without_losing_or_doubling_a_step(
    shards: int, sizes: list[tuple[int, int]]
) -> None:
    blocks = [make_block(steps=steps, envs=envs) for steps, envs in sizes]
    parts = shard(blocks, shards)
    assert len(parts) == shards
    steps = sum(len(part) for share in parts for part in share)
    assert steps == sum(len(block) for block in blocks)
    seen = [tuple(row) for share in parts for part in share for row in part.rewards["a"].T]
    expected = [tuple(row) for block in blocks for row in block.rewards["a"].T]
    assert sorted(seen) == sorted(expected)


def test_shards_are_equal_where_environments_divide() -> None:
    parts = shard([make_block(steps=6, envs=8)], 4)
    assert [sum(len(part) for part in share) for share in parts] == [12, 12, 12, 12]


def test_a_block_travels_by_buffers_without_copies_of_its_arrays() -> None:
    block = make_block(steps=50, envs=40)
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(block, protocol=5, buffer_callback=buffers.append)
    assert len(data) < 5_000
    again = pickle.loads(data, buffers=buffers)
    np.testing.assert_array_equal(again.observations["a"], block.observations["a"])
    assert again.id_ == block.id_


def test_a_slice_with_a_step_is_refused() -> None:
    with pytest.raises(InputError, match="step 2"):
        make_block(steps=3, envs=5)[::2]
