"""What stays of a sweep in its folder: the table of trials, the best settings, the report, the best checkpoints."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ray import tune

from invrec_rllib.errors import MissingExtraError
from invrec_rllib.report.document import check_installed
from invrec_rllib.tuning.folder import BEST, REPORT, TRIALS, SweepFolder
from invrec_rllib.tuning.page import context_worlds, write_sweep_report
from invrec_rllib.tuning.plan import Plan
from invrec_rllib.tuning.results import (
    FAILED,
    UNFINISHED,
    Configuration,
    TrialRow,
    best_of,
    best_settings,
    ranked,
    to_csv,
)
from invrec_rllib.tuning.sweep import Sweep
from invrec_rllib.tuning.watching import Board, TrialView

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweepResult:
    """How a call of `run_sweep` ended.

    Attributes:
        folder: of the sweep.
        rows: of its trials.
        best: scenario -> best configuration; empty where none is complete.
        interrupted: whether trials are left, for Ctrl-C came.
        files: names of what was written of it, in its folder.
    """

    folder: SweepFolder
    rows: list[TrialRow]
    best: dict[str, Configuration]
    interrupted: bool
    files: list[str]


def rows_of(board: Board, grid: tune.ResultGrid) -> list[TrialRow]:
    """A row per trial, from what was watched and what Tune has kept."""
    results = {PurePosixPath(result.path).name: result for result in map(grid.__getitem__, range(len(grid)))}
    rows = [_row(trial, results.get(trial.name)) for trial in board.trials.values()]
    # A resumed sweep meets its trials in another order; Tune's own ids are numbered, those of Optuna's trials are not.
    return sorted(rows, key=lambda row: row.trial) if board.plan.sweep.search == "random" else rows


def _row(trial: TrialView, result: tune.Result | None) -> TrialRow:
    metrics = result.metrics if result and result.metrics else {}
    error = str(result.error or "").strip().splitlines() if result else []
    return TrialRow(
        trial=trial.name,
        configuration=trial.configuration,
        seed=trial.seed,
        status=trial.status if trial.is_over else UNFINISHED,
        profit=math.nan if trial.profit is None else trial.profit,
        profit_best=float(metrics.get("profit_best", math.nan)),
        iterations=trial.iteration,
        env_steps=int(metrics.get("env_steps", 0)),
        seconds=trial.seconds,
        error=error[-1] if error and trial.status == FAILED else "",
        curve=_curve(None if result is None else result.metrics_dataframe),
        checkpoint=result.checkpoint.path if result and result.checkpoint else "",
    )


def _curve(frame: pd.DataFrame | None) -> tuple[tuple[float, float], ...]:
    """(env steps, profit) of each evaluation; of those that were made again after a restart the last."""
    if frame is None or "profit" not in frame:
        return ()
    return tuple(
        sorted(dict(zip(frame["env_steps"].tolist(), frame["profit"].tolist(), strict=True)).items())
    )


def keep_results(folder: SweepFolder, plan: Plan, rows: list[TrialRow], *, interrupted: bool) -> SweepResult:
    """Write trials, best settings and report into the sweep's folder; where it is over, prune checkpoints."""
    sweep = plan.sweep
    folder.write(TRIALS, to_csv(sweep, rows))
    best = best_of(sweep, rows)
    files = {
        BEST if not sweep.scenarios_differ else f"best_{Path(scenario).stem}.yaml": best_settings(
            sweep, configuration, currency=plan.currencies[scenario]
        )
        for scenario, configuration in best.items()
    }
    for name, text in files.items():
        folder.write(name, text)
    pages = []
    if best and not interrupted:
        _prune(folder, sweep, rows, best=list(best.values()))
        pages = _report(folder, plan, rows, best)
    return SweepResult(folder, rows, best, interrupted, [TRIALS, *files, *pages])


def _report(
    folder: SweepFolder, plan: Plan, rows: list[TrialRow], best: dict[str, Configuration]
) -> list[str]:
    """Write the page where the extra is installed; its name."""
    try:
        check_installed()
    except MissingExtraError:
        return []
    worlds = context_worlds(plan.sweep, rows, best=best, currencies=plan.currencies)
    if folder.local:
        page = write_sweep_report(plan.sweep, worlds, out=folder.local / REPORT)
    else:
        with tempfile.TemporaryDirectory(prefix="invrec-sweep-") as scratch:
            page = write_sweep_report(plan.sweep, worlds, out=Path(scratch))
            folder.upload(Path(scratch), REPORT)
    return [f"{REPORT}/{page.name}"]


def _prune(folder: SweepFolder, sweep: Sweep, rows: list[TrialRow], *, best: list[Configuration]) -> None:
    """Remove the checkpoints of all but the best configurations; failed trials keep theirs."""
    first = [configuration for configuration in ranked(rows) if configuration.profits][
        : sweep.keep_checkpoints
    ]
    kept = {trial.trial for configuration in [*first, *best] for trial in configuration.trials}
    for row in rows:
        if row.trial not in kept and row.status != FAILED and row.checkpoint:
            folder.remove_checkpoints(row.trial)
