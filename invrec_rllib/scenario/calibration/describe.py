"""A calibration in a few lines that a planner can read."""

from __future__ import annotations

import math

import numpy as np

from invrec_rllib.scenario.calibration.build import Calibration
from invrec_rllib.scenario.calibration.lift import LiftEstimate


def describe_calibration(calibration: Calibration) -> str:
    """Source, segments, lifts with standard errors, and accuracy on the weeks held out."""
    scenario, fitted, fits = calibration.scenario, calibration.fitted, calibration.fits
    known = scenario.provenance
    lines = [
        f"{scenario.name}: {known['source']}",
        f"  {known['notice']}",
        f"  {len(fitted.products)} products, {len(fitted.segments)} segments, weeks {fitted.weeks[0]} to "
        f"{fitted.weeks[-1]} fitted, {int(fitted.purchases.sum()):,} purchases",
        f"  careful lift {_pooled(fits.careful)}: display, between stores of the same week",
        f"  high lift    {_pooled(fits.high)}: display or mailer, over the chain's weeks",
        f"  placebo      {_pooled(fits.placebo)}: next week's display, should be near 0",
    ]
    for m, name in enumerate(fitted.segments):
        lines.append(
            f"  {name}: {fitted.visits[:, m].mean():,.0f} visits a week, careful lift {_own(fits.careful, m)}, "
            f"price elasticity {fits.demand.elasticity[m]:.2f} ({fits.demand.elasticity_error[m]:.2f})"
        )
    holdout = calibration.holdout
    if holdout is not None and calibration.held_out is not None:
        weeks = calibration.held_out.weeks
        lines.append(
            f"  weeks {weeks[0]} to {weeks[-1]}, held out: deviance explained {holdout.deviance_explained:.2f}; "
            f"WAPE {holdout.wape_model:.3f}, of the last 4 weeks {holdout.wape_last_4_weeks:.3f}, "
            f"seasonal-naive {holdout.wape_seasonal:.3f}"
        )
    return "\n".join(lines) + "\n"


def _pooled(estimate: LiftEstimate) -> str:
    return f"{estimate.pooled:+.3f} ({estimate.pooled_error:.3f}), odds x {np.exp(estimate.pooled):.2f}"


def _own(estimate: LiftEstimate, m: int) -> str:
    if not math.isfinite(estimate.standard_error[m]):
        return "not told by its data"
    return f"{estimate.value[m]:+.2f} ({estimate.standard_error[m]:.2f})"
