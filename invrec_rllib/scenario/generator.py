"""Random scenarios from a seed and a recipe; the presets are the draws of seed 1."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from invrec_rllib.errors import ScenarioError
from invrec_rllib.scenario.derived import organic_demand
from invrec_rllib.scenario.faults import describe_faults
from invrec_rllib.scenario.schema import (
    Demand,
    Products,
    Recommendation,
    Scenario,
    Segments,
    Supply,
    Tastes,
)

_Price = Annotated[float, Field(ge=0.01)]
_Margin = Annotated[float, Field(ge=0, lt=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_UpToFive = Annotated[float, Field(ge=0, le=5)]


class Recipe(BaseModel):
    """Knobs of the random-scenario generator; the defaults are those of the `paper` preset.

    Attributes:
        num_products, num_segments, slots, periods: N, M, K, T.
        lead_times: periods; products cycle through them.
        mean_demand: units per product and period that sell without any exposure [d].
        popularity: sum of unexposed attractions per segment [W]: a visitor buys with probability W / (1 + W).
        affinity_spread: standard deviation of long-run log-attractions [sd_a].
        lift_odds: factor on the odds of purchase under full exposure [exp(beta)], >= 1.
        price_range, margin_range: uniform draws, money per unit and share of the price.
        holding_share, stockout_share: h / c per period and b / p.
        salvage_share: salvage value / c.
        order_limit_share: the supplier's limit per period as a multiple of organic demand; None: no limit.
        taste_noise, common_share, reversion, carryover, disappointment: as in `Tastes`.
        noise_cv, substitution: as in `Demand`.
        season_peak: a season that peaks at 55 % of the horizon, instead of none.
        capacity, overflow_cost, review_periods: as in `Supply`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_products: Annotated[int, Field(ge=1, le=100_000)] = 10
    num_segments: Annotated[int, Field(ge=1, le=10_000)] = 5
    slots: Annotated[float, Field(gt=0)] = 2
    periods: Annotated[int, Field(ge=1)] = 60
    lead_times: Annotated[tuple[Annotated[int, Field(ge=0, le=52)], ...], Field(min_length=1)] = (1, 2, 3)
    mean_demand: Annotated[float, Field(gt=0)] = 8.0
    popularity: Annotated[float, Field(gt=0)] = 0.3
    affinity_spread: Annotated[float, Field(ge=0, le=5)] = 0.7
    lift_odds: Annotated[float, Field(ge=1, le=1000)] = 2.5
    price_range: tuple[_Price, _Price] = (20.0, 60.0)
    margin_range: tuple[_Margin, _Margin] = (0.3, 0.5)
    holding_share: Annotated[float, Field(ge=0)] = 0.01
    stockout_share: Annotated[float, Field(ge=0)] = 0.05
    salvage_share: Annotated[float, Field(ge=0, le=1)] = 0.8
    order_limit_share: Annotated[float, Field(gt=0)] | None = 1.5
    taste_noise: _UpToFive = 0.3
    common_share: _Share = 0.5
    reversion: _Share = 0.1
    carryover: _UpToFive = 0.0
    disappointment: _UpToFive = 0.3
    noise_cv: _UpToFive = 0.3
    substitution: _Share = 0.0
    season_peak: bool = False
    capacity: Annotated[float, Field(ge=0)] | None = None
    overflow_cost: Annotated[float, Field(ge=0)] = 0.0
    review_periods: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _check_ranges(self) -> Recipe:
        for field in ("price_range", "margin_range"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field} = ({low}, {high}) must run from low to high")
        if self.slots > self.num_products:
            raise ValueError(f"slots = {self.slots:g} is above num_products = {self.num_products}")
        if max(self.lead_times) >= self.periods:
            raise ValueError(
                f"lead_times up to {max(self.lead_times)} are not below periods = {self.periods}: "
                "no order could ever arrive"
            )
        if self.overflow_cost > 0 and self.capacity is None:
            raise ValueError("overflow_cost is set, but capacity is None: set both or neither")
        return self


def generate_scenario(*, seed: int, name: str = "generated", description: str = "", **knobs: Any) -> Scenario:
    """Draw a random scenario; the same seed and knobs give the same scenario.

    Args:
        seed: >= 0.
        name: of the scenario.
        description: of the scenario.
        **knobs: fields of `Recipe`.

    Raises:
        ScenarioError: a knob is unknown or out of range.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ScenarioError(f"seed must be a whole number, at least 0, got {seed!r}")
    try:
        recipe = Recipe(**knobs)
        return _draw(recipe, np.random.default_rng(seed), seed=seed, name=name, description=description)
    except ValidationError as error:
        lines = "\n  ".join(describe_faults(error, Recipe))
        raise ScenarioError(f"the generator's knobs are not valid:\n  {lines}") from error


def _draw(recipe: Recipe, rng: np.random.Generator, *, seed: int, name: str, description: str) -> Scenario:
    n = recipe.num_products
    price = rng.uniform(*recipe.price_range, n).round(2)
    unit_cost = (price * (1.0 - rng.uniform(*recipe.margin_range, n))).round(2)
    lead_time = [recipe.lead_times[i % len(recipe.lead_times)] for i in range(n)]
    scenario = Scenario(
        name=name,
        description=description,
        periods=recipe.periods,
        products=Products(
            price=_floats(price, 2),
            unit_cost=_floats(unit_cost, 2),
            holding_cost=_floats(recipe.holding_share * unit_cost, 4),
            stockout_penalty=_floats(recipe.stockout_share * price, 4),
            order_cost=(0.0,) * n,
            # Down, so that rounding never lifts the salvage value above the unit cost.
            salvage_value=_floats(np.floor(recipe.salvage_share * unit_cost * 1e4) / 1e4, 4),
            lead_time=tuple(lead_time),
            initial_on_hand=(0,) * n,
            initial_pipeline=tuple((0,) * periods for periods in lead_time),
        ),
        segments=_draw_segments(recipe, rng),
        demand=Demand(
            noise_cv=recipe.noise_cv,
            substitution=recipe.substitution,
            season=_season(recipe.periods) if recipe.season_peak else None,
        ),
        tastes=Tastes(
            reversion=recipe.reversion,
            carryover=recipe.carryover,
            disappointment=recipe.disappointment,
            noise=recipe.taste_noise,
            common_share=recipe.common_share,
        ),
        supply=Supply(
            review_periods=recipe.review_periods, capacity=recipe.capacity, overflow_cost=recipe.overflow_cost
        ),
        recommendation=Recommendation(slots=recipe.slots),
        provenance={"generator": {"seed": seed, **recipe.model_dump(mode="json", exclude_defaults=True)}},
    )
    return stock_up(scenario, order_limit_share=recipe.order_limit_share)


def stock_up(scenario: Scenario, *, order_limit_share: float | None = None) -> Scenario:
    """Set the initial stock to 1.5 periods of organic demand and every pipeline slot to one period's.

    Args:
        scenario: the world.
        order_limit_share: the supplier's limit as a multiple of organic demand; None: no limit.
    """
    organic = organic_demand(scenario)
    products = scenario.products
    changes = {
        "initial_on_hand": tuple(round(1.5 * units) for units in organic),
        "initial_pipeline": tuple(
            (round(units),) * periods for units, periods in zip(organic, products.lead_time, strict=True)
        ),
        "max_order": None
        if order_limit_share is None
        else tuple(max(1, round(order_limit_share * units)) for units in organic),
    }
    data = scenario.model_dump()
    return Scenario.model_validate({**data, "products": {**data["products"], **changes}})


def _draw_segments(recipe: Recipe, rng: np.random.Generator) -> Segments:
    n, m = recipe.num_products, recipe.num_segments
    affinity = rng.normal(0.0, recipe.affinity_spread, (m, n))
    affinity += math.log(recipe.popularity) - np.log(np.exp(affinity).sum(axis=1, keepdims=True))
    buy = recipe.popularity / (1.0 + recipe.popularity)
    traffic = recipe.mean_demand * n / buy * rng.dirichlet(np.full(m, 8.0))
    return Segments(
        traffic=_floats(traffic, 3),
        affinity=tuple(_floats(row, 4) for row in affinity),
        lift=(round(math.log(recipe.lift_odds), 6),) * m,
    )


def _season(periods: int) -> tuple[float, ...]:
    t = np.arange(periods)
    factor = 0.4 + 2.2 * np.exp(-(((t - 0.55 * periods) / (0.13 * periods)) ** 2) / 2.0)
    return _floats(factor / factor.mean(), 6)


def _floats(values: np.ndarray[Any, np.dtype[np.float64]], digits: int) -> tuple[float, ...]:
    return tuple(float(value) for value in values.round(digits))
