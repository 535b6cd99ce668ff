"""What the networks see of each product: its stock, pipeline and prospects, and where in the season it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invrec_rllib.learning.pathwise.plan import Period
from invrec_rllib.learning.pathwise.world import World, WorldState

BOUND = 5.0
"""The networks see numbers, of about 1 as they are, within this distance of 0."""
# Periods to the horizon from which on it counts as far, and over which its nearness fades.
_FAR_PERIODS = 10.0
_FADING_PERIODS = 3.0
_NUM_DYNAMIC = 10
_NUM_STATIC = 11


def num_features(world: World) -> int:
    """How many numbers are seen of each product."""
    stored = 2 if world.params.scenario.supply.capacity is not None else 0
    return _NUM_DYNAMIC + world.params.pipeline_length + stored + _NUM_STATIC


def static_features(world: World, here: Period) -> Tensor:
    """What does not depend on the state, (N, `_NUM_STATIC`)."""
    params, t = world.params, here.number
    price, organic = world.price[t], world.organic_demand
    left = params.num_periods - t
    lead_time = world.tensor(params.lead_time)
    rows = [
        (price - world.unit_cost) / price,
        lead_time / 3.0,
        (world.max_order / organic).clamp(max=3.0),
        here.now,
        here.protected / (lead_time + 1.0),
        here.arrives,
        organic / organic.mean(),
        price / price.mean(),
        *(
            torch.full_like(price, number)
            for number in (
                t / params.num_periods,
                min(left, _FAR_PERIODS) / _FAR_PERIODS,
                float(np.exp(-left / _FADING_PERIODS)),
            )
        ),
    ]
    return torch.stack(rows, dim=-1).clamp(-BOUND, BOUND)


def state_features(
    world: World,
    state: WorldState,
    *,
    free: Tensor,
    now: Tensor,
    deviation: Tensor,
    signals: list[Tensor],
    static: Tensor,
) -> Tensor:
    """All that is seen of each product, (B, N, F), bounded.

    Args:
        world: the world.
        state: start of the period.
        free: demand under the slates that plenty of stock would allow, units per period at season 1, (B, N).
        now: the same of this period, (B, N).
        deviation: its standard deviation, (B, N).
        signals: what the heuristic reads from the state, five numbers near 1, (B, N) each.
        static: of the period.
    """
    organic = world.organic_demand
    rows = [
        state.on_hand / organic,
        *(slot / organic for slot in state.on_order),
        state.position / organic,
        free / organic,
        torch.log(free / organic + 1e-3),
        (state.on_hand - now) / deviation,
        *signals,
    ]
    capacity = world.params.scenario.supply.capacity
    if capacity is not None:
        after = torch.relu(sum(state.on_order[:1], state.on_hand - now))
        for stock in (state.on_hand, after):
            rows.append((stock.sum(dim=1, keepdim=True) / capacity - 1.0).expand(now.shape))
    seen = torch.stack(rows, dim=-1).clamp(-BOUND, BOUND)
    return torch.cat([seen, static.expand(*seen.shape[:2], -1)], dim=-1)
