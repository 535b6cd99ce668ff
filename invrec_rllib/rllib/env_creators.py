"""What makes environments from RLlib's `env_config`: one by one behind our adapter, or many as one batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, _global_registry

from invrec_rllib.env.batched import BatchedEnv
from invrec_rllib.env.serial_batch import SerialBatch
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.adapter import ParallelEnvAdapter
from invrec_rllib.rllib.seeding import TRAINING_STREAM, EpisodeSeeds

SEED_KEY = "seed"
STREAM_KEY = "seed_stream"


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
        # What was made anew after a failure must not play the same episodes again, and fail as before.
        restarted=_actor_was_restarted() or getattr(env_config, "recreated_worker", False),
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
