"""The fits recover what simulated panels were drawn with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.demand import DemandFit, fit_demand, negative_binomial_dispersion
from invrec_rllib.scenario.calibration.forecast import evaluate_holdout, poisson_deviance
from invrec_rllib.scenario.calibration.lift import (
    combine_segments,
    next_week_placebo,
    pool_estimates,
    within_store_week_lift,
)
from invrec_rllib.scenario.calibration.panel import Panel, StorePanel
from invrec_rllib.scenario.calibration.tastes import fit_tastes

pytest.importorskip("statsmodels")

LIFT = np.array([0.3, 0.8])
ELASTICITY = np.array([1.0, 2.5])
FloatArray = NDArray[np.float64]


def simulated_panel(
    *, seed: int, num_weeks: int = 39, num_products: int = 8, alpha: float = 0.0, timing: float = 0.0
) -> Panel:
    """Counts by store from known lift and elasticity.

    `alpha` disperses the counts of a chain's cell; with `timing`, weeks of many displays also sell more by
    themselves, which fools a chain-level fit.
    """
    rng = np.random.default_rng(seed)
    num_stores, segments = 12, len(LIFT)
    price = np.exp(rng.normal(0.5, 0.2, (num_weeks, num_products)))
    intensity = rng.beta(1.0, 1.0, (num_products, 1, num_weeks))
    display = rng.random((num_products, num_stores, num_weeks)) < intensity
    visits = rng.poisson(40.0, (segments, num_stores, num_weeks)).astype(float)
    intercept = rng.normal(-2.5, 0.5, (segments, num_products))
    store_effect = rng.normal(0.0, 0.3, (num_stores, 1))
    base_price = np.exp(np.log(price).mean(axis=0))
    relative = np.log(price / base_price).T[:, None, :]
    log_rate = (
        intercept[:, :, None, None]
        + store_effect
        + LIFT[:, None, None, None] * display
        - ELASTICITY[:, None, None, None] * relative
        + timing * (intensity - 0.5)
    )
    noise = 1.0
    if alpha > 0:
        noise = rng.gamma(1.0 / alpha, alpha, (segments, num_products, 1, num_weeks))
    purchases = rng.poisson(visits[:, None] * np.exp(log_rate) * noise).astype(float)
    exposed = np.einsum("msw,nsw->mnw", visits, display.astype(float))
    chain_visits = visits.sum(axis=1)
    return Panel(
        weeks=tuple(range(2, 2 + num_weeks)),
        products=tuple(f"p{i}" for i in range(num_products)),
        segments=("a", "b"),
        purchases=purchases.sum(axis=2).transpose(2, 0, 1),
        units=purchases.sum(axis=2).transpose(2, 0, 1),
        visits=chain_visits.T,
        exposure=(exposed / chain_visits[:, None]).transpose(2, 0, 1),
        price=price,
        stores=StorePanel(purchases=purchases, visits=visits, display=display),
    )


def in_three_errors(estimate: FloatArray, error: FloatArray, truth: FloatArray) -> bool:
    return bool((np.abs(estimate - truth) < 3.0 * error).all() and (error > 0).all())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_chain_level_fit_recovers_lift_and_elasticity(seed: int) -> None:
    fit = fit_demand(simulated_panel(seed=seed, alpha=0.05))
    assert in_three_errors(fit.elasticity, fit.elasticity_error, ELASTICITY)
    assert in_three_errors(fit.lift, fit.lift_error, LIFT)
    assert fit.lift_error.max() < 0.25
    assert fit.elasticity_error.max() < 0.25


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_within_store_week_lift_is_recovered(seed: int) -> None:
    estimate = within_store_week_lift(simulated_panel(seed=seed).stores)
    assert in_three_errors(estimate.value, estimate.standard_error, LIFT)
    assert estimate.standard_error.max() < 0.1


def test_the_timing_of_promotions_fools_the_chain_level_lift_but_not_the_careful_one() -> None:
    panel = simulated_panel(seed=4, timing=1.0)
    careful, high = within_store_week_lift(panel.stores), fit_demand(panel)
    assert in_three_errors(careful.value, careful.standard_error, LIFT)
    assert (high.lift > LIFT + 0.5).all()


def test_the_careful_lift_equals_a_regression_with_a_dummy_for_every_effect() -> None:
    panel = simulated_panel(seed=5, num_weeks=6, num_products=2)
    api = pytest.importorskip("statsmodels.api")
    estimate = within_store_week_lift(panel.stores)
    for m in range(2):
        counts, columns = panel.stores.purchases[m], []
        for axes in ("nw", "ns"):
            size = {"n": counts.shape[0], "s": counts.shape[1], "w": counts.shape[2]}
            index = np.indices(counts.shape)
            place = index[0] * size[axes[1]] + index[{"s": 1, "w": 2}[axes[1]]]
            dummies = np.eye(place.max() + 1)[place.ravel()]
            # One store per product is the reference.
            columns.append(
                dummies if axes == "nw" else dummies[:, np.arange(place.max() + 1) % size["s"] > 0]
            )
        design = np.column_stack([panel.stores.display.ravel().astype(float), *columns])
        offset = np.log(np.broadcast_to(panel.stores.visits[m], counts.shape).ravel())
        model = api.GLM(counts.ravel(), design, family=api.families.Poisson(), offset=offset)
        assert estimate.value[m] == pytest.approx(model.fit(tol=1e-12).params[0], abs=1e-6)


def test_next_weeks_display_has_no_lift() -> None:
    placebo = next_week_placebo(simulated_panel(seed=6).stores)
    assert in_three_errors(placebo.value, placebo.standard_error, np.zeros(2))


def test_a_display_that_is_everywhere_at_once_gives_no_careful_lift() -> None:
    panel = simulated_panel(seed=7)
    display = np.broadcast_to(panel.stores.display[:, :1], panel.stores.display.shape)
    with pytest.raises(InputError, match="display never differs between the stores"):
        within_store_week_lift(replace(panel.stores, display=display))


def test_dispersed_counts_are_told_from_poisson_counts() -> None:
    assert fit_demand(simulated_panel(seed=8)).dispersion < 0.01
    assert fit_demand(simulated_panel(seed=8, alpha=0.15)).dispersion == pytest.approx(0.15, abs=0.04)


def test_dispersion_of_a_negative_binomial_sample_is_found() -> None:
    rng = np.random.default_rng(0)
    mean = rng.uniform(2.0, 20.0, 20_000)
    counts = rng.poisson(mean * rng.gamma(1 / 0.2, 0.2, mean.shape)).astype(float)
    assert negative_binomial_dispersion(counts, mean) == pytest.approx(0.2, abs=0.01)


def test_intercepts_are_log_rates_at_base_price_without_exposure() -> None:
    panel = simulated_panel(seed=9)
    fit = fit_demand(panel, lift=LIFT)
    np.testing.assert_array_equal(fit.lift, LIFT)
    # The score equations of the intercepts: expected purchases add up to those counted.
    np.testing.assert_allclose(fit.expected(panel).sum(axis=0), panel.purchases.sum(axis=0), rtol=0.02)


def test_a_product_that_a_segment_never_buys_gets_a_finite_low_intercept() -> None:
    panel = simulated_panel(seed=10)
    purchases = panel.purchases.copy()
    purchases[:, 0, 0] = 0.0
    fit = fit_demand(replace(panel, purchases=purchases))
    assert np.isfinite(fit.intercept).all()
    assert fit.intercept[0, 0] < fit.intercept[1, 0] - 1.0


def test_pooling_weighs_by_precision_and_shrinks_noisy_segments_more() -> None:
    # Equal estimates: no spread, the precision-weighted mean; 1 / (4 + 1) of the variance.
    pooled, error, spread = pool_estimates(np.array([0.2, 0.2]), np.array([0.5, 1.0]))
    assert (pooled, error, spread) == (pytest.approx(0.2), pytest.approx(5**-0.5), 0.0)
    combined = combine_segments(np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.1, 1.0]))
    assert combined.shrunk[1] > combined.shrunk[2] > combined.pooled
    assert combine_segments(np.array([-1.0, -1.0]), np.array([0.1, 0.1])).shrunk.tolist() == [0.0, 0.0]


def taste_panel(
    *, seed: int, noise: float, cv: float, num_weeks: int = 200, products: int = 30, level: float = 10.0
) -> tuple[FloatArray, FloatArray]:
    """Purchases and their mean without tastes: reversion 0.2, half of the noise common, 4 segments."""
    rng = np.random.default_rng(seed)
    segments = 4
    affinity, path = np.zeros((segments, products)), []
    for _ in range(num_weeks + 50):
        common, own = rng.normal(size=products), rng.normal(size=(segments, products))
        affinity = 0.8 * affinity + noise * (np.sqrt(0.5) * common + np.sqrt(0.5) * own)
        path.append(affinity)
    shock = rng.gamma(cv**-2, cv**2, (num_weeks, 1, products)) if cv > 0 else 1.0
    mean = np.full((num_weeks, segments, products), level)
    factor = np.exp(np.array(path[50:]))
    purchases = rng.poisson(mean * factor * shock).astype(float)
    return purchases, mean * purchases.mean(axis=0) / mean[0]


def test_taste_dynamics_are_recovered() -> None:
    fit = fit_tastes(*taste_panel(seed=1, noise=0.15, cv=0.2), resamples=50)
    estimate = np.array([fit.reversion, fit.noise, fit.common_share, fit.noise_cv])
    assert in_three_errors(estimate, fit.errors, np.array([0.2, 0.15, 0.5, 0.2]))
    assert fit.errors.max() < 0.12


def test_a_short_panel_of_small_counts_is_corrected_for_its_fitted_means() -> None:
    # Means fitted on 20 weeks of 2 purchases lower every moment by 0.5 / 20, against a variance of 0.06.
    purchases, mean = taste_panel(seed=4, noise=0.15, cv=0.0, num_weeks=20, products=4000, level=2.0)
    fit = fit_tastes(purchases, mean, reversion=0.2, resamples=2)
    assert fit.noise == pytest.approx(0.15, abs=0.015)
    assert fit.common_share == pytest.approx(0.5, abs=0.08)


def test_poisson_counts_show_no_tastes() -> None:
    fit = fit_tastes(*taste_panel(seed=2, noise=0.0, cv=0.0), resamples=2)
    assert fit.noise < 0.02
    assert fit.noise_cv < 0.05
    flat = np.full((30, 2, 4), 9.0)
    none = fit_tastes(flat, flat, resamples=2)
    assert (none.noise, none.common_share, none.errors[2]) == (0.0, 0.5, np.inf)


def test_a_season_of_all_products_is_no_taste() -> None:
    _, mean = taste_panel(seed=3, noise=0.0, cv=0.0)
    season = 1.0 + 0.5 * np.sin(np.arange(len(mean)) / 8.0)
    seasonal = np.random.default_rng(0).poisson(mean * season[:, None, None]).astype(float)
    assert fit_tastes(seasonal, mean, resamples=2).noise < 0.02


def test_a_reversion_given_is_kept() -> None:
    fit = fit_tastes(*taste_panel(seed=1, noise=0.15, cv=0.2), reversion=0.4, resamples=3)
    assert fit.reversion == pytest.approx(0.4)
    assert fit.errors[0] == pytest.approx(0.0)


def test_hold_out_measures_by_hand() -> None:
    ones = np.ones((5, 1, 1))
    fitted = Panel(
        weeks=(1, 2, 3, 4, 5),
        products=("p",),
        segments=("a",),
        purchases=np.array([8.0, 2.0, 4.0, 6.0, 8.0]).reshape(5, 1, 1),
        units=ones,
        visits=np.full((5, 1), 10.0),
        exposure=0.0 * ones,
        price=np.ones((5, 1)),
        stores=StorePanel(np.zeros((1, 1, 0, 5)), np.zeros((1, 0, 5)), np.zeros((1, 0, 5), bool)),
    )
    held_out = replace(
        fitted,
        weeks=(6, 7),
        purchases=np.array([10.0, 4.0]).reshape(2, 1, 1),
        visits=np.array([[20.0], [10.0]]),
        exposure=np.zeros((2, 1, 1)),
        price=np.ones((2, 1)),
    )
    fit = DemandFit(
        intercept=np.log([[0.5]]),
        lift=np.zeros(1),
        lift_error=np.zeros(1),
        elasticity=np.zeros(1),
        elasticity_error=np.zeros(1),
        base_price=np.ones(1),
        dispersion=0.0,
        log_likelihood=0.0,
    )
    measured = evaluate_holdout(fit, fitted, held_out)
    assert measured.wape_model == pytest.approx((0 + 1) / 14)
    assert measured.bias == pytest.approx(15 / 14 - 1)
    # Means of the four weeks before: (2+4+6+8)/4 = 5 and (4+6+8+10)/4 = 7.
    assert measured.wape_last_4_weeks == pytest.approx((5 + 3) / 14)
    assert measured.wape_last_week == pytest.approx((2 + 6) / 14)
    # Five fitted weeks hold no quarter: the season is their length.
    assert measured.wape_seasonal == pytest.approx((2 + 2) / 14)
    assert measured.wape_fit_mean == pytest.approx((4.4 + 1.6) / 14)
    # A constant rate of 28 purchases in 50 visits.
    null = poisson_deviance(np.array([10.0, 4.0]), np.array([11.2, 5.6]))
    model = poisson_deviance(np.array([10.0, 4.0]), np.array([10.0, 5.0]))
    assert measured.deviance_explained == pytest.approx(1.0 - model / null)


def test_poisson_deviance_is_zero_at_a_perfect_fit_and_counts_empty_cells() -> None:
    counts = np.array([0.0, 3.0])
    assert poisson_deviance(counts, counts) == pytest.approx(0.0, abs=1e-9)
    assert poisson_deviance(counts, np.array([1.0, 3.0])) == pytest.approx(2.0)


def test_a_segment_without_an_estimate_gets_the_pooled_lift() -> None:
    panel = simulated_panel(seed=11)
    purchases = panel.stores.purchases.copy()
    purchases[0] = 0.0
    estimate = within_store_week_lift(replace(panel.stores, purchases=purchases))
    assert np.isnan(estimate.value[0])
    assert estimate.shrunk[0] == pytest.approx(estimate.pooled) == pytest.approx(estimate.value[1])


def test_constant_prices_give_no_elasticity_and_exposure_that_never_varies_no_lift() -> None:
    panel = simulated_panel(seed=12)
    still = fit_demand(replace(panel, price=np.full_like(panel.price, 2.0)))
    assert still.elasticity.tolist() == [0.0, 0.0]
    assert np.isinf(still.elasticity_error).all()
    exposure = panel.exposure.copy()
    exposure[:, 0] = 0.0
    hidden = fit_demand(replace(panel, exposure=exposure))
    assert np.isnan(hidden.lift[0])
    assert hidden.lift[1] == pytest.approx(fit_demand(panel).lift[1], abs=0.02)


def test_nothing_bought_is_nothing_to_fit() -> None:
    panel = simulated_panel(seed=12)
    with pytest.raises(InputError, match="there is nothing to fit"):
        fit_demand(replace(panel, purchases=0.0 * panel.purchases))
