"""Who stops trials of a sweep early, or changes them while they run: Tune's own schedulers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from invrec_rllib.tuning.dimension import Dimension

Count = Annotated[int, Field(ge=1)]

# Settings that a run may change from a checkpoint on: they shape neither networks nor what is sampled.
MUTABLE = (
    "learning_rate_inventory",
    "learning_rate_recommender",
    "learning_rate_critic",
    "learning_rate_end",
    "power_critic",
    "power_recommender",
    "power_inventory",
    "power_offset",
    "drift_inventory",
    "drift_recommender",
    "epochs",
    "discount",
    "gae_lambda",
    "clip",
    "entropy",
    "value_clip",
)

_OPTIONS = {
    "none": (),
    "asha": ("grace_iterations", "reduction_factor"),
    "median": ("grace_iterations",),
    "pbt": ("interval_iterations", "quantile_fraction", "resample_probability"),
}


class Scheduler(BaseModel):
    """A scheduler of Tune, and its options; those of another kind are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["none", "asha", "median", "pbt"] = Field(
        default="none",
        description="none: every trial ends; asha: the worst are stopped at each rung; median: those below the median "
        "of the others are stopped; pbt: the worst go on from the best, with their values changed.",
    )
    grace_iterations: Count = Field(
        default=10, description="asha, median: iterations before any trial is stopped."
    )
    reduction_factor: Annotated[float, Field(gt=1)] = Field(
        default=3.0, description="asha: one of so many goes on at each rung."
    )
    interval_iterations: Count = Field(default=20, description="pbt: iterations between changes.")
    quantile_fraction: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.25, description="pbt: share of trials that is replaced by as many of the best."
    )
    resample_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.25, description="pbt: chance that a value is drawn anew instead of changed by a fifth."
    )

    def fault(self, space: Mapping[str, Dimension], *, searcher: str, num_seeds: int) -> str | None:
        """Why it cannot serve such a sweep, in words; None where it can."""
        foreign = sorted(self.model_fields_set - {"kind", *_OPTIONS[self.kind]})
        if foreign:
            allowed = ", ".join(_OPTIONS[self.kind]) or "no options"
            return f"scheduler.{foreign[0]}: not of kind {self.kind}, which has {allowed}"
        if self.kind == "pbt":
            return self._fault_of_population(space, searcher=searcher, num_seeds=num_seeds)
        if self.kind != "none" and num_seeds > 1 and searcher == "optuna":
            return (
                f"scheduler.kind: {self.kind} stops seeds of one configuration at different times, of which optuna "
                "would learn nothing comparable: use one seed or kind none"
            )
        searched = {
            name for dim in space.values() for changes in (dim.sets or {}).values() for name in changes
        }
        if self.kind != "none" and "iterations" in searched | set(space):
            return f"scheduler.kind: {self.kind} compares trials of equal length, so space must not search iterations"
        return None

    def _fault_of_population(
        self, space: Mapping[str, Dimension], *, searcher: str, num_seeds: int
    ) -> str | None:
        if searcher != "random" or num_seeds > 1:
            return (
                f"scheduler.kind: pbt needs search = random and one seed, for its trials exchange their values, got "
                f"search = {searcher} and {num_seeds} seeds"
            )
        for key, dimension in space.items():
            if dimension.kind == "grid" or key not in MUTABLE:
                return (
                    f"space.{key}: pbt changes it while a trial runs, which must be drawn, not grid, and one of "
                    f"{', '.join(MUTABLE)}"
                )
        return None if space else "space: pbt needs something to change"
