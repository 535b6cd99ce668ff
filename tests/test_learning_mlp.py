"""Fully connected networks: where they start, what they remember, and values on any scale."""

from __future__ import annotations

import pytest
import torch

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import Normalisation
from invrec_rllib.learning.memory import MemoryKind
from invrec_rllib.learning.mlp import Activation, MLPActor, MLPCritic


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_first_logits_hardly_depend_on_the_observation(activation: Activation) -> None:
    torch.manual_seed(0)
    logits = MLPActor(6, 4, activation=activation)(torch.randn(100, 6))
    assert logits.shape == (100, 4)
    assert logits.softmax(-1).sub(0.25).abs().max() < 0.03
    assert logits.std() > 0.0


def test_a_gaussian_starts_at_zero_with_its_spread_apart_from_the_observation() -> None:
    actor = MLPActor(6, 4, initial_std=0.5)
    mean, log_std = actor(torch.randn(3, 7, 6)).chunk(2, dim=-1)
    assert mean.abs().max() < 0.1
    torch.testing.assert_close(log_std.exp(), torch.full((3, 7, 4), 0.5))
    assert actor.log_std is not None
    assert actor.log_std.shape == (4,)


def test_hidden_weights_are_orthogonal() -> None:
    actor = MLPActor(6, 4, hidden=(32, 16))
    for layer, gain in ((actor.encoder[0], 5 / 3), (actor.encoder[2], 5 / 3), (actor.head, 0.01)):
        weight = layer.weight
        if weight.shape[0] > weight.shape[1]:
            weight = weight.T
        torch.testing.assert_close(weight @ weight.T, gain**2 * torch.eye(len(weight)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_steps_one_at_a_time_equal_the_sequence(memory: MemoryKind) -> None:
    torch.manual_seed(0)
    actor = MLPActor(6, 4, memory=memory, memory_size=5, initial_std=0.5)
    assert actor.memory is not None
    torch.nn.init.normal_(actor.memory.project.weight)
    torch.nn.init.normal_(actor.head.weight)
    state = {name: torch.randn(3, *entry.shape) for name, entry in actor.initial_state().items()}
    observation = torch.randn(3, 8, 6)
    whole, end = actor(observation, state)
    assert whole.shape == (3, 8, 8)
    changed, _ = actor(torch.cat([observation[:, :1] + 1, observation[:, 1:]], dim=1), state)
    assert (changed - whole)[:, 1:, :4].abs().max() > 1e-3
    for t in range(8):
        step, state = actor(observation[:, t : t + 1], state)
        torch.testing.assert_close(step[:, 0], whole[:, t])
    torch.testing.assert_close(state, end)


def test_no_memory_no_state() -> None:
    assert MLPActor(6, 4).initial_state() == {}
    with pytest.raises(InputError, match="state"):
        MLPActor(6, 4)(torch.zeros(1, 1, 6), {"h": torch.zeros(1, 64)})
    with pytest.raises(InputError, match="state"):
        MLPActor(6, 4, memory="gru")(torch.zeros(1, 1, 6))


@pytest.mark.parametrize("num_values", [1, 3])
@pytest.mark.parametrize("normalisation", ["none", "running"])
def test_critic_has_a_value_per_agent_and_none_where_nothing_is_left(
    normalisation: Normalisation, num_values: int
) -> None:
    critic = MLPCritic(6, num_values=num_values, normalisation=normalisation, time_left_index=2)
    critic.output.update(100 + torch.randn(50, num_values).squeeze(-1))
    state = torch.rand(4, 5, 6) + 0.1
    state[1, 1, 2] = 0.0
    values = critic(state)
    assert values.shape == ((4, 5) if num_values == 1 else (4, 5, 3))
    assert (values[1, 1] == 0).all()
    assert (values != 0).sum() == 19 * num_values


def test_faults_are_named() -> None:
    with pytest.raises(InputError, match="activation = 'elu'"):
        MLPActor(6, 4, activation="elu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="hidden = "):
        MLPCritic(6, hidden=())
