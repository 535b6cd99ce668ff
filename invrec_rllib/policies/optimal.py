"""What is exactly best in worlds small enough to solve, as policies that can be simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import Params
from invrec_rllib.theory.dynamic_program import Solved, solve
from invrec_rllib.theory.plan import Plan
from invrec_rllib.theory.under_way import plan_expecting

# Solved worlds that are kept, with tables of up to some megabytes each.
_KEPT_WORLDS = 4
# Plans for units under way that are kept, of all worlds together.
_KEPT_DELIVERIES = 64


@dataclass(frozen=True, eq=False)
class DPPolicy:
    """Decides as a plan of an exact dynamic program; it sees stock and period alone.

    Attributes:
        name: how tables and figures call it.
        plan: of the world that is played.
    """

    name: str
    plan: Plan

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None:
        """See that the plan is of this world.

        Raises:
            InputError: it is of another.
        """
        planned = self.plan.world.params.scenario
        if params.scenario != planned:
            raise InputError(
                f"{self.name} holds a plan of the scenario {planned.name}, not of this {params.scenario.name}: "
                "solve the world that is played"
            )

    def act(self, view: View, memory: None) -> Decision:
        """Look the decision up."""
        return _look_up(self.plan, view, None)


@dataclass(frozen=True)
class OptimalPolicy:
    """The firm's best plan, solved when an episode begins; exposures on a grid of quarters.

    Playing, it meets no other states than those of its plan. It also answers where units are under way that it did
    not order, exactly, and where there is more stock than the plan considers, as if there was the most of that.
    """

    name: str = "optimal"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Plan:
        """The plan; worlds solved lately are remembered.

        Raises:
            InputError: the world is too large, or has something that the solution leaves out.
        """
        return solved_world(params).plan

    def act(self, view: View, memory: Plan) -> Decision:
        """Look the decision up."""
        decision = _look_up(memory, view, memory)
        coming = view.state.on_order.sum(axis=2)
        for units in np.unique(coming[coming.any(axis=1)], axis=0):
            expecting = _look_up(_expecting(view.params, tuple(units.tolist())), view, memory)
            met = (coming == units).all(axis=1)
            decision.order[met], decision.exposure[met] = expecting.order[met], expecting.exposure[met]
        return decision


@lru_cache(maxsize=_KEPT_WORLDS)
def solved_world(params: Params) -> Solved:
    """The firm's best plan and its value; worlds solved lately are remembered.

    Raises:
        InputError: as `solve`.
    """
    return solve(params)


@lru_cache(maxsize=_KEPT_DELIVERIES)
def _expecting(params: Params, units: tuple[int, ...]) -> Plan:
    """The best plan where units join the next period, by product."""
    first, second = (*units, 0)[:2]
    return plan_expecting(solved_world(params).plan.world, (first, second))


def _look_up(plan: Plan, view: View, memory: Plan | None) -> Decision:
    world, products = plan.world, view.state.on_hand.shape[1]
    # More than the plan considers counts as the most that it does.
    on_hand = np.minimum(view.state.on_hand, world.stock_limit[:products])
    # Of a single product the second axis has one entry.
    at = (view.state.period, on_hand[:, 0], on_hand[:, 1] if products > 1 else np.zeros_like(on_hand[:, 0]))
    order = world.orders[plan.order[at]][:, :products]
    return Decision(order, world.exposures[plan.exposure[at]], memory)
