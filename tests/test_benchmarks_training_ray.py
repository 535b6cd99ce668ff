"""The training benchmark's parts under Ray, in the smallest numbers: that they run, and what they report."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from invrec_rllib.benchmarks.asynchronous import measure_asynchronous
from invrec_rllib.benchmarks.fast_runner import measure_sampling
from invrec_rllib.benchmarks.iteration import measure_iterations
from invrec_rllib.benchmarks.memory import measure_memory
from invrec_rllib.benchmarks.paths import built, fast_config, settings_of_whole_episodes
from invrec_rllib.benchmarks.profiling import profile_iterations
from invrec_rllib.benchmarks.runners import measure_runners
from invrec_rllib.benchmarks.scale import measure_scale
from invrec_rllib.rllib.quiet import start_ray, stop_ray

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and the pipes of its processes to the garbage collector when it stops.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
HORIZON = 30  # of the preset "tiny"
SHARES = {
    "simulator",
    "forward_passes",
    "rest_of_sampling",
    "connector",
    "learner_forward",
    "learner_backward",
    "learner_optimizer",
    "rest_of_learner",
    "rest",
}


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """One small Ray for all parts that need one."""
    start_ray(4)
    yield
    stop_ray()


def test_sampling_is_compared_with_rllibs_and_a_bare_loop() -> None:
    found = measure_sampling("tiny", envs=4, stock_envs=(1, 2), seconds=0.0, rounds=1)
    speeds, ratios = found["env_steps_per_second"], found["ratios"]
    assert set(speeds) == {"stock_1", "stock_2", "fast_4", "mtmappo_4", "bare_4"}
    assert ratios["sampling_vs_stock_1_env"] == speeds["fast_4"] / speeds["stock_1"]
    assert ratios["sampling_vs_stock_best"] == speeds["fast_4"] / max(speeds["stock_1"], speeds["stock_2"])
    assert ratios["sampling_vs_bare_loop"] == speeds["fast_4"] / speeds["bare_4"]


def test_whole_iterations_are_compared_with_rllib_at_its_best() -> None:
    found = measure_iterations("tiny", episodes=2, stock_envs=(1, 2), rounds=1)
    speeds, ratios = found["env_steps_per_second"], found["ratios"]
    assert set(speeds) == {
        "iteration_stock_1",
        "iteration_stock_2",
        "iteration_ours",
        "iteration_fast",
        "iteration_mtmappo",
    }
    best = max(speeds["iteration_stock_1"], speeds["iteration_stock_2"])
    assert ratios["iteration_vs_stock_best"] == speeds["iteration_ours"] / best
    assert ratios["iteration_fast_vs_stock_best"] == speeds["iteration_fast"] / best
    assert ratios["iteration_mtmappo_vs_stock_best"] == speeds["iteration_mtmappo"] / best
    assert found["workload"]["iteration"]["env_steps"] == 2 * HORIZON


def test_worlds_of_several_sizes_are_compared_by_product() -> None:
    found = measure_scale({"tiny": 2, "paper": 1}, rounds=1)
    rates, ratios = found["products_per_second"], found["ratios"]
    assert ratios["sampling_products_paper_vs_tiny"] == pytest.approx(
        rates["sampling_fast_paper"] / rates["sampling_fast_tiny"]
    )
    assert ratios["iteration_products_mtmappo_paper_vs_tiny"] == pytest.approx(
        rates["iteration_mtmappo_paper"] / rates["iteration_mtmappo_tiny"]
    )
    assert len(ratios) == 4
    assert set(found["shares"]) == {
        f"products_{path}_{world}" for path in ("fast", "mtmappo") for world in ("tiny", "paper")
    }
    assert found["workload"]["scale"]["worlds"]["tiny"] == {"envs": 2, "env_steps": 2 * HORIZON}


def test_two_remote_runners_are_compared_with_one() -> None:
    found = measure_runners("tiny", envs=2, seconds=0.0, rounds=1)
    speeds = found["env_steps_per_second"]
    assert found["ratios"] == {"two_runners_vs_one": speeds["remote_runners_2"] / speeds["remote_runners_1"]}


def test_memory_is_looked_at_in_processes_of_their_own() -> None:
    found = measure_memory("tiny", episodes=1, iterations=(1, 2))
    assert set(found["megabytes"]) == {"stock", "fast", "mtmappo"}
    for held in found["megabytes"].values():
        # Torch and RLlib alone are hundreds; a test's process is no part of it.
        assert 100 < held["resident"] <= held["peak"] < 5_000
    assert found["megabytes"]["fast"]["resident_2"] >= 100
    assert {"memory_vs_stock", "memory_2_vs_1_iterations"} <= set(found["ratios"])


def test_impala_learns_from_either_runner() -> None:
    found = measure_asynchronous("tiny", algorithms=["impala"], episodes=2, seconds=0.0, rounds=1)
    speeds = found["env_steps_per_second"]
    assert set(speeds) == {"impala_stock", "impala_fast"}
    assert found["ratios"] == {"impala_vs_stock": speeds["impala_fast"] / speeds["impala_stock"]}


def test_an_iteration_is_split_into_all_that_it_consists_of() -> None:
    found = profile_iterations("tiny", episodes=2, iterations=1)
    assert set(found["shares"]) == set(found["hot_spots"]) == {"fast", "mtmappo"}
    for path in ("fast", "mtmappo"):
        shares = found["shares"][path]
        assert set(shares) == SHARES
        # Were a method no longer called, its work would hide in the rest.
        assert min(shares.values()) > 0
        assert sum(shares.values()) == pytest.approx(1.0)
        spots = list(found["hot_spots"][path].values())
        assert spots == sorted(spots, reverse=True)
        assert 0.2 < sum(spots) <= 1.0


def test_configurations_made_before_their_rays_run_in_each() -> None:
    # The last test of the file: it stops the Ray that the others share.
    stop_ray()
    settings = settings_of_whole_episodes("tiny", envs=2, seed=0, env_runners=1)
    for config in [fast_config(settings), fast_config(settings)]:
        with built({"fast": config}, cpus=2) as algorithms:
            assert algorithms["fast"].env_runner_group.num_healthy_remote_workers() == 1
