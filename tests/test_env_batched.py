"""Many episodes in whole arrays play what single environments play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from env_worlds import everything

from invrec_rllib.env import parallel_env
from invrec_rllib.env.batched import Look, Moved, check_finite
from invrec_rllib.env.batched_invrec import BatchedInvRec
from invrec_rllib.errors import InputError
from invrec_rllib.scenario import Scenario, build_scenario, load_scenario

B = 3


def without_disappointment(scenario: Scenario) -> Scenario:
    """Shortfall accounting is refused where stockouts drive customers away."""
    data = scenario.model_dump()
    data["tastes"]["disappointment"] = 0.0
    return build_scenario(data)


WORLDS = {"paper": load_scenario("paper"), "everything": everything()}


def seed_of(env: int, episode: int) -> int:
    return 100 * env + episode


def make_batch(world: Any, *, with_state: bool = True, **options: Any) -> BatchedInvRec:
    """A batch whose environment i plays the seeds 100 i, 100 i + 1, ..."""
    played = [-1] * B

    def next_seed(env: int) -> int:
        played[env] += 1
        return seed_of(env, played[env])

    return BatchedInvRec(
        {"scenario": world, **options}, num_envs=B, next_seed=next_seed, with_state=with_state
    )


def constant_actions(batch: BatchedInvRec, value: float = 0.0) -> dict[str, Any]:
    return {agent: np.full((B, *(space.shape or ())), value) for agent, space in batch.action_spaces.items()}


def assert_looks_alike(look: Look, rows: list[int], singles: list[Any], seen: list[Any]) -> None:
    assert look.state is not None
    for row, env in enumerate(rows):
        for agent, observed in look.observations.items():
            np.testing.assert_array_equal(observed[row], seen[env][agent])
        np.testing.assert_array_equal(look.state[row], singles[env].state())


OPTIONS: list[dict[str, Any]] = [
    {"information": "full"},
    {"information": "observed", "reward": "siloed", "accounting": "accrual"},
    {"information": "department", "reward": "mixed", "mixed_weight": 0.3, "accounting": "cash"},
    {"accounting": "shortfall", "order": "quantity", "exposure": "greedy"},
    {"exposure": "scores", "inventory_agents": "category", "recommender_agents": "segment"},
    {"information": "full", "inventory_agents": "product", "recommender_agents": "category", "max_cycles": 9},
    {"information": "full", "adviser": "coordinated", "accounting": "accrual"},
    {"adviser": "inventory_balancing", "order_range": 0.5, "recommender_agents": "segment"},
    {"order_range": 0.5, "score_range": 2.0, "temperature": 0.3, "recommender_agents": "product"},
]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_a_batch_plays_bit_for_bit_what_single_environments_play(world: str, options: dict[str, Any]) -> None:
    options = {"max_cycles": 12, **options}
    scenario = WORLDS[world]
    if options.get("accounting") == "shortfall":
        scenario = without_disappointment(scenario)
    batch = make_batch(scenario, **options)
    singles = [parallel_env(scenario, **options) for _ in range(B)]
    rng = np.random.default_rng(0)
    look = batch.reset()
    seen = [env.reset(seed=seed_of(index, 0))[0] for index, env in enumerate(singles)]
    horizon = singles[0].scenario.periods
    for step in range(1, 2 * horizon + 2):
        assert_looks_alike(look, [0, 1, 2], singles, seen)
        actions = {
            agent: rng.uniform(-1, 1, zeros.shape).astype(np.float32)
            for agent, zeros in constant_actions(batch).items()
        }
        moved = batch.step(actions)
        over = step % horizon == 0
        for index, env in enumerate(singles):
            seen[index], rewards, ends, cuts, infos = env.step(
                {agent: action[index] for agent, action in actions.items()}
            )
            for agent in batch.agents:
                assert moved.rewards[agent][index] == np.float32(rewards[agent])
                assert moved.terminated[index] == ends[agent]
                assert moved.truncated[index] == cuts[agent] == over
                assert {name: values[index] for name, values in moved.items.items()} == infos[agent]
        assert (moved.final is not None) == over
        if moved.final is not None:
            assert_looks_alike(moved.final, [0, 1, 2], singles, seen)
            seen = [env.reset(seed=seed_of(index, step // horizon))[0] for index, env in enumerate(singles)]
        look = moved.look


def test_the_agents_are_sorted_as_strings_and_keep_their_spaces() -> None:
    batch = make_batch("paper", inventory_agents="product")
    single = parallel_env("paper", inventory_agents="product")
    # Sorted as strings, as the adapter has them.
    assert list(batch.agents) == sorted(single.possible_agents)
    assert batch.observation_spaces == dict(single.observation_spaces)
    assert batch.action_spaces == dict(single.action_spaces)
    assert batch.state_space == single.state_space


def test_the_inventory_decides_in_review_periods_alone() -> None:
    batch = make_batch(everything(), inventory_agents="category")
    look = batch.reset()
    actions = constant_actions(batch)
    decided = []
    for _ in range(12):
        assert look.decides is not None
        assert look.decides["recommender"].all()
        assert (look.decides["inventory_0"] == look.decides["inventory_1"]).all()
        decided.append(bool(look.decides["inventory_0"].all()))
        assert decided[-1] == look.decides["inventory_0"].any()
        moved: Moved = batch.step(actions)
        look = moved.look
    assert decided == [True, False] * 6
    assert moved.final is not None
    assert moved.final.decides is not None
    assert not any(counts.any() for counts in moved.final.decides.values())
    assert look.decides is not None
    assert look.decides["inventory_0"].all()


def test_an_action_outside_a_review_period_changes_nothing() -> None:
    worlds = [make_batch(everything()) for _ in range(2)]
    for world in worlds:
        world.reset()
    idle = constant_actions(worlds[0])
    busy = {**idle, "inventory": np.ones((B, 10))}
    for world in worlds:
        world.step(idle)
    ordered = [world.step(actions) for world, actions in zip(worlds, (idle, busy), strict=True)]
    np.testing.assert_array_equal(ordered[0].rewards["inventory"], ordered[1].rewards["inventory"])
    np.testing.assert_array_equal(
        ordered[0].look.observations["inventory"], ordered[1].look.observations["inventory"]
    )


def test_without_state_none_is_encoded_and_without_reviews_all_decide() -> None:
    look = make_batch("tiny", with_state=False).reset()
    assert look.state is None
    assert look.decides is None


def test_earlier_looks_keep_their_values() -> None:
    batch = make_batch("tiny")
    first = batch.reset()
    assert first.state is not None
    kept = {agent: observed.copy() for agent, observed in first.observations.items()}, first.state.copy()
    for _ in range(3):
        batch.step(constant_actions(batch, 1.0))
    np.testing.assert_array_equal(first.state, kept[1])
    for agent, observed in first.observations.items():
        np.testing.assert_array_equal(observed, kept[0][agent])


def test_wrong_actions_and_sizes_are_refused() -> None:
    batch = make_batch("tiny")
    batch.reset()
    good = constant_actions(batch)
    wrong = good["inventory"].copy()
    wrong[1, 0] = 1.5
    with pytest.raises(InputError, match="missing"):
        batch.step({"inventory": good["inventory"]})
    with pytest.raises(InputError, match="shape"):
        batch.step({**good, "inventory": good["inventory"][0]})
    with pytest.raises(InputError, match=r"\[1, 0\]"):
        batch.step({**good, "inventory": wrong})
    with pytest.raises(InputError, match="num_envs is 0"):
        BatchedInvRec({"scenario": "tiny"}, num_envs=0, next_seed=lambda env: 0)


def one_step(*, rewards: Any = (0.0, 0.0), seen: Any = ((0.0, 1.0), (2.0, 3.0)), final: Any = None) -> Moved:
    def look(values: Any) -> Look:
        return Look({"a": np.asarray(values)}, None, None)

    no = np.zeros(2, np.bool_)
    return Moved(look(seen), {"a": np.array(rewards)}, no, no, None if final is None else look(final), {})


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        (one_step(rewards=(0.0, np.nan)), r"the reward of 'a' must be finite, but holds nan in row 1 of 2"),
        (one_step(seen=((0.0, -np.inf), (0.0, 0.0))), r"the observation of 'a' .* holds -inf in row 0 of 2"),
        (one_step(final=((np.nan, 0.0),)), r"the final observation of 'a' .* holds nan in row 0 of 1"),
    ],
)
def test_what_is_no_number_is_named(moved: Moved, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_finite(moved)


def test_numbers_whatever_their_size_and_whole_numbers_pass() -> None:
    largest = float(np.finfo(np.float64).max)
    check_finite(one_step(seen=((largest, largest), (largest, 0.0))))
    check_finite(one_step(seen=((1, 2), (3, 4))))
