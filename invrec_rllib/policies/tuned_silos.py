"""Silos whose orders are tuned: departments that still do not talk."""

from __future__ import annotations

from dataclasses import dataclass, replace

from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.base_stock import order_towards, order_up_to_level
from invrec_rllib.policies.order_rules import OrderParameters, tuned_order
from invrec_rllib.policies.parameters import Parameters, bounded
from invrec_rllib.policies.recommenders import revenue_greedy_slates
from invrec_rllib.policies.view import LEVEL_SMOOTHING, Forecaster, View
from invrec_rllib.sim.params import Params


@dataclass(frozen=True)
class SequentialParameters(Parameters):
    """What the base-stock of `SequentialPolicy` is tuned by; see `order_up_to_level`."""

    mean_factor: float = bounded(1.0, 0.2, 4.0)
    safety_factor: float = bounded(1.0, 0.0, 4.0)


@dataclass(frozen=True)
class SequentialPolicy:
    """The silo's slates first, then a base-stock fitted to the demand that results from them.

    Attributes:
        parameters: of the base-stock.
        name: how tables and figures call it.
    """

    parameters: SequentialParameters = SequentialParameters()
    name: str = "sequential"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None:
        """Nothing to remember."""

    def act(self, view: View, memory: None) -> Decision:
        """Order up to the level, show the slates of the largest expected revenue."""
        level = order_up_to_level(view, **self.parameters.values())
        return Decision(order_towards(view, level), revenue_greedy_slates(view), None)


@dataclass(frozen=True)
class SiloBestParameters(OrderParameters):
    """What the inventory side of `SiloBestPolicy` is tuned by.

    Attributes:
        smoothing: weight of the last period's demand in the forecast.
        shrinkage: how far the forecast is drawn towards organic demand; 0: not at all, 1: it is organic demand.
    """

    smoothing: float = bounded(LEVEL_SMOOTHING, 0.02, 0.6)
    shrinkage: float = bounded(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class SiloBestPolicy:
    """The silo at its best: its slates stay, all that the inventory could tune by itself is tuned.

    Orders come from a family that holds the base-stock and the projected inventory level, capped or not.

    Attributes:
        parameters: of forecast and orders.
        name: how tables and figures call it.
    """

    parameters: SiloBestParameters = SiloBestParameters()
    name: str = "silo_best"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Forecaster:
        """A forecaster of its own."""
        return Forecaster(params, smoothing=self.parameters.smoothing)

    def act(self, view: View, memory: Forecaster) -> Decision:
        """Orders from the own forecast alone, slates of the largest expected revenue."""
        forecast, forecast_sd = memory.forecast(view.state)
        forecast = forecast + self.parameters.shrinkage * (view.params.organic_demand - forecast)
        own = replace(view, forecast=forecast, forecast_sd=forecast_sd)
        return Decision(tuned_order(own, self.parameters), revenue_greedy_slates(view), memory)
