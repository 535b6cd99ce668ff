"""Soft and hard top-K: exact budgets, order, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from invrec_rllib.env import hard_top_k, soft_top_k

_SCORES = st.integers(1, 70).flatmap(
    lambda n: arrays(np.float64, (2, 3, n), elements=st.floats(-6, 6, allow_nan=False))
)
_SHARE = st.floats(0.02, 1.0)
_TEMPERATURE = st.sampled_from([1e-6, 0.01, 0.1, 1.0, 30.0])


@given(scores=_SCORES, share=_SHARE, temperature=_TEMPERATURE)
def test_the_budget_is_used_exactly_and_nobody_gets_more_than_one_slot(scores, share, temperature):
    slots = share * scores.shape[-1]
    exposure = soft_top_k(scores, slots, temperature=temperature)
    assert exposure.min() >= 0.0
    assert exposure.max() <= 1.0
    # The coarsest of the temperatures divides scores of up to 6 by 1e-6: their last digit is worth 1e-9.
    np.testing.assert_allclose(exposure.sum(axis=-1), slots, atol=2e-8 if temperature < 1e-3 else 1e-9)


@given(scores=_SCORES, share=_SHARE, temperature=_TEMPERATURE)
def test_a_higher_score_never_gets_less_exposure(scores, share, temperature):
    exposure = soft_top_k(scores, share * scores.shape[-1], temperature=temperature)
    order = np.argsort(scores, axis=-1)
    assert (np.diff(np.take_along_axis(exposure, order, axis=-1), axis=-1) >= 0.0).all()


@given(scores=_SCORES, share=_SHARE, temperature=_TEMPERATURE, rise=st.floats(0, 5), data=st.data())
def test_raising_a_score_raises_its_exposure_and_lowers_the_others(scores, share, temperature, rise, data):
    i = data.draw(st.integers(0, scores.shape[-1] - 1))
    slots = share * scores.shape[-1]
    raised = scores.copy()
    raised[..., i] += rise
    change = soft_top_k(raised, slots, temperature=temperature) - soft_top_k(
        scores, slots, temperature=temperature
    )
    assert (change[..., i] >= -1e-7).all()
    assert (np.delete(change, i, axis=-1) <= 1e-7).all()


def test_one_slot_is_a_softmax():
    scores = np.array([[0.3, -1.0, 0.1]])
    expected = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    np.testing.assert_allclose(soft_top_k(scores, 1.0, temperature=0.5), expected, rtol=1e-12)


def test_a_product_that_would_get_more_than_one_slot_leaves_the_rest_to_the_others():
    # Two slots of weights 8, 1, 1, 2: 8 / 12 * 2 > 1, so it gets 1 and the others share the second slot.
    scores = np.log([[8.0, 1.0, 1.0, 2.0]])
    np.testing.assert_allclose(soft_top_k(scores, 2.0, temperature=1.0), [[1.0, 0.25, 0.25, 0.5]])


def test_it_maximises_score_plus_entropy_within_the_budget():
    rng = np.random.default_rng(0)
    scores, temperature = rng.normal(size=6), 0.4
    best = soft_top_k(scores, 2.5, temperature=temperature)

    def value(exposure):
        return scores @ exposure - temperature * (exposure * (np.log(exposure) - 1.0)).sum()

    others = rng.dirichlet(np.ones(6), size=4000) * 2.5
    others = others[(others <= 1.0).all(axis=1)]
    mixed = 0.9 * best + 0.1 * others
    assert len(others) > 100
    assert all(value(other) < value(best) for other in mixed)


@given(seed=st.integers(0, 1000), slots=st.sampled_from([0.5, 1.0, 2.0, 2.5, 4.0]))
def test_it_tends_to_the_hard_top_k_as_the_temperature_falls(seed, slots):
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(5.0), (4, 1)), axis=1)
    distance = [
        np.abs(soft_top_k(scores, slots, temperature=t) - hard_top_k(scores, slots)).max()
        for t in (1.0, 0.1, 0.02)
    ]
    assert distance[2] < 1e-12
    assert distance[0] > distance[1] >= distance[2]


def test_equal_scores_share_the_budget_equally():
    np.testing.assert_allclose(soft_top_k(np.zeros((1, 8)), 3.0, temperature=0.1), 3 / 8)


def test_as_many_slots_as_products_expose_all_of_them():
    assert (soft_top_k(np.array([[9.0, -9.0]]), 2.0, temperature=0.1) == 1.0).all()


def test_the_hard_top_k_gives_the_next_product_the_rest_of_the_budget():
    scores = np.array([[0.1, 0.9, 0.5, 0.4], [1.0, 1.0, 0.0, 1.0]])
    expected = [[0.0, 1.0, 1.0, 0.5], [1.0, 1.0, 0.0, 0.5]]
    np.testing.assert_array_equal(hard_top_k(scores, 2.5), expected)


@pytest.mark.parametrize("products", [10, 200])
def test_sorting_and_partitioning_agree_with_singles(products):
    scores = np.random.default_rng(1).normal(size=(5, 3, products))
    batch = soft_top_k(scores, 4.5, temperature=0.1)
    single = np.stack([soft_top_k(row, 4.5, temperature=0.1) for row in scores])
    np.testing.assert_array_equal(batch, single)
