"""Scenarios to and from YAML, exactly; the presets; the JSON Schema for editors."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.scenario.faults import validated
from invrec_rllib.scenario.schema import Scenario

# The C loader reads the 16,000 affinities of `huge` about ten times faster; PyYAML is built without it on
# some platforms.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PRESETS = resources.files("invrec_rllib.scenario") / "presets"


class _Loader(_FastLoader):  # type: ignore[misc]
    """Refuses a key given twice, of which PyYAML silently keeps the last."""


def _construct_mapping(loader: Any, node: yaml.MappingNode) -> Any:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key.value!r} is given twice", key.start_mark
            )
        seen.add(str(key.value))
    return loader.construct_yaml_map(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


class _Dumper(yaml.SafeDumper):
    """Lists of numbers on one line, mappings on several."""


def _represent_list(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", data, flow_style=not any(isinstance(item, list | dict) for item in data)
    )


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    # Only double quotes bring every control character and line separator back as it was.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def preset_names() -> tuple[str, ...]:
    """Names of the scenarios that ship with the package, sorted."""
    files = (file.name for file in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def parse_yaml(text: str) -> Any:
    """Plain data from YAML text.

    Raises:
        yaml.YAMLError: not YAML, or a key is given twice.
    """
    return yaml.load(text, Loader=_Loader)


def parse_mapping(text: str, *, source: str, of: str) -> dict[str, Any]:
    """A mapping from YAML text.

    Args:
        text: YAML.
        source: what to call the text in errors.
        of: what has the keys that it should hold, such as "a study".

    Raises:
        InputError: not YAML, a key given twice, or not a mapping.
    """
    try:
        data = parse_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{source} must hold a mapping with the keys of {of}, got {type(data).__name__}")
    return data


def parse_scenario(text: str, *, source: str = "scenario") -> Scenario:
    """Read a scenario from YAML text.

    Args:
        text: one YAML mapping with the keys of `Scenario`.
        source: what to call the text in errors.

    Raises:
        ScenarioError: not YAML, not a mapping, or not valid; one line per fault, each naming the field.
    """
    try:
        data = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise ScenarioError(f"{source} must hold a mapping with the keys of a scenario, got {found}")
    return build_scenario(data, source=source)


def build_scenario(data: dict[str, Any], *, source: str = "scenario") -> Scenario:
    """Validate a mapping as a scenario.

    Raises:
        ScenarioError: one line per fault, each naming field, value and what is allowed.
    """
    return validated(Scenario, data, what=f"{source} is not a valid scenario", error=ScenarioError)


@cache
def _load_preset(name: str) -> Scenario:
    return parse_scenario((_PRESETS / f"{name}.yaml").read_text("utf-8"), source=f"preset {name}")


def load_scenario(name_or_path: str | os.PathLike[str] | Scenario) -> Scenario:
    """Load a scenario by preset name or from a YAML file; a `Scenario` is returned as it is.

    Raises:
        ScenarioError: no such preset or file, or its content is not valid.
    """
    if isinstance(name_or_path, Scenario):
        return name_or_path
    name = os.fspath(name_or_path)
    if name in preset_names():
        return _load_preset(name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise ScenarioError(
            f"scenario {name!r} is neither a file nor a preset; presets: {', '.join(preset_names())}"
        )
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is not a UTF-8 text file: {error}") from error
    return parse_scenario(text, source=str(path))


def dump_scenario(scenario: Scenario) -> str:
    """YAML text that `parse_scenario` reads back to an equal scenario."""
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    return yaml.dump(
        {"schema_version": 1, **data}, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True
    )


def scenario_sha256(scenario: Scenario) -> str:
    """Fingerprint of a world: SHA-256 of its YAML text."""
    return hashlib.sha256(dump_scenario(scenario).encode()).hexdigest()


def save_scenario(scenario: Scenario, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a scenario to a YAML file, atomically.

    Raises:
        ScenarioError: the file exists and `overwrite` is false.
    """
    target = Path(path).expanduser()
    if target.exists() and not overwrite:
        raise ScenarioError(f"{target} exists: choose another file, or allow overwriting")
    write_text_atomically(target, dump_scenario(scenario))
    return target


def is_taken(folder: Path) -> bool:
    """Whether something is where a new folder would be: a file, or a folder that holds anything."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def write_text_atomically(target: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    write_bytes_atomically(target, text.encode())


def write_bytes_atomically(target: Path, content: bytes) -> None:
    """As `write_text_atomically`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def scenario_json_schema() -> str:
    """JSON Schema of the scenario file, for editors that complete and check YAML."""
    schema = Scenario.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    fields = schema["$defs"]["Products"]["properties"]
    for name, field in fields.items():
        options = field.get("anyOf", [field])
        items: dict[str, Any] = next((option["items"] for option in options if "items" in option), {})
        if name != "price" and items.get("type") in ("number", "integer"):
            # A single number stands for every product.
            kept = {key: value for key, value in field.items() if key in ("default", "description", "title")}
            lists = [{key: value for key, value in option.items() if key not in kept} for option in options]
            fields[name] = {**kept, "anyOf": [*lists, items]}
    return json.dumps(schema, indent=2) + "\n"
