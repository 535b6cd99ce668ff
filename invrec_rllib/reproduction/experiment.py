"""What an experiment is: ways to train or search, what they are held against, and on how many episodes."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from invrec_rllib.errors import InputError
from invrec_rllib.policies.registry import policy_names
from invrec_rllib.policies.view import Information
from invrec_rllib.reproduction.searches import Searches
from invrec_rllib.scenario.faults import validated
from invrec_rllib.scenario.files import parse_mapping
from invrec_rllib.studies.study import Assignments, Study

_SHIPPED = resources.files("invrec_rllib.reproduction") / "experiments"
_EPISODES_SEED = 5_000_005
"""Seed of the episodes: none that training, its comparisons or searches for parameters use."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quick(_Part):
    """The same experiment in minutes: fewer seeds, episodes and iterations."""

    seeds: Annotated[int, Field(ge=1)] = Field(default=2, description="Training seeds.")
    episodes: Annotated[int, Field(ge=2)] = Field(default=200, description="Episodes that each policy plays.")
    changes: Assignments = Field(default={}, alias="set", description="Settings that differ from the base.")


class Experiment(_Part):
    """One experiment.

    Raises:
        pydantic.ValidationError: a key is unknown, a value out of range, or a reference no simple policy.
    """

    study: Study | None = Field(
        default=None,
        description="Ways to train, crossed with conditions and seeds; its name is the experiment's.",
    )
    searches: Searches | None = Field(
        default=None, description="Pathwise searches, in its place; their name is the experiment's."
    )
    references: tuple[str, ...] = Field(
        min_length=1, description="Simple policies that play the same episodes."
    )
    information: Information = Field(default="full", description="What the simple policies are shown.")
    episodes: Annotated[int, Field(ge=2)] = Field(default=1000, description="That each policy plays.")
    seed: Annotated[int, Field(ge=0)] = Field(default=_EPISODES_SEED, description="Of the episodes.")
    bound_paths: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Paths of tastes of the fluid bound; 0: it is left out."
    )
    quick: Quick = Field(default=Quick(), description="What differs in a quick run.")

    @model_validator(mode="after")
    def _check(self) -> Experiment:
        if (self.study is None) == (self.searches is None):
            raise ValueError("study, searches: one of them must be given, and only one")
        for name in self.references:
            if name not in policy_names():
                raise ValueError(
                    f"references: {name!r} is unknown, must be one of {', '.join(policy_names())}"
                )
        if self.bound_paths > self.episodes:
            raise ValueError(
                f"bound_paths = {self.bound_paths} is above episodes = {self.episodes}: the gap is taken on the same "
                "tastes"
            )
        return self

    @property
    def ways(self) -> Study | Searches:
        """Ways to train or to search."""
        ways = self.study or self.searches
        assert ways is not None  # validated
        return ways

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.ways.name

    def made_quick(self) -> Experiment:
        """The experiment in minutes."""
        ways = self.ways
        base = {**ways.base, **self.quick.changes}
        ways = ways.model_copy(update={"base": base}).with_num_seeds(self.quick.seeds)
        field = "searches" if self.study is None else "study"
        paths = min(self.bound_paths, self.quick.episodes)
        return self.model_copy(update={field: ways, "episodes": self.quick.episodes, "bound_paths": paths})


def experiment_names() -> tuple[str, ...]:
    """Names of the experiments of the record, sorted."""
    return tuple(
        sorted(file.name.removesuffix(".yaml") for file in _SHIPPED.iterdir() if file.name.endswith(".yaml"))
    )


def load_experiment(name: str) -> Experiment:
    """An experiment of the record.

    Raises:
        InputError: there is none of that name.
    """
    if name not in experiment_names():
        raise InputError(f"experiment {name!r} is unknown, must be one of: {', '.join(experiment_names())}")
    return parse_experiment((_SHIPPED / f"{name}.yaml").read_text("utf-8"), source=f"experiment {name}")


def parse_experiment(text: str, *, source: str = "experiment") -> Experiment:
    """Read an experiment from YAML text.

    Raises:
        InputError: not YAML, not a mapping, or not valid; one line per fault.
    """
    data = parse_mapping(text, source=source, of="an experiment")
    return validated(Experiment, data, what=f"{source} is not a valid experiment")
