"""One helper that makes any multi-agent configuration sample in whole arrays."""

from __future__ import annotations

from typing import Any, get_args

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_runner import BlockEpisodeRunner, BlockRunner, Handover


def fast_sampling(config: AlgorithmConfig, *, handover: Handover = "blocks") -> AlgorithmConfig:
    """Set the fast runners on a configuration; call it when the rest is set.

    Args:
        config: of an algorithm for several agents; changed in place.
        handover: what learners get: "blocks", whole arrays, which need a learner connector that reads them, or
            "episodes" of RLlib, built in bulk, for any algorithm and connector.

    Returns:
        The same configuration.

    Raises:
        InputError: an unknown handover, or settings that fast runners cannot honour (`block_support`).
    """
    if handover not in get_args(Handover):
        raise InputError(f"handover is {handover!r}, must be one of {', '.join(get_args(Handover))}")
    config.env_runners(env_runner_cls=BlockRunner if handover == "blocks" else BlockEpisodeRunner)
    return config


def global_state_wanted(config: Any, *, wanted: bool = True) -> None:
    """Make the training runners of a configuration record global states, for centralized critics."""
    config.uses_global_state = wanted
