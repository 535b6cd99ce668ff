"""What a study is: variants of training, crossed with conditions, each with the same seeds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, make_settings
from invrec_rllib.scenario import Scenario, build_scenario, generate_scenario, load_scenario
from invrec_rllib.scenario.faults import validated

# Names are folders too.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NumSeeds = Annotated[int, Field(ge=1, le=1000)]
Seeds = NumSeeds | Annotated[tuple[Seed, ...], Field(min_length=1)]
Assignments = dict[str, JsonValue]

WORLD_SEED = 1
"""Seed of the worlds that conditions draw; with the recipe's defaults that is the preset `paper`."""

# What the study decides itself, and why it is no setting of it.
_NOT_SET: dict[str, str] = {
    "seed": "the study's seeds decide it",
    "checkpoint_every": "a run of a study keeps its last checkpoint only",
    "env_runners": "a run of a study samples in its own process; runs go side by side instead",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Variant(_Part):
    """A way to train."""

    label: Text = Field(description="What tables and figures call it.")
    changes: Assignments = Field(default={}, alias="set", description="Settings that differ from the base.")
    seeds: Seeds | None = Field(default=None, description="Its own seeds, or how many; null: the study's.")
    factor: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Its place on the axis of factors, above 0."
    )
    group: Text | None = Field(
        default=None, description="The line that it belongs to where variants have factors."
    )


class Condition(_Part):
    """Circumstances under which all variants are tried: a world, settings, or both."""

    label: Text = Field(description="What tables and figures call it.")
    changes: Assignments = Field(default={}, alias="set", description="Settings that differ from the base.")
    world: Assignments | None = Field(
        default=None,
        description="Knobs of the scenario generator (`Recipe`), drawn with seed 1; null: the base's scenario.",
    )
    scenario: Assignments = Field(
        default={}, description="Fields of the scenario changed afterwards, such as tastes.noise: 0.6."
    )


class Study(_Part):
    """A replicated comparison.

    Raises:
        pydantic.ValidationError: a key is unknown, a value out of range, a name stands for nothing, or a
            combination of condition and variant makes no valid `TrainSettings`.
    """

    name: Name
    question: Text = Field(description="What it answers.")
    base: Assignments = Field(default={}, description="Settings of all runs that differ from the defaults.")
    variants: dict[Name, Variant] = Field(min_length=1)
    baseline: Name = Field(description="Variant that the others are compared with.")
    seeds: Seeds = Field(description="Training seeds, or how many: 0, 1, ...")
    conditions: dict[Name, Condition] = Field(
        default={"base": Condition(label="base")}, min_length=1, description="What variants are crossed with."
    )
    best_of: dict[Text, Annotated[tuple[Name, ...], Field(min_length=2)]] = Field(
        default={},
        description="Label -> variants of which reports show the best, and say that it was chosen afterwards.",
    )
    factor_label: Text = Field(default="factor", description="What the factors of variants are.")

    @model_validator(mode="after")
    def _check_names(self) -> Study:
        named = {"baseline": (self.baseline,), **{f"best_of.{k}": v for k, v in self.best_of.items()}}
        for field, names in named.items():
            for name in names:
                if name not in self.variants:
                    raise ValueError(
                        f"{field}: {name!r} is no variant, must be one of {', '.join(self.variants)}"
                    )
        members = [name for names in self.best_of.values() for name in names]
        if repeated := sorted({name for name in members if members.count(name) > 1}):
            raise ValueError(f"best_of: {', '.join(repeated)} must be listed once")
        return self

    @model_validator(mode="after")
    def _check_seeds(self) -> Study:
        shared = set(self.seeds_of(self.baseline))
        for name in self.variants:
            seeds = self.seeds_of(name)
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"variants.{name}.seeds: must be distinct, got {list(seeds)}")
            if not shared & set(seeds):
                raise ValueError(
                    f"variants.{name}.seeds: {list(seeds)} shares no seed with the baseline's {sorted(shared)}, "
                    "so that nothing could be paired"
                )
        return self

    @model_validator(mode="after")
    def _check_factors(self) -> Study:
        for name, variant in self.variants.items():
            if variant.group is not None and variant.factor is None:
                raise ValueError(f"variants.{name}.factor: missing, but required where there is a group")
        return self

    @model_validator(mode="after")
    def _check_settings(self) -> Study:
        parts = {
            "base": self.base,
            **{f"conditions.{name}.set": condition.changes for name, condition in self.conditions.items()},
            **{f"variants.{name}.set": variant.changes for name, variant in self.variants.items()},
        }
        for place, changes in parts.items():
            for key, reason in _NOT_SET.items():
                if key in changes:
                    raise ValueError(f"{place}.{key}: must not be set: {reason}, got {changes[key]!r}")
        for name, variant in self.variants.items():
            if "scenario" in variant.changes:
                raise ValueError(
                    f"variants.{name}.set.scenario: profits of different worlds do not compare; "
                    f"make it a condition, got {variant.changes['scenario']!r}"
                )
        for condition_name, condition in self.conditions.items():
            for name, variant in self.variants.items():
                if both := sorted(condition.changes.keys() & variant.changes.keys()):
                    raise ValueError(
                        f"variants.{name}.set and conditions.{condition_name}.set both decide {', '.join(both)}: "
                        "set it in one of them"
                    )
                self.settings(condition_name, name, seed=self.seeds_of(name)[0])
        return self

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        """Seeds that a variant is trained with."""
        own = self.variants[variant].seeds
        return _listed(self.seeds if own is None else own)

    def settings(self, condition: str, variant: str, *, seed: int) -> TrainSettings:
        """Settings of a run.

        Raises:
            InputError: they are not valid; the message names condition and variant.
        """
        changes = {**self.base, **self.conditions[condition].changes, **self.variants[variant].changes}
        source = f"settings of condition {condition}, variant {variant}"
        settings = make_settings({**changes, "seed": seed}, source=source)
        return settings.model_copy(update={"checkpoint_every": settings.iterations})

    def world(self, condition: str) -> Scenario:
        """The world of a condition.

        Raises:
            ScenarioError, InputError: a knob or field is unknown or out of range.
        """
        made, settings = self.conditions[condition], self.settings(condition, self.baseline, seed=0)
        if made.world is None:
            world = load_scenario(settings.scenario)
        else:
            knobs: dict[str, Any] = dict(made.world)
            world = generate_scenario(seed=WORLD_SEED, name=condition, description=made.label, **knobs)
        return _patched(world, made.scenario, condition=condition) if made.scenario else world

    def with_num_seeds(self, num_seeds: int) -> Study:
        """The study with another number of seeds; a variant with seeds of its own keeps the first of them."""
        variants = {
            name: variant
            if variant.seeds is None
            else variant.model_copy(update={"seeds": _listed(variant.seeds)[:num_seeds]})
            for name, variant in self.variants.items()
        }
        return self.model_copy(update={"seeds": num_seeds, "variants": variants})


def make_study(data: dict[str, Any], *, source: str = "study") -> Study:
    """Validate a study.

    Raises:
        InputError: one line per fault, each naming field, value and what is allowed.
    """
    return validated(Study, data, what=f"{source} is not a valid study")


def _listed(seeds: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(seeds)) if isinstance(seeds, int) else seeds


def _patched(world: Scenario, changes: Assignments, *, condition: str) -> Scenario:
    data: dict[str, Any] = {**world.model_dump(), "name": condition}
    for path, value in changes.items():
        *sections, field = path.split(".")
        section: Any = data
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or field not in section:
            known = ", ".join(section if isinstance(section, dict) else data)
            raise InputError(
                f"conditions.{condition}.scenario: {path!r} is no field of a scenario; known are {known}"
            )
        section[field] = value
    return build_scenario(data, source=f"the scenario of conditions.{condition}")
