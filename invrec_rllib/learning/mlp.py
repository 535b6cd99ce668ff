"""Fully connected actors and critics, for environments of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import Normalisation, ValueOutput
from invrec_rllib.learning.memory import MemoryKind, ResidualMemory, State, remembered

Activation: TypeAlias = Literal["tanh", "relu"]
# The small last layer of an actor: its first actions hardly depend on what it sees.
HEAD_GAIN = 0.01


def _hidden_layers(input_size: int, hidden: Sequence[int], activation: Activation) -> nn.Sequential:
    """Linear layers with orthogonal weights, each followed by the activation."""
    if activation not in ("tanh", "relu"):
        raise InputError(f"activation = {activation!r}: must be 'tanh' or 'relu'")
    if not hidden:
        raise InputError("hidden = (): there must be at least one layer")
    layers: list[nn.Module] = []
    for size_in, size_out in zip([input_size, *hidden[:-1]], hidden, strict=True):
        linear = nn.Linear(size_in, size_out)
        _initialise(linear, gain=nn.init.calculate_gain(activation))
        layers += [linear, nn.Tanh() if activation == "tanh" else nn.ReLU()]
    return nn.Sequential(*layers)


def _initialise(linear: nn.Linear, gain: float) -> None:
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)


class MLPActor(nn.Module):
    """Inputs of an action distribution from a flat observation.

    Args:
        input_size: numbers in an observation, flattened; a discrete one enters one-hot.
        output_size: logits, or means of a Gaussian (entries of the action).
        hidden: widths of the layers.
        activation: "tanh" or "relu".
        initial_std: standard deviation of a Gaussian before training, one per entry, in units of the action
            space, learned apart from the observation. None: the outputs are logits.
        memory: "none", "gru" or "lstm", of the last layer's outputs and added to them.
        memory_size: width of the memory.

    Raises:
        InputError: an unknown activation or memory, or no layer.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Activation = "tanh",
        initial_std: float | None = None,
        memory: MemoryKind = "none",
        memory_size: int = 64,
    ) -> None:
        super().__init__()
        self.encoder = _hidden_layers(input_size, hidden, activation)
        self.memory = None if memory == "none" else ResidualMemory(hidden[-1], memory_size, kind=memory)
        self.head = nn.Linear(hidden[-1], output_size)
        _initialise(self.head, HEAD_GAIN)
        self.log_std = (
            None if initial_std is None else nn.Parameter(torch.full((output_size,), math.log(initial_std)))
        )

    def initial_state(self) -> State:
        """State of one environment before its first step, (H,) by name; {} without a memory."""
        return {} if self.memory is None else self.memory.memory.initial_state()

    def forward(self, observation: Tensor, state: State | None = None) -> Tensor | tuple[Tensor, State]:
        """Logits (..., output_size), or means and log standard deviations (..., 2 x output_size).

        Args:
            observation: (..., input_size); with a memory (B, T, input_size).
            state: with a memory, and only then: (B, H) by name, from before the first step.

        Returns:
            The outputs; with a memory also the state after the last step.

        Raises:
            InputError: a memory without a state, or a state without a memory.
        """
        embedded, state = remembered(self.memory, self.encoder(observation), state)
        outputs: Tensor = self.head(embedded)
        if self.log_std is not None:
            outputs = torch.cat([outputs, self.log_std.expand_as(outputs)], dim=-1)
        return outputs if state is None else (outputs, state)


class MLPCritic(nn.Module):
    """Values of a flat observation or state, one per agent.

    Args:
        input_size: numbers in a state, flattened.
        num_values: K, values per state.
        hidden: widths of the layers.
        activation: "tanh" or "relu".
        value_scale, normalisation: of the values; see `ValueOutput`, which is `output`.
        time_left_index: of the entry that is 0 where nothing more is earned, so that the value is 0 there, as in
            `ProductCritic`. None: no such rule.

    Raises:
        InputError: an unknown activation or normalisation, or no layer.
    """

    def __init__(
        self,
        input_size: int,
        *,
        num_values: int = 1,
        hidden: Sequence[int] = (64, 64),
        activation: Activation = "tanh",
        value_scale: float = 1.0,
        normalisation: Normalisation = "none",
        time_left_index: int | None = None,
    ) -> None:
        super().__init__()
        self.time_left_index = time_left_index
        self.encoder = _hidden_layers(input_size, hidden, activation)
        self.output = ValueOutput(
            hidden[-1], num_values=num_values, value_scale=value_scale, normalisation=normalisation
        )
        _initialise(self.output.linear, 1.0)

    def forward(self, observation: Tensor) -> Tensor:
        """Values (..., K), or (...) where K is 1, of observations (..., input_size)."""
        index = self.time_left_index
        alive = None if index is None else observation[..., index] > 0
        values: Tensor = self.output(self.encoder(observation), alive)
        return values
