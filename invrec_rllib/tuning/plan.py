"""What a sweep will do, before it does it: trials, what each takes, how many go side by side."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invrec_rllib.timescales.report import TimescaleWarning
from invrec_rllib.tuning.sweep import Sweep
from invrec_rllib.tuning.trainable import PairTrainable

# Building a pair's configuration takes some hundredths of a second.
_MOST_CHECKED = 64


@dataclass(frozen=True)
class Plan:
    """A sweep in numbers.

    Attributes:
        sweep: what is searched.
        resources: that a trial takes, by Ray's names; the most that any takes.
        iterations: of all trials together, if none is stopped early.
        currencies: unit of money by scenario.
    """

    sweep: Sweep
    resources: dict[str, float]
    iterations: int
    currencies: dict[str, str]

    @property
    def currency(self) -> str:
        """Unit of money, or units."""
        return " or ".join(dict.fromkeys(self.currencies.values()))

    def at_once(self, available: Mapping[str, float], *, jobs: int | None = None) -> int:
        """How many trials go side by side."""
        room = [int(available.get(name, 0.0) // amount) for name, amount in self.resources.items()]
        return max(0, min([*room, self.sweep.num_trials, *([jobs] if jobs else [])]))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        sweep = self.sweep
        return {
            "sweep": sweep.name,
            "question": sweep.question,
            "configurations": sweep.num_configurations,
            "seeds": list(sweep.seeds),
            "trials": sweep.num_trials,
            "iterations": self.iterations,
            "search": sweep.search,
            "scheduler": sweep.scheduler.kind,
            "resources_per_trial": self.resources,
        }


def make_plan(sweep: Sweep) -> Plan:
    """Plan a sweep, and see that its configurations can be built; nothing starts.

    Raises:
        InputError, ScenarioError: a configuration is not valid; the message names it.
    """
    trainable = PairTrainable.of(sweep)
    corners = list(sweep.corners())
    step = -(-len(corners) // _MOST_CHECKED)
    resources: dict[str, float] = {}
    with warnings.catch_warnings():
        # Speeds that do not separate are what some sweeps are about.
        warnings.simplefilter("ignore", TimescaleWarning)
        for corner in corners[::step]:
            for name, amount in trainable.default_resource_request(corner).required_resources.items():
                resources[name] = max(resources.get(name, 0.0), float(amount))
    lengths = [sweep.settings(corner).iterations for corner in corners]
    return Plan(
        sweep,
        resources=resources,
        iterations=round(sum(lengths) / len(lengths) * sweep.num_trials),
        currencies={name: world.currency for name, world in trainable.worlds.items()},
    )
