"""The training benchmark's parts, without Ray: what they count and divide, by a clock that the tests move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.benchmarks import asynchronous, memory, stopwatch, training, turns
from invrec_rllib.benchmarks.asynchronous import measure_asynchronous
from invrec_rllib.benchmarks.fast_runner import measure_sampling
from invrec_rllib.benchmarks.iteration import measure_iterations
from invrec_rllib.benchmarks.memory import measure_memory
from invrec_rllib.benchmarks.paths import fast_config, settings_of_whole_episodes, stock_config
from invrec_rllib.benchmarks.runners import measure_runners
from invrec_rllib.benchmarks.scale import measure_scale
from invrec_rllib.benchmarks.stopwatch import Watched, own_time
from invrec_rllib.cli import app
from invrec_rllib.errors import InputError, ScenarioError


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turns.time, "perf_counter", made)
    monkeypatch.setattr(stopwatch.time, "perf_counter", made)
    return made


class Worker:
    """Does work that takes as long as it says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def outer(self) -> str:
        self.clock.now += 1.0
        self.inner(fails=False)
        self.inner(fails=False)
        return "done"

    def inner(self, *, fails: bool) -> None:
        self.clock.now += 3.0
        if fails:
            raise ValueError("the work failed")


class Heir(Worker):
    """Inherits both."""


def test_what_a_watched_method_calls_is_not_its_own_time(clock: Clock) -> None:
    with own_time([Watched(Heir, "outer", "outer"), Watched(Heir, "inner", "inner")]) as seconds:
        assert Heir(clock).outer() == "done"
        assert seconds == {"outer": 1.0, "inner": 6.0}
        Worker(clock).outer()
    assert seconds == {"outer": 1.0, "inner": 6.0}


def test_methods_are_as_before_once_the_watch_is_over_even_if_they_failed(clock: Clock) -> None:
    before = dict(vars(Worker)), dict(vars(Heir))
    watched = [Watched(Worker, "inner", "work"), Watched(Heir, "inner", "work")]
    with pytest.raises(ValueError, match="the work failed"), own_time(watched) as seconds:
        Heir(clock).inner(fails=True)
    # The heir's is the watched one that it inherits: the same time is not counted twice.
    assert seconds == {"work": 3.0}
    assert (dict(vars(Worker)), dict(vars(Heir))) == before


def working(
    clock: Clock, *, steps: int, takes: Iterator[float], log: list[str], name: str
) -> Callable[[], int]:
    def work() -> int:
        log.append(name)
        clock.now += next(takes)
        return steps

    return work


def test_paths_take_turns_and_the_fastest_turn_counts(clock: Clock) -> None:
    log: list[str] = []
    paths = {
        name: working(clock, steps=steps, takes=iter(takes), log=log, name=name)
        for name, steps, takes in (("a", 10, [5.0, 2.0, 4.0]), ("b", 6, [1.0, 3.0, 2.0]))
    }
    assert turns.fastest_turns(paths, rounds=3) == {"a": 5.0, "b": 6.0}
    assert log == ["a", "b"] * 3


def test_a_turn_lasts_as_long_as_was_asked(clock: Clock) -> None:
    log: list[str] = []
    path = {"a": working(clock, steps=10, takes=iter([2.0, 2.0, 4.0]), log=log, name="a")}
    assert turns.fastest_turns(path, rounds=1, seconds=4.5) == {"a": 30 / 8.0}


def test_all_paths_have_the_same_networks_and_settings_of_ppo() -> None:
    settings = settings_of_whole_episodes("tiny", envs=4, seed=7)
    fast, stock = fast_config(settings), stock_config(settings, envs=2)
    assert settings.steps_per_iteration == fast.train_batch_size_per_learner == 4 * 30
    assert fast.model_config["fcnet_hiddens"] == [256, 256]
    assert stock.model_config == fast.model_config
    # What differs is how steps are sampled and handed over, and by what name the world goes.
    differ = {
        name
        for name, value in stock.to_dict().items()
        if name not in fast.to_dict() or fast.to_dict()[name] != value
    }
    assert differ == {
        "_learner_connector",
        # Here a mapping, there an object with the same fields, as seen above.
        "_model_config",
        "add_default_connectors_to_learner_pipeline",
        "callbacks",
        "disable_env_checking",
        "env",
        "env_config",
        "env_runner_cls",
        "num_envs_per_env_runner",
        # What is done about processes that are lost or hang; while none is, they do nothing.
        "delay_between_env_runner_restarts_s",
        "env_runner_health_probe_timeout_s",
        "env_runner_restore_timeout_s",
        "restart_failed_sub_environments",
        "sample_timeout_s",
    }


def test_an_unknown_part_or_scenario_or_no_rounds_are_named_before_ray_starts() -> None:
    with pytest.raises(InputError, match="only holds speed; parts are sampling, iteration"):
        training.benchmark_training("tiny", only=["speed", "memory"])
    with pytest.raises(ScenarioError, match="neither a file nor a preset"):
        training.benchmark_training("nowhere", only=["iteration"])
    for measure in (measure_iterations, measure_runners, measure_sampling, measure_asynchronous):
        with pytest.raises(InputError, match="rounds must be at least 1, got 0"):
            measure("tiny", rounds=0)
    with pytest.raises(InputError, match="rounds must be at least 1, got -1"):
        measure_scale({"tiny": 1}, rounds=-1)
    with pytest.raises(InputError, match=r"stock_envs must hold 1, got \(2,\)"):
        measure_sampling("tiny", stock_envs=(2,))
    with pytest.raises(InputError, match=r"two rising numbers from 1 on, got \(20, 20\)"):
        measure_memory("tiny", iterations=(20, 20))


def test_parts_are_joined_by_the_kind_of_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, part in (("measure_runners", "runners"), ("measure_memory", "memory")):
        figures = {"ratios": {f"ratio of {part}": 2.0}, f"figures of {part}": {"x": 1}}
        monkeypatch.setattr(training, name, lambda scenario, figures=figures, **options: figures)
    begun: list[str] = []
    found = training.benchmark_training("tiny", only=["memory", "runners"], on_part=begun.append)
    assert begun == ["runners", "memory"]
    assert found["ratios"] == {"ratio of runners": 2.0, "ratio of memory": 2.0}
    assert found["figures of memory"] == {"x": 1}
    assert found["env_steps_per_second"] == {}
    assert found["scenario"] == "tiny"
    assert "cpu" in found["machine"]


def test_memory_is_compared_at_the_worse_of_peak_and_end_and_growth_over_the_later_iterations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = {
        "stock": [{"VmRSS": 100.0, "VmHWM": 200.0}],
        "fast": [{"VmRSS": 150.0, "VmHWM": 220.0}, {"VmRSS": 165.0, "VmHWM": 230.0}],
        "mtmappo": [{"VmRSS": 100.0, "VmHWM": 250.0}, {"VmRSS": 100.0, "VmHWM": 250.0}],
    }
    asked = {}

    def run(path: str, settings: Any, when: tuple[int, ...]) -> list[dict[str, float]]:
        asked[path] = when
        return looks[path]

    monkeypatch.setattr(memory, "_run", run)
    found = measure_memory("tiny", iterations=(3, 9))
    assert asked == {"stock": (3,), "fast": (3, 9), "mtmappo": (3, 9)}
    assert found["ratios"] == pytest.approx(
        {
            "memory_vs_stock": 1.5,
            "memory_9_vs_3_iterations": 1.1,
            "memory_mtmappo_vs_stock": 1.25,
            "memory_mtmappo_9_vs_3_iterations": 1.0,
        }
    )
    assert found["megabytes"]["fast"] == {"peak": 220.0, "resident": 150.0, "resident_9": 165.0}


def test_asynchronous_speed_counts_what_was_learned_not_what_was_sampled(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifetimes = {
        # The first iteration is over before the clock counts; the third's batch was not yet full.
        "appo_stock": [100, 150, None, 200],
        "appo_fast": [1000, 2000, 3000, 5000],
        "impala_stock": [10, 20, 30, 40],
        "impala_fast": [10, 30, 50, 70],
    }

    class Learning:
        def __init__(self, totals: list[int | None]) -> None:
            self.totals = iter(totals)

        def train(self) -> dict[str, Any]:
            clock.now += 2.0
            total = next(self.totals)
            learned = {"__all_modules__": {"num_env_steps_trained_lifetime": total}}
            return {"env_runners": {"num_env_steps_sampled": 9}, **({"learners": learned} if total else {})}

    @contextmanager
    def built(configs: dict[str, Any], **options: Any) -> Iterator[dict[str, Any]]:
        yield {path: Learning(lifetimes[path]) for path in configs}

    monkeypatch.setattr(asynchronous, "built", built)
    found = measure_asynchronous("tiny", episodes=2, seconds=6.0, rounds=1)
    assert found["env_steps_per_second"] == pytest.approx(
        {
            "appo_stock": 100 / 6.0,
            "appo_fast": 4000 / 6.0,
            "impala_stock": 30 / 6.0,
            "impala_fast": 60 / 6.0,
        }
    )
    assert found["ratios"] == pytest.approx({"appo_vs_stock": 40.0, "impala_vs_stock": 2.0})


FOUND = {
    "scenario": "tiny",
    "machine": {"cpu": "abacus", "cores": 2},
    "env_steps_per_second": {"stock_1": 700.0, "fast_64": 63_000.0},
    "ratios": {"sampling_vs_stock_1_env": 90.0},
    "shares": {"fast": {"simulator": 0.25, "rest": 0.75}, "mtmappo": {"simulator": 0.5}},
    "hot_spots": {"fast": {"sim/period.py:9 step": 0.125}},
    "workload": {"iteration": {"env_steps": 120, "epochs": 6}},
}


def test_the_command_prints_tables_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def benchmark(scenario: str, *, on_part: Callable[[str], None], **options: Any) -> dict[str, Any]:
        asked.update(options, scenario=scenario)
        on_part("iteration")
        return FOUND

    monkeypatch.setattr(training, "benchmark_training", benchmark)
    call = [
        "bench",
        "training",
        "--scenario",
        "tiny",
        "--only",
        "iteration",
        "--only",
        "memory",
        "--rounds",
        "4",
    ]
    printed = CliRunner().invoke(app, call)
    assert printed.exit_code == 0
    assert asked == {
        "scenario": "tiny",
        "only": ["iteration", "memory"],
        "envs": 512,
        "seconds": 2.0,
        "rounds": 4,
    }
    for words in (
        ["sampling_vs_stock_1_env", "90.00"],
        ["fast_64", "63,000"],
        ["share of an iteration", "fast", "mtmappo"],
        ["simulator", "25.0%", "50.0%"],
        ["sim/period.py:9 step", "12.5%"],
        ["iteration: env_steps 120, epochs 6"],
        ["cpu abacus, cores 2"],
    ):
        assert any(all(word in line for word in words) for line in printed.stdout.splitlines()), words
    assert printed.stderr == "Measuring iteration\n"
    as_json = CliRunner().invoke(app, [*call, "--json"])
    assert json.loads(as_json.stdout) == FOUND


def test_the_command_refuses_an_unknown_part() -> None:
    refused = CliRunner().invoke(app, ["bench", "training", "--only", "speed"])
    assert refused.exit_code == 2
    assert "only holds speed; parts are sampling" in refused.stderr
