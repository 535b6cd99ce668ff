"""Networks from plain descriptions (JSON), so that what trained under RLlib can be built again without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import ValueOutput
from invrec_rllib.learning.memory import State
from invrec_rllib.learning.mlp import MLPActor, MLPCritic
from invrec_rllib.learning.product_network import JointProductActor, ProductActor, ProductCritic


def build_actor(description: Mapping[str, Any]) -> nn.Module:
    """An actor: observations, and a state where it has memory, to inputs of its action distribution.

    Args:
        description: by `network`:

            - "product": fields of `ProductActor`, with `layout` as a mapping.
            - "joint": `parts`, descriptions of "product" actors by name.
            - "mlp": `input` as of `Reader`, `num_outputs`, `hidden_sizes`, `initial_std`.

            All have `distribution`: "gaussian", "categorical" or "multi_categorical"; `memory`, and if it is not
            "none" `memory_size` and `max_seq_len`.

    Raises:
        InputError: another network.
    """
    kind = description["network"]
    if kind == "joint":
        return JointProductActor({name: _product_actor(part) for name, part in description["parts"].items()})
    if kind == "product":
        return _product_actor(description)
    if kind == "mlp":
        reader = Reader(description["input"])
        network = MLPActor(
            reader.size,
            description["num_outputs"],
            hidden=description["hidden_sizes"],
            initial_std=description["initial_std"] if description["distribution"] == "gaussian" else None,
            **_memory(description),
        )
        return ReadingActor(reader, network)
    raise InputError(f"network is {kind!r}, must be product, joint or mlp")


def build_critic(description: Mapping[str, Any]) -> nn.Module:
    """A critic with `num_values` values per state; its last layer is `output`.

    Args:
        description: `num_values`, `normalisation`, and by `network` "product" the fields of `ProductCritic`, "mlp"
            `input` as of `Reader` and `hidden_sizes`.

    Raises:
        InputError: another network.
    """
    kind = description["network"]
    common = {"num_values": description["num_values"], "normalisation": description["normalisation"]}
    if kind == "product":
        return ProductCritic(
            ObservationLayout(**description["layout"]),
            hidden=description["hidden"],
            cell_hidden=description["cell_hidden"],
            value_scale=description["value_scale"],
            time_left_index=description["time_left_index"],
            **common,
        )
    if kind == "mlp":
        reader = Reader(description["input"])
        return ReadingCritic(reader, MLPCritic(reader.size, hidden=description["hidden_sizes"], **common))
    raise InputError(f"network is {kind!r}, must be product or mlp")


class Reader(nn.Module):
    """Observations as flat numbers.

    Args:
        description: `kind` "box" with the `shape` of an observation, or "discrete" with the `size` of its range.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.num_classes = int(description["size"]) if description["kind"] == "discrete" else None
        self.shape: tuple[int, ...] = tuple(description.get("shape", ()))
        self.size: int = self.num_classes or math.prod(self.shape)

    def forward(self, observation: Tensor) -> Tensor:
        """(..., size) of observations (..., *shape), or of whole numbers (...)."""
        if self.num_classes is not None:
            return functional.one_hot(observation.long(), self.num_classes).float()
        lead = observation.shape[: observation.dim() - len(self.shape)]
        return observation.reshape(*lead, self.size).float()


class ReadingActor(nn.Module):
    """An actor of flat numbers behind a reader of observations."""

    def __init__(self, reader: Reader, network: MLPActor) -> None:
        super().__init__()
        self.reader, self.network = reader, network

    def initial_state(self) -> State:
        """As the network's."""
        return self.network.initial_state()

    def forward(self, observation: Tensor, state: State | None = None) -> Tensor | tuple[Tensor, State]:
        """As the network's."""
        result: Tensor | tuple[Tensor, State] = self.network(self.reader(observation), state)
        return result


class ReadingCritic(nn.Module):
    """A critic of flat numbers behind a reader of observations or states."""

    def __init__(self, reader: Reader, network: MLPCritic) -> None:
        super().__init__()
        self.reader, self.network = reader, network

    @property
    def output(self) -> ValueOutput:
        """The network's last layer."""
        return self.network.output

    def forward(self, observation: Tensor) -> Tensor:
        """As the network's."""
        values: Tensor = self.network(self.reader(observation))
        return values


def _product_actor(description: Mapping[str, Any]) -> ProductActor:
    return ProductActor(
        ObservationLayout(**description["layout"]),
        per_cell=description["per_cell"],
        hidden=description["hidden"],
        cell_hidden=description["cell_hidden"],
        initial_std=description["initial_std"],
        **_memory(description),
    )


def _memory(description: Mapping[str, Any]) -> dict[str, Any]:
    if description["memory"] == "none":
        return {"memory": "none"}
    return {"memory": description["memory"], "memory_size": description["memory_size"]}
