"""Slates at prices, in torch: as `policies.coordinated.priced_slates`, with derivatives for the prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.special import ndtr

from invrec_rllib.learning.pathwise.plan import Period
from invrec_rllib.learning.pathwise.slates import fill_slots, soft_slots
from invrec_rllib.learning.pathwise.world import World, straight_through


class Prices(NamedTuple):
    """What a unit is worth beyond this period as a function of its demand, (B, N): `policies.coordinated.Scarcity`.

    Attributes:
        available: units that may be sold this period.
        available_shift: added to them, in standard deviations of this period's demand.
        arriving: units that the next period begins with beside those left.
        spare: inventory position less the mean demand until it can be replaced, units.
        spare_shift: added to it, in standard deviations of this period's and that demand.
        spare_variance: variance of that demand, units squared.
        fixed: value of a sale before shortage counts, money.
        charge: of a sale where the unit will be missed, money.
        lost: of a customer in vain, money.
        added: to the value of one more unit asked for, money.
    """

    available: Tensor
    available_shift: Tensor
    arriving: Tensor
    spare: Tensor
    spare_shift: Tensor
    spare_variance: Tensor
    fixed: Tensor
    charge: Tensor
    lost: Tensor
    added: Tensor


def demand_variance(world: World, demand: Tensor) -> Tensor:
    """Variance of one period's demand of a mean, units squared."""
    return demand + (world.params.scenario.demand.noise_cv * demand) ** 2


def unit_value(world: World, prices: Prices, demand: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Value of one more unit asked for this period, where so many are already, money, (B, N)."""
    variance = demand_variance(world, demand) + 0.25
    deviation = torch.sqrt(variance)
    served = ndtr(
        ((prices.available - demand) / deviation + prices.available_shift) / weights["served_spread"]
    )
    spread = torch.sqrt(variance + prices.spare_variance)
    missed = ndtr(((demand - prices.spare) / spread - prices.spare_shift) / weights["shortage_spread"])
    sale = prices.fixed - prices.charge * missed
    supply = world.params.scenario.supply
    if supply.capacity is not None:
        kept = (torch.relu(prices.available - demand) + prices.arriving).sum(dim=1)
        full = ndtr((kept - supply.capacity) / torch.sqrt(variance.sum(dim=1)))
        sale = sale + weights["storage_weight"] * supply.overflow_cost * full[:, None]
    value: Tensor = served * sale - (1.0 - served) * prices.lost + prices.added
    return value


def priced_slates(
    world: World,
    here: Period,
    affinity: Tensor,
    *,
    start: Tensor,
    prices: Prices,
    weights: Mapping[str, Tensor],
    rounds: int,
    temperature: float,
) -> Tensor:
    """Slates that raise the expected value of demand where each product's value falls as demand rises, (B, M, N).

    The steps of Frank and Wolfe are those of the heuristic and have no derivative. That of the slates is taken
    of soft slots at the gains that they end with.

    Args:
        world: the world.
        here: the period.
        affinity: log-attraction, (B, M, N).
        start: exposure of the period before, (B, M, N).
        prices: of the period.
        weights: parameters of the heuristic.
        rounds: number of steps, >= 1.
        temperature: of the soft slots, in standard deviations of the gains, > 0.
    """
    period = here.number
    unexposed = world.attraction(affinity, torch.zeros_like(affinity), period=period)
    gained = world.attraction(affinity, torch.ones_like(affinity), period=period) - unexposed
    rent, slots = world.params.scenario.recommendation.exposure_cost, world.params.slots
    traffic = world.visitors[period].clamp(min=1e-9)

    def gains(exposure: Tensor) -> Tensor:
        weight = world.attraction(affinity, exposure, period=period)
        visitors = world.visitors[period] / (1.0 + weight.sum(dim=-1, keepdim=True))
        demand = weight * visitors
        value = unit_value(world, prices, demand.sum(dim=1), weights)[:, None, :]
        visitor = (demand * value).sum(dim=-1, keepdim=True) / traffic
        return gained * visitors * (value - visitor) - rent

    exposure = start.detach()
    with torch.no_grad():
        for step in range(rounds):
            best = fill_slots(gains(exposure), slots)
            exposure = best if step == 0 else exposure + 2.0 / (step + 2.0) * (best - exposure)
    if not torch.is_grad_enabled():
        return exposure
    gain = gains(exposure)
    spread = gain.detach().std(dim=-1, keepdim=True, correction=0) + 1e-6
    return straight_through(exposure, soft_slots(gain, slots, temperature=temperature * spread))
