"""Where the gain of a coordinated pair comes from: its departments exchanged, one at a time, for the baseline's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from invrec_rllib.evaluation.rollout import Rollout
from invrec_rllib.evaluation.statistics import Difference, paired_difference
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.spliced import SplicedPolicy, ToldPolicy
from invrec_rllib.policies.tuned import TunedPolicy
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray

PARTS: dict[str, str] = {
    "orders": "its orders, the baseline's slates",
    "rule": "of these: another order rule and tastes known, past slates alone seen",
    "told": "of these: told of the slates to come",
    "slates": "its slates, the baseline's orders",
    "interaction": "both together, beyond their sum",
    "total": "the pair over the baseline",
    "coordination": "of these: the pair over its order rule alone",
}
"""What each part of a gain over the baseline is of.

Orders, slates and interaction add up to the total, rule and told to the orders, rule and coordination to the total.
Where departments have nothing to tell each other, told, slates, interaction and coordination are 0.
"""

_OF_TOLD_PAIRS = ("rule", "told", "coordination")

QUANTITIES: tuple[str, ...] = ("profit", "sales_units")


@dataclass(frozen=True)
class Decomposition:
    """The gain of a pair over a baseline, in parts.

    Attributes:
        policy: the pair.
        baseline: whose departments are exchanged.
        told: whether the pair's orders can be told of slates that are not its own. Else they are planned for its
            own, and there are no parts `rule`, `told` and `coordination`.
        parts: by name in `PARTS`, then by name in `QUANTITIES`; percentages are of the baseline's mean.
    """

    policy: str
    baseline: str
    told: bool
    parts: dict[str, dict[str, Difference]]


def decompose(
    pair: Policy,
    baseline: Policy,
    *,
    scenario: Scenario,
    exact_scores: bool,
    played: tuple[Rollout, Rollout],
    play: Callable[[Policy], Rollout],
    confidence: float = 0.95,
) -> Decomposition:
    """Play a pair's departments beside those of the baseline, on the same episodes.

    A: its orders with the baseline's slates; B: the baseline's orders with its slates. With 0 for the baseline and
    P for the pair, orders are worth A - 0, slates B - 0, both together P - A - B + 0 more than their sum. Where
    orders can be told of slates, a pair that is told only of the slates of the past (R) divides A - 0 into R - 0,
    for which no department had to tell its plans, and A - R; P - R is then what all telling is worth.

    Args:
        pair: the coordinated pair.
        baseline: the silo.
        scenario: the world.
        exact_scores: whether policies are shown exact affinity scores.
        played: what pair and baseline made of the episodes.
        play: plays a policy over them.
        confidence: of the intervals.
    """
    agent = _found(pair, scenario, exact_scores=exact_scores)
    told = isinstance(agent, ToldPolicy)
    orders = play(SplicedPolicy(f"orders of {pair.name}", agent, baseline))
    slates = play(SplicedPolicy(f"slates of {pair.name}", baseline, agent))
    rule = (
        play(SplicedPolicy(f"orders of {pair.name} by past slates", agent, baseline, ahead=False))
        if told
        else None
    )
    parts: dict[str, dict[str, Difference]] = {
        name: {} for name in PARTS if told or name not in _OF_TOLD_PAIRS
    }
    for quantity in QUANTITIES:
        both, nothing, first, second = (_values(found, quantity) for found in (*played, orders, slates))
        gains = {
            "orders": first - nothing,
            "slates": second - nothing,
            "interaction": both - first - second + nothing,
            "total": both - nothing,
        }
        if rule is not None:
            by_rule = _values(rule, quantity)
            gains |= {"rule": by_rule - nothing, "told": first - by_rule, "coordination": both - by_rule}
        for name in parts:
            parts[name][quantity] = paired_difference(nothing + gains[name], nothing, confidence=confidence)
    return Decomposition(pair.name, baseline.name, told, parts)


def _found(pair: Policy, scenario: Scenario, *, exact_scores: bool) -> Policy:
    if isinstance(pair, TunedPolicy):
        return pair.found_for(scenario, exact_scores=exact_scores)
    return pair


def _values(found: Rollout, quantity: str) -> FloatArray:
    values: FloatArray = getattr(found, quantity).astype(float)
    return values
