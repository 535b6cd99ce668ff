"""MTMA-PPO: centralized critics, decentralized actors with memory, a learning speed for each, as an RLlib algorithm."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.connectors.learner import LearnerConnectorPipeline
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override
from ray.rllib.utils.from_config import NotProvided
from ray.tune import register_trainable

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critic_names import CriticKind, critic_names
from invrec_rllib.learning.export import EXPORT_FOLDER, save_policy
from invrec_rllib.learning.memory import MemoryKind
from invrec_rllib.rllib.block_connector import BlockToBatch
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.mtmappo_learner import MTMAPPOTorchLearner
from invrec_rllib.rllib.mtmappo_modules import ActorModule, CriticModule
from invrec_rllib.rllib.mtmappo_networks import Networks, describe_networks
from invrec_rllib.rllib.timescale_config import timescales as set_timescales
from invrec_rllib.rllib.timescale_learner import MultiTimescaleMixin, multi_timescale
from invrec_rllib.rllib.trained import policy_of

NAME = "MTMAPPO"
# What `update_from_dict` hands to the methods of these names.
_CHOICES = ("critic", "memory", "network", "timescales")

_logger = logging.getLogger(__name__)


class MTMAPPOConfig(PPOConfig):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """Configuration of `MTMAPPO`; a `PPOConfig` with `timescales`, `critic`, `memory` and `network` besides.

    ::

        config = (
            MTMAPPOConfig()
            .environment("invrec_v0", env_config={"scenario": "paper"})
            .multi_agent(policies=["inventory", "recommender"], policy_mapping_fn=policy_of_agent)
            .timescales({"critic": {"critic": 3e-3}, "inventory": {"actor": 1e-3}, "recommender": {"actor": 2e-3}})
            .memory("gru")
        )

    Other environments need nothing else: any that RLlib steps as a `MultiAgentEnv`, PettingZoo's by
    `ParallelEnvAdapter`. The critic reads `state()` where the environment has it, else all agents'
    observations side by side. All agents act from the first step on, each until it ends; with several learners they
    must end together.

    A policy's actor is ours unless `rl_module(rl_module_spec=...)` brings another: any torch module that gives
    `ACTION_DIST_INPUTS` will do, it needs no value function.

    Steps are sampled by `BlockRunner` (`fast_sampling`). Not offered, since it has no meaning here:
    `vf_clip_param` (see `critic(value_clip=...)`), `use_critic=False`, connectors between environment and module.
    """

    def __init__(self, algo_class: type[PPO] | None = None) -> None:
        super().__init__(algo_class=algo_class or MTMAPPO)  # type: ignore[no-untyped-call]
        self.critic_kind: CriticKind = "shared"
        self.value_clip: float | None = None
        self.networks = Networks()
        self.uses_global_state = True
        self.gamma, self.lambda_ = 0.9, 0.8
        self.clip_param, self.use_kl_loss, self.entropy_coeff = 0.2, False, 0.0
        self.vf_clip_param = float("inf")
        self.training(num_epochs=6, minibatch_size=416, train_batch_size_per_learner=1664)
        self.num_env_runners, self.num_envs_per_env_runner = 0, 32
        self.lr = 3e-3
        fast_sampling(self)
        # `build_learner_connector` below makes the whole pipeline; PPO's learner would add pieces for episodes.
        self.learners(add_default_connectors_to_learner_pipeline=False)

    def timescales(self, spec: Any, *, strict: bool | None = None) -> MTMAPPOConfig:
        """Give every module, and every part of it, a learning speed; see `timescales.Timescales`.

        Args:
            spec: a `Timescales`, or its data: module -> part -> schedule. Modules are the policies (part
                "actor") and the critics (part "critic"): `critic`, or `<policy>_critic` where each has its own.
            strict: whether a violated condition of separation is an error instead of a warning.
        """
        set_timescales(self, spec, strict=strict)
        return self

    def critic(self, kind: CriticKind | None = None, *, value_clip: Any = NotProvided) -> MTMAPPOConfig:
        """Choose the critics; what is not given stays as it is.

        Args:
            kind: "shared", one critic of the global state with a value for every agent; "separate", one of the
                global state for each policy; "own", one for each policy of its own observations alone, as in
                independent PPO.
            value_clip: how far a value may move towards its target in one update, in spreads of the targets
                (`learning.critics.ValueOutput.normalise`); None: freely.

        Raises:
            InputError: not one of these.
        """
        if kind is not None:
            if kind not in get_args(CriticKind):
                raise InputError(f"critic is {kind!r}, must be one of {', '.join(get_args(CriticKind))}")
            self.critic_kind = kind
            self.uses_global_state = kind != "own"
        if value_clip is not NotProvided:
            if value_clip is not None and value_clip <= 0:
                raise InputError(f"value_clip is {value_clip}, must be above 0, or None")
            self.value_clip = value_clip
        return self

    def memory(
        self, kind: MemoryKind, *, size: int | None = None, max_seq_len: int | None = None
    ) -> MTMAPPOConfig:
        """Give actors memory.

        Args:
            kind: "none", "gru" or "lstm".
            size: numbers that the memory holds (per product, where products share a network).
            max_seq_len: steps through which gradients flow back; longer episodes are cut, with the state kept.
        """
        self.networks = self.networks.changed(memory=kind, memory_size=size, max_seq_len=max_seq_len)
        return self

    def network(self, kind: Literal["auto", "product", "mlp"] | None = None, **options: Any) -> MTMAPPOConfig:
        """Choose the networks' kind and widths; `options` are the fields of `mtmappo_networks.Networks`."""
        self.networks = self.networks.changed(kind=kind, **options)
        return self

    @override(PPOConfig)
    def update_from_dict(self, config_dict: Mapping[str, Any]) -> MTMAPPOConfig:
        """As RLlib's; besides, "timescales", "critic", "memory" and "network" are what the methods of these names take.

        So a file of Tune can say ``critic: own``, or ``memory: {kind: gru, size: 8}``.

        Raises:
            InputError: a choice that is not allowed.
        """
        # RLlib also hands over whole configurations, which have methods of these names.
        chosen = {
            name: config_dict[name]
            for name in _CHOICES
            if name in config_dict and not callable(config_dict[name])
        }
        super().update_from_dict({name: value for name, value in config_dict.items() if name not in chosen})
        for name, value in chosen.items():
            choose = getattr(self, name)
            if isinstance(value, Mapping) and name != "timescales":
                choose(**value)
            else:
                choose(value)
        return self

    @override(PPOConfig)
    def get_default_learner_class(self) -> type[MultiTimescaleMixin]:
        """The learner with MTMA-PPO's losses, each part at its own speed."""
        return multi_timescale(MTMAPPOTorchLearner)

    @override(PPOConfig)
    def build_learner_connector(
        self, input_observation_space: Any, input_action_space: Any, device: Any = None
    ) -> LearnerConnectorPipeline:
        """The pipeline from blocks to batches, with this configuration's discount."""
        piece = BlockToBatch(
            input_observation_space, input_action_space, discount=self.gamma, gae_lambda=self.lambda_
        )
        return LearnerConnectorPipeline(
            connectors=[piece],
            input_observation_space=input_observation_space,
            input_action_space=input_action_space,
        )

    @override(PPOConfig)
    def get_multi_rl_module_spec(
        self,
        *,
        env: Any = None,
        spaces: dict[str, Any] | None = None,
        inference_only: bool = False,
        policy_dict: Mapping[str, Any] | None = None,
        single_agent_rl_module_spec: RLModuleSpec | None = None,
    ) -> MultiRLModuleSpec:
        """Actors for the policies, and for learners the critics that judge them."""
        if policy_dict is None:
            policy_dict, _ = self.get_multi_agent_setup(env=env, spaces=spaces)
        own = {policy: spec for policy in policy_dict if (spec := self._actor_given_for(policy)) is not None}
        described = describe_networks(
            self, policy_dict, spaces=spaces or {}, with_critics=not inference_only, env=env, given=own
        )
        specs: dict[str, RLModuleSpec] = {}
        # In sorted order: that of a set of policies, and with it the first weights, would change with the hash seed.
        for policy in sorted(policy_dict):
            spec = own.get(policy) or RLModuleSpec(
                module_class=ActorModule, model_config=described.actors[policy]
            )
            spec.observation_space = policy_dict[policy].observation_space
            spec.action_space = policy_dict[policy].action_space
            spec.inference_only = inference_only
            specs[policy] = spec
        for name, (space, critic) in described.critics.items():
            specs[name] = RLModuleSpec(
                module_class=CriticModule,
                observation_space=space,
                # A critic does not act; RLlib wants a space of every module.
                action_space=next(iter(policy_dict.values())).action_space,
                learner_only=True,
                model_config=critic,
            )
        return MultiRLModuleSpec(rl_module_specs=specs)

    def _actor_given_for(self, policy: str) -> RLModuleSpec | None:
        """The user's own module of a policy; None: ours."""
        # RLlib keeps here what `rl_module` took; its getter would mix defaults into it.
        given: Any = self._rl_module_spec
        if isinstance(given, MultiRLModuleSpec):
            given = (given.rl_module_specs or {}).get(policy)
        if given is None or given.module_class in (None, ActorModule):
            return None
        spec: RLModuleSpec = copy.deepcopy(given)
        return spec

    @override(PPOConfig)
    def validate(self) -> None:
        """Refuse what has no meaning here, before Ray starts.

        Raises:
            InputError: naming the setting, its value and what is allowed.
        """
        super().validate()
        if not self.use_critic or not self.use_gae:
            raise InputError("use_critic and use_gae must be True: MTMA-PPO is an actor-critic method")
        if self.vf_clip_param not in (None, float("inf")):
            raise InputError(
                f"vf_clip_param is {self.vf_clip_param}: RLlib's clipping stops the critic where it errs most; "
                "use .critic(value_clip=...) to bound how far values move per update"
            )
        taken = sorted(set(critic_names(self.critic_kind, self.policies)) & set(self.policies))
        if taken:
            raise InputError(f"policies are called {taken}, which critics are called here: rename them")
        length = self.networks.max_seq_len
        if self.networks.memory != "none" and self.minibatch_size and self.minibatch_size < length:
            raise InputError(
                f"minibatch_size is {self.minibatch_size}, must be at least max_seq_len = {length}: minibatches "
                "of actors with memory hold whole sequences"
            )


class MTMAPPO(PPO):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """Multi-timescale multi-agent PPO, after Jiang, Han, Peng and Zhang 2025, arXiv:2510.04272 (abstract).

    An ordinary RLlib algorithm: `MTMAPPOConfig().build_algo()`, or `"MTMAPPO"` in Tune once this module is
    imported. Its training step is PPO's; what differs is what the configuration puts in.
    """

    @classmethod
    @override(PPO)
    def get_default_config(cls) -> MTMAPPOConfig:
        """A fresh configuration."""
        return MTMAPPOConfig()

    @override(PPO)
    def save_to_path(self, path: Any = None, *, filesystem: Any = None, **kwargs: Any) -> str:
        """As RLlib's, and in the folder `policy` the actors without pickle, for `Policy.load`.

        Not on another filesystem than this machine's, and not of modules that are none of ours.
        """
        folder: str = super().save_to_path(path, filesystem=filesystem, **kwargs)
        if filesystem is None:
            try:
                save_policy(policy_of(self), Path(folder) / EXPORT_FOLDER, overwrite=True)
            except InputError as error:
                _logger.warning("the checkpoint %s holds no folder %s: %s", folder, EXPORT_FOLDER, error)
        return folder


register_trainable(NAME, MTMAPPO)
