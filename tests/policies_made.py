"""Small policies of every kind, with weights that make what they do visible."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from invrec_rllib.env.invrec_v0 import parallel_env
from invrec_rllib.env.joint import FIRM
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.build import build_actor
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.trained import Seen

SPACES: dict[str, Any] = {
    "gaussian": Box(np.array([-2.0, 0.0], np.float32), np.array([4.0, 1.0], np.float32), dtype=np.float32),
    "categorical": Discrete(3),
    "multi_categorical": MultiDiscrete([2, 3]),
}
SEEN = Box(-1.0, 1.0, (4,), np.float32)


def shaken(network: torch.nn.Module, *, seed: int = 0, spread: float = 0.5) -> torch.nn.Module:
    """The network with weights far from where training starts, so that actions and memories differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def mlp_description(distribution: str, *, memory: str = "none", seen: Any = SEEN) -> dict[str, Any]:
    """Of a small fully connected network."""
    outputs = {"gaussian": 2, "categorical": 3, "multi_categorical": 5}[distribution]
    size = {"memory_size": 3, "max_seq_len": 4} if memory != "none" else {}
    read = (
        {"kind": "discrete", "size": int(seen.n)}
        if isinstance(seen, Discrete)
        else {"kind": "box", "shape": list(seen.shape)}
    )
    return {
        "network": "mlp",
        "distribution": distribution,
        "input": read,
        "num_outputs": outputs,
        "hidden_sizes": [6, 5],
        "initial_std": 0.5,
        "memory": memory,
        **size,
    }


def mlp_actor(distribution: str, *, memory: str = "none", seen: Any = SEEN, **options: Any) -> Actor:
    """A small fully connected actor."""
    description = mlp_description(distribution, memory=memory, seen=seen)
    return Actor(
        shaken(build_actor(description)),
        description,
        observation_space=seen,
        action_space=SPACES[distribution],
        **options,
    )


def product_description(env: Any, agent: str, *, memory: str = "none") -> dict[str, Any]:
    """Of a small network that shares weights over products."""
    size = {"memory_size": 3, "max_seq_len": 4} if memory != "none" else {}
    return {
        "network": "product",
        "distribution": "gaussian",
        "layout": asdict(env.observation_layout(agent)),
        "per_cell": env.cast[agent].department == "recommender",
        "hidden": 6,
        "cell_hidden": 5,
        "initial_std": 0.3,
        "memory": memory,
        **size,
    }


def pair(
    scenario: Any = "tiny",
    *,
    memory: str = "none",
    information: Any = "full",
    with_fields: bool = True,
    adviser: str | None = None,
) -> Policy:
    """Both departments of a world, untrained but decided."""
    env = parallel_env(scenario, information=information, adviser=adviser)
    actors = {}
    for seed, agent in enumerate(env.possible_agents):
        description = product_description(env, agent, memory=memory)
        actors[agent] = Actor(
            shaken(build_actor(description), seed=seed, spread=0.2),
            description,
            observation_space=env.observation_space(agent),
            action_space=env.action_space(agent),
        )
    seen = Seen(information, adviser=adviser)
    world = (seen.within(env.params) if with_fields else seen).to_data()
    return Policy(actors, world=world, provenance={"made": "by hand"})


def firm_of(two: Policy) -> Policy:
    """The joint agent with the networks of a pair."""
    parts = {name: actor.description for name, actor in two.actors.items()}
    description = {"network": "joint", "distribution": "gaussian", "parts": parts}
    network = build_actor(description)
    for name, actor in two.actors.items():
        network.get_submodule(f"actors.{name}").load_state_dict(actor.network.state_dict())
    sizes = [actor.observation_space.shape for actor in two.actors.values()]
    actions = [actor.action_space.shape for actor in two.actors.values()]
    firm = Actor(
        network.eval(),
        description,
        observation_space=Box(-10, 10, (sum(shape[0] for shape in sizes if shape),), np.float32),
        action_space=Box(-1, 1, (sum(shape[0] for shape in actions if shape),), np.float32),
    )
    assert two.world is not None
    return Policy({FIRM: firm}, world={**two.world, "joint": True})
