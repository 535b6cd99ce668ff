"""Trained agents in worlds: as the environment plays them, in worlds of other sizes, with what they remember."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from policies_made import SEEN, firm_of, mlp_actor, pair, product_description, shaken

from invrec_rllib import InputError, Policy, parallel_env, rollout
from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.joint import FIRM
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.build import build_actor
from invrec_rllib.learning.trained import Seen, TrainedPolicy
from invrec_rllib.learning.transfer import Alignment, fields_of
from invrec_rllib.sim import compile_scenario


def profit_in_the_environment(policy: Policy, scenario: Any, *, seed: int, **options: Any) -> float:
    """Profit of an episode that a policy plays as anybody's policy would."""
    env = parallel_env(scenario, **options)
    observations, _ = env.reset(seed=seed)
    state, profit = policy.initial_state(), 0.0
    while env.agents:
        actions = {}
        for agent in env.agents:
            actions[agent], state = policy.act(agent, observations[agent], state)
        observations, _, _, _, infos = env.step(actions)
        profit += next(iter(infos.values()))["profit"]
    return profit


@pytest.mark.parametrize("memory", ["none", "gru", "lstm"])
def test_a_rollout_is_what_the_environment_plays(memory: str) -> None:
    policy = pair("paper", memory=memory)
    played = profit_in_the_environment(policy, "paper", seed=5, information="full")
    rolled = rollout("paper", TrainedPolicy(policy), seed=5, episodes=2, information="full")
    assert rolled.profit[0] == pytest.approx(played, rel=1e-6)
    silo = rollout("paper", "silo", seed=5, episodes=1, information="full")
    assert abs(rolled.profit[0] - silo.profit[0]) > 1.0


def test_memory_begins_anew_with_every_batch_of_episodes() -> None:
    policy = TrainedPolicy(pair("paper", memory="gru"))
    together = rollout("paper", policy, seed=5, episodes=4, information="full")
    apart = rollout("paper", policy, seed=5, episodes=4, information="full", block_episodes=1)
    np.testing.assert_allclose(together.profit, apart.profit, rtol=1e-6)


def test_what_is_remembered_decides() -> None:
    policy = pair("paper", memory="gru")
    forgetful = pair("paper", memory="gru")
    for actor in forgetful.actors.values():
        for name, parameter in actor.network.named_parameters():
            if "memory" in name:
                parameter.data.zero_()
    profits = [
        rollout("paper", TrainedPolicy(one), seed=5, episodes=1, information="full").profit[0]
        for one in (policy, forgetful)
    ]
    assert abs(profits[0] - profits[1]) > 1.0


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_the_joint_agent_with_the_networks_of_two_decides_as_they_do(memory: str) -> None:
    two = pair("paper", memory=memory)
    results = [
        rollout("paper", TrainedPolicy(policy), seed=3, episodes=3, information="full").profit
        for policy in (two, firm_of(two))
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_a_joint_network_that_is_fully_connected_splits_its_action() -> None:
    params = compile_scenario(parallel_env("tiny").scenario)
    inputs = sum(encoder_for(params, role, "full").layout.size for role in ("inventory", "recommender"))
    made = mlp_actor("gaussian")
    description = {**made.description, "num_outputs": 4, "input": {"kind": "box", "shape": [inputs]}}
    actor = Actor(
        shaken(build_actor(description)),
        description,
        observation_space=type(SEEN)(-10, 10, (inputs,), np.float32),
        action_space=type(SEEN)(-1, 1, (4,), np.float32),
    )
    policy = Policy({FIRM: actor}, world=Seen("full", joint=True).to_data())
    assert rollout("tiny", TrainedPolicy(policy), seed=1, episodes=2, information="full").profit.shape == (2,)
    with pytest.raises(InputError, match=r"its network fits worlds of one size"):
        rollout("paper", TrainedPolicy(policy), seed=1, episodes=2, information="full")


def test_agents_per_segment_act_by_their_departments_network() -> None:
    options: dict[str, Any] = {
        "information": "full",
        "inventory_agents": "product",
        "recommender_agents": "segment",
    }
    env = parallel_env("grocery", **options)
    whole = pair("grocery")
    agents = {name: env.cast[name].department for name in env.possible_agents}
    seen = Seen("full", inventory_agents="product", recommender_agents="segment").within(env.params)
    policy = Policy(whole.actors, agents=agents, world=seen.to_data())
    assert len(agents) == 20 + 4
    rolled = rollout("grocery", TrainedPolicy(policy), seed=2, episodes=1, information="full")
    # In the environment each has a network of its own size.
    sized = {}
    for name in env.possible_agents:
        own = product_description(env, name)
        network = build_actor(own).eval()
        network.load_state_dict(policy.actor(name).network.state_dict())
        sized[name] = Actor(
            network,
            own,
            observation_space=env.observation_space(name),
            action_space=env.action_space(name),
        )
    played = profit_in_the_environment(Policy(sized), "grocery", seed=2, **options)
    assert rolled.profit[0] == pytest.approx(played, rel=1e-6)


def test_agents_of_paper_decide_in_the_large_world() -> None:
    policy = TrainedPolicy(pair("paper", information="observed", memory="gru"))
    large = rollout("large", policy, seed=1, episodes=1)
    silo = rollout("large", "silo", seed=1, episodes=1)
    assert large.profit[0] != silo.profit[0]
    assert np.isfinite(large.profit).all()


def test_what_the_large_world_shows_is_found_by_name() -> None:
    paper, large = (
        encoder_for(compile_scenario(parallel_env(name).scenario), "inventory", "observed")
        for name in ("paper", "large")
    )
    known = fields_of(paper)
    alignment = Alignment(large, fields=known)
    assert alignment.unknown == []
    marks = np.arange(large.layout.size, dtype=np.float32)[None]
    globals_, products, _ = alignment.layout.split(alignment.apply(marks))
    before, _, _ = large.layout.split(marks)
    assert globals_.shape == (1, paper.layout.num_globals)
    # The season's window is a period shorter in `paper`: the numbers of the last period are not shown.
    start = large.index_of_global("season")
    at = paper.index_of_global("season")
    width = next(width for name, _, width in known if name == "season")
    np.testing.assert_array_equal(globals_[0, at : at + width], before[0, start : start + width])
    assert globals_[0, paper.index_of_global("total_stock")] == large.index_of_global("total_stock")
    assert products.shape == (1, 100, paper.layout.num_product_features)


def test_windows_that_are_shorter_here_end_as_nothing_that_arrives() -> None:
    paper, large = (
        encoder_for(compile_scenario(parallel_env(name).scenario), "inventory", "observed")
        for name in ("paper", "large")
    )
    alignment = Alignment(paper, fields=fields_of(large))
    ones = np.ones((1, paper.layout.size), np.float32)
    globals_, products, _ = alignment.layout.split(alignment.apply(ones))
    # The season goes on as it is; the fourth period of arrivals does not exist here.
    assert (globals_ == 1).all()
    names = [name for name, kind, width in fields_of(large) if kind == "product" for _ in range(width)]
    last = len(names) - 1 - names[::-1].index("arrivals")
    np.testing.assert_array_equal(products[0, :, last], 0.0)
    assert (np.delete(products, last, axis=-1) == 1).all()


def test_equal_fields_pass_as_they_are() -> None:
    encoder = encoder_for(compile_scenario(parallel_env("paper").scenario), "recommender", "observed")
    seen = np.random.default_rng(0).normal(size=(2, encoder.layout.size)).astype(np.float32)
    assert Alignment(encoder, fields=fields_of(encoder)).apply(seen) is seen
    assert Alignment(encoder, fields=None).apply(seen) is seen


def test_a_field_that_a_world_lacks_is_named() -> None:
    # `paper` has limits of supply, `grocery` has none.
    policy = TrainedPolicy(pair("paper", information="observed"), name="mine")
    with pytest.raises(InputError, match=r"mine cannot decide here: its inventory agent .* supply_limit"):
        rollout("grocery", policy, seed=1, episodes=1)


def test_fields_that_agents_do_not_know_are_said_to_be_ignored() -> None:
    two = pair("paper", information="observed")
    assert two.world is not None
    # As if agents had been trained where no shelf is full.
    fields = {
        role: [one for one in known if one[0] != "supply_limit"]
        for role, known in two.world["fields"].items()
    }
    layouts = {
        name: {**actor.description["layout"], "num_product_features": width}
        for name, actor in two.actors.items()
        if (width := sum(one[2] for one in fields[name] if one[1] == "product"))
    }
    actors = {
        name: Actor(
            build_actor({**actor.description, "layout": layouts[name]}),
            {**actor.description, "layout": layouts[name]},
            observation_space=actor.observation_space,
            action_space=actor.action_space,
        )
        for name, actor in two.actors.items()
    }
    policy = TrainedPolicy(Policy(actors, world={**two.world, "fields": fields}), name="mine")
    with pytest.warns(UserWarning, match="mine did not see supply_limit in training"):
        rollout("paper", policy, seed=1, episodes=1)


def test_without_fields_the_numbers_of_features_must_agree() -> None:
    policy = TrainedPolicy(pair("paper", information="observed", with_fields=False), name="mine")
    rollout("paper", policy, seed=1, episodes=1)
    with pytest.raises(
        InputError, match=r"mine was trained on observations with num_globals = 8, .* agent 9"
    ):
        rollout("large", policy, seed=1, episodes=1)


def test_a_policy_of_another_environment_is_no_policy_of_this_world() -> None:
    with pytest.raises(InputError, match="not trained on invrec_v0"):
        TrainedPolicy(Policy({"a": mlp_actor("gaussian")}))
    with pytest.raises(InputError, match="does not say what its agents see"):
        TrainedPolicy(Policy(pair().actors, world={"information": "full", "other": 1}))


def test_options_of_actions_go_with_the_policy() -> None:
    two = pair("paper")
    assert two.world is not None
    bold = Policy(two.actors, world={**two.world, "action_options": {"order_range": 3.0}})
    played = profit_in_the_environment(two, "paper", seed=5, information="full", order_range=3.0)
    rolled = rollout("paper", TrainedPolicy(bold), seed=5, episodes=1, information="full")
    assert rolled.profit[0] == pytest.approx(played, rel=1e-6)
    assert asdict(Seen(**bold.world or {}))["action_options"] == {"order_range": 3.0}
