"""From scores to findings: how much more trained pairs make than what they are held against, and how sure that is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from invrec_rllib.evaluation.robust import (
    Interval,
    estimate_iqm,
    interquartile_mean,
    paired_iqm_difference,
)
from invrec_rllib.evaluation.statistics import paired_difference
from invrec_rllib.reproduction.scores import BOUND, Score
from invrec_rllib.sim.params import FloatArray

_NAMES = {"optimal": "optimum"}


@dataclass(frozen=True)
class Ratio:
    """How much trained pairs make for every unit that something else makes on the same episodes.

    Attributes:
        seeds: interquartile mean over training seeds, interval over training seeds.
        episodes_low, episodes_high: interval of the mean over seeds, over episodes.
    """

    seeds: Interval
    episodes_low: float
    episodes_high: float

    @property
    def ahead(self) -> bool:
        """Whether both intervals are above 1."""
        return min(self.seeds.low, self.episodes_low) > 1.0


@dataclass(frozen=True)
class Finding:
    """One way to train under one condition.

    Attributes:
        condition, variant: names.
        label: of the variant.
        seeds: of training.
        profit: interquartile mean over seeds, money per episode.
        units_sold: the same, units.
        fill_rate: the same, in [0, 1].
        profit_over: by what it is held against.
        units_over: the same of units sold; the bound has none.
    """

    condition: str
    variant: str
    label: str
    seeds: tuple[int, ...]
    profit: Interval
    units_sold: float
    fill_rate: float
    profit_over: dict[str, Ratio]
    units_over: dict[str, Ratio]

    def to_data(self) -> dict[str, Any]:
        """Plain numbers by name, such as ``profit_over_silo``; None for what is not known."""
        numbers: dict[str, Any] = {"profit": self.profit.value, "profit_low": self.profit.low}
        numbers |= {
            "profit_high": self.profit.high,
            "units_sold": self.units_sold,
            "fill_rate": self.fill_rate,
        }
        for measure, ratios in (("profit", self.profit_over), ("units", self.units_over)):
            for other, ratio in ratios.items():
                name = f"{measure}_over_{_NAMES.get(other, other)}"
                numbers[name] = ratio.seeds.value
                numbers[f"{name}_low"], numbers[f"{name}_high"] = ratio.seeds.low, ratio.seeds.high
                numbers[f"{name}_episodes_low"] = ratio.episodes_low
                numbers[f"{name}_episodes_high"] = ratio.episodes_high
        rounded = {name: round(value, 6) if math.isfinite(value) else None for name, value in numbers.items()}
        return {"seeds": len(self.seeds), **rounded}


def find(
    *,
    condition: str,
    variant: str,
    label: str,
    pairs: Mapping[int, Score],
    others: Mapping[str, Score | Mapping[int, Score]],
) -> Finding:
    """Hold trained pairs against others on the same episodes.

    Args:
        condition, variant: names.
        label: of the variant.
        pairs: by training seed, at least one.
        others: what they are held against: a policy's score, the bound's (of the first episodes), or the scores of
            another way to train by seed, of which equal seeds are compared.
    """
    profits = _matrix(pairs, "profit")
    return Finding(
        condition=condition,
        variant=variant,
        label=label,
        seeds=tuple(pairs),
        profit=estimate_iqm(profits.mean(axis=1)),
        units_sold=float(interquartile_mean(_matrix(pairs, "units_sold").mean(axis=1))),
        fill_rate=float(interquartile_mean(_matrix(pairs, "fill_rate").mean(axis=1))),
        profit_over={name: _ratio(pairs, other, "profit") for name, other in others.items()},
        units_over={
            name: _ratio(pairs, other, "units_sold") for name, other in others.items() if name != BOUND
        },
    )


def _matrix(scores: Mapping[int, Score], measure: str) -> FloatArray:
    return np.stack([getattr(score, measure) for score in scores.values()])


def _ratio(pairs: Mapping[int, Score], other: Score | Mapping[int, Score], measure: str) -> Ratio:
    if isinstance(other, Score):
        base = getattr(other, measure)[None, :]
        values = _matrix(pairs, measure)[:, : base.shape[1]]
    else:
        common = [seed for seed in pairs if seed in other]
        base = _matrix({seed: other[seed] for seed in common}, measure)
        values = _matrix({seed: pairs[seed] for seed in common}, measure)
    over_seeds = paired_iqm_difference(
        values.mean(axis=1), np.broadcast_to(base.mean(axis=1), len(values))
    ).percent
    over_episodes = paired_difference(values.mean(axis=0), base.mean(axis=0)).percent
    return Ratio(
        Interval(*(1.0 + 0.01 * part for part in (over_seeds.value, over_seeds.low, over_seeds.high))),
        1.0 + 0.01 * over_episodes.low,
        1.0 + 0.01 * over_episodes.high,
    )


def results_data(findings: list[Finding], *, baseline: str) -> dict[str, Any]:
    """Findings as one mapping: the baseline's numbers, those of other variants under their names.

    Several conditions stand each under its own name.
    """
    by_condition: dict[str, dict[str, Any]] = {}
    for finding in findings:
        place = by_condition.setdefault(finding.condition, {})
        if finding.variant == baseline:
            by_condition[finding.condition] = {**finding.to_data(), **place}
        else:
            place[finding.variant] = finding.to_data()
    return next(iter(by_condition.values())) if len(by_condition) == 1 else by_condition


def to_json(data: Mapping[str, Any]) -> str:
    """JSON text, without NaN."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"
