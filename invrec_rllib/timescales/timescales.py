"""Which part of which module learns at which step size: the declaration that users write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.check import check_parts
from invrec_rllib.timescales.pace import Run
from invrec_rllib.timescales.parts import Part, part_from_data
from invrec_rllib.timescales.report import TimescaleReport
from invrec_rllib.timescales.values import known_keys

EVERY_OTHER_MODULE = "*"


@dataclass(frozen=True)
class Timescales:
    """The speeds of all parts of all modules.

    Args:
        modules: module id -> part -> `Part`, or anything that `part_from_data` accepts. The module id "*" stands
            for every module that is not named.
        strict: what breaks the theory of multi-timescale learning is an error, not a warning.

    Raises:
        InputError: naming module, part, field, value and what is allowed.
    """

    modules: Mapping[str, Mapping[str, Part]]
    strict: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.strict, bool):
            raise InputError(f"timescales: strict = {self.strict!r} must be true or false")
        modules = {
            module: {
                name: part_from_data(data, where=f"timescales: module {module!r}, part {name!r}")
                for name, data in _named(parts, what=f"parts of module {module!r}").items()
            }
            for module, parts in _named(self.modules, what="modules").items()
        }
        object.__setattr__(self, "modules", modules)

    def of_module(self, module: str) -> Mapping[str, Part]:
        """Parts of a module by name: its own, else those of "*".

        Raises:
            InputError: the module is not named, and there is no "*".
        """
        parts = self.modules.get(module, self.modules.get(EVERY_OTHER_MODULE))
        if parts is None:
            raise InputError(
                f"timescales: module {module!r} is not named, and there is no '*' for modules that are not; "
                f"named are {', '.join(map(repr, self.modules))}"
            )
        return parts

    def to_data(self) -> dict[str, Any]:
        """Plain data for YAML, JSON and RLlib's configs, from which `from_data` makes equal timescales."""
        modules = {
            module: {name: part.to_data() for name, part in parts.items()}
            for module, parts in self.modules.items()
        }
        return {"modules": modules, "strict": self.strict}

    def check(
        self, *, num_updates: int, gradient_steps_per_update: float = 1, env_steps_per_update: float = 1
    ) -> TimescaleReport:
        """State what theory says of these timescales, and what this run reaches of it; see `TimescaleReport`.

        Args:
            num_updates: length of the run in updates of the learner, at least 1.
            gradient_steps_per_update: minibatches times epochs, above 0.
            env_steps_per_update: env steps sampled for one update, above 0.

        Raises:
            InputError: naming the argument, its value and what is allowed.
        """
        run = Run(num_updates, gradient_steps=gradient_steps_per_update, env_steps=env_steps_per_update)
        return check_parts(self.modules, run, strict=self.strict)

    @classmethod
    def from_data(cls, data: Timescales | Mapping[str, Any]) -> Timescales:
        """Make timescales from ``{"modules": ..., "strict": ...}``, or from what belongs under "modules" alone.

        Raises:
            InputError: naming module, part, field, value and what is allowed.
        """
        if isinstance(data, Timescales):
            return data
        if isinstance(data, Mapping) and "modules" in data:
            known_keys("timescales", data, required=["modules"], allowed=["modules", "strict"])
            return cls(**data)
        return cls(data)


def _named(data: Any, *, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or not data:
        raise InputError(f"timescales: {what} must be a mapping of at least one name, got {data!r}")
    for name in data:
        if not isinstance(name, str) or not name:
            raise InputError(f"timescales: {what}: the name {name!r} must be text")
    return data
