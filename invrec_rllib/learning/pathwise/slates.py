"""Exposures from scores, differentiable: a soft top-K that may leave slots empty."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def soft_slots(scores: Tensor, slots: float, *, temperature: Tensor) -> Tensor:
    """Exposures that rise with scores and use at most K slots; as the temperature falls, `recommenders.fill_slots`.

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
    """`env.slates.soft_top_k` at temperature 1, in torch: the closed form, differentiable almost everywhere."""
    candidates = math.ceil(slots)
    best = torch.topk(logits, candidates, dim=-1).values
    last = best[..., -1:]
    shares = torch.exp((logits - last).clamp(max=0.0))
    tail = last + torch.log(shares.sum(dim=-1, keepdim=True) - (candidates - 1))
    log_scale = math.log(slots - (candidates - 1)) - tail
    for r in range(candidates - 2, -1, -1):
        here = best[..., r : r + 1]
        tail = torch.logaddexp(tail, here)
        fits = math.log(slots - r) + here <= tail
        log_scale = torch.where(fits, math.log(slots - r) - tail, log_scale)
    return torch.exp((logits + log_scale).clamp(max=0.0))
