"""Which networks MTMA-PPO gives to policies and critics: plain descriptions, made from spaces and worlds."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast, get_args

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES

from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.invrec_v0 import InvRecEnv
from invrec_rllib.env.joint import FIRM
from invrec_rllib.errors import InputError
from invrec_rllib.learning.critic_names import SHARED_CRITIC, own_critic
from invrec_rllib.learning.critics import NORMALISATIONS, Normalisation
from invrec_rllib.learning.memory import MemoryKind
from invrec_rllib.learning.spaces import distribution_of
from invrec_rllib.rllib.blocks import STATE_SPACE
from invrec_rllib.rllib.register import ENV_NAME, make_world

NetworkKind = Literal["auto", "product", "mlp"]
_STD = {"inventory": 0.2, "recommender": 0.8}


@dataclass(frozen=True)
class Networks:
    """What is chosen of the networks.

    Attributes:
        kind: "product", weights shared over products and segments (`invrec_v0` only); "mlp", fully connected;
            "auto", the first where the environment allows it.
        hidden, cell_hidden: widths of the product network.
        hidden_sizes: widths of the fully connected network.
        initial_std: spread of continuous actions before training, for all policies or by policy; None: 0.2 for
            orders and 0.8 for slates, and 0.5 elsewhere.
        memory, memory_size, max_seq_len: see `MTMAPPOConfig.memory`.
        normalisation: "none" or "running", see `learning.critics.ValueOutput`; None: "running" where the
            size of returns is not known beforehand, that is elsewhere than in `invrec_v0`.
    """

    kind: NetworkKind = "auto"
    hidden: int = 32
    cell_hidden: int = 16
    hidden_sizes: tuple[int, ...] = (64, 64)
    initial_std: float | Mapping[str, float] | None = None
    memory: MemoryKind = "none"
    memory_size: int = 16
    max_seq_len: int = 26
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("kind", get_args(NetworkKind)), ("memory", get_args(MemoryKind))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, must be one of {', '.join(allowed)}")
        if self.normalisation not in (None, *NORMALISATIONS):
            raise InputError(
                f"normalisation is {self.normalisation!r}, must be one of {', '.join(NORMALISATIONS)}, or None"
            )
        sizes = {"hidden_sizes": min(self.hidden_sizes, default=1)}
        sizes |= {
            name: getattr(self, name) for name in ("hidden", "cell_hidden", "memory_size", "max_seq_len")
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"{name} is {getattr(self, name)}, must be at least 1")
        spreads = self.initial_std.values() if isinstance(self.initial_std, Mapping) else [self.initial_std]
        for spread in spreads:
            if spread is not None and not 0 < spread < np.inf:
                raise InputError(f"initial_std is {self.initial_std}, must be above 0 and finite")

    def changed(self, **options: Any) -> Networks:
        """A copy with the options that are not None.

        Raises:
            InputError: an unknown option, or a value that is not allowed.
        """
        unknown = sorted(set(options) - set(self.__dataclass_fields__))
        if unknown:
            raise InputError(f"unknown options of network: {', '.join(unknown)}")
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def std_of(self, policy: str, *, default: float) -> float:
        """Spread of a policy's actions before training."""
        if isinstance(self.initial_std, Mapping):
            return float(self.initial_std.get(policy, default))
        return default if self.initial_std is None else float(self.initial_std)

    @property
    def memory_config(self) -> dict[str, Any]:
        """What an actor's description says of memory."""
        if self.memory == "none":
            return {"memory": "none"}
        return {"memory": self.memory, "memory_size": self.memory_size, "max_seq_len": self.max_seq_len}


@dataclass
class Described:
    """Descriptions by name: of actors, and of critics with the space that each reads."""

    actors: dict[str, dict[str, Any]] = field(default_factory=dict)
    critics: dict[str, tuple[gym.Space[Any], dict[str, Any]]] = field(default_factory=dict)


def describe_networks(
    config: Any,
    policies: Mapping[str, Any],
    *,
    spaces: Mapping[str, Any],
    with_critics: bool,
    env: Any = None,
    given: Container[str] = (),
) -> Described:
    """Descriptions of the networks of a configuration.

    Args:
        config: the `MTMAPPOConfig`.
        policies: module id -> RLlib's `PolicySpec`, with spaces.
        spaces: what the env runner reports.
        with_critics: whether critics are described, or actors alone.
        env: RLlib's vector environment, where there is one.
        given: policies whose actors are described elsewhere.

    Raises:
        InputError: spaces that no built-in network reads or acts in, or policies that cover unlike agents.
    """
    networks: Networks = config.networks
    agents = _agents_of(config, policies, spaces, env)
    world = _world_of(config)
    described = Described()
    for policy, spec in policies.items():
        if policy not in given:
            described.actors[policy] = (
                _product_actor(world, networks, policy, agents[policy])
                if world is not None
                else _mlp_actor(networks, policy, spec.observation_space, spec.action_space)
            )
    if with_critics:
        for name, judged, seen in _critics(config.critic_kind, policies, agents, spaces):
            reads = "observation" if config.critic_kind == "own" else "state"
            network = (
                _product_critic(world, networks, config, judged[0] if reads == "observation" else None)
                if world is not None
                else _mlp_critic(networks, seen)
            )
            network |= {
                "agents": judged,
                "reads": reads,
                "num_values": len(judged) if reads == "state" else 1,
            }
            described.critics[name] = (seen, network)
    return described


def _agents_of(
    config: Any, policies: Mapping[str, Any], spaces: Mapping[str, Any], env: Any
) -> dict[str, list[str]]:
    """Agents of each policy, in sorted order."""
    if INPUT_ENV_SINGLE_SPACES in spaces:
        names = spaces[INPUT_ENV_SINGLE_SPACES][0].spaces
    else:
        names = env.single_observation_space.spaces if env is not None else {}
    agents: dict[str, list[str]] = {policy: [] for policy in policies}
    for name in sorted(names, key=str):
        agents[config.policy_mapping_fn(name, None)].append(name)
    return agents


def _critics(
    kind: str, policies: Mapping[str, Any], agents: Mapping[str, Sequence[str]], spaces: Mapping[str, Any]
) -> list[tuple[str, list[str], gym.Space[Any]]]:
    """Name, judged agents and space read, of every critic."""
    if kind == "own":
        return [
            (own_critic(policy), list(agents[policy]), spec.observation_space)
            for policy, spec in policies.items()
        ]
    if STATE_SPACE not in spaces:
        raise InputError("a central critic needs runners that record the global state: use BlockRunner")
    state = spaces[STATE_SPACE][0]
    if kind == "separate":
        return [(own_critic(policy), list(agents[policy]), state) for policy in policies]
    return [(SHARED_CRITIC, sorted((name for some in agents.values() for name in some), key=str), state)]


def _world_of(config: Any) -> InvRecEnv | None:
    """Our environment as the configuration makes it, where its networks are to share weights over products."""
    ours = config.env == ENV_NAME
    kind = config.networks.kind
    if kind == "product" and not ours:
        raise InputError(
            f"network kind is 'product', but the environment is {config.env!r}, not {ENV_NAME!r}"
        )
    return make_world(config.env_config) if ours and kind != "mlp" else None


def _product_actor(
    world: InvRecEnv, networks: Networks, policy: str, agents: Sequence[str]
) -> dict[str, Any]:
    if list(agents) == [FIRM]:
        parts = {name: _product_part(world, networks, name, [name]) for name in world.possible_agents}
        sequence = {"max_seq_len": networks.max_seq_len} if networks.memory != "none" else {}
        return {"network": "joint", "distribution": "gaussian", "parts": parts, **sequence}
    return _product_part(world, networks, policy, agents)


def _product_part(world: InvRecEnv, networks: Networks, policy: str, agents: Sequence[str]) -> dict[str, Any]:
    cast = [world.cast[name] for name in agents]
    layouts = {world.observation_layout(agent.name) for agent in cast}
    departments = {agent.department for agent in cast}
    if len(layouts) != 1 or len(departments) != 1:
        raise InputError(
            f"policy {policy!r} must decide for agents of one department that see alike, got {sorted(agents)}"
        )
    department = departments.pop()
    return {
        "network": "product",
        "distribution": "gaussian",
        "layout": asdict(layouts.pop()),
        "per_cell": department == "recommender",
        "hidden": networks.hidden,
        "cell_hidden": networks.cell_hidden,
        "initial_std": networks.std_of(policy, default=_STD[department]),
        **networks.memory_config,
    }


def _product_critic(world: InvRecEnv, networks: Networks, config: Any, agent: str | None) -> dict[str, Any]:
    """Of the state, or of one agent's observations."""
    layout = world.state_layout if agent is None else world.observation_layout(agent)
    role = "state" if agent is None else world.cast[agent].department
    encoder = encoder_for(world.params, role, config.env_config.get("information", "observed"))
    return {
        "network": "product",
        "layout": asdict(layout),
        "hidden": networks.hidden,
        "cell_hidden": networks.cell_hidden,
        # Rewards are near 1 per period: a return is about the effective horizon.
        "value_scale": min(1.0 / max(1.0 - config.gamma, 1e-6), float(world.params.num_periods)),
        # Globals come first for every agent, so that the index is the same for a part of a department, and with
        # an adviser.
        "time_left_index": encoder.index_of_global("periods_left"),
        "normalisation": networks.normalisation or "none",
    }


def _mlp_actor(
    networks: Networks, policy: str, seen: gym.Space[Any], decided: gym.Space[Any]
) -> dict[str, Any]:
    distribution, outputs = _distribution(policy, decided)
    return {
        "network": "mlp",
        "distribution": distribution,
        "input": _input(policy, seen),
        "num_outputs": outputs,
        "hidden_sizes": list(networks.hidden_sizes),
        "initial_std": networks.std_of(policy, default=0.5),
        **networks.memory_config,
    }


def _mlp_critic(networks: Networks, seen: gym.Space[Any]) -> dict[str, Any]:
    return {
        "network": "mlp",
        "input": _input("critic", seen),
        "hidden_sizes": list(networks.hidden_sizes),
        "normalisation": networks.normalisation or "running",
    }


def _input(module: str, space: gym.Space[Any]) -> dict[str, Any]:
    """How a network reads a space: numbers as they are, a category as one-hot."""
    if isinstance(space, Box):
        return {"kind": "box", "shape": list(space.shape)}
    if isinstance(space, Discrete):
        return {"kind": "discrete", "size": int(space.n)}
    raise InputError(
        f"{module}: observation space {space} is neither Box nor Discrete; flatten it in the environment "
        "(gymnasium.wrappers.FlattenObservation, supersuit) before MTMAPPO sees it"
    )


def _distribution(policy: str, space: gym.Space[Any]) -> tuple[str, int]:
    """Kind of the action distribution, and numbers that the network gives for it."""
    kind = distribution_of(space)
    if kind is None:
        raise InputError(
            f"{policy}: action space {space} must be a Box of one axis, Discrete, or a MultiDiscrete of one axis"
        )
    if isinstance(space, Discrete):
        return kind, int(space.n)
    return kind, int(space.nvec.sum()) if isinstance(space, MultiDiscrete) else cast(Box, space).shape[0]
