"""Agents of one world in another: which numbers they see there, and their networks at its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from invrec_rllib.env.encoder import ObservationEncoder
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.errors import InputError
from invrec_rllib.learning.actor import Actor
from invrec_rllib.learning.export import build_with_weights

# Name, kind and width of every observation field, in order.
FieldList: TypeAlias = Sequence[Sequence[Any]]

_KINDS = ("global", "product", "cell")
# Windows over the periods ahead whose missing end is like the last period shown; of others it is 0.
_LASTING = ("season",)


def fields_of(encoder: ObservationEncoder) -> list[list[Any]]:
    """The fields that an encoder shows, as data."""
    return [[field.name, field.kind, field.width] for field in encoder.fields]


class Alignment:
    """A world's observations as agents of another world know them.

    Fields are found by name. Fields that the agents do not know are left out. A window over the periods ahead is
    cut where the world shows more periods; where it shows fewer, nothing arrives in the others, and the season
    stays as it is in the last one.

    Args:
        encoder: of the world at hand.
        fields: that the agents know; None: those of the world.

    Raises:
        InputError: the world lacks some of the fields.

    Attributes:
        layout: of the observations that `apply` makes.
        unknown: fields of the world that the agents do not know.
    """

    def __init__(self, encoder: ObservationEncoder, *, fields: FieldList | None) -> None:
        own = fields_of(encoder)
        known = own if fields is None else fields
        shown = {name for name, _, _ in own}
        missing = [name for name, _, _ in known if name not in shown]
        if missing:
            raise InputError(
                f"its {encoder.role} agent was trained on {', '.join(missing)}, which this world does not have"
            )
        self.unknown = sorted(shown - {name for name, _, _ in known})
        parts, kept, widths = [], [], []
        blocks = encoder.layout.split(np.arange(encoder.layout.size))
        for kind, positions in zip(_KINDS, blocks, strict=True):
            columns, keep = _columns(
                [field for field in own if field[1] == kind], [field for field in known if field[1] == kind]
            )
            parts.append(positions[..., columns].ravel())
            kept.append(np.broadcast_to(keep, (*positions.shape[:-1], len(keep))).ravel())
            widths.append(len(columns))
        size = encoder.layout
        self.layout = ObservationLayout(widths[0], widths[1], widths[2], size.num_products, size.num_segments)
        self._index, self._keep = np.concatenate(parts), np.concatenate(kept)
        self._same = np.array_equal(self._index, np.arange(size.size)) and bool(self._keep.all())

    def apply(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, D') of the world's observations (B, D)."""
        if self._same:
            return observations
        taken: NDArray[np.float32] = observations.take(self._index, axis=-1)
        return taken * self._keep.astype(np.float32)


def _columns(own: FieldList, known: FieldList) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where the numbers of known fields stand among those of a block, and which of them are shown."""
    starts = np.cumsum([0, *(width for _, _, width in own)])
    place = {name: (start, width) for (name, _, width), start in zip(own, starts, strict=False)}
    columns: list[int] = []
    keep: list[bool] = []
    for name, _, wanted in known:
        start, width = place[name]
        columns += [start + min(k, width - 1) for k in range(wanted)]
        keep += [k < width or name in _LASTING for k in range(wanted)]
    return np.asarray(columns, dtype=np.intp), np.asarray(keep, dtype=bool)


def resized(actor: Actor, layouts: Mapping[str, ObservationLayout], *, name: str) -> nn.Module:
    """The network of an actor for observations of other layouts, with the same weights.

    Args:
        actor: trained somewhere.
        layouts: by agent, of what the actor sees one after the other; only a "joint" network takes several.
        name: of the policy, for errors.

    Raises:
        InputError: the network does not fit these layouts and cannot be made to.
    """
    description = actor.description
    if description["network"] == "joint":
        parts = description["parts"]
        if set(parts) != set(layouts):
            raise InputError(f"{name} decides for {sorted(parts)}, but this world has {sorted(layouts)}")
        fitted = {part: _fitted(parts[part], layouts[part], part, name=name) for part in parts}
        changed = {**description, "parts": fitted}
    elif description["network"] == "product" and len(layouts) == 1:
        ((agent, layout),) = layouts.items()
        changed = _fitted(description, layout, agent, name=name)
    else:
        size, seen = sum(layout.size for layout in layouts.values()), actor.observation_space.shape
        if seen != (size,):
            raise InputError(
                f"{name} was trained on observations of shape {seen}, but this world gives {', '.join(layouts)} "
                f"{(size,)}: its network fits worlds of one size, networks of kind product fit all"
            )
        return actor.network
    return actor.network if changed == description else _rebuilt(actor, changed)


def _rebuilt(actor: Actor, description: Mapping[str, Any]) -> nn.Module:
    return build_with_weights(description, actor.network.state_dict())


def _fitted(
    description: Mapping[str, Any], layout: ObservationLayout, agent: str, *, name: str
) -> dict[str, Any]:
    """The description for another number of products and segments."""
    trained = ObservationLayout(**description["layout"])
    for field in ("num_globals", "num_product_features", "num_cell_features"):
        before, now = getattr(trained, field), getattr(layout, field)
        if before != now:
            raise InputError(
                f"{name} was trained on observations with {field} = {before}, but this world gives its {agent} "
                f"agent {now}: evaluate it on a world that shows the same"
            )
    return {**description, "layout": asdict(layout)}
