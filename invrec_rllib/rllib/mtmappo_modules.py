"""RLModules of MTMA-PPO: actors that hold no critic, and critics that only learners hold."""

from __future__ import annotations

from typing import Any, cast

from gymnasium.spaces import MultiDiscrete
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from invrec_rllib.learning.build import build_actor, build_critic
from invrec_rllib.learning.critics import ValueOutput

VALUES = "values"


class ActorModule(TorchRLModule):
    """One policy: its own observation, and perhaps memory, to the inputs of its action distribution.

    Overrides what RLlib asks of a module (`setup`, `_forward`, `get_initial_state`) and leaves the rest alone.
    `model_config` is the plain description that `learning.build.build_actor` takes, with `max_seq_len` beside
    it where the actor has memory: actors are exported with it and built again without RLlib.
    """

    def setup(self) -> None:
        """Build the actor; it is all there is, on env runners as on learners."""
        self.description = cast(dict[str, Any], self.model_config)
        self.distribution: str = self.description["distribution"]
        self.actor: Any = build_actor(self.description)
        if isinstance(self.action_space, MultiDiscrete):
            # RLlib knows the distributions of other spaces by itself; its catalogs, which know this one, fail
            # on observations that its own networks do not read.
            sizes = tuple(self.action_space.nvec.tolist())
            categories: Any = TorchMultiCategorical
            self.action_dist_cls = categories.get_partial_dist_cls(input_lens=sizes)

    def get_initial_state(self) -> dict[str, Any]:
        """Memory at an episode's start, without batch axis; empty where the actor has none."""
        return {name: value.numpy() for name, value in self.actor.initial_state().items()}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if not self.is_stateful():
            return {Columns.ACTION_DIST_INPUTS: self.actor(batch[Columns.OBS])}
        inputs, state = self.actor(batch[Columns.OBS], batch[Columns.STATE_IN])
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.STATE_OUT: state}


class CriticModule(TorchRLModule):
    """A value for every agent that it judges, (..., K), from the global state or from their observations.

    It lives on learners alone (`RLModuleSpec(learner_only=True)`): env runners and exported policies never
    hold it. `model_config` is what `learning.build.build_critic` takes, with:

        agents: names of the K agents, in the order of its values.
        reads: "state", once for all of them, or "observation", each agent's own (K is then 1).
    """

    def setup(self) -> None:
        """Build the critic."""
        config = cast(dict[str, Any], self.model_config)
        self.agents: tuple[str, ...] = tuple(config["agents"])
        self.reads: str = config["reads"]
        self.critic: Any = build_critic(config)

    def values(self, seen: Tensor) -> Tensor:
        """Values in units of reward, (..., K), of states or observations (..., D)."""
        values: Tensor = self.critic(seen)
        return values if self.output.num_values > 1 else values[..., None]

    @property
    def output(self) -> ValueOutput:
        """The last layer, which knows the size of values."""
        return cast(ValueOutput, self.critic.output)

    def normalise(self, values: Tensor) -> Tensor:
        """Values or targets (..., K) in the units in which their errors are squared."""
        return self.output.normalise(values if self.output.num_values > 1 else values[..., 0])

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {VALUES: self.values(batch[Columns.OBS])}
