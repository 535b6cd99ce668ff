"""What a world is: one immutable, validated description (symbols in brackets as in the model's equations)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator, model_validator

# Beyond these amounts of money and units sums would lose units to rounding, or overflow.
MOST_MONEY = 1e9
MOST_UNITS = 10**12
Positive = Annotated[float, Field(gt=0, le=MOST_MONEY)]
NonNegative = Annotated[float, Field(ge=0, le=MOST_MONEY)]
Units = Annotated[int, Field(ge=0, le=MOST_UNITS)]
Label = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    """Frozen, and closed to unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        # `yes` and `on` are booleans in YAML, and would pass for the number 1.
        if info.field_name != "provenance" and _holds_boolean(value):
            raise ValueError("must not hold true or false (in YAML also yes, no, on, off)")
        return value


def _holds_boolean(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_boolean(item) for item in value)
    return isinstance(value, bool)


def _check_lengths(section: str, expected: int, reference: str, **fields: tuple[Any, ...] | None) -> None:
    for name, values in fields.items():
        if values is not None and len(values) != expected:
            raise ValueError(
                f"{section}.{name} has {len(values)} entries, but {reference} has {expected}: give one for each"
            )


class Products(_Section):
    """The N products. A single number given for a list stands for every product."""

    price: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        description="Selling price per unit [p], money; one per product. It sets the number of products N."
    )
    unit_cost: tuple[NonNegative, ...] = Field(description="Purchase cost per unit [c], money.")
    holding_cost: tuple[NonNegative, ...] = Field(
        description="Cost per unit left on hand at the end of a period [h], money per unit and period."
    )
    stockout_penalty: tuple[NonNegative, ...] = Field(
        description="Cost per unit of demand lost [b], money; per unit and period of waiting if backordered."
    )
    order_cost: tuple[NonNegative, ...] = Field(
        description="Fixed cost of any order above 0 [k], money per order."
    )
    salvage_value: tuple[NonNegative, ...] = Field(
        description="Credit at the horizon per unit on hand or on order, money; at most the unit cost."
    )
    lead_time: tuple[Annotated[int, Field(ge=0, le=52)], ...] = Field(
        description="Periods from order to arrival [L], 0 to 52; 0 arrives before the same period's demand."
    )
    max_order: tuple[Units, ...] | None = Field(
        default=None, description="The supplier's limit per period [Qmax], units; null: none."
    )
    initial_on_hand: tuple[Units, ...] = Field(description="Units on hand at the start.")
    initial_pipeline: tuple[tuple[Units, ...], ...] = Field(
        description="Units under way at the start, L entries per product; entry l arrives in period l."
    )
    names: tuple[Label, ...] | None = Field(
        default=None, description="Labels; null: product_0, product_1, ..."
    )
    categories: tuple[Label, ...] | None = Field(
        default=None, description="Category of each product; null: one category."
    )

    @model_validator(mode="before")
    @classmethod
    def _spread_single_numbers(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("price"), list | tuple):
            return data
        count = len(data["price"])
        return {
            key: [value] * count if isinstance(value, int | float) and not isinstance(value, bool) else value
            for key, value in data.items()
        }

    @model_validator(mode="after")
    def _check(self) -> Products:
        _check_lengths(
            "products",
            len(self.price),
            "products.price",
            unit_cost=self.unit_cost,
            holding_cost=self.holding_cost,
            stockout_penalty=self.stockout_penalty,
            order_cost=self.order_cost,
            salvage_value=self.salvage_value,
            lead_time=self.lead_time,
            max_order=self.max_order,
            initial_on_hand=self.initial_on_hand,
            initial_pipeline=self.initial_pipeline,
            names=self.names,
            categories=self.categories,
        )
        for i, (pipeline, lead_time) in enumerate(zip(self.initial_pipeline, self.lead_time, strict=True)):
            if len(pipeline) != lead_time:
                raise ValueError(
                    f"products.initial_pipeline[{i}] has {len(pipeline)} entries, "
                    f"but products.lead_time[{i}] is {lead_time}: give one entry per period of lead time"
                )
        for i, (salvage, cost) in enumerate(zip(self.salvage_value, self.unit_cost, strict=True)):
            if salvage > cost:
                raise ValueError(
                    f"products.salvage_value[{i}] is {salvage}, above products.unit_cost[{i}] = {cost}: "
                    "buying to salvage would earn money"
                )
        if self.names is not None and len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"products.names must be unique, but {twice!r} is given twice")
        return self

    @property
    def count(self) -> int:
        """Number of products [N]."""
        return len(self.price)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the products, made up where none are given."""
        return self.names or tuple(f"product_{i}" for i in range(self.count))

    @property
    def category_labels(self) -> tuple[str, ...]:
        """Category of each product; ``"all"`` where none are given."""
        return self.categories or ("all",) * self.count


class Segments(_Section):
    """The M customer segments."""

    traffic: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = Field(
        description="Mean visitors per period at season 1 [lambda], one per segment. It sets M."
    )
    affinity: tuple[tuple[Annotated[float, Field(ge=-30, le=10)], ...], ...] = Field(
        description="Long-run log-attraction of product i for segment m [abar], M rows of N; outside option 0."
    )
    lift: tuple[Annotated[float, Field(ge=0, le=10)], ...] = Field(
        description="Log-odds that full exposure adds [beta], one per segment, 0 to 10; 0: exposure does nothing."
    )
    price_elasticity: tuple[Annotated[float, Field(ge=0, le=20)], ...] | None = Field(
        default=None,
        description="Exponent of (price / base price) in the attraction [eta], >= 0, one per segment; null: 0.",
    )
    names: tuple[Label, ...] | None = Field(
        default=None, description="Labels; null: segment_0, segment_1, ..."
    )

    @model_validator(mode="after")
    def _check(self) -> Segments:
        _check_lengths(
            "segments",
            len(self.traffic),
            "segments.traffic",
            affinity=self.affinity,
            lift=self.lift,
            price_elasticity=self.price_elasticity,
            names=self.names,
        )
        if sum(self.traffic) <= 0:
            raise ValueError("segments.traffic must be above 0 for at least one segment: nobody would visit")
        return self

    @property
    def count(self) -> int:
        """Number of segments [M]."""
        return len(self.traffic)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the segments, made up where none are given."""
        return self.names or tuple(f"segment_{m}" for m in range(self.count))


class Demand(_Section):
    """How visits become demand."""

    lift_form: Literal["exponential", "linear"] = Field(
        default="exponential",
        description="Attraction: exp(a + beta e), or exp(a) (1 + (exp(beta) - 1) e), linear in exposure.",
    )
    noise_cv: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.0,
        description="Coefficient of variation of the gamma noise on each product's demand [cv], 0 to 5; 0: Poisson.",
    )
    substitution: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of unmet demand that asks once for another product in stock [delta]."
    )
    unmet: Literal["lost", "backorder"] = Field(
        default="lost",
        description="What becomes of demand that stays unmet: lost, or waits and is served first.",
    )
    season: tuple[NonNegative, ...] | None = Field(
        default=None, description="Factor on traffic per period [s_t], T entries; null: 1."
    )
    price_path: tuple[tuple[Positive, ...], ...] | None = Field(
        default=None,
        description="Price charged per period and product, T rows of N (promotions); null: base prices.",
    )
    price_notice_periods: Annotated[int, Field(ge=0, le=12)] = Field(
        default=1, description="How many periods ahead the agents are told of prices, 0 to 12."
    )

    @field_validator("noise_cv")
    @classmethod
    def _not_too_small(cls, value: float) -> float:
        # The gamma distribution's shape is 1 / cv^2, which must stay a number.
        if 0 < value < 1e-3:
            raise ValueError("must be 0 (no noise) or at least 0.001")
        return value


class Tastes(_Section):
    """How affinities move: a <- a + rho (abar - a) + kappa e - gamma u + sigma eps."""

    reversion: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1, description="Speed of return to the long-run affinity [rho], share per period, 0 to 1."
    )
    carryover: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.0, description="Log-attraction that full exposure adds to later periods [kappa]."
    )
    disappointment: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.0, description="Log-attraction lost when all of a product's demand goes unmet [gamma]."
    )
    noise: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.0, description="Standard deviation of the taste noise per period [sigma], log-attraction."
    )
    common_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="Share of the noise's variance that all segments have in common [tau], 0 to 1.",
    )
    score_noise: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.2,
        description="Standard deviation of the blur on the affinity scores that the recommender sees, log-attraction.",
    )


class Supply(_Section):
    """What binds the orders and the stock of all products together."""

    review_periods: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Orders are possible only in periods divisible by this [R]."
    )
    capacity: NonNegative | None = Field(
        default=None,
        description="Shared storage [C], units; stock above it costs overflow_cost. null: unlimited.",
    )
    overflow_cost: NonNegative = Field(
        default=0.0,
        description="Cost per unit above the capacity, measured after receipt [h_over], money per period.",
    )
    delay_probabilities: tuple[NonNegative, ...] = Field(
        default=(1.0,),
        description="Probability that an order takes 0, 1, 2, ... periods more than its lead time; sums to 1. "
        "The supplier tells the arrival when the order is placed; orders may cross.",
    )

    @field_validator("delay_probabilities")
    @classmethod
    def _sums_to_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(value) <= 13:
            raise ValueError("must have 1 to 13 entries")
        if abs(sum(value) - 1.0) > 1e-9:
            raise ValueError(f"must sum to 1, sums to {sum(value):.12g}")
        return value


class Recommendation(_Section):
    """The exposure that the recommender may give away."""

    slots: Positive = Field(
        description="Exposure per segment and period [K]: sum over products of e <= K <= N."
    )
    exposure_cost: NonNegative = Field(
        default=0.0, description="Cost of one full exposure [r], money per period."
    )


class Scenario(_Section):
    """One world, complete. Immutable; equal worlds compare equal.

    Build it from keyword arguments, `load_scenario` (preset name or YAML file) or `generate_scenario`.

    Raises:
        pydantic.ValidationError: a field is unknown, missing, out of range or of the wrong shape.
            The loaders turn it into a `ScenarioError` whose lines name field, value and what is allowed.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = Field(
        description="Letters, digits, '_', '.' and '-'."
    )
    description: str = ""
    periods: Annotated[int, Field(ge=1, le=10_000)] = Field(description="Horizon [T], periods.")
    period_name: Label = Field(default="period", description="What a period is: day, week, ...")
    currency: Label = Field(default="money", description="Unit of money, for labels.")
    reward_scale: Positive | None = Field(
        default=None,
        description="Money that makes a reward of 1; null: the organic margin per period of this scenario.",
    )
    products: Products
    segments: Segments
    demand: Demand = Demand()
    tastes: Tastes = Tastes()
    supply: Supply = Supply()
    recommendation: Recommendation
    provenance: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Where the numbers come from: source, licence, fit, assumptions with their reasons.",
    )

    @model_validator(mode="after")
    def _check_shapes(self) -> Scenario:
        n, t = self.products.count, self.periods
        for m, row in enumerate(self.segments.affinity):
            if len(row) != n:
                raise ValueError(f"segments.affinity[{m}] has {len(row)} entries, but there are {n} products")
        if self.demand.season is not None and len(self.demand.season) != t:
            raise ValueError(f"demand.season has {len(self.demand.season)} entries, but periods is {t}")
        if self.demand.season is not None and not any(self.demand.season):
            raise ValueError("demand.season must be above 0 in at least one period: nobody would visit")
        path = self.demand.price_path
        if path is not None:
            if len(path) != t:
                raise ValueError(f"demand.price_path has {len(path)} rows, but periods is {t}")
            for period, row in enumerate(path):
                if len(row) != n:
                    raise ValueError(
                        f"demand.price_path[{period}] has {len(row)} entries, but there are {n} products"
                    )
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Scenario:
        longest_delay = len(self.supply.delay_probabilities) - 1
        for i, lead_time in enumerate(self.products.lead_time):
            if lead_time + longest_delay >= self.periods:
                raise ValueError(
                    f"products.lead_time[{i}] = {lead_time} plus the longest delay {longest_delay} "
                    f"is not below periods = {self.periods}: no order could ever arrive"
                )
        if self.recommendation.slots > self.products.count:
            raise ValueError(
                f"recommendation.slots = {self.recommendation.slots} is above the {self.products.count} products"
            )
        if self.supply.review_periods > self.periods:
            raise ValueError(
                f"supply.review_periods = {self.supply.review_periods} is above periods = {self.periods}"
            )
        if self.supply.overflow_cost > 0 and self.supply.capacity is None:
            raise ValueError("supply.overflow_cost is set, but supply.capacity is null: set both or neither")
        return self
