"""How variants learn: evaluated profit against env steps, over the seeds of a study's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.robust import estimate_iqm
from invrec_rllib.report.run import read_progress
from invrec_rllib.sim.params import FloatArray
from invrec_rllib.studies.tables import Line


@dataclass(frozen=True, eq=False)
class Curve:
    """A variant's course.

    Attributes:
        line: whose.
        env_steps: at which all its runs were evaluated, (K,).
        profit: interquartile mean over seeds of evaluated profit per episode, money, (K,).
        low, high: its bootstrap interval, (K,); NaN with a single seed.
    """

    line: Line
    env_steps: FloatArray
    profit: FloatArray
    low: FloatArray
    high: FloatArray


def read_curves(runs: Path, lines: Sequence[Line]) -> list[Curve]:
    """The curves of lines whose runs' folders are there; without one there is none.

    Args:
        runs: the folder ``CONDITION/VARIANT/SEED`` of runs.
        lines: whose curves; runs of other seeds than theirs are left out.
    """
    curves = []
    for line in lines:
        files = [runs / line.condition / line.variant / str(seed) / "progress.csv" for seed in line.seeds]
        courses = [course for file in files if file.is_file() if (course := _evaluated(file))]
        steps = sorted(set.intersection(*map(set, courses))) if courses else []
        if steps:
            points = [estimate_iqm([course[step] for course in courses]) for step in steps]
            values = np.array([(point.value, point.low, point.high) for point in points])
            curves.append(Curve(line, np.array(steps), *values.T))
    return curves


def _evaluated(file: Path) -> dict[float, float]:
    """Evaluated profit by env steps; empty where the file is cut or the run was never evaluated."""
    try:
        progress = read_progress(file)
        pairs = zip(progress["env_steps"], progress["profit_eval_mean"], strict=True)
    except (InputError, KeyError):
        return {}
    return {float(steps): float(profit) for steps, profit in pairs if np.isfinite(profit)}
