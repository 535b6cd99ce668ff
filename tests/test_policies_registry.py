"""Simple policies by name: feasible everywhere, independent of the batch, ranked as expected."""

from __future__ import annotations

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.policies.registry import make_policy, policy_names
from invrec_rllib.policies.view import Observer
from invrec_rllib.scenario import Scenario, generate_scenario, load_scenario
from invrec_rllib.sim import Simulator


def _profits(scenario: Scenario | str, name: str, *, first: int = 0, count: int = 8) -> np.ndarray:
    simulator = Simulator(load_scenario(scenario))
    simulator.reset(seed=5, episodes=range(first, first + count))
    observer = Observer(simulator.params, information="observed")
    policy = make_policy(name)
    memory = policy.begin(simulator.params, num_episodes=count, seed=first)
    profit = np.zeros(count)
    while not simulator.done:
        decision = policy.act(observer.observe(simulator.state, simulator.streams), memory)
        memory = decision.memory
        profit += simulator.step(order=decision.order, exposure=decision.exposure).economics.profit
    return profit


def _awkward() -> Scenario:
    """Everything at once: fractional slots, reviews, delays, backorders, storage, rent, a free lead time."""
    data = generate_scenario(
        seed=2, num_products=5, num_segments=2, slots=1.5, periods=20, lead_times=(0, 2), review_periods=3,
        capacity=40.0, overflow_cost=1.0,
    ).model_dump()  # fmt: skip
    data["supply"]["delay_probabilities"] = (0.6, 0.4)
    data["demand"]["unmet"] = "backorder"
    data["recommendation"]["exposure_cost"] = 0.5
    return Scenario.model_validate(data)


# `optimal` refuses worlds that are too large to solve; its own tests are those of the dynamic program.
PLAY_EVERYTHING = [name for name in policy_names() if name != "optimal"]


@pytest.mark.parametrize("name", PLAY_EVERYTHING)
@pytest.mark.parametrize("scenario", ["tiny", "paper", "seasonal", "capacity", "awkward"])
def test_every_policy_acts_within_the_rules_to_the_horizon(name: str, scenario: str) -> None:
    assert np.isfinite(_profits(_awkward() if scenario == "awkward" else scenario, name)).all()


@pytest.mark.parametrize("name", PLAY_EVERYTHING)
def test_an_episode_does_not_depend_on_those_beside_it(name: str) -> None:
    together = _profits("paper", name, count=8)
    apart = [_profits("paper", name, first=first, count=count) for first, count in ((0, 3), (3, 5))]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_random_episodes_differ() -> None:
    assert len(set(_profits("tiny", "random", count=20))) > 15


@pytest.mark.parametrize("scenario", ["paper", "seasonal", "capacity"])
def test_profit_rises_from_random_over_traditional_to_silo(scenario: str) -> None:
    ladder = [_profits(scenario, name, count=150).mean() for name in ("random", "traditional", "silo")]
    assert ladder[0] < 0.9 * ladder[1]
    assert ladder[1] < 0.98 * ladder[2]


def test_an_unknown_policy_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(InputError, match=r"'silos' is unknown.*random, .*silo"):
        make_policy("silos")


def test_every_name_builds_the_policy_of_that_name() -> None:
    assert [make_policy(name).name for name in policy_names()] == list(policy_names())
