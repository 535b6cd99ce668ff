"""Two learners that see different data, in different orders, stay equal; or say why they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Outcomes = list[dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Of the scenarios in `replica_worker`, by learner; processes whose hashes, and so sets, are ordered unlike."""
    meeting_point = tmp_path_factory.mktemp("replicas") / "meeting_point"
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "replica_worker.py"), str(rank), str(meeting_point)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": str(rank + 1), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    try:
        printed = [worker.communicate(timeout=200) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, errors) in zip(workers, printed, strict=True):
        assert worker.returncode == 0, errors[-3000:]
    return [json.loads(out.strip().splitlines()[-1]) for out, _ in printed]


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        "ppo_equal",
        "ppo_unequal",
        "ppo_drift",
        "sac_equal",
        "sac_unequal",
        "shared_critic",
        "other_modules",
        "end_together",
    ],
)
def test_learners_stay_equal(outcomes: Outcomes, scenario: str) -> None:
    first, second = (outcome[scenario] for outcome in outcomes)
    assert len(first) > 4
    assert first == second


@pytest.mark.slow
def test_rllibs_own_learners_drift_apart(outcomes: Outcomes) -> None:
    """The control, and the day that ray#63819 is repaired."""
    first, second = (outcome["rllib_ppo_equal"] for outcome in outcomes)
    assert first != second


@pytest.mark.slow
def test_the_temperature_and_the_shared_critic_are_among_what_is_compared(outcomes: Outcomes) -> None:
    assert {"a.log_alpha", "b.log_alpha"} <= outcomes[0]["sac_equal"].keys()
    assert {"critic.vf.1.weight", "critic.vf.0.running_mean"} <= outcomes[0]["shared_critic"].keys()
    assert outcomes[0]["ppo_drift"]["a_actor.factor"] != 1.0


@pytest.mark.slow
def test_a_module_learns_from_the_one_learner_that_has_its_data(outcomes: Outcomes) -> None:
    assert outcomes[1]["other_modules"]["moved"] > 0.01


@pytest.mark.slow
def test_agents_that_end_apart_are_refused_by_all_learners_at_once(outcomes: Outcomes) -> None:
    # In the second learner's share they ended together.
    for outcome in outcomes:
        assert "num_learners = 2, but agents end at different times" in outcome["end_apart"]["error"]
        assert outcome["end_together"]["error"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["other_minibatches", "no_minibatch"])
def test_learners_out_of_step_say_so_instead_of_waiting(outcomes: Outcomes, scenario: str) -> None:
    for outcome in outcomes:
        assert (
            "num_learners = 2: the learners had unlike numbers of minibatches" in outcome[scenario]["error"]
        )
