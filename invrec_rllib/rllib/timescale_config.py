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
    config: AnyConfig, spec: Timescales | Mapping[str, Any], *, strict: bool | None = None
) -> AnyConfig:
    """Let the parts of each module learn at speeds of their own; nothing else of the configuration changes.

    Args:
        config: of any algorithm of RLlib's new API stack that learns with torch; changed in place.
        spec: `Timescales`, or their data: module id -> part -> schedule. The module of a single agent is
            ``"default_policy"``; ``"*"`` stands for every module that is not named. Parts of RLlib's modules are
            `actor`, `critic` and, where they share one, `encoder`; "all" takes what no other part does.
        strict: overrides what `spec` says.

    Returns:
        `config`.

    Raises:
        InputError: the spec is not valid, names a policy that the configuration does not have, or the algorithm
            has no torch learner of the new API stack. Parameters are matched when the learner is built.
    """
    declared = Timescales.from_data(spec)
    if strict is not None:
        declared = Timescales(declared.modules, strict=strict)
    if not config.enable_rl_module_and_learner:
        raise InputError("timescales need RLlib's new API stack: enable_rl_module_and_learner=True")
    config.learners(
        learner_class=multi_timescale(config.learner_class),
        learner_config_dict={**config.learner_config_dict, CONFIG_KEY: declared.to_data()},
    )
    return config
