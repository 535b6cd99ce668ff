"""What training costs on a cluster: measured here on a few processes, predicted for many."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm

from invrec_rllib.benchmarks.cost_model import Costs, Layout, Network, predict
from invrec_rllib.benchmarks.paths import (
    EPOCHS,
    MINIBATCHES,
    built,
    iterate,
    mtmappo_config,
    settings_of_whole_episodes,
)
from invrec_rllib.benchmarks.simulator import describe_machine
from invrec_rllib.benchmarks.stopwatch import Watched, own_time
from invrec_rllib.benchmarks.turns import check_rounds, fastest_turns
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings

_UPDATES = MINIBATCHES * EPOCHS
# Runners and learners whose iterations are measured, and compared with the model.
_CHECKED = ((1, 0), (2, 0), (4, 0), (1, 1), (2, 2))
# Episodes of each runner's own batch where the iteration grows with the cluster.
_GROWN = 16


def benchmark_cluster(
    scenario: str = "paper",
    *,
    cores: Sequence[int] = (10, 100, 1000),
    episodes: int = 64,
    gigabits: float = 10.0,
    rounds: int = 3,
    seed: int = 0,
    checked: Sequence[tuple[int, int]] = _CHECKED,
) -> dict[str, Any]:
    """Measure what iterations consist of, check the model of it on this machine, and predict larger clusters.

    MTMA-PPO with `invrec train`'s networks. Layouts of a prediction: one learner in the training process and
    runners on all other cores, the iteration as here and grown with the runners; and, grown, with a learner for
    every ten cores.

    Args:
        scenario: preset name or file.
        cores: of the clusters to predict, each >= 2.
        episodes: whole episodes of an iteration here.
        gigabits: per second of a node's link, > 0.
        rounds: iterations of each layout that is checked; the fastest counts.
        seed: of worlds and networks.
        checked: (runners, learners) whose iterations are measured.

    Returns:
        `costs` (see `Costs`), `network`, `checked` and `predicted`: rows with the layout, `sampling`, `network` and
        `learning` in seconds, `seconds`, `env_steps_per_second` and `binds`; those of `checked` with
        `measured_seconds` and `predicted_over_measured`; and `machine`.

    Raises:
        InputError: `rounds` is below 1, `gigabits` not above 0, or a layout is not possible.
    """
    check_rounds(rounds)
    if gigabits <= 0.0:
        raise InputError(f"gigabits must be above 0, got {gigabits:g}")
    if min(cores, default=2) < 2:
        raise InputError(f"cores must be at least 2 each, got {', '.join(map(str, cores))}")
    settings = settings_of_whole_episodes(
        scenario, envs=episodes, seed=seed, algo="mtmappo", network="product", hidden=TrainSettings().hidden
    )
    machine = describe_machine()
    costs = measure_costs(settings, rounds=rounds)
    network = Network(bytes_per_second=gigabits * 1e9 / 8)
    here = [Layout(machine["cores"], runners, learners, episodes, _UPDATES) for runners, learners in checked]
    measured = [_measured(settings, layout, rounds=rounds) for layout in here]
    rows = []
    for layout, seconds in zip(here, measured, strict=True):
        row = _row(costs, layout, network)
        rows.append({**row, "measured_seconds": seconds, "predicted_over_measured": row["seconds"] / seconds})
    return {
        "scenario": scenario,
        "costs": asdict(costs),
        "network": asdict(network),
        "checked": rows,
        "predicted": [
            _row(costs, layout, network) for count in cores for layout in _layouts(count, episodes=episodes)
        ],
        "machine": machine,
    }


def _layouts(cores: int, *, episodes: int) -> list[Layout]:
    runners, learners = cores - 1, max(cores // 10, 1)
    grown = max(episodes, _GROWN * runners)
    return [
        Layout(cores, runners, 0, episodes, _UPDATES),
        Layout(cores, runners, 0, grown, _UPDATES),
        Layout(cores, runners - learners, learners, grown, _UPDATES),
    ]


def _row(costs: Costs, layout: Layout, network: Network) -> dict[str, Any]:
    found = predict(costs, layout, network=network)
    return {
        **asdict(layout),
        **asdict(found),
        "seconds": found.seconds,
        "env_steps_per_second": found.steps_per_second,
        "binds": found.binds,
    }


def measure_costs(settings: TrainSettings, *, rounds: int = 3) -> Costs:
    """Time the parts of an iteration in this process, and what it takes to hand blocks and weights on.

    Args:
        settings: of a run whose iteration is one episode of each environment.
        rounds: of each measurement; the fastest counts.
    """
    envs = settings.envs_per_runner
    few, small = max(envs // 8, 1), max(settings.minibatch_size // 8, 1)
    with built(
        {
            "all": mtmappo_config(settings),
            "few": mtmappo_config(_resized(settings, episodes=few)),
            "small": mtmappo_config(settings.model_copy(update={"minibatch_size": small})),
        }
    ) as algorithms:
        sampling = {name: _sampling_seconds(algorithms[name], rounds=rounds) for name in ("all", "few")}
        learning = {name: _learning_seconds(algorithms[name], rounds=rounds) for name in ("all", "small")}
        (block,) = algorithms["all"].env_runner.sample()
        weight_bytes = _bytes(algorithms["all"].env_runner.module.get_state(inference_only=True))
        # RLlib hands a local learner out in no other way.
        learner: Any = algorithms["all"].learner_group._learner  # type: ignore[union-attr]
        gradient_bytes = _bytes(learner.module.get_state())
        copy_seconds = _copy_seconds(block, rounds=rounds)
    periods = settings.steps_per_iteration // envs
    step_seconds = max(sampling["all"] - sampling["few"], 0.0) / (periods * max(envs - few, 1))
    updates = EPOCHS * settings.steps_per_iteration / settings.minibatch_size
    more = EPOCHS * settings.steps_per_iteration / small - updates
    update_seconds = max(learning["small"] - learning["all"], 0.0) / max(more, 1.0)
    return Costs(
        periods=periods,
        batch_step_seconds=max(sampling["all"] / periods - step_seconds * envs, 0.0),
        env_step_seconds=step_seconds,
        block_bytes=_bytes(block) / len(block),
        copy_seconds=copy_seconds,
        weight_bytes=weight_bytes,
        call_seconds=_call_seconds(settings, rounds=rounds),
        update_seconds=update_seconds,
        learn_seconds=max(learning["all"] - updates * update_seconds, 0.0) / settings.steps_per_iteration,
        gradient_bytes=gradient_bytes,
    )


def _bytes(state: Any) -> int:
    """As it is sent."""
    return len(pickle.dumps(state, protocol=5))


def _resized(settings: TrainSettings, *, episodes: int, **others: Any) -> TrainSettings:
    """The same with an iteration of so many episodes, by as many environments."""
    periods = settings.steps_per_iteration // settings.envs_per_runner
    steps = episodes * periods
    changes = {
        "envs_per_runner": episodes,
        "steps_per_iteration": steps,
        "minibatch_size": -(-steps // MINIBATCHES),
        **others,
    }
    return TrainSettings(**{**settings.model_dump(), **changes})


def _sampling_seconds(algorithm: Algorithm, *, rounds: int) -> float:
    runner: Any = algorithm.env_runner
    speeds = fastest_turns({"sample": lambda: sum(map(len, runner.sample()))}, rounds=rounds)
    steps = algorithm.config.train_batch_size_per_learner  # type: ignore[union-attr]
    return float(steps / speeds["sample"])


def _learning_seconds(algorithm: Algorithm, *, rounds: int) -> float:
    """Of an iteration, but for its sampling."""
    watched = [
        Watched(type(algorithm.env_runner), "sample", "sampling"),
        Watched(type(algorithm), "train", "learning"),
    ]
    best = float("inf")
    for _ in range(rounds):
        with own_time(watched) as seconds:
            algorithm.train()
        best = min(best, seconds["learning"])
    return best


def _copy_seconds(block: Any, *, rounds: int) -> float:
    """Per byte of a block that is put into Ray's object store and read from it."""
    size, best = _bytes(block), float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        ray.get(ray.put(block))
        best = min(best, time.perf_counter() - started)
    return best / size


def _call_seconds(settings: TrainSettings, *, rounds: int) -> float:
    """Of a runner's share of an iteration's calls that are neither sampling nor copying: weights, metrics."""
    runners = 2
    config = mtmappo_config(_resized(settings, episodes=runners, env_runners=runners))
    with built({"remote": config}, cpus=runners + 1) as algorithms:
        group: Any = algorithms["remote"].env_runner_group
        learners = algorithms["remote"].learner_group
        best = float("inf")
        for _ in range(rounds):
            started = time.perf_counter()
            group.sync_weights(from_worker_or_learner_group=learners, inference_only=True, timeout_seconds=60)
            group.foreach_env_runner("get_metrics", local_env_runner=False)
            best = min(best, time.perf_counter() - started)
    return best / runners


def _measured(settings: TrainSettings, layout: Layout, *, rounds: int) -> float:
    """Seconds of an iteration with remote runners and learners on this machine."""
    each = -(-layout.episodes // max(layout.runners, 1))
    config = mtmappo_config(
        _resized(
            settings,
            episodes=layout.episodes,
            env_runners=layout.runners,
            envs_per_runner=each,
            learners=layout.learners,
        )
    )
    with built({"run": config}, cpus=layout.runners + layout.learners + 1) as algorithms:
        speed = fastest_turns({"run": iterate(algorithms["run"])}, rounds=rounds)["run"]
    return settings.steps_per_iteration / speed
