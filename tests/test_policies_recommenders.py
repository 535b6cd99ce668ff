"""Slates: budget, ranking, and the best expected revenue by enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invrec_rllib.policies.base_stock import order_up_to_level
from invrec_rllib.policies.recommenders import (
    fill_slots,
    inventory_balancing_slates,
    margin_greedy_slates,
    popular_slates,
    popularity,
    revenue_greedy_slates,
    stock_aware_slates,
    uniform_slates,
)
from invrec_rllib.policies.view import Observer, View
from invrec_rllib.scenario import Scenario, generate_scenario, load_scenario
from invrec_rllib.sim import Simulator, compile_scenario


def _changed(scenario: Scenario, section: str, **changes: object) -> Scenario:
    data = scenario.model_dump()
    return Scenario.model_validate({**data, section: {**data[section], **changes}})


def _first_view(scenario: Scenario, *, episodes: int = 3, on_hand: object = None) -> View:
    simulator = Simulator(scenario)
    state = simulator.reset(seed=0, episodes=episodes)
    if on_hand is not None:
        object.__setattr__(state, "on_hand", np.tile(np.asarray(on_hand), (episodes, 1)))
    return Observer(simulator.params, information="full").observe(state, simulator.streams)


def test_a_fraction_of_a_slot_goes_to_the_next_best_product() -> None:
    exposure = fill_slots(np.array([0.1, 5.0, 3.0, 4.0, 2.0]), 2.5)
    np.testing.assert_array_equal(exposure, [0.0, 1.0, 0.5, 1.0, 0.0])


def test_slots_stay_empty_rather_than_show_a_product_without_gain() -> None:
    np.testing.assert_array_equal(fill_slots(np.array([-1.0, 0.0, 2.0]), 3.0), [0.0, 0.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_products=st.integers(1, 12), share=st.floats(0.01, 1.0))
def test_slates_spend_the_budget_exactly_when_every_score_is_positive(
    seed: int, num_products: int, share: float
) -> None:
    slots = share * num_products
    exposure = fill_slots(np.random.default_rng(seed).random((4, 3, num_products)) + 0.1, slots)
    assert exposure.min() >= 0.0
    assert exposure.max() <= 1.0
    np.testing.assert_allclose(exposure.sum(axis=-1), slots, rtol=1e-12)


@pytest.mark.parametrize("lift_form", ["exponential", "linear"])
@pytest.mark.parametrize("category_popularity", [0.3, 8.0])
@pytest.mark.parametrize("recommend", [revenue_greedy_slates, margin_greedy_slates])
def test_greedy_slates_are_the_best_of_all_slates(
    lift_form: str, category_popularity: float, recommend: Callable[[View], np.ndarray]
) -> None:
    scenario = generate_scenario(
        seed=3, num_products=6, num_segments=4, slots=2, popularity=category_popularity
    )
    scenario = _changed(scenario, "demand", lift_form=lift_form)
    params = compile_scenario(scenario)
    exposure = recommend(_first_view(scenario))
    value = params.price[0] - (params.unit_cost if recommend is margin_greedy_slates else 0.0)

    odds = np.exp(params.affinity)
    slates = [
        np.isin(np.arange(6), pick) for size in range(3) for pick in itertools.combinations(range(6), size)
    ]
    for m in range(4):
        revenue = []
        for slate in slates:
            weight = odds[m] * np.where(slate, np.exp(params.lift[m]), 1.0)
            revenue.append((weight * value).sum() / (1.0 + weight.sum()))
        np.testing.assert_array_equal(exposure[0, m], slates[int(np.argmax(revenue))])


def test_exposure_that_costs_more_than_it_brings_is_not_given() -> None:
    scenario = load_scenario("tiny")
    assert revenue_greedy_slates(_first_view(scenario)).sum() == 3.0
    dear = _changed(scenario, "recommendation", exposure_cost=1e6)
    assert revenue_greedy_slates(_first_view(dear)).sum() == 0.0


def test_popularity_weighs_segments_by_traffic() -> None:
    scenario = _changed(
        load_scenario("tiny"),
        "segments",
        traffic=(3.0, 1.0),
        affinity=((0.0, -30.0), (-30.0, 0.0)),
        lift=(1.0, 1.0),
    )
    # A segment that only knows one product buys it with probability 1 / 2.
    np.testing.assert_allclose(popularity(compile_scenario(scenario)), [0.375, 0.125], rtol=1e-9)


def test_popular_slates_are_the_same_for_everyone() -> None:
    exposure = popular_slates(_first_view(load_scenario("paper")))
    assert (exposure == exposure[0, 0]).all()
    assert exposure[0, 0].sum() == 2.0


def test_uniform_slates_give_every_product_its_share() -> None:
    assert (uniform_slates(_first_view(load_scenario("paper"))) == 0.2).all()


def test_the_silo_recommender_is_blind_to_stock_and_the_stock_aware_one_is_not() -> None:
    scenario = load_scenario("paper")
    full = _first_view(scenario, on_hand=[1000] * 10)
    shown = revenue_greedy_slates(full)[0].sum(axis=0)
    empty = int(np.argmax(shown))
    without = _first_view(scenario, on_hand=[0 if i == empty else 1000 for i in range(10)])
    np.testing.assert_array_equal(revenue_greedy_slates(without), revenue_greedy_slates(full))
    np.testing.assert_array_equal(stock_aware_slates(full), revenue_greedy_slates(full))
    assert stock_aware_slates(without)[:, :, empty].sum() == 0.0


def test_inventory_balancing_is_blind_to_stock_above_the_shelf_and_hides_what_is_gone() -> None:
    scenario = load_scenario("paper")
    full = _first_view(scenario, on_hand=[1000] * 10)
    np.testing.assert_array_equal(inventory_balancing_slates(full), revenue_greedy_slates(full))
    shown = int(np.argmax(revenue_greedy_slates(full)[0].sum(axis=0)))
    gone = _first_view(scenario, on_hand=[0 if i == shown else 1000 for i in range(10)])
    assert inventory_balancing_slates(gone)[:, :, shown].sum() == 0.0


def test_inventory_balancing_marks_prices_down_by_the_exponential_penalty() -> None:
    # tiny: one slot, both products alike but for the prices 10 and 11. The dearer one is shown until its
    # penalty (1 - exp(-x)) / (1 - exp(-1)) falls to 10 / 11, at x = 0.855 of a full shelf.
    data = load_scenario("tiny").model_dump()
    data["products"]["unit_cost"] = (6.0, 6.0)
    scenario = Scenario.model_validate(data)
    view = _first_view(scenario)
    full = order_up_to_level(view)[0, 1] - view.forecast[0, 1]
    share = -np.log(1.0 - 10.0 / 11.0 * (1.0 - np.exp(-1.0)))
    switch = share * full
    for units, best in ((np.ceil(switch + 0.01), 1), (np.floor(switch - 0.01), 0)):
        exposure = inventory_balancing_slates(_first_view(scenario, on_hand=[1000, int(units)]))
        assert exposure[0, 0, best] == 1.0
