"""Who the agents are: one per department, or one per category, product or segment of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray, Params

InventoryAgents = Literal["one", "category", "product"]
RecommenderAgents = Literal["one", "category", "product", "segment"]
Department = Literal["inventory", "recommender"]


@dataclass(frozen=True, eq=False)
class Agent:
    """One agent and the part of its department that it decides.

    Attributes:
        name: as in the environment's dicts.
        department: "inventory" or "recommender".
        label: what it stands for, such as a category; the department's name where it is one agent.
        products: indices of its products, rising.
        segments: indices of its segments, rising.
        action_index: where its action goes in the department's, (A,).
        whole: whether it is all of its department.
    """

    name: str
    department: Department
    label: str
    products: IntArray
    segments: IntArray
    action_index: IntArray
    whole: bool

    @property
    def action_size(self) -> int:
        """A, numbers in its action."""
        return len(self.action_index)

    def observation_index(self, layout: ObservationLayout) -> IntArray:
        """Which numbers of the department's observation it sees: globals, its products, its segments."""
        globals_, products, cells = layout.split(np.arange(layout.size))
        own = cells[np.ix_(self.segments, self.products)]
        index: IntArray = np.concatenate([globals_, products[self.products].ravel(), own.ravel()])
        return index

    def observation_layout(self, layout: ObservationLayout) -> ObservationLayout:
        """Layout of what it sees, from its department's layout."""
        return ObservationLayout(
            layout.num_globals,
            layout.num_product_features,
            layout.num_cell_features,
            len(self.products),
            len(self.segments),
        )


def cast_agents(
    params: Params, *, inventory_agents: InventoryAgents, recommender_agents: RecommenderAgents
) -> tuple[Agent, ...]:
    """The agents, inventory first. Parts of a department are named `inventory_0`, `inventory_1`, ...

    Categories count in the order in which the scenario first names them; without categories there is one.

    Raises:
        InputError: an unknown way to split.
    """
    if inventory_agents not in get_args(InventoryAgents):
        raise InputError(f"inventory_agents is {inventory_agents!r}, must be one, category or product")
    if recommender_agents not in get_args(RecommenderAgents):
        raise InputError(
            f"recommender_agents is {recommender_agents!r}, must be one, category, product or segment"
        )
    return (
        *_department(params, "inventory", inventory_agents),
        *_department(params, "recommender", recommender_agents),
    )


def _department(params: Params, department: Department, split: RecommenderAgents) -> list[Agent]:
    products, segments = np.arange(params.num_products), np.arange(params.num_segments)
    if split == "one":
        return [_agent(params, department, department, department, products, segments, whole=True)]
    scenario = params.scenario
    if split == "segment":
        parts = [(label, products, segments[m : m + 1]) for m, label in enumerate(scenario.segments.labels)]
    elif split == "product":
        parts = [(label, products[i : i + 1], segments) for i, label in enumerate(scenario.products.labels)]
    else:
        categories = np.asarray(scenario.products.category_labels)
        names = dict.fromkeys(categories.tolist())
        parts = [(name, np.flatnonzero(categories == name), segments) for name in names]
    return [
        _agent(params, department, f"{department}_{k}", label, own_products, own_segments, whole=False)
        for k, (label, own_products, own_segments) in enumerate(parts)
    ]


def _agent(
    params: Params,
    department: Department,
    name: str,
    label: str,
    products: IntArray,
    segments: IntArray,
    *,
    whole: bool,
) -> Agent:
    index = products
    if department == "recommender":
        index = (segments[:, None] * params.num_products + products).ravel()
    return Agent(name, department, label, products, segments, index, whole)


def join_actions(agents: tuple[Agent, ...], actions: dict[str, FloatArray], size: int) -> FloatArray:
    """The action of a department, (B, size), from those of its agents, (B, A) each."""
    joined = np.empty((len(actions[agents[0].name]), size))
    for agent in agents:
        joined[:, agent.action_index] = actions[agent.name]
    return joined
