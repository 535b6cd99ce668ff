"""What it is worth that the departments of a small world act as one firm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import Params
from invrec_rllib.theory.dynamic_program import Solved, best_exposures, best_orders, solve
from invrec_rllib.theory.exact_world import ExactWorld
from invrec_rllib.theory.plan import Accounts, Plan, account

Pay = Literal["clicks", "sales"]
PAYS: tuple[Pay, ...] = get_args(Pay)

_MOST_ROUNDS = 60


@dataclass(frozen=True, eq=False)
class SiloedPair:
    """Two departments, each best for its own account given what the other does.

    Attributes:
        pay: what the recommender is paid by: the price of all demand ("clicks"), or of what is sold ("sales").
        plan: of the pair; of a cycle the member that earns the firm most.
        accounts: what firm and departments expect per episode under it.
        rounds: times that both departments answered before nothing changed any more, or a pair came back.
        cycle: the firm's profit under every pair that comes back in turn, money; a single one: a fixed point,
            at which neither department gains by any other policy (a Nash equilibrium in every subgame).
    """

    pay: Pay
    plan: Plan
    accounts: Accounts
    rounds: int
    cycle: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Coordination:
    """A small world solved for the firm and for its departments.

    Attributes:
        joint: the firm's best plan and its expected profit per episode, money.
        siloed: the siloed pair by what the recommender is paid by.
    """

    joint: Solved
    siloed: dict[Pay, SiloedPair]

    def value(self, pay: Pay) -> float:
        """Value of coordination: joint over siloed profit, less 1; NaN where the silos earn nothing."""
        profit = self.siloed[pay].accounts.profit
        return self.joint.value / profit - 1.0 if profit > 0.0 else float("nan")


def solve_coordination(scenario: Scenario | Params, *, exposure_step: float = 0.25) -> Coordination:
    """Solve a small world for the firm, and for silos under both pays of the recommender.

    Args:
        scenario: see `compile_exact`.
        exposure_step: width of the exposure grid.

    Raises:
        InputError: the world cannot be solved exactly.
    """
    joint = solve(scenario, exposure_step=exposure_step)
    world = joint.plan.world
    clicks = find_siloed_pair(world, "clicks")
    return Coordination(
        joint, {"clicks": clicks, "sales": find_siloed_pair(world, "sales", start=clicks.plan)}
    )


def find_siloed_pair(world: ExactWorld, pay: Pay, *, start: Plan | None = None) -> SiloedPair:
    """Let the departments answer each other in turn, the recommender first, until neither changes.

    Each answer is a best response by backward induction over all states; what is as good as before stays. The
    inventory earns the siloed reward of `env.rewards`: the profit but for the cost of exposure. The recommender
    earns that reward's clicks, or the price of what is sold in their stead. Paid by clicks its answer does not
    depend on stock, so the first round ends it. Other starts may end in other pairs.

    Args:
        world: see `compile_exact`.
        pay: what the recommender is paid by.
        start: the pair to begin with; None: nothing is ordered or shown.

    Raises:
        InputError: neither a fixed point nor a cycle within 60 rounds.
    """
    if start is None:
        nothing = np.zeros((world.params.num_periods, *world.shape), dtype=np.int64)
        start = Plan(world, nothing, nothing)
    seen = [start]
    for rounds in range(1, _MOST_ROUNDS + 1):
        shown = best_exposures(seen[-1], objective=pay).plan
        plan = best_orders(shown, objective="inventory").plan
        first = next((k for k, before in enumerate(seen) if plan.same_as(before)), None)
        if first is None:
            seen.append(plan)
            continue
        members = [(account(member), member) for member in seen[first:]]
        accounts, best = max(members, key=lambda pair: pair[0].profit)
        return SiloedPair(pay, best, accounts, rounds, tuple(found.profit for found, _ in members))
    raise InputError(
        f"the departments of {world.params.scenario.name} neither settled nor cycled in {_MOST_ROUNDS} rounds "
        f"where the recommender is paid by {pay}"
    )
