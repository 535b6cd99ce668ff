"""Play a policy, and ask it again in every period what it would decide if one thing were different."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from invrec_rllib.evaluation.rollout import EPISODES_PER_SEED
from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.view import Information, Observer, View
from invrec_rllib.sim.params import Params
from invrec_rllib.sim.simulator import Simulator
from invrec_rllib.sim.state import State


@dataclass(frozen=True, eq=False)
class Visit:
    """One period of a batch of episodes as a policy met it.

    Attributes:
        view: what it was shown.
        decision: what it decided.
    """

    view: View
    decision: Decision
    _policy: Policy
    _remembered: Any

    def ask(self, state: State) -> Decision:
        """What the policy would decide in another state, (B,) of them, with all else as shown and remembered.

        Chance that the policy draws is the same too.
        """
        return self._policy.act(replace(self.view, state=state), _copy(self._remembered, self.view.params))


def visits(
    params: Params,
    policy: Policy,
    *,
    seed: int,
    episodes: Sequence[int],
    information: Information,
    driver: Policy | None = None,
) -> Iterator[Visit]:
    """Every period of some episodes, in order.

    Args:
        params: the world.
        policy: who is asked.
        seed: of the episodes, >= 0.
        episodes: their indices, one after the other.
        information: what policies are shown.
        driver: whose decisions are played; None: the policy's own.
    """
    simulator = Simulator(params)
    simulator.reset(seed=seed, episodes=episodes)
    observer = Observer(params, information=information)
    begin = {"num_episodes": len(episodes), "seed": seed * EPISODES_PER_SEED + episodes[0]}
    memory = policy.begin(params, **begin)
    steering = None if driver is None else driver.begin(params, **begin)
    while not simulator.done:
        view = observer.observe(simulator.state, simulator.streams)
        before = _copy(memory, params)
        decision = played = policy.act(view, memory)
        memory = decision.memory
        if driver is not None:
            played = driver.act(view, steering)
            steering = played.memory
        simulator.step(order=played.order, exposure=played.exposure)
        yield Visit(view, decision, policy, before)


def _copy(memory: Any, params: Params) -> Any:
    """A memory that may be written to. The world is shared: what is computed once for it stays known."""
    return copy.deepcopy(memory, {id(params): params})
