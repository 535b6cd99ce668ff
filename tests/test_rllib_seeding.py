"""Seeds of episodes: distinct over runners, environments and episodes, and reproducible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rllib_adapter import QUIET_RAY, Toy, start_toy_ray, toy_config

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.env_creators import AdapterCreator
from invrec_rllib.rllib.quiet import build_quietly, stop_ray
from invrec_rllib.rllib.seeding import EpisodeSeeds, describe_seeding, episode_seed

WORDS = st.integers(0, 2**32 - 1)
ADDRESSES = st.tuples(st.integers(0, 2**128 - 1), WORDS, WORDS, WORDS, WORDS)


def seed_at(address: tuple[int, int, int, int, int]) -> int:
    run_seed, worker_index, env_index, episode, stream = address
    return episode_seed(
        run_seed, worker_index=worker_index, env_index=env_index, episode=episode, stream=stream
    )


@pytest.fixture
def open_seeds() -> Iterator[list[EpisodeSeeds]]:
    """Seeds to close at the end, whatever the test does."""
    opened: list[EpisodeSeeds] = []
    yield opened
    for seeds in opened:
        seeds.close()


@given(ADDRESSES, ADDRESSES)
def test_episodes_with_different_addresses_have_different_seeds(one: Any, other: Any) -> None:
    assert (seed_at(one) == seed_at(other)) == (one == other)
    assert 0 <= seed_at(one) < 2**63


def test_neighbouring_runners_environments_and_runs_share_no_seed() -> None:
    seeds = [
        episode_seed(run, worker_index=worker, env_index=env, episode=episode)
        for run in range(3)
        for worker in range(4)
        for env in range(16)
        for episode in range(20)
    ]
    assert len(set(seeds)) == len(seeds) == 3 * 4 * 16 * 20


def test_the_seed_is_the_documented_hash_of_the_address() -> None:
    words = np.random.SeedSequence(7, spawn_key=(1, 2, 3, 0, 4)).generate_state(1, np.uint64)
    assert episode_seed(7, worker_index=2, env_index=3, episode=4, stream=1) == int(words[0]) // 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_seed": -1}, r"run_seed must be an integer in \[0, 2\*\*128\), got -1"),
        ({"run_seed": 2**128}, "run_seed"),
        ({"worker_index": 2**32}, r"worker_index must be an integer in \[0, 2\*\*32\)"),
        ({"episode": 1.5}, "episode must be an integer"),
        ({"env_index": True}, "env_index must be an integer"),
    ],
)
def test_a_seed_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    arguments = {"run_seed": 1, "worker_index": 0, "env_index": 0, "episode": 0} | change
    with pytest.raises(InputError, match=message):
        episode_seed(arguments.pop("run_seed"), **arguments)


def test_environments_open_at_once_in_a_process_get_indices_of_their_own(
    open_seeds: list[EpisodeSeeds],
) -> None:
    open_seeds.extend(EpisodeSeeds(99, worker_index=5) for _ in range(3))
    open_seeds.append(EpisodeSeeds(99, worker_index=6))
    assert [seeds.env_index for seeds in open_seeds] == [0, 1, 2, 0]
    open_seeds[1].close()
    open_seeds[1].close()
    open_seeds.append(EpisodeSeeds(99, worker_index=5))
    assert open_seeds[-1].env_index == 1


def test_an_adapter_that_is_dropped_without_close_frees_its_index() -> None:
    adapter = ParallelEnvAdapter(Toy(), seeds=EpisodeSeeds(98))
    del adapter
    again = EpisodeSeeds(98)
    assert again.env_index == 0
    again.close()


def test_rllibs_seed_does_not_count_beside_a_run_seed(open_seeds: list[EpisodeSeeds]) -> None:
    open_seeds.append(EpisodeSeeds(3, worker_index=1))
    expected = [episode_seed(3, worker_index=1, env_index=0, episode=episode) for episode in range(3)]
    assert [open_seeds[0].next(offered) for offered in (42, 1042, None)] == expected
    assert open_seeds[0].record()["episode"] == 2


def test_without_a_run_seed_rllibs_seed_is_the_root_and_its_repetition_brings_new_episodes(
    open_seeds: list[EpisodeSeeds],
) -> None:
    open_seeds.append(EpisodeSeeds(None, worker_index=1))
    drawn = [open_seeds[0].next(offered) for offered in (None, 11, None, 11)]
    assert drawn[1:] == [
        episode_seed(11, worker_index=1, env_index=0, episode=episode) for episode in (1, 2, 3)
    ]
    assert drawn[0] != episode_seed(11, worker_index=1, env_index=0, episode=0)


def test_the_environment_check_s_seed_does_not_become_the_root() -> None:
    adapters = [AdapterCreator(lambda options: Toy())({}) for _ in range(2)]
    for adapter in adapters:
        adapter.reset(seed=42, options={})
        adapter.reset(seed=None, options=None)
    assert len({adapter.par_env.seeds_seen[1] for adapter in adapters}) == 2
    assert all(adapter.seeds.record()["run_seed"] != 42 for adapter in adapters)
    for adapter in adapters:
        adapter.close()


def test_a_restarted_runner_does_not_replay_its_episodes(open_seeds: list[EpisodeSeeds]) -> None:
    open_seeds.extend(EpisodeSeeds(4, worker_index=w, restarted=True) for w in (1, 2))
    assert all(seeds.restart > 0 for seeds in open_seeds)
    assert open_seeds[0].next() != episode_seed(4, worker_index=1, env_index=0, episode=0)


def test_the_manifest_entry_holds_the_seeds_that_the_environments_get(open_seeds: list[EpisodeSeeds]) -> None:
    entry = json.loads(json.dumps(describe_seeding(17, num_env_runners=2, num_envs_per_env_runner=2)))
    open_seeds.extend(EpisodeSeeds(17, worker_index=2) for _ in range(2))
    assert entry["first_seeds"]["2/1"] == [open_seeds[1].next(), open_seeds[1].next()]
    assert sorted(entry["first_seeds"]) == ["1/0", "1/1", "2/0", "2/1"]
    assert list(describe_seeding(17, num_env_runners=0, num_envs_per_env_runner=1)["first_seeds"]) == ["0/0"]


@pytest.mark.slow
@QUIET_RAY
@pytest.mark.parametrize(("run_seed", "rllib_seed"), [(5, None), (None, 5), (None, None)])
def test_two_remote_runners_with_16_environments_each_play_distinct_episodes(
    run_seed: int | None, rllib_seed: int | None
) -> None:
    start_toy_ray()
    config = toy_config(num_env_runners=2, num_envs_per_env_runner=16, run_seed=run_seed)
    algorithm = build_quietly(config.debugging(seed=rllib_seed))
    seeds = algorithm.env_runner_group.foreach_env_runner(_play_and_list_seeds, local_env_runner=False)
    algorithm.stop()
    environments = [env for runner in seeds for env in runner]
    episodes = [seed for env in environments for seed in env]
    assert len(environments) == 32
    assert all(len(env) >= 3 for env in environments)
    assert len(set(episodes)) == len(episodes)
    if run_seed is not None:
        entry = describe_seeding(run_seed, num_env_runners=2, num_envs_per_env_runner=16)
        assert sorted(env[:2] for env in environments) == sorted(entry["first_seeds"].values())


@pytest.fixture(scope="module", autouse=True)
def _no_ray_left_behind() -> Iterator[None]:
    yield
    stop_ray()


def _play_and_list_seeds(runner: Any) -> list[list[int]]:
    runner.sample(num_timesteps=16 * 8, random_actions=True)
    return [env.unwrapped.par_env.seeds_seen for env in runner.env.envs]
