"""Policies that can be tuned, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.coordinated import CoordinatedParameters, CoordinatedPolicy
from invrec_rllib.policies.parameters import Parameters
from invrec_rllib.policies.tuned_silos import (
    SequentialParameters,
    SequentialPolicy,
    SiloBestParameters,
    SiloBestPolicy,
)


class Tunable(NamedTuple):
    """A policy with parameters: their kind, and what makes the policy of them and a name."""

    parameters: type[Parameters]
    build: Callable[[Any, str], Policy]


TUNABLE: dict[str, Tunable] = {
    "sequential": Tunable(SequentialParameters, SequentialPolicy),
    "silo_best": Tunable(SiloBestParameters, SiloBestPolicy),
    "coordinated": Tunable(CoordinatedParameters, CoordinatedPolicy),
}


def tunable(name: str) -> Tunable:
    """The policy of a name.

    Raises:
        InputError: no such policy, or one without parameters; the message lists the names.
    """
    if name not in TUNABLE:
        raise InputError(f"policy {name!r} cannot be tuned, must be one of: {', '.join(TUNABLE)}")
    return TUNABLE[name]
