"""A sweep under Ray Tune: started or resumed, watched, and what came of it kept in its folder."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ray import tune

from invrec_rllib.errors import InputError, require
from invrec_rllib.rllib.quiet import quiet_loggers, ray_running
from invrec_rllib.scenario.files import scenario_sha256
from invrec_rllib.timescales.report import TimescaleWarning
from invrec_rllib.tuning import domains
from invrec_rllib.tuning.files import dump_sweep, parse_sweep
from invrec_rllib.tuning.folder import SWEEP, WORLDS, SweepFolder
from invrec_rllib.tuning.keeping import SweepResult, keep_results, rows_of
from invrec_rllib.tuning.plan import make_plan
from invrec_rllib.tuning.sweep import Sweep
from invrec_rllib.tuning.trainable import PairTrainable
from invrec_rllib.tuning.watching import Board, Reporter, Watcher

_ENVIRONMENT = {
    # Seconds between Tune's notes of where all trials stand; a killed driver loses what came after the last.
    "TUNE_GLOBAL_CHECKPOINT_S": "5",
    # Tune's newer output prints to standard output even when it is told to be silent.
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class Cluster:
    """The Ray that a sweep uses, as `ray_running` takes it.

    Attributes:
        num_cpus: of a local Ray; None: what the machine has.
        address: of a cluster; None: the environment variable ``RAY_ADDRESS``, or a local Ray.
        ship_code: whether to send this package's code to the cluster's workers.
        jobs: trials side by side; None: as many as fit.
    """

    num_cpus: int | None = None
    address: str | None = None
    ship_code: bool = False
    jobs: int | None = None


@dataclass(frozen=True)
class Loggers:
    """Where metrics go besides TensorBoard.

    Attributes:
        wandb: project of Weights & Biases; None: not there.
        mlflow: tracking URI of MLflow; None: not there.
    """

    wandb: str | None = None
    mlflow: str | None = None

    def callbacks(self, sweep: Sweep) -> list[tune.Callback]:
        """Ray's own.

        Raises:
            MissingExtraError: a library is not installed; the message names the extra.
        """
        found: list[tune.Callback] = []
        if self.wandb:
            require("wandb", extra="wandb")
            from ray.air.integrations.wandb import WandbLoggerCallback

            found.append(WandbLoggerCallback(project=self.wandb, group=sweep.name))
        if self.mlflow:
            require("mlflow", extra="mlflow")
            from ray.air.integrations.mlflow import MLflowLoggerCallback

            found.append(MLflowLoggerCallback(tracking_uri=self.mlflow, experiment_name=sweep.name))
        return found


def run_sweep(
    sweep: Sweep,
    *,
    storage: str | os.PathLike[str],
    name: str | None = None,
    resume: bool = False,
    cluster: Cluster = Cluster(),
    loggers: Loggers = Loggers(),
    watcher: Watcher | None = None,
) -> SweepResult:
    """Run a sweep, or go on with one.

    Args:
        sweep: what is searched.
        storage: folder or URI above the sweep's own, which all machines of a cluster share.
        name: of its folder; None: the sweep's.
        resume: whether to go on with the sweep that is there: finished trials stay, unfinished ones go on from their
            checkpoints, failed ones start again. Tune pickles where they stand, so resume folders of your own alone.
        cluster: where it runs.
        loggers: where metrics go besides TensorBoard; a resumed sweep keeps those that it had.
        watcher: who wants to hear of it.

    Raises:
        InputError, ScenarioError, MissingExtraError: the sweep, the folder or an option is not valid; before Ray
            starts.
    """
    folder = SweepFolder(storage, name or sweep.name)
    watcher = watcher or Watcher()
    plan = make_plan(sweep)
    if sweep.search == "optuna":
        require("optuna", extra="optuna")
    callbacks = [Reporter(), *loggers.callbacks(sweep)]
    check_folder(folder, sweep, resume=resume)
    folder.write(WORLDS, fingerprints(sweep))
    folder.write(SWEEP, dump_sweep(sweep))
    board = Board(plan)
    with ray_running(
        cluster.num_cpus, address=cluster.address, needed=plan.resources, ship_code=cluster.ship_code
    ) as available:
        watcher.on_start(plan, plan.at_once(available, jobs=cluster.jobs))
        with _quiet(), _environment(), _stop_on_sigterm(), Reporter.reporting_to(board, watcher):
            if resume and folder.holds_tuner():
                tuner = _restored(sweep, folder, anew=True)
            else:
                tuner = _new(sweep, folder, callbacks=callbacks, jobs=cluster.jobs)
            grid = tuner.fit()
            while board.gave_up_early:
                grid = _restored(sweep, folder, anew=False).fit()
    interrupted = board.num_over < sweep.num_trials
    return keep_results(folder, plan, rows_of(board, grid), interrupted=interrupted)


def check_folder(folder: SweepFolder, sweep: Sweep, *, resume: bool) -> None:
    """See that a sweep may be started in a folder, or gone on with.

    Raises:
        InputError: it holds something and `resume` is false; or it holds no sweep or another one, and it is true.
    """
    stored = folder.read(SWEEP)
    if not resume:
        # A start that failed before Tune began leaves nothing but what was asked for.
        if folder.is_taken() and (stored is None or folder.holds_tuner()):
            raise InputError(
                f"{folder.path} exists: go on with that sweep with --resume, or choose another name with --name"
            )
        return
    if stored is None:
        raise InputError(f"{folder.path} holds no sweep to go on with: there is no {SWEEP}")
    before = parse_sweep(stored, source=f"{folder.path}/{SWEEP}").model_dump(exclude_unset=True)
    given = sweep.model_dump(exclude_unset=True)
    changed = sorted(key for key in {*before, *given} if before.get(key) != given.get(key))
    if folder.read(WORLDS) not in (None, fingerprints(sweep)):
        changed.append("the content of its scenarios")
    if changed:
        raise InputError(
            f"the sweep in {folder.path} differs in {', '.join(changed)}: a resumed sweep keeps what it was, "
            "start the changed one with another --name"
        )


def fingerprints(sweep: Sweep) -> str:
    """Scenario -> SHA-256 of what it holds, as JSON: a file of that name may change."""
    return (
        json.dumps({name: scenario_sha256(world) for name, world in sweep.worlds().items()}, indent=2) + "\n"
    )


def _new(
    sweep: Sweep, folder: SweepFolder, *, callbacks: list[tune.Callback], jobs: int | None
) -> tune.Tuner:
    common = sweep.common()
    return tune.Tuner(
        PairTrainable.of(sweep),
        param_space=domains.param_space(sweep),
        tune_config=tune.TuneConfig(
            metric=sweep.metric,
            mode="max",
            search_alg=domains.searcher(sweep, at_once=jobs),
            scheduler=domains.scheduler(sweep),
            num_samples=_num_samples(sweep),
            max_concurrent_trials=jobs if sweep.search == "optuna" else None,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=folder.storage,
            failure_config=tune.FailureConfig(max_failures=sweep.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                # Of populations all, for a member may be asked for an older one; what need not stay goes in the end.
                num_to_keep=None if sweep.scheduler.kind == "pbt" else 2,
                # In Tune's steps, each of which ends with an evaluation.
                checkpoint_frequency=max(1, common.checkpoint_every // common.evaluate_every),
                checkpoint_at_end=True,
            ),
            callbacks=callbacks,
            verbose=0,
        ),
    )


def _restored(sweep: Sweep, folder: SweepFolder, *, anew: bool) -> tune.Tuner:
    """What Tune has noted of a sweep; failed trials start anew, or go on from their checkpoints."""
    trainable = PairTrainable.of(sweep)
    return tune.Tuner.restore(folder.path, trainable=trainable, restart_errored=anew, resume_errored=not anew)


def _num_samples(sweep: Sweep) -> int:
    # Tune multiplies by grids, among them that of seeds; `Repeater` counts trials.
    return sweep.num_trials if sweep.search == "optuna" else sweep.samples


def _folder_name(trial: Any) -> str:
    return str(trial.trial_id)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("ray.tune.tune")
    logger.addFilter(_is_news)
    with quiet_loggers(), warnings.catch_warnings():
        # Speeds that do not separate are what some sweeps are about; the plan's check has seen all of them.
        warnings.simplefilter("ignore", TimescaleWarning)
        try:
            yield
        finally:
            logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    # The table of trials says it, and of an interrupted sweep it is no error.
    return not str(record.msg).startswith("Trials did not complete")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What steers Tune by environment variables alone; those that are set stay."""
    missing = [name for name in _ENVIRONMENT if name not in os.environ]
    os.environ.update({name: _ENVIRONMENT[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """SIGTERM, with which clusters take machines back, is a Ctrl-C: Tune then notes where all trials stand."""
    try:
        before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    except ValueError:  # not the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
