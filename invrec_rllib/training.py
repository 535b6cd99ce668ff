"""Train the pair with RLlib: one loop that logs money, evaluates fairly, checkpoints, stops and resumes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig

from invrec_rllib.evaluation.compare import summarise
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.evaluation.rollout import Rollout, rollout
from invrec_rllib.evaluation.trajectories import save_trajectories
from invrec_rllib.learning.export import EXPORT_FOLDER, save_policy
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.rllib.algorithm import build_config, env_options
from invrec_rllib.rllib.callbacks import ECONOMICS
from invrec_rllib.rllib.quiet import build_quietly, ray_running, resources_needed
from invrec_rllib.rllib.register import register
from invrec_rllib.rllib.seeding import TRAINING_STREAM, describe_seeding
from invrec_rllib.rllib.trained import load_trained, policy_of, what_is_seen
from invrec_rllib.rundir import RunDir, describe_machine, iteration_of, now
from invrec_rllib.runlog import RunLog
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.sim import compile_scenario

# Whoever imports this module trains: the environment's name is then known to RLlib and Tune.
register()

BASELINES = ("silo", "traditional")
_OTHERS = ("stock_aware", "uniform", "no_recommendation")
# Seeds of evaluations; training draws its worlds from hashes of the run's seed and never meets these.
VALIDATION_SEED = 1_000_003
FINAL_SEED = 2_000_003
# Streams 0 and 1 are RLlib's training and evaluation: a resumed run must not play its first episodes again.
_FIRST_RESUMED_STREAM = 2


@dataclass
class Watcher:
    """What a caller wants to hear of a run; each function is optional.

    Attributes:
        on_start: called with (first iteration to do, number of iterations).
        on_iteration: called with each row of `progress.csv`.
        on_comparison: called with a policy's name and the fraction done, during the final comparison.
        stop: asked after every iteration whether to stop.
        on_stop_asked: called when a first Ctrl-C (or SIGTERM) asks to stop after the running iteration.
        handle_signals: whether they do; False leaves them to the process's own handlers, such as Ray's in a worker.
    """

    on_start: Callable[[int, int], None] = lambda first, total: None
    on_iteration: Callable[[dict[str, Any]], None] = lambda row: None
    on_comparison: Callable[[str, float], None] = lambda policy, fraction: None
    stop: Callable[[], bool] = lambda: False
    on_stop_asked: Callable[[], None] = lambda: None
    handle_signals: bool = True


@dataclass
class RunResult:
    """How a run ended.

    Attributes:
        path: of the run's folder.
        iterations: done in all.
        stopped: whether it was stopped before its last iteration.
        checkpoint: the newest.
        comparison: with the simple policies; None where it was stopped.
    """

    path: Path
    iterations: int
    stopped: bool
    checkpoint: Path
    comparison: Comparison | None = field(default=None)


def train(
    settings: TrainSettings,
    *,
    out: str | os.PathLike[str],
    scenario: Scenario | None = None,
    watcher: Watcher | None = None,
    num_cpus: int | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> RunResult:
    """Train a new run.

    Args:
        settings: of the run.
        out: its folder, which must not hold anything yet.
        scenario: the world, where it is not the one that the settings name, but made from it.
        watcher: who wants to hear of it.
        num_cpus: CPUs of the local Ray; None: what the machine has. A Ray that runs in this process already is used.
        manifest: what `manifest.json` says on who started it, such as another `command` than the process's own.

    Raises:
        InputError, ScenarioError: the settings, the scenario or the folder are not valid; before Ray starts.
    """
    scenario = scenario or load_scenario(settings.scenario)
    config = build_config(settings, scenario=scenario)
    run = RunDir.create(out, settings, scenario=scenario)
    machine = {**describe_machine(), **(manifest or {})}
    attempt = _attempt(machine, stream=TRAINING_STREAM, iteration=0)
    run.update_manifest(
        scenario=scenario.name,
        seed=settings.seed,
        algo=settings.algo,
        started=attempt["started"],
        seeding=describe_seeding(
            settings.seed,
            num_env_runners=settings.env_runners,
            num_envs_per_env_runner=settings.envs_per_runner,
        ),
        attempts=[attempt],
        **machine,
    )
    loop = _Loop(run, settings, scenario, watcher or Watcher(), versions=attempt["versions"])
    try:
        return loop.play(config, num_cpus=num_cpus, stream=TRAINING_STREAM)
    except BaseException:
        # What failed before its first iteration leaves nothing that could be resumed, and the folder free.
        if not run.progress():
            run.remove()
        raise


def resume(
    out: str | os.PathLike[str],
    *,
    iterations: int | None = None,
    watcher: Watcher | None = None,
    num_cpus: int | None = None,
) -> RunResult:
    """Go on with a run from its newest checkpoint, or from its start where it was stopped before the first.

    Args:
        out: its folder.
        iterations: new number of iterations in all; None: as before. The step sizes then follow the new length.
        watcher: who wants to hear of it.
        num_cpus: CPUs of the local Ray; None: what the machine has.

    Raises:
        InputError: no such run.
    """
    run = RunDir.open(out)
    settings = run.settings()
    if iterations is not None:
        settings = TrainSettings.model_validate({**settings.model_dump(), "iterations": iterations})
        run.write_settings(settings)
    checkpoint = run.latest_checkpoint() if run.has_checkpoint() else None
    iteration = iteration_of(checkpoint) if checkpoint else 0
    before = run.manifest().get("attempts", [])
    stream = _FIRST_RESUMED_STREAM + len(before) - 1
    attempt = _attempt(describe_machine(), stream=stream, iteration=iteration)
    run.update_manifest(attempts=[*before, attempt])
    run.forget_after(iteration)
    scenario = run.scenario()
    config = build_config(settings, scenario=scenario)
    loop = _Loop(run, settings, scenario, watcher or Watcher(), versions=attempt["versions"])
    return loop.play(config, num_cpus=num_cpus, stream=stream, checkpoint=checkpoint)


def _attempt(machine: dict[str, Any], *, stream: int, iteration: int) -> dict[str, Any]:
    """What the manifest keeps of each start of a run: a resumed one may differ in code and machine."""
    return {"started": now(), "from_iteration": iteration, "seed_stream": stream, **machine}


class _Loop:
    """One attempt at a run."""

    def __init__(
        self,
        run: RunDir,
        settings: TrainSettings,
        scenario: Scenario,
        watcher: Watcher,
        *,
        versions: dict[str, Any],
    ) -> None:
        self.run, self.settings, self.scenario, self.watcher = run, settings, scenario, watcher
        self.versions = versions
        self.params = compile_scenario(scenario)
        self.seen = what_is_seen({"scenario": scenario, **env_options(settings)})
        self.seconds_before = 0.0
        self.started = time.monotonic()

    def play(
        self, config: PPOConfig, *, num_cpus: int | None, stream: int, checkpoint: Path | None = None
    ) -> RunResult:
        config.env_config["seed_stream"] = stream
        self.run.update_manifest(status="running")
        torch.set_num_threads(self.settings.threads)
        try:
            result = self._train(config, num_cpus, checkpoint)
            if not result.stopped:
                result.comparison = self._compare(result.checkpoint)
        except BaseException:
            self.run.update_manifest(status="failed")
            raise
        self.run.update_manifest(
            status="stopped" if result.stopped else "finished",
            finished=now(),
            iterations=result.iterations,
            wall_seconds=round(self.seconds_before + time.monotonic() - self.started, 1),
        )
        return result

    def _train(self, config: PPOConfig, num_cpus: int | None, checkpoint: Path | None) -> RunResult:
        with ray_running(num_cpus, needed=resources_needed(config)):
            algorithm = build_quietly(config)
            try:
                done = self._restore(algorithm, checkpoint)
                done, stopped = self._iterate(algorithm, done)
                return RunResult(self.run.path, done, stopped, self._checkpoint(algorithm, done))
            finally:
                algorithm.stop()

    def _restore(self, algorithm: Algorithm, checkpoint: Path | None) -> int:
        if checkpoint is None:
            return 0
        algorithm.restore_from_path(checkpoint)
        rows = self.run.progress()
        self.seconds_before = float(rows[-1]["seconds"]) if rows else 0.0
        return iteration_of(checkpoint)

    def _iterate(self, algorithm: Algorithm, done: int) -> tuple[int, bool]:
        settings = self.settings
        self.watcher.on_start(done, settings.iterations)
        with (
            _stop_on_signals(self.watcher) as stop_asked,
            contextlib.closing(RunLog(self.run)) as log,
        ):
            while done < settings.iterations:
                result = algorithm.train()
                done += 1
                row = self._row(algorithm, result, iteration=done)
                log.add(row, result)
                self.watcher.on_iteration(row)
                if done % settings.checkpoint_every == 0:
                    self._checkpoint(algorithm, done)
                if stop_asked() or self.watcher.stop():
                    break
        return done, done < settings.iterations

    def _row(self, algorithm: Algorithm, result: dict[str, Any], *, iteration: int) -> dict[str, Any]:
        settings = self.settings
        sampled = result.get("env_runners", {})
        economics = sampled.get(ECONOMICS, {})
        due = settings.evaluate_every and (
            iteration % settings.evaluate_every == 0 or iteration in (1, settings.iterations)
        )
        evaluated = self._evaluate(algorithm) if due else None
        return {
            "iteration": iteration,
            "env_steps": int(sampled.get("num_env_steps_sampled_lifetime", 0)),
            "seconds": round(self.seconds_before + time.monotonic() - self.started, 2),
            "profit_mean": _rounded(economics.get("profit")),
            "profit_eval_mean": _rounded(float(evaluated.profit.mean()) if evaluated else None),
            "fill_rate": _rounded(economics.get("fill_rate"), digits=4),
            "lost_units": _rounded(economics.get("lost")),
            "holding_cost": _rounded(economics.get("holding_cost")),
            "sales_units": _rounded(economics.get("sales")),
        }

    def _evaluate(self, algorithm: Algorithm) -> Rollout:
        """Profit of the agents' mean actions, on episodes that never change."""
        return rollout(
            self.params,
            TrainedPolicy(policy_of(algorithm, seen=self.seen)),
            seed=VALIDATION_SEED,
            episodes=self.settings.evaluate_episodes,
            information=self.settings.information,
        )

    def _checkpoint(self, algorithm: Algorithm, iteration: int) -> Path:
        def write(folder: Path) -> None:
            algorithm.save_to_path(folder)
            save_policy(self._policy(algorithm, iteration), folder / EXPORT_FOLDER, overwrite=True)

        return self.run.save_checkpoint(iteration, write)

    def _policy(self, algorithm: Algorithm, iteration: int) -> Policy:
        provenance = {
            "scenario": self.scenario.name,
            "iteration": iteration,
            "settings": self.settings.model_dump(mode="json"),
            "versions": self.versions,
        }
        return policy_of(algorithm, seen=self.seen, provenance=provenance)

    def _compare(self, checkpoint: Path) -> Comparison:
        """The trained pair against simple policies, on episodes that training never met."""
        settings, started, pair = self.settings, time.perf_counter(), load_trained(checkpoint)
        results: dict[str, Rollout] = {}
        for policy in (pair, *BASELINES, *_OTHERS):
            name = policy if isinstance(policy, str) else policy.name
            results[name] = rollout(
                self.params,
                policy,
                seed=FINAL_SEED,
                episodes=settings.final_episodes,
                information=settings.information,
                record=1,
                progress=partial(self.watcher.on_comparison, name),
            )
        comparison = summarise(
            self.scenario,
            results,
            seed=FINAL_SEED,
            baselines=BASELINES,
            information=settings.information,
            seconds=time.perf_counter() - started,
            provenance={"checkpoint": checkpoint.name},
        )
        write_text_atomically(self.run.comparison_file, comparison.to_json())
        save_trajectories(
            self.run.trajectory_file, {name: result.trajectories[0] for name, result in results.items()}
        )
        return comparison


@contextlib.contextmanager
def _stop_on_signals(watcher: Watcher) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks to stop after the iteration; a second one interrupts at once."""
    asked = False
    numbers = (signal.SIGINT, signal.SIGTERM) if watcher.handle_signals else ()

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        watcher.on_stop_asked()

    try:
        before = {number: signal.signal(number, ask) for number in numbers}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rounded(value: Any, *, digits: int = 2) -> float | None:
    return None if value is None else round(float(value), digits)
