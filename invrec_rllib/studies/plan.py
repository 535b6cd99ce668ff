"""The runs of a study, in the order in which they are made."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.scenario import Scenario
from invrec_rllib.studies.rows import Row
from invrec_rllib.studies.study import Study


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study.

    Attributes:
        condition, variant: names.
        seed: of training.
        settings: of the run.
        world: that it trains in.
    """

    condition: str
    variant: str
    seed: int
    settings: TrainSettings
    world: Scenario

    @property
    def name(self) -> str:
        """``condition/variant/seed``, its folder below the study's runs."""
        return f"{self.condition}/{self.variant}/{self.seed}"


def plan_runs(
    study: Study,
    *,
    num_seeds: int | None = None,
    variants: Collection[str] = (),
    conditions: Collection[str] = (),
) -> list[PlannedRun]:
    """The runs of a study: all variants with a first seed, then with a second.

    A study cut short thus still compares equal seeds.

    Args:
        study: what is compared.
        num_seeds: another number of seeds, as `Study.with_num_seeds`; None: the study's.
        variants: names of the variants to run; none: all.
        conditions: names of the conditions to run; none: all.

    Raises:
        InputError, ScenarioError: a name is unknown, or a condition's world is not valid.
    """
    if num_seeds is not None:
        study = study.with_num_seeds(num_seeds)
    kept = {
        "variant": _chosen(variants, study.variants, what="variant"),
        "condition": _chosen(conditions, study.conditions, what="condition"),
    }
    worlds = {condition: study.world(condition) for condition in kept["condition"]}
    seeds = {variant: study.seeds_of(variant) for variant in kept["variant"]}
    return [
        PlannedRun(
            condition,
            variant,
            seeds[variant][turn],
            study.settings(condition, variant, seed=seeds[variant][turn]),
            worlds[condition],
        )
        for turn in range(max(map(len, seeds.values())))
        for condition in kept["condition"]
        for variant in kept["variant"]
        if turn < len(seeds[variant])
    ]


def _chosen(names: Collection[str], known: Iterable[str], *, what: str) -> list[str]:
    known = list(known)
    for name in names:
        if name not in known:
            raise InputError(f"{what} {name!r} is unknown, must be one of {', '.join(known)}")
    return [name for name in known if not names or name in names]


def estimate_seconds(runs: Iterable[PlannedRun], rows: Sequence[Row], *, jobs: int) -> float | None:
    """Wall time that runs will take, from runs made before; None without any that says its own.

    Args:
        runs: to be made.
        rows: of finished runs. A run takes as long as the mean of its condition and variant; else of its variant;
            of a variant that was never run, of its condition; else of all.
        jobs: runs at once.
    """
    timed = [row for row in rows if math.isfinite(row.seconds)]
    if not timed:
        return None

    def expected(run: PlannedRun) -> float:
        alike = [row for row in timed if row.variant == run.variant] or timed
        return fmean(row.seconds for row in [row for row in alike if row.condition == run.condition] or alike)

    return sum(map(expected, runs)) / jobs
