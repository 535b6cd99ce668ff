"""Simple policies by name."""

from __future__ import annotations

from collections.abc import Callable

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.optimal import OptimalPolicy
from invrec_rllib.policies.recommenders import (
    empty_slates,
    popular_slates,
    revenue_greedy_slates,
    stock_aware_slates,
    uniform_slates,
)
from invrec_rllib.policies.silos import RandomPolicy, SiloPolicy

_BUILDERS: dict[str, Callable[[], Policy]] = {
    "random": RandomPolicy,
    "no_recommendation": lambda: SiloPolicy("no_recommendation", empty_slates),
    "uniform": lambda: SiloPolicy("uniform", uniform_slates),
    "traditional": lambda: SiloPolicy("traditional", popular_slates),
    "silo": lambda: SiloPolicy("silo", revenue_greedy_slates),
    "stock_aware": lambda: SiloPolicy("stock_aware", stock_aware_slates),
    "optimal": OptimalPolicy,
}


def policy_names() -> tuple[str, ...]:
    """Names that `make_policy` knows, from the simplest to the most informed."""
    return tuple(_BUILDERS)


def make_policy(name: str) -> Policy:
    """Build a simple policy.

    Args:
        name: `random` (feasible actions at random), or one that orders up to the textbook level and shows
            nothing (`no_recommendation`), everything alike (`uniform`), the most popular products
            (`traditional`), each segment's slate of the largest expected revenue (`silo`), or the same with
            products short of stock marked down (`stock_aware`). `optimal` is what is exactly best; it refuses
            worlds that are too large to solve when it begins to play.

    Raises:
        InputError: no such policy; the message lists the names.
    """
    if name not in _BUILDERS:
        raise InputError(f"policy {name!r} is unknown, must be one of: {', '.join(_BUILDERS)}")
    return _BUILDERS[name]()
