"""Policies as ONNX, for runtimes without torch: one file per module, checked against torch as it is written."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete
from numpy.typing import NDArray
from torch import Tensor, nn

from invrec_rllib.errors import InputError, require
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.spaces import change_of

# Largest difference between the two runtimes, relative to numbers of the order of 1.
TOLERANCE = 1e-5
_CHECKED_BATCHES = (1, 3, 8)


def export_onnx(policy: Policy, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write every module as `MODULE.onnx` (characters that files dislike are percent-encoded).

    Inputs are "observation" (batch, *shape), float32 or int64, and "state_in_NAME" (batch, *shape) of what an
    actor remembers, zero before an episode's first step. Outputs are "action", the most likely one as the
    environment takes it; "action_dist_inputs", what it follows from; and "state_out_NAME". The batch is free.

    Args:
        policy: whose modules to write.
        folder: exists already.

    Returns:
        File by module.

    Raises:
        MissingExtraError: the extra [onnx] is not installed.
        InputError: a file differs from torch by more than `TOLERANCE`; it is removed.
    """
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        require(needed, extra="onnx")
    files = {}
    for name, actor in policy.actors.items():
        file = Path(folder) / f"{quote(name, safe='')}.onnx"
        _write(actor, file)
        try:
            _check(actor, file, name=name)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        files[name] = file
    return files


def largest_difference(actor: Actor, file: Path, *, batch: int, seed: int = 0) -> float:
    """Largest difference between an ONNX file and torch, over actions, their distribution and the state.

    Differences are relative to numbers above 1. Where two logits are all but equal, actions are not compared.

    Args:
        actor: that the file was written from.
        file: the ONNX file.
        batch: of random observations and states.
        seed: of these.
    """
    runtime = require("onnxruntime", extra="onnx")
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    observations, state = _random_inputs(actor, batch, seed=seed)
    feed = {"observation": observations, **{f"state_in_{key}": value for key, value in state.items()}}
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, feed), strict=True))
    inputs, after = actor.inputs(observations, state)
    expected = {"action_dist_inputs": inputs.numpy(), **{f"state_out_{key}": v for key, v in after.items()}}
    if actor.distribution == "gaussian":
        expected["action"] = actor.act(observations, state)[0]
    gaps = [
        float((np.abs(found[name] - value) / np.maximum(np.abs(value), 1.0)).max(initial=0.0))
        for name, value in expected.items()
    ]
    return max(gaps)


class _Step(nn.Module):
    """One step of an actor: what `Actor.act` does, as one graph."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.network = actor.network
        self.actor = actor
        space = actor.action_space
        self.change = change_of(space, actor.bounds)
        if isinstance(space, Box):
            self.register_buffer("low", torch.from_numpy(space.low.copy()))
            self.register_buffer("high", torch.from_numpy(space.high.copy()))

    def forward(self, observation: Tensor, states: dict[str, Tensor] | None = None) -> Any:
        if states is None:
            inputs, after = self.network(observation), {}
        else:
            inputs, after = self.network(observation[:, None], states)
            inputs = inputs[:, 0]
        return {
            "action": self._action(inputs),
            "action_dist_inputs": inputs,
            **{f"state_out_{name}": value for name, value in after.items()},
        }

    def _action(self, inputs: Tensor) -> Tensor:
        if self.actor.distribution == "categorical":
            return inputs.argmax(dim=-1)
        if self.actor.distribution == "multi_categorical":
            space = self.actor.action_space
            sizes = space.nvec.tolist() if isinstance(space, MultiDiscrete) else []
            parts = torch.split(inputs, sizes, dim=-1)
            return torch.stack([logits.argmax(dim=-1) for logits in parts], dim=-1)
        action = inputs.chunk(2, dim=-1)[0]
        low, high = self.get_buffer("low"), self.get_buffer("high")
        if self.change == "shift":
            return low + action
        if self.change == "stretch":
            action = low + (action + 1.0) * (high - low) / 2.0
        return action if self.change is None else torch.minimum(torch.maximum(action, low), high)


def _write(actor: Actor, file: Path) -> None:
    # A batch of 1 would be taken for a constant.
    observations, state = _random_inputs(actor, 2, seed=0)
    arguments: dict[str, Any] = {"observation": torch.from_numpy(observations)}
    batch = torch.export.Dim("batch")
    free: dict[str, Any] = {"observation": {0: batch}}
    if state:
        arguments["states"] = {name: torch.from_numpy(value) for name, value in state.items()}
        free["states"] = {name: {0: batch} for name in state}
    outputs = ["action", "action_dist_inputs", *(f"state_out_{name}" for name in state)]
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Step(actor).eval(),
            (),
            kwargs=arguments,
            input_names=["observation", *(f"state_in_{name}" for name in state)],
            output_names=outputs,
            dynamic_shapes=free,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(file))


def _check(actor: Actor, file: Path, *, name: str) -> None:
    for batch in _CHECKED_BATCHES:
        gap = largest_difference(actor, file, batch=batch, seed=batch)
        # Written so that NaN fails.
        if not gap <= TOLERANCE:
            raise InputError(
                f"ONNX of {name!r} differs from torch by {gap:.1e} at a batch of {batch}, allowed is {TOLERANCE:g}"
            )


def _random_inputs(
    actor: Actor, batch: int, *, seed: int
) -> tuple[NDArray[Any], dict[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(seed)
    space = actor.observation_space
    if isinstance(space, Box):
        observations: NDArray[Any] = rng.normal(size=(batch, *space.shape)).astype(np.float32)
    else:
        sizes = getattr(space, "nvec", None)
        high = getattr(space, "n", None) if sizes is None else sizes
        observations = rng.integers(0, high, size=(batch, *(space.shape or ()))).astype(np.int64)
    state = {
        name: rng.normal(scale=0.3, size=value.shape).astype(np.float32)
        for name, value in actor.initial_state(batch).items()
    }
    return observations, state


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of its own deprecations, of torchvision, and of copies that it makes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
