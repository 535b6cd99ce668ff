"""How sampling grows with remote runners."""

from __future__ import annotations

import time
from typing import Any

from invrec_rllib.benchmarks.paths import Figures, built, fast_config, settings_of_whole_episodes
from invrec_rllib.benchmarks.turns import check_rounds

# How long the driver sleeps while no runner has news: it is to leave the cores to them.
_POLL_SECONDS = 0.05
_RUNNERS = (1, 2)


def measure_runners(
    scenario: str = "paper", *, envs: int = 64, seconds: float = 5.0, rounds: int = 3, seed: int = 0
) -> Figures:
    """Sample with one and with two remote fast runners in turns, while the learner is idle.

    Runners hand their blocks to Ray's object store; the driver collects references, not blocks, and asks for more.
    Two runners can only be twice as fast where two cores are free.

    Args:
        scenario: preset name or file.
        envs: environments per runner; a request is one episode of each.
        seconds: of a turn, after its first block.
        rounds: turns of each number of runners; the fastest counts.
        seed: of worlds and networks.

    Returns:
        `env_steps_per_second` of `remote_runners_1` and `remote_runners_2`, and of `ratios` `two_runners_vs_one`.

    Raises:
        InputError: `rounds` is below 1.
    """
    check_rounds(rounds)
    settings = {
        count: settings_of_whole_episodes(scenario, envs=envs, seed=seed, env_runners=count)
        for count in _RUNNERS
    }
    # Two requests at a time, so that no runner waits for the driver.
    configs = {
        str(count): fast_config(each).env_runners(max_requests_in_flight_per_env_runner=2)
        for count, each in settings.items()
    }
    speeds = dict.fromkeys(configs, 0.0)
    with built(configs, cpus=sum(_RUNNERS)) as algorithms:
        for _ in range(rounds):
            for name, algorithm in algorithms.items():
                requests = _requests_per_second(algorithm.env_runner_group, seconds=seconds)
                speeds[name] = max(speeds[name], requests * settings[int(name)].steps_per_iteration)
    one, two = speeds.values()
    return {
        "env_steps_per_second": {f"remote_runners_{name}": speed for name, speed in speeds.items()},
        "ratios": {"two_runners_vs_one": two / one},
    }


def _requests_per_second(group: Any, *, seconds: float) -> float:
    """Samples that the runners of a group finish per second, all of them always busy."""
    while not _served(group):
        pass
    done, started = 0, time.perf_counter()
    while True:
        done += _served(group)
        elapsed = time.perf_counter() - started
        if done and elapsed >= seconds:
            break
    # What is still under way is of the next turn's time. A runner's failure is raised here.
    while group.num_in_flight_async_reqs():
        group.fetch_ready_async_reqs(timeout_seconds=_POLL_SECONDS)
    return done / elapsed


def _served(group: Any) -> int:
    """Ask all runners for more, and count what has come."""
    group.foreach_env_runner_async("sample")
    return len(group.fetch_ready_async_reqs(timeout_seconds=_POLL_SECONDS, return_obj_refs=True))
