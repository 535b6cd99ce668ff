"""RLlib's episodes, built in bulk from blocks, for whatever asks for them: connectors, callbacks, V-trace."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tree
from gymnasium.spaces import Box
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer
from ray.rllib.utils.metrics import WEIGHTS_SEQ_NO

from invrec_rllib.env.batched import Array, BatchedEnv
from invrec_rllib.rllib.blocks import Block

_REWARD_SPACE = Box(-np.inf, np.inf, (), dtype=np.float32)
_STATE_OUT = Columns.STATE_OUT


class Segment(NamedTuple):
    """The part of an episode that lies in one block.

    Attributes:
        env: its environment.
        episode: what RLlib's runner would have made of it.
        began, ended: whether the episode did so in this block.
    """

    env: int
    episode: MultiAgentEpisode
    began: bool
    ended: bool


class StepExtras(NamedTuple):
    """What episodes hold and blocks do not.

    Attributes:
        states: states of the modules with memory after every step, by agent, nested as the module gives them,
            (T, B, ...).
        items: figures of every step, (T, B) each, which become the agents' infos; {}: these stay empty.
        weights_seq_no: number of the weights that acted; None: random actions.
    """

    states: Mapping[str, Any]
    items: Mapping[str, NDArray[np.float64]]
    weights_seq_no: int | None


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class _Running:
    """An episode that goes on from block to block.

    Attributes:
        agents: names of those that have not ended.
        id_: of the episode.
        agent_ids: of the agents' episodes.
        steps: before the block at hand.
        tail: by agent the columns of the last steps, as many as are looked back on.
        tail_infos: their infos, and that of the last observation.
        tail_length: how many steps the tail holds.
        custom_data: what callbacks left with the episode.
    """

    agents: tuple[str, ...]
    id_: str = field(default_factory=_new_id)
    agent_ids: dict[str, str] = field(init=False)
    steps: int = 0
    tail: dict[str, dict[str, Any]] = field(default_factory=dict)
    tail_infos: list[dict[str, float]] = field(default_factory=lambda: [{}])
    tail_length: int = 0
    custom_data: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.agent_ids = {agent: _new_id() for agent in self.agents}


class EpisodeBuilder:
    """Builds the `MultiAgentEpisode`s that RLlib's own runner would have returned, from block after block.

    An episode that a block cuts goes on under its ids in the next block's episode, with the lookback that RLlib
    gives it, and without agents that have ended. Durations are not known: `get_duration_s` is 0.

    Args:
        env: for agents and spaces.
        mapping_fn: the configuration's `policy_mapping_fn`.
        lookback: the configuration's `episode_lookback_horizon`, steps.
    """

    def __init__(self, env: BatchedEnv, *, mapping_fn: Callable[..., str], lookback: int) -> None:
        self._env, self._mapping_fn, self._lookback = env, mapping_fn, lookback
        # RLlib types them as spaces, and takes and gives dicts of spaces.
        self._observation_spaces: Any = dict(env.observation_spaces)
        self._action_spaces: Any = dict(env.action_spaces)
        self._running: list[_Running] = []
        self.start()

    def start(self) -> None:
        """Every environment begins an episode; those that ran are forgotten."""
        self._running = [_Running(self._env.agents) for _ in range(self._env.num_envs)]

    def build(self, block: Block, extras: StepExtras) -> list[Segment]:
        """The block's episodes: those that ended by time, then environment; then those that go on."""
        columns = _Columns(block, extras)
        begun = [0] * block.num_envs
        segments = []
        for row, (step, env) in enumerate(block.final_index.tolist()):
            segments.append(self._segment(columns, _Part(env, begun[env], step + 1, row)))
            begun[env] = step + 1
        for env, start in enumerate(begun):
            if start < block.num_steps:
                segments.append(self._segment(columns, _Part(env, start, block.num_steps, None)))
        return segments

    def _segment(self, columns: _Columns, part: _Part) -> Segment:
        running, block = self._running[part.env], columns.block
        ended, began = part.final is not None, running.steps == 0
        parts = {agent: columns.part_of(agent, part) for agent in running.agents}
        episode = self._new_episode(running, block, part, parts)
        infos = running.tail_infos + columns.infos(part)
        tails = {}
        for agent, own in parts.items():
            steps = columns.steps(agent, own)
            if running.tail_length:
                steps = tree.map_structure(_followed_by, running.tail[agent], steps)
            tails[agent] = tree.map_structure(
                lambda values: values[max(len(values) - self._lookback, 0) :], dict(steps)
            )
            seen = np.concatenate([steps.pop(Columns.OBS), columns.following(agent, own)])
            single = self._agent_episode(agent, seen, steps, infos[: len(seen)], running, episode)
            single.is_terminated, single.is_truncated = columns.how_ended(agent, own)
            episode.agent_episodes[agent] = single
        if ended:
            self._running[part.env] = _Running(self._env.agents)
        else:
            running.steps += part.length
            running.agents = tuple(agent for agent in parts if not episode.agent_episodes[agent].is_done)
            running.tail, running.tail_infos = tails, infos[-self._lookback - 1 :]
            running.tail_length = min(self._lookback, running.tail_length + part.length)
            running.custom_data = episode.custom_data
        return Segment(part.env, episode, began=began, ended=ended)

    def _new_episode(
        self, running: _Running, block: Block, part: _Part, parts: Mapping[str, _Part]
    ) -> MultiAgentEpisode:
        modules: dict[Any, str] = dict(block.policy_of)
        episode = MultiAgentEpisode(
            running.id_,
            observation_space=self._observation_spaces,
            action_space=self._action_spaces,
            agent_module_ids=modules,
            agent_to_module_mapping_fn=self._mapping_fn,
            env_t_started=running.steps,
            agent_t_started=dict.fromkeys(parts, running.steps),
        )
        episode.env_t = running.steps + part.length
        if part.final is not None:
            episode.is_terminated = bool(block.terminated[part.stop - 1, part.env])
            episode.is_truncated = not episode.is_terminated
        episode.custom_data.update(copy.deepcopy(running.custom_data))
        # RLlib fills a short episode's lookback up, here alone, and the steps after an agent's end.
        skipped, lookback = MultiAgentEpisode.SKIP_ENV_TS_TAG, self._lookback if running.steps else 0
        back = running.tail_length
        for agent, own in parts.items():
            acted = range(running.steps - back, running.steps + own.length + 1)
            timesteps = [skipped] * (lookback - back) + [*acted] + [skipped] * (part.length - own.length)
            episode.env_t_to_agent_t[agent] = InfiniteLookbackBuffer(timesteps, lookback=lookback)
        return episode

    def _agent_episode(
        self,
        agent: str,
        observations: Array,
        steps: dict[str, Any],
        infos: list[dict[str, float]],
        running: _Running,
        episode: MultiAgentEpisode,
    ) -> SingleAgentEpisode:
        back = running.tail_length
        # RLlib types it as an integer; it is a string.
        whole: Any = episode.id_
        return SingleAgentEpisode(
            running.agent_ids[agent],
            observations=InfiniteLookbackBuffer(observations, back),
            observation_space=self._observation_spaces[agent],
            infos=InfiniteLookbackBuffer([dict(each) for each in infos], back),
            actions=InfiniteLookbackBuffer(steps.pop(Columns.ACTIONS), back),
            action_space=self._action_spaces[agent],
            rewards=InfiniteLookbackBuffer(steps.pop(Columns.REWARDS), back, _REWARD_SPACE),
            extra_model_outputs={
                name: InfiniteLookbackBuffer(values, back) for name, values in steps.items()
            },
            t_started=running.steps,
            len_lookback_buffer=back,
            agent_id=agent,
            module_id=episode.module_for(agent),
            multi_agent_episode_id=whole,
        )


class _Part(NamedTuple):
    """Steps `start` to `stop - 1` of an environment, and the row of the final look where its episode ended then."""

    env: int
    start: int
    stop: int
    final: int | None

    @property
    def length(self) -> int:
        return self.stop - self.start


class _Columns:
    """A block's arrays as the columns of RLlib's episodes."""

    def __init__(self, block: Block, extras: StepExtras) -> None:
        self.block = block
        self._extras = extras
        self._names = list(extras.items)
        self._ends = {agent: block.ends_of(agent) for agent in block.agents}
        # (T, B, I): one conversion to Python's numbers per segment.
        self._items = np.stack(list(extras.items.values()), axis=-1) if extras.items else None

    def part_of(self, agent: str, part: _Part) -> _Part:
        """Those steps in which the agent acted, of a part in whose first step it did."""
        if self.block.alive is None:
            return part
        acted = int(self.block.alive[agent][part.start : part.stop, part.env].sum())
        return part if acted == part.length else part._replace(stop=part.start + acted, final=None)

    def how_ended(self, agent: str, part: _Part) -> tuple[bool, bool]:
        """Whether the agent terminated, or was truncated, in the last step of its part."""
        at = part.stop - 1, part.env
        terminated = bool(self.block.terminals_of(agent)[at])
        return terminated, bool(self._ends[agent][at]) and not terminated

    def steps(self, agent: str, part: _Part) -> dict[str, Any]:
        """What happened in each step, time first."""
        block, rows = self.block, slice(part.start, part.stop)
        columns: dict[str, Any] = {
            Columns.OBS: block.observations[agent],
            Columns.ACTIONS: block.actions[agent],
            Columns.REWARDS: block.rewards[agent],
        }
        if agent in block.dist_inputs:
            columns[Columns.ACTION_DIST_INPUTS] = block.dist_inputs[agent]
        if agent in block.logp:
            columns[Columns.ACTION_LOGP] = block.logp[agent]
        if agent in self._extras.states:
            columns[_STATE_OUT] = self._extras.states[agent]
        # Contiguous, and copies: an episode must not keep its whole block alive.
        own = tree.map_structure(lambda values: values[rows, part.env].copy(), columns)
        own[Columns.REWARDS] = own[Columns.REWARDS].astype(np.float64)
        if self._extras.weights_seq_no is not None:
            own[WEIGHTS_SEQ_NO] = np.full(part.length, self._extras.weights_seq_no)
        return dict(own)

    def following(self, agent: str, part: _Part) -> Array:
        """The observation after the last step, (1, ...)."""
        if part.final is None and part.stop < self.block.num_steps:
            return self.block.observations[agent][part.stop : part.stop + 1, part.env]
        look, row = (self.block.last, part.env) if part.final is None else (self.block.final, part.final)
        assert look is not None, "a block with ends has final looks"
        return look.observations[agent][row : row + 1]

    def infos(self, part: _Part) -> list[dict[str, float]]:
        """What came with the observation after each step."""
        if self._items is None:
            return [{} for _ in range(part.length)]
        rows = self._items[part.start : part.stop, part.env].tolist()
        return [dict(zip(self._names, row, strict=True)) for row in rows]


def _followed_by(before: Array, after: Array) -> Array:
    return np.concatenate([before, after])
