"""What a sweep is: settings to search, how, and how often each configuration is repeated."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from invrec_rllib.learning.settings import TrainSettings, make_settings
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.scenario.faults import validated
from invrec_rllib.tuning.dimension import Dimension
from invrec_rllib.tuning.scheduler import Scheduler

# Names are folders too.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=1)]

TRIAL_INDEX = "__trial_index__"
"""Where Tune's `Repeater` says which repetition of a configuration a trial is."""

_MOST_COMBINATIONS = 10_000
_DECIDED = {"seed": "seeds decides it"}
# Profits of trials must compare, and so must the times at which they are looked at.
_NOT_SEARCHED = {
    "evaluate_every": "trials are looked at after the same iterations",
    "evaluate_episodes": "trials are evaluated alike",
    "checkpoint_every": "trials are saved after the same iterations",
    "final_episodes": "a sweep does not use it",
}


class Sweep(BaseModel):
    """A search over settings of training.

    Raises:
        pydantic.ValidationError: a key is unknown, a value out of range, or a combination of the space makes no valid
            `TrainSettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name = Field(description="Of the sweep and its folder.")
    question: Text = Field(description="What it answers.")
    base: dict[str, JsonValue] = Field(
        default={}, description="Settings of all trials that differ from the defaults."
    )
    space: dict[Name, Dimension] = Field(
        default={}, description="Setting, or a name for several -> how it is searched, in Tune's words."
    )
    search: Literal["random", "optuna"] = Field(
        default="random",
        description="random: Tune's own, every combination of the grids and `samples` draws of the rest; optuna: "
        "draws that learn from those before (extra optuna).",
    )
    search_seed: Seed = Field(default=0, description="Seed of the draws.")
    samples: Count = Field(default=1, description="Draws of what is not a grid; the population of pbt.")
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        default=(0,), description="Training seeds, with each of which every configuration is trained."
    )
    scheduler: Scheduler = Field(default=Scheduler(), description="Who stops trials early or changes them.")
    metric: Literal["profit"] = Field(
        default="profit",
        description="What is maximised: mean profit of the mean actions on validation episodes.",
    )
    keep_checkpoints: Count = Field(
        default=1, description="Configurations whose last checkpoints stay in the end."
    )
    max_failures: Annotated[int, Field(ge=0)] = Field(
        default=3, description="Times that a trial which failed goes on from its checkpoint."
    )

    @model_validator(mode="after")
    def _check_space(self) -> Sweep:
        settings = TrainSettings.model_fields
        for key, dimension in self.space.items():
            if fault := dimension.fault():
                raise ValueError(f"space.{key}: {fault}")
            if dimension.sets is None and key not in settings:
                raise ValueError(
                    f"space.{key}: no setting of training; allowed are {', '.join(_searchable())}, or any name with "
                    "labels that map to settings"
                )
            if dimension.sets is not None and key in settings:
                raise ValueError(
                    f"space.{key}: labels need a name that is no setting of training, got {key!r}"
                )
        if repeated := sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1}):
            raise ValueError(f"seeds: must be distinct, got {repeated[0]} again")
        self._check_owners()
        return self

    def _check_owners(self) -> None:
        owners: dict[str, str] = {}
        for key, dimension in self.space.items():
            for setting in {name: None for changes in _all_sets(key, dimension) for name in changes}:
                reason = {**_DECIDED, **_NOT_SEARCHED}.get(setting)
                if reason:
                    raise ValueError(f"space.{key}: must not search {setting}: {reason}")
                if setting in owners:
                    raise ValueError(f"space.{owners[setting]} and space.{key} both decide {setting}")
                owners[setting] = key
        for setting in self.base:
            if setting in owners:
                raise ValueError(
                    f"base and space.{owners[setting]} both decide {setting}: set it in one of them"
                )
            if setting in _DECIDED:
                raise ValueError(f"base.{setting}: must not be set: {_DECIDED[setting]}")

    @model_validator(mode="after")
    def _check_search(self) -> Sweep:
        grids = [key for key, dimension in self.space.items() if dimension.kind == "grid"]
        drawn = [key for key in self.space if key not in grids]
        if self.search == "optuna" and (grids or not drawn):
            raise ValueError(
                f"search: optuna draws, and needs a space without grid, got {', '.join(grids) or 'no space'}"
            )
        if self.samples > 1 and not drawn:
            raise ValueError(
                f"samples = {self.samples} would repeat the same trials, for nothing of the space is drawn: use seeds"
            )
        if fault := self.scheduler.fault(self.space, searcher=self.search, num_seeds=len(self.seeds)):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _check_scenarios(self) -> Sweep:
        if self.scenarios_differ and (self.search != "random" or self.scheduler.kind != "none"):
            raise ValueError(
                "space: profits of different scenarios do not compare, so a search over scenario needs search = random "
                f"and scheduler.kind = none, got {self.search} and {self.scheduler.kind}"
            )
        return self

    @model_validator(mode="after")
    def _check_settings(self) -> Sweep:
        for configuration in self.corners():
            settings = self.settings(configuration)
            if settings.evaluate_every == 0:
                raise ValueError(
                    "base.evaluate_every: must be at least 1, for profit is what trials are judged by"
                )
        return self

    @property
    def scenarios_differ(self) -> bool:
        """Whether trials run in different worlds, so that each has a best of its own."""
        return any("scenario" in changes for key in self.space for changes in _all_sets(key, self.space[key]))

    @property
    def num_configurations(self) -> int:
        """How many different ones are tried."""
        grids = [len(d.values or ()) for d in self.space.values() if d.kind == "grid"]
        return math.prod(grids) * self.samples

    @property
    def num_trials(self) -> int:
        """Configurations times seeds."""
        return self.num_configurations * len(self.seeds)

    def corners(self) -> Iterator[dict[str, Any]]:
        """Combinations of the listed values and the ends of ranges: all, or where there are too many, one key at a
        time.
        """
        corners = {key: dimension.corners() for key, dimension in self.space.items()}
        if math.prod(map(len, corners.values())) <= _MOST_COMBINATIONS:
            for combination in itertools.product(*corners.values()):
                yield dict(zip(corners, combination, strict=True))
            return
        first = {key: values[0] for key, values in corners.items()}
        for key, values in corners.items():
            yield from ({**first, key: value} for value in values)

    def common(self) -> TrainSettings:
        """Settings of some trial: what is not searched is the same for all."""
        return self.settings(next(self.corners()))

    def worlds(self) -> dict[str, Scenario]:
        """The worlds of its trials, by the name that settings give them.

        Raises:
            ScenarioError: one is neither a preset nor a file, or not valid.
        """
        names = dict.fromkeys(self.settings(corner).scenario for corner in self.corners())
        return {name: load_scenario(name) for name in names}

    def seed(self, config: Mapping[str, Any]) -> int:
        """The training seed of a trial's configuration."""
        return int(config["seed"]) if "seed" in config else self.seeds[int(config.get(TRIAL_INDEX, 0))]

    def searched(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a trial's configuration that is searched: equal for trials that differ by seed alone."""
        return {key: config[key] for key in self.space}

    def settings(self, config: Mapping[str, Any]) -> TrainSettings:
        """Settings of a trial.

        Args:
            config: a value for every key of the space, and the seed, as Tune gives them.

        Raises:
            InputError: they are not valid; the message names the configuration.
        """
        changes: dict[str, Any] = {}
        for key, dimension in self.space.items():
            changes |= dimension.settings(key, config[key])
        source = f"settings of {describe(self.searched(config)) or 'base'}"
        return make_settings({**self.base, **changes, "seed": self.seed(config)}, source=source)


def describe(configuration: Mapping[str, Any]) -> str:
    """A configuration in one line, such as ``ratio=4 power_critic=0.6``."""
    return " ".join(f"{key}={_short(value)}" for key, value in configuration.items())


def make_sweep(data: dict[str, Any], *, source: str = "sweep") -> Sweep:
    """Validate a sweep.

    Raises:
        InputError: one line per fault, each naming key, value and what is allowed.
    """
    return validated(Sweep, data, what=f"{source} is not a valid sweep")


def with_samples(sweep: Sweep, samples: int) -> Sweep:
    """The sweep with another number of draws.

    Raises:
        InputError: it draws nothing.
    """
    return make_sweep(
        {**sweep.model_dump(exclude_unset=True), "samples": samples}, source=f"sweep {sweep.name}"
    )


def _all_sets(key: str, dimension: Dimension) -> list[dict[str, Any]]:
    return [{key: None}] if dimension.sets is None else list(dimension.sets.values())


def _searchable() -> list[str]:
    return [name for name in TrainSettings.model_fields if name not in (*_DECIDED, *_NOT_SEARCHED)]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
