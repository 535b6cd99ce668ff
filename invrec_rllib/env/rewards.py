"""What the agents earn: the firm's profit, their department's account, or a mix.

- team: the firm's profit, for both.
- siloed: the inventory has an account of its own, on which sales are credited at their price (the transfer
  revenue) and all costs of buying and keeping are charged: purchase, fixed order, holding, overflow and
  stockout costs, the initial stock, less salvage. A lost unit so costs it the margin forgone and the penalty;
  were only costs counted, buying nothing would be best. The recommender earns `p_i D_i`, the revenue of
  *clicks*, in stock or not, less what exposure costs. That it is paid on potential sales, not on realised
  ones, makes it blind to stock: paid on realised sales it would share much of the firm's interest.
- mixed: `(1 - w) siloed + w team`.

Two ways of accounting for stock, whose sums over an episode are equal, and one for learning to order:

- cash: purchases are charged when they are ordered, the initial stock in period 0, and salvage is credited in
  the last period.
- accrual: stock and pipeline are carried at cost, so that a unit is charged when it is sold, and what is left
  is written down to its salvage value in the last period. This is potential-based shaping (Ng, Harada and
  Russell, 1999) of the cash reward by the stock's cost; it takes the long wait between an order and its sales
  out of the credit that learning has to assign.
- shortfall: accrual, and from the inventory's reward the margin of all demand drawn is subtracted, which leaves
  what it fails to earn: the margin of lost sales, and the costs of buying and keeping. As far as orders do not
  move the demand drawn, the best orders stay the best (a control variate), while the chance of demand, most of
  the noise, is out of the credit. Where slates follow stock, what they gain by it is not credited to the orders;
  where stockouts disappoint it is refused: it would pay to drive customers away.

All are divided by the scenario's constant `reward_scale` (money), so that returns convert to money.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, Params
from invrec_rllib.sim.state import Outcome, State

RewardMode = Literal["team", "siloed", "mixed"]
Accounting = Literal["cash", "accrual", "shortfall"]


class Rewards(NamedTuple):
    """Rewards of one period, in units of the scenario's reward scale, (B,) each."""

    inventory: FloatArray
    recommender: FloatArray


def compute_rewards(
    params: Params,
    outcome: Outcome,
    *,
    mode: RewardMode,
    mixed_weight: float = 0.5,
    accrual_from: State | None = None,
    shortfall: bool = False,
) -> Rewards:
    """What both departments earn in a period; see the module for the modes.

    Args:
        params: the world.
        outcome: what happened.
        mode: "team", "siloed" or "mixed".
        mixed_weight: weight of the team's reward where mixed [w], in [0, 1].
        accrual_from: start of the period, for accrual accounting; None: cash.
        shortfall: subtract the margin of all demand from the inventory's reward; with `accrual_from` only.
    """
    scale = 1.0 / params.reward_scale
    economics = outcome.economics
    team = economics.profit * scale
    if accrual_from is not None:
        team = team + stock_value_change(params, accrual_from, outcome) * scale
    attainable = (
        _margin_of_demand(params, accrual_from, outcome) * scale
        if shortfall and accrual_from is not None
        else 0.0
    )
    if mode == "team":
        return Rewards(team - attainable, team)
    # All of the profit but what exposure costs is booked on the inventory's account.
    inventory = team + economics.exposure_cost * scale
    recommender = (outcome.click_value - economics.exposure_cost) * scale
    if mode == "siloed":
        return Rewards(inventory - attainable, recommender)
    own = 1.0 - mixed_weight
    return Rewards(
        own * inventory + mixed_weight * team - attainable, own * recommender + mixed_weight * team
    )


def _margin_of_demand(params: Params, before: State, outcome: Outcome) -> FloatArray:
    margin: FloatArray = (outcome.demand * (params.price[before.period] - params.unit_cost)).sum(axis=1)
    return margin


def stock_value_change(params: Params, before: State, outcome: Outcome) -> FloatArray:
    """How much the cost of stock and pipeline rose in a period, money, (B,).

    The books open and close empty: before period 0 and after the horizon the value is 0, so that the changes of
    an episode sum to 0.
    """
    held = before.on_hand + before.on_order.sum(axis=2)
    opened, closes = before.period > 0, before.period == params.num_periods - 1
    units = (0 if closes else held + outcome.order - outcome.sales) - (held if opened else 0)
    change: FloatArray = (units * params.unit_cost).sum(axis=1)
    return change


def check_shortfall(params: Params, accounting: str) -> None:
    """Refuse to reward the inventory for shortfalls alone where stockouts drive customers away.

    Raises:
        InputError: naming both.
    """
    disappointment = params.scenario.tastes.disappointment
    if accounting == "shortfall" and disappointment > 0.0:
        raise InputError(
            f"accounting 'shortfall' would reward stockouts where tastes.disappointment is {disappointment:g}: "
            "choose accrual, or a world where it is 0"
        )


def check_reward_options(mode: str, mixed_weight: float, accounting: str) -> None:
    """Refuse an unknown mode or accounting, or a weight outside [0, 1].

    Raises:
        InputError: naming the option and what is allowed.
    """
    if mode not in get_args(RewardMode):
        raise InputError(f"reward is {mode!r}, must be one of {', '.join(get_args(RewardMode))}")
    if accounting not in get_args(Accounting):
        raise InputError(f"accounting is {accounting!r}, must be one of {', '.join(get_args(Accounting))}")
    if not 0.0 <= mixed_weight <= 1.0:
        raise InputError(f"mixed_weight is {mixed_weight}, must lie in [0, 1]")
