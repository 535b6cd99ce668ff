"""The last layer of a critic: one value per agent, in units of reward, from outputs of ordinary size."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from invrec_rllib.errors import InputError

Normalisation: TypeAlias = Literal["none", "running"]
NORMALISATIONS: tuple[Normalisation, ...] = ("none", "running")
# Below these a spread is rounding error of float32, or of targets that are all but equal.
MIN_STD, MIN_STD_OF_MEAN = 1e-4, 1e-3


class Moved(NamedTuple):
    """How an update of the statistics moved values, `scale x value + offset`, (K,) each.

    A bound on how far values may move by learning needs old values that have moved along.
    """

    scale: Tensor
    offset: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """What the critic says now where it said `values` before, (..., K), or (...) where K is 1."""
        return self.scale * values + self.offset


class ValueOutput(nn.Module):
    """Values `mean + std x (w features + b)`, one per agent.

    With mean 0 and a given std at first. What the two do later is the normalisation:

    - "none": nothing.
    - "running": they follow the mean and the standard deviation of the targets; values move with them.

    Losses are best taken of `normalise(values)` and `normalise(targets)`: of the order of 1 whatever the
    rewards' unit, with agents of unlike rewards weighing alike.

    Args:
        width: of the features.
        num_values: K, values per state.
        value_scale: std at first: the size of a typical return lets a small step learn it.
        normalisation: as above.
        rate: weight of the newest targets in the statistics, above 0 and up to 1. The k-th update has weight
            1/k as long as that is more, so that the first ones are plain averages.

    Raises:
        InputError: an unknown normalisation, or a rate, scale or number out of range.

    Source: van Hasselt et al. 2016, arXiv:1602.07714, section 2.1; without their rescaling of w and b (PopArt), which
    earned no more on `paper`.
    """

    mean: Tensor
    std: Tensor
    variance: Tensor
    num_updates: Tensor

    def __init__(
        self,
        width: int,
        *,
        num_values: int = 1,
        value_scale: float = 1.0,
        normalisation: Normalisation = "none",
        rate: float = 0.1,
    ) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise InputError(f"normalisation = {normalisation!r}: must be one of {', '.join(NORMALISATIONS)}")
        if not 0 < rate <= 1:
            raise InputError(f"rate = {rate}: must be above 0 and at most 1")
        if not value_scale > 0:
            raise InputError(f"value_scale = {value_scale}: must be above 0")
        if num_values < 1:
            raise InputError(f"num_values = {num_values}: must be at least 1")
        self.num_values = num_values
        self.normalisation = normalisation
        self.rate = rate
        self.linear = nn.Linear(width, num_values)
        self.register_buffer("mean", torch.zeros(num_values))
        self.register_buffer("std", torch.full((num_values,), float(value_scale)))
        self.register_buffer("variance", torch.zeros(num_values))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    def forward(self, features: Tensor, alive: Tensor | None = None) -> Tensor:
        """Values (..., K), or (...) where K is 1.

        Args:
            features: (..., width).
            alive: bool, (...): where not, the value is exactly 0, whatever the statistics. None: everywhere.
        """
        values = torch.addcmul(self.mean, self.std, self.linear(features))
        if alive is not None:
            values = values * alive[..., None]
        return values if self.num_values > 1 else values.squeeze(-1)

    def normalise(self, values: Tensor) -> Tensor:
        """Values or targets (..., K), or (...) where K is 1, less the mean and by the standard deviation."""
        if self.num_values > 1:
            return (values - self.mean) / self.std
        return (values - self.mean[0]) / self.std[0]

    @torch.no_grad()
    def update(self, targets: Tensor, mask: Tensor | None = None) -> Moved:
        """Let the statistics follow targets (..., K), or (...) where K is 1; nothing under "none".

        Args:
            targets: what the values should have been.
            mask: bool, (...) or the shape of `targets`: which of them count. None: all.

        Returns:
            How values moved by it.
        """
        return self.absorb(self.moments(targets, mask))

    @torch.no_grad()
    def moments(self, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """Number, sum and sum of squares of targets, float64, (3, K); those of several learners add up."""
        rows = targets.reshape(-1, self.num_values).double()
        number = rows.new_full((self.num_values,), float(len(rows)))
        if mask is not None:
            counted = mask.reshape(len(rows), -1).expand_as(rows)
            rows, number = torch.where(counted, rows, 0.0), counted.sum(0, dtype=rows.dtype)
        return torch.stack([number, rows.sum(0), rows.square().sum(0)])

    @torch.no_grad()
    def absorb(self, moments: Tensor) -> Moved:
        """As `update`, of targets of given `moments`; statistics without a target stay."""
        number, total, squares = moments
        stay = Moved(torch.ones_like(self.std), torch.zeros_like(self.std))
        if self.normalisation == "none" or not bool((number > 0).any()):
            return stay
        self.num_updates += 1
        weight = max(self.rate, 1.0 / int(self.num_updates))
        newest = total / number
        spread = (squares / number - newest.square()).clamp(min=0.0)
        old_mean, old_std = self.mean.clone(), self.std.clone()
        seen = number > 0
        newest, spread = torch.where(seen, newest, old_mean), torch.where(seen, spread, self.variance)
        shift = newest - old_mean
        # The variance of a mixture: within its two parts, and between their means.
        mixed = (1 - weight) * self.variance + weight * spread + weight * (1 - weight) * shift.square()
        self.variance.copy_(mixed)
        self.mean.copy_(old_mean + weight * shift)
        floor = (MIN_STD_OF_MEAN * self.mean.abs()).clamp(min=MIN_STD)
        self.std.copy_(torch.where(seen, torch.maximum(self.variance.sqrt(), floor), old_std))
        scale = self.std / old_std
        return Moved(scale, self.mean - scale * old_mean)
