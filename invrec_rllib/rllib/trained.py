"""From RLlib's modules, algorithms and checkpoints to policies that need no RLlib."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES

from invrec_rllib.errors import InputError
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.spaces import ActionBounds, action_bounds, check_space
from invrec_rllib.learning.trained import Seen
from invrec_rllib.rllib.default_module import describe_default_module
from invrec_rllib.rllib.modules import ProductModule
from invrec_rllib.rllib.mtmappo_modules import ActorModule, CriticModule
from invrec_rllib.rllib.quiet import quiet_loggers
from invrec_rllib.rllib.register import ENV_NAME, JOINT_KEY, make_world

_MODULES = Path("learner_group", "learner", "rl_module")
_CONSTRUCTOR = "class_and_ctor_args.pkl"
_ACTION_OPTIONS = ("order", "exposure", "temperature", "order_range", "quantity_range", "score_range")


def policy_of(
    algorithm: Algorithm, *, seen: Seen | None = None, provenance: Mapping[str, Any] | None = None
) -> Policy:
    """The policies of a running algorithm; they share its weights and go on learning with it, until saved.

    Args:
        algorithm: MTMA-PPO, or RLlib's PPO with our modules or its default ones.
        seen: what agents of `invrec_v0` see, where it is known already; None: what the configuration says.
        provenance: where the policy comes from.

    Raises:
        InputError: a module's actor cannot be told from the rest.
    """
    config: Any = algorithm.config
    names = list(config.policies)
    modules: dict[str, Any] = {name: algorithm.get_module(name) for name in names}
    if seen is None and config.env == ENV_NAME:
        seen = what_is_seen(config.env_config)
    return policy_from_modules(
        modules,
        agents=_agents_of(algorithm),
        bounds=action_bounds(normalize=config.normalize_actions, clip=config.clip_actions),
        seen=seen,
        provenance=provenance,
    )


def policy_from_modules(
    modules: Mapping[str, RLModule],
    *,
    agents: Mapping[str, str] | None = None,
    bounds: ActionBounds = "unsquash",
    seen: Seen | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Policy:
    """A policy that shares the weights of RLlib's modules.

    Args:
        modules: by module id; critics are left out.
        agents: agent -> module id, where names differ.
        bounds: what becomes of actions; see `spaces.change_of`.
        seen: what agents of `invrec_v0` see; None for other environments.
        provenance: where the policy comes from.

    Raises:
        InputError: a module's actor cannot be told from the rest.
    """
    actors = {
        name: actor_of(name, module, bounds=bounds)
        for name, module in modules.items()
        if not isinstance(module, CriticModule)
    }
    world = None if seen is None else seen.to_data()
    return Policy(actors, agents=agents or {}, world=world, provenance=provenance or {})


def actor_of(name: str, module: Any, *, bounds: ActionBounds = "unsquash") -> Actor:
    """What acts in a module of RLlib, with the module's own weights.

    Args:
        name: for errors.
        module: an `ActorModule`, `ProductModule`, or RLlib's default of PPO, fully connected with tanh.
        bounds: what becomes of actions.

    Raises:
        InputError: another module.
    """
    if isinstance(module, ActorModule | ProductModule):
        network, description = module.actor, module.description
    elif isinstance(module, DefaultPPOTorchRLModule):
        network, description = describe_default_module(name, module)
    else:
        raise InputError(
            f"module {name!r} is a {type(module).__name__}, must be an ActorModule, ProductModule or "
            "DefaultPPOTorchRLModule: of others it is not known which part acts"
        )
    return Actor(
        network,
        description,
        observation_space=check_space(f"observation space of {name!r}", module.observation_space),
        action_space=check_space(f"action space of {name!r}", module.action_space),
        bounds=bounds,
    )


def what_is_seen(env_config: Mapping[str, Any]) -> Seen:
    """What agents of `invrec_v0` see and do, from an `env_config`.

    Raises:
        InputError, ScenarioError: the environment cannot be made of it.
    """
    return Seen(
        information=env_config.get("information", "observed"),
        action_options={name: env_config[name] for name in _ACTION_OPTIONS if name in env_config},
        inventory_agents=env_config.get("inventory_agents", "one"),
        recommender_agents=env_config.get("recommender_agents", "one"),
        joint=bool(env_config.get(JOINT_KEY, False)),
        adviser=env_config.get("adviser"),
    ).within(make_world(env_config).params)


def unpickle_checkpoint(path: str | os.PathLike[str]) -> Policy:
    """The policy of a checkpoint that RLlib wrote; loading one EXECUTES what is in its pickles.

    For checkpoints without the folder `policy`: save the result, and load that from then on.

    Raises:
        InputError: no checkpoint of an algorithm, or one with modules that are not known.

    Warns:
        UserWarning: always; RLlib's checkpoints may execute code.
    """
    folder = Path(path).expanduser().resolve()
    names = sorted(part.parent.name for part in (folder / _MODULES).glob(f"*/{_CONSTRUCTOR}"))
    if not names or not (folder / _CONSTRUCTOR).is_file():
        raise InputError(f"{folder} is no checkpoint of an RLlib algorithm: {_MODULES} holds no modules")
    warnings.warn(
        f"{folder}: RLlib's checkpoints are pickles, which can execute any code when they are loaded. Load only your "
        "own, and pass on the exported policy (policy.json, weights.safetensors) instead",
        stacklevel=2,
    )
    with quiet_loggers():
        modules = {name: RLModule.from_checkpoint(folder / _MODULES / name) for name in names}
    config = _config_of(folder)
    ours = config.get("env") == ENV_NAME
    return policy_from_modules(
        modules,
        bounds=action_bounds(
            normalize=config.get("normalize_actions", True), clip=config.get("clip_actions", False)
        ),
        seen=what_is_seen(config.get("env_config", {})) if ours else None,
        provenance={"checkpoint": folder.name},
    )


def _config_of(folder: Path) -> dict[str, Any]:
    """The configuration's state that an algorithm was made of."""
    with (folder / _CONSTRUCTOR).open("rb") as file:
        arguments, named = pickle.load(file)["ctor_args_and_kwargs"]
    config = arguments[0] if arguments else named["config"]
    return config.to_dict() if isinstance(config, AlgorithmConfig) else dict(config)


def _agents_of(algorithm: Algorithm) -> dict[str, str]:
    """Which module each agent of the environment acts by."""
    config: Any = algorithm.config
    if not config.is_multi_agent:
        return {}
    # As they were when it was built: runners that are asked now may be lost.
    spaces: Any = algorithm.spaces
    agents: Iterable[Any] = spaces[INPUT_ENV_SINGLE_SPACES][0].spaces
    return {str(agent): config.policy_mapping_fn(agent, None) for agent in sorted(agents, key=str)}
