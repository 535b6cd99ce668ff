"""Several learners that stay equal: one ordered, flat all-reduce per minibatch.

RLlib wraps every module in DDP, whose all-reduces come in the order of the backward pass; with several modules that
order can differ between learners, and the gradients of different modules are then added up (ray#63819). Nor does
DDP see what is reached around its `forward` (a shared critic) or lies outside of any module (SAC's temperature).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def local_backward(modules: Sequence[Any]) -> Iterator[None]:
    """Keep DDP from reducing gradients of its own accord; modules that are not wrapped are left alone."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, torch.nn.parallel.DistributedDataParallel):
                stack.enter_context(module.no_sync())
        yield


class GradientAverage:
    """Mean gradient over all learners, in one all-reduce whose layout no batch can change.

    Args:
        groups: parameters by module, in an order that is the same on all learners.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]]) -> None:
        self._groups = [list(group) for group in groups]
        self._parameters = [parameter for group in self._groups for parameter in group]
        dtype = torch.float32
        for parameter in self._parameters:
            dtype = torch.promote_types(dtype, parameter.dtype)
        device = self._parameters[0].device if self._parameters else None
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._num_counts = len(self._groups) + len(self._parameters)
        self._flat = torch.zeros(sum(self._sizes) + self._num_counts, dtype=dtype, device=device)

    @torch.no_grad()
    def __call__(self, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """Gradients of all parameters that had one on any learner.

        A module's gradients are divided by the number of learners that learned from it at all; a parameter without
        a gradient where its module had some counts as zero there.
        """
        if not self._parameters:
            return dict(gradients)
        given = [parameter in gradients for parameter in self._parameters]
        pieces = [
            gradients[parameter].reshape(-1).to(self._flat.dtype)
            if has
            else torch.zeros(size, dtype=self._flat.dtype, device=self._flat.device)
            for parameter, size, has in zip(self._parameters, self._sizes, given, strict=True)
        ]
        torch.cat([*pieces, self._counts(given)], out=self._flat)
        dist.all_reduce(self._flat)
        counts = self._flat[-self._num_counts :].tolist()
        learners, have = counts[: len(self._groups)], counts[len(self._groups) :]
        views = torch.split(self._flat[: -self._num_counts], self._sizes)
        averaged: dict[Tensor, Tensor] = {}
        index = 0
        for group, num_learners in zip(self._groups, learners, strict=True):
            for parameter in group:
                if have[index]:
                    mean = views[index].view_as(parameter) / num_learners
                    averaged[parameter] = mean.to(parameter.dtype)
                index += 1
        return averaged

    def _counts(self, given: Sequence[bool]) -> Tensor:
        learned, start = [], 0
        for group in self._groups:
            learned.append(float(any(given[start : start + len(group)])))
            start += len(group)
        return torch.tensor(
            learned + [float(has) for has in given], dtype=self._flat.dtype, device=self._flat.device
        )


def average_figures(values: list[float | None]) -> list[float | None]:
    """Mean of each figure over the learners that have it; None where none has."""
    sums = torch.tensor(
        [[0.0, 0.0] if value is None else [value, 1.0] for value in values], dtype=torch.float64
    )
    dist.all_reduce(sums)
    return [total / count if count else None for total, count in sums.tolist()]
