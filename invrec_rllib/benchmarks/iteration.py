"""How fast whole training iterations are: fast sampling against RLlib's own, around the same learner."""

from __future__ import annotations

from invrec_rllib.benchmarks.paths import (
    EPOCHS,
    HIDDEN,
    Figures,
    built,
    fast_config,
    iterate,
    mtmappo_config,
    settings_of_whole_episodes,
    stock_config,
)
from invrec_rllib.benchmarks.turns import check_rounds, fastest_turns

_STOCK_ENVS = (8, 16, 32, 64)


def measure_iterations(
    scenario: str = "paper",
    *,
    episodes: int = 64,
    stock_envs: tuple[int, ...] = _STOCK_ENVS,
    rounds: int = 3,
    seed: int = 0,
) -> Figures:
    """Sample a batch and learn from it, in the training process, on one core, through each path in turn.

    All have the same batch, minibatches, epochs and PPO's settings, and networks of two 256-unit layers. RLlib's own
    path is its `ParallelPettingZooEnv`, `MultiAgentEnvRunner`, learner pipeline and PPO learner; the fast one is the
    same learner fed with blocks.

    Args:
        scenario: preset name or file.
        episodes: whole episodes of an iteration, and environments of the fast runner.
        stock_envs: numbers of environments per runner to try for RLlib's own.
        rounds: iterations of each path; the fastest counts.
        seed: of worlds and networks.

    Returns:
        `env_steps_per_second` of whole iterations (`iteration_stock_E` with E environments; `iteration_ours`;
        `iteration_fast`: RLlib's PPO learner fed by the fast runner; `iteration_mtmappo`: MTMA-PPO with one shared
        critic of the global state), `ratios` to RLlib's own at its best (`iteration_vs_stock_best`: ours;
        `iteration_fast_vs_stock_best`, `iteration_mtmappo_vs_stock_best`) and the `workload`.

    Raises:
        InputError: `rounds` is below 1.
    """
    check_rounds(rounds)
    settings = settings_of_whole_episodes(scenario, envs=episodes, seed=seed)
    configs = {
        **{f"iteration_stock_{count}": stock_config(settings, envs=count) for count in stock_envs},
        "iteration_ours": mtmappo_config(settings.model_copy(update={"critic": "own"})),
        "iteration_fast": fast_config(settings),
        "iteration_mtmappo": mtmappo_config(settings),
    }
    with built(configs) as algorithms:
        paths = {name: iterate(algorithm) for name, algorithm in algorithms.items()}
        speeds = fastest_turns(paths, rounds=rounds)
    best = max(speeds[f"iteration_stock_{count}"] for count in stock_envs)
    return {
        "env_steps_per_second": dict(speeds),
        "ratios": {
            "iteration_vs_stock_best": speeds["iteration_ours"] / best,
            "iteration_fast_vs_stock_best": speeds["iteration_fast"] / best,
            "iteration_mtmappo_vs_stock_best": speeds["iteration_mtmappo"] / best,
        },
        "workload": {
            "iteration": {
                "env_steps": settings.steps_per_iteration,
                "minibatch": settings.minibatch_size,
                "epochs": EPOCHS,
                "hidden_layers": [HIDDEN, HIDDEN],
            }
        },
    }
