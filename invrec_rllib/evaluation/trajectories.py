"""One episode period by period, for figures; kept in NumPy's npz files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray

_SEPARATOR = "__"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What happened in one episode. Units are integers, (T, N).

    Attributes:
        on_hand: units in stock when the period was decided, its delivery received.
        order: units ordered.
        received: units that arrived for the period: its opening delivery (period 0: counted as initial stock
            instead), and orders of lead time 0.
        demand: units asked for.
        sales: units sold.
        exposure: in [0, 1], (T, M, N).
        profit: money, (T,).
    """

    on_hand: IntArray
    order: IntArray
    received: IntArray
    demand: IntArray
    sales: IntArray
    exposure: FloatArray
    profit: FloatArray


def save_trajectories(path: str | os.PathLike[str], trajectories: Mapping[str, Trajectory]) -> Path:
    """Write episodes to one npz file, atomically, replacing it; arrays are named ``POLICY__field``.

    Args:
        path: the file, ending in ``.npz``.
        trajectories: by policy.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        f"{policy}{_SEPARATOR}{field.name}": getattr(trajectory, field.name)
        for policy, trajectory in trajectories.items()
        for field in fields(Trajectory)
    }
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part.npz")
    try:
        np.savez_compressed(temporary, **arrays)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def load_trajectories(path: str | os.PathLike[str]) -> dict[str, Trajectory]:
    """Read what `save_trajectories` wrote, by policy in the order written.

    Raises:
        InputError: not such a file, or an array is missing.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} does not hold recorded episodes: {error}") from error
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, values in arrays.items():
        policy, _, field = name.rpartition(_SEPARATOR)
        found.setdefault(policy, {})[field] = values
    expected = {field.name for field in fields(Trajectory)}
    for policy, values_by_field in found.items():
        if missing := sorted(expected - values_by_field.keys()):
            raise InputError(f"{path} lacks the arrays {missing} of policy {policy!r}")
    return {
        policy: Trajectory(**{field: values[field] for field in expected}) for policy, values in found.items()
    }
