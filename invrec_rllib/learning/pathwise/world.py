"""The world in torch: periods equal to the simulator's on the same draws, and gradients through them.

Counts are the simulator's own; only their derivatives are relaxed. An order is whole, its derivative is that of
the real number (straight-through). A count of demand has the derivative of its mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import Params
from invrec_rllib.sim.poisson import poisson_quantile
from invrec_rllib.sim.randomness import PeriodDraws

# Where the supplier sets no limit: more than is ever ordered.
NO_LIMIT = 10**9


class WorldState(NamedTuple):
    """Start of a period, after its deliveries; as `sim.state.State`, in real numbers.

    Attributes:
        period: t.
        on_hand: units, (B, N).
        on_order: units that arrive in l + 1 periods, (B, N) for each l.
        affinity: log-attractions, (B, M, N).
        last_exposure: of the period before, (B, M, N); 0 at the start.
    """

    period: int
    on_hand: Tensor
    on_order: tuple[Tensor, ...]
    affinity: Tensor
    last_exposure: Tensor

    @property
    def position(self) -> Tensor:
        """Units on hand and on order, (B, N)."""
        return sum(self.on_order, self.on_hand)


def straight_through(value: Tensor, relaxed: Tensor) -> Tensor:
    """`value` exactly, with the derivative of `relaxed`; without gradients `value` itself."""
    if not relaxed.requires_grad:
        return value.detach()
    return value.detach() + (relaxed - relaxed.detach())


class World:
    """The constants of a world as tensors, and its period.

    Fixed costs of an order are paid, but their derivative, 0 or infinite, is taken as 0.

    Args:
        params: the world.
        dtype: of all numbers.

    Raises:
        InputError: the world has second choices, backorders or uncertain lead times.
    """

    def __init__(self, params: Params, *, dtype: torch.dtype = torch.float32) -> None:
        _check_supported(params)
        self.params, self.dtype = params, dtype
        self.price = self.tensor(params.price)
        self.unit_cost = self.tensor(params.unit_cost)
        self.holding_cost = self.tensor(params.holding_cost)
        self.stockout_penalty = self.tensor(params.stockout_penalty)
        self.salvage_value = self.tensor(params.salvage_value)
        self.order_cost = self.tensor(params.order_cost)
        self.max_order = self.tensor(np.minimum(params.max_order, NO_LIMIT))
        self.entry = self.tensor(params.entry[:, 0])
        self.visitors = self.tensor(params.visitors)
        self.lift = self.tensor(params.lift)
        self.log_price_ratio = None if params.log_price_ratio is None else self.tensor(params.log_price_ratio)
        self.affinity_pull = self.tensor(params.affinity_pull)
        self.organic_demand = self.tensor(params.organic_demand)

    def tensor(self, values: ArrayLike) -> Tensor:
        """A copy of numbers in the world's type."""
        return torch.from_numpy(np.array(values, dtype=np.float64)).to(self.dtype)

    def start(self, num_episodes: int) -> WorldState:
        """The start of period 0."""
        params = self.params
        on_hand = self.tensor(params.initial_on_hand).expand(num_episodes, -1)
        pipeline = self.tensor(params.initial_pipeline).expand(num_episodes, -1, -1)
        slots = list(pipeline.unbind(dim=2))
        on_hand, slots = _receive(on_hand, slots)
        affinity = self.tensor(params.affinity).expand(num_episodes, -1, -1)
        return WorldState(0, on_hand, tuple(slots), affinity, torch.zeros_like(affinity))

    def attraction(self, affinity: Tensor, exposure: Tensor, *, period: int) -> Tensor:
        """As `sim.choice.attraction`, (B, M, N)."""
        if self.log_price_ratio is not None:
            affinity = affinity - self.log_price_ratio[period]
        if self.params.scenario.demand.lift_form == "linear":
            return torch.exp(affinity) * (1.0 + torch.expm1(self.lift) * exposure)
        return torch.exp(affinity + self.lift * exposure)

    def mean_demand(self, affinity: Tensor, exposure: Tensor, *, period: int) -> Tensor:
        """As `sim.choice.mean_demand`, (B, M, N)."""
        weight = self.attraction(affinity, exposure, period=period)
        return weight * (self.visitors[period] / (1.0 + weight.sum(dim=-1, keepdim=True)))

    def play(
        self, state: WorldState, *, order: Tensor, exposure: Tensor, draws: PeriodDraws
    ) -> tuple[WorldState, Tensor]:
        """One period.

        Args:
            state: its start.
            order: whole units, (B, N).
            exposure: in [0, 1], (B, M, N).
            draws: its randomness.

        Returns:
            The start of the next period, and the profit, money, (B,).
        """
        on_hand = state.on_hand + order * self.entry[0]
        slots = [slot + order * entry for slot, entry in zip(state.on_order, self.entry[1:], strict=True)]
        demand = self._demand(state, exposure, draws)
        sales = _smaller(demand, on_hand)
        unmet, left = demand - sales, on_hand - sales
        profit = self._profit(
            state.period,
            order=order,
            exposure=exposure,
            sales=sales,
            unmet=unmet,
            on_hand=on_hand,
            slots=slots,
        )
        affinity = self._next_affinity(state.affinity, exposure, unmet / demand.clamp(min=1.0), draws)
        next_on_hand, next_slots = _receive(left, slots)
        return WorldState(state.period + 1, next_on_hand, tuple(next_slots), affinity, exposure), profit

    def _profit(
        self,
        period: int,
        *,
        order: Tensor,
        exposure: Tensor,
        sales: Tensor,
        unmet: Tensor,
        on_hand: Tensor,
        slots: list[Tensor],
    ) -> Tensor:
        params, left = self.params, on_hand - sales
        money = self.price[period] * sales - self.unit_cost * order
        money = money - self.holding_cost * left - self.stockout_penalty * unmet
        if params.charges_orders:
            money = money - self.order_cost * (order > 0)
        if period == params.num_periods - 1:
            money = money + self.salvage_value * sum(slots, left)
        profit = money.sum(dim=1)
        supply, rent = params.scenario.supply, params.scenario.recommendation.exposure_cost
        if supply.capacity is not None:
            profit = profit - supply.overflow_cost * torch.relu(on_hand.sum(dim=1) - supply.capacity)
        if rent:
            profit = profit - rent * exposure.sum(dim=(1, 2))
        return profit - params.initial_stock_cost if period == 0 else profit

    def _demand(self, state: WorldState, exposure: Tensor, draws: PeriodDraws) -> Tensor:
        mean = self.mean_demand(state.affinity, exposure, period=state.period)
        if draws.noise is not None:
            mean = mean * self.tensor(draws.noise)[:, None, :]
        drawn = poisson_quantile(mean.detach().double().numpy(), draws.demand)
        return straight_through(self.tensor(drawn.sum(axis=1)), mean.sum(dim=1))

    def _next_affinity(
        self, affinity: Tensor, exposure: Tensor, unmet_share: Tensor, draws: PeriodDraws
    ) -> Tensor:
        tastes = self.params.scenario.tastes
        moved = affinity * (1.0 - tastes.reversion) + self.affinity_pull
        if tastes.carryover:
            moved = moved + tastes.carryover * exposure
        if tastes.disappointment:
            moved = moved - (tastes.disappointment * unmet_share)[:, None, :]
        if draws.taste_noise is not None:
            moved = moved + tastes.noise * self.tensor(draws.taste_noise)
        return moved


def _receive(on_hand: Tensor, slots: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    if not slots:
        return on_hand, slots
    return on_hand + slots[0], [*slots[1:], torch.zeros_like(on_hand)]


def _smaller(demand: Tensor, on_hand: Tensor) -> Tensor:
    """Sales. At equality one customer more adds nothing, one unit of stock more or less half a sale on average."""
    half = straight_through(on_hand, 0.5 * on_hand)
    return torch.where(demand < on_hand, demand, torch.where(demand > on_hand, on_hand, half))


def _check_supported(params: Params) -> None:
    demand, supply = params.scenario.demand, params.scenario.supply
    for field, value, allowed, refused in (
        ("demand.substitution", demand.substitution, "0", demand.substitution > 0),
        ("demand.unmet", demand.unmet, "lost", params.waits),
        ("supply.delay_probabilities", list(supply.delay_probabilities), "[1]", params.random_delays),
    ):
        if refused:
            raise InputError(f"{field} is {value}: pathwise gradients need {allowed}")
