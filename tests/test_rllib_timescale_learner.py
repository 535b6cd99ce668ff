"""The multi-timescale learner on RLlib's own learners, on made-up batches, without Ray running."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from timescale_learners import (
    CONTINUOUS,
    DISCRETE,
    figures,
    make_batch,
    make_learner,
    update,
    weights,
)

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.timescale_config import timescales
from invrec_rllib.rllib.timescale_control import SpeedControl
from invrec_rllib.rllib.timescale_learner import MultiTimescaleMixin, multi_timescale
from invrec_rllib.timescales import Constant, Part, PowerLaw, Timescales

pytestmark = [
    # RLlib itself calls what it deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MINE = "default_policy"
ACTOR_CRITIC = {"actor": 1e-3, "critic": 1e-2}
# Algorithm, parts, action space.
ALGORITHMS = [
    pytest.param(PPOConfig, ACTOR_CRITIC, DISCRETE, id="PPO"),
    pytest.param(PPOConfig, ACTOR_CRITIC, CONTINUOUS, id="PPO-continuous"),
    pytest.param(APPOConfig, ACTOR_CRITIC, DISCRETE, id="APPO"),
    pytest.param(IMPALAConfig, ACTOR_CRITIC, DISCRETE, id="IMPALA"),
    pytest.param(SACConfig, {**ACTOR_CRITIC, "alpha": 1e-3}, CONTINUOUS, id="SAC"),
    pytest.param(SACConfig, {**ACTOR_CRITIC, "alpha": 1e-3}, DISCRETE, id="SAC-discrete"),
    pytest.param(DQNConfig, {"all": 1e-3}, DISCRETE, id="DQN"),
]


def declare(config: AlgorithmConfig, parts: Any, **kwargs: Any) -> AlgorithmConfig:
    return timescales(config, {MINE: parts}, **kwargs)


def ones(learner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every gradient be 1 everywhere: each step of Adam then moves each weight by its step size."""

    def compute(self: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return {p: torch.ones_like(p) for p in self._params.values() if p.requires_grad}

    monkeypatch.setattr(PPOTorchLearner, "compute_gradients", compute)


def moved(before: dict[str, Any], after: dict[str, Any], *, critic: bool) -> float:
    """By how much every weight of the critic, or of the actor, went down; all by the same."""
    changes = torch.cat(
        [
            (before[name] - after[name]).flatten()
            for name in before
            if critic == ("critic" in name or name.startswith("vf"))
        ]
    )
    assert changes.max() - changes.min() < 1e-5
    return float(changes.mean())


def test_each_weight_moves_by_the_sum_of_its_parts_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    actor, critic = PowerLaw(1e-2, 3, 0.9), PowerLaw(5e-2, 5, 0.6)
    spec = {"actor": actor, "critic": {"schedule": critic.to_data(), "clock": "gradient_steps"}}
    learner = make_learner(declare(PPOConfig(), spec))
    ones(learner, monkeypatch)
    before = weights(learner)[MINE]
    for number in range(3):
        update(learner, make_batch(learner, rows=40, seed=number), minibatch_size=20, num_epochs=2)
    after = weights(learner)[MINE]
    # Two epochs of two minibatches, and one that RLlib's iterator adds.
    steps = learner._speeds._parts[MINE, "actor"].clock.gradient_steps // 3
    assert steps >= 4
    assert moved(before, after, critic=False) == pytest.approx(
        steps * sum(actor(n) for n in range(3)), rel=1e-4
    )
    assert moved(before, after, critic=True) == pytest.approx(
        sum(critic(n) for n in range(3 * steps)), rel=1e-4
    )


def test_the_env_step_clock_is_rllibs_own_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [[0, 0.1], [1000, 0.05], [2000, 0.01]]
    ours = make_learner(declare(PPOConfig(), {"all": {"schedule": points, "clock": "env_steps"}}))
    theirs = make_learner(PPOConfig().training(lr=points))
    for learner in (ours, theirs):
        ones(learner, monkeypatch)
        for number in range(3):
            update(learner, make_batch(learner, seed=number), env_steps=600 * (number + 1))
    for name, value in weights(theirs)[MINE].items():
        torch.testing.assert_close(weights(ours)[MINE][name], value, rtol=0, atol=1e-6)


def test_a_closed_part_keeps_its_weights_and_its_optimizers_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = PowerLaw(1e-2, 1, 0.9)
    learner = make_learner(declare(PPOConfig(), {"actor": Part(actor, update_every=3), "critic": 1e-3}))
    ones(learner, monkeypatch)
    optimizer = learner.get_optimizer(MINE, "actor")
    changes, seen = [], weights(learner)[MINE]
    for number in range(7):
        update(learner, make_batch(learner, seed=number))
        now = weights(learner)[MINE]
        changes.append(moved(seen, now, critic=False))
        assert moved(seen, now, critic=True) == pytest.approx(1e-3, rel=1e-3)
        seen = now
    expected = [actor(0), 0, 0, actor(1), 0, 0, actor(2)]
    assert changes == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert {float(state["step"]) for state in optimizer.state.values()} == {3.0}


@pytest.mark.parametrize(("config", "parts", "space"), ALGORITHMS)
def test_every_algorithm_learns_all_its_parts(config: Any, parts: Any, space: Any) -> None:
    learner = make_learner(timescales(config(), {"*": parts}), modules=["a", "b"], action_space=space)
    before = weights(learner)
    for number in range(2):
        update(learner, make_batch(learner, rows=50, seed=number))
    after = weights(learner)
    for mid in ("a", "b"):
        frozen = [n for n in after[mid] if n.startswith(("target_", "_target_", "_old_"))]
        still = [n for n in after[mid] if torch.equal(before[mid][n], after[mid][n]) and n not in frozen]
        assert still == []
        for name, _ in learner.get_optimizers_for_module(mid):
            assert figures(learner)[mid][f"{name}_learning_rate"] in (1e-3, 1e-2)
            assert figures(learner)[mid][f"{name}_effective_step"] > 0
            assert figures(learner)[mid][f"{name}_gradient_norm"] > 0
        assert ("kl_drift" in figures(learner)[mid]) == (config is not DQNConfig)
    learner.shutdown()


@pytest.mark.parametrize(
    ("config", "rates", "space"),
    [
        pytest.param(PPOConfig, {"lr": 2e-3}, DISCRETE, id="PPO"),
        pytest.param(APPOConfig, {"lr": 2e-3}, DISCRETE, id="APPO"),
        pytest.param(IMPALAConfig, {"lr": 2e-3}, DISCRETE, id="IMPALA"),
        pytest.param(
            SACConfig,
            {"lr": None, "actor_lr": 2e-3, "critic_lr": 2e-3, "alpha_lr": 2e-3},
            CONTINUOUS,
            id="SAC",
        ),
        pytest.param(DQNConfig, {"lr": 2e-3}, DISCRETE, id="DQN"),
    ],
)
def test_one_speed_for_all_is_rllibs_own_learner(config: Any, rates: Any, space: Any) -> None:
    """Several modules, so that the order of random draws matters as well."""
    plain = config().training(**rates, grad_clip=None)
    ours = make_learner(
        timescales(plain.copy(), {"*": {"all": 2e-3}}), modules=["a", "b"], action_space=space
    )
    mine = _train(ours)
    theirs = make_learner(plain, modules=["a", "b"], action_space=space)
    for mid, values in _train(theirs).items():
        for name, value in values.items():
            torch.testing.assert_close(mine[mid][name], value, rtol=1e-4, atol=1e-6)


def _train(learner: Any) -> dict[str, dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    for number in range(3):
        update(learner, make_batch(learner, rows=50, seed=number))
    learner.shutdown()
    return weights(learner)


def test_modules_that_are_not_named_learn_as_in_rllib() -> None:
    learner = make_learner(timescales(PPOConfig(), {"a": ACTOR_CRITIC}), modules=["a", "b"])
    theirs = make_learner(PPOConfig(), modules=["a", "b"])
    assert [name for name, _ in learner.get_optimizers_for_module("b")] == ["default_optimizer"]
    ours, plain = _train(learner)["b"], _train(theirs)["b"]
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_own_groups_by_regular_expressions() -> None:
    head = Part(Constant(0.5), parameters=("^pi\\.",))
    learner = make_learner(declare(PPOConfig(), {"head": head, "critic": 1e-2, "all": 1e-3}))
    names = {
        entry.name: [n for n, p in learner.module[MINE].named_parameters() if p in set(entry.parameters)]
        for entry in learner._speeds
    }
    assert names == {
        "head": ["pi.net.mlp.0.weight", "pi.net.mlp.0.bias"],
        "critic": [
            "encoder.critic_encoder.net.mlp.0.weight",
            "encoder.critic_encoder.net.mlp.0.bias",
            "vf.net.mlp.0.weight",
            "vf.net.mlp.0.bias",
        ],
        "all": ["encoder.actor_encoder.net.mlp.0.weight", "encoder.actor_encoder.net.mlp.0.bias"],
    }


def test_a_shared_encoder_is_a_part_of_its_own() -> None:
    shared = DefaultModelConfig(fcnet_hiddens=[8], vf_share_layers=True)
    learner = make_learner(declare(PPOConfig(), {**ACTOR_CRITIC, "encoder": 1e-4}), model=shared)
    assert {entry.name: len(entry.parameters) for entry in learner._speeds} == {
        "actor": 2,
        "critic": 2,
        "encoder": 2,
    }
    with pytest.raises(InputError, match=r"no part takes encoder\.encoder.*add a part 'all'"):
        make_learner(declare(PPOConfig(), ACTOR_CRITIC), model=shared)


@pytest.mark.parametrize(
    ("config", "modules", "message"),
    [
        (PPOConfig, {"nobody": {"all": 1e-3}}, r"no such module: 'nobody'; there are: 'default_policy'"),
        (
            PPOConfig,
            {MINE: {"actor": 1e-3, "encoder": 1e-3}},
            r"no part takes .*vf\.net.*'encoder' takes nothing",
        ),
        (
            PPOConfig,
            {
                MINE: {
                    "one": {"schedule": 1, "parameters": ["weight"]},
                    "two": {"schedule": 1, "parameters": ["."]},
                }
            },
            r"several parts take encoder\.actor_encoder\S+weight \(by one, two\)",
        ),
        (SACConfig, {MINE: ACTOR_CRITIC}, r"no part takes alpha.*there are: qf, qf_twin, policy, alpha"),
        (SACConfig, {MINE: {"all": 1e-3, "value": 1e-3}}, r"part 'value' takes nothing"),
    ],
)
def test_what_does_not_fit_is_listed(config: Any, modules: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_learner(timescales(config(), modules), action_space=CONTINUOUS)


def test_parameters_of_two_modules_belong_to_one_part_only() -> None:
    learner = make_learner(timescales(PPOConfig(), {"*": ACTOR_CRITIC}), modules=["a", "b"])
    learner.module["b"].vf = learner.module["a"].vf
    learner._module_optimizers.pop("b")
    with pytest.raises(InputError, match=r"'b' shares parameters .*vf\.net.*module 'a', part 'critic'"):
        learner.configure_optimizers_for_module("b", learner.config)


class Tied(torch.nn.Module):
    """Actor and critic that see through the same layer."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = (torch.nn.ModuleDict({"head": torch.nn.Linear(2, 1)}) for _ in range(2))
        self.actor["eye"] = self.critic["eye"] = torch.nn.Linear(3, 2)


def test_a_parameter_of_several_names_belongs_to_one_part_only() -> None:
    speeds = SpeedControl(Timescales.from_data({MINE: ACTOR_CRITIC}))
    with pytest.raises(InputError, match=r"several parts take actor\.eye\.weight = critic\.eye\.weight"):
        speeds.split(Tied(), MINE)
    shared = {**ACTOR_CRITIC, "eye": {"schedule": 1e-4, "parameters": ["^critic\\.eye"]}}
    split = SpeedControl(Timescales.from_data({MINE: shared})).split(Tied(), MINE)
    assert {part: [tuple(p.shape) for p in members] for part, members in split.items()} == {
        "actor": [(1, 2), (1,)],
        "critic": [(1, 2), (1,)],
        "eye": [(2, 3), (2,)],
    }


def test_frozen_parameters_need_no_part() -> None:
    module = Tied()
    module.actor["eye"].requires_grad_(False)
    module.other = torch.nn.Linear(1, 1).requires_grad_(False)
    parts = {"actor": {"schedule": 1, "parameters": ["actor.head"]}, "critic": 1}
    speeds = SpeedControl(Timescales.from_data({MINE: parts}))
    assert len(speeds.split(module, MINE)["critic"]) == 4


def test_each_part_is_clipped_by_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"actor": {"schedule": 1e-3, "grad_clip": 0.5}, "critic": 1e-3}
    learner = make_learner(declare(PPOConfig().training(grad_clip=2.0), parts))
    ones(learner, monkeypatch)
    update(learner, make_batch(learner))
    norms = {
        entry.name: float(torch.cat([p.grad.flatten() for p in entry.parameters]).norm())
        for entry in learner._speeds
    }
    assert norms == pytest.approx({"actor": 0.5, "critic": 2.0}, rel=1e-3)
    entries = {e.name: math.sqrt(sum(p.numel() for p in e.parameters)) for e in learner._speeds}
    # What is logged is the norm before clipping: that of as many ones.
    assert figures(learner)[MINE]["actor_gradient_norm"] == pytest.approx(entries["actor"])


def test_gradients_pass_when_rllib_only_logs_their_norms() -> None:
    learner = make_learner(declare(PPOConfig(), ACTOR_CRITIC).reporting(log_gradients=True))
    before = weights(learner)[MINE]
    update(learner, make_batch(learner))
    assert not any(torch.equal(before[name], value) for name, value in weights(learner)[MINE].items())


def test_a_module_without_data_is_not_stepped_by_old_gradients() -> None:
    """SAC's learner leaves the gradients of an absent module where they are, and steps them once more."""
    parts = {"*": {"all": 1e-3}}
    learner = make_learner(timescales(SACConfig(), parts), modules=["a", "b"], action_space=CONTINUOUS)
    update(learner, make_batch(learner))
    before = weights(learner)["b"]
    update(learner, make_batch(learner, seed=1, modules=["a"]))
    trained = {n: v for n, v in weights(learner)["b"].items() if not n.startswith("target")}
    assert all(torch.equal(before[name], value) for name, value in trained.items())
    assert learner._speeds._parts["b", "policy"].clock.updates == 1
    assert learner._speeds._parts["a", "policy"].clock.updates == 2


def test_policies_to_train_leaves_the_others_where_they_are() -> None:
    config = timescales(PPOConfig(), {"*": ACTOR_CRITIC}).multi_agent(policies_to_train=["b"])
    learner = make_learner(config, modules=["a", "b"])
    before = weights(learner)
    update(learner, make_batch(learner))
    assert all(torch.equal(before["a"][name], value) for name, value in weights(learner)["a"].items())
    assert [e.clock.updates_stepped for e in learner._speeds] == [0, 0, 1, 1]


@pytest.mark.parametrize(("config", "parts", "space"), ALGORITHMS)
def test_a_module_added_later_learns_at_the_speeds_of_all_others(config: Any, parts: Any, space: Any) -> None:
    learner = make_learner(timescales(config(), {"*": parts}), modules=["a", "b"], action_space=space)
    update(learner, make_batch(learner, rows=50))
    old = learner.module["a"].unwrapped()
    spec = RLModuleSpec(
        module_class=type(old),
        observation_space=old.observation_space,
        action_space=old.action_space,
        model_config=old.model_config,
    )
    assert learner.add_module(module_id="c", module_spec=spec) is not None
    before = weights(learner)["c"]
    update(learner, make_batch(learner, rows=50, seed=1))
    # DQN's and SAC's learners make target networks after the module's optimizers.
    changed = [n for n, v in weights(learner)["c"].items() if not torch.equal(before.get(n, v), v)]
    assert any(n.startswith(("encoder", "pi_encoder")) for n in changed)
    assert figures(learner)["c"][f"{learner.get_optimizers_for_module('c')[0][0]}_effective_step"] > 0
    if config is SACConfig:
        assert float(learner.curr_log_alpha["c"].detach()) != float(np.log(learner.config.initial_alpha))
    learner.remove_module("c")
    assert {entry.module_id for entry in learner._speeds} == {"a", "b"}
    update(learner, make_batch(learner, rows=50, seed=2))
    learner.shutdown()


def test_mixed_precision_steps_every_part_by_its_true_gradient() -> None:
    """A loss scale of 2^10 must not be seen in any step, whichever parts step, and however they are clipped."""
    parts = {"actor": {"schedule": 1e-3, "update_every": 2, "grad_clip": 0.1}, "critic": 1e-2}
    plain = make_learner(declare(PPOConfig(), parts))
    config = declare(PPOConfig(), parts).experimental(
        _torch_grad_scaler_class=partial(torch.amp.GradScaler, "cpu", init_scale=2.0**10, growth_interval=2)
    )
    scaled = make_learner(config)
    for learner in (plain, scaled):
        for number in range(5):
            update(learner, make_batch(learner, seed=number), minibatch_size=16, num_epochs=2)
    # It grew every second step or so.
    assert figures(scaled)[MINE]["_torch_grad_scaler_current_scale"] > 2.0**12
    for name, value in weights(plain)[MINE].items():
        torch.testing.assert_close(weights(scaled)[MINE][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [PPOConfig, APPOConfig])
def test_the_kl_coefficient_does_not_collapse_while_the_policy_waits(config: Any) -> None:
    waiting = {"actor": {"schedule": 1e-4, "update_every": 100}, "critic": 1e-3}
    kl = {"use_kl_loss": True, "kl_coeff": 0.2}
    learner = make_learner(declare(config().training(**kl), waiting))
    for number in range(6):
        batch = make_batch(learner, rows=50, seed=number)
        update(learner, batch)
        if number == 0:
            first = float(learner.curr_kl_coeffs_per_module[MINE])
    assert float(learner.curr_kl_coeffs_per_module[MINE]) == first
    # The control: a policy that may step, by next to nothing, loses the coefficient.
    control = make_learner(declare(config().training(**kl), {"actor": 1e-9, "critic": 1e-3}))
    for number in range(6):
        update(control, make_batch(control, rows=50, seed=number))
    assert float(control.curr_kl_coeffs_per_module[MINE]) < first / 10
    learner.shutdown()
    control.shutdown()


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_drift_is_held_to_its_budget(space: Any) -> None:
    budget = 1e-3
    parts = {
        "actor": {"schedule": 3e-4, "drift": {"target": budget, "rate": 0.5, "high": 100.0}},
        "critic": 1e-3,
    }
    learner = make_learner(declare(PPOConfig(), parts), action_space=space)
    drifts = []
    for number in range(40):
        update(learner, make_batch(learner, rows=64, seed=number), minibatch_size=32, num_epochs=3)
        drifts.append(float(figures(learner)[MINE]["kl_drift"]))
    assert drifts[0] < budget / 3
    assert np.exp(np.mean(np.log(drifts[20:]))) == pytest.approx(budget, rel=0.5)
    factor = figures(learner)[MINE]["actor_drift_factor"]
    assert factor > 1.5
    assert figures(learner)[MINE]["actor_learning_rate"] != 3e-4


def test_drift_of_a_part_that_moves_no_policy_is_refused() -> None:
    parts = {"actor": 1e-3, "critic": {"schedule": 1e-3, "drift": 0.1}}
    learner = make_learner(declare(PPOConfig(), parts))
    with pytest.raises(InputError, match=r"part 'critic': drift needs .*these are: actor"):
        update(learner, make_batch(learner))


def test_the_measured_drift_is_the_divergence_between_the_policies() -> None:
    learner = make_learner(declare(PPOConfig(), {"actor": 0.1, "critic": 0.1}))
    batch = make_batch(learner, rows=16)
    module = learner.module[MINE].unwrapped()
    observations = torch.from_numpy(batch.policy_batches[MINE]["obs"])
    logits = [module.forward_inference({"obs": observations})["action_dist_inputs"]]
    update(learner, batch)
    logits.append(module.forward_inference({"obs": observations})["action_dist_inputs"])
    before, after = (torch.log_softmax(values, dim=-1) for values in logits)
    divergence = (before.exp() * (before - after)).sum(-1).mean()
    assert figures(learner)[MINE]["kl_drift"] == pytest.approx(float(divergence), rel=1e-3)


def test_separations_are_logged_between_consecutive_timescales() -> None:
    critic, actor, slow = PowerLaw(0.1, 10, 0.6), PowerLaw(0.1, 10, 0.8), PowerLaw(0.1, 10, 1.0)
    spec = {"a": {"actor": actor, "critic": critic}, "b": {"actor": slow, "critic": critic}}
    learner = make_learner(timescales(PPOConfig(), spec), modules=["a", "b"])
    for number in range(3):
        update(learner, make_batch(learner, seed=number))
    logged = {name: float(value) for name, value in figures(learner)["__all_modules__"]["separation"].items()}
    assert logged == pytest.approx(
        {"a_actor_over_a_critic": actor(2) / critic(2), "b_actor_over_a_actor": slow(2) / actor(2)}
    )


def test_effective_step_is_relative_movement() -> None:
    learner = make_learner(declare(PPOConfig(), ACTOR_CRITIC))
    before = weights(learner)[MINE]
    update(learner, make_batch(learner), minibatch_size=16, num_epochs=2)
    after = weights(learner)[MINE]
    names = [name for name in before if "critic" in name or name.startswith("vf")]
    change = torch.cat([(after[n] - before[n]).flatten() for n in names]).norm()
    size = torch.cat([after[n].flatten() for n in names]).norm()
    assert figures(learner)[MINE]["critic_effective_step"] == pytest.approx(float(change / size), rel=1e-4)


def test_the_combined_class_is_one_and_travels_by_name() -> None:
    combined = multi_timescale(PPOTorchLearner)
    assert multi_timescale(PPOTorchLearner) is combined
    assert multi_timescale(combined) is combined
    assert issubclass(combined, MultiTimescaleMixin)
    assert issubclass(combined, PPOTorchLearner)
    data = cloudpickle.dumps(combined)
    assert cloudpickle.loads(data) is combined
    assert len(data) < 500


def test_learners_that_cannot_be_found_by_name_travel_whole() -> None:
    class Local(PPOTorchLearner):  # type: ignore[misc]
        pass

    combined = multi_timescale(Local)
    copy = cloudpickle.loads(cloudpickle.dumps(combined))
    assert issubclass(copy, MultiTimescaleMixin)
    assert copy.__mro__[2].__name__ == "Local"


def test_what_is_no_torch_learner_is_refused() -> None:
    with pytest.raises(InputError, match="TorchLearner"):
        multi_timescale(Learner)
    old = PPOConfig().api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    with pytest.raises(InputError, match="new API stack"):
        declare(old, ACTOR_CRITIC)


def test_the_call_checks_the_separation_of_a_run() -> None:
    with pytest.raises(InputError, match="theory"):
        declare(PPOConfig(), ACTOR_CRITIC, strict=True, num_updates=100)
    config = declare(
        PPOConfig(), {"actor": PowerLaw(1e-3, 10, 1.0), "critic": PowerLaw(1e-2, 10, 0.6)}, num_updates=100
    )
    assert Timescales.from_data(config.learner_config_dict["timescales"]).strict is False
