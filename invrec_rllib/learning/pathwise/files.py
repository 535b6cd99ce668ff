"""A pair on disk, without pickle: a JSON description, weights as safetensors, and the world it was searched in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import safetensors.torch
from safetensors import SafetensorError

from invrec_rllib.errors import InputError
from invrec_rllib.learning.export import check_free_folder
from invrec_rllib.learning.pathwise.pair import Pair
from invrec_rllib.learning.pathwise.settings import Memory
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario, save_scenario
from invrec_rllib.scenario.schema import Scenario

FORMAT = "invrec-pathwise"
FORMAT_VERSION = 1
PAIR_FILE = "pathwise.json"
_WEIGHTS_FILE = "weights.safetensors"
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
    check_free_folder(target)
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        tensors = {name: value.contiguous().clone() for name, value in saved.pair.state_dict().items()}
        weights = safetensors.torch.save(tensors, metadata={"format": "pt"})
        (part / _WEIGHTS_FILE).write_bytes(weights)
        text = json.dumps(_describe(saved, weights), indent=2, allow_nan=False)
        (part / PAIR_FILE).write_text(text + "\n", "utf-8")
        save_scenario(saved.scenario, part / _WORLD_FILE)
        if target.is_dir():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def load_pair(path: str | os.PathLike[str]) -> SavedPair:
    """What `save_pair` wrote; nothing in the files can execute code.

    Raises:
        InputError: a file is missing, damaged, of another program or of a newer format.
    """
    folder = Path(path).expanduser().resolve()
    content = _read_description(folder / PAIR_FILE)
    try:
        weights = (folder / _WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise InputError(f"{folder} is not complete: {_WEIGHTS_FILE} cannot be read ({error})") from error
    if hashlib.sha256(weights).hexdigest() != content.get("weights_sha256"):
        raise InputError(
            f"{folder / _WEIGHTS_FILE} is damaged, or does not belong to the {PAIR_FILE} beside it"
        )
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


def _describe(saved: SavedPair, weights: bytes) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "information": saved.information,
        "memory": saved.memory,
        "start": saved.pair.chosen.values(),
        "num_features": saved.pair.num_features,
        "hidden": saved.pair.hidden,
        "provenance": dict(saved.provenance),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }


def _read_description(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{file} describes no pair of a pathwise search: its format is not {FORMAT!r}")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{file} has format_version {version!r}, this version of invrec-rllib reads {FORMAT_VERSION}: "
            "install the version that wrote it, or a newer one"
        )
    return content
