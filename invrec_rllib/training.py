"""Train the pair with RLlib: one loop that logs money, evaluates fairly, checkpoints, stops and resumes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from safetensors import SafetensorError

from invrec_rllib.errors import InputError, LostError, TrainingStoppedError
from invrec_rllib.evaluation.compare import summarise
from invrec_rllib.evaluation.comparison import Comparison
from invrec_rllib.evaluation.rollout import Rollout, rollout
from invrec_rllib.evaluation.trajectories import save_trajectories
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.trained_pairs import load_trained
from invrec_rllib.learning_pair import FIRST_RESUMED_STREAM, LearningPair, waits
from invrec_rllib.rllib.health import in_one_line
from invrec_rllib.rllib.quiet import has_room, ray_running
from invrec_rllib.rllib.seeding import TRAINING_STREAM, describe_seeding
from invrec_rllib.rundir import RunDir, describe_machine, iteration_of, now
from invrec_rllib.runlog import RunLog
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.watcher import Watcher, stop_on_signals

BASELINES = ("silo", "traditional")
_OTHERS = ("stock_aware", "uniform", "no_recommendation")
# Seed of the comparison at the end, which neither training nor its evaluations meet.
FINAL_SEED = 2_000_003


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
    address: str | None = None,
    ship_code: bool = False,
    manifest: Mapping[str, Any] | None = None,
) -> RunResult:
    """Train a new run.

    Args:
        settings: of the run.
        out: its folder, which must not hold anything yet.
        scenario: the world, where it is not the one that the settings name, but made from it.
        watcher: who wants to hear of it.
        num_cpus: CPUs of the local Ray; None: what the machine has. A Ray that runs in this process already is used.
        address: of a Ray cluster for runners and remote learners; None: the environment variable ``RAY_ADDRESS``, or
            a local Ray.
        ship_code: whether to send this package's code to the cluster's workers.
        manifest: what `manifest.json` says on who started it, such as another `command` than the process's own.

    Raises:
        InputError, ScenarioError: the settings, the scenario or the folder are not valid; before Ray starts.
        TrainingStoppedError: it could not go on, and can be resumed.
    """
    scenario, watcher = scenario or load_scenario(settings.scenario), watcher or Watcher()
    machine = {**describe_machine(), **(manifest or {})}
    pair = LearningPair(settings, scenario, versions=machine["versions"], tell=watcher.on_fault)
    run = RunDir.create(out, settings, scenario=scenario)
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
    loop = _Loop(run, pair, watcher, cluster=_Cluster(num_cpus, address, ship_code))
    try:
        return loop.play()
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
    address: str | None = None,
    ship_code: bool = False,
) -> RunResult:
    """Go on with a run from its newest checkpoint, or from its start where it was stopped before the first.

    Args:
        out: its folder.
        iterations: new number of iterations in all; None: as before. The step sizes then follow the new length.
        watcher: who wants to hear of it.
        num_cpus, address, ship_code: as in `train`.

    Raises:
        InputError: no such run.
        TrainingStoppedError: it could not go on, and can be resumed.
    """
    run, watcher = RunDir.open(out), watcher or Watcher()
    settings = run.settings()
    if iterations is not None:
        settings = TrainSettings.model_validate({**settings.model_dump(), "iterations": iterations})
        run.write_settings(settings)
    checkpoint, attempt = _go_back(run)
    pair = LearningPair(
        settings,
        run.scenario(),
        stream=attempt["seed_stream"],
        versions=attempt["versions"],
        tell=watcher.on_fault,
    )
    loop = _Loop(run, pair, watcher, cluster=_Cluster(num_cpus, address, ship_code))
    return loop.play(checkpoint)


def _go_back(run: RunDir) -> tuple[Path | None, dict[str, Any]]:
    """Begin an attempt from the newest checkpoint, None where there is none; and what the manifest says of it."""
    checkpoint = run.latest_checkpoint() if run.has_checkpoint() else None
    iteration = iteration_of(checkpoint) if checkpoint else 0
    before = run.manifest().get("attempts", [])
    stream = FIRST_RESUMED_STREAM + len(before) - 1
    attempt = _attempt(describe_machine(), stream=stream, iteration=iteration)
    run.update_manifest(attempts=[*before, attempt])
    run.forget_after(iteration)
    return checkpoint, attempt


def _attempt(machine: dict[str, Any], *, stream: int, iteration: int) -> dict[str, Any]:
    """What the manifest keeps of each start of a run: a resumed one may differ in code and machine."""
    return {"started": now(), "from_iteration": iteration, "seed_stream": stream, **machine}


@dataclass(frozen=True)
class _Cluster:
    """The Ray that a run uses, as `ray_running` takes it."""

    num_cpus: int | None
    address: str | None
    ship_code: bool


class _NoRoomError(Exception):
    """A cluster that lost nodes is too small, for now."""


class _Loop:
    """One attempt at a run."""

    def __init__(self, run: RunDir, pair: LearningPair, watcher: Watcher, *, cluster: _Cluster) -> None:
        self.run, self.pair, self.watcher, self.cluster = run, pair, watcher, cluster
        self.settings = pair.settings

    def play(self, checkpoint: Path | None = None) -> RunResult:
        self.run.update_manifest(status="running")
        try:
            result = self._train(checkpoint)
            if not result.stopped:
                result.comparison = self._compare(result.checkpoint)
        except BaseException:
            # On a disk that is full the error matters more than that it is noted.
            with contextlib.suppress(OSError):
                self.run.update_manifest(status="failed")
            raise
        self.run.update_manifest(
            status="stopped" if result.stopped else "finished",
            finished=now(),
            iterations=result.iterations,
            wall_seconds=round(self.pair.seconds, 1),
        )
        return result

    def _train(self, checkpoint: Path | None) -> RunResult:
        cluster, pair = self.cluster, self.pair
        with ray_running(
            cluster.num_cpus,
            address=cluster.address,
            needed=pair.resources_needed(),
            ship_code=cluster.ship_code,
        ):
            try:
                self._build(checkpoint)
                stopped = self._train_through_losses()
                return RunResult(self.run.path, pair.iterations, stopped, self._checkpoint())
            finally:
                # Of a lost cluster there is nothing left to stop, and the error before says more.
                with contextlib.suppress(RayError, OSError):
                    pair.stop()

    def _build(self, checkpoint: Path | None) -> None:
        rows = self.run.progress() if checkpoint else []
        self.pair.build(
            checkpoint,
            iterations=iteration_of(checkpoint) if checkpoint else 0,
            seconds=float(rows[-1]["seconds"]) if rows else 0.0,
        )

    def _train_through_losses(self) -> bool:
        """Train to the end or until stopped, whether it was; after a loss again from the newest checkpoint.

        Raises:
            TrainingStoppedError: lost too often in a row, that is without a new checkpoint; or nothing is sampled.
        """
        lost, failures, saved = None, 0, self._saved()
        while True:
            try:
                if lost is not None:
                    self._try_again(lost, failures)
                return self._iterate()
            except LostError as error:
                raise TrainingStoppedError(f"{error}. {self._what_is_kept()}") from error
            except (RayError, _NoRoomError) as error:
                lost, reached = error, self._saved()
                failures, saved = (1 if reached > saved else failures + 1), reached
                if failures > self.settings.max_failures:
                    raise TrainingStoppedError(
                        f"training failed {failures} times in a row (max_failures is "
                        f"{self.settings.max_failures}): {in_one_line(error)}. {self._what_is_kept()}"
                    ) from error

    def _try_again(self, error: Exception, failures: int) -> None:
        """Build anew from the newest checkpoint, after a wait.

        Raises:
            _NoRoomError: the cluster is too small for it now.
        """
        *_, wait = waits(failures)
        self.watcher.on_fault(
            f"Training failed, {failures} of at most {self.settings.max_failures} times in a row: "
            f"{in_one_line(error)}"
        )
        self.watcher.on_fault(
            f"It goes on from iteration {self._saved()}, the newest checkpoint, in {wait:g} s"
        )
        self.pair.stop()
        time.sleep(wait)
        patience = self.settings.sample_timeout_seconds
        if not has_room(self.pair.config, seconds=patience):
            needed = ", ".join(f"{n:g} {name}" for name, n in self.pair.resources_needed().items())
            raise _NoRoomError(f"the cluster has had no room for {needed} for {patience:g} s")
        with self._in_words():
            checkpoint, attempt = _go_back(self.run)
        self.pair.take_stream(attempt["seed_stream"])
        try:
            self._build(checkpoint)
        except InputError as short:
            raise _NoRoomError(str(short)) from short

    def _saved(self) -> int:
        """Iteration of the newest checkpoint, 0 without one."""
        return iteration_of(self.run.latest_checkpoint()) if self.run.has_checkpoint() else 0

    def _what_is_kept(self) -> str:
        if not self.run.has_checkpoint():
            return "There is no checkpoint yet"
        return (
            f"Its newest checkpoint, {self.run.latest_checkpoint().name}, is kept: resume the run in "
            f"{self.run.path} when what it lacks is back"
        )

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Where the run's folder is written to, or Ray is talked to."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            # Ray has no error of its own for a lost head; its `OSError` has no number, those of disks have one.
            ray = isinstance(error, OSError) and error.errno is None
            what = "the Ray cluster is lost" if ray else "the run's folder cannot be written to"
            raise TrainingStoppedError(f"{what}: {error}. {self._what_is_kept()}") from error

    def _iterate(self) -> bool:
        """Train to the end or until stopped; whether it was."""
        settings, pair = self.settings, self.pair
        self.watcher.on_start(pair.iterations, settings.iterations)
        with (
            stop_on_signals(self.watcher) as stop_asked,
            contextlib.closing(RunLog(self.run)) as log,
        ):
            while pair.iterations < settings.iterations:
                with self._in_words():
                    row, result = pair.iterate()
                    log.add(row, result)
                self.watcher.on_iteration(row)
                if pair.iterations % settings.checkpoint_every == 0:
                    self._checkpoint()
                if stop_asked() or self.watcher.stop():
                    break
        return pair.iterations < settings.iterations

    def _checkpoint(self) -> Path:
        with self._in_words():
            return self.run.save_checkpoint(self.pair.iterations, self.pair.save)

    def _compare(self, checkpoint: Path) -> Comparison:
        """The trained pair against simple policies, on episodes that training never met."""
        settings, started, pair = self.settings, time.perf_counter(), load_trained(checkpoint)
        results: dict[str, Rollout] = {}
        for policy in (pair, *BASELINES, *_OTHERS):
            name = policy if isinstance(policy, str) else policy.name
            results[name] = rollout(
                self.pair.params,
                policy,
                seed=FINAL_SEED,
                episodes=settings.final_episodes,
                information=settings.information,
                record=1,
                progress=partial(self.watcher.on_comparison, name),
            )
        comparison = summarise(
            self.pair.scenario,
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
