"""How far policies are below the best possible: the exact optimum, or an upper bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.rollout import Rollout
from invrec_rllib.evaluation.statistics import Estimate, estimate_mean, paired_difference
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.optimal import DPPolicy, solved_world
from invrec_rllib.sim.params import Params
from invrec_rllib.theory.dynamic_program import Solved
from invrec_rllib.theory.fluid import fluid_bound

_NO_INTERVAL = float("nan")


@dataclass(frozen=True)
class Gap:
    """Distance from the best possible profit.

    Attributes:
        kind: "optimum": the exact one, with exposures on a grid of quarters; "bound": what no policy exceeds.
        reference: its profit per episode, money; the optimum is exact and has no interval.
        below_percent: by policy, how much less it earns on the same episodes, percent of the reference.
        episodes: that the distances are means of.
    """

    kind: Literal["optimum", "bound"]
    reference: Estimate
    below_percent: dict[str, Estimate]
    episodes: int


def find_gap(
    params: Params,
    results: Mapping[str, Rollout],
    *,
    seed: int,
    paths: int,
    play: Callable[[Policy], Rollout],
    confidence: float,
    progress: Callable[[str, float], None],
) -> Gap:
    """Hold policies against the exact optimum of their world where it can be solved, else against the fluid bound.

    The optimum is played on the same episodes, and only its distance to a policy is measured there; so chance that
    is common to both does not blur it.

    Args:
        params: the world.
        results: by policy, the first episodes being those of the seed.
        seed: of the bound's paths.
        paths: of the bound, at most the episodes of the seed.
        play: plays a policy over the episodes of `results`.
        confidence: of the intervals.
        progress: called with "bound" and the fraction of paths done.
    """
    solved = _solved(params)
    if solved is not None:
        best = play(DPPolicy("optimum", solved.plan)).profit
        reference = Estimate(solved.value, _NO_INTERVAL, _NO_INTERVAL, _NO_INTERVAL)
        scale = 100.0 / abs(solved.value) if solved.value else _NO_INTERVAL
        below = {
            name: estimate_mean(scale * (best - found.profit), confidence=confidence)
            for name, found in results.items()
        }
        return Gap("optimum", reference, below, len(best))
    bound = fluid_bound(
        params, seed=seed, paths=paths, progress=lambda fraction: progress("bound", fraction)
    ).values
    below = {
        name: _negative(paired_difference(found.profit[:paths], bound, confidence=confidence).percent)
        for name, found in results.items()
    }
    return Gap("bound", estimate_mean(bound, confidence=confidence), below, paths)


def _solved(params: Params) -> Solved | None:
    try:
        return solved_world(params)
    except InputError:
        return None


def _negative(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.mean, -estimate.high, -estimate.low, estimate.standard_error)
