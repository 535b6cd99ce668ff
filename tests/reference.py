"""The world in slow plain loops over one episode, from the model alone: what the simulator must do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from invrec_rllib.scenario import Scenario


@dataclass
class ReferencePeriod:
    """What happened in one period: units and money per product and segment, as plain lists."""

    clicks: list[list[int]]
    demand: list[int]
    sales: list[int]
    substituted: list[int]
    lost: list[int]
    on_hand_end: list[int]
    delivered: list[int]
    backorders: list[int]
    money: dict[str, float]
    click_value: float
    affinity_next: list[list[float]]
    stockout: list[bool]

    @property
    def profit(self) -> float:
        earned = self.money["revenue"] + self.money["salvage"]
        return earned - sum(v for k, v in self.money.items() if k not in ("revenue", "salvage"))


@dataclass
class ReferenceWorld:
    """One episode. `deliveries[i]` maps a period to the units of product i that arrive at its start."""

    scenario: Scenario
    period: int = 0
    stock: list[int] = field(default_factory=list)
    deliveries: list[dict[int, int]] = field(default_factory=list)
    backorders: list[int] = field(default_factory=list)
    affinity: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        products = self.scenario.products
        self.stock = list(products.initial_on_hand)
        self.deliveries = [dict(enumerate(units)) for units in products.initial_pipeline]
        self.backorders = [0] * products.count
        self.affinity = [list(row) for row in self.scenario.segments.affinity]
        self.receive()

    def receive(self) -> list[int]:
        arrived = [due.pop(self.period, 0) for due in self.deliveries]
        self.stock = [x + units for x, units in zip(self.stock, arrived, strict=True)]
        return arrived

    def on_order(self, i: int, periods_from_now: int) -> int:
        return self.deliveries[i].get(self.period + periods_from_now, 0)

    def step(self, order, exposure, draws) -> ReferencePeriod:
        """Play one period; `draws` are those of `PeriodDraws` for this episode."""
        s, t = self.scenario, self.period
        n, m = s.products.count, s.segments.count
        at_once = self._place(order, draws.delay)
        overflow = 0.0
        if s.supply.capacity is not None:
            overflow = s.supply.overflow_cost * max(0.0, sum(self.stock) - s.supply.capacity)
        weight = [[self._weight(g, i, exposure[g][i]) for i in range(n)] for g in range(m)]
        clicks = self._draw_clicks(weight, draws)
        demand = [sum(clicks[g][i] for g in range(m)) for i in range(n)]
        sales, unmet, first = [0] * n, [0] * n, [0] * n
        for i in range(n):
            waiting = min(self.stock[i], self.backorders[i])
            first[i] = min(self.stock[i] - waiting, demand[i])
            self.backorders[i] -= waiting
            self.stock[i] -= waiting + first[i]
            sales[i] = waiting + first[i]
            unmet[i] = demand[i] - first[i]
        second, met = self._second_choices(unmet, demand, clicks, weight, draws)
        unserved = [unmet[i] - met[i] for i in range(n)]
        for i in range(n):
            self.stock[i] -= second[i]
            sales[i] += second[i]
        if s.demand.unmet == "backorder":
            self.backorders = [w + u for w, u in zip(self.backorders, unserved, strict=True)]
            lost, penalised = [0] * n, list(self.backorders)
        else:
            lost, penalised = unserved, unserved
        money = self._money(order, exposure, sales, penalised, overflow)
        price = self._price(t)
        click_value = sum(price[i] * demand[i] for i in range(n))
        self._move_tastes(exposure, [u / d if d else 0.0 for u, d in zip(unmet, demand, strict=True)], draws)
        end = list(self.stock)
        self.period += 1
        arrived = self.receive()
        return ReferencePeriod(
            clicks=clicks,
            demand=demand,
            sales=sales,
            substituted=second,
            lost=lost,
            on_hand_end=end,
            delivered=[a + b for a, b in zip(at_once, arrived, strict=True)],
            backorders=list(self.backorders),
            money=money,
            click_value=click_value,
            affinity_next=[list(row) for row in self.affinity],
            stockout=[u > 0 for u in unmet],
        )

    def _price(self, t: int) -> list[float]:
        path = self.scenario.demand.price_path
        return list(self.scenario.products.price if path is None else path[t])

    def _place(self, order, delay) -> list[int]:
        at_once = []
        for i, units in enumerate(order):
            wait = self.scenario.products.lead_time[i]
            if delay is not None:
                cumulative = 0.0
                for probability in self.scenario.supply.delay_probabilities[:-1]:
                    cumulative += probability
                    if delay[i] < cumulative:
                        break
                    wait += 1
            if wait == 0:
                self.stock[i] += int(units)
            else:
                due = self.deliveries[i]
                due[self.period + wait] = due.get(self.period + wait, 0) + int(units)
            at_once.append(int(units) if wait == 0 else 0)
        return at_once

    def _weight(self, g: int, i: int, exposure: float) -> float:
        segments = self.scenario.segments
        beta = segments.lift[g]
        if self.scenario.demand.lift_form == "linear":
            weight = math.exp(self.affinity[g][i]) * (1 + (math.exp(beta) - 1) * exposure)
        else:
            weight = math.exp(self.affinity[g][i] + beta * exposure)
        if segments.price_elasticity is not None:
            ratio = self._price(self.period)[i] / self.scenario.products.price[i]
            weight *= ratio ** -segments.price_elasticity[g]
        return weight

    def _draw_clicks(self, weight, draws) -> list[list[int]]:
        season = self.scenario.demand.season
        clicks = []
        for g, row in enumerate(weight):
            visitors = self.scenario.segments.traffic[g] * (1.0 if season is None else season[self.period])
            clicks.append(
                [
                    poisson_by_summation(
                        visitors * w / (1 + sum(row)) * (1.0 if draws.noise is None else draws.noise[i]),
                        draws.demand[g][i],
                    )
                    for i, w in enumerate(row)
                ]
            )
        return clicks

    def _second_choices(self, unmet, demand, clicks, weight, draws) -> tuple[list[int], list[int]]:
        n, delta = len(unmet), self.scenario.demand.substitution
        if delta == 0 or draws.substitution is None:
            return [0] * n, [0] * n
        requests = [0.0] * n
        for row, w in zip(clicks, weight, strict=True):
            switching = delta * sum(row[i] * unmet[i] / demand[i] for i in range(n) if demand[i])
            total = sum(w[i] for i in range(n) if self.stock[i] > 0)
            for i in range(n):
                if self.stock[i] > 0:
                    requests[i] += switching * w[i] / total
        asked = round_along(requests, draws.substitution[0])
        second = [min(self.stock[i], asked[i]) for i in range(n)]
        share = [sum(second) * u / sum(unmet) if sum(unmet) else 0.0 for u in unmet]
        met = [min(u, k) for u, k in zip(unmet, round_along(share, draws.substitution[1]), strict=True)]
        return second, met

    def _money(self, order, exposure, sales, penalised, overflow) -> dict[str, float]:
        products, n = self.scenario.products, self.scenario.products.count
        price = self._price(self.period)
        initial = salvage = 0.0
        if self.period == 0:
            for i in range(n):
                given = products.initial_on_hand[i] + sum(products.initial_pipeline[i])
                initial += products.unit_cost[i] * given
        if self.period == self.scenario.periods - 1:
            for i in range(n):
                salvage += products.salvage_value[i] * (self.stock[i] + sum(self.deliveries[i].values()))
        return {
            "revenue": sum(price[i] * sales[i] for i in range(n)),
            "purchase_cost": sum(products.unit_cost[i] * order[i] for i in range(n)),
            "order_cost": sum(products.order_cost[i] for i in range(n) if order[i] > 0),
            "holding_cost": sum(products.holding_cost[i] * self.stock[i] for i in range(n)),
            "stockout_cost": sum(products.stockout_penalty[i] * penalised[i] for i in range(n)),
            "overflow_cost": overflow,
            "exposure_cost": self.scenario.recommendation.exposure_cost * sum(sum(row) for row in exposure),
            "initial_stock_cost": initial,
            "salvage": salvage,
        }

    def _move_tastes(self, exposure, unmet_share, draws) -> None:
        tastes, rest = self.scenario.tastes, self.scenario.segments.affinity
        for g, row in enumerate(self.affinity):
            for i, a in enumerate(row):
                noise = 0.0 if draws.taste_noise is None else tastes.noise * draws.taste_noise[g][i]
                row[i] = (
                    a
                    + tastes.reversion * (rest[g][i] - a)
                    + tastes.carryover * exposure[g][i]
                    - tastes.disappointment * unmet_share[i]
                    + noise
                )


def poisson_by_summation(mean: float, uniform: float) -> int:
    """The smallest k whose cumulative probability reaches the uniform."""
    count, probability = 0, math.exp(-mean)
    cumulative = probability
    while cumulative < uniform:
        count += 1
        probability *= mean / count
        cumulative += probability
    return count


def round_along(amounts: list[float], uniform: float) -> list[int]:
    """Systematic rounding: unit k goes to the product where the running sum passes k - uniform."""
    rounded, running, passed = [], 0.0, math.floor(uniform + 1e-9)
    for amount in amounts:
        running += amount
        reached = math.floor(running + uniform + 1e-9)
        rounded.append(reached - passed)
        passed = reached
    return rounded
