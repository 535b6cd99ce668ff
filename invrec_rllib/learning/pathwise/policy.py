"""The pair that a search found, behind the call signature of all policies."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.pathwise.heuristic import Heuristic
from invrec_rllib.learning.pathwise.networks import Corrections
from invrec_rllib.learning.pathwise.pair import Pair
from invrec_rllib.learning.pathwise.plan import Belief, believe
from invrec_rllib.learning.pathwise.settings import Memory
from invrec_rllib.learning.pathwise.world import NO_LIMIT, World, WorldState
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import Information, View
from invrec_rllib.sim.params import FloatArray, Params


class _Memory(NamedTuple):
    heuristic: Heuristic
    corrections: Corrections
    weights: dict[str, Tensor]
    belief: Belief | None
    exposure: FloatArray


@dataclass(frozen=True, eq=False)
class PathwisePolicy:
    """A pair found by pathwise gradients. It uses what the view shows and nothing else.

    Attributes:
        pair: parameters and networks.
        information: what it saw of tastes in the search.
        name: how tables and figures call it.
        memory: of tastes, see `PathwiseSettings`.
    """

    pair: Pair
    information: Information
    name: str = "pathwise"
    memory: Memory = "filter"

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, name: str = "pathwise") -> PathwisePolicy:
        """The pair of a folder that `files.save_pair` wrote; nothing that is read can execute code.

        Raises:
            InputError: the folder holds none, or its files are damaged or of a newer format.
        """
        from invrec_rllib.learning.pathwise.files import load_pair

        found = load_pair(path)
        return cls(found.pair, found.information, name, found.memory)

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> _Memory:
        """The plan of the world, and tastes yet to be seen; nothing is drawn by `seed`.

        Raises:
            InputError: the world has what the search cannot pass, or shows other features than the pair knows.
        """
        pair = copy.deepcopy(self.pair).double()
        heuristic = Heuristic(World(params, dtype=torch.float64), pair.chosen)
        if heuristic.num_features != pair.num_features:
            raise InputError(
                f"{self.name} knows {pair.num_features} features of a product, the world "
                f"{params.scenario.name} shows {heuristic.num_features}: pipelines or storage differ from its own"
            )
        weights = {name: value.detach() for name, value in pair.weights().items()}
        shown = np.zeros((num_episodes, params.num_segments, params.num_products))
        return _Memory(heuristic, pair.corrections, weights, None, shown)

    @torch.no_grad()
    def act(self, view: View, memory: _Memory) -> Decision:
        """Slates first, then the orders that they call for."""
        heuristic, state, belief = self._see(view, memory)
        order, exposure = heuristic.decide(
            state, belief.affinity, weights=memory.weights, corrections=memory.corrections
        )
        return _decision(order, exposure.numpy(), memory._replace(belief=belief))

    @torch.no_grad()
    def act_told(self, view: View, memory: _Memory, *, exposure: FloatArray) -> Decision:
        """Orders where another recommender decides the slates, (B, M, N)."""
        heuristic, state, belief = self._see(view, memory)
        order = heuristic.order_told(
            state,
            belief.affinity,
            exposure=heuristic.world.tensor(exposure),
            weights=memory.weights,
            corrections=memory.corrections,
        )
        return _decision(order, exposure, memory._replace(belief=belief))

    def _see(self, view: View, memory: _Memory) -> tuple[Heuristic, WorldState, Belief]:
        world, seen = memory.heuristic.world, view.state
        shown = world.tensor(memory.exposure)
        belief = believe(
            world,
            memory.belief,
            world.tensor(view.scores),
            score_noise=view.score_noise if self.memory == "filter" else 0.0,
            last_exposure=world.tensor(seen.last_exposure),
            period=seen.period,
        )
        state = WorldState(
            seen.period,
            world.tensor(seen.on_hand),
            tuple(world.tensor(seen.on_order).unbind(dim=2)),
            belief.affinity,
            shown,
        )
        return memory.heuristic, state, belief


def _decision(order: Tensor, exposure: FloatArray, memory: _Memory) -> Decision:
    units = np.rint(order.numpy().clip(0, NO_LIMIT)).astype(np.int64)
    return Decision(units, exposure, memory._replace(exposure=exposure))
