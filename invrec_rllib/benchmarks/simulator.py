"""How fast the simulator runs on one core: environment steps per second, and cost per product and segment."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario, load_scenario, preset_names
from invrec_rllib.sim import Params, Simulator, compile_scenario

# Arrays of (episodes, segments, products) that a step and its draws hold at once, roughly.
_ARRAYS_AT_ONCE = 16
_FEWEST_REPEATS = 3


def benchmark_simulator(
    scenarios: Sequence[str | Scenario] | None = None,
    *,
    batch_sizes: Sequence[int] = (1, 64, 1024),
    seconds: float = 2.0,
    memory_bytes: int = 128 * 2**20,
    on_result: Callable[[str, int, float], None] | None = None,
) -> dict[str, Any]:
    """Time whole episodes: reset, draws, checks of the actions, and every period to the horizon.

    Actions are constant, so that the figures are the simulator's alone: organic demand is ordered, exposure is
    spread evenly. A batch whose arrays would not fit into the memory budget is simulated in sub-batches one
    after the other, as a user would do (`huge` at 1,024 episodes needs gigabytes at once); one episode comes out
    the same either way. Each figure is the median over repeats of one sub-batch, at least three of them.

    Args:
        scenarios: preset names, files or scenarios; None: all presets.
        batch_sizes: numbers of episodes [B] to simulate at once, each >= 1.
        seconds: least time to measure for, per scenario and batch size.
        memory_bytes: budget for the arrays of one sub-batch.
        on_result: called with the scenario's name, B and its steps per second as soon as they are known.

    Returns:
        `scenarios`: by name, `steps_per_second`, `nanoseconds_per_product_segment_step` and `episodes_at_once`,
        each by B; `machine`: processor, cores, load over the last minute, and versions.

    Raises:
        InputError: a batch size below 1.
        ScenarioError: a scenario cannot be loaded.
    """
    if any(size < 1 for size in batch_sizes):
        raise InputError(f"batch_sizes must be at least 1, got {list(batch_sizes)}")
    machine = describe_machine()
    results: dict[str, Any] = {}
    for choice in preset_names() if scenarios is None else scenarios:
        params = compile_scenario(load_scenario(choice))
        cells = params.num_products * params.num_segments
        rates, at_once = {}, {}
        for size in batch_sizes:
            at_once[size] = min(size, max(1, memory_bytes // (8 * _ARRAYS_AT_ONCE * cells)))
            rates[size] = _steps_per_second(params, at_once[size], seconds=seconds)
            if on_result is not None:
                on_result(params.scenario.name, size, rates[size])
        results[params.scenario.name] = {
            "steps_per_second": rates,
            "nanoseconds_per_product_segment_step": {size: 1e9 / (rates[size] * cells) for size in rates},
            "episodes_at_once": at_once,
        }
    return {"scenarios": results, "machine": machine}


def _steps_per_second(params: Params, episodes: int, *, seconds: float) -> float:
    simulator = Simulator(params)
    _time_episodes(simulator, episodes, seed=0)
    rates: list[float] = []
    spent = 0.0
    while spent < seconds or len(rates) < _FEWEST_REPEATS:
        elapsed = _time_episodes(simulator, episodes, seed=len(rates) + 1)
        spent += elapsed
        rates.append(episodes * params.num_periods / elapsed)
    return statistics.median(rates)


def _time_episodes(simulator: Simulator, episodes: int, *, seed: int) -> float:
    """Wall time of a batch of episodes from reset to horizon, seconds."""
    params = simulator.params
    n, m = params.num_products, params.num_segments
    usual = np.minimum(np.rint(params.organic_demand).astype(np.int64), params.max_order)
    order = np.tile(usual, (episodes, 1))
    nothing = np.zeros_like(order)
    exposure = np.full((episodes, m, n), params.slots / n)
    review = params.scenario.supply.review_periods
    start = time.perf_counter()
    simulator.reset(seed=seed, episodes=episodes)
    for period in range(params.num_periods):
        simulator.step(order=nothing if period % review else order, exposure=exposure)
    return time.perf_counter() - start


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on; the load tells whether others were running too."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_1_minute": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
