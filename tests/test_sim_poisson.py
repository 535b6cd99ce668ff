"""The inversion of Poisson counts is exact and monotone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri, pdtr
from scipy.stats import poisson

from invrec_rllib.sim import poisson as module
from invrec_rllib.sim.poisson import poisson_quantile

UNIFORMS = np.concatenate(
    [np.linspace(0, 1, 401)[:-1], 10.0 ** -np.arange(3, 17), 1 - 10.0 ** -np.arange(3, 16)]
)
MEANS = np.concatenate([[0.0, 1e-9, 1e-3], np.linspace(0.01, 40, 400), np.geomspace(40, 2000, 60)])


def assert_is_quantile(count: object, mean: np.ndarray, uniform: np.ndarray) -> None:
    """P(<= count) reaches the uniform and P(<= count - 1) does not, up to the rounding of the distribution."""
    rounding = 1e-13 * np.minimum(uniform, 1 - uniform) + 3e-16
    assert (pdtr(count, mean) >= uniform - rounding).all()
    positive = np.asarray(count) > 0
    less = np.asarray(count)[positive] - 1
    assert (pdtr(less, mean[positive]) < (uniform + rounding)[positive]).all()


def test_equals_scipys_quantile_on_a_grid() -> None:
    mean, uniform = (grid.ravel() for grid in np.meshgrid(MEANS, UNIFORMS))
    # SciPy calls the quantile at probability 0 "-1".
    expected = np.maximum(poisson.ppf(uniform, mean), 0)
    assert np.array_equal(poisson_quantile(mean, uniform), expected)


@pytest.mark.parametrize("mean", [0.003, 0.5, 1.0, 7.3, 23.9, 23.999999, 24.0, 24.1, 60.0, 500.0, 2000.0])
def test_is_exact_right_beside_every_step_of_the_distribution(mean: float) -> None:
    root = np.sqrt(mean)
    steps = pdtr(np.arange(max(0, int(mean - 9 * root)), int(mean + 9 * root) + 12), mean)
    beside = [
        steps,
        np.nextafter(steps, 0),
        np.nextafter(steps, 1),
        steps * (1 - 1e-9),
        1 - (1 - steps) * (1 - 1e-9),
    ]
    uniform = np.concatenate(beside)
    uniform = uniform[uniform < 1]
    means = np.full(uniform.shape, mean)
    assert_is_quantile(poisson_quantile(means, uniform), means, uniform)


@pytest.mark.parametrize("uniform", [0.0, 5e-324, 1e-300, 1e-20, 1 - 2.0**-53, 1 - 2.0**-30])
def test_extreme_uniforms_end_and_are_exact(uniform: float) -> None:
    uniforms = np.full(MEANS.shape, uniform)
    assert_is_quantile(poisson_quantile(MEANS, uniforms), MEANS, uniforms)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 1, exclude_max=True))
def test_never_falls_when_the_mean_rises(one: float, other: float, uniform: float) -> None:
    low, high = sorted((one, other))
    counts = poisson_quantile(np.array([low, high]), np.array([uniform, uniform]))
    assert counts[0] <= counts[1]


def test_never_falls_across_the_boundary_of_the_two_methods() -> None:
    means = np.linspace(23.9, 24.1, 2001)
    for uniform in np.linspace(0.0005, 0.9995, 500):
        assert (np.diff(poisson_quantile(means, np.full(means.shape, uniform))) >= 0).all()


def test_blocks_and_mixed_means_change_nothing() -> None:
    rng = np.random.default_rng(0)
    mean, uniform = rng.gamma(1.0, 12.0, (700, 3, 17)), rng.random((700, 3, 17))
    whole = poisson_quantile(mean, uniform)
    assert mean.size > 2 * module._BLOCK_CELLS
    assert np.array_equal(whole[::7], poisson_quantile(mean[::7], uniform[::7]))
    assert np.array_equal(whole, np.maximum(poisson.ppf(uniform, mean), 0))


def test_the_expansion_errs_less_than_it_claims() -> None:
    for mean in np.concatenate([np.linspace(24, 40, 200), np.geomspace(40, 1e4, 60)]):
        root = np.sqrt(mean)
        count = np.arange(max(0, int(mean - 5 * root)), int(mean + 6 * root))
        z = ndtri(pdtr(count, mean))
        inside = np.abs(z) < module._EXPANSION_REACH
        z, count = z[inside], count[inside]
        quantile = mean + root * z + (z * z / 6 + 1 / 3) - z * (z * z + 2) / (72 * root)
        quantile += (z**4 / 270 + 7 * z * z / 810 - 8 / 405) / mean
        # At the step from one count to the next the continuous quantile should be that next count.
        assert np.abs(quantile - (count + 1)).max() < module._EXPANSION_ERROR / mean**1.5


def test_few_cells_are_left_open_by_the_table() -> None:
    rng = np.random.default_rng(1)
    row = (np.sqrt(rng.uniform(0.1, 4, 50_000)) * module._ROWS_PER_ROOT).astype(int)
    column = (rng.random(50_000) * module._COLUMNS).astype(int)
    assert np.mean(module._table()[row * module._COLUMNS + column] < 0) < 0.03
