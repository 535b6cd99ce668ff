"""Environments by name in RLlib: ours, with the `env_config` that goes with it, and others."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ray.tune import register_env

from invrec_rllib.env.batched import BatchedEnv
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.env_creators import SEED_KEY, STREAM_KEY, AdapterCreator, BatchCreator
from invrec_rllib.rllib.seeding import TRAINING_STREAM, check_word
from invrec_rllib.scenario.files import build_scenario, load_scenario
from invrec_rllib.scenario.schema import Scenario

if TYPE_CHECKING:
    from invrec_rllib.env.invrec_v0 import InvRecEnv

ENV_NAME = "invrec_v0"
JOINT_KEY = "joint"
_SCENARIO_KEY = "scenario"


def register_parallel_env(
    name: str,
    make_env: Callable[[dict[str, Any]], Any],
    *,
    make_batched: Callable[..., BatchedEnv] | None = None,
) -> str:
    """Register any PettingZoo parallel environment with RLlib, behind our adapter.

    Args:
        name: what ``config.environment(name)`` will call it.
        make_env, make_batched: see `AdapterCreator`.

    Returns:
        The name.
    """
    register_env(name, AdapterCreator(make_env, make_batched))
    return name


def register_batched_env(name: str, make: Callable[..., BatchedEnv]) -> str:
    """Register an environment of your own that plays many episodes side by side, for fast sampling.

    Args:
        name: what ``config.environment(name)`` will call it.
        make: from RLlib's `env_config` (with `worker_index`) and the keywords ``num_envs``, ``with_state`` and
            ``seed`` (an integer of this runner's own, or None) it makes a `BatchedEnv`; a function of an importable
            module, so that remote runners find it.

    Returns:
        The name.
    """
    register_env(name, BatchCreator(make))
    return name


def register() -> str:
    """Register ``invrec_v0`` with RLlib; call it as often as you like.

    The registration belongs to one Ray cluster: call it again after `ray.shutdown` and `ray.init`. Remote
    runners, on this node or another, need this package installed and nothing else.

    The `env_config` has ``scenario`` (preset name, path of a YAML file, mapping, or `Scenario`), any option
    of `invrec_rllib.env.invrec_v0.parallel_env`, ``joint`` (one agent, `firm`, in the place of all), ``seed``
    (of the run, see `EpisodeSeeds`) and ``seed_stream`` (0 training, 1 evaluation: set it in RLlib's
    `evaluation_config`, or evaluation plays the episodes of training). `make_env_config` builds and checks one.

    Returns:
        The name, ``"invrec_v0"``.
    """
    return register_parallel_env(ENV_NAME, make_invrec, make_batched=make_batched_invrec)


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

    own, joint = _checked_options(options)
    env = invrec_v0.parallel_env(**own)
    return JointEnv(env) if joint else env


def make_world(env_config: Mapping[str, Any]) -> InvRecEnv:
    """The environment of an `env_config` with its own agents, also where one agent decides for all.

    Raises:
        InputError, ScenarioError: as `make_invrec`.
    """
    from invrec_rllib.env.joint import JointEnv

    made = make_invrec(
        {name: value for name, value in env_config.items() if name not in (SEED_KEY, STREAM_KEY)}
    )
    world: InvRecEnv = made.env if isinstance(made, JointEnv) else made
    return world


def make_batched_invrec(options: dict[str, Any], **batch: Any) -> BatchedEnv:
    """Many of them as one.

    Args:
        options: as `make_invrec`.
        batch: the keywords of `BatchedInvRec`.

    Raises:
        InputError: as `make_invrec`.
    """
    from invrec_rllib.env.batched_invrec import BatchedInvRec
    from invrec_rllib.env.joint import JointBatch

    own, joint = _checked_options(options)
    made = BatchedInvRec(own, **batch)
    return JointBatch(made, made.members) if joint else made


def _checked_options(options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Options of `parallel_env`, and whether one agent decides for all."""
    from invrec_rllib.env import invrec_v0

    if _SCENARIO_KEY not in options:
        raise InputError("env_config needs the key 'scenario': preset name, path, mapping or Scenario")
    allowed = {*inspect.signature(invrec_v0.InvRecEnv).parameters, JOINT_KEY}
    unknown = sorted(set(options) - allowed)
    if unknown:
        known = ", ".join(sorted(allowed | {SEED_KEY, STREAM_KEY}))
        raise InputError(f"env_config has unknown keys {unknown}; known: {known}")
    own = {name: value for name, value in options.items() if name != JOINT_KEY}
    own[_SCENARIO_KEY] = _to_scenario(options[_SCENARIO_KEY])
    joint = bool(options.get(JOINT_KEY))
    unlike = own.get("reward", "team") != "team" or own.get("accounting") == "shortfall"
    if joint and unlike:
        raise InputError(
            f"joint = True, but reward is {own.get('reward', 'team')!r} and accounting "
            f"{own.get('accounting', 'cash')!r}: one agent in the place of all needs one reward, that is "
            "reward 'team' with accounting 'cash' or 'accrual'"
        )
    return own, joint


def _to_scenario(scenario: object) -> Scenario:
    if isinstance(scenario, str | os.PathLike | Scenario):
        return load_scenario(scenario)
    if isinstance(scenario, Mapping):
        return build_scenario(dict(scenario), source="env_config['scenario']")
    raise InputError(
        f"scenario must be a preset name, a path, a mapping or a Scenario, got {type(scenario).__name__}"
    )
