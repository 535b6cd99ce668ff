"""Intervals by hand, and the coverage that they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import estimate_mean, paired_difference
from invrec_rllib.evaluation.statistics import adjust_for_count, estimate_ratio, p_value


def test_t_interval_of_a_small_sample_is_the_one_of_the_textbook() -> None:
    # Mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.7764.
    estimate = estimate_mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert estimate.standard_error == pytest.approx(math.sqrt(2.5 / 5))
    assert estimate.high == pytest.approx(3.0 + 2.7764 * math.sqrt(0.5), abs=1e-4)
    assert estimate.low == pytest.approx(3.0 - 2.7764 * math.sqrt(0.5), abs=1e-4)


def test_percent_of_the_baseline_is_a_ratio_of_means() -> None:
    # d = (1, 2, 3), b = (10, 20, 30): every pair differs by exactly 10 %, so the ratio has no error at all.
    difference = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert difference.absolute.mean == pytest.approx(2.0)
    assert difference.percent.mean == pytest.approx(10.0)
    assert difference.percent.high - difference.percent.low == pytest.approx(0.0, abs=1e-9)


def test_less_loss_than_a_losing_baseline_is_a_gain_in_percent() -> None:
    difference = paired_difference([-5.0, -4.0], [-10.0, -10.0])
    assert difference.percent.mean == pytest.approx(55.0)


def test_pairing_removes_what_both_policies_share() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(100.0, 30.0, 50)
    difference = paired_difference(shared + 1.0 + rng.normal(0.0, 0.1, 50), shared)
    assert difference.absolute.low > 0.9
    assert difference.absolute.high < 1.1


def _covered(replications: int, *, count: int) -> tuple[float, float]:
    """Shares of intervals that hold the true difference 2 and the true 2 / 50 = 4 % of the baseline."""
    rng = np.random.default_rng(7)
    absolute = percent = 0
    for _ in range(replications):
        baseline = rng.gamma(4.0, 12.5, count)
        values = baseline * (1.0 + rng.normal(0.0, 0.05, count)) + 2.0 + rng.normal(0.0, 3.0, count)
        difference = paired_difference(values, baseline)
        absolute += difference.absolute.low <= 2.0 <= difference.absolute.high
        percent += difference.percent.low <= 4.0 <= difference.percent.high
    return absolute / replications, percent / replications


def test_paired_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # 1,000 replications: a true coverage of 0.95 lies within 0.95 +- 0.021 with probability 0.998.
    absolute, percent = _covered(1000, count=40)
    assert absolute == pytest.approx(0.95, abs=0.021)
    assert percent == pytest.approx(0.95, abs=0.025)


def test_bootstrap_interval_leans_to_the_long_tail_and_repeats() -> None:
    sample = np.random.default_rng(1).lognormal(0.0, 1.0, 40)
    estimate = estimate_mean(sample, method="bootstrap")
    assert estimate.high - estimate.mean > 1.1 * (estimate.mean - estimate.low)
    assert estimate == estimate_mean(sample, method="bootstrap")


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_a_constant_sample_has_an_interval_of_width_zero(method: str) -> None:
    estimate = estimate_mean([3.0] * 10, method=method)  # type: ignore[arg-type]
    assert (estimate.low, estimate.mean, estimate.high) == (3.0, 3.0, 3.0)


def test_values_that_are_not_finite_are_left_out_pair_by_pair() -> None:
    assert estimate_mean([1.0, math.nan, 3.0, math.inf]).mean == 2.0
    assert paired_difference([2.0, math.nan, 5.0], [1.0, 1.0, 2.0]).absolute.mean == 2.0


def test_one_episode_gives_a_mean_but_no_interval() -> None:
    difference = paired_difference([12.0], [10.0])
    assert difference.percent.mean == pytest.approx(20.0)
    assert math.isnan(difference.percent.low)
    assert math.isnan(difference.absolute.high)
    assert math.isnan(estimate_mean([]).mean)


def test_percent_of_nothing_is_not_a_number() -> None:
    assert math.isnan(paired_difference([1.0, 2.0], [0.0, 0.0]).percent.mean)


def test_unpaired_arrays_and_impossible_confidences_are_refused() -> None:
    with pytest.raises(InputError, match="one length"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match=r"between 0 and 1, got 95"):
        estimate_mean([1.0, 2.0], confidence=95)


def test_p_values_are_those_of_students_t() -> None:
    sample = np.random.default_rng(3).normal(0.3, 1.0, 40)
    estimate = estimate_mean(sample)
    for sign, alternative in ((0, "two-sided"), (1, "greater"), (-1, "less")):
        expected = stats.ttest_1samp(sample, 0.0, alternative=alternative).pvalue
        assert p_value(estimate, count=40, sign=sign) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "sign", "expected"),
    [
        ([0.0, 0.0], 1, 1.0),
        ([2.0, 2.0], 1, 0.0),
        ([2.0, 2.0], -1, 1.0),
        ([-2.0, -2.0], 0, 0.0),
        ([], 0, 1.0),
        ([1.0], 0, 1.0),
    ],
)
def test_samples_without_spread_are_sure_or_say_nothing(
    values: list[float], sign: int, expected: float
) -> None:
    assert p_value(estimate_mean(values), count=len(values), sign=sign) == expected


def test_p_values_are_adjusted_step_by_step() -> None:
    # By hand: 4 x 0.01; 3 x 0.02; 2 x 0.03; then 0.04, which must not fall below the one before.
    assert adjust_for_count([0.04, 0.01, 0.03, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert adjust_for_count([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert adjust_for_count([]).tolist() == []


def test_the_adjustment_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    values = np.random.default_rng(1).uniform(size=30) ** 4
    assert adjust_for_count(values) == pytest.approx(multitest.multipletests(values, method="holm")[1])


def test_a_ratio_of_means_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        below = rng.uniform(1.0, 3.0, 50)
        estimate = estimate_ratio(0.7 * below + rng.normal(0.0, 0.5, 50), below)
        covered += estimate.low < 0.7 < estimate.high
    # 95 % of 400, with three standard deviations of slack.
    assert 366 <= covered <= 394


def test_a_ratio_to_nothing_is_not_a_number() -> None:
    assert np.isnan(estimate_ratio([1.0, 2.0], [0.0, 0.0]).mean)
