"""Exposures from scores in torch: the best slots, and a soft version to take derivatives of."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def fill_slots(scores: Tensor, slots: float) -> Tensor:
    """As `policies.recommenders.fill_slots`: full exposure for the best scores, nothing for a score <= 0.

    Args:
        scores: (..., N).
        slots: K, 0 < K <= N.

    Returns:
        (..., N), in [0, 1], at most K in sum; no derivative.
    """
    scores = scores.detach()
    count = math.ceil(slots)
    best = torch.topk(scores, count, dim=-1)
    shares = (best.values > 0.0).to(scores.dtype)
    if slots < count:
        shares[..., -1] *= slots - (count - 1)
    return torch.zeros_like(scores).scatter(-1, best.indices, shares)


def soft_slots(scores: Tensor, slots: float, *, temperature: Tensor) -> Tensor:
    """Exposures that rise with scores and use at most K slots; as the temperature falls, `fill_slots`.

    That is `env.slates.soft_top_k` over the products and as many empty places of score 0 as there are slots.

    Args:
        scores: (..., N), finite; a product of a score far below 0 is not shown.
        slots: K, 0 < K <= N.
        temperature: > 0, in units of the scores, (..., 1).

    Returns:
        (..., N), each in [0, 1], at most K in sum.
    """
    count = math.ceil(slots)
    return soft_top_k(functional.pad(scores / temperature, (0, count)), slots)[..., : scores.shape[-1]]


def soft_top_k(logits: Tensor, slots: float) -> Tensor:
    """`env.slates.soft_top_k` at temperature 1: the closed form, differentiable almost everywhere."""
    candidates = math.ceil(slots)
    best = torch.topk(logits, candidates, dim=-1).values
    last = best[..., -1:]
    shares = torch.exp((logits - last).clamp(max=0.0))
    tail = last + torch.log(shares.sum(dim=-1, keepdim=True) - (candidates - 1))
    log_scale = math.log(slots - (candidates - 1)) - tail
    for rank in range(candidates - 2, -1, -1):
        here = best[..., rank : rank + 1]
        tail = torch.logaddexp(tail, here)
        fits = math.log(slots - rank) + here <= tail
        log_scale = torch.where(fits, math.log(slots - rank) - tail, log_scale)
    return torch.exp((logits + log_scale).clamp(max=0.0))
