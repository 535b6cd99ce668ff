"""Which parameters, or which optimizers of the algorithm, belong to which part; and where a part stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.timescales import Part

REST = "all"

# What RLlib's own modules and optimizers are called, by the part that a user means.
_CUSTOMARY = {
    "actor": r"^(actor|policy|pi|pi_encoder|encoder\.actor_encoder|log_std)(\.|$)",
    "critic": r"^(critic|vf|af|qf|qf_twin|encoder\.critic_encoder)(\.|$)",
    "encoder": r"^encoder\.(?!actor_encoder\.|critic_encoder\.)",
}


def assign_to_parts(
    names: Mapping[str, Sequence[str]], parts: Mapping[str, Part], *, where: str, optional: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Give every item to exactly one part.

    A part's own regular expressions come first; then parts without any take what their names say: the prefix
    ``<name>.``, and for `actor`, `critic` and `encoder` what RLlib's modules and optimizers call these. What is
    left belongs to the part "all", or to the only part if it has no expressions.

    Args:
        names: item -> names it goes by; a parameter that modules share goes by several.
        parts: declared parts by name.
        where: what the errors call the module.
        optional: items that may stay without a part (frozen parameters).

    Returns:
        Part -> its items, in the order of `names`.

    Raises:
        InputError: an item belongs to no part or to several, or a part gets no item; the message lists them.
    """
    tiers = _tiers(parts)
    given: dict[str, list[str]] = {name: [] for name in parts}
    lost: list[str] = []
    torn: list[str] = []
    for item, known_as in names.items():
        owners = next((found for tier in tiers if (found := tier(known_as))), [])
        if len(owners) == 1:
            given[owners[0]].append(item)
        elif owners:
            torn.append(f"{' = '.join(known_as)} (by {', '.join(owners)})")
        elif item not in optional:
            lost.append(item)
    empty = [name for name, items in given.items() if not items]
    faults = [f"no part takes {', '.join(lost)}: name them, or add a part '{REST}'"] if lost else []
    faults += [f"several parts take {', '.join(torn)}"] if torn else []
    faults += [f"part {name!r} takes nothing" for name in empty]
    if faults:
        raise InputError(
            f"timescales: {where}: {'; '.join(faults)}. Parts: {', '.join(parts)}; there are: {', '.join(names)}"
        )
    return given


_Tier = Callable[[Sequence[str]], list[str]]


def _tiers(parts: Mapping[str, Part]) -> list[_Tier]:
    explicit = {name: part.parameters for name, part in parts.items() if part.parameters}
    by_name = {
        name: (_CUSTOMARY.get(name, rf"^{re.escape(name)}(\.|$)"),)
        for name in parts
        if name not in explicit and name != REST
    }
    rest = [name for name in parts if name not in explicit and (name == REST or len(parts) == 1)]
    if len(parts) == 1:
        by_name = {}
    return [_matching(explicit), _matching(by_name), lambda known_as: rest]


def _matching(patterns: Mapping[str, Sequence[str]]) -> _Tier:
    def owners(known_as: Sequence[str]) -> list[str]:
        return [
            part
            for part, expressions in patterns.items()
            if any(re.search(expression, name) for expression in expressions for name in known_as)
        ]

    return owners


@dataclass
class PartClock:
    """Where a part stands: what its schedule and its gate need, and nothing that they could compute.

    Args:
        part: the declaration.
        updates: learner updates that brought the part a gradient, whether its gate was open or not.
        updates_stepped: those in which it took a step.
        gradient_steps: steps of its optimizer.
        factor: what the drift controller multiplies the schedule by.
    """

    part: Part
    updates: int = 0
    updates_stepped: int = 0
    gradient_steps: int = 0
    factor: float = 1.0
    reached: bool = False
    stepped: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the part may step in the present update."""
        return self.part.steps_in(self.updates)

    def position(self, env_steps: int) -> int:
        """Position of the schedule; `env_steps` are those sampled in the run before the present update."""
        if self.part.clock == "env_steps":
            return env_steps
        return self.updates_stepped if self.part.clock == "updates" else self.gradient_steps

    def rate(self, env_steps: int) -> float:
        """Step size now: the schedule at its position, times the drift factor."""
        return self.part.schedule(self.position(env_steps)) * self.factor

    def count_step(self) -> None:
        """A gradient step was taken."""
        self.gradient_steps += 1
        self.stepped = True

    def end_update(self) -> None:
        """The learner's update is over: what it brought is counted, the next one starts."""
        self.updates += self.reached
        self.updates_stepped += self.stepped
        self.reached = self.stepped = False

    def to_state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "updates": self.updates,
            "updates_stepped": self.updates_stepped,
            "gradient_steps": self.gradient_steps,
            "factor": self.factor,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `to_state` was taken."""
        self.updates = int(state["updates"])
        self.updates_stepped = int(state["updates_stepped"])
        self.gradient_steps = int(state["gradient_steps"])
        self.factor = float(state["factor"])
        self.reached = self.stepped = False
