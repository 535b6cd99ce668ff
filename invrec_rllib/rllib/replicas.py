"""Several learners that stay equal: one ordered, flat all-reduce per minibatch.

RLlib wraps every module in DDP, whose all-reduces come in the order of the backward pass; with several modules that
order can differ between learners, and the gradients of different modules are then added up (ray#63819). Nor does
DDP see what is reached around its `forward` (a shared critic) or lies outside of any module (SAC's temperature),
and it waits for ever if a learner has no data of some module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from invrec_rllib.errors import InputError


@contextmanager
def without_ddp(modules: Sequence[Any]) -> Iterator[None]:
    """Keep DDP from exchanging anything of its own accord; modules that are not wrapped are left alone."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
                module.require_forward_param_sync = False
        yield


@torch.no_grad()
def share_buffers(modules: Sequence[Any]) -> None:
    """Give all learners the first one's buffers (running statistics), as DDP does."""
    buffers = [
        buffer
        for module in modules
        if isinstance(module, DistributedDataParallel) and module.broadcast_buffers
        for buffer in module.buffers()
    ]
    if buffers:
        flat = torch.cat([buffer.reshape(-1).to(torch.float64) for buffer in buffers])
        dist.broadcast(flat, src=0)
        pieces = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, piece in zip(buffers, pieces, strict=True):
            buffer.copy_(piece.view_as(buffer))


def average_figures(values: list[float | None], *, device: torch.device) -> list[float | None]:
    """Mean of each figure over the learners that have it; None where none has.

    Args:
        values: as many on every learner.
        device: of the learner: what its process group can exchange lies there.
    """
    rows = [[0.0, 0.0] if value is None else [value, 1.0] for value in values]
    sums = torch.tensor(rows, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return [total / count if count else None for total, count in sums.tolist()]


def refuse_ends_apart(apart: bool, *, modules: Sequence[Any]) -> None:
    """Stop all of several learners alike where agents end at different times; one learner, or none, goes on.

    A learner whose share holds no step of some agents has no data of their modules, for which the others would wait.

    Args:
        apart: whether this learner's share of the batch holds agents that ended before their episode.
        modules: of the learner, for the device on which its process group exchanges.

    Raises:
        InputError: some learner's share does.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return
    flag = torch.tensor(float(apart), device=next(modules[0].parameters()).device)
    dist.all_reduce(flag)
    if flag > 0:
        raise InputError(
            f"num_learners = {dist.get_world_size()}, but agents end at different times, so that learners would have "
            "unlike modules to learn from: set num_learners to 0 or 1"
        )


class GradientAverage:
    """Mean gradient over all learners, in one all-reduce whose layout no batch can change.

    Args:
        groups: parameters by module, in an order that is the same on all learners.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]]) -> None:
        self._groups = [list(group) for group in groups]
        self._parameters = [parameter for group in self._groups for parameter in group]
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._group_sizes = [sum(parameter.numel() for parameter in group) for group in self._groups]
        # Gradients, then who has one: the module, the parameter; then whether the update is over.
        self._num_flags = len(self._groups) + len(self._parameters) + 1
        dtype = torch.float32
        for parameter in self._parameters:
            dtype = torch.promote_types(dtype, parameter.dtype)
        device = self._parameters[0].device if self._parameters else None
        self._flat = torch.zeros(sum(self._sizes) + self._num_flags, dtype=dtype, device=device)

    @torch.no_grad()
    def __call__(self, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """Gradients of all parameters that had one on any learner; valid until the next call.

        A module's gradients are divided by the number of learners that learned from it at all; a parameter without
        a gradient where its module had some counts as zero there.

        Raises:
            InputError: another learner's update is over already.
        """
        given = [parameter in gradients for parameter in self._parameters]
        pieces = [
            gradients[parameter].reshape(-1).to(self._flat.dtype)
            if has
            else torch.zeros(size, dtype=self._flat.dtype, device=self._flat.device)
            for parameter, size, has in zip(self._parameters, self._sizes, given, strict=True)
        ]
        flags = [*self._modules_of(given), *map(float, given), 0.0]
        torch.cat(
            [*pieces, torch.tensor(flags, dtype=self._flat.dtype, device=self._flat.device)], out=self._flat
        )
        learners, have, over = self._reduce()
        if over:
            raise _out_of_step()
        values = self._flat[: -self._num_flags]
        for group, num_learners in zip(torch.split(values, self._group_sizes), learners, strict=True):
            if num_learners > 1:
                group.div_(num_learners)
        return {
            parameter: mean.view_as(parameter).to(parameter.dtype)
            for parameter, mean, has in zip(
                self._parameters, torch.split(values, self._sizes), have, strict=True
            )
            if has
        }

    @torch.no_grad()
    def end_update(self) -> None:
        """Make sure that the update is over on all learners; called by each after its last minibatch.

        It has the layout of a gradient, so a learner that has minibatches left meets it, and both know.

        Raises:
            InputError: another learner has minibatches left.
        """
        self._flat.zero_()
        self._flat[-1] = 1.0
        if self._reduce()[2] != dist.get_world_size():
            raise _out_of_step()

    def _reduce(self) -> tuple[list[float], list[float], float]:
        dist.all_reduce(self._flat)
        flags: list[float] = self._flat[-self._num_flags :].tolist()
        return flags[: len(self._groups)], flags[len(self._groups) : -1], flags[-1]

    def _modules_of(self, given: Sequence[bool]) -> list[float]:
        learned, start = [], 0
        for group in self._groups:
            learned.append(float(any(given[start : start + len(group)])))
            start += len(group)
        return learned


def _out_of_step() -> InputError:
    return InputError(
        f"num_learners = {dist.get_world_size()}: the learners had unlike numbers of minibatches in one update. "
        "That happens where agents end at different times and a learner's share of the batch is small or empty: "
        "raise train_batch_size_per_learner, or set num_learners to 0 or 1"
    )
