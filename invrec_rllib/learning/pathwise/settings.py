"""What a search by pathwise gradients is: one frozen set of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from invrec_rllib.scenario.faults import validated

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Memory = Literal["filter", "none"]
Count = Annotated[int, Field(ge=1)]


class PathwiseSettings(BaseModel):
    """Everything that decides a search, but for code and chance of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, le=99_999)] = Field(
        default=0, description="Of the networks' first weights and of the episodes."
    )
    memory: Memory = Field(
        default="filter",
        description="Of tastes that are hidden: filter: what past scores have told is kept, as far as tastes do not "
        "move; none: the scores of the period alone.",
    )
    steps: Count = Field(default=300, description="Gradient steps.")
    episodes: Count = Field(
        default=64, description="Played for every step, new ones each time; memory grows with them."
    )
    learning_rate: Positive = Field(default=5e-3, description="Adam's step size for the networks.")
    parameter_share: Share = Field(
        default=0.3, description="Step size of the heuristic's parameters, on a scale from 0 to 1, over that."
    )
    warmup_steps: Count = Field(default=10, description="Steps over which step sizes rise.")
    hold: Share = Field(default=0.3, description="Share of the steps after which step sizes begin to fall.")
    learning_rate_end: Share = Field(
        default=0.02, description="Share of the step sizes left at the last step."
    )
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.95,
        description="Weight of the past in the mean of weights that is validated; 0: the last ones.",
    )
    gradient_clip: Positive = Field(
        default=0.2, description="Bound on the gradient's norm, in reward per period."
    )
    temperature: Positive = Field(
        default=0.2,
        description="Of the soft slots behind exposures' derivatives, in deviations of the gains.",
    )
    hidden: Count = Field(default=48, description="Width of the networks' layers.")
    validations: Count = Field(default=12, description="How often the pair is validated on the way.")
    validation_episodes: Count = Field(default=400, description="Played for each, always the same.")


def make_pathwise_settings(data: Mapping[str, Any], *, source: str = "settings") -> PathwiseSettings:
    """Validate settings.

    Raises:
        InputError: one line per fault, each naming field, value and what is allowed.
    """
    return validated(PathwiseSettings, data, what=f"{source} are not valid")
