"""Training 2n updates equals n, saving, restoring into a fresh learner, and n more."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from timescale_learners import CONTINUOUS, DISCRETE, figures, make_batch, make_learner, update, weights

from invrec_rllib.rllib.timescale_config import timescales
from invrec_rllib.timescales import Part, PowerLaw, drift_from_data

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SLOW = Part(PowerLaw(1e-2, 5, 0.9), update_every=2)
FAST = Part(PowerLaw(3e-2, 5, 0.6), clock="gradient_steps", grad_clip=1.0)
DRIFTING = Part(PowerLaw(1e-2, 2000, 0.9), clock="env_steps", drift=drift_from_data(1e-3))
PPO = PPOConfig().training(entropy_coeff=[[0, 0.1], [2000, 0.0]], use_kl_loss=True)
# Batches bring 100 env steps: target networks move at 400 and at 800, half-way in between lies the checkpoint.
APPO = APPOConfig().training(
    use_kl_loss=True,
    train_batch_size_per_learner=350,
    target_network_update_freq=1,
    circular_buffer_num_batches=1,
    circular_buffer_iterations_per_batch=1,
)
SAC = SACConfig().training(target_network_update_freq=350, initial_alpha=0.6)
CASES = [
    pytest.param(PPO, {"actor": SLOW, "critic": FAST}, DISCRETE, id="PPO"),
    pytest.param(PPO, {"actor": DRIFTING, "critic": FAST}, CONTINUOUS, id="PPO-drift"),
    pytest.param(APPO, {"actor": SLOW, "critic": FAST}, DISCRETE, id="APPO"),
    pytest.param(IMPALAConfig(), {"actor": DRIFTING, "critic": FAST}, DISCRETE, id="IMPALA"),
    pytest.param(SAC, {"actor": SLOW, "critic": FAST, "alpha": 1e-2}, CONTINUOUS, id="SAC"),
    pytest.param(SAC, {"actor": SLOW, "critic": FAST, "alpha": 1e-2}, DISCRETE, id="SAC-discrete"),
    pytest.param(DQNConfig().training(target_network_update_freq=350), {"all": SLOW}, DISCRETE, id="DQN"),
]
HALF = 5


def learn(learner: Any, first: int, last: int) -> None:
    for number in range(first, last):
        batch = make_batch(learner, rows=50, seed=number)
        env_steps = 100 * (number + 1)
        # Minibatches are drawn at random by NumPy, SAC's actions by torch.
        update(
            learner, batch, env_steps=env_steps, minibatch_size=20, num_epochs=2, shuffle_batch_per_epoch=True
        )


def fresh(config: Any, parts: Any, space: Any) -> Any:
    return make_learner(
        timescales(config.copy(copy_frozen=False), {"*": parts}), modules=["a", "b"], action_space=space
    )


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (np.ndarray, torch.Tensor)):
        return bool((np.asarray(left) == np.asarray(right)).all())
    return bool(left == right)


@pytest.mark.parametrize(("config", "parts", "space"), CASES)
def test_a_restored_learner_goes_on_bit_for_bit(config: Any, parts: Any, space: Any, tmp_path: Path) -> None:
    whole = fresh(config, parts, space)
    learn(whole, 0, 2 * HALF)
    half = fresh(config, parts, space)
    learn(half, 0, HALF)
    half.save_to_path(str(tmp_path))
    rest = fresh(config, parts, space)
    for generator in (torch.manual_seed, np.random.seed, random.seed):
        generator(123)
    rest.restore_from_path(str(tmp_path))
    learn(rest, HALF, 2 * HALF)
    states = [learner.get_state(not_components="metrics_logger") for learner in (whole, rest)]
    assert same(states[0]["timescales"], states[1]["timescales"])
    assert same(states[0]["rl_module"], states[1]["rl_module"])
    assert same(states[0]["optimizer"], states[1]["optimizer"])
    names = ("learning_rate", "effective_step", "kl_drift", "curr_kl_coeff")
    logged = [
        {name: float(value) for name, value in figures(learner)["a"].items() if name.endswith(names)}
        for learner in (whole, rest)
    ]
    assert logged[0] == pytest.approx(logged[1], rel=1e-6)
    for learner in (whole, half, rest):
        learner.shutdown()


def test_a_learner_made_from_its_checkpoint_goes_on(tmp_path: Path) -> None:
    learner = fresh(PPO, {"actor": SLOW, "critic": FAST}, DISCRETE)
    learn(learner, 0, 2)
    learner.save_to_path(str(tmp_path))
    again = type(learner).from_checkpoint(str(tmp_path))
    assert same(again.get_state()["timescales"]["speeds"], learner.get_state()["timescales"]["speeds"])


def test_without_our_state_the_run_goes_on_elsewhere() -> None:
    """The control: RLlib's own state alone does not continue the run."""
    config, parts = PPO, {"actor": SLOW, "critic": FAST}
    whole, half, rest = (fresh(config, parts, DISCRETE) for _ in range(3))
    learn(whole, 0, 2 * HALF)
    learn(half, 0, HALF)
    state = half.get_state()
    del state["timescales"]
    rest.set_state(state)
    learn(rest, HALF, 2 * HALF)
    assert not same(whole.get_state()["rl_module"], rest.get_state()["rl_module"])


def test_weights_are_sent_to_runners_without_the_rest() -> None:
    learner = fresh(PPO, {"actor": SLOW, "critic": FAST}, DISCRETE)
    assert "timescales" in learner.get_state()
    for components in ("rl_module", ["rl_module/a", "rl_module/b"]):
        assert "timescales" not in learner.get_state(components=components, inference_only=True)


def test_a_checkpoint_of_rllibs_learner_gives_its_weights_and_no_second_optimizers() -> None:
    plain = make_learner(PPOConfig(), modules=["a", "b"])
    learn(plain, 0, 2)
    ours = fresh(PPOConfig(), {"actor": SLOW, "critic": FAST}, DISCRETE)
    ours.set_state(plain.get_state())
    assert [name for name, _ in ours.get_optimizers_for_module("a")] == ["actor", "critic"]
    assert all(torch.equal(weights(ours)["a"][name], value) for name, value in weights(plain)["a"].items())


def test_the_state_is_plain_data() -> None:
    """What msgpack can hold: it loads without running code."""
    learner = fresh(SAC, {"actor": SLOW, "critic": FAST, "alpha": 1e-2}, CONTINUOUS)
    learn(learner, 0, 1)

    def kinds(value: Any) -> set[type]:
        if isinstance(value, dict):
            return set().union(*map(kinds, value), *map(kinds, value.values()))
        if isinstance(value, (list, tuple)):
            return set().union(*map(kinds, value)) if value else set()
        return {type(value)}

    assert kinds(learner.get_state()["timescales"]) <= {str, int, float, bool, type(None), np.ndarray}


def test_a_state_taken_while_a_thread_learns_is_of_one_moment() -> None:
    config, parts = PPO, {"actor": {"schedule": 1e-2, "clock": "gradient_steps"}, "critic": FAST}
    moments = {}
    reference = fresh(config, parts, DISCRETE)
    inner = reference._update

    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        moments.update([moment(reference.get_state(not_components="metrics_logger"))])
        return result

    reference._update = recorded
    learn(reference, 0, HALF)
    learner = fresh(config, parts, DISCRETE)
    thread = threading.Thread(target=learn, args=(learner, 0, HALF))
    states = []
    thread.start()
    while thread.is_alive():
        states.append(learner.get_state(not_components="metrics_logger"))
    seen = [moment(state) for state in states if moment(state)[0] > 0]
    assert len({steps for steps, _ in seen}) > 3
    assert all(moments[steps] == values for steps, values in seen)


def moment(state: dict[str, Any]) -> tuple[int, tuple[float, ...]]:
    """Gradient steps so far, and what they made of weights and of the optimizer's moments."""
    steps = state["timescales"]["speeds"]["parts"]["b"]["critic"]["gradient_steps"]
    sums = [float(np.abs(value).sum()) for values in state["rl_module"].values() for value in values.values()]
    for optimizer in state["optimizer"].values():
        sums += [float(np.abs(slot["exp_avg"]).sum()) for slot in optimizer["state"]["state"].values()]
    return steps, tuple(sums)
