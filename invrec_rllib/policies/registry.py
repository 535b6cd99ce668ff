"""Simple policies by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.optimal import OptimalPolicy
from invrec_rllib.policies.order_rules import (
    capped_base_stock_order,
    constant_order,
    min_max_order,
    projected_inventory_order,
)
from invrec_rllib.policies.recommenders import (
    empty_slates,
    inventory_balancing_slates,
    margin_greedy_slates,
    popular_slates,
    revenue_greedy_slates,
    stock_aware_slates,
    uniform_slates,
)
from invrec_rllib.policies.silos import RandomPolicy, SiloPolicy
from invrec_rllib.policies.tunable import TUNABLE
from invrec_rllib.policies.tuned import TunedPolicy
from invrec_rllib.sim.params import Params
from invrec_rllib.theory.exact_world import compile_exact

# Beside the silo's slates.
_ORDER_RULES = {
    "constant_order": constant_order,
    "min_max": min_max_order,
    "capped_base_stock": capped_base_stock_order,
    "projected_inventory": projected_inventory_order,
}

_BUILDERS: dict[str, Callable[[], Policy]] = {
    "random": RandomPolicy,
    "no_recommendation": lambda: SiloPolicy("no_recommendation", empty_slates),
    "uniform": lambda: SiloPolicy("uniform", uniform_slates),
    "traditional": lambda: SiloPolicy("traditional", popular_slates),
    "silo": lambda: SiloPolicy("silo", revenue_greedy_slates),
    "margin_greedy": lambda: SiloPolicy("margin_greedy", margin_greedy_slates),
    **{name: partial(SiloPolicy, name, revenue_greedy_slates, rule) for name, rule in _ORDER_RULES.items()},
    "stock_aware": lambda: SiloPolicy("stock_aware", stock_aware_slates),
    "inventory_balancing": lambda: SiloPolicy("inventory_balancing", inventory_balancing_slates),
    **{name: partial(TunedPolicy, name) for name in TUNABLE},
    "optimal": OptimalPolicy,
}


def policy_names() -> tuple[str, ...]:
    """Names that `make_policy` knows, from the simplest to the most informed."""
    return tuple(_BUILDERS)


def policy_names_for(params: Params) -> tuple[str, ...]:
    """Names of the policies that can play a world: all of them, `optimal` only where it can be solved exactly."""
    try:
        compile_exact(params)
    except InputError:
        return tuple(name for name in _BUILDERS if name != "optimal")
    return policy_names()


def make_policy(name: str) -> Policy:
    """Build a simple policy.

    Args:
        name: `random` (feasible actions at random), or one that orders up to the textbook level and shows
            nothing (`no_recommendation`), everything alike (`uniform`), the most popular products
            (`traditional`), each segment's slate of the largest expected revenue (`silo`) or margin
            (`margin_greedy`), or the revenue with products short of stock marked down (`stock_aware`,
            `inventory_balancing`); the silo's slates with another order rule (`constant_order`, `min_max`,
            `capped_base_stock`, `projected_inventory`); or one with tuned parameters: a silo with a tuned
            base-stock (`sequential`), with all of its inventory side tuned (`silo_best`), and two departments
            that talk (`coordinated`). Tuned parameters ship for presets; other worlds get those by formula.
            `optimal` is what is exactly best; it refuses worlds that are too large to solve when it begins to
            play.

    Raises:
        InputError: no such policy; the message lists the names.
    """
    if name not in _BUILDERS:
        raise InputError(f"policy {name!r} is unknown, must be one of: {', '.join(_BUILDERS)}")
    return _BUILDERS[name]()
