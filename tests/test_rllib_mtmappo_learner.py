"""What MTMA-PPO's learner does with a batch: minibatches, losses, and who learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from mtmappo_worlds import (
    ENVS,
    Chance,
    chance,
    counting_config,
    firm_config,
    sample,
    train_batch,
    update,
    vector,
)
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_connector import OLD_VALUES
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.mtmappo_learner import Minibatches, MTMAPPOTorchLearner
from invrec_rllib.rllib.mtmappo_modules import ActorModule, CriticModule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def small(kind: str = "shared", **env_config: Any) -> Any:
    """MTMA-PPO on `Chance` with small networks."""
    return chance(MTMAPPOConfig(), **env_config).critic(kind).network("mlp", hidden_sizes=(8,))


def weights(learner: Any) -> dict[str, torch.Tensor]:
    """Parameters of every module as one vector."""
    return {name: vector(learner.module[name]) for name in learner.module.keys()}  # noqa: SIM118


def moved(learner: Any, before: Mapping[str, torch.Tensor]) -> set[str]:
    """Modules whose parameters are not as they were."""
    return {name for name, value in weights(learner).items() if not torch.equal(value, before[name])}


def batch_of(**rows: int) -> MultiAgentBatch:
    return MultiAgentBatch(
        {name: SampleBatch({Columns.OBS: torch.arange(count)}) for name, count in rows.items()}, 40
    )


def test_modules_of_few_rows_have_some_in_every_minibatch_and_lose_none() -> None:
    minibatches = list(Minibatches(batch_of(few=3, many=80), size=10, epochs=1, total=0, shuffle=True))
    assert len(minibatches) == 8
    drawn = [each.policy_batches["few"][Columns.OBS].tolist() for each in minibatches]
    assert all(len(rows) == 1 for rows in drawn)
    assert {row for rows in drawn for row in rows} == {0, 1, 2}


def test_minibatches_keep_whole_sequences_with_their_states() -> None:
    sequences, length = 6, 5
    tag = torch.arange(sequences)
    columns = {
        Columns.OBS: tag[:, None].expand(sequences, length),
        Columns.LOSS_MASK: torch.ones(sequences, length, dtype=torch.bool),
        Columns.STATE_IN: {"h": tag},
    }
    batch = MultiAgentBatch({"a": SampleBatch(columns)}, sequences * length)
    minibatches = list(Minibatches(batch, size=2 * length, epochs=1, total=0, shuffle=True))
    # The size counts steps: two sequences in each.
    assert len(minibatches) == sequences // 2
    for minibatch in minibatches:
        part: Any = minibatch.policy_batches["a"]
        assert part[Columns.OBS].shape == (2, length)
        assert torch.equal(part[Columns.OBS][:, 0], part[Columns.STATE_IN]["h"])
        assert torch.equal(part[Columns.OBS][:, 0], part[Columns.OBS][:, -1])


def test_an_order_is_new_in_every_epoch_and_follows_torchs_seed() -> None:
    def drawn(*, shuffle: bool) -> list[list[int]]:
        torch.manual_seed(5)
        made = Minibatches(batch_of(a=20), size=20, epochs=2, total=0, shuffle=shuffle)
        return [each.policy_batches["a"][Columns.OBS].tolist() for each in made]

    first, second = drawn(shuffle=True)
    assert first != second
    assert [first, second] == drawn(shuffle=True)
    assert drawn(shuffle=False) == [list(range(20))] * 2


def test_equal_seeds_learn_bit_for_bit_alike() -> None:
    after = []
    for _ in range(2):
        _, learner, block = sample(small())
        torch.manual_seed(9)
        update(learner, block, minibatch_size=13)
        after.append(weights(learner))
    for name, value in after[0].items():
        assert torch.equal(value, after[1][name]), name


@pytest.mark.parametrize("minibatch_size", [5, 43, 44, 1000, None])
@pytest.mark.parametrize("memory", ["none", "lstm"])
def test_batches_of_any_size_divide_into_minibatches_of_any_size(memory: Any, minibatch_size: Any) -> None:
    _, learner, block = sample(small().memory(memory, size=3, max_seq_len=4))
    before = weights(learner)
    update(learner, block, minibatch_size=minibatch_size)
    assert moved(learner, before) == {"team", "solo", "critic"}
    assert all(torch.isfinite(value).all() for value in weights(learner).values())


@pytest.mark.parametrize(
    ("kind", "trained", "learning"),
    [
        ("shared", ["team"], {"team", "critic"}),
        ("separate", ["team"], {"team", "team_critic"}),
        ("own", ["solo"], {"solo", "solo_critic"}),
        ("shared", lambda policy, batch: policy == "solo", {"solo", "critic"}),
    ],
)
def test_critics_learn_where_policies_do_that_they_judge(kind: str, trained: Any, learning: set[str]) -> None:
    config = small(kind).multi_agent(policies_to_train=trained)
    config.validate()
    _, learner, block = sample(config)
    before = weights(learner)
    update(learner, block, minibatch_size=22)
    assert moved(learner, before) == learning


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_steps_trained_are_steps_and_not_sequences(memory: Any) -> None:
    _, learner, block = sample(small().memory(memory, size=3, max_seq_len=4))
    results = update(learner, block, minibatch_size=22, num_epochs=3)
    steps = {name: results[name]["num_module_steps_trained"].peek() for name in ("team", "solo", "critic")}
    assert steps == {"team": 3 * 2 * len(block), "solo": 3 * len(block), "critic": 3 * len(block)}


def test_nothing_to_learn_is_an_error_that_says_so() -> None:
    config = small().multi_agent(policies_to_train=lambda policy, batch: False)
    _, learner, block = sample(config)
    with pytest.raises(InputError, match="policies_to_train"):
        update(learner, block, minibatch_size=22)


def test_an_update_makes_what_was_rewarded_more_likely() -> None:
    config = small().training(gamma=0.0, lambda_=0.0, lr=0.01)
    _, learner, block = sample(config)
    for agent in ("a", "c"):
        block.rewards[agent] = block.actions[agent][..., 0].astype(np.float32)
    block.rewards["b"] = (block.actions["b"] == 2).astype(np.float32)
    batch = train_batch(learner, block)

    def means() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            team = learner.module["team"].unwrapped().forward_train(batch["team"])
            solo = learner.module["solo"].unwrapped().forward_train(batch["solo"])
        return (
            team[Columns.ACTION_DIST_INPUTS].mean(0)[:2],
            solo[Columns.ACTION_DIST_INPUTS].softmax(-1).mean(0),
        )

    before = means()
    update(learner, block, minibatch_size=44, num_epochs=8)
    after = means()
    assert after[0][0] > before[0][0] + 0.02
    # The other entry earned nothing.
    assert abs(after[0][1] - before[0][1]) < abs(after[0][0] - before[0][0])
    assert after[1][2] > before[1][2] + 0.02


def test_a_modules_loss_touches_its_own_parameters_alone() -> None:
    _, learner, block = sample(small())
    learner.before_gradient_based_update(timesteps={})
    batch = {name: SampleBatch(columns) for name, columns in train_batch(learner, block).items()}
    losses = learner.compute_losses(fwd_out=learner.module.forward_train(batch), batch=batch)
    assert set(losses) == {"team", "solo", "critic"}
    for name, loss in losses.items():
        for other in losses:
            parameters = list(learner.module[other].parameters())
            found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            touched = [gradient is not None and bool(gradient.any()) for gradient in found]
            assert any(touched) == (name == other), (name, other)


def losses_of(learner: Any, batch: dict[str, Any]) -> dict[str, float]:
    """Every module's loss on a whole batch."""
    learner.before_gradient_based_update(timesteps={})
    columns = {name: SampleBatch(part) for name, part in batch.items()}
    with torch.no_grad():
        losses = learner.compute_losses(fwd_out=learner.module.forward_train(columns), batch=columns)
    return {name: float(loss) for name, loss in losses.items()}


def test_padding_is_in_no_loss() -> None:
    config = small().memory("gru", size=3, max_seq_len=4)
    config.training(entropy_coeff=0.5, use_kl_loss=True, kl_coeff=1.0)
    _, learner, block = sample(config)
    # A policy that has moved: where ratios are all 1, advantages of mean 0 hide what is counted.
    update(learner, block, minibatch_size=44)
    batch = train_batch(learner, block)
    before = losses_of(learner, batch)
    for policy in ("team", "solo"):
        padding = ~batch[policy][Columns.LOSS_MASK]
        assert padding.any()
        assert not batch[policy][Postprocessing.ADVANTAGES][padding].any()
        for name in (Columns.ACTION_LOGP, Columns.ACTION_DIST_INPUTS, Postprocessing.ADVANTAGES):
            batch[policy][name][padding] = 3.0
        # What is padded is seen last in its sequence, so that nothing valid follows it.
        batch[policy][Columns.OBS][padding] = 5.0
    assert losses_of(learner, batch) == pytest.approx(before, rel=1e-5, abs=1e-6)


def test_the_critics_loss_is_weighed_as_ppos_is() -> None:
    _, learner, block = sample(small().training(vf_loss_coeff=1.0))
    _, light, _ = sample(small().training(vf_loss_coeff=0.25))
    batch = train_batch(learner, block)
    light.module.set_state(learner.module.get_state())
    whole, part = losses_of(learner, batch), losses_of(light, batch)
    assert part["critic"] == pytest.approx(0.25 * whole["critic"])
    assert part["solo"] == pytest.approx(whole["solo"])


@pytest.mark.parametrize("normalisation", ["none", "running"])
def test_the_bound_on_values_starts_where_new_statistics_have_put_them(
    normalisation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else statistics that move values by more than the bound would stop all learning.
    _, learner, block = sample(small().critic(value_clip=0.1).network(normalisation=normalisation))
    block.rewards = {agent: 100 * reward + 50 for agent, reward in block.rewards.items()}
    critic = learner.module["critic"].unwrapped()
    checked = []
    original = Minibatches.__init__

    def check(self: Minibatches, batch: MultiAgentBatch, **options: Any) -> None:
        columns: Any = batch.policy_batches["critic"]
        with torch.no_grad():
            now = critic.values(columns[Columns.OBS])
        checked.append((now, columns[OLD_VALUES]))
        original(self, batch, **options)

    monkeypatch.setattr(Minibatches, "__init__", check)
    for _ in range(2):
        update(learner, block, minibatch_size=44)
    assert len(checked) == 2
    for now, old in checked:
        torch.testing.assert_close(old, now, rtol=1e-4, atol=1e-3)


def spread_after(entropy_coeff: float) -> float:
    config = small().training(entropy_coeff=entropy_coeff, lr=0.01)
    _, learner, block = sample(config)
    update(learner, block, minibatch_size=44)
    return float(learner.module["team"].actor.network.log_std.detach().mean())


def test_an_entropy_bonus_widens_actions() -> None:
    assert spread_after(1.0) > spread_after(0.0) + 0.005


def drift_after(**options: Any) -> tuple[float, Any]:
    config = small().training(lr=0.02, **options)
    _, learner, block = sample(config)
    results = update(learner, block, minibatch_size=44, num_epochs=10)
    assert "mean_kl_loss" not in results["critic"]
    batch = train_batch(learner, block)["solo"]
    with torch.no_grad():
        new = learner.module["solo"].unwrapped().forward_train(batch)[Columns.ACTION_DIST_INPUTS]
    old = batch[Columns.ACTION_DIST_INPUTS].log_softmax(-1)
    return float((old.exp() * (old - new.log_softmax(-1))).sum(-1).mean()), learner


def test_a_kl_loss_holds_policies_back_and_its_coefficient_follows_the_drift() -> None:
    free, _ = drift_after()
    held, learner = drift_after(use_kl_loss=True, kl_coeff=20.0, kl_target=1e-6)
    assert held < 0.5 * free
    # Drift is far above the target: RLlib raises the coefficient by half.
    assert float(learner.curr_kl_coeffs_per_module["solo"]) == pytest.approx(30.0)
    # A critic has no policy, so its coefficient, if any, is never adapted.
    assert float(learner.curr_kl_coeffs_per_module.get("critic", 20.0)) == 20.0


def test_value_clip_bounds_movement_in_units_of_the_targets_and_never_stops_far_values() -> None:
    # RLlib clamps the loss instead, and before any normalisation: far values then get no gradient at all.
    change = {}
    for clip in (None, 0.05):
        config = small().critic(value_clip=clip).network(normalisation="running").training(lr=0.01)
        _, learner, block = sample(config)
        block.rewards = {agent: 1000 * reward for agent, reward in block.rewards.items()}
        # The statistics move at the first update; the bound is on what is learned.
        update(learner, block, minibatch_size=44, num_epochs=1)
        critic = learner.module["critic"].unwrapped()
        seen = torch.from_numpy(block.states)
        before = critic.normalise(critic.values(seen)).detach().clone()
        update(learner, block, minibatch_size=44, num_epochs=20)
        after = critic.normalise(critic.values(seen)).detach()
        change[clip] = float((after - before).abs().mean())
    assert 0.01 < change[0.05] < 0.6 * change[None]


class Plain(TorchRLModule):
    """An actor of one's own: no value function, not derived from any of ours or of PPO's."""

    observation_space: Any
    action_space: Any

    def setup(self) -> None:
        seen, decided = np.prod(self.observation_space.shape), self.action_space
        size = 2 * decided.shape[0] if isinstance(decided, Box) else int(decided.n)
        self.layer = torch.nn.Linear(int(seen), size)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.layer(batch[Columns.OBS])}


def test_actors_inherit_from_nothing_in_particular() -> None:
    # RLlib's own PPO needs a value function in every module: a central critic would have to pretend to be one.
    assert PPOTorchLearner.rl_module_required_apis() == [ValueFunctionAPI]
    assert MTMAPPOTorchLearner.rl_module_required_apis() == []
    for module in (ActorModule, CriticModule, Plain):
        assert not issubclass(module, ValueFunctionAPI)
    config = small().rl_module(rl_module_spec=RLModuleSpec(module_class=Plain))
    runner, learner, block = sample(config)
    assert isinstance(learner.module["team"].unwrapped(), Plain)
    assert isinstance(runner.module["solo"].unwrapped(), Plain)
    before = weights(learner)
    update(learner, block, minibatch_size=22)
    assert moved(learner, before) == {"team", "solo", "critic"}


def test_first_weights_do_not_depend_on_the_order_of_policies() -> None:
    made = []
    for policies in (["team", "solo"], ["solo", "team"]):
        config = small().multi_agent(policies=policies)
        torch.manual_seed(3)
        learner = sample(config)[1]
        made.append(weights(learner))
    assert list(made[0]) == list(made[1])
    for name, value in made[0].items():
        assert torch.equal(value, made[1][name]), name


def test_targets_and_advantages_have_no_gradient() -> None:
    _, learner, block = sample(small())
    for columns in train_batch(learner, block).values():
        for name in (Postprocessing.VALUE_TARGETS, Postprocessing.ADVANTAGES):
            assert name not in columns or not columns[name].requires_grad


@pytest.mark.parametrize(
    ("kind", "policies"),
    [("shared", ["critic", "b"]), ("own", ["a", "a_critic"]), ("separate", ["a", "a_critic"])],
)
def test_policies_must_not_be_called_as_critics_are(kind: Any, policies: list[str]) -> None:
    config = counting_config().critic(kind)
    config.multi_agent(
        policies=policies, policy_mapping_fn=lambda agent, *args, **kwargs: policies[agent == "b"]
    )
    with pytest.raises(InputError, match="rename"):
        config.validate()


def test_a_policy_called_as_an_own_critic_may_stand_beside_a_shared_one() -> None:
    config = counting_config()
    names = {"a": "a", "b": "a_critic"}
    config.multi_agent(
        policies=list(names.values()), policy_mapping_fn=lambda agent, *args, **kwargs: names[agent]
    )
    config.validate()
    _, learner, block = sample(config)
    before = weights(learner)
    update(learner, block, minibatch_size=22)
    assert moved(learner, before) == {"a", "a_critic", "critic"}


def test_choices_come_from_plain_data_as_tune_and_yaml_have_them() -> None:
    speeds = {"critic": {"critic": 3e-3}, "*": {"actor": [[0, 1e-3], [1000, 1e-4]]}}
    config = MTMAPPOConfig().update_from_dict(
        {
            "gamma": 0.8,
            "timescales": speeds,
            "critic": {"kind": "own", "value_clip": 0.3},
            "memory": {"kind": "gru", "size": 5, "max_seq_len": 9},
            "network": {"kind": "mlp", "hidden_sizes": [8]},
        }
    )
    by_calls = (
        MTMAPPOConfig()
        .training(gamma=0.8)
        .timescales(speeds)
        .critic("own", value_clip=0.3)
        .memory("gru", size=5, max_seq_len=9)
        .network("mlp", hidden_sizes=[8])
    )
    assert config.learner_config_dict == by_calls.learner_config_dict
    assert (config.networks, config.critic_kind, config.value_clip) == (by_calls.networks, "own", 0.3)
    assert config.uses_global_state is False
    assert callable(config.timescales)
    assert (
        MTMAPPOConfig().update_from_dict({"critic": "separate", "memory": "lstm"}).networks.memory == "lstm"
    )
    # RLlib hands configurations on as dicts of their attributes.
    again = MTMAPPOConfig().update_from_dict(config.to_dict())
    assert again.learner_config_dict == config.learner_config_dict
    assert (again.networks, again.critic_kind, again.uses_global_state) == (config.networks, "own", False)
    with pytest.raises(InputError, match="shared, separate, own"):
        MTMAPPOConfig().update_from_dict({"critic": "common"})


def test_what_is_not_given_stays_as_it_was_chosen() -> None:
    config = MTMAPPOConfig().critic("separate", value_clip=0.2).critic("own")
    assert (config.critic_kind, config.value_clip) == ("own", 0.2)
    config.critic(value_clip=None)
    assert (config.critic_kind, config.value_clip) == ("own", None)
    assert config.memory("gru", size=7).memory("lstm").networks.memory_size == 7


def test_the_same_world_gives_actors_that_hold_no_critic_for_every_kind() -> None:
    for kind in ("shared", "separate", "own"):
        runner, _, _ = sample(firm_config(critic=kind))
        classes = {type(part) for name in runner.module.keys() for part in runner.module[name].modules()}  # noqa: SIM118
        assert ActorModule in classes
        assert not any("Critic" in cls.__name__ or "Value" in cls.__name__ for cls in classes)


def test_chance_really_ends_both_ways() -> None:
    # The worlds of these tests hold what they are said to hold.
    _, _, block = sample(small())
    assert block.terminated.any()
    assert block.truncated.any()
    assert Chance({}).possible_agents == ["a", "b", "c"]
    assert block.num_envs == ENVS
