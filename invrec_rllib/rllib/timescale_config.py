"""One call that gives an RLlib configuration many timescales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.timescale_learner import CONFIG_KEY, multi_timescale
from invrec_rllib.timescales import Timescales

AnyConfig = TypeVar("AnyConfig", bound=AlgorithmConfig)


def timescales(
    config: AnyConfig,
    spec: Timescales | Mapping[str, Any],
    *,
    strict: bool | None = None,
    num_updates: int | None = None,
) -> AnyConfig:
    """Let the parts of each module learn at speeds of their own; nothing else of the configuration changes.

    Args:
        config: of any algorithm of RLlib's new API stack that learns with torch; changed in place. A learner class of
            one's own belongs into it before.
        spec: `Timescales`, or their data: module id -> part -> schedule. The module of a single agent is
            ``"default_policy"``; ``"*"`` stands for every module that is not named. Parts of RLlib's modules are
            `actor`, `critic` and, where these share one, `encoder`; "all" takes what no other part does.
        strict: overrides what `spec` says.
        num_updates: length of the run in updates of the learner; if given, the timescales are checked against theory
            over it (`Timescales.check`), with the batch sizes that `config` has by now.

    Returns:
        `config`.

    Raises:
        InputError: the spec is not valid; it is strict and the check finds a violation; or the algorithm has no torch
            learner of the new API stack. Modules and parameters are matched when the algorithm is built, and the
            error that lists what does not fit is raised there.

    Warns:
        TimescaleWarning: the check finds a violation, and the spec is not strict.
    """
    declared = Timescales.from_data(spec)
    if strict is not None:
        declared = Timescales(declared.modules, strict=strict)
    if not config.enable_rl_module_and_learner:
        raise InputError("timescales need RLlib's new API stack: enable_rl_module_and_learner = True")
    if num_updates is not None:
        declared.check(num_updates=num_updates, **_per_update(config)).enforce()
    config.learners(
        learner_class=multi_timescale(config.learner_class),
        learner_config_dict={**config.learner_config_dict, CONFIG_KEY: declared.to_data()},
    )
    return config


def _per_update(config: AlgorithmConfig) -> dict[str, float]:
    """Gradient steps and env steps that one update of the learner takes."""
    batch = config.train_batch_size_per_learner
    minibatches = batch / config.minibatch_size if config.minibatch_size else 1
    return {
        "gradient_steps_per_update": max(minibatches, 1) * (config.num_epochs or 1),
        "env_steps_per_update": batch * max(config.num_learners, 1),
    }
