"""Trained actors on disk without pickle: weights as safetensors, and a JSON file that says what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from invrec_rllib.errors import InputError
from invrec_rllib.learning.build import build_actor

DESCRIPTION_FILE, WEIGHTS_FILE = "policy.json", "weights.safetensors"
FORMAT, VERSION = "invrec_rllib policy", 1


@dataclass(frozen=True, eq=False)
class Saved:
    """Actors and what goes with them.

    Attributes:
        actors: networks by module id, in evaluation mode.
        descriptions: of each, as `learning.build.build_actor` takes it.
        about: plain JSON: what they saw, what their actions mean, where they come from.
    """

    actors: Mapping[str, nn.Module]
    descriptions: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]


def save_actors(folder: str | os.PathLike[str], saved: Saved) -> None:
    """Write actors into a folder, which is made if it is missing."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    weights = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, actor in saved.actors.items()
        for key, tensor in actor.state_dict().items()
    }
    save_file(weights, path / WEIGHTS_FILE)
    content = {"format": FORMAT, "version": VERSION, "actors": dict(saved.descriptions), **saved.about}
    (path / DESCRIPTION_FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def load_actors(folder: str | os.PathLike[str]) -> Saved:
    """Read actors back; nothing in the files is executed.

    Raises:
        InputError: the folder holds no such files, of another format or version, or weights that do not fit.
    """
    path = Path(folder)
    try:
        content = json.loads((path / DESCRIPTION_FILE).read_text("utf-8"))
        weights = load_file(path / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} holds no saved policy that can be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise InputError(
            f"{path / DESCRIPTION_FILE} must say format {FORMAT!r} and version {VERSION}, got "
            f"{content.get('format') if isinstance(content, dict) else content!r}, "
            f"{content.get('version') if isinstance(content, dict) else None}"
        )
    descriptions = content["actors"]
    actors = {}
    for name, description in descriptions.items():
        try:
            actor = build_actor(description)
            own = {key.removeprefix(f"{name}."): value for key, value in weights.items()}
            actor.load_state_dict({key: own[key] for key in actor.state_dict()})
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(
                f"{path}: the weights of {name!r} do not fit its description: {error}"
            ) from error
        actors[name] = actor.eval()
    about = {key: value for key, value in content.items() if key not in ("format", "version", "actors")}
    return Saved(actors, descriptions, about)
