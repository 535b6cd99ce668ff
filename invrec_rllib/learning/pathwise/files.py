"""A pair on disk, without pickle: a JSON description, weights as safetensors, and the world it was searched in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import safetensors.torch
from safetensors import SafetensorError

from invrec_rllib.errors import InputError
from invrec_rllib.learning.pathwise.pair import Pair
from invrec_rllib.learning.pathwise.settings import Memory
from invrec_rllib.learning.weights_folder import Kind, filled_whole
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario, save_scenario
from invrec_rllib.scenario.schema import Scenario

PAIR_FILE = "pathwise.json"
_KIND = Kind(PAIR_FILE, "invrec-pathwise", version=1, what="pair of a pathwise search")
_WORLD_FILE = "scenario.yaml"


@dataclass(frozen=True, eq=False)
class SavedPair:
    """A pair with what it needs to be used and understood.

    Attributes:
        pair: parameters and networks.
        information: what it saw of tastes in the search.
        scenario: the world it was searched in.
        provenance: settings, validations, command, versions and the like.
        memory: of tastes, see `PathwiseSettings`.
    """

    pair: Pair
    information: Information
    scenario: Scenario
    provenance: Mapping[str, Any] = field(default_factory=dict)
    memory: Memory = "filter"


def is_pair(path: str | os.PathLike[str]) -> bool:
    """Whether a folder says that it holds a pair."""
    return (Path(path).expanduser() / PAIR_FILE).is_file()


def save_pair(saved: SavedPair, path: str | os.PathLike[str]) -> Path:
    """Write a folder, which gets its name when it is complete.

    Raises:
        InputError: it exists and is not empty.
    """
    target = Path(path).expanduser().resolve()
    with filled_whole(target) as part:
        weights = {name: value.contiguous().clone() for name, value in saved.pair.state_dict().items()}
        (part / PAIR_FILE).write_text(_KIND.write(part, _describe(saved), weights) + "\n", "utf-8")
        save_scenario(saved.scenario, part / _WORLD_FILE)
    return target


def load_pair(path: str | os.PathLike[str]) -> SavedPair:
    """What `save_pair` wrote; nothing in the files can execute code.

    Raises:
        InputError: a file is missing, damaged, of another program or of a newer format.
    """
    folder = Path(path).expanduser().resolve()
    content, weights = _KIND.read(folder)
    try:
        start = CoordinatedParameters.from_values(content["start"])
        if start.values().keys() != content["start"].keys():
            raise ValueError(f"start must give {', '.join(start.values())}")
        pair = Pair(
            start,
            num_features=content["num_features"],
            hidden=content["hidden"],
        )
        pair.load_state_dict(safetensors.torch.load(weights))
        information, memory = content["information"], content["memory"]
        provenance = content["provenance"]
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder / PAIR_FILE} does not describe a pair: {error!r}") from error
    for field_name, value, kinds in (("information", information, Information), ("memory", memory, Memory)):
        if value not in get_args(kinds):
            raise InputError(
                f"{folder / PAIR_FILE}: {field_name} is {value!r}, must be one of {', '.join(get_args(kinds))}"
            )
    return SavedPair(pair.eval(), information, load_scenario(folder / _WORLD_FILE), provenance, memory)


def _describe(saved: SavedPair) -> dict[str, Any]:
    return {
        "information": saved.information,
        "memory": saved.memory,
        "start": saved.pair.chosen.values(),
        "num_features": saved.pair.num_features,
        "hidden": saved.pair.hidden,
        "provenance": dict(saved.provenance),
    }
