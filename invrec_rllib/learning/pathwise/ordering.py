"""Orders of the heuristic in torch: base-stock, projected inventory level, both capped, in real numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.special import ndtr

from invrec_rllib.learning.pathwise.plan import Period
from invrec_rllib.learning.pathwise.world import World, WorldState

# Below this tightness there is no cap: orders of a million periods' demand.
_LEAST_TIGHTNESS = 1e-6
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)


class Forecast(NamedTuple):
    """Of one period's demand at season 1: mean and variance, units, (B, N)."""

    mean: Tensor
    variance: Tensor


def order_up_to_level(
    world: World, here: Period, state: WorldState, forecast: Forecast, weights: Mapping[str, Tensor]
) -> Tensor:
    """As `policies.base_stock.order_up_to_level`, less what stockouts will have lost, units, (B, N)."""
    mean = forecast.mean * here.season * weights["mean_factor"]
    deviation = torch.sqrt(forecast.variance * here.season) * weights["safety_factor"]
    quantile = here.quantiles[0]
    capacity = world.params.scenario.supply.capacity
    if len(here.quantiles) > 1:
        assert capacity is not None
        room = capacity * weights["capacity_factor"]
        quantile = stored_quantile(here.quantiles, room, mean * here.stored_share, deviation)
    level = (mean + quantile * deviation).clamp(min=0.0)
    return level - weights["projection"] * expected_lost(here, state, forecast)


def limited_order(
    world: World,
    here: Period,
    wanted: Tensor,
    *,
    forecast: Forecast,
    cap_factor: Tensor,
    weights: Mapping[str, Tensor],
) -> Tensor:
    """What is ordered of what is wanted: whole numbers aside as `policies.order_rules.tuned_order`, units, (B, N)."""
    if not here.reviewed:
        return torch.zeros_like(wanted)
    order = torch.minimum((wanted * here.arrives).clamp(min=0.0), world.max_order)
    periods = world.params.scenario.supply.review_periods / weights["cap_tightness"].clamp(
        min=_LEAST_TIGHTNESS
    )
    return torch.minimum(order, cap_factor * periods * forecast.mean * here.rate_at_arrival)


def stored_quantile(quantiles: Tensor, capacity: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """As `policies.base_stock`: normal quantile at the lowest price of storage at which the stock fits, (B, N)."""
    last = len(quantiles) - 1
    stock = torch.relu(mean[:, None, :] + quantiles * deviation[:, None, :]).sum(dim=2)
    too_full = (stock > capacity).sum(dim=1)
    low, high = (too_full - 1).clamp(min=0), too_full.clamp(max=last)
    rows = torch.arange(len(stock))
    span = (stock[rows, low] - stock[rows, high]).clamp(min=1e-9)
    share = ((stock[rows, low] - capacity) / span).clamp(0.0, 1.0)[:, None]
    return quantiles[low] + share * (quantiles[high] - quantiles[low])


def expected_lost(here: Period, state: WorldState, forecast: Forecast) -> Tensor:
    """As `policies.order_rules.expected_lost_before_arrival`, units, (B, N)."""
    lost = torch.zeros_like(forecast.mean)
    mean, variance = state.on_hand, torch.zeros_like(forecast.mean)
    for waiting, factor, delivery in zip(here.waiting, here.ahead, state.on_order, strict=False):
        left = mean - forecast.mean * factor
        deviation = torch.sqrt((variance + forecast.variance * factor).clamp(min=1e-12))
        z = left / deviation
        above, density = ndtr(z), _DENSITY_AT_0 * torch.exp(-0.5 * z * z)
        kept = left * above + deviation * density
        square = (left**2 + deviation**2) * above + left * deviation * density
        lost = lost + waiting * (kept - left)
        mean, variance = kept + delivery, torch.relu(square - kept**2)
    return lost
