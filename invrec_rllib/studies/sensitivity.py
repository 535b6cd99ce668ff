"""What coordination is worth as the world changes: one factor at a time around a base, all policies at each point."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.evaluation.tuning import tune
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.policies.spliced import SplicedPolicy
from invrec_rllib.policies.tunable import TUNABLE
from invrec_rllib.policies.tuned import TunedParameters, load_tuned, save_tuned
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.scenario.variations import FACTORS, vary
from invrec_rllib.sim.params import compile_scenario

PAIR, ORDER_RULE = "coordinated", "order_rule"
BASELINES: dict[str, str] = {
    "silo": "silo",
    "silo_best": "silo, all of its orders tuned",
    "sequential": "silo, base-stock tuned",
    "traditional": "traditional",
    ORDER_RULE: "its own order rule, past slates alone told",
}
"""What the coordinated heuristic is held against, and what readers call it. The last one has the same orders and
parameters as the pair and the silo's slates: what the pair earns beyond it is what telling is worth."""

BASE = "base"


class Point(NamedTuple):
    """A world of the grid.

    Attributes:
        factor: in which it differs; "base": in none.
        value: level of the factor; 0 of the base.
    """

    factor: str
    value: float

    @property
    def name(self) -> str:
        """``lift=2.5``, or ``base``."""
        return BASE if self.factor == BASE else f"{self.factor}={self.value:g}"


@dataclass(frozen=True)
class Settings:
    """How every point is played; points of one folder share it.

    Attributes:
        information: what policies are shown.
        episodes: per policy and seed, >= 1.
        seed: the first, >= 0.
        tune_budget: episodes that the search for each policy's parameters plays at each point; 0: parameters are
            those by formula.
    """

    information: Information = "observed"
    episodes: int = 100
    seed: int = 3_000_003
    tune_budget: int = 0

    def __post_init__(self) -> None:
        for field, least in (("episodes", 1), ("seed", 0), ("tune_budget", 0)):
            if getattr(self, field) < least:
                raise InputError(f"{field} is {getattr(self, field)}, must be at least {least}")


@dataclass(frozen=True)
class Row:
    """Means per episode of one policy at one point over the episodes of one seed.

    Attributes:
        factor, value: of the point, see `Point`.
        policy: "coordinated", or a name in `BASELINES`.
        seed: of the episodes.
        profit: money.
        units_sold: units.
        fill_rate: share of demand served at once.
        seconds: wall time.
    """

    factor: str
    value: float
    policy: str
    seed: int
    profit: float
    units_sold: float
    fill_rate: float
    seconds: float

    @property
    def point(self) -> Point:
        """Of the grid."""
        return Point(self.factor, self.value)

    @property
    def key(self) -> tuple[str, str, int]:
        """What no two rows share."""
        return (self.point.name, self.policy, self.seed)


COLUMNS = tuple(field.name for field in fields(Row))


def plan_points(scenario: Scenario, levels: Mapping[str, Sequence[float]]) -> dict[Point, Scenario]:
    """The base, and a point for every level that is not where the base stands anyway.

    Args:
        scenario: the base.
        levels: by name in `FACTORS`.

    Raises:
        InputError, ScenarioError: an unknown factor, a level twice, or one that makes no valid world.
    """
    # Another name, so that parameters shipped for the base are not used there alone.
    points = {Point(BASE, 0.0): scenario.model_copy(update={"name": f"{scenario.name}.{BASE}"})}
    for factor, values in levels.items():
        if len(set(values)) < len(values):
            raise InputError(f"levels of {factor} must differ, got {', '.join(f'{v:g}' for v in values)}")
        for value in values:
            world = vary(scenario, factor, value)
            if not is_base(scenario, factor, value):
                points[Point(factor, float(value))] = world
    return points


def is_base(scenario: Scenario, factor: str, value: float) -> bool:
    """Whether a level is where the base stands."""
    return math.isclose(value, FACTORS[factor].value(scenario), rel_tol=1e-4)


def play_point(
    point: Point,
    world: Scenario,
    wanted: Sequence[tuple[str, int]],
    *,
    settings: Settings,
    parameters: Path,
) -> list[Row]:
    """Play policies at a point, after their search where there is to be one.

    Args:
        point: of the grid.
        world: there.
        wanted: policies and seeds.
        settings: of all points.
        parameters: folder for what searches find; what lies there is not searched for again.
    """
    params = compile_scenario(world)
    agents = _agents({policy for policy, _ in wanted}, point, world, settings=settings, folder=parameters)
    rows = []
    for policy, seed in wanted:
        started = time.perf_counter()
        found = rollout(
            params,
            agents[policy],
            seed=seed,
            episodes=settings.episodes,
            information=settings.information,
        )
        rows.append(
            Row(
                factor=point.factor,
                value=point.value,
                policy=policy,
                seed=seed,
                profit=float(found.profit.mean()),
                units_sold=float(found.sales_units.mean()),
                fill_rate=float(found.fill_rate.mean()),
                seconds=round(time.perf_counter() - started, 3),
            )
        )
    return rows


def _agents(
    names: set[str], point: Point, world: Scenario, *, settings: Settings, folder: Path
) -> dict[str, Policy]:
    def build(name: str) -> Policy:
        if name == ORDER_RULE:
            return SplicedPolicy(ORDER_RULE, build(PAIR), make_policy("silo"), ahead=False)
        if name in TUNABLE and settings.tune_budget:
            return _tuned(name, point, world, settings=settings, folder=folder).build()
        return make_policy(name)

    return {name: build(name) for name in names}


def _tuned(
    policy: str, point: Point, world: Scenario, *, settings: Settings, folder: Path
) -> TunedParameters:
    file = folder / f"{point.name}.{policy}.yaml"
    if file.is_file():
        found = load_tuned(file)
        if not found.fits(world):
            raise InputError(f"{file} was tuned to another world: delete it, or choose another folder")
        return found
    search = tune(world, policy, budget=settings.tune_budget, information=settings.information)
    tuned = search.tuned_to(
        world, information=settings.information, provenance={"budget_episodes": settings.tune_budget}
    )
    save_tuned(tuned, file)
    return tuned


def baselines_of(settings: Settings) -> tuple[str, ...]:
    """Names of the baselines that differ: tuned silos only where their parameters are searched for."""
    return tuple(name for name in BASELINES if settings.tune_budget or name not in TUNABLE)


def with_seeds(policies: Sequence[str], settings: Settings, *, num_seeds: int) -> list[tuple[str, int]]:
    """Policies crossed with seeds, all policies with the first seed before the second.

    Raises:
        InputError: no seed, or a policy that is no baseline, or by formula the same as another.
    """
    if num_seeds < 1:
        raise InputError(f"seeds must be at least 1, got {num_seeds}")
    for name in policies:
        if name not in BASELINES:
            raise InputError(f"baseline {name!r} is unknown, must be one of: {', '.join(BASELINES)}")
        if name not in baselines_of(settings):
            raise InputError(
                f"baseline {name!r} with parameters by formula is the silo: leave it out, or search for parameters "
                f"at every point, got a tune_budget of {settings.tune_budget}"
            )
    seeds = range(settings.seed, settings.seed + num_seeds)
    return [(policy, seed) for seed in seeds for policy in (PAIR, *dict.fromkeys(policies))]
