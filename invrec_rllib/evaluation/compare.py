"""Play several policies on the same episodes and compare them pair by pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.comparison import DIFFERENCES, METRICS, Comparison, Row
from invrec_rllib.evaluation.rollout import Rollout, rollout
from invrec_rllib.evaluation.statistics import estimate_mean, paired_difference
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario, scenario_sha256
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import compile_scenario


def compare(
    scenario: str | Scenario,
    policies: Sequence[str | Policy],
    *,
    seed: int,
    episodes: int,
    baselines: Sequence[str] = ("silo",),
    information: Information = "observed",
    confidence: float = 0.95,
    provenance: Mapping[str, str] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Comparison:
    """Compare policies on common random numbers.

    Args:
        scenario: the world: a preset's name, a file or a `Scenario`.
        policies: policies, or names of simple ones.
        seed: >= 0.
        episodes: how many episodes each policy plays, >= 1; 200 resolve about 1 % of profit.
        baselines: names of policies to take paired differences to; a simple one that is not among the
            policies is played too.
        information: what the policies are shown.
        confidence: of the intervals, between 0 and 1.
        provenance: versions, git revision and the like, kept with the result.
        progress: called with a policy's name and the fraction of its episodes done.

    Raises:
        InputError: two policies share a name, a name is unknown, or a policy acts against the rules.
    """
    started = time.perf_counter()
    world = load_scenario(scenario)
    params = compile_scenario(world)
    results: dict[str, Rollout] = {}
    for policy in players(policies, baselines):
        name = policy.name

        def report(fraction: float, *, name: str = name) -> None:
            if progress is not None:
                progress(name, fraction)

        results[name] = rollout(
            params, policy, seed=seed, episodes=episodes, information=information, progress=report
        )
    return summarise(
        world,
        results,
        seed=seed,
        baselines=baselines,
        information=information,
        confidence=confidence,
        provenance=provenance,
        seconds=time.perf_counter() - started,
    )


def summarise(
    scenario: Scenario,
    results: Mapping[str, Rollout],
    *,
    seed: int,
    baselines: Sequence[str],
    information: Information,
    seconds: float,
    num_seeds: int = 1,
    confidence: float = 0.95,
    provenance: Mapping[str, str] | None = None,
) -> Comparison:
    """Turn rollouts over the same episodes into a comparison; arguments as `compare`.

    Args:
        scenario: the world.
        results: by policy, all over the same episodes of the seed, the baselines among them.
        seed: of the episodes, the first of several.
        baselines: names of policies to take paired differences to.
        information: what the policies were shown.
        seconds: wall time that it took.
        num_seeds: how many seeds the episodes are of, in equal shares.
        confidence: of the intervals, between 0 and 1.
        provenance: versions, git revision and the like.
    """
    return Comparison(
        scenario=scenario.name,
        scenario_sha256=scenario_sha256(scenario),
        currency=scenario.currency,
        seed=seed,
        episodes=len(next(iter(results.values())).profit),
        information=information,
        confidence=confidence,
        baselines=tuple(baselines),
        seconds=seconds,
        provenance=dict(provenance or {}),
        rows=tuple(
            _summarise_policy(name, results, baselines=baselines, confidence=confidence) for name in results
        ),
        num_seeds=num_seeds,
    )


def players(policies: Sequence[str | Policy], baselines: Sequence[str]) -> list[Policy]:
    """The policies, names among them built, and the baselines that are not among them.

    Raises:
        InputError: two share a name, or a name is unknown.
    """
    given = [make_policy(policy) if isinstance(policy, str) else policy for policy in policies]
    names = [policy.name for policy in given]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"policies must have different names, got several called {', '.join(repeated)}")
    return given + [make_policy(name) for name in dict.fromkeys(baselines) if name not in names]


def _summarise_policy(
    name: str, results: Mapping[str, Rollout], *, baselines: Sequence[str], confidence: float
) -> Row:
    result = results[name]
    return Row(
        policy=name,
        metrics={metric: estimate_mean(getattr(result, metric), confidence=confidence) for metric in METRICS},
        economics={item: float(values.mean()) for item, values in result.economics.items()},
        differences={
            baseline: {
                metric: paired_difference(
                    getattr(result, metric), getattr(results[baseline], metric), confidence=confidence
                )
                for metric in DIFFERENCES
            }
            for baseline in baselines
            if baseline != name
        },
    )
