"""What is learned: small networks, alike for every product, that correct the heuristic's orders and prices."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

NUM_TOLD = 2
"""Features that tell the inventory of the slates shown: see `heuristic`."""


class ProductNetwork(nn.Module):
    """Numbers for every product from what is seen of it and the mean over all; 0 before it has learned.

    The same weights serve every product, so that a reordering of products reorders what comes out.

    Args:
        num_features: seen of each product.
        num_outputs: for each product.
        hidden: width of its two layers.
    """

    def __init__(self, num_features: int, num_outputs: int, *, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(num_features, hidden)
        self.own = nn.Linear(hidden, hidden)
        self.all = nn.Linear(hidden, hidden, bias=False)
        self.last = nn.Linear(hidden, num_outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Outputs, (B, N) each, of features, (B, N, F)."""
        hidden = torch.relu(self.first(features))
        hidden = torch.relu(self.own(hidden) + self.all(hidden.mean(dim=1, keepdim=True)))
        return tuple(self.last(hidden).unbind(dim=-1))


class Corrections(nn.Module):
    """The networks of both departments.

    Attributes:
        prices: of the recommender: what a unit is worth beyond this period, moved by three numbers.
        orders: of the inventory: order-up-to level and largest order, moved by one number each.

    Args:
        num_features: seen of each product.
        hidden: width of layers.
    """

    def __init__(self, num_features: int, *, hidden: int) -> None:
        super().__init__()
        self.prices = ProductNetwork(num_features, 3, hidden=hidden)
        self.orders = ProductNetwork(num_features + NUM_TOLD, 2, hidden=hidden)

    def correct_prices(self, features: Tensor) -> PriceCorrection:
        """The recommender's corrections."""
        return PriceCorrection(*self.prices(features))

    def correct_orders(self, features: Tensor) -> OrderCorrection:
        """The inventory's corrections; the features' last `NUM_TOLD` tell of the slates."""
        return OrderCorrection(*self.orders(features))


class PriceCorrection(NamedTuple):
    """Of what a sale is worth, (B, N) each.

    Attributes:
        value: added to the value of a sale, in prices.
        available: added to the stock that may be sold, in standard deviations.
        spare: added to the stock that is not missed later, in standard deviations.
    """

    value: Tensor
    available: Tensor
    spare: Tensor


class OrderCorrection(NamedTuple):
    """Of orders, (B, N) each.

    Attributes:
        level: added to the order-up-to level, in standard deviations of a protected demand.
        log_cap: the largest order is multiplied by its exponential.
    """

    level: Tensor
    log_cap: Tensor
