"""Whether speed per product holds as worlds grow, with networks that share their weights over products."""

from __future__ import annotations

from collections.abc import Mapping

from invrec_rllib.benchmarks.paths import (
    Figures,
    built,
    fast_config,
    iterate,
    mtmappo_config,
    sample_once,
    settings_of_whole_episodes,
)
from invrec_rllib.benchmarks.profiling import shares_of
from invrec_rllib.benchmarks.turns import check_rounds, fastest_turns
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.scenario import load_scenario

# So many environments that a batch holds products enough, and its arrays fit into memory.
ENVS_BY_WORLD = {"paper": 64, "large": 8, "huge": 2}
_NETWORK = {"network": "product", "hidden": 32, "cell_hidden": 16}
_ALGORITHMS = {"fast": fast_config, "mtmappo": mtmappo_config}


def measure_scale(
    envs_by_world: Mapping[str, int] | None = None, *, rounds: int = 2, seed: int = 0
) -> Figures:
    """Sample and train by the fast runner in worlds of several sizes, in turns, on one core.

    Args:
        envs_by_world: number of environments by scenario, the reference first; an iteration is one episode of
            each. None: `ENVS_BY_WORLD`.
        rounds: turns of each world; the fastest counts.
        seed: of worlds and networks.

    Returns:
        `products_per_second`: env steps per second times products, of sampling and of whole iterations, by
        algorithm (`fast`: RLlib's PPO; `mtmappo`) and world, such as `sampling_fast_huge`; `ratios` to the first
        world (`sampling_products_W_vs_V`, `iteration_products_W_vs_V`, and with `mtmappo_` before W), `shares` of
        an iteration's time (`products_fast_W`, see `profiling.shares_of`), and the `workload`.

    Raises:
        InputError: `rounds` is below 1.
    """
    check_rounds(rounds)
    worlds = dict(ENVS_BY_WORLD if envs_by_world is None else envs_by_world)
    settings = {
        world: settings_of_whole_episodes(world, envs=envs, seed=seed, **_NETWORK)
        for world, envs in worlds.items()
    }
    found: Figures = {"products_per_second": {}, "ratios": {}, "shares": {}}
    for algorithm in _ALGORITHMS:
        for key, figures in _measure(algorithm, settings, rounds=rounds).items():
            found[key].update(figures)
    sizes = {
        world: {"envs": envs, "env_steps": settings[world].steps_per_iteration}
        for world, envs in worlds.items()
    }
    return {**found, "workload": {"scale": {**_NETWORK, "worlds": sizes}}}


def _measure(algorithm: str, settings: Mapping[str, TrainSettings], *, rounds: int) -> Figures:
    with built({world: _ALGORITHMS[algorithm](each) for world, each in settings.items()}) as algorithms:
        work = {("sampling", world): sample_once(each.env_runner) for world, each in algorithms.items()}
        work |= {("iteration", world): iterate(each) for world, each in algorithms.items()}
        speeds = fastest_turns(work, rounds=rounds)
        shares = {
            f"products_{algorithm}_{world}": shares_of(each, iterations=1)
            for world, each in algorithms.items()
        }
    products = {world: load_scenario(world).products.count for world in settings}
    rates = {(what, world): speed * products[world] for (what, world), speed in speeds.items()}
    reference = next(iter(settings))
    marked = "" if algorithm == "fast" else f"{algorithm}_"
    return {
        "products_per_second": {f"{what}_{algorithm}_{world}": rate for (what, world), rate in rates.items()},
        "ratios": {
            f"{what}_products_{marked}{world}_vs_{reference}": rate / rates[what, reference]
            for (what, world), rate in rates.items()
            if world != reference
        },
        "shares": shares,
    }
