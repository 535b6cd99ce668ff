"""What sales data does not hold: stated, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

from invrec_rllib.errors import InputError


@dataclass(frozen=True)
class Assumptions:
    """Everything in a calibrated scenario that was not fitted. `REASONS` says why these values.

    Attributes:
        mean_demand: mean organic demand per product and period, units; sets the scale from the panel's
            households to the firm's customers.
        unit_cost_share: unit cost, share of the price.
        holding_share: holding cost per period, share of the price.
        stockout_penalty_share: cost of a lost sale beside the margin, share of the price.
        order_cost: fixed cost per order, money.
        salvage_share: credit for what is left at the end, share of the unit cost.
        lead_times: periods; the products take them in turn.
        capacity_periods: shared storage, in periods of total organic demand; None: no limit.
        overflow_share: cost of a unit above the capacity per period, share of the mean price.
        max_order_periods: the supplier's limit, in periods of a product's organic demand; None: no limit.
        slots: exposure per segment and period [K].
        exposure_cost: cost of one full exposure, money.
        periods: horizon [T].
        initial_on_hand_periods: stock at the start, in periods of organic demand.
        initial_pipeline_periods: each order under way at the start, in periods of organic demand.
        disappointment: log-attraction lost by a stockout [gamma].
        carryover: log-attraction that exposure adds to later periods [kappa].
        substitution: share of unmet demand that asks for another product [delta].
        score_noise: blur of the recommender's affinity scores, log-attraction.
        reversion: [rho], used where the data does not tell it.
    """

    mean_demand: float = 20.0
    unit_cost_share: float = 0.71
    holding_share: float = 0.02
    stockout_penalty_share: float = 0.05
    order_cost: float = 0.0
    salvage_share: float = 0.8
    lead_times: tuple[int, ...] = (1, 2)
    capacity_periods: float | None = 1.5
    overflow_share: float = 0.1
    max_order_periods: float | None = None
    slots: float = 3.0
    exposure_cost: float = 0.0
    periods: int = 52
    initial_on_hand_periods: float = 1.5
    initial_pipeline_periods: float = 1.0
    disappointment: float = 0.0
    carryover: float = 0.0
    substitution: float = 0.0
    score_noise: float = 0.2
    reversion: float = 0.1

    def __post_init__(self) -> None:
        if not self.mean_demand > 0:
            raise InputError(f"assumptions.mean_demand must be above 0, got {self.mean_demand}")
        if not self.lead_times:
            raise InputError("assumptions.lead_times must hold at least one lead time")
        for name in ("unit_cost_share", "salvage_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"assumptions.{name} must be from 0 to 1, got {getattr(self, name)}")


REASONS = {
    "mean_demand": "the panel is a sample of households; scaled so that whole units and Poisson noise "
    "matter as they do for one product in one to a few stores",
    "unit_cost_share": "gross margin 29 % of the price: the median of 106,139 store-weeks of a grocery chain "
    "(Dominick's orange juice, in the R package bayesm); Complete Journey holds no costs",
    "holding_share": "capital, space, handling and waste of chilled or bulky goods, about 2 % of the price "
    "a week; not in the data",
    "stockout_penalty_share": "goodwill lost beside the margin; as in the other presets; not in the data",
    "order_cost": "products come with the regular truck; not in the data",
    "salvage_share": "what is left at the end is sold on at a discount; as in the other presets",
    "lead_times": "a warehouse of one's own (one week) and direct from the maker (two weeks), in turn; not "
    "in the data",
    "capacity_periods": "shelf and back room hold a week and a half of sales, as freezers and chilled rooms "
    "are shared and small; not in the data",
    "overflow_share": "outside storage with transport costs a tenth of the price a week; not in the data",
    "max_order_periods": "no supplier's limit is known",
    "slots": "three places per segment in an app, a mailing or on a screen; the data's displays are per "
    "store",
    "exposure_cost": "showing one product rather than another costs nothing",
    "periods": "one year of weeks",
    "initial_on_hand_periods": "as in the other presets; not in the data",
    "initial_pipeline_periods": "as in the other presets; not in the data",
    "disappointment": "the data holds no stock, so no effect of stockouts can be fitted; 0 claims none",
    "carryover": "next week's display has no effect on this week's sales and later effects were not fitted; "
    "0 claims none",
    "substitution": "cross effects of displays within the week are of mixed sign in the data; 0 claims none "
    "beyond the choice model's own",
    "score_noise": "accuracy of a ranking model's scores; as in the other presets",
    "reversion": "used only where the fit does not tell it: its standard error is above the estimate or it "
    "lies at its limit",
    "season": "one year of data cannot tell a season from chance: traffic is constant",
    "unit": "a purchase (a basket with the product) counts as one unit, several packs at once are not "
    "modelled",
    "price": "the geometric mean of the weekly shelf prices paid, promotions included, stands for every week",
    "exposure": "a recommendation raises the odds of purchase as a display in the store does",
}


def stated(assumptions: Assumptions, **more: object) -> dict[str, dict[str, object]]:
    """Every assumption with its value and reason, for the provenance."""
    values = {field.name: getattr(assumptions, field.name) for field in fields(assumptions)} | more
    return {
        name: {"value": list(value) if isinstance(value, tuple) else value, "reason": REASONS[name]}
        for name, value in values.items()
    }
