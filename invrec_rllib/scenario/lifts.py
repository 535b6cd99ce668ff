"""The same world with another lift of exposure."""

from __future__ import annotations

from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.schema import Scenario


def with_lift(scenario: Scenario, lift: str | float) -> Scenario:
    """The scenario with another lift [beta]; all but the segments' parameters stays as it is.

    A calibrated scenario keeps its fit to the sales: the more of them exposure explains, the less attractive
    the products are by themselves. Its named lifts bring the affinities and elasticities fitted together with
    them; for a number, affinities move by the difference in lift times the mean exposure in the data. In a
    scenario that is not calibrated, only the lift changes.

    Args:
        scenario: any scenario.
        lift: ``"careful"`` or ``"high"`` (calibrated scenarios), or the log-odds that full exposure adds, 0
            to 10, for every segment.

    Raises:
        InputError: a name that the scenario's provenance does not hold, or a lift out of range.
    """
    fitted: Any = scenario.provenance.get("lift", {})
    variants = fitted.get("variants", {}) if isinstance(fitted, dict) else {}
    segments: dict[str, Any] = scenario.segments.model_dump(mode="json")
    if isinstance(lift, str):
        if lift not in variants:
            known = ", ".join(variants) or "none: it was not calibrated"
            raise InputError(f"scenario {scenario.name} has no lift named {lift!r}; its named lifts: {known}")
        segments.update({key: variants[lift][key] for key in ("lift", "affinity", "price_elasticity")})
    else:
        if not 0.0 <= lift <= 10.0:
            raise InputError(f"lift must be a name or a number from 0 to 10, got {lift!r}")
        segments["lift"] = [float(lift)] * scenario.segments.count
        if "careful" in variants:
            careful, exposure = variants["careful"], fitted["mean_exposure"]
            segments["affinity"] = [
                [round(a + (was - lift) * e, 3) for a, e in zip(row, exposed, strict=True)]
                for row, was, exposed in zip(careful["affinity"], careful["lift"], exposure, strict=True)
            ]
            segments["price_elasticity"] = careful["price_elasticity"]
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    data["segments"] = {key: value for key, value in segments.items() if value is not None}
    if variants:
        data["provenance"] = {**data["provenance"], "lift": {**fitted, "used": lift}}
    return build_scenario(data, source=scenario.name)
