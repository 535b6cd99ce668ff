"""Advice: what a simple policy would do, for agents that adjust it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.registry import make_policy, policy_names
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params


class Advice(NamedTuple):
    """What the adviser would do this period.

    Attributes:
        order: whole units, (B, N).
        exposure: (B, M, N).
    """

    order: IntArray
    exposure: FloatArray


def adviser_names() -> tuple[str, ...]:
    """Simple policies that may advise: all that draw nothing, so that advice follows from the episode alone."""
    return tuple(name for name in policy_names() if name != "random")


@dataclass(frozen=True)
class Adviser:
    """A simple policy that is asked for its decision at every period's start.

    It is shown what the agents are shown, and its forecasts and memory go on whatever the agents do.

    Args:
        name: of a policy, see `policies.make_policy`.

    Raises:
        InputError: no policy of that name may advise.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in adviser_names():
            raise InputError(
                f"adviser is {self.name!r}, must be one of {', '.join(adviser_names())}, or none"
            )

    @cached_property
    def _policy(self) -> Policy:
        return make_policy(self.name)

    def begin(self, params: Params, *, num_episodes: int) -> Any:
        """What it remembers before period 0 of a batch of episodes.

        Raises:
            InputError: the policy cannot play this world.
        """
        return self._policy.begin(params, num_episodes=num_episodes, seed=0)

    def advise(self, view: View, memory: Any) -> tuple[Advice, Any]:
        """Its decision, and what it remembers then; at the horizon itself, nothing.

        Args:
            view: what is shown at the start of a period; B episodes, M segments, N products.
            memory: from `begin` or the period before.
        """
        if view.state.period >= view.params.num_periods:
            return Advice(np.zeros(view.forecast.shape, dtype=np.int64), np.zeros(view.scores.shape)), memory
        decision = self._policy.act(view, memory)
        return Advice(decision.order, decision.exposure), decision.memory
