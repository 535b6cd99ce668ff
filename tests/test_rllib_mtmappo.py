"""MTMA-PPO: central critics, decentralized actors with memory, and the batches that they learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import HORIZON
from mtmappo_worlds import ENVS, counting_config, firm_config, sample, train_batch, update, vector
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from invrec_rllib.errors import InputError
from invrec_rllib.learning.losses import value_loss
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config, policies_of
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.mtmappo_learner import Minibatches
from invrec_rllib.rllib.mtmappo_modules import CriticModule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("kind", "critics", "numbers"),
    [
        ("shared", {"critic"}, 2),
        ("separate", {"inventory_critic", "recommender_critic"}, 1),
        ("own", {"inventory_critic", "recommender_critic"}, 1),
    ],
)
def test_critics_live_on_learners_and_actors_see_only_their_own_observations(
    kind: str, critics: set[str], numbers: int
) -> None:
    runner, learner, block = sample(firm_config(critic=kind))
    assert set(runner.module.keys()) == {"inventory", "recommender"}
    held = [name for weights in runner.module.get_state().values() for name in weights]
    assert held
    assert not any("critic" in name for name in held)
    assert set(learner.module.keys()) == {"inventory", "recommender", *critics}
    batch = train_batch(learner, block)
    # Unlike observation spaces of the agents, one state for the critics.
    assert batch["inventory"][Columns.OBS].shape != batch["recommender"][Columns.OBS].shape
    for name in critics:
        assert batch[name][Postprocessing.VALUE_TARGETS].shape == (len(block), numbers)
        seen = (block.states if kind != "own" else block.observations[name.removesuffix("_critic")]).reshape(
            len(block), -1
        )
        np.testing.assert_array_equal(batch[name][Columns.OBS].numpy(), seen)


def test_every_agent_is_judged_by_its_own_value_of_the_shared_critic() -> None:
    _, learner, block = sample(firm_config(reward="siloed"))
    critic = learner.module["critic"].unwrapped()
    assert critic.agents == ("inventory", "recommender")
    targets = train_batch(learner, block)["critic"][Postprocessing.VALUE_TARGETS]
    targets = targets.reshape(*block.terminated.shape, 2)
    # In the last period nothing follows: the target is the reward alone.
    last = block.truncated[:, 0].nonzero()[0]
    for head, agent in enumerate(critic.agents):
        np.testing.assert_allclose(targets[last, :, head], block.rewards[agent][last], rtol=1e-4, atol=1e-4)
    assert not np.allclose(targets[last, :, 0], targets[last, :, 1])


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_sequences_repeat_what_the_runner_computed(memory: Any) -> None:
    _, learner, block = sample(firm_config(memory=memory, memory_size=3))
    for module in ("inventory", "recommender"):
        # An untrained memory adds nothing: it must matter for this test to mean anything.
        torch.nn.init.normal_(learner.module[module].actor.memory.project.weight)
    runner, _, _ = sample(firm_config(memory=memory, memory_size=3))
    runner.module.set_state(
        {name: state for name, state in learner.module.get_state().items() if name in runner.module}
    )
    block = runner.sample(num_timesteps=ENVS * HORIZON)[0]
    repeats(learner, block, ("inventory", "recommender"))


def repeats(learner: Any, block: Any, modules: tuple[str, ...]) -> None:
    batch = train_batch(learner, block)
    for name in modules:
        columns = batch[name]
        with torch.no_grad():
            again = learner.module[name].unwrapped().forward_train(columns)[Columns.ACTION_DIST_INPUTS]
        mask = columns[Columns.LOSS_MASK]
        assert int(mask.sum()) == len(block)
        torch.testing.assert_close(
            again[mask], columns[Columns.ACTION_DIST_INPUTS][mask], rtol=1e-4, atol=1e-5
        )


def test_sequences_begin_anew_after_episodes_that_end_anywhere() -> None:
    config = counting_config(lengths=(3, 5, 2, 9)).memory("gru", size=4, max_seq_len=4)
    runner, learner, _ = sample(config)
    for module in ("a", "b"):
        torch.nn.init.normal_(learner.module[module].actor.network.memory.project.weight)
    runner.module.set_state(
        {name: state for name, state in learner.module.get_state().items() if name in runner.module}
    )
    for _ in range(2):
        block = runner.sample(num_timesteps=ENVS * 11)[0]
    assert not train_batch(learner, block)["a"][Columns.LOSS_MASK].all()
    repeats(learner, block, ("a", "b"))


def test_an_environment_without_a_state_shows_the_critic_all_observations() -> None:
    _, learner, block = sample(counting_config(lengths=(3, 5)))
    both = np.concatenate([block.observations["a"], block.observations["b"]], axis=-1)
    np.testing.assert_array_equal(block.states, both)
    before = {name: value.clone() for name, value in learner.module["critic"].state_dict().items()}
    results = update(learner, block, minibatch_size=22)
    assert {"a", "b", "critic"} <= set(results)
    assert any(
        not torch.equal(value, before[name]) for name, value in learner.module["critic"].state_dict().items()
    )


def test_where_no_order_is_possible_the_inventory_learns_nothing() -> None:
    from invrec_rllib.scenario import load_scenario
    from invrec_rllib.scenario.files import build_scenario

    data = load_scenario("tiny").model_dump(exclude_unset=True)
    data["supply"] = {**data.get("supply", {}), "review_periods": 3}
    world = build_scenario(data, source="every third period")
    settings = TrainSettings(
        scenario="tiny", envs_per_runner=ENVS, steps_per_iteration=ENVS * HORIZON, minibatch_size=60
    )
    _, learner, block = sample(build_config(settings, scenario=world))
    batch = train_batch(learner, block)
    rows = {name: len(columns[Columns.OBS]) for name, columns in batch.items()}
    assert rows == {"inventory": len(block) // 3, "recommender": len(block), "critic": len(block)}
    update(learner, block)


def test_an_update_moves_every_module_and_only_those_that_may_learn() -> None:
    config = firm_config()
    config.multi_agent(policies_to_train=["inventory", "critic"])
    _, learner, block = sample(config)
    before = {name: vector(learner.module[name]) for name in learner.module.keys()}  # noqa: SIM118
    update(learner, block)
    moved = {name: not torch.equal(vector(learner.module[name]), value) for name, value in before.items()}
    assert moved == {"inventory": True, "recommender": False, "critic": True}


def test_the_learner_draws_its_minibatches_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # `_create_iterator_if_necessary` is private in RLlib: this fails if it is no longer asked.
    drawn = []
    original = Minibatches.__iter__

    def counted(self: Minibatches) -> Any:
        for minibatch in original(self):
            drawn.append(
                {name: len(columns[Columns.OBS]) for name, columns in minibatch.policy_batches.items()}
            )
            yield minibatch

    monkeypatch.setattr(Minibatches, "__iter__", counted)
    _, learner, block = sample(firm_config())
    update(learner, block)
    assert drawn == [{"inventory": 60, "recommender": 60, "critic": 60}] * 4


@pytest.mark.parametrize(("total", "per_epoch"), [(0, 4), (6, 3)])
def test_minibatches_hold_every_row_once_per_epoch(total: int, per_epoch: int) -> None:
    rows = {"few": 7, "many": 40}
    batch = MultiAgentBatch(
        {name: SampleBatch({Columns.OBS: torch.arange(count)}) for name, count in rows.items()}, 40
    )
    minibatches = list(Minibatches(batch, size=10, epochs=2, total=total, shuffle=True))
    assert len(minibatches) == 2 * per_epoch
    for name, count in rows.items():
        for epoch in (minibatches[:per_epoch], minibatches[per_epoch:]):
            drawn = torch.cat([each.policy_batches[name][Columns.OBS] for each in epoch])
            assert sorted(drawn.tolist()) == list(range(count))


def test_clipping_pulls_a_far_value_back_where_rllibs_lets_it_go() -> None:
    value = torch.tensor([20.0], requires_grad=True)
    target, old = torch.tensor([0.0]), torch.tensor([0.0])
    value_loss(value, target, old_values=old, clip=1.0).backward()
    assert value.grad is not None
    assert float(value.grad) > 0
    other = torch.tensor([20.0], requires_grad=True)
    torch.clamp((other - target) ** 2, 0, 10.0).sum().backward()
    assert other.grad is not None
    assert float(other.grad) == 0


def test_normalised_values_start_where_targets_are() -> None:
    _, learner, block = sample(firm_config(normalisation="running", value_clip=0.2))
    targets = train_batch(learner, block)["critic"][Postprocessing.VALUE_TARGETS]
    update(learner, block, num_epochs=1)
    critic = learner.module["critic"].unwrapped()
    assert isinstance(critic, CriticModule)
    assert int(critic.output.num_updates) == 1
    torch.testing.assert_close(critic.output.mean, targets.mean(0))


def test_the_joint_agent_learns_with_a_speed_for_each_part() -> None:
    settings = TrainSettings(
        scenario="tiny",
        agents="joint",
        envs_per_runner=ENVS,
        steps_per_iteration=ENVS * HORIZON,
        minibatch_size=60,
    )
    assert policies_of(settings) == ["firm"]
    _, learner, block = sample(build_config(settings))
    results = update(learner, block)
    assert {"inventory_learning_rate", "recommender_learning_rate"} <= set(results["firm"])
    assert block.actions["firm"].shape[-1] == 2 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.training(vf_clip_param=10.0), "value_clip"),
        (lambda config: config.training(use_critic=False), "actor-critic"),
        (lambda config: config.training(minibatch_size=5).memory("gru", max_seq_len=7), "max_seq_len"),
    ],
)
def test_what_has_no_meaning_is_refused_before_ray_starts(change: Any, message: str) -> None:
    config = firm_config()
    change(config)
    with pytest.raises(InputError, match=message):
        config.validate()


def test_unknown_choices_name_what_is_allowed() -> None:
    with pytest.raises(InputError, match="shared, separate, own"):
        MTMAPPOConfig().critic("common")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="none, gru, lstm"):
        MTMAPPOConfig().memory("elephant")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not 'invrec_v0'"):
        sample(counting_config().network("product"))
