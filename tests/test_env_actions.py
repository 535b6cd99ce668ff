"""What actions mean: orders and exposures by hand, refusals, batches."""

from __future__ import annotations

import numpy as np
import pytest
from env_worlds import everything, random_actions, views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import worlds

from invrec_rllib.env import ActionMapping, Facts
from invrec_rllib.env.actions import check_action
from invrec_rllib.errors import InputError
from invrec_rllib.policies.base_stock import order_towards, order_up_to_level, protected_season
from invrec_rllib.policies.view import View
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator


def first_view(name: str = "paper", **options) -> View:
    return next(views(load_scenario(name), information="observed", **options))


def test_a_zero_action_orders_what_the_textbook_orders():
    view = first_view()
    order = ActionMapping(view.params).to_order(view, np.zeros((1, 10)))
    np.testing.assert_array_equal(order, order_towards(view, order_up_to_level(view)))
    assert order.sum() > 0


def test_the_adjustment_is_in_units_of_the_mean_demand_to_be_covered():
    params = load_scenario("huge")  # no supply limit
    view = next(views(params, information="observed"))
    mapping = ActionMapping(view.params)
    mean = view.forecast * protected_season(view.params, 0)
    zero = mapping.to_order(view, np.zeros((1, 2000)))
    half = mapping.to_order(view, np.full((1, 2000), 0.5))
    at_least_one = zero > 0
    assert at_least_one.sum() > 1000
    # Both levels are rounded to whole units.
    np.testing.assert_allclose((half - zero)[at_least_one], 0.5 * mean[at_least_one], atol=1.0)


def test_the_lowest_action_orders_next_to_nothing_and_the_range_is_an_option():
    view = first_view()
    low = np.full((1, 10), -1.0)
    assert ActionMapping(view.params).to_order(view, low).sum() == 0
    narrow = ActionMapping(view.params, order_range=1e-9).to_order(view, low)
    np.testing.assert_array_equal(narrow, ActionMapping(view.params).to_order(view, np.zeros((1, 10))))


def test_a_quantity_goes_from_nothing_to_the_suppliers_limit():
    view = first_view()
    mapping = ActionMapping(view.params, order="quantity")
    assert mapping.to_order(view, np.full((1, 10), -1.0)).sum() == 0
    np.testing.assert_array_equal(mapping.to_order(view, np.ones((1, 10)))[0], view.params.max_order)
    middle = mapping.to_order(view, np.zeros((1, 10)))[0]
    np.testing.assert_array_equal(middle, np.rint(view.params.max_order / 2))


def test_without_a_supply_limit_a_quantity_goes_to_a_multiple_of_organic_demand():
    view = first_view("seasonal")
    assert view.params.scenario.products.max_order is None
    mapping = ActionMapping(view.params, order="quantity", quantity_range=2.0)
    expected = np.ceil(2.0 * view.params.organic_demand)
    np.testing.assert_array_equal(mapping.to_order(view, np.ones((1, 10)))[0], expected)


@pytest.mark.parametrize("order", ["adjustment", "quantity"])
def test_nothing_is_ordered_outside_review_periods(order):
    run = views(everything(), information="observed", order=order)
    for view in run:
        if view.state.period < 12:
            placed = ActionMapping(view.params, order=order).to_order(view, np.ones((1, 10)))
            assert (placed.sum() > 0) == (view.state.period % 2 == 0 and view.state.period < 10)
        if view.state.period == 9:
            break


def test_a_zero_action_shows_a_soft_revenue_greedy_slate():
    view = first_view()
    exposure = ActionMapping(view.params).to_exposure(view, np.zeros((1, 50)))
    # Gain of revenue by exposing one product alone, product by product.
    params = view.params
    for m in range(5):
        weight = np.exp(view.scores[0, m])
        gain = []
        for i in range(10):
            raised = weight.copy()
            raised[i] *= np.exp(params.lift[m, 0])
            gain.append(
                params.price[0, i] * (raised[i] / (1 + raised.sum()) - weight[i] / (1 + weight.sum()))
            )
        ranked = np.argsort(gain)
        assert set(np.argsort(exposure[0, m])[-2:]) == set(ranked[-2:])
        standard = (np.asarray(gain) - np.mean(gain)) / np.std(gain)
        np.testing.assert_allclose(Facts(view).base_score[0, m], standard, rtol=1e-9)


@pytest.mark.parametrize("mapping", ["adjustment", "scores", "greedy"])
def test_a_strong_action_moves_the_slot_to_the_product_wanted(mapping):
    view = first_view()
    action = np.full((1, 5, 10), -1.0)
    action[0, :, [3, 7]] = 1.0
    exposure = ActionMapping(view.params, exposure=mapping).to_exposure(view, action.reshape(1, 50))
    np.testing.assert_allclose(exposure[0][:, [3, 7]], 1.0, atol=1e-3)


def test_scores_alone_do_not_depend_on_what_is_shown():
    one, other = first_view(seed=0), first_view(seed=1)
    assert not np.array_equal(one.scores, other.scores)
    action = np.random.default_rng(0).uniform(-1, 1, (1, 50))
    alone = ActionMapping(one.params, exposure="scores")
    np.testing.assert_array_equal(alone.to_exposure(one, action), alone.to_exposure(other, action))


def test_the_first_n_numbers_are_the_first_segments():
    view = first_view()
    action = np.full((1, 50), -1.0)
    action[0, [0, 1]] = 1.0  # products 0 and 1 for segment 0
    exposure = ActionMapping(view.params, exposure="greedy").to_exposure(view, action)
    np.testing.assert_array_equal(exposure[0, 0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    world=worlds(),
    seed=st.integers(0, 100),
    order=st.sampled_from(["adjustment", "quantity"]),
    exposure=st.sampled_from(["adjustment", "scores", "greedy"]),
)
def test_every_action_is_allowed_in_every_world(world, seed, order, exposure):
    # `views` plays on, and the simulator refuses what is not allowed.
    played = list(views(world, information="department", seed=seed, order=order, exposure=exposure))
    assert len(played) == world.periods + 1


@pytest.mark.parametrize("exposure", ["adjustment", "scores", "greedy"])
@pytest.mark.parametrize("order", ["adjustment", "quantity"])
@pytest.mark.parametrize("name", ["paper", "large"])
def test_a_batch_decides_as_its_episodes_alone(name, order, exposure):
    view = first_view(name, episodes=4)
    mapping = ActionMapping(view.params, order=order, exposure=exposure)
    stock, show = random_actions(mapping, np.random.default_rng(0), 4)
    orders, exposures = mapping.to_order(view, stock), mapping.to_exposure(view, show)
    for k in range(4):
        alone = first_view(name, episodes=[k])
        np.testing.assert_array_equal(mapping.to_order(alone, stock[k : k + 1])[0], orders[k])
        np.testing.assert_array_equal(mapping.to_exposure(alone, show[k : k + 1])[0], exposures[k])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"inventory' is nan at index \[0, 4\], must lie in \[-1, 1\]"),
        (np.inf, "is inf"),
        (1.01, r"is 1.01 at index \[0, 4\]"),
        (-1.00001, "is -1.00001"),
    ],
)
def test_an_action_outside_the_space_is_refused_by_agent_index_and_value(value, message):
    view = first_view()
    action = np.zeros((1, 10))
    action[0, 4] = value
    with pytest.raises(InputError, match=message):
        ActionMapping(view.params).to_order(view, action)


def test_a_wrong_shape_and_words_are_refused():
    view = first_view()
    mapping = ActionMapping(view.params)
    with pytest.raises(InputError, match=r"recommender' has shape \(1, 10\), must be \(1, 50\)"):
        mapping.to_exposure(view, np.zeros((1, 10)))
    with pytest.raises(InputError, match="must be an array of numbers, got str"):
        mapping.to_order(view, "everything")


def test_the_rounding_of_32_bit_numbers_is_allowed_and_cut_to_the_bound():
    above = np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(
        check_action("inventory", np.array([above, -above, 0.5]), (3,)), [1, -1, 0.5]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "guess"}, "order is 'guess', must be one of adjustment, quantity"),
        ({"exposure": "all"}, "exposure is 'all', must be one of adjustment, scores, greedy"),
        ({"temperature": 0.0}, "temperature is 0.0, must be above 0"),
        ({"score_range": np.nan}, "score_range is nan"),
        ({"order_range": -1.0}, "order_range is -1.0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        ActionMapping(Simulator(load_scenario("tiny")).params, **options)
