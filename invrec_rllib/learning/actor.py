"""One trained network that acts: observations to actions, in plain torch, with or without memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from invrec_rllib.errors import InputError
from invrec_rllib.learning.spaces import ActionBounds, Space, converter

# What an actor remembers: arrays by name, (*shape) of one environment or (B, *shape) of a batch.
ActorState: TypeAlias = dict[str, NDArray[np.float32]]

DISTRIBUTIONS = ("gaussian", "categorical", "multi_categorical")


class Actor:
    """A network of `learning.build.build_actor` with what is needed to act with it.

    Actions are those of RLlib's own inference: the distribution's most likely action or a draw from it, then
    what RLlib's runners do to it before the environment gets it.

    Args:
        network: observations (B, D), or with a memory (B, T, D) and a state, to inputs of the distribution.
        description: that it was built from; its `distribution` is "gaussian" (means and log standard
            deviations), "categorical" or "multi_categorical" (logits).
        observation_space: of one environment.
        action_space: of one environment.
        bounds: what becomes of actions outside the space; see `spaces.change_of`.

    Raises:
        InputError: another distribution.
    """

    def __init__(
        self,
        network: nn.Module,
        description: Mapping[str, Any],
        *,
        observation_space: Space,
        action_space: Space,
        bounds: ActionBounds = "unsquash",
    ) -> None:
        self.distribution: str = description["distribution"]
        if self.distribution not in DISTRIBUTIONS:
            raise InputError(
                f"distribution is {self.distribution!r}, must be one of {', '.join(DISTRIBUTIONS)}"
            )
        self.network, self.description = network, dict(description)
        self.observation_space, self.action_space = observation_space, action_space
        self.bounds: ActionBounds = bounds

    @property
    def is_stateful(self) -> bool:
        """Whether it remembers."""
        return bool(self._first_state())

    def initial_state(self, batch: int | None = None) -> ActorState:
        """What it remembers before the first step: arrays (*shape), or (batch, *shape), by name.

        Args:
            batch: number of environments side by side; None: a single one.
        """
        first = {name: value.numpy().copy() for name, value in self._first_state().items()}
        if batch is None:
            return first
        return {name: np.tile(value, (batch, *[1] * value.ndim)) for name, value in first.items()}

    def inputs(self, observations: ArrayLike, state: Mapping[str, ArrayLike]) -> tuple[Tensor, ActorState]:
        """Inputs of the distribution, (B, P), for a batch of observations, and the state after them.

        Args:
            observations: (B, *shape of the observation space).
            state: arrays (B, *shape) by name; {} without a memory.

        Raises:
            InputError: a wrong shape, or a state that is not this network's.
        """
        seen = self._check_observations(np.asarray(observations))
        before = self._check_state(state, batch=len(seen))
        with torch.no_grad():
            if not before:
                return self.network(seen), {}
            outputs, after = self.network(seen[:, None], before)
        return outputs[:, 0], {name: value.numpy() for name, value in after.items()}

    def act(
        self,
        observation: ArrayLike,
        state: Mapping[str, ArrayLike],
        *,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[NDArray[Any], ActorState]:
        """The environment's action, and the state after the step.

        Args:
            observation: of one environment, or of a batch, (B, *shape); state and action are alike.
            state: as `initial_state` or the last `act` gave it.
            deterministic: the most likely action; else one drawn.
            generator: to draw with; None: torch's global one.

        Raises:
            InputError: a wrong shape, or a state that is not this network's.
        """
        seen = np.asarray(observation)
        single = seen.shape == self.observation_space.shape
        if single:
            seen = seen[None]
            state = {name: np.asarray(value)[None] for name, value in state.items()}
        inputs, after = self.inputs(seen, state)
        drawn = self._most_likely(inputs) if deterministic else self._draw(inputs, generator)
        to_env = converter(self.action_space, self.bounds)
        action = drawn.numpy() if to_env is None else to_env(drawn.numpy())
        if single:
            return action[0], {name: value[0] for name, value in after.items()}
        return action, after

    def _first_state(self) -> dict[str, Tensor]:
        return cast("dict[str, Tensor]", cast(Any, self.network).initial_state())

    def _check_observations(self, seen: NDArray[Any]) -> Tensor:
        shape = self.observation_space.shape or ()
        if seen.shape[1:] != shape or seen.ndim != len(shape) + 1:
            raise InputError(
                f"observation has shape {seen.shape}, must be {shape}, or {('B', *shape)} for a batch of B"
            )
        # Networks read floats from a box, and categories as whole numbers.
        dtype = np.float32 if isinstance(self.observation_space, Box) else np.int64
        return torch.from_numpy(np.array(seen, dtype=dtype))

    def _check_state(self, state: Mapping[str, ArrayLike], *, batch: int) -> dict[str, Tensor]:
        first = self._first_state()
        if set(state) != set(first):
            raise InputError(
                f"state has {sorted(state)}, must have {sorted(first)}: take it from initial_state(), or from the "
                "last act()"
            )
        arrays = {name: np.array(value, dtype=np.float32) for name, value in state.items()}
        for name, array in arrays.items():
            expected = (batch, *first[name].shape)
            if array.shape != expected:
                raise InputError(f"state {name!r} has shape {array.shape}, must be {expected}")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _most_likely(self, inputs: Tensor) -> Tensor:
        if self.distribution == "gaussian":
            return inputs.chunk(2, dim=-1)[0]
        return self._of_logits(inputs, lambda logits: logits.argmax(dim=-1))

    def _draw(self, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.distribution == "gaussian":
            mean, log_std = inputs.chunk(2, dim=-1)
            return torch.normal(mean, log_std.exp(), generator=generator)

        def draw(logits: Tensor) -> Tensor:
            return torch.multinomial(logits.softmax(dim=-1), 1, replacement=True, generator=generator)[:, 0]

        return self._of_logits(inputs, draw)

    def _of_logits(self, inputs: Tensor, choose: Any) -> Tensor:
        if self.distribution == "categorical":
            return cast(Tensor, choose(inputs))
        sizes = cast(MultiDiscrete, self.action_space).nvec.tolist()
        return torch.stack([choose(logits) for logits in torch.split(inputs, sizes, dim=-1)], dim=-1)
