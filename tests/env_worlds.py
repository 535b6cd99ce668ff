"""Worlds and plays that several tests of the environment need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from invrec_rllib.env import ActionMapping
from invrec_rllib.policies.view import Information, Observer, View
from invrec_rllib.scenario import Scenario, build_scenario, load_scenario
from invrec_rllib.sim import Params, Simulator


def everything() -> Scenario:
    """A world that uses every optional field: reviews, capacity, order costs, prices, backorders, categories."""
    data = load_scenario("paper").model_dump()
    prices = data["products"]["price"]
    data["periods"] = 12
    data["products"].update(order_cost=[2.0] * 10, categories=["drinks", "snacks"] * 5)
    data["supply"].update(review_periods=2, capacity=150.0, overflow_cost=1.0, delay_probabilities=(0.7, 0.3))
    data["demand"].update(
        unmet="backorder",
        price_path=[[price * (0.8 if t % 4 == 3 else 1.0) for price in prices] for t in range(12)],
        price_notice_periods=2,
        season=[0.5, 1.5] * 6,
    )
    data["segments"]["price_elasticity"] = [1.0] * 5
    return build_scenario(data)


def random_actions(mapping: ActionMapping, rng: np.random.Generator, episodes: int) -> tuple[Any, Any]:
    """Actions of both agents, (B, N) and (B, M * N)."""
    return (
        rng.uniform(-1, 1, (episodes, mapping.inventory_size)),
        rng.uniform(-1, 1, (episodes, mapping.recommender_size)),
    )


def views(
    world: Scenario | Params, *, information: Information, seed: int = 0, episodes: Any = 1, **options: Any
) -> Iterator[View]:
    """The views of a whole run under random actions, that of the horizon included."""
    simulator = Simulator(world)
    mapping = ActionMapping(simulator.params, **options)
    simulator.reset(seed=seed, episodes=episodes)
    observer = Observer(simulator.params, information=information)
    rng = np.random.default_rng(seed)
    while True:
        view = observer.observe(simulator.state, simulator.streams)
        yield view
        if simulator.done:
            return
        order, exposure = random_actions(mapping, rng, view.state.num_episodes)
        simulator.step(order=mapping.to_order(view, order), exposure=mapping.to_exposure(view, exposure))
