"""What agents earn, and the business figures in infos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import play, random_plan, worlds

from invrec_rllib.env import MONEY, UNITS, compute_rewards, itemise, parallel_env
from invrec_rllib.errors import InputError
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator, compile_scenario


def first_outcome(episodes: int = 3):
    simulator = Simulator(load_scenario("tiny"))
    simulator.reset(seed=0, episodes=episodes)
    outcome = simulator.step(
        order=np.full((episodes, 2), 3), exposure=np.tile([[[1.0, 0.0]]], (episodes, 1, 1))
    )
    return simulator.params, outcome


def test_a_team_shares_the_firms_profit_in_units_of_the_reward_scale():
    params, outcome = first_outcome()
    earned = compute_rewards(params, outcome, mode="team")
    np.testing.assert_array_equal(earned.inventory, earned.recommender)
    # Prices 10 and 11, costs 6 and 6.6, holding 2 % of them, penalty 5 % of the price.
    sold, left, lost = outcome.sales, outcome.on_hand_end, outcome.lost
    profit = (
        sold @ [10, 11]
        - 3 * (6 + 6.6)
        - left @ [0.12, 0.132]
        - lost @ [0.5, 0.55]
        - params.initial_stock_cost
    )
    np.testing.assert_allclose(earned.inventory * params.reward_scale, profit, rtol=1e-12)


def test_a_silo_recommender_is_paid_for_clicks_and_the_inventory_for_sales():
    params, outcome = first_outcome()
    earned = compute_rewards(params, outcome, mode="siloed")
    np.testing.assert_allclose(earned.recommender * params.reward_scale, outcome.demand @ [10, 11])
    np.testing.assert_allclose(earned.inventory * params.reward_scale, outcome.economics.profit)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), weight=st.floats(0, 1))
def test_mixed_rewards_lie_between_the_silos_and_the_teams(world, weight):
    params = compile_scenario(world)
    for outcome in play(params, random_plan(params, 2, seed=1)).outcomes:
        team, silo, mixed = (
            compute_rewards(params, outcome, mode=mode, mixed_weight=weight)
            for mode in ("team", "siloed", "mixed")
        )
        for a, b, c in zip(team, silo, mixed, strict=True):
            np.testing.assert_allclose(c, weight * a + (1 - weight) * b, rtol=1e-9, atol=1e-9)
        # The two accounts are the firm's, but for clicks booked in place of nothing.
        accounts = (silo.inventory + silo.recommender - team.inventory) * params.reward_scale
        np.testing.assert_allclose(accounts, outcome.click_value, rtol=1e-9, atol=1e-9)


def test_in_a_silo_a_lost_sale_costs_the_inventory_more_than_a_unit_on_the_shelf():
    # One unit more of demand served earns the price and saves the penalty: buying nothing is not best.
    params, outcome = first_outcome()
    gain = params.price[0] + params.stockout_penalty - params.unit_cost - params.holding_cost
    assert (gain > 0).all()
    simulator = Simulator(params)
    nothing, something = [], []
    for orders, total in ((0, nothing), (2, something)):
        simulator.reset(seed=0, episodes=200)
        while not simulator.done:
            outcome = simulator.step(order=np.full((200, 2), orders), exposure=np.full((200, 1, 2), 0.5))
            total.append(compute_rewards(params, outcome, mode="siloed").inventory.mean())
    assert sum(something) > sum(nothing)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
def test_the_items_of_a_period_add_up(world):
    params = compile_scenario(world)
    run = play(params, random_plan(params, 2, seed=2))
    for before, outcome, after in zip(run.states[:-1], run.outcomes, run.states[1:], strict=True):
        for k in range(2):
            items = itemise(before, outcome, after, episode=k)
            assert set(items) == {*MONEY, *UNITS, "fill_rate", "period"}
            assert all(type(value) is float for value in items.values())
            costs = sum(items[name] for name in MONEY if name.endswith("_cost"))
            assert items["profit"] == pytest.approx(items["revenue"] + items["salvage"] - costs)
            assert items["profit"] == pytest.approx(float(outcome.economics.profit[k]))
            moved = before.on_hand[k].sum() + items["delivered"] - items["sales"]
            assert items["on_hand"] == moved
            assert 0.0 <= items["fill_rate"] <= 1.0
            if world.demand.unmet == "lost" and items["demand"]:
                assert items["fill_rate"] == pytest.approx(1 - items["lost"] / items["demand"])


def test_the_fill_rate_of_a_backorder_world_counts_the_demand_served_in_its_own_period():
    world = load_scenario("tiny").model_dump()
    world["demand"]["unmet"] = "backorder"
    world["products"].update(initial_on_hand=(0, 0), initial_pipeline=((0,), (0,)))
    world["segments"]["traffic"] = (60.0,)
    world["tastes"]["score_noise"] = 0.0
    simulator = Simulator(compile_scenario(type(load_scenario("tiny")).model_validate(world)))
    before = simulator.reset(seed=0)
    exposure = np.full((1, 1, 2), 0.5)
    outcome = simulator.step(order=np.full((1, 2), 3), exposure=exposure)
    items = itemise(before, outcome, simulator.state)
    assert items["demand"] > 6
    assert items["fill_rate"] == 0.0
    # Three of each arrive; all go to those who wait, none to the new demand.
    before, outcome = simulator.state, simulator.step(order=np.zeros((1, 2), dtype=int), exposure=exposure)
    items = itemise(before, outcome, simulator.state)
    assert items["sales"] == 6.0
    assert items["fill_rate"] == 0.0


def test_the_environment_pays_each_department_its_reward():
    actions = {"inventory": np.zeros(10, np.float32), "recommender": np.zeros(50, np.float32)}
    paid = {}
    for mode in ("team", "siloed", "mixed"):
        environment = parallel_env("paper", reward=mode, mixed_weight=0.25)
        environment.reset(seed=0)
        _, paid[mode], _, _, infos = environment.step(actions)
    scale = environment.params.reward_scale
    profit, clicks = infos["inventory"]["profit"], infos["inventory"]["click_value"]
    team = pytest.approx(profit / scale)
    assert paid["team"] == {"inventory": team, "recommender": team}
    assert paid["siloed"] == {"inventory": team, "recommender": pytest.approx(clicks / scale)}
    mixed = (0.75 * clicks + 0.25 * profit) / scale
    assert paid["mixed"] == {"inventory": team, "recommender": pytest.approx(mixed)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "profit"}, "reward is 'profit', must be one of team, siloed, mixed"),
        ({"mixed_weight": 1.5}, r"mixed_weight is 1.5, must lie in \[0, 1\]"),
        ({"mixed_weight": float("nan")}, "mixed_weight is nan"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        parallel_env("tiny", **options)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), mode=st.sampled_from(["team", "siloed", "mixed"]))
def test_accrual_moves_money_between_periods_and_makes_none(world, mode):
    params = compile_scenario(world)
    played = play(params, random_plan(params, 2, seed=1))
    sums = {
        accounting: sum(
            compute_rewards(
                params, outcome, mode=mode, accrual_from=before if accounting == "accrual" else None
            ).inventory
            for before, outcome in zip(played.states, played.outcomes, strict=False)
        )
        for accounting in ("cash", "accrual")
    }
    np.testing.assert_allclose(sums["accrual"], sums["cash"], rtol=1e-9, atol=1e-9)


def test_accrual_charges_what_was_sold_at_cost():
    simulator = Simulator(load_scenario("tiny"))
    before = simulator.reset(seed=0, episodes=3)
    outcome = simulator.step(order=np.full((3, 2), 3), exposure=np.tile([[[1.0, 0.0]]], (3, 1, 1)))
    earned = compute_rewards(simulator.params, outcome, mode="team", accrual_from=before)
    profit = (
        outcome.sales @ [10 - 6, 11 - 6.6] - outcome.on_hand_end @ [0.12, 0.132] - outcome.lost @ [0.5, 0.55]
    )
    np.testing.assert_allclose(earned.inventory * simulator.params.reward_scale, profit, rtol=1e-12)


def test_a_shortfall_is_what_the_inventory_fails_to_earn():
    simulator = Simulator(load_scenario("tiny"))
    before = simulator.reset(seed=0, episodes=3)
    # Nothing is ordered until the shelves are empty.
    for _ in range(3):
        before = simulator.state
        outcome = simulator.step(order=np.zeros((3, 2)), exposure=np.full((3, 1, 2), 0.5))
    assert outcome.lost.sum() > 0
    earned = compute_rewards(simulator.params, outcome, mode="team", accrual_from=before, shortfall=True)
    missed = outcome.lost @ [10 - 6 + 0.5, 11 - 6.6 + 0.55] + outcome.on_hand_end @ [0.12, 0.132]
    np.testing.assert_allclose(
        earned.inventory * simulator.params.reward_scale, -missed, rtol=1e-12, atol=1e-12
    )
    team = compute_rewards(simulator.params, outcome, mode="team", accrual_from=before)
    np.testing.assert_array_equal(earned.recommender, team.recommender)


@pytest.mark.parametrize("mode", ["team", "siloed", "mixed"])
def test_a_shortfall_differs_from_accrual_by_what_orders_do_not_move(mode):
    differences = []
    for order in (0, 3):
        simulator = Simulator(load_scenario("tiny"))
        simulator.reset(seed=0, episodes=5)
        episode = np.zeros(5)
        while not simulator.done:
            before = simulator.state
            outcome = simulator.step(order=np.full((5, 2), order), exposure=np.full((5, 1, 2), 0.5))
            options = {"mode": mode, "accrual_from": before}
            usual, short = (
                compute_rewards(simulator.params, outcome, shortfall=shortfall, **options)
                for shortfall in (False, True)
            )
            episode += usual.inventory - short.inventory
        differences.append(episode)
    np.testing.assert_allclose(differences[0], differences[1], rtol=1e-12)
    assert (differences[0] > 0.0).all()


def test_shortfalls_are_refused_where_stockouts_drive_customers_away():
    assert load_scenario("paper").tastes.disappointment > 0.0
    with pytest.raises(InputError, match=r"would reward stockouts where tastes\.disappointment is 0\.3"):
        parallel_env("paper", accounting="shortfall")
    parallel_env("tiny", accounting="shortfall")
