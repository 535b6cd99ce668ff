"""Play a policy over many episodes on common random numbers, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.trajectories import Trajectory
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.policies.view import Information, Observer
from invrec_rllib.scenario.files import load_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray, IntArray, Params, compile_scenario
from invrec_rllib.sim.simulator import Simulator
from invrec_rllib.sim.state import Economics, Outcome, State

ECONOMICS_ITEMS: tuple[str, ...] = tuple(field.name for field in fields(Economics))

_BLOCK_BYTES = 64 * 2**20
_LARGEST_BLOCK = 1024
# Arrays of (segments, products) that live at once in a period of an episode, seen by measuring.
_CELL_ARRAYS = 16
# Seeds of policies of different evaluations stay apart for up to this many episodes.
EPISODES_PER_SEED = 2**32


@dataclass(frozen=True, eq=False)
class Rollout:
    """What a policy made of B episodes. Arrays have one entry per episode, (B,).

    Attributes:
        policy: its name.
        economics: money by item of `Economics`, costs positive, summed over the episode.
        profit: money.
        demand_units: units asked for.
        first_choice_units: units sold at once to customers who asked for them first.
        sales_units: all units sold.
        lost_units: units of demand neither served nor waiting.
        ordered_units: units ordered.
        stockout_rate: share of product-periods in which someone asked in vain, in [0, 1].
        stock_units: mean units on hand over all products at the start of a period.
        trajectories: the first episodes period by period, as many as were to be recorded.
    """

    policy: str
    economics: dict[str, FloatArray]
    profit: FloatArray
    demand_units: IntArray
    first_choice_units: IntArray
    sales_units: IntArray
    lost_units: IntArray
    ordered_units: IntArray
    stockout_rate: FloatArray
    stock_units: FloatArray
    trajectories: tuple[Trajectory, ...] = ()

    @property
    def fill_rate(self) -> FloatArray:
        """Share of demand that its first choice served at once, in [0, 1], (B,); 1 where nobody asked."""
        served: FloatArray = self.first_choice_units / np.maximum(self.demand_units, 1)
        return np.where(self.demand_units > 0, served, 1.0)


def rollout(
    scenario: str | Scenario | Params,
    policy: str | Policy,
    *,
    seed: int,
    episodes: int,
    information: Information = "observed",
    record: int = 0,
    first_episode: int = 0,
    block_episodes: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Rollout:
    """Play a policy over episodes `first_episode`, ..., `first_episode + episodes - 1` of a seed.

    Equal seeds and episodes face equal chance, whatever the policy and however the episodes are split.

    Args:
        scenario: the world: a preset's name, a file, a `Scenario`, or one already compiled.
        policy: a policy, or the name of a simple one.
        seed: >= 0.
        episodes: how many, >= 1.
        information: what the policy is shown.
        record: how many of the first episodes to record period by period; True: one.
        first_episode: index of the first episode, >= 0.
        block_episodes: how many episodes to play side by side; None: as many as about 64 MB hold.
        progress: called with the fraction done, in (0, 1], after every period.

    Raises:
        InputError: an argument is out of range, or the policy acts against the rules.
    """
    if episodes < 1 or first_episode < 0 or (block_episodes is not None and block_episodes < 1):
        raise InputError(
            "episodes and block_episodes must be >= 1 and first_episode >= 0, "
            f"got {episodes}, {block_episodes} and {first_episode}"
        )
    params = scenario if isinstance(scenario, Params) else compile_scenario(load_scenario(scenario))
    agent = make_policy(policy) if isinstance(policy, str) else policy
    check_information(agent, information)
    size = max(block_episodes or block_size(params), int(record))
    blocks = []
    for start in range(0, episodes, size):
        count = min(size, episodes - start)

        def report(fraction: float, *, start: int = start, count: int = count) -> None:
            if progress is not None:
                progress((start + fraction * count) / episodes)

        blocks.append(
            _play(
                Simulator(params),
                agent,
                seed=seed,
                first=first_episode + start,
                count=count,
                information=information,
                record=min(int(record), episodes) if start == 0 else 0,
                progress=report,
            )
        )
    return join_rollouts(blocks)


def check_information(policy: Policy, information: Information) -> None:
    """See that a trained pair is shown what it saw in training: beside others it must be the same.

    Raises:
        InputError: it is not.
    """
    seen = getattr(policy, "information", information)
    if seen != information:
        raise InputError(
            f"{policy.name} was trained with {seen} information and cannot be evaluated with {information}: "
            f"compare it with others under {seen} information"
        )


def block_size(params: Params) -> int:
    """Episodes that are played side by side: as many as about 64 MB hold."""
    cells = params.num_segments * params.num_products
    bytes_per_episode = 8 * (_CELL_ARRAYS * cells + 4 * params.num_products * (params.pipeline_length + 4))
    return int(np.clip(_BLOCK_BYTES // bytes_per_episode, 1, _LARGEST_BLOCK))


def _play(
    simulator: Simulator,
    policy: Policy,
    *,
    seed: int,
    first: int,
    count: int,
    information: Information,
    record: int,
    progress: Callable[[float], None],
) -> Rollout:
    params = simulator.params
    simulator.reset(seed=seed, episodes=range(first, first + count))
    observer = Observer(params, information=information)
    memory = policy.begin(params, num_episodes=count, seed=seed * EPISODES_PER_SEED + first)
    totals = _Totals(count)
    recorder = _Recorder(record)
    while not simulator.done:
        state = simulator.state
        decision = policy.act(observer.observe(state, simulator.streams), memory)
        memory = decision.memory
        outcome = simulator.step(order=decision.order, exposure=decision.exposure)
        totals.add(state, outcome)
        recorder.add(state, outcome)
        progress((state.period + 1) / params.num_periods)
    return totals.result(policy.name, params, trajectories=recorder.result())


class _Totals:
    """Sums over the periods of a block of episodes."""

    def __init__(self, count: int) -> None:
        self._money = {item: np.zeros(count) for item in ECONOMICS_ITEMS}
        self._profit = np.zeros(count)
        names = ("demand", "first_choice", "sales", "lost", "ordered", "stockouts", "stock")
        self._units = {name: np.zeros(count, dtype=np.int64) for name in names}

    def add(self, state: State, outcome: Outcome) -> None:
        for item, total in self._money.items():
            total += getattr(outcome.economics, item)
        self._profit += outcome.economics.profit
        # Whoever waited is served first, out of what is on hand.
        caught_up = np.minimum(state.backorders, outcome.sales)
        first_choice = outcome.sales - outcome.substituted - caught_up
        for name, units in (
            ("demand", outcome.demand),
            ("first_choice", first_choice),
            ("sales", outcome.sales),
            ("lost", outcome.lost),
            ("ordered", outcome.order),
            ("stockouts", first_choice < outcome.demand),
            ("stock", state.on_hand),
        ):
            self._units[name] += units.sum(axis=1)

    def result(self, policy: str, params: Params, *, trajectories: tuple[Trajectory, ...]) -> Rollout:
        return Rollout(
            policy=policy,
            economics=self._money,
            profit=self._profit,
            demand_units=self._units["demand"],
            first_choice_units=self._units["first_choice"],
            sales_units=self._units["sales"],
            lost_units=self._units["lost"],
            ordered_units=self._units["ordered"],
            stockout_rate=self._units["stockouts"] / (params.num_periods * params.num_products),
            stock_units=self._units["stock"] / params.num_periods,
            trajectories=trajectories,
        )


class _Recorder:
    """Keeps the first episodes of a block period by period."""

    def __init__(self, episodes: int) -> None:
        self._episodes = episodes
        self._periods: list[list[Any]] = []
        self._last_on_hand_end: IntArray | None = None

    def add(self, state: State, outcome: Outcome) -> None:
        if not self._episodes:
            return
        before = state.on_hand if self._last_on_hand_end is None else self._last_on_hand_end
        self._last_on_hand_end = outcome.on_hand_end
        # In the order of the fields of `Trajectory`.
        arrays = (
            state.on_hand,
            outcome.order,
            outcome.on_hand_end + outcome.sales - before,
            outcome.demand,
            outcome.sales,
            outcome.exposure,
            outcome.economics.profit,
        )
        self._periods.append([values[: self._episodes].copy() for values in arrays])

    def result(self) -> tuple[Trajectory, ...]:
        by_field = list(zip(*self._periods, strict=True))
        return tuple(
            Trajectory(*(np.stack([values[k] for values in periods]) for periods in by_field))
            for k in range(self._episodes)
        )


def join_rollouts(blocks: Sequence[Rollout]) -> Rollout:
    """One rollout of a policy's episodes, those of each block after another; trajectories of the first."""
    if len(blocks) == 1:
        return blocks[0]
    joined = {
        field.name: np.concatenate([getattr(block, field.name) for block in blocks])
        for field in fields(Rollout)
        if field.name not in ("policy", "economics", "trajectories")
    }
    money = {item: np.concatenate([block.economics[item] for block in blocks]) for item in ECONOMICS_ITEMS}
    return Rollout(policy=blocks[0].policy, economics=money, trajectories=blocks[0].trajectories, **joined)
