"""The one table of what agents see: spaces, encoder and documentation all come from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from invrec_rllib.env.advice import Advice
from invrec_rllib.env.facts import Facts
from invrec_rllib.policies.base_stock import critical_ratio, protected_season
from invrec_rllib.policies.view import Information
from invrec_rllib.sim.params import FloatArray, Params

Kind = Literal["global", "product", "cell"]
Role = Literal["inventory", "recommender", "state"]
Modes = frozenset[Information]

ALWAYS: Modes = frozenset(("full", "observed", "department"))
SHARED: Modes = frozenset(("full", "observed"))
ONLY_FULL: Modes = frozenset(("full",))
CLICKS: Modes = frozenset(("full", "department"))
NEVER: Modes = frozenset()

# Deliveries and season are shown this many periods ahead at most.
_LONGEST_LOOKAHEAD = 12
_END_IN_SIGHT = 10


@dataclass(frozen=True)
class Field:
    """One observation field.

    Attributes:
        name: unique.
        kind: "global" (B,), "product" (B, N) or "cell" (B, M, N); a further last axis where `width` > 1.
        low, high: bounds; what lies beyond is shown as the bound (saturation).
        description: meaning and normalisation, for the environment's manual.
        inventory, recommender: information modes in which the agent sees it. The state always holds it.
        calendar: known in advance: computed from (params, period), else from the facts of a view.
        from_period: the values of a calendar field, without the batch axis.
        from_facts: the values of any other field.
        in_units: an amount of units, which the encoder shows as log(1 + units / organic demand).
        width: how many numbers, such as one per period ahead.
    """

    name: str
    kind: Kind
    low: float
    high: float
    description: str
    inventory: Modes
    recommender: Modes
    from_period: Callable[[Params, int], FloatArray | float] | None = None
    from_facts: Callable[[Facts], np.ndarray[tuple[int, ...], np.dtype[np.generic]]] | None = None
    in_units: bool = False
    width: int = 1

    @property
    def calendar(self) -> bool:
        """Whether it is known in advance."""
        return self.from_period is not None

    def seen_by(self, role: Role, information: Information) -> bool:
        """Whether an agent, or the global state, holds it."""
        if role == "state":
            return True
        return information in (self.inventory if role == "inventory" else self.recommender)


def field_table(params: Params, *, advised: bool = False) -> tuple[Field, ...]:
    """All fields of a world, less those that have no use there, such as a capacity's where there is none.

    Args:
        params: the world.
        advised: whether agents have an adviser, whose advice they see.
    """
    return (
        *_global_fields(params),
        *_product_calendar(params),
        *_stock_fields(params),
        *_demand_fields(params),
        *_cell_fields(params),
        *(_advice_fields(params) if advised else ()),
    )


# The tables are kept in rows, which the formatter would take apart.
# fmt: off
def _global_fields(params: Params) -> list[Field]:
    horizon, review = params.num_periods, params.scenario.supply.review_periods
    top_season = max(float(params.season.max()), 1e-9)
    ahead = min(int(params.lead_time.max()) + review, _LONGEST_LOOKAHEAD, horizon)
    capacity, organic = params.scenario.supply.capacity, max(float(params.organic_demand.sum()), 1e-9)

    def season(params: Params, period: int) -> FloatArray:
        window = np.zeros(ahead + 1)
        known = params.season[period : period + ahead + 1]
        window[: len(known)] = known / top_season
        return window

    fields = [
        Field("phase", "global", 0, 1, "t / T.", ALWAYS, ALWAYS, lambda _, t: t / horizon),
        Field("periods_left", "global", 0, 1, f"Periods left / {_END_IN_SIGHT}, at most 1.",
              ALWAYS, ALWAYS, lambda _, t: (horizon - t) / _END_IN_SIGHT),
        Field("season", "global", 0, 1, "Season now and in the periods ahead / its highest.",
              ALWAYS, ALWAYS, season, width=ahead + 1),
        Field("total_stock", "global", 0, 8, "log(1 + units on hand / organic demand), of all products.",
              ALWAYS, SHARED, from_facts=lambda f: np.log1p(f.state.on_hand.sum(axis=1) / organic)),
    ]
    if review > 1:
        fields.append(Field("review", "global", 0, 1,
                            "Periods until orders are possible / R; if R is above 1.",
                            ALWAYS, SHARED, lambda _, t: (-t % review) / review))
    if capacity is not None:
        space = max(capacity, 1.0)
        fields.append(Field("capacity_use", "global", 0, 4,
                            "Units on hand / shared capacity; if any.",
                            ALWAYS, SHARED, from_facts=lambda f: f.state.on_hand.sum(axis=1) / space))
    return fields


def _product_calendar(params: Params) -> list[Field]:
    horizon, supply, demand = params.num_periods, params.scenario.supply, params.scenario.demand
    typical = float(np.exp(np.log(params.price[0]).mean()))
    organic = demand_unit(params)
    longest = max(int(params.lead_time.max()), 1)
    notice = 0 if demand.price_path is None else demand.price_notice_periods

    def price(params: Params, t: int) -> FloatArray:
        charged: FloatArray = params.price[min(t, horizon - 1)]
        return charged

    def coming_prices(params: Params, t: int) -> FloatArray:
        periods = np.minimum(t + 1 + np.arange(notice), horizon - 1)
        ratio: FloatArray = np.log(params.price[periods] / price(params, t)).T
        return ratio[:, 0] if notice == 1 else ratio

    fields = [
        Field("price", "product", -4, 4, "log(price now / typical price).", ALWAYS, ALWAYS,
              lambda p, t: np.log(price(p, t) / typical)),
        Field("margin", "product", -2, 1, "(price now - unit cost) / price now.", ALWAYS, SHARED,
              lambda p, t: 1.0 - p.unit_cost / price(p, t)),
        Field("size", "product", -4, 4, "log(organic demand / its mean over products).", ALWAYS, ALWAYS,
              lambda _, t: np.log(organic / organic.mean())),
        Field("salvage_loss", "product", 0, 1, "(unit cost - salvage value) / unit cost.", ALWAYS, SHARED,
              lambda p, t: 1.0 - p.salvage_value / np.maximum(p.unit_cost, 1e-9)),
        Field("holding_cost", "product", 0, 4, "Holding cost of 10 periods / price now.", ALWAYS, SHARED,
              lambda p, t: 10.0 * p.holding_cost / price(p, t)),
        Field("stockout_penalty", "product", 0, 4, "Stockout penalty / price now.", ALWAYS, SHARED,
              lambda p, t: p.stockout_penalty / price(p, t)),
        Field("lead_time", "product", 0, 1, "Lead time / the longest.", ALWAYS, SHARED,
              lambda p, t: p.lead_time / longest),
        Field("order_in_time", "product", 0, 1, "1 if an order now arrives before the horizon.",
              ALWAYS, SHARED, lambda p, t: (t + p.lead_time < horizon).astype(np.float64)),
        Field("protected_season", "product", 0, 4, "Mean season x price effect over lead time and review.",
              ALWAYS, NEVER, lambda p, t: protected_season(p, t) / (p.lead_time + supply.review_periods)),
        Field("critical_ratio", "product", 0, 1, "Newsvendor's share of demand paths worth covering.",
              ALWAYS, NEVER, lambda p, t: critical_ratio(p, min(t, horizon - 1))),
    ]
    if params.scenario.products.max_order is not None:
        fields.append(Field("supply_limit", "product", 0, 4,
                            "Supplier's limit / organic demand; if any.",
                            ALWAYS, NEVER, lambda p, t: p.max_order / organic))
    if params.order_cost.any():
        fields.append(Field("order_cost", "product", 0, 4,
                            "Fixed order cost / organic revenue; if any.",
                            ALWAYS, NEVER, lambda p, t: p.order_cost / (price(p, t) * organic)))
    if notice:
        fields.append(Field("coming_prices", "product", -4, 4,
                            "log(announced price / price now); if prices move.",
                            ALWAYS, ALWAYS, coming_prices, width=notice))
    return fields


def _stock_fields(params: Params) -> list[Field]:
    arrivals = min(params.pipeline_length, _LONGEST_LOOKAHEAD)
    factor = params.demand_factor
    factor = np.vstack((np.maximum(factor, 0.05), np.ones_like(factor[:1])))
    fields = [
        Field("on_hand", "product", 0, 8, "Units on hand.", ALWAYS, SHARED,
              from_facts=lambda f: f.state.on_hand, in_units=True),
        Field("textbook_level", "product", 0, 8, "Textbook order-up-to level.", ALWAYS, SHARED,
              from_facts=lambda f: f.level, in_units=True),
        Field("textbook_gap", "product", -3, 3,
              "(position - textbook level) / demand an order must cover.", ALWAYS,
              SHARED, from_facts=lambda f: (f.position - f.level) / np.maximum(f.protected_demand, 0.05)),
        Field("cover", "product", 0, 8, "log(1 + units on hand / forecast of this period).", ALWAYS, SHARED,
              from_facts=lambda f: np.log1p(f.state.on_hand / (f.view.forecast * factor[f.state.period]))),
    ]
    if params.pipeline_length:
        fields.append(Field("on_order", "product", 0, 8, "Units on order; if lead times are not all 0.",
                            ALWAYS, SHARED, from_facts=lambda f: np.einsum("bnp->bn", f.state.on_order), in_units=True))
    if arrivals > 1:
        fields.append(Field("arrivals", "product", 0, 8,
                            "Units that arrive in 1, 2, ... periods; if above 1.",
                            ALWAYS, SHARED, from_facts=lambda f: f.state.on_order[:, :, :arrivals],
                            in_units=True, width=arrivals))
    if params.scenario.demand.unmet == "backorder":
        fields.append(Field("backorders", "product", 0, 8, "Units of demand that wait; if it is backordered.",
                            ALWAYS, SHARED, from_facts=lambda f: f.state.backorders, in_units=True))
    return fields


def _demand_fields(params: Params) -> list[Field]:
    traffic = (params.traffic / params.traffic.sum())[:, None]
    pull_weight = params.segment_share * np.expm1(params.lift)
    return [
        Field("forecast", "product", 0, 8, "Demand forecast at season 1, base prices.", ALWAYS, SHARED,
              from_facts=lambda f: f.view.forecast, in_units=True),
        Field("last_sales", "product", 0, 8, "Units sold in the period before.", ALWAYS, SHARED,
              from_facts=lambda f: f.state.last_sales, in_units=True),
        Field("last_demand", "product", 0, 8, "Units asked for in the period before.",
              ONLY_FULL, CLICKS, from_facts=lambda f: np.einsum("bmn->bn", f.state.last_clicks), in_units=True),
        Field("demand_unexposed", "product", 0, 8, "Mean demand without exposure, by the scores.",
              ONLY_FULL, ALWAYS, from_facts=lambda f: f.demand_unexposed, in_units=True),
        Field("demand_exposed", "product", 0, 8, "Mean demand if exposed alone to all, by the scores.",
              ONLY_FULL, ALWAYS, from_facts=lambda f: f.demand_exposed, in_units=True),
        Field("demand_as_before", "product", 0, 8, "Mean demand if exposed as before, by the scores.",
              ONLY_FULL, ALWAYS, from_facts=lambda f: f.demand_as_before, in_units=True),
        Field("forecast_cv", "product", 0, 4, "Forecast error's standard deviation / forecast.",
              ALWAYS, SHARED, from_facts=lambda f: f.view.forecast_sd / f.view.forecast),
        Field("last_stockout", "product", 0, 1, "1 if demand met empty shelves in the period before.",
              SHARED, SHARED, from_facts=lambda f: f.state.last_stockout),
        Field("last_exposure_mean", "product", 0, 1, "Last exposure, averaged over segments by traffic.",
              SHARED, ALWAYS, from_facts=lambda f: (f.state.last_exposure * traffic).sum(axis=1)),
        Field("last_pull", "product", 0, 8,
              "Mean of (exp(beta) - 1) e over long-run demand.",
              SHARED, ALWAYS, from_facts=lambda f: (f.state.last_exposure * pull_weight).sum(axis=1)),
    ]


def _cell_fields(params: Params) -> list[Field]:
    centre, spread = float(params.affinity.mean()), max(float(params.affinity.std()), 0.1)
    traffic = np.broadcast_to((params.traffic / params.traffic.mean())[:, None], params.affinity.shape)
    return [
        Field("traffic", "cell", 0, 8, "Visitors of the segment / mean over segments.", NEVER, ALWAYS,
              lambda _, t: traffic),
        Field("score", "cell", -6, 6, "(affinity score - mean) / spread of long-run ones.",
              NEVER, ALWAYS, from_facts=lambda f: (f.view.scores - centre) / spread),
        Field("drift", "cell", -4, 4, "Affinity score less the long-run affinity.",
              NEVER, ALWAYS, from_facts=lambda f: f.view.scores - params.affinity),
        Field("greedy_value", "cell", -4, 4, "Revenue-greedy value, standardised per segment.",
              NEVER, ALWAYS, from_facts=lambda f: f.base_score),
        Field("last_exposure", "cell", 0, 1, "Exposure in the period before.",
              NEVER, ALWAYS, from_facts=lambda f: f.state.last_exposure),
        Field("last_clicks", "cell", 0, 8, "log(1 + units asked for in the period before).",
              NEVER, CLICKS, from_facts=lambda f: np.log1p(f.state.last_clicks)),
    ]


def _advice_fields(params: Params) -> list[Field]:
    traffic = (params.traffic / params.traffic.sum())[:, None]
    return [
        Field("advised_order", "product", 0, 8, "Units that the adviser would order; if any.",
              ALWAYS, SHARED, from_facts=lambda f: _advice(f).order, in_units=True),
        Field("advised_slates", "product", 0, 1, "Advised exposure, averaged by traffic; if any.",
              SHARED, ALWAYS, from_facts=lambda f: (_advice(f).exposure * traffic).sum(axis=1)),
        Field("advised_exposure", "cell", 0, 1, "Exposure that the adviser would give; if any.",
              NEVER, ALWAYS, from_facts=lambda f: _advice(f).exposure),
    ]


# fmt: on
def _advice(facts: Facts) -> Advice:
    assert facts.advice is not None
    return facts.advice


def describe_fields(fields: tuple[Field, ...]) -> str:
    """A table of fields as text; the environment's manual explains its columns."""
    lines = [f"{'field':18} {'per':8} {'inv':3} {'rec':3} {'bounds':8} meaning"]
    for field in fields:
        per = field.kind + ("*" if field.width > 1 else "")
        bounds = f"{field.low:g} to {field.high:g}"
        meaning = field.description + (" [u]" if field.in_units else "")
        inventory, recommender = _describe_modes(field.inventory), _describe_modes(field.recommender)
        lines.append(f"{field.name:18} {per:8} {inventory} {recommender} {bounds:8} {meaning}")
    return "\n".join(lines)


def _describe_modes(modes: Modes) -> str:
    every: tuple[Information, ...] = ("full", "observed", "department")
    return "".join(mode[0].upper() if mode in modes else "-" for mode in every)


def demand_unit(params: Params) -> FloatArray:
    """What amounts of units are measured by: organic demand, at least 1/20 of the mean product's, (N,)."""
    organic = params.organic_demand
    unit: FloatArray = np.maximum(organic, max(0.05 * float(organic.mean()), 1e-3))
    return unit
