"""What one update did to parameters and policies: relative movement, gradient norms, KL divergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDiagGaussian, TorchSquashedGaussian
from ray.rllib.utils.numpy import MAX_LOG_NN_OUTPUT, MIN_LOG_NN_OUTPUT
from torch import Tensor

from invrec_rllib.errors import InputError

# A parameter that starts at zero has moved infinitely far, relatively; this bounds the figure.
_LEAST_NORM = 1e-12


class MovementMeter:
    """Norms over groups of parameters, each in a handful of tensor operations.

    Args:
        groups: parameters of each group.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]]) -> None:
        self._parameters = [parameter for group in groups for parameter in group]
        self._group_sizes = [len(group) for group in groups]
        self._before = [torch.empty_like(parameter) for parameter in self._parameters]

    @torch.no_grad()
    def start(self) -> None:
        """Remember where the parameters are."""
        if self._parameters:
            torch._foreach_copy_(self._before, self._parameters)

    @torch.no_grad()
    def relative_movement(self) -> list[Tensor]:
        """Norm of the change since `start` over the norm of the parameters, one number per group."""
        if not self._parameters:
            return []
        torch._foreach_sub_(self._before, self._parameters)
        moved = self._norms(self._before)
        size = self._norms(self._parameters)
        return [change / norm.clamp(min=_LEAST_NORM) for change, norm in zip(moved, size, strict=True)]

    def _norms(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        each = torch.stack(torch._foreach_norm(list(tensors)))
        return [torch.linalg.vector_norm(norms) for norms in torch.split(each, self._group_sizes)]


@torch.no_grad()
def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Norm of all tensors taken together."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return norm


def policy_inputs(module: Any, batch: Mapping[str, Any]) -> Tensor | None:
    """What parameterises the policy's distribution at a batch, or None if the module has no such policy.

    The pass for inference is made, the cheapest of RLlib's forward passes: it runs the policy only, and draws nothing.
    """
    try:
        out = module.forward_inference(dict(batch))
    except (NotImplementedError, KeyError):
        # Modules of critics only do not act; nothing else of the learner needs them to.
        return None
    inputs = out.get(Columns.ACTION_DIST_INPUTS) if isinstance(out, Mapping) else None
    return inputs if isinstance(inputs, Tensor) else None


def mean_kl(module: Any, before: Tensor, after: Tensor, *, mask: Tensor | None) -> Tensor:
    """Mean KL divergence in nats from the policy before to the one after, over the rows that `mask` keeps."""
    distribution = module.get_train_action_dist_cls() or module.get_exploration_action_dist_cls()
    if isinstance(distribution, type) and issubclass(distribution, TorchSquashedGaussian):
        # One and the same invertible map squashes both: the divergence is that of the Gaussians underneath.
        distribution, before, after = TorchDiagGaussian, _clamped(before), _clamped(after)
    rows: Tensor = distribution.from_logits(before).kl(distribution.from_logits(after))
    return rows.mean() if mask is None else rows[mask.bool()].mean()


def _clamped(inputs: Tensor) -> Tensor:
    mean, log_std = inputs.chunk(2, dim=-1)
    return torch.cat([mean, log_std.clamp(MIN_LOG_NN_OUTPUT, MAX_LOG_NN_OUTPUT)], dim=-1)


def moves_policy(inputs: Tensor, groups: Mapping[str, Sequence[Tensor]]) -> set[str]:
    """Groups of parameters that a policy's inputs were computed from; the graph stays for the backward pass."""
    if inputs.grad_fn is None:
        return set()
    named = [(name, p) for name, group in groups.items() for p in group if p.requires_grad]
    slopes = torch.autograd.grad(inputs.sum(), [p for _, p in named], allow_unused=True, retain_graph=True)
    return {name for (name, _), slope in zip(named, slopes, strict=True) if slope is not None}


class PolicyMeter:
    """KL divergence of one module's policy over one update, on the first minibatch that it learned from.

    On-policy, that minibatch is a fair sample of what the policy visits, and the forward pass of the loss, made
    before the first step, has the policy before the update for nothing.
    """

    def __init__(self, module: Any, module_id: str) -> None:
        self._module = module
        self._module_id = module_id
        self._batch: Mapping[str, Any] | None = None
        self._before: Tensor | None = None
        self._acts = True
        self.parts: set[str] | None = None

    def start(self) -> None:
        """A new update begins."""
        self._batch = self._before = None

    @property
    def wants_batch(self) -> bool:
        """Whether `see` has something to do."""
        return self._acts and self._batch is None

    def see(
        self, batch: Mapping[str, Any], fwd_out: Mapping[str, Any], groups: Mapping[str, Sequence[Tensor]]
    ) -> None:
        """Take the policy before the update from the update's first minibatch."""
        inputs = fwd_out.get(Columns.ACTION_DIST_INPUTS)
        if not isinstance(inputs, Tensor):
            inputs = policy_inputs(self._module, batch)
        self._acts = inputs is not None
        if self.parts is None:
            self.parts = set() if inputs is None else moves_policy(inputs, groups)
        self._batch, self._before = batch, None if inputs is None else inputs.detach()

    @torch.no_grad()
    def finish(self) -> Tensor | None:
        """Mean KL divergence in nats of the update, or None if the module did not act or learn."""
        if self._batch is None or self._before is None:
            return None
        after = policy_inputs(self._module, self._batch)
        if after is None:
            return None
        return mean_kl(self._module, self._before, after, mask=self._batch.get(Columns.LOSS_MASK))

    def require_policy(self, part: str) -> None:
        """Refuse a drift budget of a part that moves no policy.

        Raises:
            InputError: naming module and part.
        """
        if self.parts is not None and part not in self.parts:
            raise InputError(
                f"timescales: module {self._module_id!r}, part {part!r}: drift needs a part that the policy "
                f"depends on; of this module these are: {', '.join(sorted(self.parts)) or 'none'}"
            )
