"""Trained actors behind the call signature of all policies, for evaluation without RLlib."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invrec_rllib.env.actions import ActionMapping
from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.facts import Facts
from invrec_rllib.env.joint import FIRM
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.build import build_actor
from invrec_rllib.learning.memory import State
from invrec_rllib.learning.saved import Saved
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import Information, View
from invrec_rllib.sim import Params

DEPARTMENTS = ("inventory", "recommender")


@dataclass(frozen=True, eq=False)
class Playing:
    """What a trained policy keeps while it plays.

    Attributes:
        mapping: what actions mean in this world.
        actors: the networks, made for the size of this world.
        states: of each actor with memory, (B, ...) by name.
    """

    mapping: ActionMapping
    actors: Mapping[str, nn.Module]
    states: Mapping[str, State]


class TrainedPolicy:
    """Actors of both departments, or one of the whole firm, deciding by the mean of their actions.

    Networks that share weights over products and segments play worlds of any size, if their observations hold the
    same features; others only worlds like the one that they were trained on.

    Args:
        saved: the actors `inventory` and `recommender`, or `firm`; `about` holds ``information`` and
            ``action_options``.
        name: how tables and figures call it.

    Raises:
        InputError: other actors, or a description without information.
    """

    def __init__(self, saved: Saved, *, name: str = "trained") -> None:
        if set(saved.actors) not in ({*DEPARTMENTS}, {FIRM}):
            raise InputError(
                f"a policy for this world has the actors {' and '.join(DEPARTMENTS)}, or {FIRM}; "
                f"this one has {', '.join(sorted(saved.actors)) or 'none'}"
            )
        if "information" not in saved.about:
            raise InputError("the policy does not say what information its agents saw")
        self._saved, self._name = saved, name

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        return self._name

    @property
    def information(self) -> Information:
        """What the agents saw in training."""
        information: Information = self._saved.about["information"]
        return information

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Playing:
        """Actors for this world, with the memory of an episode's start.

        Raises:
            InputError: the actors were trained on observations that this world does not give.
        """
        layouts = {name: encoder_for(params, name, self.information).layout for name in DEPARTMENTS}
        actors = {name: self._fitted(name, layouts) for name in self._saved.actors}
        states = {
            name: {key: value.expand(num_episodes, *value.shape) for key, value in start.items()}
            for name, actor in actors.items()
            if (start := actor.initial_state())  # type: ignore[operator]
        }
        return Playing(ActionMapping(params, **self._saved.about.get("action_options", {})), actors, states)

    def act(self, view: View, memory: Playing) -> Decision:
        """Decide one period for a batch of episodes."""
        facts = Facts(view)
        seen = {
            name: torch.from_numpy(encoder_for(view.params, name, self.information).encode(view, facts=facts))
            for name in DEPARTMENTS
        }
        if FIRM in memory.actors:
            seen = {FIRM: torch.cat([seen[name] for name in DEPARTMENTS], dim=-1)}
        actions, states = {}, {}
        for name, observation in seen.items():
            mean, states[name] = _mean(memory.actors[name], observation, memory.states.get(name) or None)
            # As in training: Gaussian actions may leave the space, and are clipped to it.
            actions[name] = np.clip(mean, -1.0, 1.0)
        if FIRM in actions:
            parts = np.split(actions[FIRM], [memory.mapping.inventory_size], axis=-1)
            actions = dict(zip(DEPARTMENTS, parts, strict=True))
        order = memory.mapping.to_order(view, actions["inventory"], facts=facts)
        exposure = memory.mapping.to_exposure(view, actions["recommender"], facts=facts)
        return Decision(order, exposure, replace(memory, states=states))

    def _fitted(self, name: str, layouts: Mapping[str, ObservationLayout]) -> nn.Module:
        """The actor for a world of these layouts: itself, or its weights in a network of another size."""
        description = self._saved.descriptions[name]
        wanted = copy.deepcopy(dict(description))
        parts = wanted["parts"] if description["network"] == "joint" else {name: wanted}
        for part, own in parts.items():
            self._fit_part(part, own, layouts[part])
        if wanted == description:
            return self._saved.actors[name]
        actor = build_actor(wanted).eval()
        actor.load_state_dict(self._saved.actors[name].state_dict())
        return actor

    def _fit_part(self, name: str, description: dict[str, Any], layout: ObservationLayout) -> None:
        if description["network"] == "product":
            features = ("num_globals", "num_product_features", "num_cell_features")
            trained = [description["layout"][key] for key in features]
            given = [getattr(layout, key) for key in features]
            description["layout"] = asdict(layout)
        else:
            trained, given = description["input"]["shape"], [layout.size]
        if trained != given:
            raise InputError(
                f"{self._name} was trained on observations of shape {tuple(trained)}, but this scenario gives its "
                f"{name} agent {tuple(given)}: evaluate it on a world with the same features"
                + ("" if description["network"] == "product" else " and of the same size")
            )


@torch.no_grad()
def _mean(actor: nn.Module, observation: Tensor, state: State | None) -> tuple[NDArray[np.float32], State]:
    """Mean actions (B, A) of observations (B, D), and the next state."""
    after: State = {}
    if state is None:
        inputs = actor(observation)
    else:
        inputs, after = actor(observation[:, None], dict(state))
        inputs = inputs[:, 0]
    mean: NDArray[np.float32] = inputs.chunk(2, dim=-1)[0].numpy()
    return mean, after
