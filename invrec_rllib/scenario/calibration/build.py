"""From sales to a scenario: fit the weeks to fit, add what is assumed, measure on the weeks held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.assumptions import Assumptions
from invrec_rllib.scenario.calibration.complete_journey import complete_journey
from invrec_rllib.scenario.calibration.compose import compose_scenario
from invrec_rllib.scenario.calibration.demand import DemandFit, fit_demand
from invrec_rllib.scenario.calibration.forecast import Holdout, evaluate_holdout
from invrec_rllib.scenario.calibration.lift import (
    LiftEstimate,
    combine_segments,
    next_week_placebo,
    within_store_week_lift,
)
from invrec_rllib.scenario.calibration.panel import Panel, build_panel
from invrec_rllib.scenario.calibration.records import (
    Records,
    Weeks,
    choose_products,
    collect_promotions,
    collect_sales,
    products_in_scope,
)
from invrec_rllib.scenario.calibration.segments import Segmentation, SegmentKind, segment_households
from invrec_rllib.scenario.calibration.sources import Source
from invrec_rllib.scenario.calibration.tables import Frame
from invrec_rllib.scenario.calibration.tastes import MIN_REVERSION, TasteFit, fit_tastes
from invrec_rllib.scenario.lifts import with_lift
from invrec_rllib.scenario.schema import Scenario

FloatArray = NDArray[np.float64]

DEFAULT_CATEGORY = "FROZEN PIZZA"
"""Chosen for studies of recommendation among eight categories, whose figures on the weeks held out were seen too:
the careful lift is large and well measured, next week's display shows none, the high lift lies above it, and the
forecasts beat simple ones."""


@dataclass(frozen=True)
class Fits:
    """All that was fitted, from the fitted weeks only.

    Attributes:
        careful: lift from stores of the same week.
        placebo: the same for next week's display; should be 0.
        high: lift from the chain's weeks, which the timing and depth of promotions inflate.
        demand: at the careful lift.
        demand_high: at the high lift.
        tastes: dynamics and noise.
        reversion_fitted: whether the data tells the reversion.
    """

    careful: LiftEstimate
    placebo: LiftEstimate
    high: LiftEstimate
    demand: DemandFit
    demand_high: DemandFit
    tastes: TasteFit
    reversion_fitted: bool


@dataclass(frozen=True)
class Calibration:
    """A scenario and what it came from.

    Attributes:
        scenario: the calibrated scenario.
        fitted: the panel of the fitted weeks.
        held_out: the panel of the weeks held out, with the same products and segments; None without such
            weeks.
        fits: the fits.
        holdout: accuracy on the weeks held out; None without such weeks.
    """

    scenario: Scenario
    fitted: Panel
    held_out: Panel | None
    fits: Fits
    holdout: Holdout | None


@dataclass(frozen=True)
class _Data:
    """What is read for one choice of products and segments."""

    records: Records
    promotions: Frame
    products: tuple[str, ...]
    segmentation: Segmentation
    fitted: Panel


def calibrate(
    source: Source | Literal["completejourney"],
    *,
    category: str | None = None,
    department: str | None = None,
    num_products: int = 20,
    segments: SegmentKind = "taste",
    num_segments: int = 4,
    weeks: Weeks | None = None,
    lift: Literal["careful", "high"] | float = "careful",
    promotions: bool = False,
    assumptions: Assumptions | None = None,
    name: str = "grocery",
    seed: int = 0,
) -> Calibration:
    """Build a scenario from sales and promotions.

    Args:
        source: ``"completejourney"``, or a source such as `own_tables` gives.
        category: products of this category; with Complete Journey and no department: frozen pizza.
        department: products of this department.
        num_products: how many of the best-selling products [N].
        segments: how households are put in segments.
        num_segments: how many segments by taste [M].
        weeks: which weeks are fitted and held out; None: 2 to 40 and 41 to 53.
        lift: the lift that the scenario uses.
        promotions: include the logged prices of the fitted weeks as price path, repeated up to the horizon;
            else prices are constant.
        assumptions: what the data does not hold.
        name: of the scenario.
        seed: of the clustering and of the resampling for standard errors.

    Raises:
        InputError: a table or an argument is not valid; the message names table, row and value.
        MissingExtraError: the extra `data` is not installed.
    """
    if source == "completejourney":
        source = complete_journey()
        category = DEFAULT_CATEGORY if category is None and department is None else category
    elif not isinstance(source, Source):
        raise InputError(f"source must be 'completejourney' or a Source (see own_tables), got {source!r}")
    weeks, assumptions = weeks or Weeks(), assumptions or Assumptions()
    data = _read(source, weeks, category, department, num_products, segments, num_segments, seed)
    fits = fit_panel(data.fitted, assumed_reversion=assumptions.reversion, seed=seed)
    held_out = _held_out_panel(data, weeks)
    holdout = None if held_out is None else evaluate_holdout(fits.demand, data.fitted, held_out)
    scenario = compose_scenario(
        fits,
        data.fitted,
        assumptions=assumptions,
        name=name,
        promotions=promotions,
        labels=_labels(source, data.products),
        category=category or department or "all",
        currency=source.currency,
        provenance={
            "source": source.name,
            "notice": source.notice,
            "licence": source.licence,
            "scope": {
                "category": category,
                "department": department,
                "products": list(data.products),
                "segments": segments,
            },
            "fit_weeks": [weeks.first_fit, weeks.last_fit],
            "test_weeks": [weeks.test[0], weeks.test[-1]] if held_out is not None else None,
        },
        holdout=holdout,
    )
    return Calibration(with_lift(scenario, lift), data.fitted, held_out, fits, holdout)


def fit_panel(panel: Panel, *, assumed_reversion: float = 0.1, seed: int = 0) -> Fits:
    """All fits of one panel.

    Args:
        panel: the fitted weeks.
        assumed_reversion: [rho] to use where the data does not tell it.
        seed: of the resampling for standard errors.
    """
    careful = within_store_week_lift(panel.stores)
    free = fit_demand(panel)
    high = combine_segments(free.lift, free.lift_error)
    demand = fit_demand(panel, lift=careful.shrunk)
    tastes = fit_tastes(panel.purchases, demand.expected(panel), seed=seed)
    told = (
        tastes.reversion > 1.01 * MIN_REVERSION
        and tastes.errors[0] < tastes.reversion
        and tastes.noise > 0.01
    )
    if not told:
        tastes = fit_tastes(panel.purchases, demand.expected(panel), reversion=assumed_reversion, seed=seed)
    return Fits(
        careful=careful,
        placebo=next_week_placebo(panel.stores),
        high=high,
        demand=demand,
        demand_high=fit_demand(panel, lift=high.shrunk),
        tastes=tastes,
        reversion_fitted=bool(told),
    )


def _read(
    source: Source,
    weeks: Weeks,
    category: str | None,
    department: str | None,
    num_products: int,
    segments: SegmentKind,
    num_segments: int,
    seed: int,
) -> _Data:
    """Read the rows; products, segments and fitted panel come from the fitted weeks only."""
    scope = products_in_scope(source, category=category, department=department)
    records = collect_sales(source, weeks=range(weeks.first_fit, weeks.last_test + 1), scope=scope)
    fitted = records.within(weeks.fit)
    products = choose_products(fitted.lines, weeks=weeks.fit, count=num_products)
    segmentation = segment_households(
        source, fitted, products=products, weeks=weeks.fit, kind=segments, count=num_segments, seed=seed
    )
    promoted = collect_promotions(
        source, weeks=range(weeks.first_fit, weeks.last_test + 1), products=products
    )
    in_fit = promoted[promoted["week"].isin(weeks.fit)]
    panel = build_panel(fitted, in_fit, products=products, segmentation=segmentation, weeks=weeks.fit)
    return _Data(records, promoted, products, segmentation, panel)


def _held_out_panel(data: _Data, weeks: Weeks) -> Panel | None:
    if not weeks.test:
        return None
    return build_panel(
        data.records.within(weeks.test),
        data.promotions[data.promotions["week"].isin(weeks.test)],
        products=data.products,
        segmentation=data.segmentation,
        weeks=weeks.test,
        price_before=data.fitted.price[-1],
    )


def _labels(source: Source, products: tuple[str, ...]) -> tuple[str, ...]:
    if source.products is None or "name" not in source.products:
        return products
    names = source.products.set_index("product")["name"]
    return tuple(str(names[product]) for product in products)
