"""RLlib's default module of PPO as one of our plain networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from torch import nn

from invrec_rllib.errors import InputError
from invrec_rllib.learning.export import build_with_weights
from invrec_rllib.learning.spaces import distribution_of

_ENCODERS = ("encoder.actor_encoder.net.mlp.", "encoder.encoder.net.mlp.")
_HEAD = "pi.net.mlp.0."


def describe_default_module(name: str, module: DefaultPPOTorchRLModule) -> tuple[nn.Module, dict[str, Any]]:
    """The same network as `learning.build.build_actor` makes it, and its description.

    Args:
        name: for errors.
        module: without memory, convolutions or layer norms, with tanh between layers and one layer for the head.

    Raises:
        InputError: another architecture.
    """
    weights = module.state_dict()
    prefix = next((start for start in _ENCODERS if any(key.startswith(start) for key in weights)), None)
    layers = _sequence(module, prefix)
    linear = [layer for layer in layers[::2] if isinstance(layer, nn.Linear)]
    head = [key for key in weights if key.startswith("pi.net.")]
    space = module.observation_space
    plain = 2 * len(linear) == len(layers) and all(isinstance(layer, nn.Tanh) for layer in layers[1::2])
    if not linear or not plain or head != [f"{_HEAD}weight", f"{_HEAD}bias"]:
        raise InputError(
            f"module {name!r} is RLlib's default, but not fully connected layers with tanh and one for the head: "
            "only this can be exported"
        )
    distribution, outputs = _distribution(module.action_space), weights[f"{_HEAD}bias"].shape[0]
    if not isinstance(space, Box) or distribution is None or module.pi.__class__.__name__ != "TorchMLPHead":
        raise InputError(
            f"module {name!r} reads {space} and decides in {module.action_space}: only boxes are read, and actions "
            "are a Box of one axis, Discrete or MultiDiscrete"
        )
    description = {
        "network": "mlp",
        "distribution": distribution,
        "input": {"kind": "box", "shape": list(space.shape)},
        "num_outputs": outputs,
        "hidden_sizes": [layer.out_features for layer in linear],
        # Both halves of the outputs depend on the observation, the log standard deviations too.
        "initial_std": None,
        "memory": "none",
    }
    own = {
        f"network.encoder.{key.removeprefix(prefix or '')}": value
        for key, value in weights.items()
        if prefix is not None and key.startswith(prefix)
    }
    own |= {f"network.head.{kind}": weights[f"{_HEAD}{kind}"] for kind in ("weight", "bias")}
    return build_with_weights(description, own), description


def _sequence(module: nn.Module, prefix: str | None) -> list[nn.Module]:
    return [] if prefix is None else list(module.get_submodule(prefix.removesuffix(".")).children())


def _distribution(space: Any) -> str | None:
    whole_numbers = isinstance(space, Box) and not np.issubdtype(space.dtype, np.floating)
    return None if whole_numbers else distribution_of(space)
