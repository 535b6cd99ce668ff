"""What is wrong with an input, one line per fault: field, value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from invrec_rllib.errors import InputError, ScenarioError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_VALUE = 60
_ALLOWED = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "invalid_key": "keys must be text",
}


def validated(
    model: type[Model],
    data: Mapping[str, Any],
    *,
    what: str,
    error: type[InputError | ScenarioError] = InputError,
) -> Model:
    """A model made from plain data.

    Args:
        model: to make.
        data: its keys and values.
        what: opens the message, such as "sweep.yaml is not a valid sweep".
        error: to raise.

    Raises:
        InputError, ScenarioError: whichever `error` is; one line per fault, each naming key, value and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as found:
        lines = "\n  ".join(describe_faults(found, model))
        raise error(f"{what}:\n  {lines}") from found


def describe_faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Faults that validation found, in words of the file; `model` is what was validated."""
    faults: list[Any] = list(error.errors(include_url=False))
    paths = [fault["loc"] for fault in faults]
    return [
        _describe(fault, model)
        for fault in faults
        # Too short only because its faulty entries were dropped: they are reported themselves.
        if not (fault["type"] == "too_short" and any(_lies_within(path, fault["loc"]) for path in paths))
    ]


def _lies_within(path: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


def _describe(fault: Any, model: type[BaseModel]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    kind, value = fault["type"], fault["input"]
    if kind == "missing":
        return f"{path}: missing, but required"
    if kind == "extra_forbidden":
        return f"{path}: unknown key; known are {', '.join(_known_keys(model, fault['loc']))}"
    if kind == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        # Checks across fields name them all; repeating the whole section would bury that.
        return message if isinstance(value, dict) else f"{path}: {message}, got {_shorten(value)}"
    allowed = _ALLOWED[kind].format(**fault.get("ctx", {})) if kind in _ALLOWED else fault["msg"]
    return f"{path}: {allowed}, got {_shorten(value)}"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    inside: Any = model
    for part in path[:-1]:
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            field = inside.model_fields.get(str(part))
            inside = field.annotation if field else None
        elif get_origin(inside) is dict:
            inside = get_args(inside)[1]
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            model = inside
    return [field.alias or name for name, field in model.model_fields.items()]


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
