"""Signed tests of effects, adjusted for how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from invrec_rllib.evaluation.behaviour.asking import Asked, Sums
from invrec_rllib.evaluation.behaviour.effects import EFFECTS
from invrec_rllib.evaluation.behaviour.together import MOVEMENTS
from invrec_rllib.evaluation.statistics import (
    Estimate,
    adjust_for_count,
    estimate_mean,
    estimate_ratio,
    p_value,
)
from invrec_rllib.sim.params import FloatArray


@dataclass(frozen=True)
class EffectTest:
    """One effect of one policy.

    Attributes:
        name: in `EFFECTS` or `MOVEMENTS`.
        label: for readers.
        unit: of the size.
        size: with its interval over episodes; NaN where nothing could move.
        p_value: one-sided where the optimum has a sign, else two-sided.
        adjusted: the same, adjusted for the number of tests of the policy.
        expected: the optimum's significant sign, 1 or -1; 0: it has none.
        sign: the policy's own, 1 or -1 where it is significant; 0: it is not.
        holds: whether the sign is the optimum's, significantly; None where that has none.
        joint: whether it says that orders and exposures move together.
        by_product: size by the product that was changed, without test; () for correlations.
    """

    name: str
    label: str
    unit: str
    size: Estimate
    p_value: float
    adjusted: float
    expected: int
    sign: int
    holds: bool | None
    joint: bool
    by_product: tuple[float, ...]


@dataclass(frozen=True)
class _Measured:
    label: str
    unit: str
    size: Estimate
    count: int
    joint: bool
    by_product: tuple[float, ...] = ()


def hold_against(
    asked: Asked, *, signs: Mapping[str, int], confidence: float, significance: float
) -> tuple[EffectTest, ...]:
    """Test all effects of a policy.

    Args:
        asked: its answers.
        signs: of the optimum, by effect; those that are missing or 0 are tested two-sided.
        confidence: of the intervals, between 0 and 1.
        significance: level of the tests, between 0 and 1.
    """
    measured = {name: _of_effect(name, sums, confidence=confidence) for name, sums in asked.effects.items()}
    measured |= {
        name: _of_movement(name, values, confidence=confidence) for name, values in asked.movements.items()
    }
    expected = {name: signs.get(name, 0) for name in measured}
    values = [p_value(found.size, count=found.count, sign=expected[name]) for name, found in measured.items()]
    tested = []
    for (name, found), single, adjusted in zip(
        measured.items(), values, adjust_for_count(values), strict=True
    ):
        sign = expected[name]
        clear = bool(adjusted < significance)
        tested.append(
            EffectTest(
                name=name,
                label=found.label,
                unit=found.unit,
                size=found.size,
                p_value=single,
                adjusted=float(adjusted),
                expected=sign,
                sign=int(math.copysign(1, found.size.mean)) if clear else 0,
                holds=clear if sign else None,
                joint=found.joint,
                by_product=found.by_product,
            )
        )
    return tuple(tested)


def _of_effect(name: str, sums: Sums, *, confidence: float) -> _Measured:
    effect = EFFECTS[name]
    by_product = np.divide(
        sums.product_change,
        sums.product_against,
        out=np.full(len(sums.product_change), np.nan),
        where=sums.product_against > 0,
    )
    return _Measured(
        effect.label,
        effect.unit,
        estimate_ratio(sums.change, sums.against, confidence=confidence),
        len(sums.change),
        effect.response == "order_to_plan",
        tuple(by_product.tolist()),
    )


def _of_movement(name: str, values: FloatArray, *, confidence: float) -> _Measured:
    known = values[np.isfinite(values)]
    return _Measured(
        MOVEMENTS[name].label, "correlation", estimate_mean(known, confidence=confidence), len(known), True
    )
