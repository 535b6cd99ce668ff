"""The simulator's benchmark reports what it promises; the clock itself is not tested."""

from __future__ import annotations

import json

import pytest

from invrec_rllib.benchmarks.simulator import benchmark_simulator
from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.scenario import generate_scenario, preset_names


def test_the_report_has_both_figures_by_scenario_and_batch_size_and_the_machine() -> None:
    seen = []
    report = benchmark_simulator(
        ["tiny", generate_scenario(seed=0, name="own", periods=8, review_periods=3)],
        batch_sizes=(1, 3),
        seconds=0.0,
        on_result=lambda *result: seen.append(result),
    )
    assert set(report["scenarios"]) == {"tiny", "own"}
    for name, cells in (("tiny", 2), ("own", 50)):
        figures = report["scenarios"][name]
        for size in (1, 3):
            rate = figures["steps_per_second"][size]
            assert rate > 0
            assert figures["nanoseconds_per_product_segment_step"][size] == pytest.approx(
                1e9 / (rate * cells)
            )
            assert (name, size, rate) in seen
    assert {"cpu", "cores", "load_1_minute", "python", "numpy"} <= set(report["machine"])
    assert json.loads(json.dumps(report))["scenarios"]["tiny"]["steps_per_second"]["1"] > 0


def test_a_batch_beyond_the_memory_budget_runs_in_sub_batches() -> None:
    report = benchmark_simulator(["tiny"], batch_sizes=(1, 100), seconds=0.0, memory_bytes=16 * 8 * 2 * 10)
    assert report["scenarios"]["tiny"]["episodes_at_once"] == {1: 1, 100: 10}


def test_all_presets_are_measured_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from invrec_rllib.benchmarks import simulator

    monkeypatch.setattr(simulator, "_time_episodes", lambda *args, **options: 0.5)
    assert set(benchmark_simulator(seconds=0.0)["scenarios"]) == set(preset_names())


def test_impossible_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"batch_sizes must be at least 1, got \[4, 0\]"):
        benchmark_simulator(["tiny"], batch_sizes=(4, 0))
    with pytest.raises(ScenarioError, match="neither a file nor a preset"):
        benchmark_simulator(["nowhere"])
