"""What coordination is worth: policies over several seeds, itemised, held against the best possible, taken apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.compare import players, summarise
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.evaluation.decomposition import Decomposition, decompose
from invrec_rllib.evaluation.gap import Gap, find_gap
from invrec_rllib.evaluation.rollout import Rollout, join_rollouts, rollout
from invrec_rllib.evaluation.statistics import Estimate, estimate_mean
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import Params, compile_scenario

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class SeedRow:
    """Means per episode of one policy over the episodes of one seed.

    Attributes:
        policy: its name.
        seed: of the episodes.
        profit: money.
        sales_units: units sold.
        fill_rate: share of demand served at once.
    """

    policy: str
    seed: int
    profit: float
    sales_units: float
    fill_rate: float


@dataclass(frozen=True)
class Worth:
    """What policies of one world are worth, and why.

    Attributes:
        comparison: all policies over all episodes, with paired differences to the baselines; the first of the
            baselines is the one that gains are taken apart against.
        items: money per episode by policy, then by item of `Economics`, costs positive.
        changes: the same, less the first baseline's on the same episodes; not of that baseline itself.
        by_seed: a row per policy and seed.
        gap: how far policies are below the best possible; None where that was left out.
        decompositions: of the gains of coordinated pairs.
    """

    comparison: Comparison
    items: dict[str, dict[str, Estimate]]
    changes: dict[str, dict[str, Estimate]]
    by_seed: tuple[SeedRow, ...]
    gap: Gap | None
    decompositions: tuple[Decomposition, ...]

    @property
    def baseline(self) -> str:
        """The policy that gains are taken apart against."""
        return self.comparison.baselines[0]


def find_worth(
    scenario: str | Scenario,
    policies: Sequence[str | Policy],
    *,
    seed: int,
    num_seeds: int = 1,
    episodes: int,
    baselines: Sequence[str] = ("silo",),
    taken_apart: Sequence[str] = (),
    bound_paths: int = 0,
    information: Information = "observed",
    confidence: float = 0.95,
    provenance: Mapping[str, str] | None = None,
    progress: Progress = lambda name, fraction: None,
) -> Worth:
    """Compare policies on common random numbers over several seeds, and say where their gains come from.

    Episodes are independent, of whatever seed: intervals are over all of them together.

    Args:
        scenario: the world: a preset's name, a file or a `Scenario`.
        policies: policies, or names of simple ones.
        seed: the first, >= 0; others follow it.
        num_seeds: how many, >= 1.
        episodes: that each policy plays per seed, >= 1.
        baselines: names of policies to take paired differences to, at least one; gains are taken apart against
            the first.
        taken_apart: names of those policies whose gains are taken apart, which takes two or three times as long.
        bound_paths: paths of tastes of the fluid bound, which is the reference where the world cannot be solved
            exactly; 0 leaves the gap out, the exact one too.
        information: what the policies are shown.
        confidence: of the intervals, between 0 and 1.
        provenance: versions, git revision and the like, kept with the result.
        progress: called with what is at work, and the fraction of it that is done.

    Raises:
        InputError: a number out of range, names that are unknown or given twice, a baseline to be taken apart, or
            a policy that acts against the rules.
    """
    started = time.perf_counter()
    _check(num_seeds=num_seeds, episodes=episodes, baselines=baselines, bound_paths=bound_paths)
    world = load_scenario(scenario)
    params = compile_scenario(world)
    agents = {agent.name: agent for agent in players(policies, baselines)}
    for name in taken_apart:
        if name not in agents or name == baselines[0]:
            allowed = ", ".join(other for other in agents if other != baselines[0])
            raise InputError(f"gain of {name!r} cannot be taken apart, must be one of: {allowed}")
    seeds = range(seed, seed + num_seeds)

    def play(policy: Policy) -> Rollout:
        return _play(
            params, policy, seeds=seeds, episodes=episodes, information=information, progress=progress
        )

    results = {name: play(agent) for name, agent in agents.items()}
    base = results[baselines[0]]
    exact_scores = information == "full" or world.tastes.score_noise == 0.0
    decompositions = tuple(
        decompose(
            agents[name],
            agents[baselines[0]],
            scenario=world,
            exact_scores=exact_scores,
            played=(results[name], base),
            play=play,
            confidence=confidence,
        )
        for name in taken_apart
    )
    gap = None
    if bound_paths:
        gap = find_gap(
            params, results, seed=seed, paths=bound_paths, play=play, confidence=confidence, progress=progress
        )
    return Worth(
        comparison=summarise(
            world,
            results,
            seed=seed,
            num_seeds=num_seeds,
            baselines=baselines,
            information=information,
            confidence=confidence,
            provenance=provenance,
            seconds=time.perf_counter() - started,
        ),
        items={name: _means(found, None, confidence=confidence) for name, found in results.items()},
        changes={
            name: _means(found, base, confidence=confidence)
            for name, found in results.items()
            if name != baselines[0]
        },
        by_seed=tuple(row for name, found in results.items() for row in _by_seed(name, found, seeds=seeds)),
        gap=gap,
        decompositions=decompositions,
    )


def _check(*, num_seeds: int, episodes: int, baselines: Sequence[str], bound_paths: int) -> None:
    if num_seeds < 1 or episodes < 1:
        raise InputError(f"seeds and episodes must be >= 1, got {num_seeds} and {episodes}")
    if not baselines:
        raise InputError("baselines must name at least one policy, got none")
    if not 0 <= bound_paths <= episodes:
        raise InputError(
            f"paths of the bound are {bound_paths}, must be from 0 to the {episodes} episodes of a seed: "
            "the gap is taken on the same tastes"
        )


def _play(
    params: Params,
    policy: Policy,
    *,
    seeds: Sequence[int],
    episodes: int,
    information: Information,
    progress: Progress,
) -> Rollout:
    blocks = []
    for k, seed in enumerate(seeds):

        def report(fraction: float, *, k: int = k) -> None:
            progress(policy.name, (k + fraction) / len(seeds))

        blocks.append(
            rollout(params, policy, seed=seed, episodes=episodes, information=information, progress=report)
        )
    return join_rollouts(blocks)


def _means(found: Rollout, base: Rollout | None, *, confidence: float) -> dict[str, Estimate]:
    """Money by item, less the baseline's where there is one."""
    return {
        item: estimate_mean(values if base is None else values - base.economics[item], confidence=confidence)
        for item, values in found.economics.items()
    }


def _by_seed(name: str, found: Rollout, *, seeds: Sequence[int]) -> list[SeedRow]:
    def means(values: ArrayLike) -> list[float]:
        return [float(part) for part in np.asarray(values, dtype=float).reshape(len(seeds), -1).mean(axis=1)]

    columns = zip(means(found.profit), means(found.sales_units), means(found.fill_rate), strict=True)
    return [SeedRow(name, seed, *row) for seed, row in zip(seeds, columns, strict=True)]
