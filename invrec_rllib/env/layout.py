"""How a flat observation is laid out: globals, then products, then cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ObservationLayout:
    """Sizes of the three blocks of a flat observation.

    The order is `[G globals | N x F product features, product-major | M x N x C cell features,
    segment-major]`, so that a network that treats products alike can reshape it.

    Attributes:
        num_globals: G.
        num_product_features: F, per product.
        num_cell_features: C, per segment and product.
        num_products: N.
        num_segments: M.
    """

    num_globals: int
    num_product_features: int
    num_cell_features: int
    num_products: int
    num_segments: int

    @property
    def size(self) -> int:
        """Length D of the flat observation."""
        return self._product_end + self.num_segments * self.num_products * self.num_cell_features

    @property
    def _product_end(self) -> int:
        return self.num_globals + self.num_products * self.num_product_features

    def split(self, array: Any) -> tuple[Any, Any, Any]:
        """Globals (..., G), products (..., N, F) and cells (..., M, N, C) of flat observations (..., D).

        Works on NumPy arrays and torch tensors alike by slicing and reshaping alone; of a contiguous array
        the parts are views.
        """
        lead = tuple(array.shape[:-1])
        start, end = self.num_globals, self._product_end
        return (
            array[..., :start],
            array[..., start:end].reshape((*lead, self.num_products, self.num_product_features)),
            array[..., end:].reshape((*lead, self.num_segments, self.num_products, self.num_cell_features)),
        )
