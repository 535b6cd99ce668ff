"""The check of declared timescales against the theory of stochastic approximation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from invrec_rllib.timescales.pace import Pace, Run, drift_pace, ratio, ratio_limit, robbins_monro, step_pace
from invrec_rllib.timescales.parts import Part
from invrec_rllib.timescales.report import PartReport, RatioReport, TimescaleReport
from invrec_rllib.timescales.schedules import Constant

# A slower part within a factor of two of the faster one is hardly slower.
_HARDLY_SEPARATED = 0.5


@dataclass(frozen=True)
class _Group:
    """Parts that move alike: one timescale."""

    names: tuple[str, ...]
    part: Part
    steps: Pace
    drift: Pace | None

    @property
    def title(self) -> str:
        return ", ".join(self.names)


def check_parts(
    modules: Mapping[str, Mapping[str, Part]], run: Run, *, strict: bool = False
) -> TimescaleReport:
    """Judge the parts of all modules together; see `TimescaleReport`.

    Args:
        modules: module id -> part name -> part.
        run: length of the run, and what one update takes.
        strict: whether the report's violations are errors.
    """
    groups = _groups(modules, run)
    frozen = [group for group in groups if group.part.schedule == Constant(0)]
    moving = sorted(
        (group for group in groups if group not in frozen), key=lambda group: _slowness(group, run)
    )
    parts = [report for place, group in enumerate(moving, 1) for report in _part_reports(group, place, run)]
    parts += [report for group in frozen for report in _part_reports(group, 0, run)]

    violations: list[str] = []
    notes: list[str] = []
    ratios: list[RatioReport] = []
    for group in moving:
        violations += _broken_sums(group, run)
        notes += _adaptive(group)
    for slow, (upper, lower) in enumerate(pairwise(moving), 2):
        pair = list(_ratios(slow, upper, lower, run))
        ratios += pair
        if not any(found.tends_to_zero for found in pair):
            violations.append(_not_separate(pair[0], upper, lower))
        notes += _pair_notes(pair, upper, lower)
    return TimescaleReport(
        num_updates=run.num_updates,
        parts=tuple(parts),
        ratios=tuple(ratios),
        violations=tuple(violations),
        notes=tuple(notes),
        strict=strict,
    )


def _groups(modules: Mapping[str, Mapping[str, Part]], run: Run) -> list[_Group]:
    members: list[tuple[tuple[Any, ...], list[str], Part]] = []
    for module, parts in modules.items():
        for name, part in parts.items():
            # A constant is the same on every clock.
            clock = None if isinstance(part.schedule, Constant) and part.drift is None else part.clock
            pace = (part.schedule, clock, part.update_every, part.drift)
            known = next((names for other, names, _ in members if other == pace), None)
            if known is None:
                members.append((pace, [f"{module}/{name}"], part))
            else:
                known.append(f"{module}/{name}")
    return [
        _Group(tuple(names), part, step_pace(part, run), drift_pace(part, run)) for _, names, part in members
    ]


def _slowness(group: _Group, run: Run) -> tuple[float, ...]:
    last = run.num_updates - 1
    drift = group.drift.at(last) if group.drift else 0.0
    # Step sizes that have reached 0, or are equal, are ordered by where they came from; those of a single update by
    # where they would go.
    return (-group.steps.at(last), -drift, -group.steps.at(0), -group.steps.at(last + 1))


def _part_reports(group: _Group, place: int, run: Run) -> Iterator[PartReport]:
    diverges, converge, judged = robbins_monro(group.steps, run)
    drift = group.part.drift
    for name in group.names:
        yield PartReport(
            name=name,
            timescale=place,
            clock=group.part.clock,
            update_every=group.part.update_every,
            first=group.steps.at(0),
            last=group.steps.at(run.num_updates - 1),
            form=group.steps.tail(),
            sum_diverges=diverges,
            squares_converge=converge,
            judged=judged,
            factors=None if drift is None else (drift.low, drift.high),
        )


def _broken_sums(group: _Group, run: Run) -> Iterator[str]:
    diverges, converge, _ = robbins_monro(group.steps, run)
    tail = group.steps.tail()
    seen = f"in the end {tail}" if tail is not None else f"as they fall in {run.num_updates} updates"
    if not diverges:
        yield (
            f"{group.title}: the step sizes ({seen}) have a finite sum, so learning stops, wherever it has got to. "
            "Fine where the run is long enough; theory wants 1/n or slower decay."
        )
    if not converge:
        constant = tail is not None and not (tail.power or tail.log_power)
        yield (
            f"{group.title}: the squares of the step sizes ({seen}) sum to infinity, so noise never dies out"
            + (", and the part hovers about a solution, the nearer the smaller the step" if constant else "")
            + (". Usual practice; theory" if constant else "; theory")
            + " wants faster decay than 1/sqrt(n)."
        )


def _adaptive(group: _Group) -> Iterator[str]:
    if group.part.drift is not None:
        drift = group.part.drift
        yield (
            f"{group.title}: a drift budget scales the step sizes by {drift.low:g} to {drift.high:g}; the verdicts "
            "hold for every factor within, the order and ratios of this run are those of a factor of 1."
        )


def _ratios(slow: int, upper: _Group, lower: _Group, run: Run) -> Iterator[RatioReport]:
    last = run.num_updates - 1
    for of, fast_pace, slow_pace in (
        ("step sizes", upper.steps, lower.steps),
        ("drift budgets", upper.drift, lower.drift),
    ):
        if fast_pace is None or slow_pace is None:
            continue
        limit, zero, judged = ratio_limit(slow=slow_pace, fast=fast_pace, run=run)
        yield RatioReport(
            slow=slow,
            of="step sizes" if of == "step sizes" else "drift budgets",
            first=ratio(slow_pace.at(0), fast_pace.at(0)),
            last=ratio(slow_pace.at(last), fast_pace.at(last)),
            limit=limit,
            tends_to_zero=zero,
            judged=judged,
        )


def _not_separate(found: RatioReport, upper: _Group, lower: _Group) -> str:
    pair = f"{lower.title} over {upper.title}: the ratio of step sizes"
    if found.limit is None:
        return f"{pair} does not fall over this run ({found.first:.3g} first, {found.last:.3g} last)."
    if math.isnan(found.limit):
        return f"{pair} has no limit, since both stop moving."
    if found.limit == math.inf:
        return (
            f"{pair} tends to infinity: the order of this run ({found.last:.3g} in its last update) turns around "
            "in a longer one."
        )
    words = [
        f"{pair} tends to {found.limit:.3g}, not to 0: in theory one timescale"
        + ("; fine in practice where it is small." if found.limit <= _HARDLY_SEPARATED else ".")
    ]
    if lower.part.update_every != upper.part.update_every:
        words.append("Gating by update_every changes the ratio, but not how fast a step size falls.")
    return " ".join([*words, "Let the slower one fall faster, such as 1/n beside 1/n^0.6."])


def _pair_notes(pair: list[RatioReport], upper: _Group, lower: _Group) -> Iterator[str]:
    for found in pair:
        names = f"{lower.title} over {upper.title}, {found.of}"
        if found.first > 1:
            yield f"{names}: the slower one is the faster one at the start ({found.first:.3g})."
        elif found.tends_to_zero and found.last > _HARDLY_SEPARATED:
            yield f"{names}: still {found.last:.3g} in the last update; this run is too short to separate them."
        elif found.tends_to_zero and found.last > found.first:
            yield (
                f"{names}: tends to 0 far out, but grows over this run "
                f"({found.first:.3g} first, {found.last:.3g} last)."
            )
    steps_separate, *budgets_separate = [found.tends_to_zero for found in pair]
    if budgets_separate and budgets_separate[0] != steps_separate:
        yield f"{lower.title} over {upper.title}: " + (
            "the step sizes separate and the drift budgets do not; budgets decide until a factor meets its bounds."
            if steps_separate
            else "the drift budgets separate and the step sizes do not; budgets decide until a factor meets its bounds."
        )
