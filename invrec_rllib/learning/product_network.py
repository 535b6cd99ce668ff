"""Networks that share their weights over products and segments, so that worlds of any size learn alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.critics import Normalisation, ValueOutput
from invrec_rllib.learning.memory import MemoryKind, ResidualMemory, State, remembered


class ProductEncoder(nn.Module):
    """Embeds every product in the light of all others; equivariant to the order of the products.

    A product's features, the globals, and the mean embedding over products pass the same two layers for each
    product. Where the observation has cell features, every (segment, product) pair then gets an embedding of
    its own from its features, its product and its segment's mean.

    Layers over two inputs side by side of which one is the same for all products are computed as two products
    of matrices, the second one for all products at once.

    Args:
        layout: how the flat observation divides into globals, product features and cell features.
        hidden: width of the product embeddings.
        cell_hidden: width of the cell embeddings.
    """

    def __init__(self, layout: ObservationLayout, *, hidden: int, cell_hidden: int) -> None:
        super().__init__()
        self.layout = layout
        self.embed = nn.Linear(layout.num_globals + layout.num_product_features, hidden)
        self.relate = nn.Linear(2 * hidden, hidden)
        if layout.num_cell_features:
            self.cell_of_product = nn.Linear(hidden, cell_hidden)
            self.cell_of_features = nn.Linear(2 * layout.num_cell_features, cell_hidden, bias=False)
            self.cell_relate = nn.Linear(cell_hidden, cell_hidden)

    @property
    def has_cells(self) -> bool:
        """Whether there are cell embeddings."""
        return self.layout.num_cell_features > 0

    def products(self, observation: Tensor) -> Tensor:
        """Product embeddings (..., N, hidden) of flat observations (..., D)."""
        globals_, products, _ = self.layout.split(observation)
        weight, num_globals = self.embed.weight, self.layout.num_globals
        of_globals, of_product = weight[:, :num_globals], weight[:, num_globals:]
        spread = functional.linear(globals_, of_globals, self.embed.bias).unsqueeze(-2)
        embedded = functional.linear(products, of_product).add_(spread).relu_()
        of_own, of_mean = self.relate.weight.chunk(2, dim=1)
        context = functional.linear(embedded.mean(dim=-2, keepdim=True), of_mean, self.relate.bias)
        return functional.linear(embedded, of_own).add_(context).relu_()

    def cells(self, observation: Tensor, products: Tensor) -> Tensor:
        """Cell embeddings (..., M, N, cell_hidden) of flat observations and product embeddings."""
        cells = self.layout.split(observation)[2].contiguous()
        num_products = self.layout.num_products
        of_own, of_mean = self.cell_of_features.weight.chunk(2, dim=1)
        # The mean over products and what is made of it are one product of matrices.
        averages = (of_mean / num_products).repeat(1, num_products)
        segment = functional.linear(cells.flatten(start_dim=-2), averages).unsqueeze(-2)
        mixed = functional.linear(cells, of_own).add_(segment)
        mixed = mixed.add_(self.cell_of_product(products).unsqueeze(-3)).relu_()
        # In two axes the result is no view: changing a view in place costs copies on the way back.
        related = self.cell_relate(mixed.flatten(end_dim=-2)).relu_()
        return cast(Tensor, related.view(mixed.shape))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor | None]:
        """Product embeddings (..., N, hidden) and cell embeddings (..., M, N, cell_hidden) or None.

        Args:
            observation: flat, (..., D).
        """
        products = self.products(observation)
        return products, self.cells(observation, products) if self.has_cells else None


class ProductActor(nn.Module):
    """Means of a Gaussian action per product, or per (segment, product), with one learned spread.

    With a memory each product, or each (segment, product) pair where actions belong to pairs, is remembered apart,
    with the same weights for all: what the memory holds is added to the embedding from which the action follows.
    Blurred affinity scores are of pairs: that is where remembering them pays.

    Args:
        layout: of the observation.
        per_cell: whether an action belongs to a (segment, product) pair instead of a product.
        hidden, cell_hidden: widths, as in `ProductEncoder`.
        initial_std: standard deviation of the actions before training, in units of the action space.
        memory: "none", "gru" or "lstm".
        memory_size: width H of the memory of one product or pair.

    Raises:
        InputError: actions per cell from an observation without cell features, or an unknown memory.
    """

    def __init__(
        self,
        layout: ObservationLayout,
        *,
        per_cell: bool,
        hidden: int,
        cell_hidden: int,
        initial_std: float,
        memory: MemoryKind = "none",
        memory_size: int = 16,
    ) -> None:
        super().__init__()
        if per_cell and not layout.num_cell_features:
            raise InputError("per_cell = True, but the layout has num_cell_features = 0: must be at least 1")
        self.layout = layout
        self.per_cell = per_cell
        self.encoder = ProductEncoder(layout, hidden=hidden, cell_hidden=cell_hidden)
        width = cell_hidden if per_cell else hidden
        self.memory = None if memory == "none" else ResidualMemory(width, memory_size, kind=memory)
        self.head = nn.Linear(width, 1)
        # The zero action is the textbook's: training starts from it.
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        self.log_std = nn.Parameter(torch.tensor(float(initial_std)).log())

    @property
    def num_actions(self) -> int:
        """Length of the action: N, or M x N."""
        return self.layout.num_products * (self.layout.num_segments if self.per_cell else 1)

    def initial_state(self) -> State:
        """State of one environment before its first step, (N, H) or (M, N, H) by name; {} without a memory."""
        if self.memory is None:
            return {}
        rows = (self.layout.num_segments,) if self.per_cell else ()
        return self.memory.memory.initial_state(*rows, self.layout.num_products)

    def forward(self, observation: Tensor, state: State | None = None) -> Tensor | tuple[Tensor, State]:
        """Means and log standard deviations side by side, (..., 2 x number of actions).

        Args:
            observation: flat, (..., D); with a memory (B, T, D).
            state: with a memory, and only then: (B, ...) by name as `initial_state`, from before the first step.

        Returns:
            The outputs; with a memory also the state after the last step.

        Raises:
            InputError: a memory without a state, or a state without a memory.
        """
        products = self.encoder.products(observation)
        embedded = self.encoder.cells(observation, products) if self.per_cell else products
        embedded, state = remembered(self.memory, embedded, state)
        mean = self.head(embedded).flatten(start_dim=observation.dim() - 1)
        outputs = torch.cat([mean, self.log_std.expand_as(mean)], dim=-1)
        return outputs if state is None else (outputs, state)


class JointProductActor(nn.Module):
    """One agent that takes the actions of several: each part decides from its own stretch of the observation.

    Args:
        actors: parts by name. Observations and actions are theirs, side by side in this order.

    Raises:
        InputError: some parts have a memory and others none.
    """

    def __init__(self, actors: Mapping[str, ProductActor]) -> None:
        super().__init__()
        if len({actor.memory is None for actor in actors.values()}) > 1:
            raise InputError(f"all of the actors {', '.join(actors)} must have a memory, or none")
        self.actors = nn.ModuleDict(actors)

    def _parts(self) -> list[tuple[str, ProductActor]]:
        return [(name, cast(ProductActor, actor)) for name, actor in self.actors.items()]

    def initial_state(self) -> State:
        """The parts' states, each name led by its part's, such as "inventory_h"."""
        states = ((name, actor.initial_state()) for name, actor in self._parts())
        return {f"{name}_{key}": entry for name, state in states for key, entry in state.items()}

    def forward(self, observation: Tensor, state: State | None = None) -> Tensor | tuple[Tensor, State]:
        """All parts' means, then all parts' log standard deviations; arguments as of `ProductActor`."""
        means, spreads, start = [], [], 0
        after: State = {}
        for name, actor in self._parts():
            own = observation.narrow(-1, start, actor.layout.size)
            start += actor.layout.size
            outputs = actor(own, None if state is None else _led_by(state, f"{name}_"))
            if state is not None:
                outputs, new_state = outputs
                after |= {f"{name}_{key}": entry for key, entry in new_state.items()}
            mean, spread = outputs.chunk(2, dim=-1)
            means.append(mean)
            spreads.append(spread)
        joined = torch.cat(means + spreads, dim=-1)
        return joined if state is None else (joined, after)


def _led_by(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): entry for key, entry in state.items() if key.startswith(prefix)}


class ProductCritic(nn.Module):
    """Values from the mean embedding over products and cells, one per agent.

    On the layout of the global state this is the centralized critic of all agents.

    Args:
        layout: of the observation or state.
        hidden, cell_hidden: widths, as in `ProductEncoder`.
        num_values: K, values per state.
        value_scale: what an output of 1 means at first; the size of a typical return lets a small step learn it.
        normalisation: of the values; see `ValueOutput`, which is `output`.
        time_left_index: of the entry of the observation that is 0 at the horizon and above 0 before it. Nothing
            is earned after the horizon, so the value is 0 there; an episode's truncation at it bootstraps from
            a state that no target ever trains. None: not known, no such rule.
    """

    def __init__(
        self,
        layout: ObservationLayout,
        *,
        hidden: int,
        cell_hidden: int,
        num_values: int = 1,
        value_scale: float = 1.0,
        normalisation: Normalisation = "none",
        time_left_index: int | None = None,
    ) -> None:
        super().__init__()
        self.time_left_index = time_left_index
        self.encoder = ProductEncoder(layout, hidden=hidden, cell_hidden=cell_hidden)
        width = hidden + (cell_hidden if self.encoder.has_cells else 0) + layout.num_globals
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU())
        self.output = ValueOutput(
            hidden, num_values=num_values, value_scale=value_scale, normalisation=normalisation
        )

    def forward(self, observation: Tensor) -> Tensor:
        """Values (..., K), or (...) where K is 1, of flat observations (..., D)."""
        products, cells = self.encoder(observation)
        parts = [observation[..., : self.encoder.layout.num_globals], products.mean(dim=-2)]
        if cells is not None:
            parts.append(cells.mean(dim=(-3, -2)))
        index = self.time_left_index
        alive = None if index is None else observation[..., index] > 0
        values: Tensor = self.output(self.head(torch.cat(parts, dim=-1)), alive)
        return values
