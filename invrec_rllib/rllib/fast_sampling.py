"""One helper that makes any multi-agent configuration sample in whole arrays."""

from __future__ import annotations

from typing import get_args

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_connector import BlocksToBatches
from invrec_rllib.rllib.block_runner import BlockEpisodeRunner, BlockRunner, Handover


def fast_sampling(config: AlgorithmConfig, *, handover: Handover = "blocks") -> AlgorithmConfig:
    """Set the fast runners on a configuration; call it when the rest is set.

    Args:
        config: of an algorithm for several agents; changed in place.
        handover: what learners get: "blocks", whole arrays, for PPO and its kin, whose advantages are then computed
            with the discount and the trace's decay that the configuration has now; or "episodes" of RLlib, built in
            bulk, for any algorithm and learner connector.

    Returns:
        The same configuration.

    Raises:
        InputError: an unknown handover, or blocks for an algorithm or a learner connector that reads episodes.
    """
    if handover not in get_args(Handover):
        raise InputError(f"handover is {handover!r}, must be one of {', '.join(get_args(Handover))}")
    if handover == "episodes":
        config.env_runners(env_runner_cls=BlockEpisodeRunner)
        return config
    if not isinstance(config, PPOConfig):
        raise InputError(
            f"handover 'blocks' is for PPO, got {type(config).__name__}: choose handover='episodes'"
        )
    config.env_runners(env_runner_cls=BlockRunner)
    # A configuration with a pipeline of its own says itself how blocks are read.
    if type(config).build_learner_connector is AlgorithmConfig.build_learner_connector:
        _read_blocks(config)
    return config


def _read_blocks(config: PPOConfig) -> None:
    # RLlib keeps what its own setter took here, and has no getter.
    given = config._learner_connector
    if given is not None and not isinstance(given, BlocksToBatches):
        raise InputError(
            "handover 'blocks' needs the learner connector for itself: choose handover='episodes'"
        )
    connector = BlocksToBatches(discount=config.gamma, gae_lambda=config.lambda_)
    config.learners(add_default_connectors_to_learner_pipeline=False, learner_connector=connector)
