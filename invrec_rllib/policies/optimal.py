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

# Solved worlds that are kept, with tables of up to some megabytes each.
_KEPT_WORLDS = 4


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
    """The firm's best plan, solved when an episode begins; exposures on a grid of quarters."""

    name: str = "optimal"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Plan:
        """The plan; worlds solved lately are remembered.

        Raises:
            InputError: the world is too large, or has something that the solution leaves out.
        """
        return solved_world(params).plan

    def act(self, view: View, memory: Plan) -> Decision:
        """Look the decision up."""
        return _look_up(memory, view, memory)


@lru_cache(maxsize=_KEPT_WORLDS)
def solved_world(params: Params) -> Solved:
    """The firm's best plan and its value; worlds solved lately are remembered.

    Raises:
        InputError: as `solve`.
    """
    return solve(params)


def _look_up(plan: Plan, view: View, memory: Plan | None) -> Decision:
    world, on_hand = plan.world, view.state.on_hand
    products = on_hand.shape[1]
    # Of a single product the second axis has one entry.
    at = (view.state.period, on_hand[:, 0], on_hand[:, 1] if products > 1 else np.zeros_like(on_hand[:, 0]))
    order = world.orders[plan.order[at]][:, :products]
    return Decision(order, world.exposures[plan.exposure[at]], memory)
