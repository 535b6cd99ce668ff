"""The environment `invrec_v0`: inventory and recommendation of one firm."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from invrec_rllib.env.accounts import itemise
from invrec_rllib.env.actions import DEFAULT_TEMPERATURE, ActionMapping, ExposureMapping, OrderMapping
from invrec_rllib.env.advice import Adviser
from invrec_rllib.env.agents import InventoryAgents, RecommenderAgents, cast_agents
from invrec_rllib.env.encoder import Float32Array
from invrec_rllib.env.history import History
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.env.rendering import (
    RENDER_MODES,
    RenderMode,
    check_render_mode,
    draw_picture,
    draw_table,
)
from invrec_rllib.env.rewards import (
    Accounting,
    RewardMode,
    Rewards,
    check_reward_options,
    check_shortfall,
    compute_rewards,
)
from invrec_rllib.env.start import EpisodeCounter, check_information, shorten
from invrec_rllib.env.world import Period, World
from invrec_rllib.errors import InputError
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.simulator import Simulator

Infos = dict[str, dict[str, float]]
ScenarioLike = str | os.PathLike[str] | Scenario


class InvRecEnv(ParallelEnv[str, Float32Array, Float32Array], EzPickle):  # type: ignore[misc]
    """A firm's inventory and recommendation as two agents, or more, of one world.

    A manual for the environment; what happens in a period is described in `invrec_rllib.sim.period`.

    Agents:
        `inventory` orders stock, `recommender` gives exposure. They act at once in every period. Options
        split a department into agents `inventory_0`, `inventory_1`, ...: the same world, of which each
        decides and sees its own products or segments; `cast[name]` says which.

    Actions:
        inventory: Box(-1, 1, (N,)), by default an adjustment of the textbook order-up-to level of each
        product.
        recommender: Box(-1, 1, (M * N,)), segment after segment, by default an adjustment of revenue-greedy
        scores, from which a soft top-K makes exposures that use the budget exactly. All zeros is the
        textbook's order and a revenue-greedy slate. `invrec_rllib.env.actions` documents the mappings.
        Outside the space, of a wrong shape or NaN: an `InputError` that names agent, index and value.

    Observations:
        Flat float32 boxes with finite bounds, `[G globals | N x F product features, product-major | M x N
        x C cell features, segment-major]`; `observation_layout(agent)` splits them. What lies beyond a
        bound is shown as the bound. Normalised by constants of the scenario alone; amounts marked [u] are
        shown as log(1 + x / organic demand). A star: one number per period ahead. "inv" and "rec" say in
        which information modes the inventory and the recommender see a field: F full, O observed, D
        department. Affinity scores are exact under full information, else blurred anew in every period.
        "before": the period before.

        field              per      inv rec bounds   meaning
        phase              global   FOD FOD 0 to 1   t / T.
        periods_left       global   FOD FOD 0 to 1   Periods left / 10, at most 1.
        season             global*  FOD FOD 0 to 1   Season now and in the periods ahead / its highest.
        total_stock        global   FOD FO- 0 to 8   log(1 + units on hand / organic demand), of all products.
        review             global   FOD FO- 0 to 1   Periods until orders are possible / R; if R is above 1.
        capacity_use       global   FOD FO- 0 to 4   Units on hand / shared capacity; if any.
        price              product  FOD FOD -4 to 4  log(price now / typical price).
        margin             product  FOD FO- -2 to 1  (price now - unit cost) / price now.
        size               product  FOD FOD -4 to 4  log(organic demand / its mean over products).
        salvage_loss       product  FOD FO- 0 to 1   (unit cost - salvage value) / unit cost.
        holding_cost       product  FOD FO- 0 to 4   Holding cost of 10 periods / price now.
        stockout_penalty   product  FOD FO- 0 to 4   Stockout penalty / price now.
        lead_time          product  FOD FO- 0 to 1   Lead time / the longest.
        order_in_time      product  FOD FO- 0 to 1   1 if an order now arrives before the horizon.
        protected_season   product  FOD --- 0 to 4   Mean season x price effect over lead time and review.
        critical_ratio     product  FOD --- 0 to 1   Newsvendor's share of demand paths worth covering.
        supply_limit       product  FOD --- 0 to 4   Supplier's limit / organic demand; if any.
        order_cost         product  FOD --- 0 to 4   Fixed order cost / organic revenue; if any.
        coming_prices      product* FOD FOD -4 to 4  log(announced price / price now); if prices move.
        on_hand            product  FOD FO- 0 to 8   Units on hand. [u]
        textbook_level     product  FOD FO- 0 to 8   Textbook order-up-to level. [u]
        textbook_gap       product  FOD FO- -3 to 3  (position - textbook level) / demand an order must cover.
        cover              product  FOD FO- 0 to 8   log(1 + units on hand / forecast of this period).
        on_order           product  FOD FO- 0 to 8   Units on order; if lead times are not all 0. [u]
        arrivals           product* FOD FO- 0 to 8   Units that arrive in 1, 2, ... periods; if above 1. [u]
        backorders         product  FOD FO- 0 to 8   Units of demand that wait; if it is backordered. [u]
        forecast           product  FOD FO- 0 to 8   Demand forecast at season 1, base prices. [u]
        last_sales         product  FOD FO- 0 to 8   Units sold in the period before. [u]
        last_demand        product  F-- F-D 0 to 8   Units asked for in the period before. [u]
        demand_unexposed   product  F-- FOD 0 to 8   Mean demand without exposure, by the scores. [u]
        demand_exposed     product  F-- FOD 0 to 8   Mean demand if exposed alone to all, by the scores. [u]
        demand_as_before   product  F-- FOD 0 to 8   Mean demand if exposed as before, by the scores. [u]
        forecast_cv        product  FOD FO- 0 to 4   Forecast error's standard deviation / forecast.
        last_stockout      product  FO- FO- 0 to 1   1 if demand met empty shelves in the period before.
        last_exposure_mean product  FO- FOD 0 to 1   Last exposure, averaged over segments by traffic.
        last_pull          product  FO- FOD 0 to 8   Mean of (exp(beta) - 1) e over long-run demand.
        traffic            cell     --- FOD 0 to 8   Visitors of the segment / mean over segments.
        score              cell     --- FOD -6 to 6  (affinity score - mean) / spread of long-run ones.
        drift              cell     --- FOD -4 to 4  Affinity score less the long-run affinity.
        greedy_value       cell     --- FOD -4 to 4  Revenue-greedy value, standardised per segment.
        last_exposure      cell     --- FOD 0 to 1   Exposure in the period before.
        last_clicks        cell     --- F-D 0 to 8   log(1 + units asked for in the period before).
        advised_order      product  FOD FO- 0 to 8   Units that the adviser would order; if any. [u]
        advised_slates     product  FO- FOD 0 to 1   Advised exposure, averaged by traffic; if any.
        advised_exposure   cell     --- FOD 0 to 1   Exposure that the adviser would give; if any.

        `state()` holds all fields, in the same layout (`state_layout`), with the true affinities for
        scores.

    Rewards:
        In units of the scenario's `reward_scale`. team: the firm's profit, for every agent. siloed: the
        department's own account; the recommender is paid for clicks, in stock or not. mixed: `(1 - w)
        siloed + w team`. By `accounting`, purchases are charged when ordered (cash) or when sold or written
        off (accrual), the sums are equal; or as accrual, and the inventory's reward is counted from the margin of all
        demand (shortfall). See `invrec_rllib.env.rewards`. Agents of a split department all get the
        department's reward.

    Infos:
        After every step the same business figures for each agent, in money and units:
        `env.accounts.itemise`.

    Start:
        Stock and pipeline as the scenario says, tastes at their long-run values. `reset(seed)` plays
        episode 0 of the seed, each unseeded reset the next one; never seeded, the seed comes from the
        operating system. `options={"spawn_key": (1, 2)}` sets environments of one seed apart,
        `{"episode": k}` chooses the episode. Chance does not depend on actions: equal seed and episode
        face equal traffic, noise and tastes.

    Episode end:
        All agents are truncated together at the horizon T, where what is left is salvaged; none
        terminates.

    Arguments:
        scenario: preset name, YAML file or `Scenario`.
        information: "full", "observed" or "department".
        reward: "team", "siloed" or "mixed", with `mixed_weight` in [0, 1].
        accounting: "cash", "accrual" or "shortfall".
        order, exposure, temperature, order_range, quantity_range, score_range: see
            `env.actions.ActionMapping`.
        adviser: name of a simple policy whose decisions the agents see and adjust; see `env.advice`.
        inventory_agents: "one", or one agent per "category" or "product".
        recommender_agents: "one", or one agent per "category", "product" or "segment".
        max_cycles: an earlier horizon, periods; None: the scenario's.
        render_mode: "ansi" (a table), "human" (the table printed at every step), "rgb_array" (a picture;
            needs the extra [report]) or None.

    Raises:
        InputError, ScenarioError, MissingExtraError: an argument is not valid, or matplotlib is missing.

    Version history:
        v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "invrec_v0",
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: ScenarioLike = "paper",
        *,
        information: Information = "observed",
        reward: RewardMode = "team",
        mixed_weight: float = 0.5,
        accounting: Accounting = "cash",
        order: OrderMapping = "adjustment",
        exposure: ExposureMapping = "adjustment",
        temperature: float = DEFAULT_TEMPERATURE,
        order_range: float = 1.0,
        quantity_range: float = 3.0,
        score_range: float = 3.0,
        adviser: str | None = None,
        inventory_agents: InventoryAgents = "one",
        recommender_agents: RecommenderAgents = "one",
        max_cycles: int | None = None,
        render_mode: RenderMode | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        EzPickle.__init__(self, **arguments)
        check_information(information)
        check_reward_options(reward, mixed_weight, accounting)
        check_render_mode(render_mode)
        simulator = Simulator(shorten(load_scenario(scenario), max_cycles))
        self.params = simulator.params
        check_shortfall(self.params, accounting)
        self._reward_mode, self._mixed_weight = reward, mixed_weight
        self._accrual, self._shortfall = accounting != "cash", accounting == "shortfall"
        self.mapping = ActionMapping(
            self.params,
            order=order,
            exposure=exposure,
            temperature=temperature,
            order_range=order_range,
            quantity_range=quantity_range,
            score_range=score_range,
        )
        agents = cast_agents(
            self.params, inventory_agents=inventory_agents, recommender_agents=recommender_agents
        )
        self.cast = {agent.name: agent for agent in agents}
        self.possible_agents = list(self.cast)
        self.agents: list[str] = []
        self.world = World(
            simulator,
            information=information,
            mapping=self.mapping,
            cast=self.cast,
            adviser=None if adviser is None else Adviser(adviser),
        )
        self._episodes = EpisodeCounter()
        self.observation_spaces = {name: self.world.observation_space(name) for name in self.cast}
        self.action_spaces = {
            agent.name: gymnasium.spaces.Box(-1.0, 1.0, (agent.action_size,), dtype=np.float32)
            for agent in agents
        }
        self.state_space = self.world.state_space
        self.render_mode = render_mode
        self._history: History | None = None

    @property
    def scenario(self) -> Scenario:
        """The world that is played."""
        return self.params.scenario

    @property
    def episode_key(self) -> tuple[int, ...]:
        """What seeds the running episode's randomness: the seed, any spawn key, the episode's index."""
        return self._episodes.key

    @property
    def state_layout(self) -> ObservationLayout:
        """How `state()` is laid out."""
        return self.world.state_layout

    def observation_layout(self, agent: str) -> ObservationLayout:
        """How an agent's observations are laid out."""
        return self.world.observation_layout(agent)

    def observation_space(self, agent: str) -> gymnasium.spaces.Box:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Box:
        """The space of an agent's actions, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Float32Array], Infos]:
        """Start an episode, as "Start" in the manual says.

        Args:
            seed: an integer >= 0; None: the next episode of the same seed.
            options: "spawn_key" and "episode"; others are ignored.

        Raises:
            InputError: a seed or option that is not allowed.
        """
        start = self.world.begin([self._episodes.next_key(seed, options or {})])
        self.agents = list(self.possible_agents)
        if self.render_mode is not None:
            self._history = History(self.params, start)
        if self.render_mode == "human":
            self.render()
        return self._observe(), {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Float32Array], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one period.

        Args:
            actions: one per agent, in its action space.

        Returns:
            Observations, rewards, terminations, truncations and infos, each a fresh dict by agent.

        Raises:
            InputError: the episode is over, an agent lacks an action or is unknown, or an action is not
                allowed.
        """
        if not self.agents:
            raise InputError("the episode is over or has not begun: call reset")
        period = self.world.play(actions)
        earned = self.earned(period)
        reward = {"inventory": float(earned.inventory[0]), "recommender": float(earned.recommender[0])}
        items = itemise(period.before, period.outcome, period.after)
        if self._history is not None:
            self._history.add(*period, fill_rate=items["fill_rate"])
        names, over = self.agents, not self.world.running
        self.agents = [] if over else list(names)
        if self.render_mode == "human":
            self.render()
        return (
            self._observe(),
            {name: reward[self.cast[name].department] for name in names},
            dict.fromkeys(names, False),
            dict.fromkeys(names, over),
            {name: dict(items) for name in names},
        )

    def earned(self, period: Period) -> Rewards:
        """What both departments earn in a period of this world, by the environment's reward options."""
        return compute_rewards(
            self.params,
            period.outcome,
            mode=self._reward_mode,
            mixed_weight=self._mixed_weight,
            accrual_from=period.before if self._accrual else None,
            shortfall=self._shortfall,
        )

    def state(self) -> Float32Array:
        """The global state with the true tastes, for a centralized critic; in `state_space`."""
        state: Float32Array = self.world.state()[0].copy()
        return state

    def _observe(self) -> dict[str, Float32Array]:
        return {name: observed[0] for name, observed in self.world.observations().items()}

    def render(self) -> str | NDArray[np.uint8] | None:
        """The episode so far: a table ("ansi"), the table printed ("human"), or a picture ("rgb_array").

        Raises:
            InputError: no render mode was chosen, or no episode has begun.
        """
        if self.render_mode is None:
            raise InputError(
                f"render_mode is None: make the environment with one of {', '.join(RENDER_MODES)}"
            )
        if self._history is None:
            raise InputError("no episode has begun: call reset")
        if self.render_mode == "rgb_array":
            return draw_picture(self.params, self._history)
        table = draw_table(self.params, self._history)
        if self.render_mode == "ansi":
            return table
        print(table, end="")
        return None

    def close(self) -> None:
        """Nothing to release."""


def parallel_env(scenario: ScenarioLike = "paper", **options: Any) -> InvRecEnv:
    """The environment with all agents acting at once; arguments as `InvRecEnv`."""
    return InvRecEnv(scenario, **options)


def raw_env(scenario: ScenarioLike = "paper", **options: Any) -> AECEnv[str, Float32Array, Float32Array]:
    """The environment with agents acting in turn, by PettingZoo's own conversion."""
    return parallel_to_aec(parallel_env(scenario, **options))


def env(scenario: ScenarioLike = "paper", **options: Any) -> AECEnv[str, Float32Array, Float32Array]:
    """`raw_env`, which also refuses calls in the wrong order."""
    return wrappers.OrderEnforcingWrapper(raw_env(scenario, **options))
