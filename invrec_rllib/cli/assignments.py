"""Values given as `key=value`, and names separated by commas."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import Any

import yaml

from invrec_rllib.errors import InputError


def parse_names(text: str) -> list[str]:
    """The names in a text like ``a, b``; blanks are left out."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_assignments(texts: Sequence[str], *, option: str, known: Collection[str]) -> dict[str, Any]:
    """Read ``key=value`` texts; values are YAML, so that lists and null are possible.

    Args:
        texts: as given on the command line.
        option: what to call them in errors, such as ``"--set"``.
        known: the keys that are allowed.

    Raises:
        InputError: no ``=``, an unknown or repeated key, or a value that is not YAML.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals:
            raise InputError(f"{option} {text!r} must be of the form key=value")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise InputError(f"{option} {key!r} is unknown; {hint}")
        if key in values:
            raise InputError(f"{option} {key} is given twice")
        values[key] = _parse_value(value, option=option, key=key)
    return values


def _parse_value(text: str, *, option: str, key: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{option} {key}: {text!r} is not a YAML value ({error})") from error
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text, because it lacks a dot.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def parse_lift(text: str) -> str | float:
    """A lift as a number, or as the name that it is given in a calibrated scenario."""
    try:
        return float(text)
    except ValueError:
        return text
