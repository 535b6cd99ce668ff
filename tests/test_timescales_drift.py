"""The drift controller holds simulated policies to their budget, and no wrong controller does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import Constant, DriftBudget, DriftController, PowerLaw, Schedule

LEARNING_RATE = 0.1


def controller(rate: float = 0.3, *, low: float = 0.01, high: float = 100.0) -> DriftController:
    return DriftController(DriftBudget(Constant(0.01), rate=rate, low=low, high=high))


def run(
    controller: DriftController,
    *,
    sensitivity: float,
    num_updates: int,
    target: Schedule | None = None,
    noise: float = 0.0,
) -> list[float]:
    """KL of each update of a policy whose KL goes with the square of its step size."""
    target = target or controller.budget.target
    random, factor, drifts = np.random.default_rng(0), 1.0, []
    for update in range(num_updates):
        kl = sensitivity * (factor * LEARNING_RATE) ** 2 * math.exp(noise * random.standard_normal())
        drifts.append(kl)
        factor = controller.update(factor, kl, target(update))
    return drifts


def settles(controller: DriftController) -> bool:
    """Whether plants of many sensitivities are at their budget, to a thousandth, after 60 updates."""
    return all(
        math.isclose(run(controller, sensitivity=s, num_updates=60)[-1], 0.01, rel_tol=1e-3)
        for s in (0.01, 0.3, 1.0, 10.0, 1000.0)
    )


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.5, 1.0])
def test_the_drift_settles_at_its_budget(rate: float) -> None:
    assert settles(controller(rate))


class TakesSquareForStep(DriftController):
    """Forgets that KL goes with the square of the step."""

    def update(self, factor: float, measured_kl: float, target: float) -> float:
        return super().update(factor, measured_kl**2, target**2)


class Upside(DriftController):
    """Steps more where the drift is too large."""

    def update(self, factor: float, measured_kl: float, target: float) -> float:
        return super().update(factor, target, measured_kl)


class Still(DriftController):
    """Does nothing."""

    def update(self, factor: float, measured_kl: float, target: float) -> float:
        return factor


@pytest.mark.parametrize(
    "mutant",
    [TakesSquareForStep(controller(1.0).budget), Upside(controller().budget), Still(controller().budget)],
)
def test_a_wrong_controller_does_not_settle(mutant: DriftController) -> None:
    assert not settles(mutant)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_the_error_shrinks_by_the_rate_in_each_update(rate: float) -> None:
    drifts = np.array(run(controller(rate), sensitivity=2.0, num_updates=10))
    errors = np.log(drifts / 0.01)
    np.testing.assert_allclose(errors[1:], errors[:-1] * (1 - rate), rtol=1e-9)


def test_noise_in_the_measurement_leaves_the_drift_near_its_budget() -> None:
    drifts = run(controller(0.2), sensitivity=50.0, num_updates=2000, noise=0.5)
    # Two sources: the measurement's own noise, and that of the factor that followed earlier ones; both have mean 0
    # in logarithms. 0.5 / sqrt(2000) is the standard error of the mean; autocorrelation makes it at most 3 times it.
    assert abs(np.log(np.array(drifts[100:]) / 0.01).mean()) < 0.1


def test_a_budget_that_falls_is_followed() -> None:
    budget = PowerLaw(0.01, offset=50, power=1.2)
    drifts = run(controller(low=1e-3), sensitivity=30.0, num_updates=1000, target=budget)
    wanted = [budget(update) for update in range(1000)]
    np.testing.assert_allclose(drifts[100:], wanted[100:], rtol=0.1)
    assert wanted[-1] < 0.04 * wanted[0]


@pytest.mark.parametrize(
    ("measured", "target", "rate", "expected"),
    [
        (0.04, 0.01, 1.0, 0.5),  # half the step: a quarter of the KL
        (0.04, 0.01, 0.5, math.sqrt(0.5)),
        (0.01, 0.0225, 1.0, 1.5),
        (0.01, 0.01, 1.0, 1.0),
        (1e-9, 0.01, 1.0, 2.0),  # at most doubled
        (1e9, 0.01, 1.0, 0.1),  # at most a tenth is left
        (0.0, 0.01, 1.0, 2.0),
        (-1e-5, 0.01, 0.5, math.sqrt(2)),  # an estimate may fall below 0
        (math.inf, 0.01, 1.0, 0.1),
        (math.nan, 0.01, 1.0, 0.1),
        (0.01, 0.0, 1.0, 0.1),  # a budget of 0 wants no movement
        (0.0, 0.0, 1.0, 0.1),
    ],
)
def test_next_factors_by_hand(measured: float, target: float, rate: float, expected: float) -> None:
    assert controller(rate).update(1.0, measured, target) == pytest.approx(expected)


@given(st.floats(0.5, 3), st.floats(allow_nan=True), st.floats(0, 1e6), st.floats(0.01, 1))
def test_the_factor_stays_within_its_bounds(
    factor: float, measured: float, target: float, rate: float
) -> None:
    steered = controller(rate, low=0.5, high=3).update(factor, measured, target)
    assert 0.5 <= steered <= 3


def test_a_policy_that_did_not_move_for_long_is_back_at_its_budget_soon() -> None:
    steers, factor = controller(0.3, high=10), 1.0
    for _ in range(1000):
        factor = steers.update(factor, 0.0, 0.01)
    assert factor == 10
    drifts = []
    for _ in range(25):
        drifts.append((factor * LEARNING_RATE) ** 2)
        factor = steers.update(factor, drifts[-1], 0.01)
    assert max(drifts) == drifts[0] == pytest.approx(1.0)
    assert drifts[-1] == pytest.approx(0.01, rel=1e-2)


@pytest.mark.parametrize(
    ("factor", "target", "message"),
    [
        (0.0, 0.01, "factor = 0.0 must be"),
        (math.nan, 0.01, "factor = nan"),
        (1.0, -0.1, "target = -0.1 must be"),
    ],
)
def test_a_state_that_cannot_be_is_refused(factor: float, target: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        controller().update(factor, 0.01, target)
