"""Checks of single values, in the words that every error of this room uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from invrec_rllib.errors import InputError


def number(field: str, value: Any, *, above: float | None = None, least: float | None = None) -> float:
    """A finite number within its range, as a float.

    Text that reads as a number is taken as one: YAML 1.1 reads ``3e-4`` as text, and means a number.

    Raises:
        InputError: naming field, value and what is allowed.
    """
    bound = (
        f" above {above:g}" if above is not None else f" of at least {least:g}" if least is not None else ""
    )
    fault = InputError(f"{field} = {value!r} must be a finite number{bound}")
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        raise fault
    try:
        result = float(value)
    except ValueError:
        raise fault from None
    if not math.isfinite(result) or (above is not None and result <= above):
        raise fault
    if least is not None and result < least:
        raise fault
    return result


def count(field: str, value: Any) -> int:
    """A whole number of at least 1.

    Raises:
        InputError: naming field, value and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{field} = {value!r} must be a whole number of at least 1")
    return int(value)


def known_keys(
    where: str, data: Mapping[Any, Any], *, required: Iterable[str], allowed: Iterable[str]
) -> None:
    """Refuse unknown and missing keys of a mapping.

    Raises:
        InputError: naming them, and the keys that are allowed.
    """
    allowed, required = list(allowed), list(required)
    unknown = [key for key in data if key not in allowed]
    missing = [key for key in required if key not in data]
    faults = [f"does not know {', '.join(map(repr, unknown))}"] if unknown else []
    faults += [f"lacks {', '.join(map(repr, missing))}"] if missing else []
    if faults:
        raise InputError(f"{where} {' and '.join(faults)}; its keys are {', '.join(allowed)}")
