"""The coordinated heuristic in torch: smooth in its parameters and in the state, with room for corrections."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.special import ndtr

from invrec_rllib.learning.pathwise.slates import soft_slots
from invrec_rllib.learning.pathwise.world import World, WorldState, straight_through
from invrec_rllib.policies.base_stock import _constants
from invrec_rllib.policies.coordinated import CoordinatedParameters, _cost_in_vain
from invrec_rllib.policies.demand_plan import Lookahead, Window, long_run_demand, margin_slates, total_demand

_ROUNDS = 3


class TorchWindow(NamedTuple):
    factor: Tensor
    persistent: Tensor
    drift: Tensor

    def mean(self, long_run, planned):
        return self.factor * long_run + self.persistent * (planned - long_run)

    def variance(self, cv, long_run, planned):
        mean = self.mean(long_run, planned)
        return mean + cv**2 * mean * planned + (self.drift * planned) ** 2


class Period(NamedTuple):
    """Constants of a period."""

    now: Tensor
    protected: Tensor
    covered: TorchWindow
    resupply: TorchWindow
    rest: TorchWindow
    quantiles: Tensor
    season: Tensor
    stored_share: Tensor
    cost_in_vain: Tensor
    arrives: Tensor
    rate_at_arrival: Tensor


class Heuristic:
    def __init__(self, world: World, chosen: CoordinatedParameters) -> None:
        self.world, params = world, world.params
        self.chosen = chosen
        self.rounds = 3
        self.envelope = True
        self.backward_temperature = 0.2
        self.cv = params.scenario.demand.noise_cv
        self.long_run_np = long_run_demand(params, cost_weight=chosen.cost_weight)
        self.long_run = world.tensor(self.long_run_np)
        look = Lookahead(params, cover_periods=chosen.cover_periods, persistence=chosen.persistence)
        self.periods = [self._period(look, t) for t in range(params.num_periods)]

    def _period(self, look: Lookahead, t: int) -> Period:
        w, params = self.world, self.world.params
        ahead, c = look.at(t), _constants(params, t)
        win = lambda x: TorchWindow(*(w.tensor(v) for v in x))
        arrival = np.minimum(t + params.lead_time, params.num_periods - 1)
        return Period(
            w.tensor(ahead.now), w.tensor(ahead.protected), win(ahead.covered), win(ahead.resupply), win(ahead.rest),
            w.tensor(c.quantiles), w.tensor(c.season), w.tensor(c.stored_share),
            w.tensor(_cost_in_vain(params, t)), w.tensor(t + params.lead_time < params.num_periods),
            w.tensor(params.product_demand_factor[arrival, np.arange(params.num_products)]),
        )

    def free(self, affinity: Tensor, t: int) -> Tensor:
        params = self.world.params
        a = affinity.detach().double().numpy()
        wished = margin_slates(params, a, cost_weight=self.chosen.cost_weight, period=t)
        wished = self.world.tensor(wished)
        return self.world.mean_demand(affinity, wished, period=t).sum(dim=1) / self.periods[t].now

    def variance(self, demand: Tensor) -> Tensor:
        return demand + (self.cv * demand) ** 2

    def decide(self, state: WorldState, affinity: Tensor, p: dict[str, Tensor], correct):
        """Real orders (B,N), exposures."""
        w, t = self.world, state.period
        params, here = w.params, self.periods[t]
        free = self.free(affinity, t)
        position = state.position
        now = free * here.now
        cover_mean = here.covered.mean(self.long_run, free)
        cover_var = here.covered.variance(self.cv, self.long_run, free)
        wanted = p["mean_factor"] * (now + cover_mean) - position
        wanted_sd = torch.sqrt(self.variance(now) + cover_var + 0.25)
        limited = ndtr((wanted - w.max_order) / (p["shortage_spread"] * wanted_sd))
        rest_sd = torch.sqrt(here.rest.variance(self.cv, self.long_run, free) + 1.0)
        left_over = ndtr((position - here.rest.mean(self.long_run, free)) / rest_sd)
        missed = w.price[t] - w.unit_cost + w.stockout_penalty
        fixed = w.price[t] - p["cost_weight"] * w.unit_cost + w.holding_cost
        fixed = fixed + p["leftover_weight"] * left_over * (w.unit_cost - w.salvage_value)
        fixed = fixed - p["limit_weight"] * limited * missed
        charge = p["shortage_weight"] * missed
        lost = p["lost_weight"] * here.cost_in_vain
        available = state.on_hand
        spare = position - here.resupply.mean(self.long_run, free)
        spare_var = here.resupply.variance(self.cv, self.long_run, free)
        features = self.features(state, here, free, position, wanted / wanted_sd, limited, left_over,
                                 spare / torch.sqrt(spare_var + self.variance(now) + 0.25), fixed)
        order_net, value_net = correct
        level_shift, log_cap = order_net(features)
        cut = torch.Tensor.detach if self.envelope else (lambda x: x)
        # fixed without state gradient: recompute from detached pieces
        fixed = w.price[t] - p["cost_weight"] * w.unit_cost + w.holding_cost
        fixed = fixed + p["leftover_weight"] * cut(left_over) * (w.unit_cost - w.salvage_value)
        if self.envelope:
            lim = ndtr((p["mean_factor"] * (now + cover_mean) - position).detach() / (p["shortage_spread"] * wanted_sd.detach()) - w.max_order / (p["shortage_spread"] * wanted_sd.detach()))
        else:
            lim = limited
        fixed = fixed - p["limit_weight"] * lim * missed
        dstate = state._replace(on_hand=cut(state.on_hand), on_order=tuple(map(cut, state.on_order)), last_exposure=cut(state.last_exposure))
        exposure = self.slates(dstate, cut(affinity), p, value_net, cut(features), fixed=fixed, charge=charge, lost=lost,
                                   available=cut(available), spare=cut(spare), spare_var=cut(spare_var))
        demand = w.mean_demand(affinity, exposure, period=t).sum(dim=1)
        planned = p["plan_share"] * demand / here.now + (1.0 - p["plan_share"]) * free
        mean = demand + here.covered.mean(self.long_run, planned)
        variance = self.variance(demand) + here.covered.variance(self.cv, self.long_run, planned)
        forecast = (mean / here.protected).clamp(min=1e-3)
        forecast_var = variance / here.protected
        mean_level = forecast * here.season * p["mean_factor"]
        deviation = torch.sqrt(forecast_var * here.season) * p["safety_factor"]
        z = here.quantiles[0]
        if len(here.quantiles) > 1:
            z = self.stored_quantile(here, params.scenario.supply.capacity * p["capacity_factor"],
                                     mean_level * here.stored_share, deviation)
        level = (mean_level + z * deviation).clamp(min=0.0)
        level = level - p["projection"] * self.expected_lost(state, forecast, forecast_var, t)
        level = level + level_shift * torch.sqrt(forecast_var * here.season)
        wanted = (level - position) * here.arrives
        order = torch.minimum(wanted.clamp(min=0.0), w.max_order)
        cap = params.scenario.supply.review_periods / p["cap_tightness"].clamp(min=1e-6)
        order = torch.minimum(order, torch.exp(log_cap) * cap * forecast * here.rate_at_arrival)
        if t % params.scenario.supply.review_periods:
            order = order * 0.0
        return order, exposure

    def slates(self, state, affinity, p, value_net, features, *, fixed, charge, lost, available, spare, spare_var):
        w, t = self.world, state.period
        params, here = w.params, self.periods[t]
        unexposed = w.attraction(affinity, torch.zeros_like(affinity), period=t)
        gained = w.attraction(affinity, torch.ones_like(affinity), period=t) - unexposed
        rent = params.scenario.recommendation.exposure_cost
        organic = w.tensor(params.organic_demand)

        def gains(exposure):
            weight = w.attraction(affinity, exposure, period=t)
            visitors = w.visitors[t] / (1.0 + weight.sum(dim=-1, keepdim=True))
            seg_demand = weight * visitors
            demand = seg_demand.sum(dim=1)
            variance = self.variance(demand) + 0.25
            z_served = (available - demand) / torch.sqrt(variance)
            served = ndtr(z_served / p["served_spread"])
            z_spare = (demand - spare) / torch.sqrt(variance + spare_var)
            sale = fixed - charge * ndtr(z_spare / p["shortage_spread"])
            if params.scenario.supply.capacity is not None:
                kept = torch.relu(available - demand)
                if state.on_order:
                    kept = kept + state.on_order[0]
                full = ndtr((kept.sum(dim=1) - params.scenario.supply.capacity) / torch.sqrt(variance.sum(dim=1)))
                sale = sale + p["storage_weight"] * params.scenario.supply.overflow_cost * full[:, None]
            base = served * sale - (1.0 - served) * lost
            own = torch.stack([z_served, z_spare, demand / organic, base / w.price[t], served, ndtr(z_spare)], dim=-1)
            seen = torch.cat([features, own.clamp(-5.0, 5.0).detach()], dim=-1)
            value = (base + value_net(seen)[0] * w.price[t])[:, None, :]
            visitor = (seg_demand * value).sum(dim=-1, keepdim=True) / w.visitors[t].clamp(min=1e-9)
            gain = gained * visitors * (value - visitor) - rent
            return gain, gain.detach().std(dim=-1, keepdim=True) + 1e-6

        exposure = state.last_exposure
        with torch.no_grad():
            for step in range(self.rounds):
                gain, scale = gains(exposure)
                best = soft_slots(gain, params.slots, temperature=torch.exp(p["log_temperature"]) * scale)
                exposure = best if step == 0 else exposure + 2.0 / (step + 2.0) * (best - exposure)
        if not torch.is_grad_enabled():
            return exposure
        gain, scale = gains(exposure)
        relaxed = soft_slots(gain, params.slots, temperature=self.backward_temperature * scale)
        return straight_through(exposure, relaxed)

    def stored_quantile(self, here, capacity, mean, deviation):
        q = here.quantiles
        last = len(q) - 1
        stock = torch.relu(mean[:, None, :] + q * deviation[:, None, :]).sum(dim=2)
        too_full = (stock > capacity).sum(dim=1)
        low, high = (too_full - 1).clamp(min=0), too_full.clamp(max=last)
        rows = torch.arange(len(stock))
        span = (stock[rows, low] - stock[rows, high]).clamp(min=1e-9)
        share = ((stock[rows, low] - capacity) / span).clamp(0.0, 1.0)[:, None]
        return q[low] + share * (q[high] - q[low])

    def expected_lost(self, state, forecast, forecast_var, t):
        params = self.world.params
        lost = torch.zeros_like(forecast)
        mean, variance = state.on_hand, torch.zeros_like(forecast)
        for lag in range(min(int(params.lead_time.max()), params.num_periods - t)):
            waiting = self.world.tensor(params.lead_time > lag)
            here = self.world.tensor(params.product_demand_factor[t + lag])
            left = mean - forecast * here
            sd = torch.sqrt((variance + forecast_var * here).clamp(min=1e-12))
            z = left / sd
            above, density = ndtr(z), 0.3989422804 * torch.exp(-0.5 * z * z)
            kept = left * above + sd * density
            square = (left**2 + sd**2) * above + left * sd * density
            lost = lost + waiting * (kept - left)
            mean, variance = kept + state.on_order[lag], torch.relu(square - kept**2)
        return lost

    def features(self, state, here, free, position, wanted_z, limited, left_over, spare_z, fixed):
        w, t = self.world, state.period
        params = w.params
        organic = w.tensor(params.organic_demand)
        scale = organic
        T = params.num_periods
        B = len(position)
        rows = [state.on_hand / scale, *(s / scale for s in state.on_order), position / scale,
                wanted_z, limited, left_over, spare_z, fixed / w.price[t],
                free / scale, torch.log(free / self.long_run + 1e-3),
                (state.on_hand - free * here.now) / torch.sqrt(self.variance(free * here.now) + 0.25)]
        margin = (w.price[t] - w.unit_cost) / w.price[t]
        static = [margin, w.tensor(params.lead_time) / 3.0, (w.max_order / organic).clamp(max=3.0),
                  here.now, here.protected / (w.tensor(params.lead_time) + 1.0), here.arrives, organic / organic.mean(),
                  w.price[t] / w.price[t].mean()]
        glob = [t / T, min(T - t, 10) / 10.0, float(np.exp(-(T - t) / 3.0))]
        if params.scenario.supply.capacity is not None:
            cap = params.scenario.supply.capacity
            rows.append((state.on_hand.sum(dim=1, keepdim=True) / cap - 1.0).expand(B, params.num_products))
            nxt = state.on_hand + (state.on_order[0] if state.on_order else 0.0) - free * here.now
            rows.append((torch.relu(nxt).sum(dim=1, keepdim=True) / cap - 1.0).expand(B, params.num_products))
        N = params.num_products
        cols = rows + [s.expand(B, N) for s in static] + [torch.full((B, N), g) for g in glob]
        return torch.stack(cols, dim=-1).clamp(-5.0, 5.0)
