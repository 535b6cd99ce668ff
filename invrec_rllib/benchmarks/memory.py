"""How much memory a training run takes, each run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from invrec_rllib.benchmarks.paths import (
    Figures,
    built,
    fast_config,
    mtmappo_config,
    settings_of_whole_episodes,
    stock_config,
)
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, make_settings

_STATUS = Path("/proc/self/status")
# Near RLlib's fastest on a core.
_STOCK_ENVS = 16
_CONFIGS: Mapping[str, Callable[[TrainSettings], Any]] = {
    "stock": lambda settings: stock_config(settings, envs=min(_STOCK_ENVS, settings.envs_per_runner)),
    "fast": fast_config,
    "mtmappo": mtmappo_config,
}


def measure_memory(
    scenario: str = "paper",
    *,
    episodes: int = 32,
    iterations: tuple[int, int] = (20, 200),
    seed: int = 0,
) -> Figures:
    """Train in a process per path, as many at a time as there are cores, and look at what each holds in memory.

    What counts is the whole training process, which also samples; Ray's own processes are left out, which are the
    same for all. Iterations pass once over their batch.

    Args:
        scenario: preset name or file.
        episodes: whole episodes of an iteration, and environments of the fast runner; RLlib's own has 16.
        iterations: after how many to compare with RLlib's own, and after how many to look whether memory grew.
        seed: of worlds and networks.

    Returns:
        `megabytes` by path (`stock`, `fast`, `mtmappo`): `resident` after the first number of iterations and `peak` up
        to then, of ours also `resident_K` after the second number K; and `ratios`: the larger of peak and resident
        memory's ratios to RLlib's own (`memory_vs_stock`, `memory_mtmappo_vs_stock`), and growth
        (`memory_200_vs_20_iterations` and, with `mtmappo_` before the numbers, MTMA-PPO's).

    Raises:
        InputError: this system has no `/proc`, or the numbers of iterations do not rise from 1 on.
        RuntimeError: a run failed.
    """
    early, late = iterations
    if not 1 <= early < late:
        raise InputError(f"iterations must be two rising numbers from 1 on, got {iterations}")
    if not _STATUS.exists():
        raise InputError(f"memory is read from {_STATUS}, which this system does not have: leave it out")
    settings = settings_of_whole_episodes(scenario, envs=episodes, seed=seed, epochs=1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            path: pool.submit(_run, path, settings, (early,) if path == "stock" else iterations)
            for path in _CONFIGS
        }
        held = {path: run.result() for path, run in runs.items()}
    megabytes, ratios = {}, {}
    for path, looks in held.items():
        megabytes[path] = {"peak": looks[0]["VmHWM"], "resident": looks[0]["VmRSS"]}
        if path == "stock":
            continue
        marked = "" if path == "fast" else f"{path}_"
        megabytes[path][f"resident_{late}"] = looks[1]["VmRSS"]
        ratios[f"memory_{marked}vs_stock"] = max(
            looks[0][kind] / held["stock"][0][kind] for kind in ("VmHWM", "VmRSS")
        )
        ratios[f"memory_{marked}{late}_vs_{early}_iterations"] = looks[1]["VmRSS"] / looks[0]["VmRSS"]
    return {"megabytes": megabytes, "ratios": ratios}


def _run(path: str, settings: TrainSettings, looks: tuple[int, ...]) -> list[dict[str, float]]:
    """What a process of its own that trains held after so many iterations, megabytes."""
    command = [sys.executable, "-m", __name__, path, settings.model_dump_json(), *map(str, looks)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"the run of {path} failed:\n{finished.stderr[-2000:]}")
    held: list[dict[str, float]] = json.loads(finished.stdout.splitlines()[-1])
    return held


def _train_and_look(path: str, settings: TrainSettings, looks: tuple[int, ...]) -> list[dict[str, float]]:
    held = []
    with built({path: _CONFIGS[path](settings)}) as algorithms:
        for iteration in range(1, looks[-1] + 1):
            # The first one is over: it warmed the algorithm up.
            if iteration > 1:
                algorithms[path].train()
            if iteration in looks:
                held.append(_memory())
    return held


def _memory() -> dict[str, float]:
    """Resident memory of this process, and its peak, megabytes.

    `getrusage` would not do: a new process inherits its parent's peak there.
    """
    fields = dict(line.split(":", 1) for line in _STATUS.read_text("ascii").splitlines())
    return {kind: int(fields[kind].split()[0]) / 1024 for kind in ("VmRSS", "VmHWM")}


if __name__ == "__main__":
    _path, _settings, *_looks = sys.argv[1:]
    print(json.dumps(_train_and_look(_path, make_settings(json.loads(_settings)), tuple(map(int, _looks)))))
