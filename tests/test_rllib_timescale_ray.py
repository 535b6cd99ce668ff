"""The multi-timescale learner where only Ray will do: learner threads, remote learners, Tune, the examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from fed_ppo import FedPPO, make_config
from ray import tune
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from timescale_learners import SMALL

from invrec_rllib.examples import ppo_cartpole, ppo_simple_spread, sac_pendulum
from invrec_rllib.rllib.timescale_config import timescales

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of many kinds, from its threads
]

LEARNER = f"{COMPONENT_LEARNER_GROUP}/{COMPONENT_LEARNER}"
HALF = 3


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()


def learner_state(algorithm: Any) -> dict[str, Any]:
    state: dict[str, Any] = algorithm.learner_group.get_state()[COMPONENT_LEARNER]
    return state


def parameters(algorithm: Any) -> dict[str, np.ndarray]:
    module: dict[str, np.ndarray] = learner_state(algorithm)[COMPONENT_RL_MODULE]["default_policy"]
    return module


Stand = tuple[dict[str, np.ndarray], dict[str, Any], int]


def run(
    num_iterations: int, *, num_learners: int = 0, save: Path | None = None, restore: Path | None = None
) -> Stand:
    """Train, saving half-way or after restoring; weights, positions of the parts and iteration at the end."""
    algorithm = make_config(num_learners=num_learners).build_algo()
    if restore is not None:
        algorithm.restore_from_path(str(restore))
    for number in range(num_iterations):
        if save is not None and number == num_iterations // 2:
            algorithm.save_to_path(str(save))
        algorithm.train()
    stand = parameters(algorithm), learner_state(algorithm)["timescales"]["speeds"], algorithm.iteration
    algorithm.stop()
    return stand


@pytest.mark.parametrize(("num_learners", "tolerance"), [(0, 0.0), (2, 1e-6)])
def test_a_restored_algorithm_goes_on_where_it_was(
    num_learners: int, tolerance: float, tmp_path: Path
) -> None:
    whole = run(2 * HALF, num_learners=num_learners, save=tmp_path / "half")
    rest = run(HALF, num_learners=num_learners, restore=tmp_path / "half")
    assert rest[2] == whole[2] == 2 * HALF
    assert rest[1] == whole[1]
    for name, value in whole[0].items():
        np.testing.assert_allclose(rest[0][name], value, rtol=0, atol=tolerance)


class Interrupted(FedPPO):
    """Fails once, after its first checkpoints, as if its machine had died."""

    def training_step(self) -> None:
        marker = Path(self.config.learner_config_dict["marker"])
        if self.iteration == HALF and not marker.exists():
            marker.touch()
            raise RuntimeError("as if the machine had died")
        super().training_step()


def test_a_run_that_tuner_restore_resumes_ends_bit_for_bit_like_one_without_a_break(tmp_path: Path) -> None:
    config = make_config()
    config.algo_class = Interrupted
    config.learners(learner_config_dict={**config.learner_config_dict, "marker": str(tmp_path / "marker")})
    trainable = tune.with_resources(Interrupted, {"CPU": 1})
    tuner = tune.Tuner(
        trainable,
        param_space=config,
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(tmp_path),
            stop={"training_iteration": 2 * HALF},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            verbose=0,
        ),
    )
    assert tuner.fit().errors
    resumed = tune.Tuner.restore(
        str(tmp_path / "run"), trainable=trainable, param_space=config, resume_errored=True
    )
    (result,) = resumed.fit()
    assert result.error is None
    assert result.metrics["training_iteration"] == 2 * HALF
    resumed_stand = run(0, restore=Path(result.checkpoint.path))
    whole = run(2 * HALF)
    assert resumed_stand[1:] == whole[1:]
    for name, value in whole[0].items():
        np.testing.assert_array_equal(resumed_stand[0][name], value)


@pytest.mark.parametrize(
    ("make", "num_learners"), [(APPOConfig, 0), (IMPALAConfig, 2)], ids=["APPO", "IMPALA-two-learners"]
)
def test_learners_with_a_thread_train_and_save(make: Any, num_learners: int, tmp_path: Path) -> None:
    config = (
        make()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=1, rollout_fragment_length=25)
        .learners(num_learners=num_learners)
        .training(train_batch_size_per_learner=100, broadcast_interval=1)
        .rl_module(model_config=SMALL)
        .reporting(min_time_s_per_iteration=0)
    )
    parts = {
        "critic": {"kind": "power_law", "initial": 1e-2, "offset": 10, "power": 0.6},
        "actor": {"schedule": 1e-3, "update_every": 2},
    }
    algorithm = timescales(config, {"*": parts}).build_algo()
    try:
        steps, rate = 0, np.nan
        while steps < 3 or not np.isfinite(rate):
            figures = algorithm.train().get("learners", {}).get("default_policy", {})
            # Not a number in iterations in which the thread finished no update.
            rate = figures.get("critic_learning_rate", rate)
            state = learner_state(algorithm)["timescales"]["speeds"]["parts"]["default_policy"]
            steps = state["actor"]["gradient_steps"]
        # Asked for in the middle of the thread's work: actor and critic still stand where they belong together.
        assert state["critic"]["updates"] == state["actor"]["updates"]
        assert state["actor"]["updates_stepped"] == (state["actor"]["updates"] + 1) // 2
        assert rate < 1e-2
        algorithm.save_to_path(str(tmp_path / "checkpoint"))
        saved = parameters(algorithm)
    finally:
        algorithm.stop()
    assert all(np.isfinite(value).all() for value in saved.values())


@pytest.mark.parametrize("example", [ppo_cartpole, ppo_simple_spread])
def test_examples_run(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert np.isfinite(example.main(["--iterations", "1"]))
    assert "return" in capsys.readouterr().out


def test_the_example_of_sac_declares_parts_that_its_learner_has() -> None:
    """Its iterations take a minute; what can go wrong in them is tested elsewhere."""
    assert set(sac_pendulum.SPEEDS["default_policy"]) == {"actor", "critic", "alpha"}
