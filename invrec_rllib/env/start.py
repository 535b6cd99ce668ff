"""How an environment begins: which episode comes next, and which world is played."""

from __future__ import annotations

import operator
from typing import Any, get_args

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.randomness import EpisodeKey


class EpisodeCounter:
    """Which episode comes next: (seed, 0) after a seeded reset, then (seed, 1), (seed, 2), ...

    Never seeded, it takes a seed from the operating system once. A spawn key, set with `options`, goes
    between seed and index, so that environments that share a seed play different episodes.
    """

    def __init__(self) -> None:
        self._seed: int | None = None
        self._spawn_key: tuple[int, ...] = ()
        self._episode = -1

    @property
    def key(self) -> EpisodeKey:
        """Key of the running episode; see `sim.EpisodeStreams`."""
        if self._seed is None:
            raise InputError("no episode has begun: call reset")
        return (self._seed, *self._spawn_key, self._episode)

    def next_key(self, seed: int | None, options: dict[str, Any]) -> EpisodeKey:
        """Move on to the next episode; arguments as those of the environment's `reset`.

        Raises:
            InputError: a seed, spawn key or episode that is not an integer >= 0.
        """
        if seed is not None:
            self._seed, self._spawn_key, self._episode = _natural("seed", seed), (), -1
        elif self._seed is None:
            entropy = np.random.SeedSequence().entropy
            assert isinstance(entropy, int)
            self._seed = entropy
        if "spawn_key" in options:
            spawn_key = options["spawn_key"]
            if not isinstance(spawn_key, tuple | list):
                raise InputError(f"options['spawn_key'] is {spawn_key!r}, must be a tuple of integers >= 0")
            self._spawn_key = tuple(_natural("options['spawn_key']", part) for part in spawn_key)
        self._episode += 1
        if "episode" in options:
            self._episode = _natural("options['episode']", options["episode"])
        return self.key


def _natural(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"{name} is {value!r}, must be an integer >= 0")
    return number


def shorten(scenario: Scenario, max_cycles: int | None) -> Scenario:
    """The same world with an earlier horizon, at which what is left is salvaged; None leaves it as it is.

    Raises:
        InputError: not between 1 and the scenario's periods.
        ScenarioError: so early that an order could not arrive.
    """
    if max_cycles is None or max_cycles == scenario.periods:
        return scenario
    if not 1 <= max_cycles <= scenario.periods:
        raise InputError(f"max_cycles is {max_cycles}, must be between 1 and the {scenario.periods} periods")
    data = scenario.model_dump(exclude_unset=True)
    data["periods"] = max_cycles
    for path in ("season", "price_path"):
        if data.get("demand", {}).get(path) is not None:
            data["demand"][path] = data["demand"][path][:max_cycles]
    return build_scenario(data, source=f"{scenario.name} with max_cycles={max_cycles}")


def check_information(information: str) -> None:
    """Refuse an unknown information mode.

    Raises:
        InputError: naming what is allowed.
    """
    if information not in get_args(Information):
        raise InputError(f"information is {information!r}, must be one of {', '.join(get_args(Information))}")
