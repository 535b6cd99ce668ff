"""The environment's name in RLlib, and the `env_config` that goes with it."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune import register_env
from ray.tune.registry import ENV_CREATOR, _global_registry

from invrec_rllib.env.batched import BatchedEnv
from invrec_rllib.env.serial_batch import SerialBatch
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.seeding import TRAINING_STREAM, EpisodeSeeds, check_word
from invrec_rllib.scenario.files import build_scenario, load_scenario
from invrec_rllib.scenario.schema import Scenario

if TYPE_CHECKING:
    from invrec_rllib.env.invrec_v0 import InvRecEnv

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
        make_batched: makes many of them as one `BatchedEnv`, from the same options and the keywords
            ``num_envs``, ``next_seed`` (of environment i, to be called at each reset; its `close` when the
            batch is closed) and ``with_state``; None where single ones must do.
    """

    make_env: Callable[[dict[str, Any]], Any]
    make_batched: Callable[..., BatchedEnv] | None = None

    def __call__(self, env_config: Mapping[str, Any]) -> ParallelEnvAdapter:
        """Make one sub-environment; `env_config` is RLlib's `EnvContext`, or a plain mapping.

        Raises:
            InputError: ``seed`` or ``seed_stream`` is out of range, or an option is not valid.
        """
        options, seeds = _options_and_seeds(env_config)
        try:
            return ParallelEnvAdapter(self.make_env(options), seeds=seeds)
        except BaseException:
            seeds.close()
            raise

    def batch(
        self, env_config: Mapping[str, Any], *, num_envs: int, with_state: bool, seed: int | None
    ) -> BatchedEnv:
        """Make many sub-environments as one, which play the episodes that as many single ones would.

        Args:
            env_config: as above.
            num_envs: how many [B].
            with_state: whether they show the global state.
            seed: what RLlib would hand to the first of single ones, the second getting one more, and so on.

        Raises:
            InputError: as above.
        """
        if self.make_batched is None:
            return _serial_batch(self, env_config, num_envs=num_envs, with_state=with_state, seed=seed)
        held: list[EpisodeSeeds] = []
        try:
            for _ in range(num_envs):
                options, seeds = _options_and_seeds(env_config)
                held.append(seeds)
            next_seed = _NextSeeds(held, seed)
            made = self.make_batched(options, num_envs=num_envs, next_seed=next_seed, with_state=with_state)
        except BaseException:
            for seeds in held:
                seeds.close()
            raise
        weakref.finalize(made, next_seed.close)
        return made


class _NextSeeds:
    """Seeds of the episodes of many sub-environments."""

    def __init__(self, seeds: list[EpisodeSeeds], offered: int | None) -> None:
        self._seeds, self._offered = seeds, offered

    def __call__(self, index: int) -> int:
        return self._seeds[index].next(None if self._offered is None else self._offered + index)

    def close(self) -> None:
        for seeds in self._seeds:
            seeds.close()


def _options_and_seeds(env_config: Mapping[str, Any]) -> tuple[dict[str, Any], EpisodeSeeds]:
    options = dict(env_config)
    seeds = EpisodeSeeds(
        options.pop(SEED_KEY, None),
        worker_index=getattr(env_config, "worker_index", None) or 0,
        stream=options.pop(STREAM_KEY, TRAINING_STREAM),
        restarted=_actor_was_restarted(),
    )
    return options, seeds


@dataclass(frozen=True)
class BatchCreator:
    """Makes environments that exist in batches alone; the callable to register with Tune.

    Args:
        make: see `register_batched_env`.
    """

    make: Callable[..., BatchedEnv]

    def __call__(self, env_config: Mapping[str, Any]) -> Any:
        """There is no single environment.

        Raises:
            InputError: always.
        """
        raise InputError("this environment exists in batches alone: sample it by fast_sampling(config)")

    def batch(
        self, env_config: Mapping[str, Any], *, num_envs: int, with_state: bool, seed: int | None
    ) -> BatchedEnv:
        """Make the batch; arguments as `AdapterCreator.batch`."""
        return self.make(env_config, num_envs=num_envs, with_state=with_state, seed=seed)


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


def make_batch(
    env: Any, context: Mapping[str, Any], *, num_envs: int, with_state: bool, seed: int | None
) -> BatchedEnv:
    """The batch of environments of a configuration, whatever is registered under its name.

    Args:
        env: the configuration's environment: a registered name, or a class.
        context: RLlib's `EnvContext`.
        num_envs: how many [B].
        with_state: whether they show the global state.
        seed: this runner's, or None.

    Returns:
        What the registered creator's `batch` makes, else a `SerialBatch` of as many single environments.

    Raises:
        InputError: nothing is registered under the name, or what is made is no multi-agent environment.
    """
    # Ray offers no public way to look an environment's creator up.
    creator: Any = env
    if isinstance(env, str):
        known = _global_registry.contains(ENV_CREATOR, env)
        creator = _global_registry.get(ENV_CREATOR, env) if known else None
    if not callable(creator):
        raise InputError(f"config.environment({env!r}): no environment is registered under this name")
    batch = getattr(creator, "batch", None)
    if callable(batch):
        made: BatchedEnv = batch(context, num_envs=num_envs, with_state=with_state, seed=seed)
        return made
    return _serial_batch(creator, context, num_envs=num_envs, with_state=with_state, seed=seed)


def _serial_batch(
    creator: Callable[[Any], Any],
    context: Mapping[str, Any],
    *,
    num_envs: int,
    with_state: bool,
    seed: int | None,
) -> SerialBatch:
    envs: list[Any] = []
    try:
        for _ in range(num_envs):
            envs.append(creator(context))
            if not isinstance(envs[-1], MultiAgentEnv):
                raise InputError(
                    f"the environment must be an RLlib MultiAgentEnv, got {type(envs[-1]).__name__}"
                )
        return SerialBatch(envs, with_state=with_state, seed=seed)
    except BaseException:
        for made in envs:
            made.close()
        raise


def _actor_was_restarted() -> bool:
    if not ray.is_initialized():
        return False
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None and bool(context.was_current_actor_reconstructed)


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
