"""Spaces as plain data, and what becomes of an action between a network and its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from invrec_rllib.errors import InputError

Space: TypeAlias = "Box | Discrete[Any] | MultiDiscrete"
ActionBounds: TypeAlias = Literal["unsquash", "clip", "none"]
ActionChange: TypeAlias = Literal["stretch", "shift", "clip"]


def check_space(name: str, space: gym.Space[Any]) -> Space:
    """A space of a kind that plain data can hold.

    Raises:
        InputError: another kind.
    """
    if not isinstance(space, Box | Discrete | MultiDiscrete):
        raise InputError(f"{name} is {space}, must be a Box, Discrete or MultiDiscrete")
    return space


def distribution_of(space: gym.Space[Any]) -> str | None:
    """Kind of the action distribution that acts in a space, as `learning.actor` names it; None: none does."""
    if isinstance(space, Box) and len(space.shape) == 1:
        return "gaussian"
    if isinstance(space, Discrete):
        return "categorical"
    return "multi_categorical" if isinstance(space, MultiDiscrete) and space.nvec.ndim == 1 else None


def space_to_data(space: Space) -> dict[str, Any]:
    """What JSON holds of a space; None stands for no bound, one number for the bounds of all entries."""
    if isinstance(space, Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, MultiDiscrete):
        return {"kind": "multi_discrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    return {
        "kind": "box",
        "shape": list(space.shape),
        "dtype": str(space.dtype),
        "low": _bound_to_data(space.low),
        "high": _bound_to_data(space.high),
    }


def space_from_data(data: Mapping[str, Any]) -> Space:
    """The space that `space_to_data` described.

    Raises:
        InputError: another kind.
    """
    kind = data["kind"]
    if kind == "discrete":
        return Discrete(int(data["n"]), start=int(data["start"]))
    if kind == "multi_discrete":
        return MultiDiscrete(np.asarray(data["nvec"]), start=np.asarray(data["start"]))
    if kind != "box":
        raise InputError(f"kind of a space is {kind!r}, must be box, discrete or multi_discrete")
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
    low = _bound_from_data(data["low"], shape, dtype, missing=-np.inf)
    return Box(low, _bound_from_data(data["high"], shape, dtype, missing=np.inf), shape, dtype.type)


def action_bounds(*, normalize: bool, clip: bool) -> ActionBounds:
    """What becomes of actions by RLlib's settings `normalize_actions` and `clip_actions`."""
    return "unsquash" if normalize else "clip" if clip else "none"


def change_of(space: gym.Space[Any], bounds: ActionBounds) -> ActionChange | None:
    """What RLlib's runners do to an action before the environment gets it; None: nothing.

    Args:
        space: of the environment's actions.
        bounds: "unsquash" takes the actions of bounded boxes for relative ones (RLlib's `normalize_actions`, its
            default); "clip" clips those of boxes (`clip_actions`); "none" leaves actions alone.

    Returns:
        "stretch": [-1, 1] to the bounds of a box of floats, and clipped to it; "shift": counted from the lower bounds
        of a box of whole numbers; "clip": clipped to the box.

    Raises:
        InputError: other bounds.
    """
    if bounds not in get_args(ActionBounds):
        raise InputError(f"bounds is {bounds!r}, must be one of {', '.join(get_args(ActionBounds))}")
    if not isinstance(space, Box) or bounds == "none":
        return None
    if bounds == "clip":
        return "clip"
    if not (space.bounded_below.all() and space.bounded_above.all()):
        return None
    if space.dtype in (np.float32, np.float64):
        return "stretch"
    return "shift" if np.issubdtype(space.dtype, np.integer) else None


def converter(space: gym.Space[Any], bounds: ActionBounds) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """How actions (..., *shape) that a distribution gave become the environment's; None: they stay as they are.

    Args:
        space, bounds: as in `change_of`.

    Raises:
        InputError: other bounds.
    """
    change = change_of(space, bounds)
    if change is None or not isinstance(space, Box):
        return None
    low, high = space.low, space.high
    if change == "clip":
        return lambda actions: np.clip(actions, low, high)
    if change == "shift":
        return lambda actions: low + actions
    span = high - low

    def stretch(actions: NDArray[Any]) -> NDArray[Any]:
        # In RLlib's order of operations, without its temporary arrays.
        stretched: NDArray[Any] = actions + 1.0
        stretched = np.multiply(stretched, span, out=stretched if stretched.dtype == space.dtype else None)
        stretched /= 2.0
        stretched += low
        np.maximum(stretched, low, out=stretched)
        np.minimum(stretched, high, out=stretched)
        return stretched

    return stretch


def _bound_to_data(bound: NDArray[Any]) -> Any:
    if not bound.size:
        return 0
    if (bound == bound.flat[0]).all():
        return _number(bound.flat[0])
    nested = [_number(value) for value in bound.ravel()]
    return nested if bound.ndim == 1 else {"flat": nested}


def _bound_from_data(
    data: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *, missing: float
) -> NDArray[Any]:
    entries = data["flat"] if isinstance(data, Mapping) else data
    if not isinstance(entries, list):
        return np.full(shape, missing if entries is None else entries, dtype)
    return np.array([missing if entry is None else entry for entry in entries], dtype).reshape(shape)


def _number(value: Any) -> float | int | None:
    if not np.isfinite(value):
        return None
    number: float | int = value.item()
    return number
