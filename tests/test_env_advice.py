"""Advice: what a simple policy would do is seen, adjusted, and done where nothing is adjusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from env_worlds import everything
from policies_made import pair

from invrec_rllib import InputError, parallel_env, rollout
from invrec_rllib.env.advice import Adviser, adviser_names
from invrec_rllib.env.slates import hard_top_k
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.policies import make_policy
from invrec_rllib.policies.view import Observer
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator, compile_scenario

FULL_SLATES = ("coordinated", "silo", "stock_aware")


def played(scenario: Any, *, adviser: str | None, value: float = 0.0, **options: Any) -> dict[str, float]:
    """Business figures of an episode of constant actions, summed."""
    env = parallel_env(scenario, adviser=adviser, **options)
    env.reset(seed=5)
    sums: dict[str, float] = {}
    while env.agents:
        actions = {a: np.full(env.action_space(a).shape, value, np.float32) for a in env.agents}
        *_, infos = env.step(actions)
        for name, amount in infos[env.possible_agents[0]].items():
            sums[name] = sums.get(name, 0.0) + amount
    return sums


@pytest.mark.parametrize("name", FULL_SLATES)
@pytest.mark.parametrize("information", ["full", "observed"])
@pytest.mark.parametrize("scenario", ["paper", "capacity"])
def test_actions_of_zero_earn_what_the_adviser_does(name: str, information: Any, scenario: str) -> None:
    # Products outside the slate are shown a little, so that profits agree to half a percent and not to the digit.
    own = rollout(scenario, name, seed=5, episodes=1, information=information).profit[0]
    followed = played(scenario, adviser=name, information=information)["profit"]
    assert followed == pytest.approx(own, rel=5e-3)
    assert (
        abs(played(scenario, adviser=None, information=information)["profit"] - own) > 5e-3 * own
        or name == "silo"
    )


def test_orders_are_advised_ones_and_actions_add_to_them() -> None:
    env = parallel_env("paper", adviser="coordinated", information="full")
    env.reset(seed=5)
    view = Observer(env.params, information="full")
    simulator = Simulator(env.params)
    simulator.reset_keys([(5, 0)])
    seen = view.observe(simulator.state, simulator.streams)
    policy = make_policy("coordinated")
    decision = policy.act(seen, policy.begin(env.params, num_episodes=1, seed=0))
    facts = env.world._now
    np.testing.assert_array_equal(facts.advice.order, decision.order)
    for value in (0.0, 0.5):
        action = np.full((1, env.params.num_products), value)
        order = env.mapping.to_order(seen, action, facts=facts)
        wanted = np.maximum(decision.order + value * facts.protected_demand, 0.0)
        np.testing.assert_array_equal(order, np.minimum(np.rint(wanted), env.params.max_order))


def test_a_strong_action_replaces_the_whole_slate() -> None:
    env = parallel_env("paper", adviser="coordinated", information="full")
    env.reset(seed=5)
    facts = env.world._now
    outside = facts.advice.exposure == 0.0
    # Two products that the adviser does not show, in every segment.
    wanted = hard_top_k(outside.astype(float), env.params.slots)
    action = np.where(wanted > 0.0, 1.0, -1.0).reshape(1, -1)
    exposure = env.mapping.to_exposure(facts.view, action, facts=facts)
    assert (exposure * wanted).sum() > 0.97 * exposure.sum()


def test_advice_is_seen_by_those_who_may_and_by_the_state() -> None:
    env = parallel_env(everything(), adviser="stock_aware", information="observed")
    observations, _ = env.reset(seed=5)
    advice = env.world._now.advice
    cells = env.observation_layout("recommender").split(observations["recommender"])[2]
    np.testing.assert_allclose(cells[..., -1], advice.exposure[0], rtol=1e-6)
    plain = parallel_env(everything(), information="observed")
    widths = {
        name: (env.observation_layout(name).num_product_features - plain.observation_layout(name).num_product_features,
               env.observation_layout(name).num_cell_features - plain.observation_layout(name).num_cell_features)
        for name in env.possible_agents
    }  # fmt: skip
    assert widths == {"inventory": (2, 0), "recommender": (2, 1)}
    apart = parallel_env(everything(), adviser="stock_aware", information="department")
    assert apart.observation_layout("recommender").num_product_features == plain_width("department") + 1


def plain_width(information: Any) -> int:
    return (
        parallel_env(everything(), information=information)
        .observation_layout("recommender")
        .num_product_features
    )


def test_an_exported_pair_asks_the_adviser_itself() -> None:
    policy = pair("paper", adviser="coordinated")
    own = rollout("paper", TrainedPolicy(policy), seed=5, episodes=1, information="full").profit[0]
    env = parallel_env("paper", adviser="coordinated", information="full")
    observations, _ = env.reset(seed=5)
    state, profit = policy.initial_state(), 0.0
    while env.agents:
        actions = {}
        for agent in env.agents:
            actions[agent], state = policy.act(agent, observations[agent], state)
        observations, *_, infos = env.step(actions)
        profit += infos["inventory"]["profit"]
    assert own == pytest.approx(profit, rel=1e-6)


@pytest.mark.parametrize("name", ["random", "boss"])
def test_others_are_no_advisers(name: str) -> None:
    with pytest.raises(InputError, match=f"adviser is {name!r}, must be one of .*coordinated"):
        parallel_env("paper", adviser=name)
    assert name not in adviser_names()


def test_an_adviser_that_cannot_play_the_world_says_so() -> None:
    env = parallel_env("paper", adviser="optimal")
    with pytest.raises(InputError, match="paper cannot be solved exactly"):
        env.reset(seed=1)


def test_nothing_is_advised_at_the_horizon() -> None:
    params = compile_scenario(load_scenario("tiny"))
    adviser, simulator = Adviser("coordinated"), Simulator(params)
    simulator.reset(seed=1, episodes=2)
    observer = Observer(params, information="full")
    memory = adviser.begin(params, num_episodes=2)
    while not simulator.done:
        view = observer.observe(simulator.state, simulator.streams)
        advice, memory = adviser.advise(view, memory)
        simulator.step(order=advice.order, exposure=advice.exposure)
    last, after = adviser.advise(observer.observe(simulator.state, simulator.streams), memory)
    assert not last.order.any()
    assert not last.exposure.any()
    assert after is memory
