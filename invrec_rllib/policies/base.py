"""The one call signature of all policies, simple or learned."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params


class Decision(NamedTuple):
    """What the firm does in a period, and what the policy remembers.

    Attributes:
        order: whole units, (B, N).
        exposure: in [0, 1], at most K in sum per segment, (B, M, N).
        memory: handed back at the next period.
    """

    order: IntArray
    exposure: FloatArray
    memory: Any


class Policy(Protocol):
    """Both departments of the firm, deciding for a batch of episodes."""

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        ...

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Any:
        """Memory at the start of a batch of episodes.

        Args:
            params: the world.
            num_episodes: B.
            seed: for policies that act at random: episode k of the batch draws from `seed + k` alone, so that
                splitting a batch, with the seeds moved on, changes nothing.
        """
        ...

    def act(self, view: View, memory: Any) -> Decision:
        """Decide one period from what is shown and remembered."""
        ...
