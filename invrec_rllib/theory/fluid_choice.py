"""Which demand a slate can reach, given tastes: the polytope of the fluid bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.choice import attraction
from invrec_rllib.sim.params import FloatArray, Params


@dataclass(frozen=True, eq=False)
class ChoiceBounds:
    """Attractions that H periods allow, for one path of tastes. Arrays are (H, M, N) unless said otherwise.

    With `w` a reachable attraction and `e` the exposure, `floor <= w <= unexposed + (exposed - unexposed) e`.
    Proof. Tastes are `a = a0 + kappa E - gamma U`, where `a0` is the path without carry-over and
    disappointment, and `E` and `U` are past exposures and unmet shares, each in [0, 1] a period, discounted by
    `1 - rho` a period: `0 <= E, U <= A = sum_{j < t} (1 - rho)^j`. Both forms of the lift lie at or below the
    chord between no and full exposure, the exponential one because `exp` is convex, the linear one by
    definition. `floor` takes the most disappointment, `unexposed` and `exposed` the most carry-over.

    Attributes:
        floor: least attraction [exp(a0 - gamma A)].
        unexposed: most attraction without exposure [exp(a0 + kappa A)].
        exposed: most attraction at full exposure [exp(a0 + kappa A + beta)].
        visitors: mean visitors, (H, M, 1).
    """

    floor: FloatArray
    unexposed: FloatArray
    exposed: FloatArray
    visitors: FloatArray

    @property
    def loses(self) -> bool:
        """Whether an unexposed attraction may lie below `unexposed`."""
        return bool((self.floor < self.unexposed).any())


def choice_bounds(
    params: Params, affinity: FloatArray, *, first_period: int = 0, feedback: bool = True
) -> ChoiceBounds:
    """Attractions that are within reach along a path of tastes.

    Args:
        params: the world.
        affinity: log-attraction without disappointment and carry-over, (H, M, N), as in `TastePaths`.
        first_period: period of the first entry; past actions end there.
        feedback: whether to allow for disappointment and carry-over; False takes the path as it is.
    """
    tastes, horizon = params.scenario.tastes, len(affinity)
    nothing, everything = np.zeros(affinity.shape[1:]), np.ones(affinity.shape[1:])
    unexposed, exposed = (
        np.stack([attraction(params, a, e, period=first_period + t) for t, a in enumerate(affinity)])
        for e in (nothing, everything)
    )
    floor = unexposed
    if feedback:
        kept = (1.0 - tastes.reversion) ** np.arange(horizon)
        reach = np.concatenate(([0.0], np.cumsum(kept)[:-1]))[:, None, None]
        floor = unexposed * np.exp(-tastes.disappointment * reach)
        risen = np.exp(tastes.carryover * reach)
        unexposed, exposed = unexposed * risen, exposed * risen
    return ChoiceBounds(floor, unexposed, exposed, params.visitors[first_period : first_period + horizon])


def demand_range(bounds: ChoiceBounds, slots: float) -> tuple[FloatArray, FloatArray]:
    """Least and largest mean demand of each product over all slates, units per period, (H, N) each.

    Least: all slots go to the rivals that gain the most, at their highest attraction, and the product is at its
    floor. Largest: the product alone is exposed, and its rivals are at their floor.

    Args:
        bounds: attractions within reach.
        slots: exposure budget per segment [K].
    """
    gain = bounds.exposed - bounds.unexposed
    ordered = -np.sort(-gain, axis=2)
    share = np.clip(slots - np.arange(gain.shape[2]), 0.0, 1.0)
    strongest = (ordered * share).sum(axis=2, keepdims=True)
    # Without the product itself the slots reach one rival further down.
    place = np.argsort(np.argsort(-gain, axis=2, kind="stable"), axis=2, kind="stable")
    following = np.concatenate((ordered[:, :, 1:], np.zeros_like(ordered[:, :, :1])), axis=2)
    # Moving up all that come after its place adds sum over j >= place of share_j (ordered_{j+1} - ordered_j).
    moved = share * (following - ordered)
    after = np.cumsum(moved[:, :, ::-1], axis=2)[:, :, ::-1]
    rivals = strongest + np.take_along_axis(after, place, axis=2)
    others_high = bounds.unexposed.sum(axis=2, keepdims=True) - bounds.unexposed + rivals
    others_low = bounds.floor.sum(axis=2, keepdims=True) - bounds.floor
    highest = bounds.unexposed + min(slots, 1.0) * gain
    least = bounds.visitors * bounds.floor / (1.0 + bounds.floor + others_high)
    most = bounds.visitors * highest / (1.0 + highest + others_low)
    return least.sum(axis=1), most.sum(axis=1)
