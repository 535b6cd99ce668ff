"""Interquartile means and their intervals, against enumeration and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.robust import (
    estimate_iqm,
    interquartile_mean,
    paired_iqm_difference,
    probability_of_improvement,
)


def test_a_quarter_of_the_runs_on_either_side_does_not_count() -> None:
    # Of 8 runs the 2 best and the 2 worst are left out: (3 + 4 + 5 + 6) / 4, whatever the outer ones are.
    assert interquartile_mean([-1e9, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1e9]) == 4.5
    # Of 3 runs a quarter is less than one.
    assert interquartile_mean([1.0, 2.0, 9.0]) == 4.0


def test_the_interval_is_that_of_all_resamples() -> None:
    sample = [0.0, 1.0, 4.0, 10.0]
    # All 4^4 equally likely resamples, each averaged over its two middle values.
    everything = sorted(float(np.mean(sorted(drawn)[1:3])) for drawn in itertools.product(sample, repeat=4))
    estimate = estimate_iqm(sample)
    assert estimate.value == 2.5
    assert estimate.low == pytest.approx(np.quantile(everything, 0.025))
    assert estimate.high == pytest.approx(np.quantile(everything, 0.975))
    half = estimate_iqm(sample, confidence=0.5)
    assert (half.low, half.high) == pytest.approx(tuple(np.quantile(everything, [0.25, 0.75])))


def test_intervals_repeat() -> None:
    sample = np.random.default_rng(0).normal(size=8)
    assert estimate_iqm(sample) == estimate_iqm(sample)


def test_pairs_cancel_what_a_seed_does_to_both() -> None:
    baseline = np.array([100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0])
    difference = paired_iqm_difference(baseline + 9.0, baseline)
    assert (difference.absolute.value, difference.absolute.low, difference.absolute.high) == (9.0, 9.0, 9.0)
    # The middle half of the baseline averages 450.
    assert difference.percent.value == pytest.approx(2.0)
    assert difference.percent.low < 2.0 < difference.percent.high


def test_less_loss_than_a_losing_baseline_is_a_gain_in_percent() -> None:
    difference = paired_iqm_difference([-50.0] * 4, [-100.0] * 4)
    assert (difference.percent.value, difference.percent.low) == (50.0, 50.0)


def test_percent_of_nothing_is_not_a_number() -> None:
    difference = paired_iqm_difference([1.0, 2.0], [0.0, 0.0])
    assert difference.absolute.value == 1.5
    assert math.isnan(difference.percent.value)


def test_improvement_counts_pairs_and_half_of_ties() -> None:
    # Of 2 x 3 pairs: 5 beats 1 and 2 and ties with 5; 2 beats 1 and ties with 2: (2 + 0.5 + 1 + 0.5) / 6.
    assert probability_of_improvement([5.0, 2.0], [1.0, 2.0, 5.0]).value == pytest.approx(4.0 / 6.0)
    sure = probability_of_improvement([5.0, 6.0], [1.0, 2.0, 3.0])
    assert (sure.value, sure.low, sure.high) == (1.0, 1.0, 1.0)


def test_improvement_of_two_against_two_has_the_interval_of_all_resamples() -> None:
    values, baseline = [1.0, 3.0], [2.0, 4.0]
    pairs = itertools.product(itertools.product(values, repeat=2), itertools.product(baseline, repeat=2))
    everything = [np.mean([x > y for x in first for y in second]) for first, second in pairs]
    found = probability_of_improvement(values, baseline, confidence=0.5)
    assert found.value == 0.25
    assert (found.low, found.high) == tuple(np.quantile(everything, [0.25, 0.75]))


def test_intervals_of_eight_seeds_hold_the_truth_as_often_as_documented() -> None:
    rng = np.random.default_rng(5)
    held = [abs_low <= 0.0 <= abs_high for abs_low, abs_high in (_bounds(rng) for _ in range(400))]
    # 0.93 +- 3 standard deviations of 400 draws.
    assert np.mean(held) == pytest.approx(0.93, abs=0.038)


def _bounds(rng: np.random.Generator) -> tuple[float, float]:
    estimate = estimate_iqm(rng.normal(size=8))
    return estimate.low, estimate.high


def test_a_run_alone_has_no_interval_and_none_has_nothing() -> None:
    one = estimate_iqm([3.0, math.nan])
    assert one.value == 3.0
    assert math.isnan(one.low)
    assert math.isnan(estimate_iqm([]).value)
    assert math.isnan(paired_iqm_difference([], []).percent.value)
    assert math.isnan(probability_of_improvement([1.0], []).value)


def test_unpaired_arrays_tables_and_impossible_confidences_are_refused() -> None:
    with pytest.raises(InputError, match="one length"):
        paired_iqm_difference([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="one per seed"):
        estimate_iqm([[1.0, 2.0]])
    with pytest.raises(InputError, match="got 95"):
        estimate_iqm([1.0, 2.0], confidence=95)
