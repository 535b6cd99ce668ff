"""Common random numbers: who shares them, what they are distributed as, and what cannot change them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from worlds import make_world, play, random_plan

from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import (
    EpisodeStreams,
    PeriodDraws,
    Simulator,
    compile_scenario,
    episode_keys,
    randomness,
)
from invrec_rllib.sim.inventory import place_order, receive

EVERYTHING = {"substitution": 0.5, "delays": True, "longest_lead_time": 2, "periods": 12}


def all_draws(scenario: Scenario, episodes: int | list[int], *, seed: int = 0) -> list[PeriodDraws]:
    params = compile_scenario(scenario)
    streams = EpisodeStreams(params, episode_keys(seed, episodes))
    return [streams.next_period() for _ in range(params.num_periods)]


def assert_equal_draws(one: PeriodDraws, other: PeriodDraws, *, rows: object = slice(None)) -> None:
    for field in dataclasses.fields(PeriodDraws):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a is None or b is None:
            assert a is b, field.name
        else:
            np.testing.assert_array_equal(a[rows], b, err_msg=field.name)


def test_two_policies_on_the_same_seed_face_the_same_draws() -> None:
    # Nothing feeds back on tastes or on demand here, so equal exposure means equal demand, whatever was ordered.
    params = compile_scenario(make_world(1, disappointment=0.0))
    plan = random_plan(params, 4, seed=1)
    other = dataclasses.replace(plan, order=np.zeros_like(plan.order))
    for a, b in zip(play(params, plan).outcomes, play(params, other).outcomes, strict=True):
        assert np.array_equal(a.clicks, b.clicks)
    assert not np.array_equal(play(params, plan).total("sales"), play(params, other).total("sales"))


@pytest.mark.parametrize("chunk_values", [1, 7, 100, 10**6])
def test_how_many_periods_are_drawn_at_once_changes_nothing(
    chunk_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(2, **EVERYTHING)
    expected = all_draws(world, 3)
    monkeypatch.setattr(randomness, "_CHUNK_VALUES", chunk_values)
    monkeypatch.setattr(randomness, "_CHUNK_BYTES", 0)
    for a, b in zip(expected, all_draws(world, 3), strict=True):
        assert_equal_draws(a, b)


def test_an_episodes_draws_do_not_depend_on_its_company() -> None:
    world = make_world(3, **EVERYTHING)
    for a, b in zip(all_draws(world, 6), all_draws(world, [4, 1]), strict=True):
        assert_equal_draws(a, b, rows=[4, 1])


def test_seeds_episodes_and_longer_keys_give_different_draws() -> None:
    params = compile_scenario(make_world(3))
    keys = [(0, 0), (0, 1), (1, 0), (0,), (0, 0, 0), (0, 0, 1), (0, 1, 0)]
    first = EpisodeStreams(params, keys).next_period().demand.reshape(len(keys), -1)
    assert len({row.tobytes() for row in first}) == len(keys)


def test_streams_of_one_episode_are_unrelated() -> None:
    draws = all_draws(make_world(3, **EVERYTHING, products=50, segments=1, promotions=False), 1)
    delay = np.concatenate([d.delay[0] for d in draws])
    demand = np.concatenate([d.demand[0, 0] for d in draws])
    assert abs(np.corrcoef(delay, demand)[0, 1]) < 4 / np.sqrt(len(delay))


def test_switching_a_purpose_off_leaves_the_others_untouched() -> None:
    on, off = make_world(4, **EVERYTHING), make_world(4, noise_cv=0.0, taste_noise=0.0, periods=12)
    for a, b in zip(all_draws(on, 2), all_draws(off, 2), strict=True):
        assert np.array_equal(a.demand, b.demand)
        assert b.noise is b.taste_noise is b.delay is b.substitution is None


def test_reading_affinity_scores_does_not_move_the_world() -> None:
    params = compile_scenario(make_world(5))
    plan = random_plan(params, 2, seed=1)
    expected = play(params, plan).total("sales")
    simulator = Simulator(params)
    simulator.reset(seed=0, episodes=2)
    simulator.streams.next_score_noise()
    for t in range(params.num_periods):
        simulator.step(order=plan.order[t], exposure=plan.exposure[t])
        blur = simulator.streams.next_score_noise()
    assert blur.shape == (2, params.num_segments, params.num_products)
    sold = sum(o.sales for o in play(params, plan).outcomes)
    assert np.array_equal(sold, expected)


def test_a_blur_of_zero_is_zero() -> None:
    world = load_scenario("tiny").model_copy(
        update={"tastes": load_scenario("tiny").tastes.model_copy(update={"score_noise": 0.0})}
    )
    streams = EpisodeStreams(compile_scenario(world), episode_keys(0, 2))
    assert not streams.next_score_noise().any()


@pytest.mark.parametrize(
    ("seed", "episodes"), [(-1, 1), (0, 0), (0, []), (0, [-1]), (0, [2, -3])], ids=lambda value: repr(value)
)
def test_impossible_seeds_and_episodes_are_refused(seed: int, episodes: int | list[int]) -> None:
    with pytest.raises(InputError, match="seed and episodes must be >= 0"):
        episode_keys(seed, episodes)


def test_demand_with_gamma_noise_is_negative_binomial_in_mean_and_variance() -> None:
    # One product and segment, so that noise is all that links the counts: variance mean + (cv mean)^2.
    world = make_world(
        0, products=1, segments=1, noise_cv=0.5, taste_noise=0.0, periods=4, longest_lead_time=0
    )
    params = compile_scenario(world)
    episodes = 40_000
    simulator = Simulator(params)
    simulator.reset(seed=1, episodes=episodes)
    exposure = np.zeros((episodes, 1, 1))
    counts = simulator.step(order=np.zeros((episodes, 1), dtype=np.int64), exposure=exposure).demand[:, 0]
    share = np.exp(params.affinity[0, 0]) / (1 + np.exp(params.affinity[0, 0]))
    mean = params.traffic[0] * share
    variance = mean + (0.5 * mean) ** 2
    assert abs(counts.mean() - mean) < 5 * np.sqrt(variance / episodes)
    assert counts.var() == pytest.approx(variance, rel=0.05)
    assert counts.var() > 1.2 * mean


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_taste_noise_has_unit_variance_and_the_common_share_as_correlation(share: float) -> None:
    world = make_world(1, products=50, segments=2, periods=40)
    world = world.model_copy(update={"tastes": world.tastes.model_copy(update={"common_share": share})})
    noise = np.concatenate([d.taste_noise for d in all_draws(world, 5)])
    one, other = noise[:, 0].ravel(), noise[:, 1].ravel()
    assert one.std() == pytest.approx(1.0, abs=0.03)
    assert np.mean(one * other) == pytest.approx(share, abs=0.04)


def test_delays_occur_as_often_as_stated() -> None:
    world = make_world(2, delays=True, periods=12, products=40, longest_lead_time=0)
    params = compile_scenario(world)
    simulator = Simulator(params)
    simulator.reset(seed=0, episodes=500)
    before = simulator.state.on_order.sum()
    outcome = simulator.step(order=np.ones((500, 40), dtype=np.int64), exposure=np.zeros((500, 2, 40)))
    assert before == 0
    late = simulator.state.on_order[:, :, 0].sum() / outcome.order.sum()
    next_period = outcome.delivered.sum() / outcome.order.sum() - 0.5
    assert late == pytest.approx(0.25, abs=0.01)
    assert next_period == pytest.approx(0.25, abs=0.01)


def test_a_delayed_order_is_overtaken_by_a_punctual_later_one() -> None:
    # Delays of 0, 1 and 2 periods where the uniform is below 0.5, below 0.75, and above.
    params = compile_scenario(make_world(2, delays=True, periods=12, products=1, longest_lead_time=0))
    nobody = np.zeros((1, 1), dtype=np.int64)
    late = place_order(
        params, nobody, np.zeros((1, 1, 2), np.int64), order=nobody + 5, delay=np.array([[0.9]])
    )
    assert late.on_hand.tolist() == [[0]]
    assert late.on_order.tolist() == [[[0, 5]]]
    stock, pipeline = receive(late.on_hand, late.on_order)
    punctual = place_order(params, stock, pipeline, order=nobody + 7, delay=np.array([[0.1]]))
    assert punctual.on_hand.tolist() == [[7]]
    assert punctual.on_order.tolist() == [[[5, 0]]]
