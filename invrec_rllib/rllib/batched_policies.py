"""How modules act on whole batches: one forward pass per module and step, for all its agents and environments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import tree
from gymnasium.spaces import Space
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical, TorchDiagGaussian
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from invrec_rllib.env.batched import Array, BatchedEnv, Look
from invrec_rllib.errors import InputError
from invrec_rllib.learning.spaces import action_bounds, converter

# `_forward_exploration` and `_forward_inference` are RLlib's hooks for modules of one's own.
_PUBLIC = ("forward_exploration", "forward_inference")
_FORWARDS = (*_PUBLIC, "_forward_exploration", "_forward_inference", "_forward")
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Acted(NamedTuple):
    """What the modules decided, by agent.

    Attributes:
        actions: as the distributions gave them, (B, ...).
        for_env: clipped or unsquashed as the environment wants them, (B, ...).
        dist_inputs: (B, P); {} for random actions, and without agents whose module gives none.
        logp: (B,); likewise.
    """

    actions: dict[str, Array]
    for_env: dict[str, Array]
    dist_inputs: dict[str, Array]
    logp: dict[str, Array]


class BatchedPolicies:
    """The modules of a runner as they act for B environments; it holds the states of those with memory.

    Observations reach the modules as RLlib's default connectors would bring them: as tensors, (B, D), or (B, 1,
    D) with `STATE_IN` (B, ...) for modules with a state; agents of one module are stacked along the batch, agent
    after agent.

    Args:
        module: all modules by id.
        env: whose agents act.
        policy_of: module id of each agent.
        device: where the modules are.
        normalize_actions, clip_actions: RLlib's settings of these names.
        seed: of random actions; None: from the operating system.

    Attributes:
        policy_of: as given.
        memory_every: `model_config["max_seq_len"]` of the modules with memory; None if there are none.

    Raises:
        InputError: an agent's module is missing, or modules with memory have unequal `max_seq_len`.
    """

    def __init__(
        self,
        module: MultiRLModule,
        env: BatchedEnv,
        *,
        policy_of: Mapping[str, str],
        device: Any,
        normalize_actions: bool,
        clip_actions: bool,
        seed: int | None = None,
    ) -> None:
        self._module, self._device, self._num_envs = module, device, env.num_envs
        self.policy_of = dict(policy_of)
        self._agents: dict[str, list[str]] = {}
        for agent in env.agents:
            policy = self.policy_of[agent]
            if policy not in module:
                raise InputError(
                    f"agent {agent!r} is mapped to module {policy!r}; modules are {list(module.keys())}"
                )
            self._agents.setdefault(policy, []).append(agent)
        self._initial = {
            policy: tree.map_structure(_as_tensor, module[policy].get_initial_state())
            for policy in self._agents
            if module[policy].is_stateful()
        }
        self.memory_every = _common_length(module, list(self._initial))
        self._states: dict[str, Any] = {}
        self._plain = _is_plain(module, list(self._agents))
        self._to_env = {
            agent: env_action(space, normalize=normalize_actions, clip=clip_actions)
            for agent, space in env.action_spaces.items()
        }
        self._random: dict[str, Space[Any]] = {}
        for index, (agent, space) in enumerate(env.action_spaces.items()):
            self._random[agent] = batch_space(space, env.num_envs)
            if seed is not None:
                self._random[agent].seed(seed + index)
        self.start()

    def start(self) -> None:
        """All states as at the start of an episode."""
        for policy, initial in self._initial.items():
            rows = len(self._agents[policy]) * self._num_envs
            self._states[policy] = tree.map_structure(
                lambda value, rows=rows: value.to(self._device).expand(rows, *value.shape), initial
            )

    def restart(self, ended: NDArray[np.bool_]) -> None:
        """States as at the start of an episode where one ended, (B,)."""
        for policy, initial in self._initial.items():
            rows = torch.from_numpy(np.tile(ended, len(self._agents[policy]))).to(self._device)

            def renew(state: Tensor, value: Tensor, rows: Tensor = rows) -> Tensor:
                return torch.where(rows.view(-1, *[1] * value.dim()), value.to(state), state)

            self._states[policy] = tree.map_structure(renew, self._states[policy], initial)

    def memory(self) -> dict[str, dict[str, Array]]:
        """States now by agent and key, (B, ...); keys of nested states are joined by "/"."""
        held: dict[str, dict[str, Array]] = {}
        for policy, state in self._states.items():
            for path, value in tree.flatten_with_path(state):
                parts = value.cpu().numpy().reshape(-1, self._num_envs, *value.shape[1:])
                for agent, part in zip(self._agents[policy], parts, strict=True):
                    held.setdefault(agent, {})["/".join(map(str, path))] = part
        return held

    def nested(self, agent: str, flat: Mapping[str, Array]) -> Any:
        """Arrays by the keys of `memory`, nested as the agent's module has its state."""
        initial = self._initial[self.policy_of[agent]]
        keys = ["/".join(map(str, path)) for path, _ in tree.flatten_with_path(initial)]
        return tree.unflatten_as(initial, [flat[key] for key in keys])

    @torch.no_grad()
    def act(self, look: Look, *, explore: bool, timestep: int) -> Acted:
        """Actions for what is seen; states move on.

        Args:
            look: observations (B, ...).
            explore: draw from the distributions, else take their modes.
            timestep: env steps sampled so far, for modules whose exploration depends on it.
        """
        batch = {policy: self._batch(policy, look) for policy in self._agents}
        out = self._forward(batch, explore=explore, timestep=timestep)
        acted = Acted({}, {}, {}, {})
        for policy, agents in self._agents.items():
            columns = dict(out[policy])
            if policy in self._states:
                self._states[policy] = columns.pop(Columns.STATE_OUT)
                columns = {name: value.squeeze(1) for name, value in columns.items() if _is_tensor(value)}
            self._draw(columns, policy, explore=explore)
            for target, name in (
                (acted.actions, Columns.ACTIONS),
                (acted.dist_inputs, Columns.ACTION_DIST_INPUTS),
                (acted.logp, Columns.ACTION_LOGP),
            ):
                if name in columns:
                    target.update(zip(agents, self._split(columns[name]), strict=True))
        return acted._replace(for_env=self._for_env(acted.actions))

    def act_randomly(self) -> Acted:
        """Actions drawn from the action spaces; states stay as they are."""
        actions = {agent: np.asarray(space.sample()) for agent, space in self._random.items()}
        return Acted(actions, actions, {}, {})

    def _forward(self, batch: dict[str, Any], *, explore: bool, timestep: int) -> Any:
        if not self._plain:
            if explore:
                return self._module.forward_exploration(batch, t=timestep)
            return self._module.forward_inference(batch)
        # What these methods do, less the walk over all submodules that puts each into evaluation mode every time.
        return {
            policy: self._module[policy]._forward_exploration(columns, t=timestep)
            if explore
            else self._module[policy]._forward_inference(columns)
            for policy, columns in batch.items()
        }

    def _batch(self, policy: str, look: Look) -> dict[str, Any]:
        agents = self._agents[policy]
        seen = [look.observations[agent] for agent in agents]
        observed = torch.from_numpy(seen[0] if len(seen) == 1 else np.concatenate(seen)).to(self._device)
        if observed.dtype == torch.float64:
            observed = observed.float()
        if policy not in self._states:
            return {Columns.OBS: observed}
        return {Columns.OBS: observed[:, None], Columns.STATE_IN: self._states[policy]}

    def _draw(self, columns: dict[str, Any], policy: str, *, explore: bool) -> None:
        """Add actions and their log-probabilities, where the module gave a distribution's inputs alone."""
        if Columns.ACTIONS in columns:
            return
        module, inputs = self._module[policy], columns[Columns.ACTION_DIST_INPUTS]
        distribution = (
            module.get_exploration_action_dist_cls() if explore else module.get_inference_action_dist_cls()
        )
        actions, logp = draw_actions(distribution, inputs, explore=explore)
        columns[Columns.ACTIONS] = actions
        columns.setdefault(Columns.ACTION_LOGP, logp)

    def _split(self, values: Any) -> Array:
        array: Array = values.cpu().numpy() if _is_tensor(values) else np.asarray(values)
        return array.reshape(-1, self._num_envs, *array.shape[1:])

    def _for_env(self, actions: dict[str, Array]) -> dict[str, Array]:
        converted = {}
        for agent, action in actions.items():
            convert = self._to_env[agent]
            converted[agent] = action if convert is None else convert(action)
        return converted


def draw_actions(distribution: Any, inputs: Tensor, *, explore: bool) -> tuple[Tensor, Tensor]:
    """Actions of a batch and their log-probabilities, as RLlib's `GetActions` connector makes them.

    Diagonal Gaussians and categoricals, explored, take a few operations in place of a distribution object; from
    an equal random state they give equal actions, to rounding.

    Args:
        distribution: RLlib's class of it.
        inputs: (B, P).
        explore: draw; else the distribution's deterministic form, whose log-probabilities are zeros.

    Returns:
        Actions (B, ...) and log-probabilities (B,).
    """
    if explore and distribution is TorchDiagGaussian:
        mean, log_std = inputs.chunk(2, dim=-1)
        noise = torch.randn_like(mean)
        logp = (noise.square().mul_(-0.5) - log_std).sum(-1) - mean.shape[-1] * _LOG_ROOT_TWO_PI
        return torch.addcmul(mean, log_std.exp(), noise), logp
    if explore and distribution is TorchCategorical:
        log_probability = torch.log_softmax(inputs, dim=-1)
        chosen = torch.multinomial(log_probability.exp(), 1, replacement=True)
        return chosen.squeeze(-1), log_probability.gather(-1, chosen).squeeze(-1)
    made = distribution.from_logits(inputs)
    if not explore:
        actions = made.to_deterministic().sample()
        return actions, inputs.new_zeros(len(inputs))
    actions = made.sample()
    return actions, made.logp(actions)


def env_action(space: Space[Any], *, normalize: bool, clip: bool) -> Callable[[Array], Array] | None:
    """How a batch of a module's actions becomes the environment's, by RLlib's settings of these names."""
    return converter(space, action_bounds(normalize=normalize, clip=clip))


def _common_length(module: MultiRLModule, stateful: list[str]) -> int | None:
    configs: dict[str, Any] = {policy: module[policy].model_config for policy in stateful}
    lengths = {policy: int(config["max_seq_len"]) for policy, config in configs.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"modules with memory must have one model_config['max_seq_len'], got {lengths}")
    return next(iter(lengths.values()), None)


def _is_plain(module: MultiRLModule, policies: list[str]) -> bool:
    """Whether the forward methods are RLlib's own, so that what they call can be called instead.

    The modules are then put into evaluation mode, once.
    """
    parts: list[Any] = [module[policy] for policy in policies]
    plain = all(getattr(type(module), name) is getattr(MultiRLModule, name) for name in _FORWARDS)
    for part in parts:
        plain &= isinstance(part, TorchRLModule)
        plain &= all(getattr(type(part), name) is getattr(TorchRLModule, name, None) for name in _PUBLIC)
    if plain:
        for part in parts:
            part.eval()
    return plain


def _as_tensor(value: Any) -> Tensor:
    return value.detach() if _is_tensor(value) else torch.as_tensor(np.asarray(value))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
