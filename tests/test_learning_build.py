"""Networks are built from plain descriptions, the same ones again from JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from invrec_rllib.errors import InputError
from invrec_rllib.learning.build import Reader, ReadingActor, build_actor, build_critic
from invrec_rllib.learning.mlp import MLPActor
from invrec_rllib.learning.product_network import JointProductActor, ProductActor

LAYOUT = {
    "num_products": 3,
    "num_segments": 2,
    "num_globals": 2,
    "num_product_features": 4,
    "num_cell_features": 1,
}
SIZE = 2 + 3 * 4 + 2 * 3 * 1
PART = {
    "network": "product",
    "distribution": "gaussian",
    "layout": LAYOUT,
    "hidden": 8,
    "cell_hidden": 4,
    "initial_std": 0.4,
    "memory": "none",
}
ORDERS = {**PART, "per_cell": False}
SLATES = {**PART, "per_cell": True}
MLP = {
    "network": "mlp",
    "distribution": "gaussian",
    "input": {"kind": "box", "shape": [5]},
    "num_outputs": 2,
    "hidden_sizes": [8, 6],
    "initial_std": 0.3,
    "memory": "none",
}
CRITIC = {
    "network": "product",
    "layout": LAYOUT,
    "hidden": 8,
    "cell_hidden": 4,
    "value_scale": 10.0,
    "time_left_index": 0,
    "normalisation": "none",
    "num_values": 2,
}


def remembering(description: dict[str, Any], kind: str) -> dict[str, Any]:
    return {**description, "memory": kind, "memory_size": 5, "max_seq_len": 7}


@pytest.mark.parametrize(
    ("description", "size", "numbers"),
    [
        (ORDERS, SIZE, 2 * 3),
        (SLATES, SIZE, 2 * 6),
        ({"network": "joint", "parts": {"inventory": ORDERS, "recommender": SLATES}}, 2 * SIZE, 2 * 9),
        (MLP, 5, 2 * 2),
        ({**MLP, "distribution": "categorical", "num_outputs": 4}, 5, 4),
        ({**MLP, "distribution": "multi_categorical", "num_outputs": 7}, 5, 7),
    ],
)
def test_an_actor_gives_the_numbers_that_its_distribution_takes(
    description: dict[str, Any], size: int, numbers: int
) -> None:
    actor: Any = build_actor(description)
    assert actor(torch.zeros(4, size)).shape == (4, numbers)
    assert actor.initial_state() == {}


@pytest.mark.parametrize("description", [ORDERS, MLP])
def test_a_gaussian_starts_with_the_spread_that_is_asked_for(description: dict[str, Any]) -> None:
    size = SIZE if description is ORDERS else 5
    outputs = build_actor(description)(torch.zeros(1, size)).detach()
    spread = outputs.chunk(2, dim=-1)[1].exp()
    torch.testing.assert_close(spread, torch.full_like(spread, description["initial_std"]))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize(
    ("description", "size", "state_shape"),
    [(ORDERS, SIZE, (3, 5)), (SLATES, SIZE, (2, 3, 5)), (MLP, 5, (5,))],
)
def test_memory_is_as_wide_as_described(
    description: dict[str, Any], size: int, state_shape: tuple[int, ...], kind: str
) -> None:
    actor: Any = build_actor(remembering(description, kind))
    first = actor.initial_state()
    assert set(first) == ({"h"} if kind == "gru" else {"h", "c"})
    assert {tuple(value.shape) for value in first.values()} == {state_shape}
    state = {name: value.expand(4, *value.shape) for name, value in first.items()}
    outputs, after = actor(torch.randn(4, 7, size), state)
    assert outputs.shape[:2] == (4, 7)
    assert {name: value.shape for name, value in after.items()} == {
        name: value.shape for name, value in state.items()
    }


def test_parts_of_a_joint_actor_are_told_apart_by_name() -> None:
    parts = {"inventory": remembering(ORDERS, "gru"), "recommender": remembering(SLATES, "gru")}
    actor = build_actor({"network": "joint", "distribution": "gaussian", "parts": parts, "max_seq_len": 7})
    assert isinstance(actor, JointProductActor)
    assert set(actor.initial_state()) == {"inventory_h", "recommender_h"}
    assert {name.split(".")[1] for name, _ in actor.named_parameters()} == {"inventory", "recommender"}


@pytest.mark.parametrize(
    ("make", "description", "size"),
    [
        (build_actor, SLATES, SIZE),
        (build_actor, MLP, 5),
        (build_critic, CRITIC, SIZE),
        (
            build_critic,
            {
                "network": "mlp",
                "input": MLP["input"],
                "hidden_sizes": [8],
                "num_values": 3,
                "normalisation": "running",
            },
            5,
        ),
    ],
)
def test_a_description_that_went_through_json_builds_the_same(make: Any, description: Any, size: int) -> None:
    torch.manual_seed(0)
    network = make(description)
    again = make(json.loads(json.dumps(description)))
    again.load_state_dict(network.state_dict())
    seen = torch.randn(4, size)
    torch.testing.assert_close(again(seen), network(seen), rtol=0, atol=0)


def test_a_critic_has_as_many_values_as_described_and_none_where_no_time_is_left() -> None:
    critic: Any = build_critic(CRITIC)
    seen = torch.randn(4, SIZE)
    seen[:, 0] = torch.tensor([1.0, 0.5, 0.0, 0.2])
    values = critic(seen)
    assert values.shape == (4, 2)
    assert (values[2] == 0).all()
    assert (values[[0, 1, 3]] != 0).all()
    assert critic.output.num_values == 2
    # An untrained critic's values are of the size of a typical return.
    scaled = build_critic({**CRITIC, "value_scale": 1.0})
    scaled.load_state_dict({**critic.state_dict(), "output.std": scaled.output.std})
    torch.testing.assert_close(values, 10 * scaled(seen))


def test_boxes_of_any_shape_and_categories_are_read_as_flat_numbers() -> None:
    image = Reader({"kind": "box", "shape": [2, 3]})
    seen = torch.arange(12).reshape(2, 2, 3)
    assert image.size == 6
    assert image(seen).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert image(seen[:, None]).shape == (2, 1, 6)
    number = Reader({"kind": "box", "shape": []})
    assert number(torch.tensor([3.0, 4.0])).tolist() == [[3.0], [4.0]]
    category = Reader({"kind": "discrete", "size": 3})
    assert category.size == 3
    assert category(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert category(torch.tensor([[2, 0]])).shape == (1, 2, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.bool])
def test_numbers_of_any_type_are_read(dtype: torch.dtype) -> None:
    actor = build_actor(MLP)
    assert isinstance(actor, ReadingActor)
    assert actor(torch.ones(3, 5).to(dtype)).dtype == torch.float32


def test_the_number_of_parameters_does_not_depend_on_the_size_of_the_world() -> None:
    large = {**LAYOUT, "num_products": 40, "num_segments": 9}
    for make, description in ((build_actor, SLATES), (build_actor, ORDERS), (build_critic, CRITIC)):
        here = make(description).state_dict()
        there = make({**description, "layout": large}).state_dict()
        assert {name: value.shape for name, value in here.items()} == {
            name: value.shape for name, value in there.items()
        }


def test_a_fully_connected_actor_remembers_what_it_saw() -> None:
    torch.manual_seed(1)
    actor = build_actor(remembering(MLP, "gru"))
    assert isinstance(actor, ReadingActor)
    assert isinstance(actor.network, MLPActor)
    assert actor.network.memory is not None
    torch.nn.init.normal_(actor.network.memory.project.weight)
    one, other = torch.zeros(1, 4, 5), torch.zeros(1, 4, 5)
    other[:, 0] = 1.0
    state = {"h": torch.zeros(1, 5)}
    last = [actor(seen, state)[0][0, -1] for seen in (one, other)]
    assert not torch.allclose(last[0], last[1])


@pytest.mark.parametrize("make", [build_actor, build_critic])
def test_another_network_is_named(make: Any) -> None:
    with pytest.raises(InputError, match="network is 'transformer', must be"):
        make({**MLP, "network": "transformer", "num_values": 1, "normalisation": "none"})


def test_a_product_actor_is_what_the_layout_says() -> None:
    actor = build_actor(ORDERS)
    assert isinstance(actor, ProductActor)
    assert actor.num_actions == 3
    assert actor.layout.size == SIZE
