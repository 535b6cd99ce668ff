"""What agents see: values by hand, bounds, hidden information, layout, documentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from env_worlds import everything, views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import worlds

from invrec_rllib.env import (
    InvRecEnv,
    ObservationEncoder,
    ObservationLayout,
    describe_fields,
    encode,
    encoder_for,
    field_table,
)
from invrec_rllib.policies.base_stock import order_up_to_level, protected_season
from invrec_rllib.policies.view import View
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import compile_scenario, mean_demand

ROLES = ("inventory", "recommender", "state")
MODES = ("full", "observed", "department")


def by_name(encoder: ObservationEncoder, observation: Any) -> dict[str, Any]:
    """Values of each field of one observation: (), (N,) or (M, N), with a last axis where it is wide."""
    values, kinds = {}, ("global", "product", "cell")
    for kind, block in zip(kinds, encoder.layout.split(observation), strict=True):
        start = 0
        for field in encoder.fields:
            if field.kind == kind:
                part = block[..., start : start + field.width]
                name = f"cell {field.name}" if kind == "cell" else field.name
                values[name] = part if field.width > 1 else part[..., 0]
                start += field.width
        assert start == block.shape[-1]
    return values


def played(world: Any, *, information: str = "full", period: int = 3, **options: Any) -> View:
    """The view of a later period, in which everything has moved."""
    return next(
        view for view in views(world, information=information, **options) if view.state.period == period
    )


def seen(view: View, role: str = "state", information: str = "full") -> dict[str, Any]:
    return by_name(encoder_for(view.params, role, information), encode(view, role, information)[0])


def test_amounts_are_logarithms_of_periods_of_organic_demand():
    view = played(load_scenario("paper"))
    values, state, organic = seen(view), view.state, view.params.organic_demand
    amounts = {
        "on_hand": state.on_hand[0],
        "on_order": state.on_order[0].sum(axis=1),
        "last_sales": state.last_sales[0],
        "last_demand": state.last_clicks[0].sum(axis=0),
        "forecast": view.forecast[0],
        "textbook_level": order_up_to_level(view)[0],
    }
    for name, amount in amounts.items():
        np.testing.assert_allclose(values[name], np.log(1 + amount / organic), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        values["arrivals"], np.log1p(state.on_order[0] / organic[:, None]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        values["total_stock"], np.log1p(state.on_hand.sum() / organic.sum()), rtol=1e-5
    )


def test_the_gap_is_in_units_of_the_inventorys_action():
    view = played(load_scenario("paper"))
    gap = view.state.inventory_position[0] - order_up_to_level(view)[0]
    covered = view.forecast[0] * protected_season(view.params, 3)
    np.testing.assert_allclose(
        seen(view)["textbook_gap"], np.clip(gap / covered, -3, 3), rtol=1e-4, atol=1e-6
    )


def test_the_calendar_is_told_ahead():
    view = played(everything(), period=2)
    values = seen(view)
    assert values["phase"] == pytest.approx(2 / 12)
    assert values["periods_left"] == 1.0  # ten or more
    # Season over its highest: 0.5 / 1.5 in even periods, now and over the lead time of 3 and the review of 2.
    np.testing.assert_allclose(values["season"], [1 / 3, 1, 1 / 3, 1, 1 / 3, 1], rtol=1e-6)
    # Prices fall by a fifth in period 3 and are back in 4; two periods of notice.
    np.testing.assert_allclose(values["coming_prices"], np.tile([np.log(0.8), 0.0], (10, 1)), atol=1e-6)
    assert values["review"] == 0.0
    assert seen(played(everything(), period=3))["review"] == 0.5


def test_nothing_is_told_of_the_time_after_the_horizon():
    values = seen(played(everything(), period=11))
    np.testing.assert_allclose(values["season"], [1, 0, 0, 0, 0, 0])
    assert (values["order_in_time"] == 0.0).all()


def test_products_are_described_by_their_economics():
    world = load_scenario("tiny")
    values = seen(played(world))
    np.testing.assert_allclose(values["price"], np.log([10 / 110**0.5, 11 / 110**0.5]), rtol=1e-5)
    np.testing.assert_allclose(values["margin"], 0.4, rtol=1e-5)
    np.testing.assert_allclose(values["salvage_loss"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(values["stockout_penalty"], 0.05, rtol=1e-5)
    np.testing.assert_allclose(values["lead_time"], 1.0)


def test_demand_by_the_scores_is_the_choice_models_at_season_1():
    view = played(load_scenario("paper"), information="full")
    params, values = view.params, seen(view)
    nothing = np.zeros((1, 5, 10))
    for name, exposure in {"demand_unexposed": nothing, "demand_as_before": view.state.last_exposure}.items():
        demand = mean_demand(params, view.state.affinity, exposure, period=3).sum(axis=1)[0]
        np.testing.assert_allclose(values[name], np.log1p(demand / params.organic_demand), rtol=1e-5)
    for i in (0, 4):
        alone = nothing.copy()
        alone[..., i] = 1.0
        demand = mean_demand(params, view.state.affinity, alone, period=3).sum(axis=1)[0, i]
        expected = np.log1p(demand / params.organic_demand[i])
        assert values["demand_exposed"][i] == pytest.approx(expected, rel=1e-5)


def test_cells_show_scores_exposures_and_clicks_of_each_segment():
    view = played(load_scenario("paper"), information="observed")
    values = by_name(
        encoder_for(view.params, "recommender", "department"), encode(view, "recommender", "department")[0]
    )
    affinity = view.params.affinity
    np.testing.assert_allclose(values["cell drift"], view.scores[0] - affinity, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        values["cell score"], (view.scores[0] - affinity.mean()) / affinity.std(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(values["cell last_exposure"], view.state.last_exposure[0], rtol=1e-6)
    np.testing.assert_allclose(values["cell last_clicks"], np.log1p(view.state.last_clicks[0]), rtol=1e-6)


def test_the_state_holds_the_true_affinities_whatever_the_agents_see():
    blurred = played(load_scenario("paper"), information="observed")
    exact = replace(blurred, scores=blurred.state.affinity)
    assert not np.array_equal(blurred.scores, exact.scores)
    np.testing.assert_array_equal(encode(blurred, "state", "observed"), encode(exact, "state", "full"))


# What a view is made of, and who may not see it in which mode.
_PARTS = (
    "on_hand",
    "on_order",
    "backorders",
    "last_sales",
    "last_stockout",
    "last_clicks",
    "last_exposure",
    "affinity",
    "scores",
    "forecast",
)
_STOCK = {"on_hand", "on_order", "backorders", "last_sales", "last_stockout", "forecast"}
_HIDDEN = {
    ("inventory", "full"): {"affinity"},  # full information shows it as the scores
    ("recommender", "full"): {"affinity"},
    ("inventory", "observed"): {"affinity", "scores", "last_clicks"},
    ("recommender", "observed"): {"affinity", "last_clicks"},
    ("inventory", "department"): {"affinity", "scores", "last_clicks", "last_exposure", "last_stockout"},
    ("recommender", "department"): {"affinity", *_STOCK},
    ("state", "full"): {"scores"},
}


def perturbed(view: View, part: str) -> View:
    rng = np.random.default_rng(0)
    if part in ("scores", "forecast"):
        old = getattr(view, part)
        return replace(view, **{part: old * rng.uniform(1.1, 1.5, old.shape)})
    old = getattr(view.state, part)
    if old.dtype == bool:
        new = ~old
    elif part == "last_exposure":
        new = rng.uniform(0, 1, old.shape)
    elif part == "affinity":
        new = old + rng.normal(size=old.shape)
    else:
        new = old + rng.integers(1, 9, old.shape)
    return replace(view, state=replace(view.state, **{part: new}))


@pytest.mark.parametrize("part", _PARTS)
@pytest.mark.parametrize(("role", "information"), list(_HIDDEN))
def test_agents_see_what_their_information_allows_and_nothing_else(role, information, part):
    view = played(everything(), information="observed")
    before, after = (encode(v, role, information) for v in (view, perturbed(view, part)))
    if part in _HIDDEN[role, information]:
        np.testing.assert_array_equal(before, after)
    else:
        assert not np.array_equal(before, after)


@pytest.mark.parametrize("information", MODES)
def test_the_observers_scores_are_exact_only_under_full_information(information):
    view = played(load_scenario("paper"), information=information)
    assert np.array_equal(view.scores, view.state.affinity) == (information == "full")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), seed=st.integers(0, 100), order=st.sampled_from(["adjustment", "quantity"]))
def test_observations_stay_within_their_bounds_in_every_world(world, seed, order):
    for view in views(world, information="observed", seed=seed, episodes=2, order=order):
        for role in ROLES:
            for information in MODES:
                encoder = encoder_for(view.params, role, information)
                observation = encoder.encode(view)
                assert observation.dtype == np.float32
                assert all(encoder.space.contains(row) for row in observation)


def test_absurd_amounts_are_shown_as_the_bound():
    view = played(load_scenario("paper"))
    full_house = replace(view, state=replace(view.state, on_hand=view.state.on_hand + 2**40))
    values = seen(full_house)
    assert (values["on_hand"] == 8.0).all()
    assert (values["textbook_gap"] == 3.0).all()


@pytest.mark.parametrize("information", MODES)
@pytest.mark.parametrize("role", ROLES)
def test_a_batch_is_seen_as_its_episodes_alone(role, information):
    world = load_scenario("paper")
    first = next(views(world, information="observed", episodes=3))
    together = encode(first, role, information)
    for k in range(3):
        alone = next(views(world, information="observed", episodes=[k]))
        np.testing.assert_array_equal(encode(alone, role, information)[0], together[k])


def test_facts_of_the_same_view_change_nothing_and_observations_are_fresh():
    view = played(load_scenario("paper"))
    encoder = encoder_for(view.params, "recommender", "full")
    one, other = encoder.encode(view), encoder.encode(view)
    one[:] = 7.0
    np.testing.assert_array_equal(encoder.encode(view), other)


def test_layout_splits_arrays_and_tensors_alike():
    torch = pytest.importorskip("torch")
    layout = ObservationLayout(
        num_globals=2, num_product_features=3, num_cell_features=2, num_products=4, num_segments=5
    )
    assert layout.size == 2 + 3 * 4 + 2 * 4 * 5
    flat = np.arange(6 * layout.size, dtype=np.float32).reshape(2, 3, -1)
    parts = layout.split(flat)
    assert [part.shape for part in parts] == [(2, 3, 2), (2, 3, 4, 3), (2, 3, 5, 4, 2)]
    # Product-major: feature f of product i at 2 + 3 i + f; cell (m, i) at 14 + 2 (4 m + i).
    assert parts[1][0, 0, 2, 1] == 2 + 3 * 2 + 1
    assert parts[2][0, 0, 3, 1, 0] == 14 + 2 * (4 * 3 + 1)
    for part, tensor in zip(parts, layout.split(torch.from_numpy(flat)), strict=True):
        np.testing.assert_array_equal(part, tensor.numpy())


def test_field_names_are_unique_within_their_kind_and_the_state_holds_all_fields():
    params = compile_scenario(everything())
    names = [(field.kind, field.name) for field in field_table(params)]
    assert len(set(names)) == len(names)
    encoder = ObservationEncoder(params, "state", "full")
    assert {(field.kind, field.name) for field in encoder.fields} == set(names)


def test_the_environments_manual_lists_the_fields():
    table = describe_fields(field_table(compile_scenario(everything()), advised=True))
    manual = "\n".join(line.strip() for line in (InvRecEnv.__doc__ or "").splitlines())
    assert table in manual
