"""A sweep in Ray Tune's words: its space, its searcher, its scheduler."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, Repeater

from invrec_rllib.errors import require
from invrec_rllib.tuning.dimension import Dimension
from invrec_rllib.tuning.sweep import Sweep

TIME = "iteration"
"""What schedulers count in."""


def param_space(sweep: Sweep) -> dict[str, Any]:
    """What Tune draws configurations from: with optuna `Repeater` counts the seeds, else they are a grid."""
    space = {key: domain(dimension) for key, dimension in sweep.space.items()}
    return space if sweep.search == "optuna" else {**space, "seed": tune.grid_search(list(sweep.seeds))}


def domain(dimension: Dimension) -> Any:
    """Tune's own domain, or grid."""
    arguments = dimension.arguments
    if dimension.kind == "grid":
        return tune.grid_search(list(arguments))
    if dimension.kind == "choice":
        return tune.choice(list(arguments))
    return getattr(tune, dimension.kind)(*arguments)


def searcher(sweep: Sweep, *, at_once: int | None = None) -> Any:
    """Tune's searcher.

    Args:
        sweep: what is searched.
        at_once: trials side by side; None: as many as fit.

    Raises:
        MissingExtraError: optuna is not installed.
    """
    if sweep.search == "random":
        # All seeds, and all combinations of the grids, get the same draws.
        return BasicVariantGenerator(
            max_concurrent=at_once or 0, constant_grid_search=True, random_state=sweep.search_seed
        )
    # Which announces its study to standard error.
    optuna = require("optuna", extra="optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    from ray.tune.search.optuna import OptunaSearch

    return Repeater(OptunaSearch(seed=sweep.search_seed), repeat=len(sweep.seeds))


def scheduler(sweep: Sweep) -> TrialScheduler:
    """Tune's scheduler."""
    options = sweep.scheduler
    if options.kind == "none":
        return FIFOScheduler()
    if options.kind == "asha":
        return ASHAScheduler(
            time_attr=TIME,
            max_t=sweep.common().iterations,
            grace_period=options.grace_iterations,
            reduction_factor=options.reduction_factor,
        )
    if options.kind == "median":
        return MedianStoppingRule(time_attr=TIME, grace_period=options.grace_iterations)
    return PopulationBasedTraining(
        time_attr=TIME,
        perturbation_interval=options.interval_iterations,
        hyperparam_mutations={key: _mutation(dimension) for key, dimension in sweep.space.items()},
        quantile_fraction=options.quantile_fraction,
        resample_probability=options.resample_probability,
        custom_explore_fn=_Bounds(sweep),
    )


def _mutation(dimension: Dimension) -> Any:
    # Tune moves along a list, but would multiply what a choice has drawn.
    return dimension.values or domain(dimension)


class _Bounds:
    """Keeps what population-based training multiplies inside of the space; a class, for Tune pickles it."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        moved = {key: dimension.within(config[key]) for key, dimension in self.sweep.space.items()}
        return {**config, **moved}
