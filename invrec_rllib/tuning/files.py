"""Sweeps to and from YAML."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.files import parse_mapping
from invrec_rllib.tuning.sweep import Sweep, make_sweep


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Load a sweep from a YAML file.

    Raises:
        InputError: no such file, or its content is not valid.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"sweep file {file} cannot be read: {error}") from error
    return parse_sweep(text, source=str(file))


def parse_sweep(text: str, *, source: str = "sweep") -> Sweep:
    """Read a sweep from YAML text.

    Raises:
        InputError: not YAML, not a mapping, a key given twice, or not valid.
    """
    return make_sweep(parse_mapping(text, source=source, of="a sweep"), source=source)


def dump_sweep(sweep: Sweep) -> str:
    """YAML text that `parse_sweep` reads back to an equal sweep."""
    data = sweep.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(data, sort_keys=False, width=110, allow_unicode=True)
