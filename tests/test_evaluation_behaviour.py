"""What one change does: policies of known responses, the optimum's signs, and asking that changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from exact_worlds import tiny_solved
from policies_made import pair
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import rollout
from invrec_rllib.evaluation.behaviour import Behaviour, EffectTest, measure_behaviour
from invrec_rllib.evaluation.behaviour.asking import ask
from invrec_rllib.evaluation.behaviour.effects import EFFECTS
from invrec_rllib.evaluation.behaviour.questions import periods_asked
from invrec_rllib.evaluation.behaviour.tables import make_tables, to_csv, to_json, to_rows
from invrec_rllib.evaluation.behaviour.together import MOVEMENTS, Series, correlogram, lags, move_together
from invrec_rllib.evaluation.behaviour.visits import visits
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.policies import make_policy
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.coordinated import CoordinatedPolicy
from invrec_rllib.policies.view import View
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim.params import Params, compile_scenario
from invrec_rllib.theory.plan import occupancy


@dataclass(frozen=True)
class Linear:
    """Answers that are linear in stock and deliveries; its decisions are never played."""

    name: str = "linear"
    direction: float = 1.0

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None:
        """Nothing to remember."""

    def act(self, view: View, memory: None) -> Decision:
        stock, coming = view.state.on_hand, view.state.on_order.sum(axis=2)
        others = stock.sum(axis=1, keepdims=True) - stock
        exposure = 0.5 + self.direction * (0.001 * stock - 0.0005 * others + 0.0001 * coming)
        order = 10_000 - 2 * stock - 3 * coming - others - view.state.period
        shape = view.scores.shape
        return Decision(order, np.broadcast_to(exposure[:, None, :], shape).copy(), None)


def by_name(tests: tuple[EffectTest, ...]) -> dict[str, EffectTest]:
    return {test.name: test for test in tests}


def measure(scenario: Any, policies: list[Any], *, episodes: int = 30, **options: Any) -> Behaviour:
    return measure_behaviour(scenario, policies, seed=5, episodes=episodes, **options)


def test_effects_of_a_linear_policy_are_its_coefficients() -> None:
    world = make_world(3, products=3, segments=2, periods=12, longest_lead_time=2)
    found = by_name(measure(world, [Linear()], states="uniform").policy("linear").tests)
    size = {name: test.size.mean for name, test in found.items()}
    expected = {
        "stock_on_exposure": 0.001,
        "stock_on_other_exposure": -0.001,
        "stock_on_order": -2.0,
        "stock_on_other_order": -2.0,
        "delivery_on_exposure": 0.0001,
        "delivery_on_order": -3.0,
        "nearer_on_exposure": 0.0009,
        "nearer_on_order": 1.0,
        "stock_at_the_end_on_exposure": 0.001,
        # One unit of order less goes with 0.0005 of exposure less.
        "plan_on_order": 2000.0,
    }
    assert {name: size[name] for name in expected} == pytest.approx(expected)
    for test in (found[name] for name in expected):
        assert test.by_product == pytest.approx([expected[test.name]] * 3)
        assert test.size.low == pytest.approx(test.size.high)
    # Whoever has twice the effect of one unit on hand loses it with the stock, whatever that was.
    assert size["sold_out_on_order"] == pytest.approx(-2000 * size["sold_out_on_exposure"])
    assert 0.0 < size["short_on_order"] < size["sold_out_on_order"]
    asked = periods_asked(compile_scenario(world))
    assert size["end_on_order"] == pytest.approx(np.mean(asked) - 11)


def test_the_opposite_of_the_optimums_sign_does_not_hold() -> None:
    found = measure("tiny", [Linear("like"), Linear("unlike", direction=-1.0)], states="uniform")
    holds = {name: by_name(found.policy(name).tests)["stock_on_exposure"] for name in ("like", "unlike")}
    assert [holds[name].expected for name in holds] == [1, 1]
    assert (holds["like"].holds, holds["unlike"].holds) == (True, False)
    assert (holds["like"].adjusted, holds["unlike"].adjusted) == (0.0, 1.0)


def test_without_states_of_its_own_nothing_is_said_of_what_moves_together() -> None:
    found = measure("tiny", [Linear()], states="uniform").policy("linear")
    assert found.correlogram == {}
    assert not set(MOVEMENTS) & {test.name for test in found.tests}


# What theory says of the structure of the optimum.
STRUCTURE = {
    "stock_on_exposure": 1,
    "stock_on_other_exposure": -1,
    "stock_on_order": -1,
    "stock_on_other_order": -1,
    "delivery_on_order": -1,
    "nearer_on_exposure": 1,
    "short_on_exposure": -1,
    "short_on_order": 1,
    "sold_out_on_exposure": -1,
    "sold_out_on_other_exposure": 1,
    "sold_out_on_order": 1,
    "plan_on_order": 1,
    "end_on_order": -1,
    "stock_at_the_end_on_exposure": 1,
    "exposure_with_stock": 1,
}


@pytest.fixture(scope="module")
def tiny() -> Behaviour:
    return measure("tiny", ["silo", "coordinated"], episodes=100, surfaces=True)


def test_the_optimum_of_tiny_has_the_signs_of_theory(tiny: Behaviour) -> None:
    signs = {test.name: test.sign for test in tiny.optimum.tests}
    assert {name: signs[name] for name in STRUCTURE} == STRUCTURE


def test_the_optimums_effects_are_those_of_its_plan_where_it_comes(tiny: Behaviour) -> None:
    # Exactly, by following the plan forwards; products take turns, so each counts half.
    plan = tiny_solved().plan
    share = occupancy(plan)[1:29]
    order = plan.world.orders[plan.order]
    shown = plan.world.exposures[plan.exposure, 0]
    expected = {"stock_on_exposure": 0.0, "stock_on_order": 0.0, "sold_out_on_exposure": 0.0}
    there = 0.0
    for i in (0, 1):
        # Occupancy at the stock limit is nil: no state leaves the table.
        more = np.roll(np.arange(21), -1)
        none = np.zeros(21, dtype=int)
        for t in range(28):
            now, then = np.moveaxis(shown[t + 1, ..., i], i, 0), np.moveaxis(order[t + 1, ..., i], i, 0)
            weight = np.moveaxis(share[t], i, 0)
            expected["stock_on_exposure"] += 0.5 * (weight * (now[more] - now)).sum() / 28
            expected["stock_on_order"] += 0.5 * (weight * (then[more] - then)).sum() / 28
            expected["sold_out_on_exposure"] += (weight * (now[none] - now))[1:].sum()
            there += weight[1:].sum()
    expected["sold_out_on_exposure"] /= there
    found = by_name(tiny.optimum.tests)
    for name, value in expected.items():
        size = found[name].size
        assert abs(size.mean - value) < 4.0 * size.standard_error, name
        assert abs(value) > 10.0 * size.standard_error, name


def test_the_coordinated_heuristic_shows_what_is_there_and_the_silo_does_not(tiny: Behaviour) -> None:
    silo, coordinated = (by_name(tiny.policy(name).tests) for name in ("silo", "coordinated"))
    for name in STRUCTURE:
        assert coordinated[name].holds is True, name
        if name.endswith("exposure"):
            assert silo[name].holds is False, name
    assert silo["stock_on_order"].holds is True
    assert math.isnan(silo["plan_on_order"].size.mean)
    assert silo["plan_on_order"].p_value == 1.0
    assert tiny.policy("silo").synchronised is False


def test_signs_of_worlds_that_cannot_be_solved_are_those_of_tiny() -> None:
    world = make_world(2, products=3, periods=8, longest_lead_time=2)
    found = measure(world, ["coordinated"], episodes=20)
    assert (found.optimum.scenario, found.policies[0].scenario) == ("tiny", "random")
    assert found.policies[0].signs > 10


def test_the_optimum_is_asked_once_where_it_is_among_the_policies() -> None:
    found = measure("tiny", ["optimal", "uniform"], episodes=4)
    assert [policy.policy for policy in found.all] == ["optimal", "uniform"]


ASKED = {
    "random": lambda: make_policy("random"),
    "silo": lambda: make_policy("silo"),
    "coordinated": CoordinatedPolicy,
    "tuned": lambda: make_policy("coordinated"),
    "trained": lambda: TrainedPolicy(pair("tiny", information="observed")),
    "remembering": lambda: TrainedPolicy(pair("tiny", memory="gru", information="observed")),
    "advised": lambda: TrainedPolicy(pair("tiny", adviser="coordinated", information="observed")),
    "optimal": lambda: make_policy("optimal"),
}


@pytest.mark.parametrize("name", list(ASKED))
def test_asking_about_the_state_as_it_is_gives_the_decision_and_leaves_the_episode_alone(name: str) -> None:
    params, policy = compile_scenario(load_scenario("tiny")), ASKED[name]()
    profit = rollout(params, policy, seed=3, episodes=3).profit
    stock = []
    for visit in visits(params, policy, seed=3, episodes=range(3), information="observed"):
        for _ in range(2):
            again = visit.ask(visit.view.state)
            assert np.array_equal(again.order, visit.decision.order)
            assert np.array_equal(again.exposure, visit.decision.exposure)
        stock.append(visit.view.state.on_hand.sum())
    played = rollout(params, policy, seed=3, episodes=3, record=3)
    assert np.array_equal(played.profit, profit)
    assert stock == [sum(path.on_hand[t].sum() for path in played.trajectories) for t in range(30)]


def sums_of(found: Any) -> Mapping[str, np.ndarray[Any, Any]]:
    return {name: np.stack([sums.change, sums.against]) for name, sums in found.effects.items()} | dict(
        found.movements
    )


def test_splitting_the_episodes_changes_nothing() -> None:
    params = compile_scenario(make_world(4, products=3, periods=10, longest_lead_time=2, taste_noise=0.3))
    whole, split = (
        ask(params, CoordinatedPolicy(), seed=1, episodes=7, information="observed", block_episodes=size)
        for size in (7, 3)
    )
    assert sums_of(whole).keys() == sums_of(split).keys() == {*EFFECTS, *MOVEMENTS}
    for name, values in sums_of(whole).items():
        assert values == pytest.approx(sums_of(split)[name], nan_ok=True), name
        assert np.any(values != 0.0), name


def test_without_lead_times_there_are_no_deliveries_to_ask_about() -> None:
    found = measure(make_world(5, products=2, periods=6, longest_lead_time=0), ["uniform"], episodes=4)
    asked = {test.name for test in found.policies[0].tests}
    assert {*EFFECTS, *MOVEMENTS} - asked == {name for name in EFFECTS if name[:4] in ("deli", "near")}


def test_policies_are_asked_where_orders_are_possible_and_arrive_in_time() -> None:
    params = compile_scenario(make_world(1, products=2, periods=9, longest_lead_time=0, review_periods=2))
    assert list(periods_asked(params)) == [2, 4, 6, 8]
    short = compile_scenario(make_world(1, products=2, periods=4, longest_lead_time=0, review_periods=4))
    with pytest.raises(InputError, match="the 4 periods of random are too few to ask in"):
        periods_asked(short)


def test_a_single_product_has_no_others() -> None:
    found = measure(make_world(1, products=1, periods=8, longest_lead_time=1), ["silo"], surfaces=True)
    policy = found.policies[0]
    assert by_name(policy.tests)["stock_on_other_exposure"].size.mean == 0.0
    assert "others" not in {surface.across for surface in policy.surfaces}


def test_orders_that_exposures_follow_are_found_at_their_lag() -> None:
    params = compile_scenario(make_world(7, products=2, periods=40, longest_lead_time=3))
    rng = np.random.default_rng(0)
    order = rng.normal(size=(43, 6, 2))
    lead = params.lead_time
    assert lead[0] != lead[1]
    shown = np.stack([order[3 - lead[i] : 43 - lead[i], :, i] for i in (0, 1)], axis=2)
    series = Series(stock=-shown, order=order[3:], exposure=shown)
    assert move_together(params, series, MOVEMENTS["exposure_at_arrival"]) == pytest.approx(np.ones(6))
    assert move_together(params, series, MOVEMENTS["exposure_with_stock"]) == pytest.approx(-np.ones(6))
    # Exposure in period t is the order of period t - 2.
    late = Series(stock=shown, order=order[2:-1], exposure=order[:-3])
    means = correlogram(params, late).mean(axis=0)
    assert list(lags(params))[int(means.argmax())] == 2


def test_series_that_never_move_have_no_correlation() -> None:
    params = compile_scenario(load_scenario("tiny"))
    moving = np.random.default_rng(0).normal(size=(20, 4, 2))
    still = Series(stock=moving, order=moving, exposure=np.full((20, 4, 2), 0.1))
    assert np.isnan(move_together(params, still, MOVEMENTS["exposure_with_stock"])).all()


def test_surfaces_are_what_the_plan_decides(tiny: Behaviour) -> None:
    plan = tiny_solved().plan
    (surface,) = [found for found in tiny.optimum.surfaces if found.across == "others"]
    # In the middle of the horizon the plan is the same in every period that is asked.
    rival = np.rint(surface.values * compile_scenario(load_scenario("tiny")).organic_demand[1]).astype(int)
    at = np.ix_(surface.stock, rival)
    expected = plan.world.exposures[plan.exposure[14][at], 0, 0].T
    assert surface.product == 0
    assert surface.exposure == pytest.approx(expected, abs=0.05)
    (date,) = [found for found in tiny.optimum.surfaces if found.across == "date"]
    assert date.values[-1] == 29
    assert date.order[-1] == 0.0 < date.order[0]


def test_rows_csv_and_json_hold_every_test(tiny: Behaviour) -> None:
    rows = to_rows(tiny)
    assert len(rows) == 3 * len({*EFFECTS, *MOVEMENTS})
    assert to_csv(tiny).count("\n") == len(rows) + 1
    data = json.loads(to_json(tiny))
    assert data["policies"][1]["held"] == tiny.policy("coordinated").held
    assert data["policies"][0]["tests"][0]["name"] == "stock_on_exposure"
    first = data["optimum"]["surfaces"][0]
    assert (
        np.shape(first["exposure"]) == (len(first["values"]), len(first["stock"]) or 1)
        or first["stock"] == []
    )


def test_tables_show_policies_side_by_side(tiny: Behaviour) -> None:
    summary, *each = make_tables(tiny)
    assert summary.header == ("effect of", "optimum's sign", "size in", "optimal", "silo", "coordinated")
    cells = {row[0]: row for row in summary.rows}
    assert cells["own stock on own exposure"][1] == "+"
    assert cells["own stock on own exposure"][4:] == ("0 fails", cells["own stock on own exposure"][5])
    assert cells["own stock on own exposure"][5].endswith(" holds")
    assert cells["synchronised"][4] == "no"
    assert [table.title for table in each] == ["optimal in tiny", "silo in tiny", "coordinated in tiny"]
    assert all(len(row) == len(table.header) for table in (summary, *each) for row in table.rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 1}, "episodes must be >= 2"),
        ({"significance": 0.0}, "significance between 0 and 1"),
        ({"product": 2}, "product is 2, must be from 0 to 1"),
        ({"states": "nobody"}, "policy 'nobody' is unknown"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure("tiny", ["uniform"], **options)


def test_a_pair_is_shown_what_it_saw_in_training() -> None:
    with pytest.raises(InputError, match="was trained with full information"):
        measure("tiny", [TrainedPolicy(pair("tiny"))])
