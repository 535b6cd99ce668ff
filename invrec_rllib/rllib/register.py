"""The environment's name in RLlib, and the `env_config` that goes with it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.tune import register_env

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.seeding import TRAINING_STREAM, EpisodeSeeds, check_word
from invrec_rllib.scenario.files import build_scenario, load_scenario
from invrec_rllib.scenario.schema import Scenario

ENV_NAME = "invrec_v0"
SEED_KEY = "seed"
STREAM_KEY = "seed_stream"
JOINT_KEY = "joint"
_SCENARIO_KEY = "scenario"


@dataclass(frozen=True)
class AdapterCreator:
    """Makes an adapter from RLlib's `env_config`; the callable to register with Tune.

    Args:
        make_env: makes the parallel environment from the `env_config` without ``seed`` and ``seed_stream``;
            a function of an importable module, so that remote runners find it.
    """

    make_env: Callable[[dict[str, Any]], Any]

    def __call__(self, env_config: Mapping[str, Any]) -> ParallelEnvAdapter:
        """Make one sub-environment; `env_config` is RLlib's `EnvContext`, or a plain mapping.

        Raises:
            InputError: ``seed`` or ``seed_stream`` is out of range, or an option is not valid.
        """
        options = dict(env_config)
        seeds = EpisodeSeeds(
            options.pop(SEED_KEY, None),
            worker_index=getattr(env_config, "worker_index", None) or 0,
            stream=options.pop(STREAM_KEY, TRAINING_STREAM),
            restarted=_actor_was_restarted(),
        )
        try:
            return ParallelEnvAdapter(self.make_env(options), seeds=seeds)
        except BaseException:
            seeds.close()
            raise


def _actor_was_restarted() -> bool:
    if not ray.is_initialized():
        return False
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None and bool(context.was_current_actor_reconstructed)


def register_parallel_env(name: str, make_env: Callable[[dict[str, Any]], Any]) -> str:
    """Register any PettingZoo parallel environment with RLlib, behind our adapter.

    Args:
        name: what ``config.environment(name)`` will call it.
        make_env: see `AdapterCreator`.

    Returns:
        The name.
    """
    register_env(name, AdapterCreator(make_env))
    return name


def register() -> str:
    """Register ``invrec_v0`` with RLlib; call it as often as you like.

    The registration belongs to one Ray cluster: call it again after `ray.shutdown` and `ray.init`. Remote
    runners, on this node or another, need this package installed and nothing else.

    The `env_config` has ``scenario`` (preset name, path of a YAML file, mapping, or `Scenario`), any option
    of `invrec_rllib.env.invrec_v0.parallel_env`, ``joint`` (one agent, `firm`, in the place of all), ``seed``
    (of the run, see `EpisodeSeeds`) and ``seed_stream`` (0 training, 1 evaluation: set it in RLlib's `evaluation_config`, or evaluation plays the
    episodes of training). `make_env_config` builds and checks one.

    Returns:
        The name, ``"invrec_v0"``.
    """
    return register_parallel_env(ENV_NAME, make_invrec)


def make_env_config(
    scenario: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    *,
    seed: int | None = None,
    seed_stream: int = TRAINING_STREAM,
    **options: Any,
) -> dict[str, Any]:
    """A checked `env_config` that needs no file on the workers' nodes.

    The scenario goes in as a `Scenario`: RLlib merges nested mappings of successive `env_config`s key by key.

    Args:
        scenario: preset name, path of a YAML file, mapping, or `Scenario`.
        seed: seed of the run in [0, 2**128), or None for the seed of RLlib's `config.seed`, or chance.
        seed_stream: 0 training, 1 evaluation, larger numbers free.
        options: options of `invrec_rllib.env.invrec_v0.parallel_env`.

    Raises:
        InputError: an unknown option, or a value out of range; found by making the environment once.
        ScenarioError: the scenario is not valid.
    """
    if seed is not None:
        check_word(SEED_KEY, seed, limit=2**128)
    check_word(STREAM_KEY, seed_stream)
    env_config = {_SCENARIO_KEY: _to_scenario(scenario), **options}
    make_invrec(env_config).close()
    if seed is not None:
        env_config[SEED_KEY] = seed
    return {**env_config, STREAM_KEY: seed_stream}


def make_invrec(options: dict[str, Any]) -> Any:
    """The parallel environment from an `env_config` without ``seed`` and ``seed_stream``.

    Args:
        options: of `invrec_v0.parallel_env`, and ``joint``: whether one agent, `firm`, decides for all.

    Raises:
        InputError: an unknown option, or a value that is not allowed.
    """
    # Imported here so that the registration costs nothing in the processes that make no environment.
    from invrec_rllib.env import invrec_v0
    from invrec_rllib.env.joint import JointEnv

    if _SCENARIO_KEY not in options:
        raise InputError("env_config needs the key 'scenario': preset name, path, mapping or Scenario")
    allowed = {*inspect.signature(invrec_v0.InvRecEnv).parameters, JOINT_KEY}
    unknown = sorted(set(options) - allowed)
    if unknown:
        known = ", ".join(sorted(allowed | {SEED_KEY, STREAM_KEY}))
        raise InputError(f"env_config has unknown keys {unknown}; known: {known}")
    own = {name: value for name, value in options.items() if name != JOINT_KEY}
    env = invrec_v0.parallel_env(**{**own, _SCENARIO_KEY: _to_scenario(options[_SCENARIO_KEY])})
    return JointEnv(env) if options.get(JOINT_KEY) else env


def _to_scenario(scenario: object) -> Scenario:
    if isinstance(scenario, str | os.PathLike | Scenario):
        return load_scenario(scenario)
    if isinstance(scenario, Mapping):
        return build_scenario(dict(scenario), source="env_config['scenario']")
    raise InputError(
        f"scenario must be a preset name, a path, a mapping or a Scenario, got {type(scenario).__name__}"
    )
