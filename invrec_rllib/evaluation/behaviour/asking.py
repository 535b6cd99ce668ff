"""Ask a policy in the periods of many episodes; sums by episode of how its decisions move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invrec_rllib.evaluation.behaviour.effects import EFFECTS, Answer, Effect, answer_of, respond
from invrec_rllib.evaluation.behaviour.questions import (
    QUESTIONS,
    Probe,
    can_expect,
    periods_asked,
    products_asked,
)
from invrec_rllib.evaluation.behaviour.together import (
    MOVEMENTS,
    Series,
    correlogram,
    move_together,
)
from invrec_rllib.evaluation.behaviour.visits import Visit, visits
from invrec_rllib.evaluation.rollout import block_size
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.view import Information
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import BoolArray


@dataclass(frozen=True, eq=False)
class Sums:
    """What was summed of one effect.

    Attributes:
        change: of the decision, by episode, (B,).
        against: what it is divided by, by episode, (B,).
        product_change, product_against: the same by the product that was changed, over all episodes, (N,).
    """

    change: FloatArray
    against: FloatArray
    product_change: FloatArray
    product_against: FloatArray


@dataclass(frozen=True, eq=False)
class Asked:
    """All answers of one policy, summed.

    Attributes:
        effects: by name in `EFFECTS`, those that the world has.
        movements: correlations by name in `MOVEMENTS`, by episode, (B,); {} where others decided what was played.
        correlogram: of orders with exposures `together.lags` later, by episode, (B, lags); None likewise.
    """

    effects: dict[str, Sums]
    movements: dict[str, FloatArray]
    correlogram: FloatArray | None


def ask(
    params: Params,
    policy: Policy,
    *,
    seed: int,
    episodes: int,
    information: Information,
    driver: Policy | None = None,
    block_episodes: int | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Asked:
    """Ask a policy in episodes 0, ..., `episodes` - 1 of a seed.

    Args:
        params: the world.
        policy: who is asked.
        seed: >= 0.
        episodes: how many, >= 1.
        information: what is shown.
        driver: whose decisions are played; None: the policy's own.
        block_episodes: how many episodes to play side by side; None: as many as about 64 MB hold.
        progress: called with the fraction done, in (0, 1].
    """
    size = block_episodes or block_size(params)
    asker = _Asker(params, episodes)
    for first in range(0, episodes, size):
        block = range(first, min(first + size, episodes))
        seen = []
        for visit in visits(
            params, policy, seed=seed, episodes=block, information=information, driver=driver
        ):
            asker.add(visit, first=first)
            seen.append((visit.view.state.on_hand, answer_of(params, visit.decision)))
            done = (visit.view.state.period + 1) / params.num_periods
            progress((first + len(block) * done) / episodes)
        if driver is None:
            asker.add_series(_series(params, seen))
    return asker.result()


class _Asker:
    """Sums over the periods of episodes, block after block."""

    def __init__(self, params: Params, episodes: int) -> None:
        self._params = params
        known = {name for name in QUESTIONS if name != "more_coming" or can_expect(params)}
        self._effects = {
            name: effect for name, effect in EFFECTS.items() if {effect.before, effect.after} <= known
        }
        self._questions = [name for name in QUESTIONS if name in known]
        self._by_episode = {name: np.zeros((2, episodes)) for name in self._effects}
        self._by_product = {name: np.zeros((2, params.num_products)) for name in self._effects}
        self._movements: dict[str, list[FloatArray]] = {name: [] for name in MOVEMENTS}
        self._correlograms: list[FloatArray] = []

    def add(self, visit: Visit, *, first: int) -> None:
        """Ask in a period of the episodes from index `first` on."""
        state = visit.view.state
        if state.period not in periods_asked(self._params):
            return
        product = products_asked(self._params, first=first, count=state.num_episodes, period=state.period)
        probe = Probe(self._params, state, product)
        answers: dict[str, tuple[Answer, BoolArray]] = {}
        for name in self._questions:
            altered = QUESTIONS[name](probe)
            answers[name] = answer_of(self._params, visit.ask(altered.state)), altered.applies
        for name, effect in self._effects.items():
            change, against = _compared(effect, answers, probe)
            rows = slice(first, first + state.num_episodes)
            self._by_episode[name][:, rows] += change, against
            for sums, values in zip(self._by_product[name], (change, against), strict=True):
                np.add.at(sums, product, values)

    def add_series(self, series: Series) -> None:
        """Take what a block of episodes showed and ordered."""
        for name, movement in MOVEMENTS.items():
            self._movements[name].append(move_together(self._params, series, movement))
        self._correlograms.append(correlogram(self._params, series))

    def result(self) -> Asked:
        """All sums."""
        effects = {name: Sums(*self._by_episode[name], *self._by_product[name]) for name in self._effects}
        if not self._correlograms:
            return Asked(effects, {}, None)
        movements = {name: np.concatenate(parts) for name, parts in self._movements.items()}
        return Asked(effects, movements, np.concatenate(self._correlograms))


def _compared(
    effect: Effect, answers: dict[str, tuple[Answer, BoolArray]], probe: Probe
) -> tuple[FloatArray, FloatArray]:
    """Change of the decision and what it is divided by, 0 where the question is none, (B,) each."""
    (before, first), (after, second) = answers[effect.before], answers[effect.after]
    change, against = respond(effect, before, after, product=probe.product)
    applies = first & second
    if effect.per_unit:
        against = against * probe.step
    return change * applies, against * applies


def _series(params: Params, seen: list[tuple[IntArray, Answer]]) -> Series:
    """Of the periods in which every product's order still arrives in time."""
    kept = seen[: max(params.num_periods - int(params.lead_time.max()), 1)]
    return Series(
        np.stack([stock.astype(np.float64) for stock, _ in kept]),
        np.stack([answer.order for _, answer in kept]),
        np.stack([answer.exposure for _, answer in kept]),
    )
