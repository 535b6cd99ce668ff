"""What of a configuration the fast runners cannot honour, said before they sample."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.env_to_module import (
    AddObservationsFromEpisodesToBatch,
    AddStatesFromEpisodesToBatch,
    AddTimeDimToBatchAndZeroPad,
    AgentToModuleMapping,
    BatchIndividualItems,
    NumpyToTensor,
)
from ray.rllib.connectors.module_to_env import (
    GetActions,
    ListifyDataForVectorEnv,
    ModuleToAgentUnmapping,
    NormalizeAndClipActions,
    RemoveSingleTsTimeRankFromBatch,
    TensorToNumpy,
    UnBatchToIndividualItems,
)
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils import force_list

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_connector import BlocksToBatches
from invrec_rllib.rllib.callbacks import EconomicsCallback

_INSTEAD = "or sample with RLlib's MultiAgentEnvRunner"
# What these pieces do, the fast runners do in whole arrays.
_TO_MODULE = (
    AddObservationsFromEpisodesToBatch,
    AddTimeDimToBatchAndZeroPad,
    AddStatesFromEpisodesToBatch,
    AgentToModuleMapping,
    BatchIndividualItems,
    NumpyToTensor,
)
_TO_ENV = (
    GetActions,
    TensorToNumpy,
    UnBatchToIndividualItems,
    ModuleToAgentUnmapping,
    RemoveSingleTsTimeRankFromBatch,
    NormalizeAndClipActions,
    ListifyDataForVectorEnv,
)
EPISODE_HOOKS = ("on_episode_created", "on_episode_start", "on_episode_end")
# Agents are mapped to modules once; so many trial episodes must agree.
_TRIALS = 16


def check_settings(config: Any) -> None:
    """Refuse settings of a configuration that the fast runners cannot honour.

    Raises:
        InputError: it records samples to files, observes every step by a callback, runs its environments as
            remote actors, or computes advantages with a discount that was changed since.
    """
    if config.output is not None:
        raise InputError(
            f"config.output is {config.output!r}: RLlib 2.60 records samples of single agents only; leave it None"
        )
    if config.remote_worker_envs:
        raise InputError(
            f"remote_worker_envs must be False: fast runners step a batch in one process, {_INSTEAD}"
        )
    # RLlib keeps what its own setter took here, and has no getter.
    reader = config._learner_connector
    if isinstance(reader, BlocksToBatches) and (reader.discount, reader.gae_lambda) != (
        config.gamma,
        config.lambda_,
    ):
        raise InputError(
            f"gamma and lambda_ are {config.gamma} and {config.lambda_}, but fast_sampling was called with "
            f"{reader.discount} and {reader.gae_lambda}: call it again after they are set"
        )
    stepwise = hooks(config, ("on_episode_step",))
    if stepwise:
        raise InputError(
            f"{stepwise[0]} defines on_episode_step, which fast runners cannot call between the steps of a batch: "
            f"use on_episode_end, whose episode holds all steps, {_INSTEAD}"
        )


def hooks(config: Any, names: tuple[str, ...]) -> list[str]:
    """Who defines one of these callbacks, besides `EconomicsCallback`, whose work the fast runners do themselves."""
    found = []
    for cls in force_list(config.callbacks_class):
        for name in names:
            if cls is not EconomicsCallback and getattr(cls, name, None) is not getattr(RLlibCallback, name):
                found.append(cls.__name__)
    return found + [
        f"callbacks({name}=...)" for name in names if force_list(getattr(config, f"callbacks_{name}"))
    ]


def check_connectors(to_module: Any, to_env: Any) -> None:
    """Refuse connector pipelines with pieces of the user, or without RLlib's.

    Raises:
        InputError: naming the pieces.
    """
    for what, pipeline, expected in (
        ("env_to_module", to_module, _TO_MODULE),
        ("module_to_env", to_env, _TO_ENV),
    ):
        pieces: list[ConnectorV2] = list(pipeline.connectors)
        foreign = [type(piece).__name__ for piece in pieces if type(piece) not in expected]
        if foreign:
            raise InputError(
                f"the {what} connector pipeline holds {', '.join(foreign)}, which work on single items: fast runners "
                f"hand whole arrays to the modules. Put it into the environment or the module, {_INSTEAD}"
            )
        if len(pieces) < len(expected):
            raise InputError(f"add_default_connectors_to_{what}_pipeline must be True, {_INSTEAD}")


def map_agents(mapping: Any, agents: tuple[str, ...]) -> dict[str, str]:
    """Module id of each agent, the same in all episodes.

    Args:
        mapping: the configuration's `policy_mapping_fn`.
        agents: names.

    Raises:
        InputError: the mapping changes from episode to episode.
    """
    mapped = [
        {agent: mapping(agent, episode) for agent in agents}
        for episode in (MultiAgentEpisode() for _ in range(_TRIALS))
    ]
    for other in mapped[1:]:
        if other != mapped[0]:
            raise InputError(
                f"policy_mapping_fn maps agents to {mapped[0]} in one episode and to {other} in another: fast runners "
                f"need one mapping for all, {_INSTEAD}"
            )
    return mapped[0]
