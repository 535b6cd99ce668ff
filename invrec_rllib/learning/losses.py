"""The terms of PPO's loss as pure functions; padding is masked out of every mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from invrec_rllib.errors import InputError


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the entries of a mask, a scalar; 0 where the mask is empty.

    Args:
        values: any shape. What is masked out gets no gradient.
        mask: bool, the shape of `values` or of its first axes; None: all entries.
    """
    if mask is None:
        return values.mean()
    mask = mask.reshape(*mask.shape, *(1,) * (values.dim() - mask.dim())).expand_as(values)
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def clipped_surrogate(
    logp: Tensor, old_logp: Tensor, *, advantages: Tensor, clip: float, mask: Tensor | None = None
) -> Tensor:
    """PPO's policy loss, to be minimised: minus the lesser of the plain and the clipped gain.

    Args:
        logp: log-probabilities of the actions taken, under the policy that learns, any shape.
        old_logp: under the policy that acted.
        advantages: same shape.
        clip: bound on the probability ratio, 1 +- clip.
        mask: which entries count.

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7.
    """
    # A masked entry's ratio must not overflow, since 0 times infinity would poison the gradient.
    difference = logp - old_logp if mask is None else torch.where(mask, logp - old_logp, 0.0)
    ratio = difference.exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages)
    return -masked_mean(gain, mask)


def value_loss(
    values: Tensor,
    targets: Tensor,
    *,
    old_values: Tensor | None = None,
    clip: float | None = None,
    huber: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Half the mean squared error of a critic, to be minimised, with an optional bound on its movement.

    With a bound the loss is the greater of the plain error and that of the clipped prediction,
    `old + clamp(value - old, -clip, clip)`: once a value has moved by `clip` towards its target it is left
    alone, and one that is too far off on the wrong side is pulled back at full strength. Clamping the *loss*
    instead, as RLlib's PPO does, takes the gradient from exactly those predictions that are furthest off.

    Args:
        values: predictions that learn, any shape; with several agents on the last axis.
        targets: same shape.
        old_values: predictions before this round of learning; needed for a clip.
        clip: how far a value may move towards its target in one round, in the units of `values`. None: any.
        huber: error beyond which the loss grows linearly, in the same units. None: quadratic throughout.
        mask: which entries count, the shape of `values` or of its first axes.

    Raises:
        InputError: a clip without old values.

    Source: the clipping is Schulman et al.'s in OpenAI Baselines' ppo2.
    """
    losses = _half_square(values - targets, huber)
    if clip is not None:
        if old_values is None:
            raise InputError(f"clip = {clip}, but old_values = None: a clip is a bound on the move from them")
        moved = old_values + (values - old_values).clamp(-clip, clip)
        losses = torch.maximum(losses, _half_square(moved - targets, huber))
    return masked_mean(losses, mask)


def _half_square(errors: Tensor, huber: float | None) -> Tensor:
    if huber is None:
        return 0.5 * errors.square()
    return functional.huber_loss(errors, torch.zeros_like(errors), reduction="none", delta=huber)


def gaussian_logp(inputs: Tensor, actions: Tensor) -> Tensor:
    """Log-densities (...) of actions (..., A) under means and log standard deviations, inputs (..., 2 A)."""
    mean, log_std = inputs.chunk(2, dim=-1)
    scaled = (actions - mean) * (-log_std).exp()
    return (-0.5 * scaled.square() - log_std).sum(dim=-1) - 0.5 * math.log(2 * math.pi) * mean.shape[-1]


def gaussian_kl(inputs_old: Tensor, inputs_new: Tensor) -> Tensor:
    """KL(old || new) (...) of Gaussians with independent entries, inputs (..., 2 A): means, log deviations."""
    old_mean, old_log_std = inputs_old.chunk(2, dim=-1)
    mean, log_std = inputs_new.chunk(2, dim=-1)
    # The difference of logarithms is exact where the two are equal, so that the KL is 0 there.
    change = old_log_std - log_std
    moved = (old_mean - mean) * (-log_std).exp()
    return (0.5 * ((2 * change).exp() + moved.square() - 1.0) - change).sum(dim=-1)


def gaussian_entropy(inputs: Tensor) -> Tensor:
    """Entropy (...) of Gaussians with independent entries, inputs (..., 2 A): means, log deviations."""
    log_std = inputs.chunk(2, dim=-1)[1]
    return (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)


def categorical_logp(inputs: Tensor, actions: Tensor) -> Tensor:
    """Log-probabilities (...) of actions (...), whole numbers, under logits (..., A)."""
    return inputs.log_softmax(dim=-1).gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)


def categorical_kl(inputs_old: Tensor, inputs_new: Tensor) -> Tensor:
    """KL(old || new) (...) of distributions with logits (..., A)."""
    old, new = inputs_old.log_softmax(dim=-1), inputs_new.log_softmax(dim=-1)
    # A logit of minus infinity (a masked action) has probability 0 and adds nothing.
    return torch.where(old.isneginf(), 0.0, old.exp() * (old - new)).sum(dim=-1)


def categorical_entropy(inputs: Tensor) -> Tensor:
    """Entropy (...) of distributions with logits (..., A)."""
    logs = inputs.log_softmax(dim=-1)
    return -torch.where(logs.isneginf(), 0.0, logs.exp() * logs).sum(dim=-1)
