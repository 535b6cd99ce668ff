"""Advantages and value targets of many environments at once, with decisions in every step or in some only."""

from __future__ import annotations

import torch
from torch import Tensor

from invrec_rllib.errors import InputError


@torch.no_grad()
def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    *,
    next_values: Tensor,
    ends: Tensor,
    discount: float | Tensor,
    lam: float | Tensor,
    decides: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimates, and what the critic should have said.

    In every step the temporal difference is `d_t = r_t + discount x next_values_t - values_t`, and
    `A_t = d_t + discount x c_(t+1) x A_(t+1)` with `c = lam` where the action of step t+1 counted and 1 where
    it did not, up to the end of the episode or of the arrays.

    Between two decisions the differences telescope, `sum_i discount^i d_(t+i) = sum_i discount^i r_(t+i) +
    discount^k V(s_(t+k)) - V(s_t)` for decisions k steps apart. What results is hence exactly the estimate of
    the semi-Markov process that moves from decision to decision, with one factor of `lam` per decision.
    Critics learn from all steps: a step between decisions has as its target the rewards up to the next
    decision, and that decision's target from there on.

    Args:
        rewards: (T, B), or (T, B, ...) with more axes behind, such as one per agent; time is first.
        values: V(s_t), the shape of `rewards`.
        next_values: the value of what followed step t, the same shape: V(s_(t+1)); of the episode's last
            observation where it was truncated in step t; 0 where it terminated.
        ends: whether the episode ended in step t, bool, (T, B) or more axes of `rewards`.
        discount: per step [gamma]; a tensor broadcasts to the axes behind time.
        lam: trace decay per decision [lambda]; a tensor broadcasts likewise.
        decides: whether the action of step t counted, bool, shape as `ends`; None: in every step.

    Returns:
        Advantages and targets (advantages + values), each of the shape of `rewards`. Advantages of steps
        without a decision are for the targets only: mask them in an actor's loss.

    Raises:
        InputError: shapes do not fit.

    Source: Schulman et al. 2016, arXiv:1506.02438, equations 11 and 16.
    """
    for name, array in (("values", values), ("next_values", next_values)):
        if array.shape != rewards.shape:
            raise InputError(
                f"{name} has shape {tuple(array.shape)}, rewards {tuple(rewards.shape)}: must be equal"
            )
    differences = rewards + discount * next_values - values
    running = ~_with_trailing_axes(ends, rewards, name="ends")
    if decides is None:
        keep = (discount * lam) * running.to(rewards.dtype)
    else:
        counts = _with_trailing_axes(decides, rewards, name="decides").to(rewards.dtype)
        # The last step has no successor in the arrays, so that its entry is never used.
        next_counts = torch.cat([counts[1:], counts[-1:]])
        keep = discount * (1.0 - (1.0 - lam) * next_counts) * running
    steps = zip(differences.unbind(), keep.expand_as(rewards).unbind(), strict=True)
    advantage = torch.zeros_like(rewards[0])
    advantages = []
    for difference, kept in reversed(list(steps)):
        advantage = torch.addcmul(difference, kept, advantage)
        advantages.append(advantage)
    estimates = torch.stack(advantages[::-1])
    return estimates, estimates + values


def standardise(advantages: Tensor, mask: Tensor | None = None) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the entries of a mask, and 0 elsewhere.

    Args:
        advantages: any shape.
        mask: bool, same shape; None: all entries. Deviations below 1e-4 divide by 1e-4.
    """
    if mask is None:
        mask = torch.ones_like(advantages, dtype=torch.bool)
    count = mask.sum().clamp(min=1)
    centred = torch.where(mask, advantages - torch.where(mask, advantages, 0.0).sum() / count, 0.0)
    deviation = (centred.square().sum() / count).sqrt()
    return centred / deviation.clamp(min=1e-4)


def _with_trailing_axes(flags: Tensor, like: Tensor, *, name: str) -> Tensor:
    """Flags of the first axes of an array, with axes of length 1 for the rest."""
    if flags.shape != like.shape[: flags.dim()]:
        raise InputError(
            f"{name} has shape {tuple(flags.shape)}: must be the first axes of rewards' {tuple(like.shape)}"
        )
    return flags.reshape(*flags.shape, *(1,) * (like.dim() - flags.dim()))
