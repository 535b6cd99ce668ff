"""A real cluster of several nodes with token authentication, as the files of `cluster/` start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cluster_processes import ProcessCluster, alive, family, process_cluster

pytestmark = pytest.mark.slow

COUNT_NODES = (
    "import ray; ray.init(logging_level='ERROR'); print(sum(node['Alive'] for node in ray.nodes()), 'alive')"
)
WORK = """
import ray
ray.init(logging_level="ERROR", log_to_driver=False)
where = ray.remote(num_cpus=1)(lambda: ray.get_runtime_context().get_node_id())
print(len({*ray.get([where.options(scheduling_strategy="SPREAD").remote() for _ in range(8)])}), "nodes worked")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[ProcessCluster]:
    with process_cluster(1, dashboard=True) as running:
        yield running


def submit_job(cluster: ProcessCluster, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Submit a job that prints how many nodes it sees."""
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "job",
        "submit",
        "--address",
        cluster.jobs_address,
    ]
    return subprocess.run(
        [*command, "--", sys.executable, "-c", COUNT_NODES],
        env={**environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def without_token(cluster: ProcessCluster) -> dict[str, str]:
    return {**cluster.environment, "RAY_AUTH_MODE": "disabled"}


def with_another_token(cluster: ProcessCluster) -> dict[str, str]:
    return {**cluster.environment, "RAY_AUTH_TOKEN": "f" * 64}


Environment = Callable[[ProcessCluster], dict[str, str]]
REFUSED: tuple[Environment, ...] = (without_token, with_another_token)


def test_a_job_with_the_token_runs_on_the_cluster(cluster: ProcessCluster) -> None:
    finished = submit_job(cluster, cluster.environment)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "2 alive" in finished.stdout


@pytest.mark.parametrize("environment", REFUSED)
def test_a_job_without_the_token_is_refused(cluster: ProcessCluster, environment: Environment) -> None:
    finished = submit_job(cluster, environment(cluster))
    assert finished.returncode != 0
    assert "AuthenticationError" in finished.stderr
    assert "submitted successfully" not in finished.stdout


@pytest.mark.parametrize("environment", REFUSED)
def test_a_driver_without_the_token_is_refused(cluster: ProcessCluster, environment: Environment) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", COUNT_NODES],
        # Once is enough: Ray asks twenty times by default, a second apart.
        env={**environment(cluster), "RAY_NUM_REDIS_GET_RETRIES": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode != 0
    assert "AuthenticationError" in finished.stderr
    assert "alive" not in finished.stdout


def test_a_node_that_joins_works(cluster: ProcessCluster) -> None:
    node = cluster.add_node()
    assert cluster.workers[-1] is node
    finished = cluster.run([sys.executable, "-c", WORK])
    assert "2 nodes worked" in finished.stdout, finished.stderr


def test_a_lost_node_leaves_no_process(cluster: ProcessCluster) -> None:
    lost = cluster.workers[0]
    processes = family(lost.process.pid)
    assert len(processes) > 2
    cluster.kill_node(lost)
    assert lost not in cluster.workers
    assert not any(alive(pid) for pid in processes)
    assert alive(cluster.head.process.pid)


def test_nothing_is_left_of_a_cluster() -> None:
    with process_cluster() as cluster:
        processes = family(cluster.head.process.pid)
        assert (cluster.folder / "head").is_dir()
    assert not any(alive(pid) for pid in processes)
    assert not Path(cluster.folder).exists()
