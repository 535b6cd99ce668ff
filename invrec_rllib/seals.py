"""Checksums beside the files of a folder, so that one that was cut short or damaged is found before it is used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from invrec_rllib.scenario.files import write_text_atomically

SEAL = "checksums.json"


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint is damaged, and the one before it was taken."""


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file in a folder, those in folders below it too, to `checksums.json` in it."""
    sums = {name: _checksum(folder / name) for name in _files(folder)}
    write_text_atomically(folder / SEAL, json.dumps(sums, indent=2) + "\n")


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed folder: a file that is missing, or is not what was sealed.

    Files that were added are no damage.

    Returns:
        The fault in words; None where there is none, or where the folder was never sealed.
    """
    file = folder / SEAL
    if not file.is_file():
        return None
    try:
        sums: dict[str, str] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})"
    for name, checksum in sums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if _checksum(folder / name) != checksum:
            return f"{name} is not what was written"
    return None


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != SEAL
    )


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
