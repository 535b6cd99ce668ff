"""What is exactly best where further units are under way, which no plan of a small world meets by itself.

With lead times up to 1 nothing is under way when a period is decided, so states are stock alone. To ask what an
optimum makes of a delivery that is still to come, such a delivery is given to it once.
"""

from __future__ import annotations

import numpy as np

from invrec_rllib.theory.dynamic_program import bellman
from invrec_rllib.theory.exact_world import ExactWorld
from invrec_rllib.theory.plan import Plan


def plan_expecting(world: ExactWorld, units: tuple[int, int]) -> Plan:
    """The best decision of every period and state in which units beyond stock and orders join the next period.

    Each is the first of an episode that is played as well as possible from there on, with nothing further under way.

    Args:
        world: whose stock limit does not bind; stock that would exceed it counts as the limit.
        units: that arrive with the next period of either product, >= 0.
    """
    periods = world.params.num_periods
    order = np.zeros((periods, *world.shape), dtype=np.int64)
    exposure = np.zeros_like(order)
    arrived = np.ix_(
        *(
            np.minimum(np.arange(size) + extra, size - 1)
            for size, extra in zip(world.shape, units, strict=True)
        )
    )
    ahead = world.salvage
    for t in range(periods - 1, -1, -1):
        expecting = bellman(world, t, ahead[arrived], objective="profit")
        order[t], exposure[t] = expecting.order, expecting.exposure
        ahead = bellman(world, t, ahead, objective="profit").value
    return Plan(world, order, exposure)
