"""How much each searched key says of profit, by ranks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kruskal, rankdata, spearmanr

from invrec_rllib.tuning.results import TrialRow
from invrec_rllib.tuning.sweep import Sweep

_FEWEST = 4


@dataclass(frozen=True)
class Importance:
    """What a key says of profit.

    Attributes:
        key: searched.
        share: of the variance of profit's ranks that the key explains alone, 0 to 1: for a number the square of
            Spearman's correlation, for a list of values what lies between their groups.
        direction: Spearman's correlation; NaN for a list of values without order.
        p_value: of as much by chance: of Spearman's correlation, or of Kruskal and Wallis' test.
    """

    key: str
    share: float
    direction: float
    p_value: float


def importances(sweep: Sweep, rows: Sequence[TrialRow]) -> list[Importance]:
    """Importance of all keys, the greatest first; keys that had one value are left out.

    Args:
        sweep: whose keys.
        rows: of trials in one world; those without a profit count for nothing, and fewer than four say nothing.
    """
    known = [row for row in rows if not math.isnan(row.profit)]
    profits = np.array([row.profit for row in known])
    if len(known) < _FEWEST or np.ptp(profits) == 0:
        return []
    found = []
    for key, dimension in sweep.space.items():
        values = [row.configuration[key] for row in known]
        if len({json.dumps(value) for value in values}) < 2:
            continue
        numbers = None if dimension.values is not None else [float(value) for value in values]
        found.append(
            _of_groups(key, values, profits) if numbers is None else _of_numbers(key, numbers, profits)
        )
    return sorted(found, key=lambda importance: -importance.share)


def _of_numbers(key: str, values: list[float], profits: np.ndarray) -> Importance:
    test = spearmanr(values, profits)
    rho = float(test.statistic)
    return Importance(key, share=rho**2, direction=rho, p_value=float(test.pvalue))


def _of_groups(key: str, values: list[Any], profits: np.ndarray) -> Importance:
    ranks, labels = rankdata(profits), np.array([json.dumps(value) for value in values])
    groups = [ranks[labels == label] for label in dict.fromkeys(labels)]
    between = sum(len(group) * (group.mean() - ranks.mean()) ** 2 for group in groups)
    share = float(between / ((ranks - ranks.mean()) ** 2).sum())
    return Importance(key, share=share, direction=math.nan, p_value=float(kruskal(*groups).pvalue))
