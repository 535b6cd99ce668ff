"""What came of a sweep: a row per trial, configurations over their seeds, and the best of them as settings."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import yaml

from invrec_rllib.tuning.sweep import Sweep, describe

FINISHED, STOPPED, FAILED, UNFINISHED = "finished", "stopped early", "failed", "unfinished"


@dataclass(frozen=True)
class TrialRow:
    """A trial.

    Attributes:
        trial: its id, and its folder in the sweep's.
        configuration: what is searched, key -> value; trials that differ by seed alone share it.
        seed: of its training.
        status: finished, stopped early (by the scheduler), failed or unfinished.
        profit: per episode at the last evaluation; NaN before the first.
        profit_best: at the best evaluation.
        iterations, env_steps: done.
        seconds: that it trained.
        error: the last line of why it failed; empty where it did not.
        curve: (env steps, profit) of each evaluation.
        checkpoint: path of the last one in the sweep's file system; empty where there is none.
    """

    trial: str
    configuration: dict[str, Any]
    seed: int
    status: str
    profit: float
    profit_best: float
    iterations: int
    env_steps: int
    seconds: float
    error: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    checkpoint: str = ""


@dataclass(frozen=True)
class Configuration:
    """Trials that differ by seed alone.

    Attributes:
        number: from 1, in the order of the trials.
        values: what is searched.
        trials: one per seed.
    """

    number: int
    values: dict[str, Any]
    trials: list[TrialRow] = field(default_factory=list)

    @property
    def profits(self) -> list[float]:
        """Last profits of the trials that have one."""
        return [trial.profit for trial in self.trials if not math.isnan(trial.profit)]

    @property
    def mean(self) -> float:
        """Mean of the last profits over seeds; NaN where there is none."""
        return fmean(self.profits) if self.profits else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN below two."""
        return stdev(self.profits) if len(self.profits) > 1 else math.nan

    def is_complete(self, seeds: Collection[int]) -> bool:
        """Whether trials with all these seeds trained to the end."""
        return {trial.seed for trial in self.trials if trial.status == FINISHED} >= set(seeds)


def group(rows: Sequence[TrialRow]) -> list[Configuration]:
    """Configurations in the order of their first trials."""
    found: dict[str, Configuration] = {}
    for row in rows:
        key = json.dumps(row.configuration, sort_keys=True)
        found.setdefault(key, Configuration(len(found) + 1, row.configuration)).trials.append(row)
    return list(found.values())


def ranked(rows: Sequence[TrialRow]) -> list[Configuration]:
    """Configurations by their means, the best first; those without a profit last."""
    return sorted(group(rows), key=lambda c: c.mean if c.profits else -math.inf, reverse=True)


def best_of(sweep: Sweep, rows: Sequence[TrialRow]) -> dict[str, Configuration]:
    """The configuration with the best mean over seeds, of those of which all seeds trained to the end.

    Returns:
        Scenario -> best; a single one, unless scenarios are searched, whose profits do not compare. A scenario of which
        no configuration is complete is missing.
    """
    found: dict[str, Configuration] = {}
    for configuration in group(rows):
        if not configuration.is_complete(sweep.seeds):
            continue
        scenario = sweep.settings(configuration.values).scenario
        if scenario not in found or configuration.mean > found[scenario].mean:
            found[scenario] = configuration
    return found


def best_settings(sweep: Sweep, best: Configuration, *, currency: str) -> str:
    """A settings file of the best configuration, which `invrec train --config` takes."""
    settings = sweep.settings({**best.values, "seed": best.trials[0].seed})
    profits = ", ".join(f"{trial.profit:,.2f} (seed {trial.seed})" for trial in best.trials)
    notes = [
        f"Best configuration of the sweep {sweep.name}: {describe(best.values) or 'its base'}",
        f"Profit per validation episode, {currency}: mean {best.mean:,.2f} over {profits}",
    ]
    if sweep.scheduler.kind == "pbt":
        notes.append("The values at its end: population-based training had changed them on the way.")
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return "".join(f"# {note}\n" for note in notes) + text


def to_csv(sweep: Sweep, rows: Sequence[TrialRow]) -> str:
    """A row per trial: its configuration, seed, profits, work, status and error."""
    numbers = {id(trial): c.number for c in group(rows) for trial in c.trials}
    header = ["trial", "configuration", *sweep.space, "seed", "status", "profit", "profit_best"]
    header += ["iterations", "env_steps", "seconds", "error"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = [_cell(row.configuration[key]) for key in sweep.space]
        profits = ["" if math.isnan(profit) else f"{profit:.2f}" for profit in (row.profit, row.profit_best)]
        work = [row.iterations, row.env_steps, f"{row.seconds:.1f}", row.error]
        writer.writerow([row.trial, numbers[id(row)], *values, row.seed, row.status, *profits, *work])
    return text.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
