"""Fits and assumptions put together as a scenario, numbers rounded: the file is the same everywhere."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.assumptions import Assumptions, stated
from invrec_rllib.scenario.calibration.demand import DemandFit
from invrec_rllib.scenario.calibration.forecast import Holdout
from invrec_rllib.scenario.calibration.lift import LiftEstimate
from invrec_rllib.scenario.calibration.panel import Panel
from invrec_rllib.scenario.derived import organic_demand
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.schema import Scenario

if TYPE_CHECKING:
    from invrec_rllib.scenario.calibration.build import Fits

FloatArray = NDArray[np.float64]


def compose_scenario(
    fits: Fits,
    panel: Panel,
    *,
    assumptions: Assumptions,
    name: str,
    promotions: bool,
    labels: tuple[str, ...],
    category: str,
    currency: str,
    provenance: dict[str, Any],
    holdout: Holdout | None,
) -> Scenario:
    """The scenario at the careful lift.

    Args:
        fits: what was fitted.
        panel: the fitted weeks.
        assumptions: what was not.
        name: of the scenario.
        promotions: include the logged price path.
        labels: of the products.
        category: of the products.
        currency: of the prices.
        provenance: where the data comes from.
        holdout: accuracy on the weeks held out.

    Raises:
        InputError: a segment buys in so many visits that a choice model with an outside option cannot hold
            it.
        ScenarioError: the parts make no valid scenario.
    """
    careful = _variant(fits.demand, fits.careful)
    draft = build_scenario(
        _world(
            fits, panel, careful, assumptions, name=name, labels=labels, category=category, currency=currency
        )
        | _prices(panel, assumptions, promotions=promotions, noise_cv=fits.tastes.noise_cv),
        source=name,
    )
    visits = panel.visits.mean(axis=0)
    scale = _two_digits(assumptions.mean_demand / float(organic_demand(draft).mean()))
    organic = scale * organic_demand(draft)
    data = draft.model_dump(mode="json", exclude_defaults=True)
    data["segments"]["traffic"] = _rounded(scale * visits, 1)
    data["products"] |= _stock(organic, assumptions)
    if assumptions.capacity_periods is not None:
        mean_price = float(np.mean(draft.products.price))
        data["supply"] = {
            "capacity": float(round(assumptions.capacity_periods * organic.sum())),
            "overflow_cost": round(assumptions.overflow_share * mean_price, 3),
        }
    data["provenance"] = provenance | {
        "caveats": _caveats(draft),
        "fit": _fit_report(fits, panel, scale),
        "lift": {
            "used": "careful",
            "mean_exposure": _rounded(panel.exposure.mean(axis=0), 3),
            "variants": {"careful": careful, "high": _variant(fits.demand_high, fits.high)},
            "next_week_placebo": {
                "pooled": _number(fits.placebo.pooled),
                "standard_error": _number(fits.placebo.pooled_error),
            },
            "identification": {
                "careful": "display, between stores of one week: Poisson regression with "
                "segment-product-week and segment-product-store effects, errors clustered by store",
                "high": "display or mailer, over the chain's weeks: negative binomial regression with own "
                "price by segment, errors clustered by product",
            },
        },
        "holdout": None
        if holdout is None
        else {key: _number(value) for key, value in asdict(holdout).items()},
        "assumed": _assumed(assumptions, fits),
    }
    return build_scenario(data, source=name)


def _world(
    fits: Fits,
    panel: Panel,
    careful: dict[str, Any],
    assumptions: Assumptions,
    *,
    name: str,
    labels: tuple[str, ...],
    category: str,
    currency: str,
) -> dict[str, Any]:
    """The scenario of one visit per household visit, without stock; provenance and scale come later."""
    price = np.round(fits.demand.base_price, 2)
    lead_times = [assumptions.lead_times[i % len(assumptions.lead_times)] for i in range(len(price))]
    unit_cost = np.round(assumptions.unit_cost_share * price, 3)
    tastes = fits.tastes
    return {
        "name": name,
        "description": f"{category.title()}: {len(price)} products, {len(panel.segments)} customer "
        "segments, one year of weeks, calibrated from sales (see provenance).",
        "periods": assumptions.periods,
        "period_name": "week",
        "currency": currency,
        "products": {
            "price": price.tolist(),
            "unit_cost": unit_cost.tolist(),
            "holding_cost": _rounded(assumptions.holding_share * price, 4),
            "stockout_penalty": _rounded(assumptions.stockout_penalty_share * price, 4),
            "order_cost": [assumptions.order_cost] * len(price),
            "salvage_value": _rounded(assumptions.salvage_share * unit_cost, 3),
            "lead_time": lead_times,
            "initial_on_hand": [0] * len(price),
            "initial_pipeline": [[0] * lead_time for lead_time in lead_times],
            "names": list(labels),
            "categories": [category] * len(price),
        },
        "segments": {
            "traffic": panel.visits.mean(axis=0).tolist(),
            "names": list(panel.segments),
            **{key: careful[key] for key in ("affinity", "lift", "price_elasticity")},
        },
        "tastes": {
            "reversion": round(tastes.reversion, 2),
            "carryover": assumptions.carryover,
            "disappointment": assumptions.disappointment,
            "noise": round(tastes.noise, 3),
            "common_share": round(tastes.common_share, 2),
            "score_noise": assumptions.score_noise,
        },
        "recommendation": {"slots": assumptions.slots, "exposure_cost": assumptions.exposure_cost},
    }


def _prices(panel: Panel, assumptions: Assumptions, *, promotions: bool, noise_cv: float) -> dict[str, Any]:
    """The demand section: noise, and the logged prices of the fitted weeks, repeated up to the horizon."""
    section: dict[str, Any] = {"noise_cv": round(noise_cv, 2), "substitution": assumptions.substitution}
    if promotions:
        weeks = np.arange(assumptions.periods) % len(panel.weeks)
        section["price_path"] = _rounded(np.maximum(panel.price, 0.01)[weeks], 2)
    return {"demand": section}


def _stock(organic: FloatArray, assumptions: Assumptions) -> dict[str, Any]:
    """Initial stock and orders under way, and the supplier's limits; whole units."""
    pipeline = [round(units) for units in (assumptions.initial_pipeline_periods * organic).tolist()]
    lead_times = [assumptions.lead_times[i % len(assumptions.lead_times)] for i in range(len(organic))]
    stock: dict[str, Any] = {
        "initial_on_hand": [
            round(units) for units in (assumptions.initial_on_hand_periods * organic).tolist()
        ],
        "initial_pipeline": [[units] * length for units, length in zip(pipeline, lead_times, strict=True)],
    }
    if assumptions.max_order_periods is not None:
        stock["max_order"] = [
            math.ceil(units) for units in (assumptions.max_order_periods * organic).tolist()
        ]
    return stock


def log_attraction(demand: DemandFit) -> FloatArray:
    """Log-attractions whose choice probabilities are the fitted rates at base price, unexposed, shape (M, N).

    Raises:
        InputError: a segment buys too many products per visit for a choice with an outside option.
    """
    rate = np.exp(demand.intercept)
    outside = 1.0 - rate.sum(axis=1, keepdims=True)
    if outside.min() <= 0.01:
        raise InputError(
            f"segment {int(outside.argmin())} buys {float(rate.sum(axis=1).max()):.2f} products per visit: a "
            "choice "
            "of at most one product per visit cannot hold it; choose fewer products or a narrower category"
        )
    attraction: FloatArray = demand.intercept - np.log(outside)
    return attraction


def _variant(demand: DemandFit, estimate: LiftEstimate) -> dict[str, Any]:
    """One lift with the affinities and elasticities fitted together with it."""
    return {
        "lift": _rounded(estimate.shrunk, 3),
        "affinity": _rounded(log_attraction(demand), 3),
        "price_elasticity": _rounded(demand.elasticity, 3),
        "estimate": _known(estimate.value),
        "standard_error": _known(estimate.standard_error),
        "pooled": _number(estimate.pooled),
        "pooled_standard_error": _number(estimate.pooled_error),
        "price_elasticity_standard_error": _known(demand.elasticity_error),
    }


def _fit_report(fits: Fits, panel: Panel, scale: float) -> dict[str, Any]:
    tastes = fits.tastes
    names = ("reversion", "noise", "common_share", "noise_cv")
    errors = dict(zip(names, _known(tastes.errors), strict=True))
    if not fits.reversion_fitted:
        errors["reversion"] = None
    return {
        "purchases": int(panel.purchases.sum()),
        "units_per_purchase": _number(float(panel.units.sum() / panel.purchases.sum())),
        "visits_per_week": _rounded(panel.visits.mean(axis=0), 1),
        "scale_from_panel": scale,
        "negative_binomial_alpha": _number(fits.demand.dispersion),
        "tastes": {name: _number(getattr(tastes, name)) for name in names},
        "tastes_standard_error": errors,
        "reversion_fitted": fits.reversion_fitted,
    }


def _caveats(scenario: Scenario) -> list[str]:
    """What a reader of results in a calibrated world must know, a sentence each."""
    caveats = [
        "No exposure chosen by an agent was ever observed: what the agents do goes beyond the data.",
        "Store displays and mailers stand for recommendations, whose own effect was not measured.",
        "The high lift is inflated by the timing of promotions, which coincide with weeks of high sales.",
        "Costs, lead times, storage capacity and slots are assumptions: sales do not tell them.",
    ]
    if scenario.demand.noise_cv == 0 and scenario.tastes.noise > 0:
        caveats.append(
            "Demand varies more than Poisson through the noise of tastes alone: the fitted noise_cv is 0."
        )
    return caveats


def _assumed(assumptions: Assumptions, fits: Fits) -> dict[str, Any]:
    more = {
        "season": None,
        "unit": "one purchase",
        "price": "mean of the fitted weeks",
        "exposure": "as a display in the store",
    }
    assumed = stated(assumptions, **more)
    if fits.reversion_fitted:
        del assumed["reversion"]
    return assumed


def _rounded(values: FloatArray, digits: int) -> list[Any]:
    # Adding 0 turns -0.0 into 0.0, whose sign would differ between machines.
    rounded: list[Any] = (np.round(values, digits) + 0.0).tolist()
    return rounded


def _known(values: FloatArray) -> list[float | None]:
    return [_number(value) if math.isfinite(value) else None for value in values.tolist()]


def _number(value: float) -> float:
    return round(value, 3) + 0.0


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
