"""Optional: MAPPO of BenchMARL (TorchRL) on our environment, beside ours, in one run on one core.

``pip install benchmarl``, then ``python -m invrec_rllib.benchmarks.benchmarl_comparison``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from invrec_rllib.benchmarks.paths import (
    EPOCHS,
    HIDDEN,
    built,
    iterate,
    mtmappo_config,
    sample_once,
    settings_of_whole_episodes,
)
from invrec_rllib.benchmarks.simulator import describe_machine
from invrec_rllib.benchmarks.stopwatch import Watched, own_time
from invrec_rllib.benchmarks.turns import fastest_turns
from invrec_rllib.env.invrec_v0 import parallel_env
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import env_options
from invrec_rllib.scenario import load_scenario

try:
    from benchmarl.algorithms import MappoConfig  # type: ignore[import-not-found, unused-ignore]
    from benchmarl.environments.common import TaskClass  # type: ignore[import-not-found, unused-ignore]
    from benchmarl.experiment import (  # type: ignore[import-not-found, unused-ignore]
        Callback,
        Experiment,
        ExperimentConfig,
    )
    from benchmarl.models import MlpConfig  # type: ignore[import-not-found, unused-ignore]
    from torchrl.envs import MarlGroupMapType, PettingZooWrapper  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise InputError(f"the comparison with BenchMARL needs it ({error}): pip install benchmarl") from error

_ENVS = (8, 32)


class _Speeds(NamedTuple):
    """Env steps per second."""

    sampling: float
    iteration: float


def compare_with_benchmarl(
    scenario: str = "paper",
    *,
    episodes: int = 64,
    envs: tuple[int, ...] = _ENVS,
    iterations: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Sample and train by BenchMARL's MAPPO and by MTMA-PPO, with equal networks, batch, minibatches and epochs.

    Both have an actor of its own observations and a critic of the global state for each agent, all of two 256-unit
    layers, in one process on one thread. BenchMARL steps its environments one by one, in TorchRL's `SerialEnv`;
    MTMA-PPO takes a turn after each of its runs.

    Args:
        scenario: preset name or file.
        episodes: whole episodes of a batch, and environments of our runner.
        envs: numbers of environments to try for BenchMARL; each divides the batch.
        iterations: of each run that count, the fastest of them; one more warms up.
        seed: of networks.

    Returns:
        `env_steps_per_second` (`sampling_` and `iteration_` with `benchmarl_E` and `mtmappo`), `ratios` to BenchMARL
        at its best (`sampling_vs_benchmarl`, `iteration_vs_benchmarl`), `workload`, and `machine`.

    Raises:
        InputError: a number of environments does not divide the batch.
    """
    settings = settings_of_whole_episodes(scenario, envs=episodes, seed=seed, critic="separate")
    steps = settings.steps_per_iteration
    uneven = [count for count in envs if steps % count]
    if uneven:
        raise InputError(f"envs holds {uneven}, which do not divide the batch of {steps} env steps")
    machine = describe_machine()
    speeds: dict[str, float] = {}
    with built({"ours": mtmappo_config(settings)}) as algorithms:
        ours = {
            "sampling_mtmappo": sample_once(algorithms["ours"].env_runner),
            "iteration_mtmappo": iterate(algorithms["ours"]),
        }
        for count in envs:
            theirs = _run_benchmarl(settings, envs=count, iterations=iterations)
            speeds[f"sampling_benchmarl_{count}"] = theirs.sampling
            speeds[f"iteration_benchmarl_{count}"] = theirs.iteration
            for name, speed in fastest_turns(ours, rounds=iterations).items():
                speeds[name] = max(speeds.get(name, 0.0), speed)
    return {
        "env_steps_per_second": speeds,
        "ratios": {
            f"{what}_vs_benchmarl": speeds[f"{what}_mtmappo"]
            / max(speeds[f"{what}_benchmarl_{count}"] for count in envs)
            for what in ("sampling", "iteration")
        },
        "workload": {
            "env_steps": steps,
            "minibatch": settings.minibatch_size,
            "epochs": EPOCHS,
            "hidden_layers": [HIDDEN, HIDDEN],
        },
        "machine": machine,
    }


class _InvRecTask(TaskClass):  # type: ignore[misc, unused-ignore]  # untyped base
    """Our environment as BenchMARL wants it; each agent is a group of its own, since their spaces differ."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], Any]:
        return lambda: PettingZooWrapper(
            parallel_env(self.config["scenario"], **self.config["options"]),
            return_state=True,
            group_map=MarlGroupMapType.ONE_GROUP_PER_AGENT,
            seed=seed,
            device=device,
        )

    def supports_continuous_actions(self) -> bool:
        return True

    def supports_discrete_actions(self) -> bool:
        return False

    def has_render(self, env: Any) -> bool:
        return False

    def max_steps(self, env: Any) -> int:
        return int(load_scenario(self.config["scenario"]).periods)

    def group_map(self, env: Any) -> Any:
        return env.group_map

    def observation_spec(self, env: Any) -> Any:
        spec = env.observation_spec.clone()
        del spec["state"]
        for group in self.group_map(env):
            for key in set(spec[group].keys()) - {"observation"}:
                del spec[group][key]
        return spec

    def state_spec(self, env: Any) -> Any:
        spec = env.observation_spec.clone()
        for key in set(spec.keys()) - {"state"}:
            del spec[key]
        return spec

    def info_spec(self, env: Any) -> None:
        return None

    def action_mask_spec(self, env: Any) -> None:
        return None

    def action_spec(self, env: Any) -> Any:
        return env.full_action_spec

    @staticmethod
    def env_name() -> str:
        return "invrec"


class _Stops(Callback):  # type: ignore[misc, unused-ignore]  # untyped base
    """Notes the time, and that spent on sampling, whenever a batch is complete."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__()
        self._seconds = seconds
        self.noted: list[tuple[float, float]] = []

    def on_batch_collected(self, batch: Any) -> None:
        self.noted.append((time.perf_counter(), self._seconds["sampling"]))


def _run_benchmarl(settings: TrainSettings, *, envs: int, iterations: int) -> _Speeds:
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(
            task=_InvRecTask("paper", {"scenario": settings.scenario, "options": env_options(settings)}),
            algorithm_config=_mappo(settings),
            model_config=_network(),
            critic_model_config=_network(),
            seed=settings.seed,
            config=_experiment(settings, envs=envs, iterations=iterations, folder=folder),
        )
        with own_time([Watched(type(experiment.collector), "rollout", "sampling")]) as seconds:
            stops = _Stops(seconds)
            stops.experiment = experiment
            experiment.callbacks.append(stops)
            experiment.run()
    # From one complete batch to the next lies all of an iteration: learning, then sampling.
    pairs = list(zip(stops.noted[:-1], stops.noted[1:], strict=True))
    steps = settings.steps_per_iteration
    return _Speeds(
        sampling=steps / min(after[1] - before[1] for before, after in pairs),
        iteration=steps / min(after[0] - before[0] for before, after in pairs),
    )


def _experiment(settings: TrainSettings, *, envs: int, iterations: int, folder: str) -> Any:
    config = ExperimentConfig.get_from_yaml()
    chosen: dict[str, Any] = {
        "gamma": settings.discount,
        "lr": settings.learning_rate_inventory,
        "share_policy_params": False,
        "on_policy_collected_frames_per_batch": settings.steps_per_iteration,
        "on_policy_n_envs_per_worker": envs,
        "on_policy_n_minibatch_iters": settings.epochs,
        "on_policy_minibatch_size": settings.minibatch_size,
        # The first batch warms up.
        "max_n_iters": iterations + 1,
        "max_n_frames": None,
        "evaluation": False,
        "render": False,
        "loggers": [],
        "create_json": False,
        "save_folder": folder,
    }
    for name, value in chosen.items():
        setattr(config, name, value)
    return config


def _mappo(settings: TrainSettings) -> Any:
    config = MappoConfig.get_from_yaml()
    config.share_param_critic = False
    config.clip_epsilon, config.lmbda = settings.clip, settings.gae_lambda
    return config


def _network() -> Any:
    return MlpConfig(num_cells=[HIDDEN, HIDDEN], layer_class=nn.Linear, activation_class=nn.Tanh)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__)
    _parser.add_argument("--scenario", default="paper")
    _parser.add_argument("--episodes", type=int, default=64)
    _parser.add_argument("--iterations", type=int, default=3)
    _options = _parser.parse_args()
    print(json.dumps(compare_with_benchmarl(**vars(_options)), indent=2))
