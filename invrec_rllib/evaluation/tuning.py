"""Tune a policy's parameters to a world by simulation: an evolution strategy on common random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError, require
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.policies.tunable import Tunable, tunable
from invrec_rllib.policies.tuned import TunedParameters
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario, scenario_sha256
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray, Params, compile_scenario

# Apart from the seeds that training validates and compares with, and from those of `invrec evaluate`.
_SEARCH_SEED = 4_000_037
_VALIDATION_SEED = 5_000_011
_LARGEST_SEED = 99_999
# Episodes per candidate: paired, they tell differences of about 1 % of profit apart.
_EPISODES = 100
_VALIDATION_EPISODES = 400
# The mean of the search is validated this many times on the way.
_VALIDATIONS = 10
# First standard deviation of the search, as a share of the distance between a parameter's bounds.
_FIRST_SPREAD = 0.12


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes:
        policy: name.
        parameters: the best on the validation episodes.
        profit: mean on the validation episodes, money per episode.
        default_profit: that of the parameters by formula.
        episodes: played in all.
    """

    policy: str
    parameters: dict[str, float]
    profit: float
    default_profit: float
    episodes: int

    def tuned_to(
        self, scenario: Scenario, *, information: Information, provenance: Mapping[str, str | int | float]
    ) -> TunedParameters:
        """What a file keeps of it.

        Args:
            scenario: the world that it was tuned to.
            information: what the policy was shown.
            provenance: command, budget, versions and the like, to which the search's own figures are added.
        """
        return TunedParameters(
            policy=self.policy,
            scenario=scenario.name,
            scenario_sha256=scenario_sha256(scenario),
            information=information,
            parameters=self.parameters,
            provenance={
                **provenance,
                "played_episodes": self.episodes,
                "validation_profit": round(self.profit, 2),
                "validation_profit_by_formula": round(self.default_profit, 2),
            },
        )


def tune(
    scenario: str | Scenario,
    policy: str,
    *,
    seed: int = 0,
    budget: int = 200_000,
    information: Information = "observed",
    progress: Callable[[float, float], None] | None = None,
) -> Tuning:
    """Search the parameters of largest mean profit, by CMA-ES (Hansen 2016) from the defaults.

    Every candidate of a generation plays the same episodes, every generation new ones. The mean of the search
    is validated now and then on episodes that are always the same and never searched on; the best of these
    means, and of the defaults, is what is found. Nothing depends on anything but the arguments.

    Args:
        scenario: the world: a preset's name, a file or a `Scenario`.
        policy: name of a policy with parameters.
        seed: of the search, 0 to 99999.
        budget: episodes to play in all, about.
        information: what the policy is shown.
        progress: called with the fraction done and the best mean profit validated so far.

    Raises:
        InputError: no such policy, a seed out of range, or a budget too small for two generations.
        MissingExtraError: pycma is not installed.
    """
    cma = require("cma", extra="search")
    kind = tunable(policy)
    if not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed is {seed}, must be from 0 to {_LARGEST_SEED}")
    search = _Search(compile_scenario(load_scenario(scenario)), kind, seed=seed, information=information)
    candidates = 4 + math.floor(3.0 * math.log(search.size))
    per_generation = candidates * _EPISODES
    generations = (budget - _VALIDATION_EPISODES * (_VALIDATIONS + 1)) // per_generation
    if generations < 2:
        least = 2 * per_generation + _VALIDATION_EPISODES * (_VALIDATIONS + 1)
        raise InputError(f"budget is {budget} episodes, must be at least {least} for policy {policy}")
    search.validate(search.start)
    default_profit = search.best_profit
    # Draws of our own: pycma would seed NumPy's global generator.
    rng = np.random.default_rng(seed)
    options = {
        "bounds": [0, 1],
        "popsize": candidates,
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": math.nan,
        "verbose": -9,
        "verb_log": 0,
    }
    strategy = cma.CMAEvolutionStrategy(search.start, _FIRST_SPREAD, options)
    due = set(np.linspace(0, generations, _VALIDATIONS + 1).round().astype(int)[1:].tolist())
    for generation in range(generations):
        points = strategy.ask()
        strategy.tell(points, [-search.profit(point, generation=generation) for point in points])
        if generation + 1 in due:
            search.validate(np.asarray(strategy.result.xfavorite))
        if progress is not None:
            progress((generation + 1) / generations, search.best_profit)
    return Tuning(policy, search.best, search.best_profit, default_profit, search.episodes)


class _Search:
    """Profits of points of the unit cube, and the best point validated."""

    def __init__(self, params: Params, kind: Tunable, *, seed: int, information: Information) -> None:
        self._params, self._kind, self._seed, self._information = params, kind, seed, information
        bounds = kind.parameters.bounds()
        self._names = tuple(bounds)
        self._low, self._high = (np.array(side) for side in zip(*bounds.values(), strict=True))
        defaults = np.array([kind.parameters.defaults()[name] for name in self._names])
        self.start: FloatArray = (defaults - self._low) / (self._high - self._low)
        self.size = len(self._names)
        self.episodes = 0
        self.best: dict[str, float] = {}
        self.best_profit = -math.inf

    def profit(self, point: FloatArray, *, generation: int) -> float:
        """Mean profit on the episodes of a generation."""
        values = self._parameters(point)
        return self._play(values, _SEARCH_SEED + self._seed, first=generation * _EPISODES, count=_EPISODES)

    def validate(self, point: FloatArray) -> None:
        """Keep a point, rounded as it will be stored, if it is the best on the validation episodes."""
        values = {name: float(f"{value:.5g}") for name, value in self._parameters(point).items()}
        profit = self._play(values, _VALIDATION_SEED + self._seed, first=0, count=_VALIDATION_EPISODES)
        if profit > self.best_profit:
            self.best, self.best_profit = values, profit

    def _parameters(self, point: FloatArray) -> dict[str, float]:
        values = np.clip(self._low + point * (self._high - self._low), self._low, self._high)
        return dict(zip(self._names, values.tolist(), strict=True))

    def _play(self, values: dict[str, float], seed: int, *, first: int, count: int) -> float:
        self.episodes += count
        policy = self._kind.build(self._kind.parameters.from_values(values), "candidate")
        played = rollout(
            self._params,
            policy,
            seed=seed,
            episodes=count,
            first_episode=first,
            information=self._information,
        )
        return float(played.profit.mean())
