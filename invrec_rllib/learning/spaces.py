"""Spaces as plain data, and what becomes of an action between a network and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from invrec_rllib.errors import InputError

Space: TypeAlias = "Box | Discrete[Any] | MultiDiscrete"
ActionBounds: TypeAlias = Literal["unsquash", "clip", "none"]


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


def to_env_action(action: NDArray[Any], space: Space, bounds: ActionBounds) -> NDArray[Any]:
    """What the environment gets of an action (..., *shape) that a distribution gave, as RLlib's runners do it.

    Args:
        action: single or a batch.
        space: of the environment's actions.
        bounds: "unsquash" maps [-1, 1] to a bounded box of floats, clips to it, and leaves unbounded boxes alone
            (RLlib's `normalize_actions`, its default); "clip" clips to the box (`clip_actions`); "none" does
            neither. Other spaces than boxes take actions as they are.

    Raises:
        InputError: other bounds.
    """
    if bounds not in get_args(ActionBounds):
        raise InputError(f"bounds is {bounds!r}, must be one of {', '.join(get_args(ActionBounds))}")
    if not isinstance(space, Box) or bounds == "none":
        return action
    if bounds == "unsquash":
        if not (space.bounded_below.all() and space.bounded_above.all()):
            return action
        action = space.low + (action + 1.0) * (space.high - space.low) / 2.0
    clipped: NDArray[Any] = np.clip(action, space.low, space.high)
    return clipped


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
