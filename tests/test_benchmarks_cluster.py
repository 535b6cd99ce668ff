"""The model of an iteration's cost on a cluster, by hand; and that it is measured and printed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.benchmarks.cluster import benchmark_cluster
from invrec_rllib.benchmarks.cost_model import Costs, Layout, Network, predict
from invrec_rllib.cli import app
from invrec_rllib.errors import InputError

# Round figures: a step of a batch takes 1 s and 0.1 s per environment; a learner's epochs 0.01 s per env step.
COSTS = Costs(
    periods=10,
    batch_step_seconds=1.0,
    env_step_seconds=0.1,
    block_bytes=100.0,
    copy_seconds=0.001,
    weight_bytes=50.0,
    call_seconds=0.5,
    update_seconds=2.0,
    learn_seconds=0.01,
    gradient_bytes=40.0,
)
LINK = Network(bytes_per_second=10.0, latency_seconds=0.25)
ALONE = Layout(cores=1, runners=0, learners=0, episodes=8, updates=4)


def test_a_process_alone_has_no_network() -> None:
    found = predict(COSTS, ALONE, network=LINK)
    # 10 steps of 1 + 8 x 0.1 s; 4 updates of 2 s and 80 env steps of 0.01 s.
    assert (found.sampling, found.network, found.learning) == pytest.approx((18.0, 0.0, 8.8))
    assert found.env_steps == 80
    assert found.steps_per_second == pytest.approx(80 / 26.8)


def test_runners_of_one_node_share_episodes_and_copy_their_blocks() -> None:
    found = predict(COSTS, replace(ALONE, cores=4, runners=2), network=LINK)
    assert found.sampling == pytest.approx(10 * (1 + 4 * 0.1))
    # 80 steps of 100 bytes copied; 2 calls; weights over the link to the one node.
    assert found.network == pytest.approx(80 * 100 * 0.001 + 2 * 0.5 + 50 / 10)


def test_blocks_of_other_nodes_cross_the_learners_link() -> None:
    layout = replace(ALONE, cores=8, runners=2, node_cores=2)
    found = predict(COSTS, layout, network=LINK)
    # Three of four nodes are elsewhere.
    assert found.network == pytest.approx(80 * 100 * (0.001 + 0.75 / 10) + 2 * 0.5 + 4 * 50 / 10)


def test_learners_share_steps_and_exchange_gradients_in_a_ring() -> None:
    one = predict(COSTS, replace(ALONE, cores=4, learners=1), network=LINK)
    two = predict(COSTS, replace(ALONE, cores=4, learners=2), network=LINK)
    assert two.learning == pytest.approx(8.0 + 0.8 / 2)
    # Two messages of half the gradient for each of four updates.
    assert two.network - one.network == pytest.approx(2 * 4 * (0.25 + 20 / 10))


def test_more_processes_than_cores_take_turns() -> None:
    apart = predict(COSTS, replace(ALONE, cores=4, runners=4), network=LINK)
    crowded = predict(COSTS, replace(ALONE, cores=2, runners=4), network=LINK)
    assert crowded.sampling == pytest.approx(2 * apart.sampling)


def test_runners_without_an_episode_add_nothing_but_calls() -> None:
    eight = predict(COSTS, replace(ALONE, cores=32, node_cores=32, runners=8), network=LINK)
    many = predict(COSTS, replace(ALONE, cores=32, node_cores=32, runners=31), network=LINK)
    assert many.sampling == eight.sampling
    assert many.network - eight.network == pytest.approx(23 * 0.5)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"env_step_seconds": 100.0}, "sampling"),
        ({"call_seconds": 1000.0}, "network"),
        ({"learn_seconds": 100.0}, "learning"),
    ],
)
def test_the_dearest_part_binds(changes: dict[str, float], part: str) -> None:
    layout = replace(ALONE, cores=4, runners=2)
    assert predict(replace(COSTS, **changes), layout, network=LINK).binds == part


@pytest.mark.parametrize("name", ["cores", "runners", "learners", "episodes", "updates", "node_cores"])
def test_impossible_layouts_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least"):
        replace(ALONE, **{name: -1})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gigabits": 0.0}, "gigabits"), ({"cores": (10, 1)}, "cores"), ({"rounds": 0}, "rounds")],
)
def test_impossible_benchmarks_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmark_cluster("tiny", **options)


@pytest.mark.slow
# Ray leaves sockets and the pipes of its processes to the garbage collector when it stops.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_costs_are_measured_checked_and_extrapolated() -> None:
    found = benchmark_cluster("tiny", cores=(10,), episodes=4, rounds=1, checked=((2, 0),))
    costs = found["costs"]
    assert costs["periods"] == 30  # of the preset
    assert costs["block_bytes"] > 0
    assert costs["weight_bytes"] > 0
    # The learner has a critic beside the actors.
    assert costs["gradient_bytes"] > costs["weight_bytes"]
    (checked,) = found["checked"]
    assert checked["predicted_over_measured"] == checked["seconds"] / checked["measured_seconds"]
    assert [(row["runners"], row["learners"]) for row in found["predicted"]] == [(9, 0), (9, 0), (8, 1)]
    assert {row["binds"] for row in found["predicted"]} <= {"sampling", "network", "learning"}


def test_the_command_prints_what_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"cores": 10, "runners": 9, "learners": 0, "env_steps": 3840, "sampling": 0.1, "network": 0.2}
    row |= {"learning": 0.7, "seconds": 1.0, "measured_seconds": 1.25, "predicted_over_measured": 0.8}
    row |= {"env_steps_per_second": 3840.0, "binds": "learning"}
    found = {"costs": {"periods": 10}, "checked": [row], "predicted": [row], "machine": {"cores": 2}}
    monkeypatch.setattr("invrec_rllib.benchmarks.cluster.benchmark_cluster", lambda *a, **k: found)
    runner = CliRunner()
    shown = runner.invoke(app, ["bench", "cluster"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "3,840" in shown.output
    assert "learning" in shown.output
    assert json.loads(runner.invoke(app, ["bench", "cluster", "--json"]).stdout) == found
