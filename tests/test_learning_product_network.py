"""The networks treat products and segments alike, and start from the textbook's action."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import Normalisation
from invrec_rllib.learning.memory import MemoryKind, State
from invrec_rllib.learning.product_network import JointProductActor, ProductActor, ProductCritic

LAYOUT = ObservationLayout(3, 4, 2, num_products=5, num_segments=3)


def observations(*lead: int, seed: int = 0) -> Tensor:
    return torch.randn(*lead, LAYOUT.size, generator=torch.Generator().manual_seed(seed))


def actor(*, per_cell: bool, memory: MemoryKind = "none", layout: ObservationLayout = LAYOUT) -> ProductActor:
    torch.manual_seed(1)
    network = ProductActor(
        layout,
        per_cell=per_cell,
        hidden=8,
        cell_hidden=6,
        initial_std=0.5,
        memory=memory,
        memory_size=7,
    )
    # Heads and memories start near zero: scaled up, equality up to rounding means something.
    torch.nn.init.normal_(network.head.weight)
    if network.memory is not None:
        torch.nn.init.normal_(network.memory.project.weight)
    return network


def random_state(network: ProductActor | JointProductActor, num_envs: int) -> State:
    generator = torch.Generator().manual_seed(4)
    return {
        name: torch.randn(num_envs, *entry.shape, generator=generator)
        for name, entry in network.initial_state().items()
    }


def permuted(observation: Tensor, *, products: Tensor, segments: Tensor) -> Tensor:
    globals_, features, cells = LAYOUT.split(observation)
    moved = cells[..., segments, :, :][..., products, :]
    return torch.cat([globals_, features[..., products, :].flatten(-2), moved.flatten(-3)], dim=-1)


def test_orders_follow_their_products_when_products_change_places() -> None:
    observation, order = observations(7), torch.tensor([4, 2, 0, 1, 3])
    mean = actor(per_cell=False)(observation).chunk(2, dim=-1)[0]
    moved = actor(per_cell=False)(permuted(observation, products=order, segments=torch.arange(3))).chunk(
        2, -1
    )[0]
    assert mean.std() > 0.01
    torch.testing.assert_close(moved, mean[:, order])


def test_exposures_follow_their_products_and_segments() -> None:
    observation, products, segments = observations(7), torch.tensor([4, 2, 0, 1, 3]), torch.tensor([2, 0, 1])
    mean = actor(per_cell=True)(observation).chunk(2, dim=-1)[0].reshape(7, 3, 5)
    moved = actor(per_cell=True)(permuted(observation, products=products, segments=segments))
    assert mean.std() > 0.01
    torch.testing.assert_close(moved.chunk(2, dim=-1)[0].reshape(7, 3, 5), mean[:, segments][:, :, products])


def test_a_product_hears_of_the_others() -> None:
    observation = observations(1)
    changed = observation.clone()
    changed[:, LAYOUT.num_globals] += 5.0  # a feature of product 0
    network = actor(per_cell=False)
    difference = (network(changed) - network(observation))[0, :5]
    assert difference[1:].abs().min() > 0.0


def test_value_does_not_depend_on_the_order_of_products() -> None:
    torch.manual_seed(0)
    critic = ProductCritic(LAYOUT, hidden=8, cell_hidden=6)
    observation = observations(4)
    shuffled = permuted(observation, products=torch.tensor([1, 0, 3, 4, 2]), segments=torch.tensor([1, 2, 0]))
    torch.testing.assert_close(critic(shuffled), critic(observation))


def test_leading_axes_are_kept() -> None:
    observation = observations(2, 6)
    assert actor(per_cell=True)(observation).shape == (2, 6, 2 * 15)
    assert actor(per_cell=False)(observation).shape == (2, 6, 2 * 5)
    assert ProductCritic(LAYOUT, hidden=8, cell_hidden=6)(observation).shape == (2, 6)


@pytest.mark.parametrize("per_cell", [False, True])
def test_untrained_actions_are_near_zero_with_the_given_spread(per_cell: bool) -> None:
    torch.manual_seed(0)
    network = ProductActor(LAYOUT, per_cell=per_cell, hidden=32, cell_hidden=16, initial_std=0.5)
    mean, log_std = network(observations(100)).chunk(2, dim=-1)
    assert mean.abs().max() < 0.1
    torch.testing.assert_close(log_std.exp(), torch.full_like(log_std, 0.5))


@pytest.mark.parametrize("index", [0, 1])
def test_value_is_zero_exactly_where_no_time_is_left(index: int) -> None:
    critic = ProductCritic(LAYOUT, hidden=8, cell_hidden=6, time_left_index=index)
    observation = observations(4).abs()
    observation[2, index] = 0.0
    values = critic(observation)
    assert values[2] == 0.0
    assert (values[[0, 1, 3]] != 0.0).all()


def reference_encoder(critic: ProductCritic, observation: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings by the definition: one layer over what is side by side."""
    encoder = critic.encoder
    globals_, products, cells = LAYOUT.split(observation)
    spread = globals_[:, None, :].expand(-1, products.shape[1], -1)
    embedded = torch.relu(encoder.embed(torch.cat([spread, products], dim=-1)))
    context = embedded.mean(dim=1, keepdim=True).expand_as(embedded)
    related = torch.relu(encoder.relate(torch.cat([embedded, context], dim=-1)))
    segment = cells.mean(dim=2, keepdim=True).expand_as(cells)
    features = encoder.cell_of_features(torch.cat([cells, segment], dim=-1))
    mixed = torch.relu(encoder.cell_of_product(related)[:, None, :, :] + features)
    return related, torch.relu(encoder.cell_relate(mixed))


def test_split_layers_compute_what_layers_over_both_inputs_do() -> None:
    torch.manual_seed(0)
    critic, observation = ProductCritic(LAYOUT, hidden=8, cell_hidden=6), observations(7)
    products, cells = critic.encoder(observation)
    expected_products, expected_cells = reference_encoder(critic, observation)
    assert expected_cells.std() > 0.01
    torch.testing.assert_close(products, expected_products)
    torch.testing.assert_close(cells, expected_cells)
    gradients = [
        torch.autograd.grad(products_.square().sum() + cells_.square().sum(), critic.encoder.parameters())
        for products_, cells_ in ((products, cells), (expected_products, expected_cells))
    ]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_what_is_remembered_follows_its_product(memory: MemoryKind, per_cell: bool) -> None:
    network, order = actor(per_cell=per_cell, memory=memory), torch.tensor([4, 2, 0, 1, 3])
    observation, state = observations(3, 6), random_state(network, 3)
    outputs, after = network(observation, state)
    moved, moved_after = network(
        permuted(observation, products=order, segments=torch.arange(3)),
        {name: entry[..., order, :] for name, entry in state.items()},
    )
    mean, moved_mean = (entry.chunk(2, dim=-1)[0].reshape(3, 6, -1, 5) for entry in (outputs, moved))
    assert mean.std() > 0.01
    torch.testing.assert_close(moved_mean, mean[..., order])
    for name, entry in after.items():
        torch.testing.assert_close(moved_after[name], entry[..., order, :])


@pytest.mark.parametrize("per_cell", [False, True])
def test_earlier_observations_and_the_state_matter_with_a_memory(per_cell: bool) -> None:
    network, observation = actor(per_cell=per_cell, memory="gru"), observations(3, 6)
    state = random_state(network, 3)
    outputs, _ = network(observation, state)
    changed = observation.clone()
    changed[:, 1] += 1.0
    later, _ = network(changed, state)
    assert torch.equal(later[:, 0], outputs[:, 0])
    assert (later - outputs)[:, 5].abs().max() > 1e-4
    from_zero, _ = network(observation, {name: torch.zeros_like(entry) for name, entry in state.items()})
    assert (from_zero - outputs)[:, 5].abs().max() > 1e-4


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_one_step_at_a_time_equals_the_sequence(memory: MemoryKind) -> None:
    network, observation = actor(per_cell=True, memory=memory), observations(3, 6)
    state = random_state(network, 3)
    whole, end = network(observation, state)
    for t in range(6):
        step, state = network(observation[:, t : t + 1], state)
        torch.testing.assert_close(step[:, 0], whole[:, t])
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("per_cell", [False, True])
def test_an_untrained_memory_changes_no_action(per_cell: bool) -> None:
    torch.manual_seed(0)
    network = ProductActor(LAYOUT, per_cell=per_cell, hidden=8, cell_hidden=6, initial_std=0.5, memory="lstm")
    observation, state = observations(3, 6), random_state(network, 3)
    with_memory, _ = network(observation, state)
    network.memory = None
    torch.testing.assert_close(with_memory, network(observation))
    assert with_memory[..., : network.num_actions].abs().max() < 0.1


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("memory", ["none", "gru", "lstm"])
def test_one_set_of_weights_serves_worlds_of_any_size(memory: MemoryKind, per_cell: bool) -> None:
    larger = ObservationLayout(3, 4, 2, num_products=9, num_segments=2)
    small = actor(per_cell=per_cell, memory=memory)
    large = actor(per_cell=per_cell, memory=memory, layout=larger)
    large.load_state_dict(small.state_dict())
    assert sum(p.numel() for p in large.parameters()) == sum(p.numel() for p in small.parameters())
    observation = torch.randn(2, 6, larger.size)
    outputs = large(observation) if memory == "none" else large(observation, random_state(large, 2))[0]
    assert outputs.shape == (2, 6, 2 * large.num_actions)
    assert large.num_actions == (18 if per_cell else 9)
    critics = [ProductCritic(layout, hidden=8, cell_hidden=6, num_values=2) for layout in (LAYOUT, larger)]
    critics[1].load_state_dict(critics[0].state_dict())
    assert critics[1](observation).shape == (2, 6, 2)


def test_a_state_goes_with_a_memory_only() -> None:
    for memory in ("none", "gru"):
        network = actor(per_cell=False, memory=memory)
        state = None if memory == "gru" else {"h": torch.zeros(2, 5, 7)}
        with pytest.raises(InputError, match="state"):
            network(observations(2, 6), state)


def test_actions_per_cell_need_cell_features() -> None:
    with pytest.raises(InputError, match="num_cell_features = 0"):
        actor(per_cell=True, layout=ObservationLayout(3, 4, 0, num_products=5, num_segments=3))


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_a_joint_actor_lays_its_parts_side_by_side(memory: MemoryKind) -> None:
    parts = {name: actor(per_cell=name == "slates", memory=memory) for name in ("orders", "slates")}
    joint, seen = JointProductActor(parts), [observations(3, 6, seed=seed) for seed in (0, 1)]
    state = random_state(joint, 3)
    both = joint(torch.cat(seen, dim=-1), state or None)
    means, spreads = [], []
    for (name, part), observation in zip(parts.items(), seen, strict=True):
        own = {key.removeprefix(f"{name}_"): entry for key, entry in state.items() if key.startswith(name)}
        outputs = part(observation, own or None)
        if memory != "none":
            outputs, after = outputs
            torch.testing.assert_close(both[1][f"{name}_h"], after["h"])
        means.append(outputs.chunk(2, dim=-1)[0])
        spreads.append(outputs.chunk(2, dim=-1)[1])
    torch.testing.assert_close(both if memory == "none" else both[0], torch.cat(means + spreads, dim=-1))
    assert set(state) == (set() if memory == "none" else {"orders_h", "slates_h"})


def test_a_joint_actor_refuses_parts_of_which_one_remembers() -> None:
    with pytest.raises(InputError, match="orders, slates"):
        JointProductActor({"orders": actor(per_cell=False), "slates": actor(per_cell=True, memory="gru")})


@pytest.mark.parametrize("normalisation", ["none", "running"])
def test_values_of_all_agents_are_zero_at_the_horizon_whatever_the_statistics(
    normalisation: Normalisation,
) -> None:
    critic = ProductCritic(
        LAYOUT, hidden=8, cell_hidden=6, num_values=2, normalisation=normalisation, time_left_index=0
    )
    critic.output.update(500.0 + torch.randn(100, 2))
    observation = observations(4).abs()
    observation[2, 0] = 0.0
    values = critic(observation)
    assert values.shape == (4, 2)
    assert torch.equal(values[2], torch.zeros(2))
    assert (values[[0, 1, 3]] != 0.0).all()
