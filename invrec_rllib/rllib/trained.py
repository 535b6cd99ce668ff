"""Trained agents behind the call signature of all policies, for evaluation without RLlib's sampling."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule

from invrec_rllib.env.actions import ActionMapping
from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.facts import Facts
from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import Information, View
from invrec_rllib.rllib.algorithm import AGENTS, Agent
from invrec_rllib.rllib.quiet import quiet_loggers
from invrec_rllib.sim import Params

# The file beside a checkpoint that says what its agents see.
AGENTS_FILE = "invrec_agents.json"


class TrainedPolicy:
    """The pair of modules that RLlib trained, deciding by the mean of their actions.

    Args:
        modules: the trained module of each agent.
        information: what the agents saw in training.
        name: how tables and figures call it.
        options: options of `ActionMapping`, as in training.
    """

    def __init__(
        self,
        modules: Mapping[Agent, RLModule],
        *,
        information: Information,
        name: str = "trained",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._modules = {agent: modules[agent] for agent in AGENTS}
        self._information: Information = information
        self._options = dict(options or {})
        self._name = name

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        return self._name

    @property
    def information(self) -> Information:
        """What the agents saw in training."""
        return self._information

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> ActionMapping:
        """What turns actions into orders and exposures; the agents have no memory of their own."""
        for agent, module in self._modules.items():
            expected = (encoder_for(params, agent, self._information).layout.size,)
            seen = cast(Box, module.observation_space).shape
            if seen != expected:
                raise InputError(
                    f"{self._name} was trained on observations of shape {seen}, but this "
                    f"scenario gives its {agent} agent {expected}: evaluate it on a world of the same size"
                )
        return ActionMapping(params, **self._options)

    def act(self, view: View, memory: ActionMapping) -> Decision:
        """Decide one period for a batch of episodes."""
        facts = Facts(view)
        order = memory.to_order(view, self._action("inventory", view, facts), facts=facts)
        exposure = memory.to_exposure(view, self._action("recommender", view, facts), facts=facts)
        return Decision(order, exposure, memory)

    def _action(self, agent: Agent, view: View, facts: Facts) -> NDArray[np.float32]:
        module = self._modules[agent]
        observation = torch.from_numpy(
            encoder_for(view.params, agent, self._information).encode(view, facts=facts)
        )
        with torch.no_grad():
            inputs = module.forward_inference({Columns.OBS: observation})[Columns.ACTION_DIST_INPUTS]
        distribution = module.get_inference_action_dist_cls().from_logits(inputs).to_deterministic()
        # As RLlib does: Gaussian actions may leave the space, and are clipped to it.
        action: NDArray[np.float32] = np.clip(np.asarray(distribution.sample()), -1.0, 1.0)
        return action


def save_agents_file(checkpoint: Path, *, information: Information, options: Mapping[str, Any]) -> None:
    """Write beside a checkpoint what `load_trained` must know."""
    content = {"information": information, "action_options": dict(options)}
    (checkpoint / AGENTS_FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def load_trained(checkpoint: str | os.PathLike[str], *, name: str = "trained") -> TrainedPolicy:
    """The trained pair of a checkpoint that `invrec train` wrote.

    RLlib unpickles modules: load only checkpoints that you trust.

    Raises:
        InputError: not such a checkpoint.
    """
    path = Path(checkpoint).expanduser().resolve()
    try:
        about = json.loads((path / AGENTS_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a checkpoint of invrec train: {AGENTS_FILE} cannot be read ({error})"
        ) from error
    modules = {}
    for agent in AGENTS:
        location = path / "learner_group" / "learner" / "rl_module" / agent
        if not location.is_dir():
            raise InputError(f"{path} is not a complete checkpoint: {location.relative_to(path)} is missing")
        with quiet_loggers():
            modules[agent] = RLModule.from_checkpoint(location)
    return TrainedPolicy(
        modules, information=about["information"], name=name, options=about["action_options"]
    )
