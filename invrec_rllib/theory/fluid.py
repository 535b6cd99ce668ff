"""The fluid upper bound: no policy earns more on average than its linear programs over sampled tastes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray, Params, compile_scenario
from invrec_rllib.theory.fluid_choice import ChoiceBounds, choice_bounds
from invrec_rllib.theory.fluid_cuts import add_cuts, violated_cuts
from invrec_rllib.theory.fluid_information import InformationPrice, price_information
from invrec_rllib.theory.fluid_noise import window_values
from invrec_rllib.theory.fluid_program import FluidProgram, FluidStart, fluid_program
from invrec_rllib.theory.linear_program import Optimum
from invrec_rllib.theory.paths import TastePaths, sample_taste_paths

# Units by which a window's sales may exceed a cut, and the relative gain that ends the search for more.
_CUT_TOLERANCE = 0.02
_LEAST_GAIN = 2e-4
_MOST_ROUNDS = 6
# Pilot paths, and where their episodes begin, far from any that are evaluated.
_PILOTS = 6
_FIRST_PILOT = 2**31


@dataclass(frozen=True, eq=False)
class FluidSolution:
    """Optimum of one path's program over H periods. Arrays (H, N) unless said otherwise, units per period.

    Attributes:
        value: money; from period 0 on the initial stock is paid.
        order: units ordered.
        on_hand_end: units left.
        sales: first choices served.
        demand: mean demand.
        exposure: in [0, 1], (H, M, N).
        bid_price: what one more unit on hand, deliveries received, would add to the value, money.
    """

    value: float
    order: FloatArray
    on_hand_end: FloatArray
    sales: FloatArray
    demand: FloatArray
    exposure: FloatArray
    bid_price: FloatArray


@dataclass(frozen=True, eq=False)
class FluidBound:
    """Bound over B paths: the mean of `values` bounds the mean profit of every policy.

    Attributes:
        values: per path, money, (B,); the paths are those of episodes 0, ..., B - 1 of the seed, so that
            differences to a policy's profits on these episodes are paired.
        seconds: wall time of each path, (B,).
        information_priced: whether foresight of tastes was charged for.
    """

    values: FloatArray
    seconds: FloatArray
    information_priced: bool


def solve_fluid(
    params: Params,
    affinity: FloatArray,
    *,
    start: FluidStart | None = None,
    feedback: bool = True,
    noise: bool = True,
    charges: FloatArray | None = None,
) -> FluidSolution:
    """Solve the fluid program of one path of tastes.

    Args:
        params: the world.
        affinity: log-attraction without disappointment and carry-over, (H, M, N), from the start's period on.
        start: where it begins; None: at period 0 of an episode.
        feedback: whether to allow for disappointment and carry-over, as a bound must.
        noise: whether to cut off sales that demand's noise does not allow.
        charges: money per unit on hand or on order at the end of a period, (H, N), as `InformationPrice` has it.
    """
    begin = FluidStart.of_world(params) if start is None else start
    bounds = choice_bounds(params, affinity, first_period=begin.period, feedback=feedback)
    fluid = fluid_program(params, bounds, begin, stock_gain=None if charges is None else -charges)
    optimum = fluid.program.solve()
    if noise:
        optimum = _with_noise(params, bounds, fluid, optimum)
    paid = params.initial_stock_cost if begin.period == 0 else 0.0
    return _solution(fluid, optimum, paid=paid)


def _with_noise(params: Params, bounds: ChoiceBounds, fluid: FluidProgram, optimum: Optimum) -> Optimum:
    """Add violated cuts and solve again, until they gain little; every round's optimum is a bound."""
    windows = window_values(params, bounds)
    for _ in range(_MOST_ROUNDS):
        cuts = violated_cuts(fluid, windows, optimum.solution, tolerance=_CUT_TOLERANCE)
        if not cuts:
            break
        add_cuts(fluid, windows, cuts)
        before, optimum = optimum.value, fluid.program.solve()
        if before - optimum.value <= _LEAST_GAIN * abs(before):
            break
    return optimum


def _solution(fluid: FluidProgram, optimum: Optimum, *, paid: float) -> FluidSolution:
    x = optimum.solution
    nothing = np.maximum(x[fluid.buys_nothing], 1e-12)
    return FluidSolution(
        value=optimum.value - paid,
        order=x[fluid.order],
        on_hand_end=x[fluid.on_hand_end],
        sales=x[fluid.first],
        demand=x[fluid.demand],
        exposure=np.clip(x[fluid.shown] / nothing[:, :, None], 0.0, 1.0),
        bid_price=optimum.equality_prices[fluid.balance],
    )


def fluid_bound(
    scenario: Scenario | Params,
    *,
    seed: int,
    paths: int,
    noise: bool = True,
    information: bool = True,
    progress: Callable[[float], None] | None = None,
) -> FluidBound:
    """Bound the mean profit of every policy, whatever it is shown.

    Each path of tastes gives a linear program (`fluid_program`) whose value no policy exceeds in expectation on
    that path, even if it knew the path ahead. Two families of refinements keep that true of the mean: cuts for
    demand's noise (`window_values`), and a charge on what foresight of tastes gains (`InformationPrice`), which is
    only made where the supplier limits orders: elsewhere a credit on stock could be claimed without end.

    Args:
        scenario: the world.
        seed: >= 0.
        paths: how many, >= 1: episodes 0, 1, ... of the seed.
        noise: whether to add cuts for demand's noise.
        information: whether to charge for foresight.
        progress: called with the fraction of paths done.

    Raises:
        InputError: fewer than one path, or a negative seed.
    """
    if paths < 1:
        raise InputError(f"paths must be >= 1, got {paths}")
    params = scenario if isinstance(scenario, Params) else compile_scenario(scenario)
    tastes = sample_taste_paths(params, seed=seed, episodes=paths)
    price = _information_price(params, seed=seed) if information and can_price_information(params) else None
    values, seconds = np.empty(paths), np.empty(paths)
    for k in range(paths):
        started = time.perf_counter()
        charges = None if price is None else price.charges(tastes.shocks[k])
        values[k] = solve_fluid(params, tastes.affinity[k], noise=noise, charges=charges).value
        seconds[k] = time.perf_counter() - started
        if progress is not None:
            progress((k + 1) / paths)
    return FluidBound(values, seconds, price is not None)


def can_price_information(params: Params) -> bool:
    """Whether there is news to be charged for, and stock is bounded."""
    return params.scenario.tastes.noise > 0 and params.limits_orders and params.num_periods > 1


def _information_price(params: Params, *, seed: int) -> InformationPrice:
    pilots = sample_taste_paths(params, seed=seed, episodes=range(_FIRST_PILOT, _FIRST_PILOT + _PILOTS))

    def solve(charges: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        return _solve_all(params, pilots, charges)

    return price_information(params, pilots.shocks, solve)


def _solve_all(
    params: Params, tastes: TastePaths, charges: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    solved = [
        solve_fluid(params, path, noise=False, charges=None if charges is None else charges[k])
        for k, path in enumerate(tastes.affinity)
    ]
    return np.array([one.value for one in solved]), np.array([one.bid_price for one in solved])
