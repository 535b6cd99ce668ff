"""What `invrec tune` shows: lines, the table, the time left."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from invrec_rllib.cli.tuning_screen import line, render
from invrec_rllib.tuning.plan import Plan
from invrec_rllib.tuning.sweep import make_sweep
from invrec_rllib.tuning.watching import Board

SWEEP = make_sweep(
    {
        "name": "some",
        "question": "Which?",
        "base": {"iterations": 10},
        "space": {"memory": {"grid": ["none", "gru"]}},
        "seeds": [0, 1],
    }
)


class TuneTrial:
    """What is read of Tune's trials."""

    def __init__(
        self, number: int, memory: str, seed: int, status: str, *, failures: int = 0, **result: Any
    ) -> None:
        self.trial_id, self.status, self.last_result = f"t{number}", status, result
        self.config, self.num_failures = {"memory": memory, "seed": seed}, failures


def board() -> Board:
    made = Board(Plan(SWEEP, resources={"CPU": 1.0}, iterations=40, currencies={"grocery": "USD"}))
    made.look_at(
        [
            TuneTrial(0, "none", 0, "TERMINATED", iteration=10, profit=100.0, seconds=61.0, done=True),
            TuneTrial(1, "none", 1, "TERMINATED", iteration=5, profit=50.0, seconds=30.0, done=True),
            TuneTrial(2, "gru", 0, "RUNNING", iteration=5, profit=80.0, seconds=30.0),
            # Tune ends all trials of an interrupted sweep: without a last result it is not over.
            TuneTrial(3, "gru", 1, "TERMINATED"),
        ]
    )
    return made


def test_a_line_says_the_trial_its_money_and_how_far_the_sweep_is() -> None:
    made = board()
    assert line(made, made.trials["t0"]) == (
        "2/4 memory=none seed 0: finished, 10/10 iterations, profit 100.0 USD; time left not known yet"
    )
    assert "memory=none seed 1: stopped early, 5/10" in line(made, made.trials["t1"])
    assert "gru seed 1: waiting, 0/10 iterations, no profit yet" in line(made, made.trials["t3"])


@pytest.mark.parametrize(
    ("status", "failures", "early"), [("ERROR", 3, True), ("ERROR", 4, False), ("RUNNING", 3, False)]
)
def test_trials_that_are_given_up_with_failures_left_are_seen_when_all_are_over(
    status: str, failures: int, early: bool
) -> None:
    made = board()
    assert SWEEP.max_failures == 3
    made.look_at(
        [TuneTrial(2, "gru", 0, "ERROR", failures=4), TuneTrial(3, "gru", 1, status, failures=failures)]
    )
    assert made.gave_up_early == early


def test_the_table_shows_what_runs_first_and_then_the_best_means() -> None:
    text = shown(board())
    rows = [row.split()[:2] for row in text.splitlines() if "memory=" in row]
    # The means so far: 80 of gru, 75 of none.
    assert rows == [["memory=gru", "0"], ["memory=gru", "1"], ["memory=none", "0"], ["memory=none", "1"]]
    assert "profit, USD" in text
    assert "75.0" in text
    assert "2 of 4 trials over; time left not known yet" in text


def shown(made: Board) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(render(made))
    return console.export_text()


def test_the_time_left_follows_the_iterations_of_this_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("invrec_rllib.tuning.watching.time.monotonic", lambda: now)
    made = board()
    # 20 iterations had been done before this call: they say nothing of its pace.
    assert made.seconds_left() is None
    now += 6.0
    made.look_at([TuneTrial(2, "gru", 0, "RUNNING", iteration=8, profit=90.0)])
    # 3 iterations in 6 seconds; 40 less 23 done less 5 that an early stop saved.
    assert made.seconds_left() == pytest.approx(24.0)
