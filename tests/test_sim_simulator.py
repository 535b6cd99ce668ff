"""The checked simulator: what it refuses, in which words, and its bookkeeping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator, compile_scenario

TINY = {"order": [[1, 1]], "exposure": [[[0.5, 0.5]]]}


def tiny() -> Simulator:
    simulator = Simulator(load_scenario("tiny"))
    simulator.reset(seed=0)
    return simulator


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"order": [[1, 1, 1]]}, r"order has shape \(1, 3\), must be \(1, 2\) \(episodes, products\)"),
        ({"order": [[1, -1]]}, "order of product 1 is -1 units, must be at least 0 and at most 3"),
        ({"order": [[1, 4]]}, "order of product 1 is 4 units, must be at least 0 and at most 3"),
        ({"order": [[1, 1.5]]}, "order of product 1 is 1.5, must be a whole number"),
        ({"order": [[np.nan, 1.0]]}, "order of product 0 is nan, must be a whole number"),
        ({"order": [[np.inf, 1.0]]}, "order of product 0 is inf, must be a whole number"),
        ({"order": [[1e300, 1.0]]}, r"order of product 0 is 1e\+300, must be a whole number"),
        ({"order": np.array([[2**63, 1]], dtype=np.uint64)}, "order of product 0 is 9223372036854775808"),
        ({"order": [[True, False]]}, "order must hold whole units, got values of type bool"),
        ({"order": [["1", "2"]]}, "order must hold whole units, got values of type <U1"),
        ({"order": None}, "order must hold whole units|order has shape"),
        ({"exposure": [[0.5, 0.5]]}, r"exposure has shape \(1, 2\), must be \(1, 1, 2\)"),
        ({"exposure": [[[0.5, np.nan]]]}, r"exposure must lie in \[0, 1\], got values from nan to nan"),
        ({"exposure": [[[0.5, -0.1]]]}, r"exposure must lie in \[0, 1\], got values from -0.1 to 0.5"),
        ({"exposure": [[[0.0, 1.1]]]}, r"exposure must lie in \[0, 1\], got values from 0 to 1.1"),
        ({"exposure": [[[0.0, np.inf]]]}, r"exposure must lie in \[0, 1\], got values from 0 to inf"),
        ({"exposure": [[[0.9, 0.9]]]}, "exposure of one segment sums to 1.8, above its 1 slots"),
        ({"exposure": [[["a", "b"]]]}, "exposure must hold numbers"),
        ({"exposure": [[[0.5j, 0.5]]]}, "exposure must hold numbers"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_actions_that_are_not_allowed_are_named(action: dict[str, Any], message: str) -> None:
    simulator = tiny()
    with pytest.raises(InputError, match=message):
        simulator.step(**{**TINY, **action})
    # Refused before anything moved.
    assert simulator.state.period == 0
    simulator.step(**TINY)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64])
def test_whole_orders_of_any_number_type_are_the_same_order(dtype: type) -> None:
    outcome = tiny().step(order=np.array([[3, 2]], dtype=dtype), exposure=TINY["exposure"])
    assert outcome.order.tolist() == [[3, 2]]
    assert outcome.order.dtype == np.int64


def test_a_budget_met_in_32_bits_is_met() -> None:
    simulator = Simulator(make_world(0, products=5))
    slots = simulator.params.slots
    simulator.reset(seed=0)
    exposure = np.full((1, 2, 5), slots / 5, dtype=np.float32)
    simulator.step(order=np.zeros((1, 5), dtype=np.int64), exposure=exposure)


def test_an_order_outside_the_review_periods_is_refused() -> None:
    simulator = Simulator(make_world(0, review_periods=3))
    simulator.reset(seed=0)
    nothing, some = np.zeros((1, 4), dtype=np.int64), np.ones((1, 4), dtype=np.int64)
    hidden = np.zeros((1, 2, 4))
    simulator.step(order=some, exposure=hidden)
    with pytest.raises(
        InputError, match="order must be 0 in period 1: orders are possible only in periods divis"
    ):
        simulator.step(order=some, exposure=hidden)
    simulator.step(order=nothing, exposure=hidden)
    simulator.step(order=nothing, exposure=hidden)
    simulator.step(order=some, exposure=hidden)


def test_without_a_limit_an_order_is_bounded_below_only() -> None:
    simulator = Simulator(make_world(0))
    simulator.reset(seed=0)
    with pytest.raises(
        InputError, match="order of product 2 is -5 units, must be at least 0 and at most 1099511627776"
    ):
        simulator.step(order=[[0, 0, -5, 0]], exposure=np.zeros((1, 2, 4)))
    with pytest.raises(InputError, match="order of product 1 is 4611686018427387904 units"):
        simulator.step(order=[[0, 2**62, 0, 0]], exposure=np.zeros((1, 2, 4)))
    assert simulator.step(order=[[10**6] * 4], exposure=np.zeros((1, 2, 4))).order.sum() == 4 * 10**6


def test_before_reset_and_after_the_horizon_it_says_to_reset() -> None:
    simulator = Simulator(load_scenario("tiny"))
    for attempt in (lambda: simulator.state, lambda: simulator.streams, lambda: simulator.step(**TINY)):
        with pytest.raises(InputError, match="call reset"):
            attempt()
    simulator.reset(seed=0)
    while not simulator.done:
        simulator.step(**TINY)
    assert simulator.state.period == 30
    with pytest.raises(InputError, match="the horizon of 30 periods is reached: call reset"):
        simulator.step(**TINY)
    simulator.reset(seed=0)
    simulator.step(**TINY)


def test_steps_leave_earlier_states_and_the_callers_arrays_alone() -> None:
    simulator = Simulator(make_world(1, substitution=0.5, backorder=True, delays=True, periods=12))
    state = simulator.reset(seed=0, episodes=3)
    kept = {k: np.copy(v) for k, v in vars(state).items()}
    order, exposure = np.full((3, 4), 2), np.full((3, 2, 4), 0.05)
    for _ in range(5):
        simulator.step(order=order, exposure=exposure)
    for name, before in kept.items():
        assert np.array_equal(getattr(state, name), before), name
    outcome = simulator.step(order=order, exposure=exposure)
    assert (order == 2).all()
    assert (exposure == 0.05).all()
    order[:], exposure[:] = 7, 0.0
    assert (outcome.order == 2).all()
    assert (simulator.state.last_exposure == 0.05).all()


def test_compiled_arrays_are_read_only() -> None:
    params = compile_scenario(load_scenario("tiny"))
    with pytest.raises(ValueError, match="read-only"):
        params.price[0, 0] = 1.0


def test_the_initial_state_has_received_its_first_delivery() -> None:
    # tiny: 4 on hand and 2 arriving at the start of period 0, lead time 1.
    state = tiny().state
    assert state.on_hand.tolist() == [[6, 6]]
    assert state.on_order.tolist() == [[[0], [0]]]
    assert state.inventory_position.tolist() == [[6, 6]]


def test_ten_thousand_products_run() -> None:
    world = make_world(0, products=10_000, segments=2, periods=4, noise_cv=0.3)
    simulator = Simulator(world)
    simulator.reset(seed=0, episodes=2)
    exposure = np.zeros((2, 2, 10_000))
    outcome = simulator.step(order=np.ones((2, 10_000), dtype=np.int64), exposure=exposure)
    assert outcome.sales.shape == (2, 10_000)
