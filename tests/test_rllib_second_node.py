"""Env runners on another node find the environment by its name."""

from __future__ import annotations

import logging

import pytest
import ray
from ray.cluster_utils import Cluster

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.quiet import build_quietly


@pytest.mark.slow
# Ray leaves sockets and the pipes of its processes to the garbage collector when it stops.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_runners_on_a_second_node_sample_the_world() -> None:
    settings = TrainSettings(
        scenario="tiny",
        env_runners=2,
        envs_per_runner=2,
        steps_per_iteration=120,
        minibatch_size=60,
        epochs=1,
    )
    # A head without CPUs: every runner has to go to the other node.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=2)
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        algorithm = build_quietly(build_config(settings))
        result = algorithm.train()
        nodes = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: ray.get_runtime_context().get_node_id(), local_env_runner=False
        )
        algorithm.stop()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert nodes == [second.node_id] * 2
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] == 120
    assert result["env_runners"]["economics"]["sales"] > 0
