"""The networks that MTMA-PPO gives to worlds: as large as the world asks for nowhere, each part at its own speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import HORIZON, make_runner
from mtmappo_worlds import ENVS, counting_config, firm_config, sample, update
from ray.rllib.core.columns import Columns

from invrec_rllib.env.joint import FIRM
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.speeds import timescales_of
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.mtmappo_networks import Networks
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.scenario.generator import generate_scenario

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def made_for(scenario: str | Scenario, **changes: Any) -> tuple[Any, Any]:
    """A runner of a world, one environment, and a learner."""
    world = load_scenario(scenario)
    config = build_config(TrainSettings(scenario=world.name, envs_per_runner=1, **changes), scenario=world)
    runner = make_runner(BlockRunner, config)
    return runner, config.build_learner(spaces=runner.get_spaces())


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_weights_learned_in_a_small_world_act_and_judge_in_a_large_one(memory: Any) -> None:
    # Windows over lead times must be equal for weights to fit as they are; `learning.transfer` aligns others.
    worlds = [
        generate_scenario(seed=1, num_products=products, num_segments=segments)
        for products, segments in ((10, 5), (60, 9))
    ]
    (runner, here), (large_runner, there) = (made_for(world, memory=memory) for world in worlds)
    state = here.module.get_state()
    for name, weights in there.module.get_state().items():
        assert {key: np.shape(value) for key, value in weights.items()} == {
            key: np.shape(value) for key, value in state[name].items()
        }
    there.module.set_state(state)
    large_runner.module.set_state({name: state[name] for name in runner.module.keys()})  # noqa: SIM118
    small, large = (each.sample(num_timesteps=1)[0] for each in (runner, large_runner))
    products = {agent: actions.shape[-1] for agent, actions in large.actions.items()}
    assert products["inventory"] > small.actions["inventory"].shape[-1]
    assert products["recommender"] > small.actions["recommender"].shape[-1]
    with torch.no_grad():
        values = there.module["critic"].unwrapped().values(torch.from_numpy(large.states))
    assert torch.isfinite(values).all()
    assert values.shape[-1] == 2


def test_fully_connected_networks_grow_with_the_world() -> None:
    # The negative control of the test above.
    sizes = []
    for scenario in ("tiny", "paper"):
        _, learner = made_for(scenario, network="mlp")
        sizes.append(sum(value.numel() for value in learner.module["inventory"].parameters()))
    assert sizes[0] < sizes[1]


def test_parts_of_the_joint_agent_learn_at_their_own_speeds() -> None:
    rates = {
        "learning_rate_inventory": 1e-5,
        "learning_rate_recommender": 1e-2,
        "learning_rate_critic": 3e-2,
    }
    config = firm_config(agents="joint", **rates)
    _, learner, block = sample(config)
    firm = learner.module[FIRM].actor.actors
    before = {
        name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in firm.items()
    }
    update(learner, block)
    steps = {
        name: max(float((value - before[name][key]).abs().max()) for key, value in part.state_dict().items())
        for name, part in firm.items()
    }
    # Adam's first steps are of the size of the learning rate, 4 of them.
    assert 1e-6 < steps["inventory"] < 1e-4
    assert 1e-3 < steps["recommender"] < 1e-1
    fresh = timescales_of(TrainSettings(agents="joint", network="mlp"))
    # One fully connected network has no parts.
    assert set(fresh.modules[FIRM]) == {"actor"}


@pytest.mark.parametrize("memory", ["none", "lstm"])
def test_the_joint_agents_batches_repeat_what_it_did(memory: Any) -> None:
    _, learner, block = sample(firm_config(agents="joint", memory=memory, memory_size=3))
    batch = learner._learner_connector(
        rl_module=learner.module, batch={}, episodes=[block], shared_data={}, metrics=learner.metrics
    )[FIRM]
    with torch.no_grad():
        again = learner.module[FIRM].unwrapped().forward_train(batch)[Columns.ACTION_DIST_INPUTS]
    mask = batch.get(Columns.LOSS_MASK)
    kept = slice(None) if mask is None else mask
    assert len(again[kept].reshape(-1, again.shape[-1])) == ENVS * HORIZON
    torch.testing.assert_close(again[kept], batch[Columns.ACTION_DIST_INPUTS][kept], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("discount", "size"), [(0.9, 10.0), (0.999, 30.0)])
def test_untrained_values_are_of_the_size_of_a_return(discount: float, size: float) -> None:
    # Rewards near 1 per period, over the effective horizon, or the 30 periods that there are.
    _, learner = made_for("tiny", discount=discount)
    critic = learner.module["critic"].unwrapped()
    torch.testing.assert_close(critic.output.std, torch.tensor([size, size]))
    assert critic.output.normalisation == "none"
    # Elsewhere that size is not known beforehand.
    _, foreign, _ = sample(counting_config())
    assert foreign.module["critic"].unwrapped().output.normalisation == "running"


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_nothing_is_expected_beyond_the_horizon(critic: Any) -> None:
    _, learner, block = sample(firm_config(critic=critic))
    module = learner.module["critic" if critic == "shared" else "recommender_critic"].unwrapped()
    final = block.final.state if critic == "shared" else block.final.observations["recommender"]
    seen = block.states if critic == "shared" else block.observations["recommender"]
    with torch.no_grad():
        assert not module.values(torch.from_numpy(final)).any()
        assert module.values(torch.from_numpy(seen)).all()


def test_departments_in_parts_share_a_policy_and_are_judged_one_by_one() -> None:
    settings = TrainSettings(
        scenario="paper",
        envs_per_runner=ENVS,
        steps_per_iteration=ENVS * 52,
        minibatch_size=ENVS * 52,
        reward="siloed",
    )
    config = build_config(settings)
    config.environment(env_config={**config.env_config, "recommender_agents": "segment"})
    _, learner, block = sample(config)
    parts = [agent for agent in block.agents if agent.startswith("recommender")]
    assert len(parts) > 1
    assert {block.policy_of[agent] for agent in parts} == {"recommender"}
    assert set(learner.module["critic"].unwrapped().agents) == set(block.agents)
    results = update(learner, block, minibatch_size=ENVS * 52)
    assert {"inventory", "recommender", "critic"} <= set(results)


def test_policies_cover_agents_of_one_department() -> None:
    config = firm_config()
    config.multi_agent(policies=["both"], policy_mapping_fn=lambda agent, *args, **kwargs: "both")
    config.timescales({"*": {"all": 1e-3}})
    with pytest.raises(Exception, match=r"one department|same"):
        sample(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"memory_size": 0}, "memory_size is 0"),
        ({"max_seq_len": 0}, "max_seq_len is 0"),
        ({"hidden_sizes": (8, 0)}, "hidden_sizes"),
        ({"initial_std": 0.0}, "initial_std is 0.0"),
        ({"initial_std": {"inventory": -1.0}}, "initial_std"),
        ({"kind": "transformer"}, "auto, product, mlp"),
        ({"normalisation": "batch"}, "normalisation"),
        ({"depth": 3}, "depth"),
    ],
)
def test_networks_that_cannot_be_are_refused_before_ray_starts(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MTMAPPOConfig().network(**options)


def test_spread_is_chosen_for_all_policies_or_by_policy() -> None:
    assert Networks().std_of("inventory", default=0.2) == 0.2
    assert Networks(initial_std=0.4).std_of("inventory", default=0.2) == 0.4
    by_policy = Networks(initial_std={"inventory": 0.1})
    assert by_policy.std_of("inventory", default=0.2) == 0.1
    assert by_policy.std_of("recommender", default=0.8) == 0.8
