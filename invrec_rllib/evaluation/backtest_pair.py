"""Semi-synthetic backtest of both departments: worlds refitted on the weeks held out, at three lifts.

The fitted weeks give the lifts and the dynamics of tastes, the weeks held out give the demand: rates, prices'
effect and visits. A policy made for the fitted weeks meets customers that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.compare import compare
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.view import Information, View
from invrec_rllib.scenario.calibration.build import Calibration
from invrec_rllib.scenario.calibration.compose import log_attraction
from invrec_rllib.scenario.calibration.demand import fit_demand
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import Params

LiftName = Literal["zero", "careful", "high"]
LIFTS: tuple[LiftName, ...] = ("zero", "careful", "high")
PAIR_CAVEATS = (
    "The exposures that the policies choose were never observed: any gain from recommendation is a claim of the "
    "model at the stated lift, not a measurement.",
    "The log holds no propensities of exposure, so no off-policy estimate is valid.",
    "Displays in stores stand for recommendations; costs, lead times, capacity and slots are assumptions.",
    "Demand is refitted on few weeks, without the error of its parameters: intervals cover chance within the "
    "world only.",
    "At lift zero exposure does nothing, so whatever a policy gains there comes from its orders.",
)


@dataclass(frozen=True)
class PairReport:
    """Comparisons of policies, one per lift, with what a reader must know."""

    comparisons: dict[LiftName, Comparison]
    caveats: tuple[str, ...] = PAIR_CAVEATS

    def to_text(self) -> str:
        """Tables and caveats."""
        parts = [f"Lift {name}:\n\n{found.to_markdown()}" for name, found in self.comparisons.items()]
        return "\n".join(parts) + "\n" + "".join(f"- {caveat}\n" for caveat in self.caveats)


@dataclass(frozen=True)
class WithoutSlates:
    """A policy's orders with nothing shown: what its slates add is its profit less this one's."""

    policy: Policy

    @property
    def name(self) -> str:
        """The policy's, marked."""
        return f"{self.policy.name}, no slates"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Any:
        """As the policy."""
        return self.policy.begin(params, num_episodes=num_episodes, seed=seed)

    def act(self, view: View, memory: Any) -> Decision:
        """The policy's order; no exposure."""
        decision = self.policy.act(view, memory)
        return decision._replace(exposure=np.zeros(decision.exposure.shape))


def held_out_scenario(calibration: Calibration, lift: LiftName) -> Scenario:
    """The calibrated world with the demand of the weeks held out.

    Args:
        calibration: with weeks held out.
        lift: `zero`, or the careful or high lift of the fitted weeks; the demand is refitted beside it, so that
            each world explains the same sales.

    Raises:
        InputError: no weeks are held out, or no such lift.
    """
    panel, fits, scenario = calibration.held_out, calibration.fits, calibration.scenario
    if panel is None:
        raise InputError("a backtest needs weeks held out: calibrate with last_test above last_fit")
    values = {"zero": 0.0 * fits.careful.shrunk, "careful": fits.careful.shrunk, "high": fits.high.shrunk}
    if lift not in values:
        raise InputError(f"lift must be one of {', '.join(LIFTS)}, got {lift!r}")
    demand = fit_demand(panel, lift=values[lift], base_price=np.asarray(scenario.products.price))
    scale = np.sum(scenario.segments.traffic) / calibration.fitted.visits.mean(axis=0).sum()
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    data["name"] = f"{scenario.name}-held-out-{lift}"
    data["segments"] |= {
        "traffic": np.round(scale * panel.visits.mean(axis=0), 1).tolist(),
        "affinity": np.round(log_attraction(demand), 3).tolist(),
        "lift": np.round(demand.lift, 3).tolist(),
        "price_elasticity": np.round(demand.elasticity, 3).tolist(),
    }
    data.pop("provenance", None)
    return build_scenario(data, source=data["name"])


def pair_backtest(
    calibration: Calibration,
    policies: Sequence[str | Policy] = ("traditional", "silo", "stock_aware"),
    *,
    episodes: int = 500,
    seed: int = 0,
    baselines: Sequence[str] = ("silo",),
    information: Information = "observed",
    lifts: Sequence[LiftName] = LIFTS,
    progress: Callable[[str, float], None] | None = None,
) -> PairReport:
    """Compare policies in the worlds of the weeks held out.

    Args:
        calibration: with weeks held out.
        policies: policies for both departments, or names of simple ones.
        episodes: per lift, on common random numbers.
        seed: of the episodes.
        baselines: policies to take paired differences to.
        information: what the policies are shown.
        lifts: which worlds.
        progress: called with a label and the fraction of the episodes done.

    Raises:
        InputError: no weeks are held out, or a policy or lift is not known.
    """
    comparisons = {}
    for lift in lifts:

        def report(policy: str, fraction: float, *, lift: str = lift) -> None:
            if progress is not None:
                progress(f"lift {lift}, {policy}", fraction)

        comparisons[lift] = compare(
            held_out_scenario(calibration, lift),
            policies,
            seed=seed,
            episodes=episodes,
            baselines=baselines,
            information=information,
            progress=report,
        )
    return PairReport(comparisons)
