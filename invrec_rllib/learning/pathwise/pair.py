"""What a search moves: the heuristic's parameters within their bounds, and the networks of both departments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrec_rllib.learning.pathwise.networks import Corrections
from invrec_rllib.policies.coordinated import CoordinatedParameters

FIXED = ("cover_periods", "persistence")
"""Parameters that enter before torch does: they stay as they are."""


class Pair(nn.Module):
    """Both departments: parameters of the heuristic, each on a scale from 0 to 1, and corrections.

    Args:
        chosen: parameters to begin with.
        num_features: what the networks see of each product.
        hidden: width of their layers.
    """

    def __init__(self, chosen: CoordinatedParameters, *, num_features: int, hidden: int) -> None:
        super().__init__()
        self.chosen, self.num_features, self.hidden = chosen, num_features, hidden
        self.corrections = Corrections(num_features, hidden=hidden)
        self._bounds = {name: pair for name, pair in chosen.bounds().items() if name not in FIXED}
        values = chosen.values()
        self.scaled = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor((values[name] - low) / (high - low), dtype=torch.float64))
                for name, (low, high) in self._bounds.items()
            }
        )

    def weights(self) -> dict[str, Tensor]:
        """Values of the parameters, by name, that have derivatives."""
        return {name: low + (high - low) * self.scaled[name] for name, (low, high) in self._bounds.items()}

    @torch.no_grad()
    def stay_within_bounds(self) -> None:
        """Move every parameter back between its bounds."""
        for value in self.scaled.values():
            value.clamp_(0.0, 1.0)
