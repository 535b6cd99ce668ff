"""The parts of a learner at run time: step sizes, gates, movement, drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

import invrec_rllib.learning.torch_schedule  # noqa: F401 (makes the kind "torch" known)
from invrec_rllib.errors import InputError
from invrec_rllib.rllib.timescale_meter import MovementMeter, PolicyMeter, norm_of
from invrec_rllib.rllib.timescale_parts import PartClock, assign_to_parts
from invrec_rllib.timescales import EVERY_OTHER_MODULE, DriftController, Part, Timescales, slowness


@dataclass(eq=False)
class PartOptimizer:
    """One optimizer of one module, with the part whose declaration it follows.

    Args:
        module_id: of the module.
        name: of the optimizer in RLlib, which is the part's where the learner made it.
        optimizer: steps the parameters.
        parameters: those of the optimizer.
        clock: where the part stands.
    """

    module_id: str
    name: str
    optimizer: torch.optim.Optimizer
    parameters: list[Tensor]
    clock: PartClock
    gradient_norm: Tensor | None = None

    @property
    def label(self) -> str:
        """Name in the metrics that compare parts."""
        return f"{self.module_id}_{self.name}"


class SpeedControl:
    """Every declared part's step size, gate and figures.

    Args:
        timescales: declaration, or None: nothing is controlled.
    """

    def __init__(self, timescales: Timescales | None) -> None:
        self._timescales = timescales
        self._parts: dict[tuple[str, str], PartOptimizer] = {}
        self._movement: MovementMeter | None = None
        self._policies: dict[str, PolicyMeter] = {}
        self.env_steps = 0

    def declared(self, module_id: str) -> Mapping[str, Part]:
        """Parts of a module, empty where it learns as RLlib would."""
        modules = {} if self._timescales is None else self._timescales.modules
        return modules.get(module_id, modules.get(EVERY_OTHER_MODULE, {}))

    def check_modules(self, module_ids: Sequence[str]) -> None:
        """Refuse declarations of modules that do not exist.

        Raises:
            InputError: listing them, and the modules that there are.
        """
        named = () if self._timescales is None else self._timescales.modules
        unknown = [name for name in named if name not in module_ids and name != EVERY_OTHER_MODULE]
        if unknown:
            raise InputError(
                f"timescales: no such module: {', '.join(map(repr, unknown))}; "
                f"there are: {', '.join(map(repr, module_ids))}"
            )

    def split(self, module: torch.nn.Module, module_id: str) -> dict[str, list[torch.nn.Parameter]]:
        """Parameters of a module by part.

        Raises:
            InputError: a parameter belongs to no part or to several, here or in another module; or a part is empty.
        """
        names: dict[torch.nn.Parameter, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            names.setdefault(parameter, []).append(name)
        self._refuse_foreign(names, module_id)
        by_name = {known_as[0]: parameter for parameter, known_as in names.items()}
        assigned = assign_to_parts(
            {known_as[0]: known_as for known_as in names.values()},
            self.declared(module_id),
            where=f"module {module_id!r}",
            optional=[name for name, parameter in by_name.items() if not parameter.requires_grad],
        )
        return {part: [by_name[name] for name in members] for part, members in assigned.items()}

    def _refuse_foreign(self, names: Mapping[torch.nn.Parameter, Sequence[str]], module_id: str) -> None:
        others = {
            parameter: entry
            for entry in self._parts.values()
            if entry.module_id != module_id
            for parameter in entry.parameters
        }
        shared = [
            f"{known_as[0]} (with module {others[parameter].module_id!r}, part {others[parameter].name!r})"
            for parameter, known_as in names.items()
            if parameter in others
        ]
        if shared:
            raise InputError(
                f"timescales: module {module_id!r} shares parameters that another module's part steps: "
                f"{', '.join(shared)}; keep them out of one of the two modules"
            )

    def add(
        self,
        module_id: str,
        name: str,
        *,
        part: Part,
        optimizer: torch.optim.Optimizer,
        parameters: list[Any],
    ) -> PartOptimizer:
        """Take charge of an optimizer; one that is added again keeps its clock."""
        known = self._parts.get((module_id, name))
        clock = PartClock(part) if known is None else known.clock
        entry = PartOptimizer(module_id, name, optimizer, parameters, clock)
        self._parts[module_id, name] = entry
        self._movement = None
        return entry

    def drop_module(self, module_id: str) -> None:
        """Forget a module that the learner no longer has."""
        self._parts = {key: entry for key, entry in self._parts.items() if entry.module_id != module_id}
        self._policies.pop(module_id, None)
        self._movement = None

    def of_module(self, module_id: str) -> list[PartOptimizer]:
        """A module's controlled optimizers."""
        return [entry for entry in self._parts.values() if entry.module_id == module_id]

    def __iter__(self) -> Iterator[PartOptimizer]:
        return iter(self._parts.values())

    def start_update(self) -> None:
        """Remember parameters and policies before the first step of an update."""
        if self._movement is None:
            self._movement = MovementMeter([entry.parameters for entry in self])
        self._movement.start()
        for meter in self._policies.values():
            meter.start()
        for entry in self:
            entry.gradient_norm = None

    def see_policy(
        self, module_id: str, module: Any, *, batch: Mapping[str, Any], fwd_out: Mapping[str, Any]
    ) -> None:
        """Take note of a module's policy before the update, at its first minibatch."""
        mine = self.of_module(module_id)
        if not mine:
            return
        meter = self._policies.setdefault(module_id, PolicyMeter(module, module_id))
        if meter.wants_batch:
            meter.see(batch, fwd_out, {entry.name: entry.parameters for entry in mine})
            for entry in mine:
                if entry.clock.part.drift is not None:
                    meter.require_policy(entry.name)

    def measure_gradients(self, module_id: str, gradients: Mapping[Any, Tensor]) -> None:
        """Norm of each part's first gradient of an update, before any clipping."""
        for entry in self.of_module(module_id):
            given = [gradients[p] for p in entry.parameters if p in gradients]
            if given and entry.gradient_norm is None and entry.clock.is_open:
                entry.gradient_norm = norm_of(given)

    def open_gates(self, gradients: Mapping[Any, Tensor]) -> list[PartOptimizer]:
        """Parts that step now, their step sizes set."""
        stepping = []
        for entry in self:
            if any(parameter in gradients for parameter in entry.parameters):
                entry.clock.reached = True
                if entry.clock.is_open:
                    rate = entry.clock.rate(self.env_steps)
                    for group in entry.optimizer.param_groups:
                        group["lr"] = rate
                    stepping.append(entry)
        return stepping

    def policy_stepped(self, module_id: str) -> bool:
        """Whether the present update moved a module's policy; true for modules that are not controlled."""
        mine = self.of_module(module_id)
        meter = self._policies.get(module_id)
        parts = None if meter is None else meter.parts
        return not mine or any(entry.clock.stepped for entry in mine if not parts or entry.name in parts)

    def finish_update(
        self, average: Callable[[list[float | None]], list[float | None]]
    ) -> dict[tuple[str, ...], Any]:
        """Figures of the update that is over, and the drift factors for the next.

        Args:
            average: mean over all learners of figures that some of them may lack.

        Returns:
            Values by (module id, name).
        """
        assert self._movement is not None
        figures: dict[tuple[str, ...], Any] = {}
        for entry, moved in zip(self, self._movement.relative_movement(), strict=True):
            figures[entry.module_id, f"{entry.name}_effective_step"] = moved
            if entry.gradient_norm is not None:
                figures[entry.module_id, f"{entry.name}_gradient_norm"] = entry.gradient_norm
        drifts = {module_id: meter.finish() for module_id, meter in sorted(self._policies.items())}
        figures.update({(mid, "kl_drift"): drift for mid, drift in drifts.items() if drift is not None})
        self._steer(drifts, average)
        for entry in self:
            if entry.clock.part.drift is not None:
                figures[entry.module_id, f"{entry.name}_drift_factor"] = entry.clock.factor
        return figures

    def _steer(
        self,
        drifts: Mapping[str, Tensor | None],
        average: Callable[[list[float | None]], list[float | None]],
    ) -> None:
        steered = [entry for entry in self if entry.clock.part.drift is not None]
        module_ids = sorted({entry.module_id for entry in steered})
        if not module_ids:
            return
        measured = [None if (drift := drifts.get(mid)) is None else float(drift) for mid in module_ids]
        average_of = dict(zip(module_ids, average(measured), strict=True))
        for entry in steered:
            budget, kl = entry.clock.part.drift, average_of[entry.module_id]
            if budget is not None and kl is not None and entry.clock.stepped:
                target = budget.target(entry.clock.position(self.env_steps))
                entry.clock.factor = DriftController(budget).update(entry.clock.factor, kl, target)

    def separations(self) -> dict[str, float]:
        """Step size of each timescale over that of the next faster one, by ``<slow>_over_<fast>``.

        Parts of one declared speed are one timescale, which goes by the first of them. The order is the declared
        one: that of the step sizes far out, however they stand at present.
        """
        timescales = {_slowness(entry): entry for entry in sorted(self, key=_label, reverse=True)}
        order = [entry for _, entry in sorted(timescales.items())]
        ratios = {}
        for fast, slow in pairwise(order):
            speed = fast.clock.rate(self.env_steps) / fast.clock.part.update_every
            if speed > 0:
                slower = slow.clock.rate(self.env_steps) / slow.clock.part.update_every
                ratios[f"{slow.label}_over_{fast.label}"] = slower / speed
        return ratios

    def end_update(self, env_steps: int) -> None:
        """Count the update; `env_steps` are those sampled in the run so far."""
        self.env_steps = max(env_steps, self.env_steps)
        for entry in self:
            entry.clock.end_update()

    def to_state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        parts: dict[str, dict[str, Any]] = {}
        for entry in self:
            parts.setdefault(entry.module_id, {})[entry.name] = entry.clock.to_state()
        return {"env_steps": self.env_steps, "parts": parts}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `to_state` was taken; parts that the state lacks start anew, others it has are ignored."""
        self.env_steps = int(state["env_steps"])
        for entry in self:
            saved = state["parts"].get(entry.module_id, {}).get(entry.name)
            if saved is not None:
                entry.clock.load_state(saved)


def _slowness(entry: PartOptimizer) -> tuple[float, ...]:
    return slowness(entry.clock.part)


def _label(entry: PartOptimizer) -> str:
    return entry.label
