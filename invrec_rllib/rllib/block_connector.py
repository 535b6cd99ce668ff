"""From blocks of whole arrays to train batches: advantages and values without Python per step or environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critic_names import SHARED_CRITIC, own_critic
from invrec_rllib.learning.memory import cut_sequences
from invrec_rllib.learning.returns import generalized_advantages, standardise
from invrec_rllib.rllib.blocks import Block
from invrec_rllib.rllib.mtmappo_modules import CriticModule
from invrec_rllib.rllib.replicas import refuse_ends_apart

# What a critic said of a row before the update, for clipping its change.
OLD_VALUES = "old_values"
# Which of a row's value targets there are, one per agent; where it is missing, all.
TARGET_MASK = "target_mask"
Rows = dict[str, Any]


class BlockToBatch(ConnectorV2):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """The whole learner pipeline for `Block`s: values, advantages [GAE], train batches by module.

    It stands in the place of RLlib's default pieces (`learners(add_default_connectors_to_learner_pipeline=False)`)
    and gives what they would: for every policy its rows with standardised advantages, for every critic states (or
    observations) with value targets. Rows are steps; of modules with memory they are sequences (S, L, ...) that
    begin with the state that the module had there, padded at the end, with a loss mask. After an agent's end there
    are none of its rows; targets of critics that judge several agents have a mask (`TARGET_MASK`) then.

    Values come from the critics among the modules (`CriticModule`), else from the policies' own value functions
    (RLlib's `ValueFunctionAPI`).

    Args:
        input_observation_space, input_action_space: as RLlib gives them.
        discount: per step [gamma], in [0, 1].
        gae_lambda: decay of the advantage's trace per decision [lambda], in [0, 1].
    """

    def __init__(
        self,
        input_observation_space: gym.Space[Any] | None = None,
        input_action_space: gym.Space[Any] | None = None,
        *,
        discount: float,
        gae_lambda: float,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self._discount, self._lambda = discount, gae_lambda

    def __call__(  # type: ignore[override]  # blocks stand in the place of episodes
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Block], **kwargs: Any
    ) -> dict[str, Any]:
        """The train batch of some blocks: module id -> column -> tensor (rows, ...).

        Raises:
            InputError: blocks without what a critic reads, or agents that ended apart, with several learners.
        """
        modules = {str(name): rl_module[name].unwrapped() for name in rl_module.keys()}  # noqa: SIM118
        refuse_ends_apart(any(block.alive is not None for block in episodes), modules=list(modules.values()))
        parts: dict[str, list[Rows]] = {}
        for block in episodes:
            for name, columns in self._convert(block, modules):
                parts.setdefault(name, []).append(columns)
        # In a fixed order: all learners must step their modules alike.
        joined = {name: _concatenate(parts[name]) for name in sorted(parts)}
        for columns in joined.values():
            if Postprocessing.ADVANTAGES in columns:
                columns[Postprocessing.ADVANTAGES] = standardise(
                    columns[Postprocessing.ADVANTAGES], columns.get(Columns.LOSS_MASK)
                )
        return joined

    def _convert(self, block: Block, modules: Mapping[str, RLModule]) -> list[tuple[str, Rows]]:
        rows: list[tuple[str, Rows]] = []
        judged = _judge(block, modules)
        for agent, policy in block.policy_of.items():
            value = judged[agent]
            device = value.current.device
            decides = None if block.decides is None else _tensor(block.decides[agent], device)
            advantages, targets = generalized_advantages(
                _tensor(block.rewards[agent], device),
                value.current,
                next_values=value.following,
                ends=_tensor(block.ends_of(agent), device),
                discount=self._discount,
                lam=self._lambda,
                decides=decides,
            )
            value.targets = targets
            columns = {
                Columns.OBS: block.observations[agent],
                Columns.ACTIONS: block.actions[agent],
                Columns.ACTION_DIST_INPUTS: block.dist_inputs[agent],
                Columns.ACTION_LOGP: block.logp[agent],
                Postprocessing.ADVANTAGES: advantages,
            }
            if isinstance(modules[policy], ValueFunctionAPI):
                columns[Postprocessing.VALUE_TARGETS] = targets
            own = _rows(block, agent, modules[policy], columns, device)
            # An agent without any decision in this block leaves nothing to learn from.
            if len(own[Columns.OBS]):
                rows.append((policy, own))
        return rows + _critic_rows(block, modules, judged)


@dataclass(frozen=True)
class BlocksToBatches:
    """Makes `BlockToBatch`; what RLlib's ``learners(learner_connector=...)`` takes.

    Attributes:
        discount: per step [gamma].
        gae_lambda: decay of the advantage's trace [lambda].
    """

    discount: float
    gae_lambda: float

    def __call__(self, observation_space: Any, action_space: Any) -> BlockToBatch:
        """The piece for these spaces."""
        return BlockToBatch(
            observation_space, action_space, discount=self.discount, gae_lambda=self.gae_lambda
        )


class _Judged:
    """What is thought of one agent's states: values now and next, (T, B), and by which critic."""

    def __init__(self, current: Tensor, following: Tensor, critic: str | None) -> None:
        self.current, self.following, self.critic = current, following, critic
        self.targets = current


def critic_of(policy: str, modules: Mapping[str, Any]) -> str | None:
    """Name of the critic that judges a policy: its own, `<policy>_critic`, or the shared `critic`."""
    names = (own_critic(policy), SHARED_CRITIC)
    return next((name for name in names if isinstance(modules.get(name), CriticModule)), None)


def _judge(block: Block, modules: Mapping[str, Any]) -> dict[str, _Judged]:
    """Values of every agent, each critic asked once."""
    said: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    judged = {}
    for agent, policy in block.policy_of.items():
        name = critic_of(policy, modules)
        critic = modules[name] if name else modules[policy]
        shared = name is not None and critic.reads == "state"
        key = (name or policy, "" if shared else agent)
        if key not in said:
            said[key] = _values(block, critic, None if shared else agent)
        head = critic.agents.index(agent) if shared else 0
        current, following = (values[..., head] for values in said[key])
        # Nothing follows a terminal state; what was truncated would have gone on.
        terminal = _tensor(block.terminals_of(agent), current.device)
        judged[agent] = _Judged(current, following.masked_fill(terminal, 0.0), name)
    return judged


@torch.no_grad()
def _values(block: Block, critic: Any, agent: str | None) -> tuple[Tensor, Tensor]:
    """Values at every step and of what followed it, (T, B, K); of states, or of one agent's observations."""
    seen = block.states if agent is None else block.observations[agent]
    last = block.last.state if agent is None else block.last.observations[agent]
    if seen is None or last is None:
        raise InputError(
            "a critic reads the global state, but the blocks hold none: set `uses_global_state` on the "
            "configuration before the env runners are built"
        )
    final = None
    if block.final is not None:
        final = block.final.state if agent is None else block.final.observations[agent]
    ask = _asker(critic)
    current = ask(seen)
    following = torch.empty_like(current)
    following[:-1] = current[1:]
    following[-1] = ask(last)
    if final is not None and len(block.final_index):
        time, column = _tensor(block.final_index, current.device).unbind(-1)
        following[time, column] = ask(final)
    return current, following


def _asker(critic: Any) -> Any:
    device = next(critic.parameters()).device

    def ask(seen: Any) -> Tensor:
        tensor = _tensor(seen, device)
        if isinstance(critic, CriticModule):
            return critic.values(tensor)
        if critic.is_stateful():
            raise InputError(
                "a module with memory and a value function of its own cannot learn from blocks: use "
                'fast_sampling(config, handover="episodes")'
            )
        lead = tensor.shape[: seen.ndim - len(critic.observation_space.shape or ())]
        flat = tensor.reshape(-1, *tensor.shape[len(lead) :])
        values: Tensor = critic.compute_values({Columns.OBS: flat})
        return values.reshape(*lead, 1)

    return ask


def _rows(block: Block, agent: str, module: RLModule, columns: Rows, device: torch.device) -> Rows:
    """Columns (T, B, ...) as rows: steps, or the sequences of a module with memory."""
    counts = block.counts_of(agent)
    if not module.is_stateful():
        # Where an action has no effect there is nothing to learn from it.
        return _flat(columns, counts, device)
    alive = None if block.alive is None else block.alive[agent]
    cut = cut_sequences(block.ends_of(agent), block.memory_every, alive=alive)
    sequences = {name: cut.gather(_tensor(value, device)) for name, value in columns.items()}
    mask = cut.mask if counts is None else cut.mask & cut.gather(counts)
    sequences[Columns.LOSS_MASK] = torch.from_numpy(mask).to(device)
    sequences[Columns.STATE_IN] = {
        name: torch.from_numpy(cut.states(stored)).to(device) for name, stored in block.memory[agent].items()
    }
    return sequences


def _critic_rows(
    block: Block, modules: Mapping[str, Any], judged: Mapping[str, _Judged]
) -> list[tuple[str, Rows]]:
    """What the critics learn from: states with one target per agent, or each agent's observations."""
    rows: list[tuple[str, Rows]] = []
    names = dict.fromkeys(value.critic for value in judged.values() if value.critic)
    for name in names:
        critic = modules[name]
        agents = [agent for agent, value in judged.items() if value.critic == name]
        groups = [agents] if critic.reads == "state" else [[agent] for agent in agents]
        for group in groups:
            seen = block.states if critic.reads == "state" else block.observations[group[0]]
            ordered = [agent for agent in critic.agents if agent in group] if len(group) > 1 else group
            before = torch.stack([judged[agent].current for agent in ordered], dim=-1)
            columns = {
                Columns.OBS: seen,
                Postprocessing.VALUE_TARGETS: torch.stack([judged[a].targets for a in ordered], dim=-1),
                OLD_VALUES: before,
            }
            kept = None
            if block.alive is not None:
                alive = np.stack([block.alive[agent] for agent in ordered], axis=-1)
                kept = alive.any(axis=-1)
                if len(group) > 1:
                    columns[TARGET_MASK] = alive
            own = _flat(columns, kept, before.device)
            if len(own[Columns.OBS]):
                rows.append((name, own))
    return rows


def _flat(columns: Rows, kept: Any, device: torch.device) -> Rows:
    """Columns (T, B, ...) as rows, of all steps or of those that are kept, (T, B)."""
    flat = {name: _tensor(value, device).flatten(0, 1) for name, value in columns.items()}
    if kept is None:
        return flat
    chosen = torch.from_numpy(np.flatnonzero(kept)).to(device)
    return {name: value[chosen] for name, value in flat.items()}


def _tensor(value: Any, device: torch.device) -> Tensor:
    # What came through Ray's object store is read-only, which torch does not know: it is copied.
    tensor = (
        value if isinstance(value, Tensor) else torch.from_numpy(np.require(value, requirements=("C", "W")))
    )
    # As RLlib's pipeline does, and as the runner's modules saw it.
    return tensor.to(device, torch.float32 if tensor.dtype == torch.float64 else None)


def _concatenate(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    if any(TARGET_MASK in part for part in parts):
        for part in parts:
            whole = torch.ones_like(part[Postprocessing.VALUE_TARGETS], dtype=torch.bool)
            part.setdefault(TARGET_MASK, whole)
    return {
        name: (
            {key: torch.cat([part[name][key] for part in parts]) for key in parts[0][name]}
            if isinstance(parts[0][name], dict)
            else torch.cat([part[name] for part in parts])
        )
        for name in parts[0]
    }
