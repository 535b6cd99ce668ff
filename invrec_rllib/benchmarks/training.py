"""How fast training is, part by part: what `invrec bench training` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from invrec_rllib.benchmarks.asynchronous import measure_asynchronous
from invrec_rllib.benchmarks.fast_runner import measure_sampling
from invrec_rllib.benchmarks.iteration import measure_iterations
from invrec_rllib.benchmarks.memory import measure_memory
from invrec_rllib.benchmarks.paths import Figures
from invrec_rllib.benchmarks.profiling import profile_iterations
from invrec_rllib.benchmarks.runners import measure_runners
from invrec_rllib.benchmarks.scale import measure_scale
from invrec_rllib.benchmarks.simulator import describe_machine
from invrec_rllib.errors import InputError

PARTS = ("sampling", "iteration", "scale", "runners", "memory", "asynchronous", "profile")


def benchmark_training(
    scenario: str = "paper",
    *,
    only: Sequence[str] | None = None,
    envs: int = 512,
    seconds: float = 2.0,
    rounds: int = 3,
    seed: int = 0,
    on_part: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure training with fast sampling against RLlib's own, part by part.

    Args:
        scenario: preset name or file; `scale` has worlds of its own.
        only: parts of `PARTS`; None: all.
        envs: environments per runner, where only sampling is measured.
        seconds: least time of a turn of sampling.
        rounds: turns of each path.
        seed: of worlds and networks.
        on_part: called with a part's name when it begins.

    Returns:
        `scenario`, `machine`, and what the parts return (`measure_sampling`, `measure_iterations`, `measure_scale`,
        `profile_iterations`) joined by its kind: all `ratios` under one key, all `env_steps_per_second` under another.

    Raises:
        InputError: an unknown part, or `rounds` below 1.
    """
    unknown = sorted(set(only or ()) - set(PARTS))
    if unknown:
        raise InputError(f"only holds {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    same: dict[str, Any] = {"rounds": rounds, "seed": seed}
    parts: dict[str, Callable[[], Figures]] = {
        "sampling": partial(measure_sampling, scenario, envs=envs, seconds=seconds, **same),
        "iteration": partial(measure_iterations, scenario, **same),
        "scale": partial(measure_scale, **same),
        "runners": partial(measure_runners, scenario, **same),
        "memory": partial(measure_memory, scenario, seed=seed),
        "asynchronous": partial(measure_asynchronous, scenario, **same),
        "profile": partial(profile_iterations, scenario, seed=seed),
    }
    found: dict[str, Any] = {
        "scenario": scenario,
        "machine": describe_machine(),
        "env_steps_per_second": {},
        "ratios": {},
    }
    for name in PARTS:
        if only is not None and name not in only:
            continue
        if on_part is not None:
            on_part(name)
        for kind, figures in parts[name]().items():
            found.setdefault(kind, {}).update(figures)
    return found
