"""Studies to and from YAML, and those that ship with the package."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.files import parse_mapping
from invrec_rllib.studies.study import Study, make_study

_SHIPPED = resources.files("invrec_rllib.studies")


def study_names() -> tuple[str, ...]:
    """Names of the studies that ship with the package, sorted."""
    files = (file.name for file in _SHIPPED.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def load_study(name_or_path: str | os.PathLike[str]) -> Study:
    """Load a study by the name of a shipped one, or from a YAML file.

    Raises:
        InputError: no such study or file, or its content is not valid.
    """
    name = os.fspath(name_or_path)
    if name in study_names():
        return parse_study((_SHIPPED / f"{name}.yaml").read_text("utf-8"), source=f"study {name}")
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"study {name!r} is neither a file nor shipped; shipped: {', '.join(study_names())}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file: {error}") from error
    return parse_study(text, source=str(path))


def parse_study(text: str, *, source: str = "study") -> Study:
    """Read a study from YAML text.

    Raises:
        InputError: not YAML, not a mapping, a key given twice, or not valid.
    """
    return make_study(parse_mapping(text, source=source, of="a study"), source=source)


def dump_study(study: Study) -> str:
    """YAML text that `parse_study` reads back to an equal study."""
    data = study.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, width=110, allow_unicode=True)
