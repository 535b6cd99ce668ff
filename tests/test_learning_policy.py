"""Policies that act: actions of every distribution, alone and in batches, with memory over episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from policies_made import SEEN, SPACES, mlp_actor

from invrec_rllib import InputError, Policy
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.build import build_actor
from invrec_rllib.learning.policy import PolicyState
from invrec_rllib.learning.spaces import converter

ALL = ("gaussian", "categorical", "multi_categorical")


def observations(batch: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 4)).astype(np.float32)


def constant(distribution: str, outputs: list[float], **options: object) -> Actor:
    """An actor whose network gives these outputs, whatever it sees."""
    actor = mlp_actor(distribution, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in actor.network.named_parameters():
            if name.endswith("head.weight"):
                parameter.zero_()
            elif name.endswith("head.bias"):
                parameter.copy_(torch.tensor(outputs[: len(parameter)]))
            elif name.endswith("log_std"):
                parameter.copy_(torch.tensor(outputs[len(parameter) :]))
    return actor


def test_means_are_mapped_to_the_box_and_clipped() -> None:
    # Boxes [-2, 4] and [0, 1]: the middle of the first is 1; a mean of 3 lies beyond the second.
    actor = constant("gaussian", [0.0, 3.0, 0.0, 0.0])
    np.testing.assert_allclose(actor.act(observations(2), {})[0], [[1.0, 1.0]] * 2, atol=1e-6)


def test_clipping_alone_leaves_means_where_they_are() -> None:
    clipped = constant("gaussian", [0.5, -3.0, 0.0, 0.0], bounds="clip")
    np.testing.assert_allclose(clipped.act(observations(1), {})[0], [[0.5, 0.0]], atol=1e-6)
    free = constant("gaussian", [0.5, -3.0, 0.0, 0.0], bounds="none")
    np.testing.assert_allclose(free.act(observations(1), {})[0], [[0.5, -3.0]], atol=1e-6)


def test_boxes_of_whole_numbers_are_counted_from_their_lower_bounds() -> None:
    made = constant("gaussian", [1.0, -3.0, 0.0, 0.0])
    actor = Actor(
        made.network, made.description, observation_space=SEEN, action_space=Box(2, 9, (2,), np.int64)
    )
    # As RLlib does: neither stretched from [-1, 1] nor clipped.
    np.testing.assert_allclose(actor.act(observations(1), {})[0], [[3.0, -1.0]], atol=1e-6)


@pytest.mark.parametrize("space", [Discrete(3), Box(-1, 1, (2,), np.float16)])
def test_other_spaces_take_actions_as_they_are(space: Any) -> None:
    assert converter(space, "unsquash") is None


def test_other_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="bounds is 'both', must be one of unsquash, clip, none"):
        converter(Discrete(3), "both")  # type: ignore[arg-type]


def test_an_unbounded_box_takes_means_as_they_are() -> None:
    made = constant("gaussian", [0.5, -3.0, 0.0, 0.0])
    actor = Actor(
        made.network,
        made.description,
        observation_space=SEEN,
        action_space=Box(-np.inf, np.inf, (2,), np.float32),
    )
    np.testing.assert_allclose(actor.act(observations(1), {})[0], [[0.5, -3.0]], atol=1e-6)


def test_the_largest_logit_is_chosen_in_each_part() -> None:
    one = constant("categorical", [0.1, 0.3, 0.2])
    assert one.act(observations(2), {})[0].tolist() == [1, 1]
    two = constant("multi_categorical", [0.4, 0.1, 0.0, -1.0, 2.0])
    assert two.act(observations(2), {})[0].tolist() == [[0, 2], [0, 2]]


def test_draws_follow_the_distribution() -> None:
    many, generator = observations(20_000), torch.Generator().manual_seed(1)
    one = constant("categorical", np.log([0.5, 0.3, 0.2]).tolist())
    drawn = one.act(many, {}, deterministic=False, generator=generator)[0]
    # Three standard errors of a share are below 0.011.
    np.testing.assert_allclose(np.bincount(drawn) / len(many), [0.5, 0.3, 0.2], atol=0.012)
    # Means 0, spreads 0.1 and 0.2 in units of half the box: 3 and 0.5.
    normal = constant("gaussian", [0.0, 0.0, *np.log([0.1, 0.2])])
    spread = normal.act(many, {}, deterministic=False, generator=generator)[0].std(axis=0)
    np.testing.assert_allclose(spread, [0.3, 0.1], rtol=0.03)


@pytest.mark.parametrize("distribution", ALL)
def test_equal_generators_draw_alike_and_others_differ(distribution: str) -> None:
    actor = mlp_actor(distribution)

    def draw(seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        return actor.act(observations(30), {}, deterministic=False, generator=generator)[0]

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


@pytest.mark.parametrize("memory", ["none", "gru", "lstm"])
@pytest.mark.parametrize("distribution", ALL)
def test_a_single_environment_acts_as_its_row_of_a_batch(distribution: str, memory: str) -> None:
    policy = Policy({"a": mlp_actor(distribution, memory=memory)})
    together, alone = policy.initial_state(3), policy.initial_state()
    for step in range(4):
        seen = observations(3, seed=step)
        actions, together = policy.act("a", seen, together)
        action, alone = policy.act("a", seen[1], alone)
        assert action.shape == (SPACES[distribution].shape or ())
        np.testing.assert_allclose(action, actions[1], atol=1e-6)


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_steps_one_by_one_are_the_sequence_as_a_whole(memory: str) -> None:
    actor = mlp_actor("gaussian", memory=memory, bounds="none")
    policy, state = Policy({"a": actor}), Policy({"a": actor}).initial_state(2)
    sequence = np.stack([observations(2, seed=step) for step in range(6)], axis=1)
    start = {name: torch.from_numpy(value) for name, value in state["a"].items()}
    with torch.no_grad():
        whole = actor.network(torch.from_numpy(sequence), start)[0]
    means = []
    for step in range(6):
        action, state = policy.act("a", sequence[:, step], state)
        means.append(action)
    np.testing.assert_allclose(np.stack(means, axis=1), whole[..., :2], atol=1e-6)
    # What is remembered matters.
    forgetful = policy.act("a", sequence[:, 5], policy.initial_state(2))[0]
    assert np.abs(forgetful - means[5]).max() > 1e-3


def test_only_the_environments_that_are_over_begin_anew() -> None:
    policy = Policy({"a": mlp_actor("gaussian", memory="gru")})
    state = policy.act("a", observations(3), policy.initial_state(3))[1]
    again = policy.restart(state, [True, False, True])
    np.testing.assert_array_equal(again["a"]["h"][[0, 2]], policy.initial_state(2)["a"]["h"])
    np.testing.assert_array_equal(again["a"]["h"][1], state["a"]["h"][1])
    assert np.abs(state["a"]["h"][0]).max() > 0


def test_acting_leaves_the_state_given_as_it_was() -> None:
    policy = Policy({"a": mlp_actor("gaussian", memory="lstm"), "b": mlp_actor("gaussian", memory="gru")})
    state = policy.initial_state(2)
    after = policy.act("a", observations(2), state)[1]
    assert not np.abs(state["a"]["h"]).any()
    assert np.abs(after["a"]["h"]).any()
    np.testing.assert_array_equal(after["b"]["h"], state["b"]["h"])


def test_agents_act_by_their_modules_with_memories_of_their_own() -> None:
    actor = mlp_actor("gaussian", memory="gru")
    policy = Policy({"shared": actor}, agents={"left": "shared", "right": "shared"})
    state: PolicyState = policy.initial_state()
    state = policy.act("left", observations(1)[0], state)[1]
    assert np.abs(state["left"]["h"]).any()
    assert not np.abs(state["right"]["h"]).any()
    assert policy.actor("left") is policy.actor("right") is policy.actor("shared")


def test_categories_are_read_one_by_one_and_in_batches() -> None:
    policy = Policy({"a": mlp_actor("categorical", seen=Discrete(5))})
    together = policy.act("a", np.arange(5))[0]
    assert [policy.act("a", k)[0].item() for k in range(5)] == together.tolist()


def test_what_cannot_be_acted_on_is_refused_by_name() -> None:
    policy = Policy({"a": mlp_actor("gaussian", memory="gru")})
    with pytest.raises(InputError, match="'b' is neither an agent nor a module of this policy; known: a"):
        policy.act("b", observations(1)[0])
    with pytest.raises(InputError, match=r"shape \(5,\), must be \(4,\)"):
        policy.act("a", np.zeros(5), policy.initial_state())
    with pytest.raises(InputError, match=r"must have \['h'\]"):
        policy.act("a", observations(1)[0])
    with pytest.raises(InputError, match=r"state 'h' has shape \(2, 3\), must be \(3, 3\)"):
        policy.act("a", observations(3), policy.initial_state(2))
    with pytest.raises(InputError, match="acts by 'c'"):
        Policy(policy.actors, agents={"x": "c"})


def test_a_distribution_that_is_not_known_is_refused() -> None:
    made = mlp_actor("gaussian")
    with pytest.raises(InputError, match="'beta'"):
        Actor(
            build_actor(made.description),
            {**made.description, "distribution": "beta"},
            observation_space=SEEN,
            action_space=SPACES["gaussian"],
        )
