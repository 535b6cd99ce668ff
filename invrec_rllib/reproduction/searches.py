"""Pathwise searches of an experiment: ways to search, crossed with worlds and seeds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from invrec_rllib.learning.pathwise.settings import PathwiseSettings, make_pathwise_settings
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.studies.study import Assignments, Condition, Name, NumSeeds, Text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Way(_Part):
    """A way to search."""

    label: Text = Field(description="What tables call it.")
    changes: Assignments = Field(
        default={}, alias="set", description="Settings of the search that differ from the base."
    )


class Searches(_Part):
    """Pathwise searches that are compared; what documents and tables ask of a `Study` they answer too.

    Raises:
        pydantic.ValidationError: a key is unknown, a value out of range, a world or the baseline stands for nothing,
            or settings are not valid.
    """

    name: Name
    question: Text = Field(description="What they answer.")
    worlds: tuple[Name, ...] = Field(min_length=1, description="Scenarios that ship.")
    information: Literal["full", "observed"] = Field(
        default="full", description="What the pairs see of tastes."
    )
    base: Assignments = Field(
        default={}, description="Settings of all searches that differ from the defaults."
    )
    variants: dict[Name, Way] = Field(min_length=1)
    baseline: Name = Field(description="Variant that the others are compared with.")
    seeds: NumSeeds = Field(description="How many seeds: 0, 1, ...")

    @model_validator(mode="after")
    def _check(self) -> Searches:
        if self.baseline not in self.variants:
            raise ValueError(
                f"baseline: {self.baseline!r} is no variant, must be one of {', '.join(self.variants)}"
            )
        for place, changes in (
            ("base", self.base),
            *((name, way.changes) for name, way in self.variants.items()),
        ):
            if "seed" in changes:
                raise ValueError(
                    f"{place}: seed must not be set: `seeds` decides it, got {changes['seed']!r}"
                )
        for world in self.worlds:
            load_scenario(world)
        for variant in self.variants:
            self.settings(variant, seed=0)
        return self

    @property
    def conditions(self) -> dict[str, Condition]:
        """The worlds, by name."""
        return {world: Condition(label=world) for world in self.worlds}

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        """Seeds that a variant is searched with."""
        return tuple(range(self.seeds))

    def with_num_seeds(self, num_seeds: int) -> Searches:
        """The searches with another number of seeds."""
        return self.model_copy(update={"seeds": num_seeds})

    def world(self, condition: str) -> Scenario:
        """The world of a condition."""
        return load_scenario(condition)

    def settings(self, variant: str, *, seed: int) -> PathwiseSettings:
        """Settings of a search.

        Raises:
            InputError: they are not valid; the message names the variant.
        """
        changes: dict[str, Any] = {**self.base, **self.variants[variant].changes}
        return make_pathwise_settings({**changes, "seed": seed}, source=f"settings of variant {variant}")
