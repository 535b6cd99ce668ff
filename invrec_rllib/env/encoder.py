"""Observations from views, by the table of fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from invrec_rllib.env.facts import Facts
from invrec_rllib.env.fields import Field, Kind, Role, demand_unit, field_table
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.policies.view import Information, View
from invrec_rllib.sim.params import IntArray, Params

Float32Array = NDArray[np.float32]

_KINDS: tuple[Kind, ...] = ("global", "product", "cell")
# The calendar of this many bytes of periods is kept; beyond, it is made anew.
_CACHE_BYTES = 2 * 2**20


class ObservationEncoder:
    """Encodes views for one agent, or the global state, under one information mode.

    Args:
        params: the world.
        role: "inventory", "recommender", or "state" for everything there is.
        information: what may be seen; without meaning for the state.
        advised: whether agents have an adviser.

    Attributes:
        layout: how the flat observation is laid out.
        fields: the fields in their order within each block.
        low, high: bounds, float32, (D,).
    """

    def __init__(
        self, params: Params, role: Role, information: Information, *, advised: bool = False
    ) -> None:
        self._params = params
        seen = [field for field in field_table(params, advised=advised) if field.seen_by(role, information)]
        self.role, self.information = role, information
        self._blocks = [_ordered([field for field in seen if field.kind == kind]) for kind in _KINDS]
        self.fields = tuple(field for block in self._blocks for field in block)
        widths = [sum(field.width for field in block) for block in self._blocks]
        self.layout = ObservationLayout(
            widths[0], widths[1], widths[2], params.num_products, params.num_segments
        )
        self.low, self.high = self._bounds("low"), self._bounds("high")
        self._writers = [_writers(block) for block in self._blocks]
        units = [field.width for field in self._blocks[1] if field.in_units]
        start = sum(field.width for field in self._blocks[1] if field.calendar)
        self._units = slice(start, start + sum(units))
        self._per_unit = (1.0 / demand_unit(params)).astype(np.float32)[:, None]
        # Bound to the instance, so that it dies with it.
        period_bytes = sum(part.nbytes for part in self._make_calendar(0))
        self._calendar = lru_cache(maxsize=_CACHE_BYTES // max(period_bytes, 1))(self._make_calendar)

    @property
    def space(self) -> gymnasium.spaces.Box:
        """A new Box of shape (D,), float32."""
        return gymnasium.spaces.Box(self.low, self.high, dtype=np.float32)

    def index_of_global(self, name: str) -> int:
        """Where a global field of one number stands in the flat observation."""
        names = [field.name for field in self.fields]
        return sum(field.width for field in self.fields[: names.index(name)])

    def index_of_fields(self, fields: tuple[Field, ...]) -> IntArray:
        """Where an observation made of these of its fields, in this order, stands in the flat one, (D',)."""
        wanted = {field.name for field in fields}
        blocks = self.layout.split(np.arange(self.layout.size))
        parts = []
        for positions, block in zip(blocks, self._blocks, strict=True):
            seen = [field.name in wanted for field in block for _ in range(field.width)]
            parts.append(positions[..., seen].ravel())
        index: IntArray = np.concatenate(parts)
        return index

    def encode(self, view: View, *, facts: Facts | None = None) -> Float32Array:
        """Observations of a batch, float32, (B, D), within the bounds.

        Args:
            view: what is shown; for the state, its `scores` are not read, the true affinities are.
            facts: of the same view, where others need them too.
        """
        if self.role == "state" and view.scores is not view.state.affinity:
            facts = Facts(exact_view(view), advice=None if facts is None else facts.advice)
        return self.encode_facts(facts or Facts(view))

    def encode_facts(self, facts: Facts) -> Float32Array:
        """As `encode`, by the scores that the facts' view shows, also where the role is the state."""
        out = np.empty((facts.state.num_episodes, self.layout.size), dtype=np.float32)
        blocks = self.layout.split(out)
        calendar = self._calendar(facts.state.period)
        for target, known, writers in zip(blocks, calendar, self._writers, strict=True):
            if known.shape[-1]:
                target[..., : known.shape[-1]] = known
            for column, compute in writers:
                target[..., column] = compute(facts)
        amounts = blocks[1][..., self._units]
        amounts *= self._per_unit
        np.log1p(amounts, out=amounts)
        np.maximum(out, self.low, out=out)
        np.minimum(out, self.high, out=out)
        return out

    def _make_calendar(self, period: int) -> tuple[Float32Array, ...]:
        """Values of the calendar fields in one period: (G',), (N, F'), (M, N, C')."""
        n, m = self._params.num_products, self._params.num_segments
        leads: tuple[tuple[int, ...], ...] = ((), (n,), (m, n))
        made = []
        for lead, block in zip(leads, self._blocks, strict=True):
            known = [field for field in block if field.from_period]
            values = np.empty((*lead, sum(field.width for field in known)), dtype=np.float32)
            for field, column in zip(known, _columns(known), strict=True):
                assert field.from_period is not None
                values[..., column] = field.from_period(self._params, period)
            made.append(values)
        return tuple(made)

    def _bounds(self, side: str) -> Float32Array:
        n, m = self._params.num_products, self._params.num_segments
        parts = []
        for block, repeats in zip(self._blocks, (1, n, m * n), strict=True):
            row = [getattr(field, side) for field in block for _ in range(field.width)]
            parts.append(np.tile(np.asarray(row, dtype=np.float32), repeats))
        return np.concatenate(parts)


def exact_view(view: View) -> View:
    """The same view with the true affinities for scores."""
    return View(view.params, view.state, view.state.affinity, view.forecast, view.forecast_sd)


def encode(view: View, role: Role, information: Information) -> Float32Array:
    """Observations of an agent, or the global state ("state"), float32, (B, D); see `ObservationEncoder`."""
    return encoder_for(view.params, role, information).encode(view)


@lru_cache(maxsize=16)
def encoder_for(
    params: Params, role: Role, information: Information, *, advised: bool = False
) -> ObservationEncoder:
    """The encoder of a world, made once."""
    return ObservationEncoder(params, role, information, advised=advised)


def _ordered(fields: list[Field]) -> list[Field]:
    """Calendar first, then amounts of units, then the rest: each group is filled in one go."""
    return sorted(fields, key=lambda field: 0 if field.calendar else 1 if field.in_units else 2)


def _columns(fields: list[Field]) -> list[int | slice]:
    columns: list[int | slice] = []
    start = 0
    for field in fields:
        columns.append(start if field.width == 1 else slice(start, start + field.width))
        start += field.width
    return columns


def _writers(block: list[Field]) -> list[tuple[int | slice, Callable[[Facts], Any]]]:
    return [
        (column, field.from_facts)
        for field, column in zip(block, _columns(block), strict=True)
        if field.from_facts is not None
    ]
