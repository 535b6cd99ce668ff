"""Folders without pickle: a JSON description beside weights as safetensors, which belong together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.files import is_taken

WEIGHTS_FILE = "weights.safetensors"
_DIGEST = "weights_sha256"


@dataclass(frozen=True)
class Kind:
    """What a folder holds.

    Attributes:
        file: name of the description.
        format, version: what it says of itself.
        what: that in words.
    """

    file: str
    format: str
    version: int
    what: str

    def write(self, folder: Path, content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
        """Write the weights, and give the text of the description that they belong to."""
        saved = safetensors.torch.save(dict(weights), metadata={"format": "pt"})
        (folder / WEIGHTS_FILE).write_bytes(saved)
        head = {"format": self.format, "format_version": self.version}
        digest = hashlib.sha256(saved).hexdigest()
        return json.dumps({**head, **content, _DIGEST: digest}, indent=2, allow_nan=False)

    def read(self, folder: Path) -> tuple[dict[str, Any], bytes]:
        """The description, and the weights as they were saved.

        Raises:
            InputError: a file is missing, damaged, of another program or of a newer format.
        """
        content = self._read_description(folder / self.file)
        try:
            weights = (folder / WEIGHTS_FILE).read_bytes()
        except OSError as error:
            raise InputError(f"{folder} is not complete: {WEIGHTS_FILE} cannot be read ({error})") from error
        if hashlib.sha256(weights).hexdigest() != content.get(_DIGEST):
            raise InputError(
                f"{folder / WEIGHTS_FILE} is damaged, or does not belong to the {self.file} beside it"
            )
        return content, weights

    def _read_description(self, file: Path) -> dict[str, Any]:
        try:
            content = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read as JSON: {error}") from error
        if not isinstance(content, dict) or content.get("format") != self.format:
            raise InputError(f"{file} is no {self.what}: its format is not {self.format!r}")
        version = content.get("format_version")
        if version != self.version:
            raise InputError(
                f"{file} has format_version {version!r}, this version of invrec-rllib reads {self.version}: "
                "install the version that wrote it, or a newer one"
            )
        return content


def check_free_folder(path: Path) -> None:
    """Refuse to write into what is there.

    Raises:
        InputError: it exists and is not an empty folder.
    """
    if is_taken(path):
        raise InputError(f"{path} exists and is not an empty folder: choose another name")


@contextlib.contextmanager
def filled_whole(target: Path, *, replaced: bool = False) -> Iterator[Path]:
    """A folder to fill, which gets its name when it is complete.

    Args:
        target: its path in the end.
        replaced: whether what is there goes.

    Raises:
        InputError: it exists, is not empty and is not to be replaced.
    """
    if not replaced:
        check_free_folder(target)
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if replaced:
            shutil.rmtree(target)
        elif target.is_dir():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
