"""Hold policies against the signs that the exact optimum shows when one stock, delivery or date is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.behaviour.asking import Asked, ask
from invrec_rllib.evaluation.behaviour.surfaces import Surface, find_surfaces
from invrec_rllib.evaluation.behaviour.testing import EffectTest, hold_against
from invrec_rllib.evaluation.behaviour.together import lags
from invrec_rllib.evaluation.compare import players
from invrec_rllib.evaluation.rollout import check_information
from invrec_rllib.evaluation.statistics import Estimate, estimate_mean
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.optimal import OptimalPolicy
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario, scenario_sha256
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import Params, compile_scenario
from invrec_rllib.theory.exact_world import compile_exact

Progress = Callable[[str, float], None]

REFERENCE = "tiny"
"""The world whose optimum gives the signs where the scenario's own cannot be found."""


@dataclass(frozen=True, eq=False)
class PolicyBehaviour:
    """How one policy reacts.

    Attributes:
        policy: its name.
        scenario: of the world it was asked in.
        tests: one per effect.
        correlogram: by lag in periods, correlation of orders with exposures that much later; {} where it did not
            decide what was played.
        surfaces: how decisions for one product depend on two quantities, or on the date.
    """

    policy: str
    scenario: str
    tests: tuple[EffectTest, ...]
    correlogram: dict[int, Estimate]
    surfaces: tuple[Surface, ...]

    @property
    def signs(self) -> int:
        """How many effects have a significant sign at the optimum and can be asked for here."""
        return sum(test.holds is not None for test in self.tests)

    @property
    def held(self) -> int:
        """How many of these hold."""
        return sum(test.holds is True for test in self.tests)

    @property
    def synchronised(self) -> bool | None:
        """Whether orders and exposures move together as the optimum's do; None: not known."""
        held = [test.holds for test in self.tests if test.joint and test.holds is not None]
        return all(held) if held else None


@dataclass(frozen=True, eq=False)
class Behaviour:
    """How policies of one world react, beside the exact optimum.

    Attributes:
        scenario: name of the world.
        scenario_sha256: of its YAML text.
        seed, episodes: the episodes were 0, ..., episodes - 1 of the seed.
        information: what policies were shown.
        confidence: of all intervals.
        significance: level of the tests, p-values adjusted.
        states: name of the policy whose states were asked about; None: each its own.
        optimum: of the world, or of `REFERENCE`; its significant signs are what others are held against.
        policies: the others.
        seconds: wall time.
        provenance: versions, git revision and the like, as passed in.
    """

    scenario: str
    scenario_sha256: str
    seed: int
    episodes: int
    information: str
    confidence: float
    significance: float
    states: str | None
    optimum: PolicyBehaviour
    policies: tuple[PolicyBehaviour, ...]
    seconds: float
    provenance: dict[str, str]

    @property
    def all(self) -> tuple[PolicyBehaviour, ...]:
        """The optimum, then the others."""
        return (self.optimum, *self.policies)

    def policy(self, name: str) -> PolicyBehaviour:
        """What was found of a policy.

        Raises:
            InputError: it was not asked; the message lists those that were.
        """
        for found in self.all:
            if found.policy == name:
                return found
        raise InputError(
            f"policy {name!r} was not asked, must be one of: {[found.policy for found in self.all]}"
        )


@dataclass(frozen=True)
class _Settings:
    seed: int
    episodes: int
    information: Information
    confidence: float
    significance: float


def measure_behaviour(
    scenario: str | Scenario,
    policies: Sequence[str | Policy],
    *,
    seed: int,
    episodes: int = 200,
    information: Information = "observed",
    states: str | Policy | None = None,
    product: int | None = None,
    surfaces: bool = False,
    confidence: float = 0.95,
    significance: float = 0.05,
    provenance: Mapping[str, str] | None = None,
    progress: Progress = lambda name, fraction: None,
) -> Behaviour:
    """Ask policies again in the states of their episodes with one thing changed, and test how decisions move.

    Chance is common: all policies face the same episodes. Each effect is a mean over states, with its interval over
    episodes. The optimum is tested first, two-sided; where its sign is significant, policies are tested for that
    sign, else two-sided. p-values are adjusted for the number of tests of a policy (Holm).

    Args:
        scenario: the world: a preset's name, a file or a `Scenario`.
        policies: policies, or names of simple ones; `optimal` is always asked.
        seed: of the episodes, >= 0.
        episodes: how many, >= 2.
        information: what policies are shown.
        states: whose states all others are asked in; None: each in those that it comes to itself. The optimum is
            asked in its own.
        product: whose surfaces are drawn, an index; None: the product of the largest organic demand.
        surfaces: whether to draw them.
        confidence: of the intervals, between 0 and 1.
        significance: level of the tests, between 0 and 1.
        provenance: versions, git revision and the like, kept with the result.
        progress: called with a policy's name and the fraction of its episodes done.

    Raises:
        InputError: an argument is out of range, two policies share a name, or a policy acts against the rules.
    """
    started = time.perf_counter()
    world = load_scenario(scenario)
    params = compile_scenario(world)
    if episodes < 2 or not 0.0 < significance < 1.0:
        raise InputError(
            f"episodes must be >= 2 and significance between 0 and 1, got {episodes} and {significance}"
        )
    if product is not None and not 0 <= product < params.num_products:
        raise InputError(f"product is {product}, must be from 0 to {params.num_products - 1}")
    agents = players(policies, ())
    driver = players([states], ())[0] if states is not None else None
    for agent in (*agents, *([driver] if driver else [])):
        check_information(agent, information)
    settings = _Settings(seed, episodes, information, confidence, significance)
    shown = int(params.organic_demand.argmax()) if product is None else product

    exact = params if _is_solvable(params) else compile_scenario(load_scenario(REFERENCE))
    drawn = (shown if exact is params else int(exact.organic_demand.argmax())) if surfaces else None
    optimum = _measure(exact, OptimalPolicy(), settings, signs={}, product=drawn, progress=progress)
    signs = {test.name: test.sign for test in optimum.tests}
    others = [agent for agent in agents if not (isinstance(agent, OptimalPolicy) and exact is params)]
    found = tuple(
        _measure(
            params,
            agent,
            settings,
            signs=signs,
            driver=driver,
            product=shown if surfaces else None,
            progress=progress,
        )
        for agent in others
    )
    return Behaviour(
        scenario=world.name,
        scenario_sha256=scenario_sha256(world),
        seed=seed,
        episodes=episodes,
        information=information,
        confidence=confidence,
        significance=significance,
        states=driver.name if driver else None,
        optimum=optimum,
        policies=found,
        seconds=time.perf_counter() - started,
        provenance=dict(provenance or {}),
    )


def _measure(
    params: Params,
    policy: Policy,
    settings: _Settings,
    *,
    signs: Mapping[str, int],
    driver: Policy | None = None,
    product: int | None,
    progress: Progress,
) -> PolicyBehaviour:
    asked = ask(
        params,
        policy,
        seed=settings.seed,
        episodes=settings.episodes,
        information=settings.information,
        driver=driver,
        progress=lambda fraction: progress(policy.name, fraction),
    )
    surfaces: tuple[Surface, ...] = ()
    if product is not None:
        surfaces = find_surfaces(
            params,
            policy,
            product=product,
            seed=settings.seed,
            episodes=settings.episodes,
            information=settings.information,
            driver=driver,
        )
    return PolicyBehaviour(
        policy=policy.name,
        scenario=params.scenario.name,
        tests=hold_against(
            asked, signs=signs, confidence=settings.confidence, significance=settings.significance
        ),
        correlogram=_correlogram(params, asked, confidence=settings.confidence),
        surfaces=surfaces,
    )


def _correlogram(params: Params, asked: Asked, *, confidence: float) -> dict[int, Estimate]:
    if asked.correlogram is None:
        return {}
    return {
        lag: estimate_mean(values, confidence=confidence)
        for lag, values in zip(lags(params), np.transpose(asked.correlogram), strict=True)
    }


def _is_solvable(params: Params) -> bool:
    try:
        compile_exact(params)
    except InputError:
        return False
    return True
