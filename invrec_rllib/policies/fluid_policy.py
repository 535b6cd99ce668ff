"""Re-solve the fluid program every period for the tastes to be expected, and do what it does first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.theory.fluid import FluidSolution, solve_fluid
from invrec_rllib.theory.fluid_program import FluidStart
from invrec_rllib.theory.paths import expected_affinity


@dataclass(frozen=True)
class RollingFluid:
    """A coordinated heuristic by certainty equivalence: orders and slates of a rolling linear program.

    It is slow: one linear program per episode and period, tenths of a second each on `paper`, so it is not
    among the policies that are played by name. Whole orders are the program's, rounded; slates are its mix.

    Attributes:
        name: how tables and figures call it.
        horizon_periods: how far the program looks; what is left then is worth its unit cost. None: to the end.
        noise: whether the program holds safety stock against demand's noise (`window_values`), which takes
            several times as long.
    """

    name: str = "rolling_fluid"
    horizon_periods: int | None = 12
    noise: bool = False

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None:
        """Nothing to remember."""

    def act(self, view: View, memory: None) -> Decision:
        """Solve for each episode."""
        params = view.params
        solved = [self._solve(view, episode) for episode in range(view.state.num_episodes)]
        order = np.stack([_whole(params, solution.order[0]) for solution in solved])
        exposure = np.stack([_within_slots(params, solution.exposure[0]) for solution in solved])
        return Decision(order, exposure, None)

    def _solve(self, view: View, episode: int) -> FluidSolution:
        params, period = view.params, view.state.period
        left = params.num_periods - period
        path = expected_affinity(
            params,
            view.scores[episode],
            num_periods=left if self.horizon_periods is None else min(left, self.horizon_periods),
        )
        start = FluidStart.of_state(view.state, episode)
        return solve_fluid(params, path, start=start, feedback=False, noise=self.noise)


def _whole(params: Params, order: FloatArray) -> IntArray:
    units: IntArray = np.clip(np.rint(order).astype(np.int64), 0, params.max_order)
    return units


def _within_slots(params: Params, exposure: FloatArray) -> FloatArray:
    # The solver meets the budget to within its tolerance.
    used = exposure.sum(axis=1, keepdims=True)
    kept: FloatArray = exposure * np.minimum(1.0, params.slots / np.maximum(used, 1e-12))
    return kept
