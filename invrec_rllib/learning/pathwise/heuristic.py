"""The coordinated heuristic in torch, smooth in its parameters and in the state, with learned corrections.

Where the networks say 0 it decides as `policies.coordinated.CoordinatedPolicy`, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.special import ndtr

from invrec_rllib.learning.pathwise.features import BOUND, num_features, state_features, static_features
from invrec_rllib.learning.pathwise.networks import Corrections, PriceCorrection
from invrec_rllib.learning.pathwise.ordering import Forecast, limited_order, order_up_to_level
from invrec_rllib.learning.pathwise.plan import Period, plan_periods
from invrec_rllib.learning.pathwise.pricing import Prices, demand_variance, priced_slates
from invrec_rllib.learning.pathwise.world import World, WorldState
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.demand_plan import long_run_demand, margin_slates

# Of the search for slates, as in `policies.coordinated`.
_ROUNDS = 3


class Outlook(NamedTuple):
    """What the state says of a period, (B, N) each.

    Attributes:
        free: demand under the slates that plenty of stock would allow, units per period at season 1.
        now: the same of this period, units.
        wanted: units that the mean demand calls for beyond the inventory position.
        wanted_deviation: standard deviation of that demand, units.
        limited: chance that the supplier's limit binds.
        left_over: chance that a unit more is left at the horizon.
        spare: inventory position less the mean demand until it can be replaced, units.
        spare_variance: variance of that demand, units squared.
    """

    free: Tensor
    now: Tensor
    wanted: Tensor
    wanted_deviation: Tensor
    limited: Tensor
    left_over: Tensor
    spare: Tensor
    spare_variance: Tensor


class Heuristic:
    """Decisions of both departments, period by period.

    Args:
        world: in which it decides.
        chosen: parameters; of these `cover_periods` and `persistence` are fixed, and so is the share of the cost
            by which slates of plenty are chosen. All others come with every decision.
        temperature: of the soft slots by which slates are differentiated, in standard deviations of gains, > 0.
    """

    def __init__(self, world: World, chosen: CoordinatedParameters, *, temperature: float = 0.2) -> None:
        self.world, self._chosen, self._temperature = world, chosen, temperature
        self._long_run = world.tensor(long_run_demand(world.params, cost_weight=chosen.cost_weight))
        self._periods = plan_periods(world, chosen)
        self._static = [static_features(world, here) for here in self._periods]
        self._noise_cv = world.params.scenario.demand.noise_cv

    @property
    def num_features(self) -> int:
        """What the networks see of each product."""
        return num_features(self.world)

    def decide(
        self, state: WorldState, affinity: Tensor, *, weights: Mapping[str, Tensor], corrections: Corrections
    ) -> tuple[Tensor, Tensor]:
        """Orders and exposures of a period.

        Slates nearly maximise the value that they are priced by, so what the state does to it through them is of
        second order: the derivative of exposures is taken for the prices' parameters and networks alone. (It is
        also the noisiest part.) Orders have the derivatives of everything.

        Args:
            state: start of the period.
            affinity: what is believed of tastes, (B, M, N).
            weights: parameters of the heuristic, by name.
            corrections: networks.

        Returns:
            Orders in real numbers, (B, N), and exposures, (B, M, N).
        """
        here = self._periods[state.period]
        outlook = self._look(here, state, affinity, weights)
        features = self._features(here, state, outlook)
        known = detached(state)
        seen = Outlook(*(value.detach() for value in outlook))
        correction = corrections.correct_prices(features.detach())
        exposure = priced_slates(
            self.world,
            here,
            affinity.detach(),
            start=known.last_exposure,
            prices=self._prices(here, known, seen, correction, weights),
            weights=weights,
            rounds=_ROUNDS,
            temperature=self._temperature,
        )
        order = self._order(
            here, state, outlook, features, affinity, exposure, weights=weights, corrections=corrections
        )
        return order, exposure

    def order_told(
        self,
        state: WorldState,
        affinity: Tensor,
        *,
        exposure: Tensor,
        weights: Mapping[str, Tensor],
        corrections: Corrections,
    ) -> Tensor:
        """Orders where the exposures, (B, M, N), are given, and last: as `CoordinatedPolicy.act_told`, (B, N)."""
        here = self._periods[state.period]
        outlook = self._look(here, state, affinity, weights)
        return self._order(
            here,
            state,
            outlook,
            self._features(here, state, outlook),
            affinity,
            exposure,
            weights={**weights, "plan_share": torch.ones_like(weights["plan_share"])},
            corrections=corrections,
        )

    def _look(
        self, here: Period, state: WorldState, affinity: Tensor, weights: Mapping[str, Tensor]
    ) -> Outlook:
        world, long_run, cv = self.world, self._long_run, self._noise_cv
        wished = margin_slates(
            world.params,
            affinity.detach().double().numpy(),
            cost_weight=self._chosen.cost_weight,
            period=here.number,
        )
        now = world.mean_demand(affinity, world.tensor(wished), period=here.number).sum(dim=1)
        free = now / here.now
        now = free * here.now
        position = state.position
        wanted = weights["mean_factor"] * (now + here.covered.mean(long_run, free)) - position
        covered = here.covered.variance(cv, long_run, free)
        wanted_deviation = torch.sqrt(demand_variance(world, now) + covered + 0.25)
        beyond = (wanted - world.max_order) / wanted_deviation
        rest_deviation = torch.sqrt(here.rest.variance(cv, long_run, free) + 1.0)
        return Outlook(
            free=free,
            now=now,
            wanted=wanted,
            wanted_deviation=wanted_deviation,
            limited=ndtr(beyond / weights["shortage_spread"]),
            left_over=ndtr((position - here.rest.mean(long_run, free)) / rest_deviation),
            spare=position - here.resupply.mean(long_run, free),
            spare_variance=here.resupply.variance(cv, long_run, free),
        )

    def _features(self, here: Period, state: WorldState, outlook: Outlook) -> Tensor:
        world = self.world
        variance = demand_variance(world, outlook.now) + 0.25
        signals = [
            outlook.wanted / outlook.wanted_deviation,
            outlook.limited,
            outlook.left_over,
            outlook.spare / torch.sqrt(outlook.spare_variance + variance),
            torch.log(outlook.free / self._long_run + 1e-3),
        ]
        return state_features(
            world,
            state,
            free=outlook.free,
            now=outlook.now,
            deviation=torch.sqrt(variance),
            signals=signals,
            static=self._static[here.number],
        )

    def _prices(
        self,
        here: Period,
        state: WorldState,
        outlook: Outlook,
        correction: PriceCorrection,
        weights: Mapping[str, Tensor],
    ) -> Prices:
        world = self.world
        price, cost = world.price[here.number], world.unit_cost
        missed = price - cost + world.stockout_penalty
        # Again, for the derivatives of the parameters: what was seen of the state has none.
        beyond = (outlook.wanted - world.max_order) / outlook.wanted_deviation
        limited = ndtr(beyond / weights["shortage_spread"])
        fixed = price - weights["cost_weight"] * cost + world.holding_cost
        fixed = fixed + weights["leftover_weight"] * outlook.left_over * (cost - world.salvage_value)
        return Prices(
            available=state.on_hand + here.at_once,
            available_shift=correction.available,
            arriving=state.on_order[0] if state.on_order else torch.zeros_like(state.on_hand),
            spare=outlook.spare,
            spare_shift=correction.spare,
            spare_variance=outlook.spare_variance,
            fixed=fixed - weights["limit_weight"] * limited * missed,
            charge=weights["shortage_weight"] * missed,
            lost=weights["lost_weight"] * here.cost_in_vain,
            added=correction.value * price,
        )

    def _order(
        self,
        here: Period,
        state: WorldState,
        outlook: Outlook,
        features: Tensor,
        affinity: Tensor,
        exposure: Tensor,
        *,
        weights: Mapping[str, Tensor],
        corrections: Corrections,
    ) -> Tensor:
        world, cv = self.world, self._noise_cv
        demand = world.mean_demand(affinity, exposure, period=here.number).sum(dim=1)
        share = weights["plan_share"]
        planned = share * demand / here.now + (1.0 - share) * outlook.free
        variance = demand_variance(world, demand)
        forecast = Forecast(
            ((demand + here.covered.mean(self._long_run, planned)) / here.protected).clamp(min=1e-3),
            (variance + here.covered.variance(cv, self._long_run, planned)) / here.protected,
        )
        wanted = order_up_to_level(world, here, state, forecast, weights) - state.position
        deviation = torch.sqrt(forecast.variance * here.season + 1e-6)
        told = [(demand - outlook.now) / torch.sqrt(variance + 0.25), wanted / (deviation + 0.5)]
        seen = torch.cat([features, torch.stack(told, dim=-1).clamp(-BOUND, BOUND)], dim=-1)
        correction = corrections.correct_orders(seen)
        return limited_order(
            world,
            here,
            wanted + correction.level * deviation,
            forecast=forecast,
            cap_factor=torch.exp(correction.log_cap),
            weights=weights,
        )


def detached(state: WorldState) -> WorldState:
    """The state without its past."""
    return state._replace(
        on_hand=state.on_hand.detach(),
        on_order=tuple(slot.detach() for slot in state.on_order),
        affinity=state.affinity.detach(),
        last_exposure=state.last_exposure.detach(),
    )
