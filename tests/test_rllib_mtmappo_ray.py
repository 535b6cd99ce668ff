"""MTMA-PPO as an algorithm of RLlib: several learners, remote runners, checkpoints, Tune."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import HORIZON
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm

from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import AGENTS, build_config, policy_of_agent
from invrec_rllib.rllib.mtmappo import MTMAPPO, NAME
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray
from invrec_rllib.rllib.register import make_env_config, register

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Overriding environment rllib-"),
]

ENVS = 8
SPEEDS = {
    "critic": {"critic": {"kind": "power_law", "initial": 4e-3, "offset": 3, "power": 0.6}},
    "recommender": {"actor": {"kind": "power_law", "initial": 3e-3, "offset": 3, "power": 0.8}},
    "inventory": {"actor": {"kind": "power_law", "initial": 2e-3, "offset": 3, "power": 1.0}},
}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One small Ray for all tests of this file."""
    start_ray(4)
    register()
    yield
    stop_ray()


def configure(**changes: Any) -> Any:
    """MTMA-PPO on `tiny`."""
    return build_config(
        TrainSettings(
            **{
                "scenario": "tiny",
                "seed": 3,
                "envs_per_runner": ENVS,
                "steps_per_iteration": ENVS * HORIZON,
                "minibatch_size": 60,
                "epochs": 2,
                "max_seq_len": 7,
                "memory_size": 4,
                "timescales": SPEEDS,
                **changes,
            }
        )
    )


def reader() -> Any:
    """What reads a learner's parameters, buffers and step sizes; made here, since learners elsewhere lack this file."""

    def learner_state(learner: Any) -> dict[str, Any]:
        weights = {
            f"{name}/{key}": value.detach().cpu().numpy().copy()
            for name in sorted(learner.module.keys())
            for key, value in learner.module[name].unwrapped().state_dict().items()
        }
        rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in sorted(learner._named_optimizers.items())
        }
        return {"weights": weights, "rates": rates}

    return learner_state


def local_state(algorithm: Any) -> dict[str, Any]:
    """The same of the learner in this process."""
    state: dict[str, Any] = reader()(algorithm.learner_group._learner)
    return state


def test_two_learners_and_a_remote_runner_stay_equal() -> None:
    config = configure(memory="gru", normalisation="running", env_runners=1)
    config.learners(num_learners=2)
    algorithm: Any = build_quietly(config)
    try:
        results = [algorithm.train() for _ in range(2)]
        first, second = (result.get() for result in algorithm.learner_group.foreach_learner(reader()))
        local = algorithm.get_module("inventory")
    finally:
        algorithm.stop()
    assert results[-1]["env_runners"]["num_env_steps_sampled_lifetime"] == 2 * 2 * ENVS * HORIZON
    assert first["rates"] == second["rates"]
    assert first["weights"].keys() == second["weights"].keys()
    for name, value in first["weights"].items():
        np.testing.assert_array_equal(value, second["weights"][name], err_msg=name)
        assert np.isfinite(value).all()
    # Statistics of the targets of both learners, followed once per update.
    assert first["weights"]["critic/critic.output.num_updates"] == 2
    # The runners play what the learners have learned.
    for key, value in local.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), first["weights"][f"inventory/{key}"])
    assert not any("critic" in name for name, _ in local.named_parameters())


def test_training_goes_on_where_a_checkpoint_was_written(tmp_path: Path) -> None:
    algorithm: Any = build_quietly(configure(memory="lstm", normalisation="running"))
    try:
        algorithm.train()
        saved = local_state(algorithm)
        algorithm.save_to_path(tmp_path / "checkpoint")
        algorithm.train()
        beyond = local_state(algorithm)
    finally:
        algorithm.stop()
    restored: Any = Algorithm.from_checkpoint(str(tmp_path / "checkpoint"))
    try:
        assert MTMAPPO in type(restored).mro()
        again = local_state(restored)
        for name, value in saved["weights"].items():
            np.testing.assert_array_equal(value, again["weights"][name], err_msg=name)
        assert restored.iteration == 1
        restored.train()
        further = local_state(restored)
    finally:
        restored.stop()
    assert further["rates"] == beyond["rates"] != saved["rates"]
    assert further["weights"]["critic/critic.output.num_updates"] == 2
    # What is exported beside it acts, and holds no critic.
    policy = Policy.load(tmp_path / "checkpoint")
    held = [name for actor in policy.actors.values() for name, _ in actor.network.named_parameters()]
    assert held
    assert set(policy.actors) == set(AGENTS)
    assert not any("critic" in name or "output" in name for name in held)
    for agent, actor in policy.actors.items():
        for name, value in actor.network.state_dict().items():
            expected = torch.from_numpy(saved["weights"][f"{agent}/actor.{name}"])
            torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_tune_finds_it_by_name_and_reads_its_choices_from_plain_data(tmp_path: Path) -> None:
    space = {
        "env": "invrec_v0",
        "env_config": make_env_config("tiny", seed=1),
        "policies": list(AGENTS),
        "policy_mapping_fn": policy_of_agent,
        "num_envs_per_env_runner": ENVS,
        "batch_mode": "complete_episodes",
        "train_batch_size_per_learner": ENVS * HORIZON,
        "minibatch_size": 120,
        "num_epochs": 1,
        "log_level": "ERROR",
        "timescales": SPEEDS,
        "memory": {"kind": "gru", "size": 3, "max_seq_len": 10},
        "network": {"hidden": tune.grid_search([8, 12])},
        "critic": "shared",
    }
    results: Any = tune.Tuner(
        NAME,
        param_space=space,
        run_config=tune.RunConfig(stop={"training_iteration": 2}, storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert not results.errors
    assert len(results) == 2
    for result in results:
        assert result.metrics["learners"]["critic"]["critic_learning_rate"] < 4e-3
        assert result.metrics["env_runners"]["num_env_steps_sampled_lifetime"] == 2 * ENVS * HORIZON
