"""Networks that share their weights over products and segments, so that worlds of any size learn alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrec_rllib.env.layout import ObservationLayout


class ProductEncoder(nn.Module):
    """Embeds every product in the light of all others; equivariant to the order of the products.

    A product's features, the globals, and the mean embedding over products pass the same two layers for each
    product. Where the observation has cell features, every (segment, product) pair then gets an embedding of
    its own from its features, its product and its segment's mean.

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
        """Whether `forward` returns cell embeddings."""
        return self.layout.num_cell_features > 0

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor | None]:
        """Product embeddings (..., N, hidden) and cell embeddings (..., M, N, cell_hidden) or None.

        Args:
            observation: flat, (..., D).
        """
        lead = observation.shape[:-1]
        globals_, products, cells = self.layout.split(observation.reshape(-1, observation.shape[-1]))
        spread = globals_[:, None, :].expand(-1, products.shape[1], -1)
        embedded = torch.relu(self.embed(torch.cat([spread, products], dim=-1)))
        context = embedded.mean(dim=1, keepdim=True).expand_as(embedded)
        related = torch.relu(self.relate(torch.cat([embedded, context], dim=-1)))
        product_shape = (*lead, *related.shape[1:])
        if not self.has_cells:
            return related.reshape(product_shape), None
        segment = cells.mean(dim=2, keepdim=True).expand_as(cells)
        features = self.cell_of_features(torch.cat([cells, segment], dim=-1))
        mixed = torch.relu(self.cell_of_product(related)[:, None, :, :] + features)
        mixed = torch.relu(self.cell_relate(mixed))
        return related.reshape(product_shape), mixed.reshape(*lead, *mixed.shape[1:])


class ProductActor(nn.Module):
    """Means of a Gaussian action per product, or per (segment, product), with one learned spread.

    Args:
        layout: of the observation.
        per_cell: whether an action belongs to a (segment, product) pair instead of a product.
        hidden, cell_hidden: widths, as in `ProductEncoder`.
        initial_std: standard deviation of the actions before training, in units of the action space.
    """

    def __init__(
        self, layout: ObservationLayout, *, per_cell: bool, hidden: int, cell_hidden: int, initial_std: float
    ) -> None:
        super().__init__()
        self.per_cell = per_cell
        self.encoder = ProductEncoder(layout, hidden=hidden, cell_hidden=cell_hidden)
        self.head = nn.Linear(cell_hidden if per_cell else hidden, 1)
        # The zero action is the textbook's: training starts from it.
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        self.log_std = nn.Parameter(torch.tensor(float(initial_std)).log())

    def forward(self, observation: Tensor) -> Tensor:
        """Means and log standard deviations side by side, (..., 2 x number of actions)."""
        products, cells = self.encoder(observation)
        embedded = cells if self.per_cell else products
        assert embedded is not None
        mean = self.head(embedded).flatten(start_dim=observation.dim() - 1)
        return torch.cat([mean, self.log_std.expand_as(mean)], dim=-1)


class ProductCritic(nn.Module):
    """A value from the mean embedding over products and cells.

    Args:
        layout: of the observation.
        hidden, cell_hidden: widths, as in `ProductEncoder`.
        value_scale: what an output of 1 means; the size of a typical return lets a small step learn it.
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
        value_scale: float = 1.0,
        time_left_index: int | None = None,
    ) -> None:
        super().__init__()
        self.value_scale = value_scale
        self.time_left_index = time_left_index
        self.encoder = ProductEncoder(layout, hidden=hidden, cell_hidden=cell_hidden)
        width = hidden + (cell_hidden if self.encoder.has_cells else 0) + layout.num_globals
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, observation: Tensor) -> Tensor:
        """Values, (...)."""
        products, cells = self.encoder(observation)
        parts = [observation[..., : self.encoder.layout.num_globals], products.mean(dim=-2)]
        if cells is not None:
            parts.append(cells.mean(dim=(-3, -2)))
        values: Tensor = self.value_scale * self.head(torch.cat(parts, dim=-1)).squeeze(-1)
        if self.time_left_index is None:
            return values
        return values * (observation[..., self.time_left_index] > 0)
