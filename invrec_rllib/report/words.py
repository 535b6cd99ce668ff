"""What the run found, in sentences and table cells."""

from __future__ import annotations

import math
from typing import Any

from invrec_rllib.evaluation.comparison import Comparison, Row, format_interval
from invrec_rllib.evaluation.statistics import Difference
from invrec_rllib.report.run import RunRecord
from invrec_rllib.scenario.schema import Scenario


def headline(run: RunRecord) -> list[str]:
    """The result in sentences: what the trained pair earns, and how that compares with each baseline."""
    comparison, trained = run.comparison, run.trained
    if comparison is None:
        return ["This run has not been compared with other policies yet."]
    if trained is None:
        best = max(comparison.rows, key=lambda row: row.profit.mean)
        return [
            f"No trained policy is among those compared. The best of them, {best.policy}, earns "
            f"{best.profit.mean:,.0f} {comparison.currency} per episode."
        ]
    row = comparison.row(trained)
    sentences = [
        f"The trained pair earns {format_interval(row.profit)} {comparison.currency} per episode "
        f"({_interval_note(comparison)}), and serves {100 * row.metrics['fill_rate'].mean:.1f} % of demand at once."
    ]
    sentences += [
        _against(baseline, difference["profit"], comparison=comparison)
        for baseline, difference in row.differences.items()
    ]
    return sentences


def _against(baseline: str, difference: Difference, *, comparison: Comparison) -> str:
    absolute, percent = difference.absolute, difference.percent
    if math.isnan(absolute.low):
        return f"Against {baseline}: {absolute.mean:+,.0f} {comparison.currency}, without an interval."
    interval = (
        f"{absolute.mean:+,.0f} {comparison.currency}, interval {absolute.low:+,.0f} to {absolute.high:+,.0f}"
    )
    if not math.isnan(percent.mean):
        digits = 2 if abs(percent.mean) < 1.0 else 1
        size = f"{abs(percent.mean):.{digits}f} % {'more' if percent.mean >= 0 else 'less'}"
        interval += f"; {percent.low:+.{digits}f} % to {percent.high:+.{digits}f} %"
    else:
        size = "more" if absolute.mean >= 0 else "less"
    if absolute.low <= 0.0 <= absolute.high:
        return f"It cannot be told apart from {baseline} ({interval})."
    return f"That is {size} than {baseline} ({interval})."


def _interval_note(comparison: Comparison) -> str:
    return (
        f"mean of {comparison.episodes:,} episodes, {100 * comparison.confidence:g} % interval; "
        "all policies face the same customers"
    )


def scenario_facts(scenario: Scenario) -> list[tuple[str, str]]:
    """The world in a few lines: label and value."""
    products, supply = scenario.products, scenario.supply
    lead = sorted(set(products.lead_time))
    waits = "waits" if scenario.demand.unmet == "backorder" else "is lost"
    if scenario.demand.substitution:
        waits += f", {100 * scenario.demand.substitution:.0f} % asks for another product first"
    facts = [
        ("Products [N]", f"{products.count:,}"),
        ("Customer segments [M]", f"{scenario.segments.count:,}"),
        ("Slots per segment [K]", f"{scenario.recommendation.slots:g}"),
        ("Horizon [T]", f"{scenario.periods:,} periods{_period_note(scenario.period_name)}"),
        ("Lead times", f"{lead[0]} to {lead[-1]} periods" if len(lead) > 1 else f"{lead[0]} periods"),
        (
            "Full exposure multiplies the odds of purchase by",
            _span([math.exp(b) for b in scenario.segments.lift]),
        ),
        ("Unmet demand", waits),
    ]
    if products.max_order is not None:
        facts.append(("Supplier's limit", f"{sum(products.max_order):,} units per period over all products"))
    if supply.capacity is not None:
        facts.append(
            ("Shared storage", f"{supply.capacity:g} units, {supply.overflow_cost:g} per unit above it")
        )
    if supply.review_periods > 1:
        facts.append(("Orders possible", f"every {supply.review_periods} periods"))
    for label, key in (("Source", "source"), ("Licence", "licence")):
        if isinstance(scenario.provenance.get(key), str):
            facts.append((label, str(scenario.provenance[key])))
    return facts


def _period_note(period_name: str) -> str:
    return "" if period_name == "period" else f" of one {period_name} each"


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"


def caveats(run: RunRecord) -> list[str]:
    """What to keep in mind: what is missing, what the data do not say, what one run cannot show."""
    notes = list(run.gaps)
    if run.scenario is not None:
        stated = run.scenario.provenance.get("caveats", [])
        notes += [stated] if isinstance(stated, str) else [str(note) for note in _as_list(stated)]
        if assumed := scenario_assumptions(run.scenario):
            notes.append(
                f"{len(assumed)} parameters of the scenario are assumptions rather than data; they are listed "
                "with their reasons below the scenario's facts."
            )
    if run.comparison is not None and run.trained is not None:
        notes.append(
            "Intervals tell how well the episodes resolve the mean of this one trained pair; another training "
            "seed would give another pair."
        )
    if run.comparison is not None and run.comparison.information == "full":
        notes.append("All policies were shown the customers' true tastes (full information).")
    return notes


def scenario_assumptions(scenario: Scenario) -> list[tuple[str, str]]:
    """What the scenario's provenance calls assumed: name, and value with its reason."""
    assumed = scenario.provenance.get("assumed")
    if not isinstance(assumed, dict):
        return []
    return [
        (name.replace("_", " "), f"{_text(entry.get('value'))}: {entry.get('reason', '')}")
        for name, entry in assumed.items()
        if isinstance(entry, dict)
    ]


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, text in value.items()]
    return list(value) if isinstance(value, list | tuple) else []


def making_facts(run: RunRecord) -> list[tuple[str, str]]:
    """How the run was made: label and value, empty ones left out."""
    manifest, comparison = run.manifest, run.comparison
    facts = [(label, manifest.get(key)) for label, key in _MANIFEST_LABELS]
    seconds = manifest.get("wall_seconds")
    facts.append(("Wall time", _duration(seconds) if isinstance(seconds, int | float) else None))
    versions = manifest.get("versions")
    if isinstance(versions, dict):
        facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if comparison is not None:
        facts.append(
            (
                "Comparison",
                f"episodes 0 to {comparison.episodes - 1:,} of seed {comparison.seed}, {comparison.information} "
                f"information, {_duration(comparison.seconds)}",
            )
        )
        facts.append(("Scenario's SHA-256", comparison.scenario_sha256))
        facts += [(f"Comparison: {name}", value) for name, value in comparison.provenance.items()]
    return [(label, _text(value)) for label, value in facts if value not in (None, "", [], {})]


_MANIFEST_LABELS = (
    ("Status", "status"),
    ("Command", "command"),
    ("Algorithm", "algo"),
    ("Seed", "seed"),
    ("Git revision", "git_revision"),
    ("Started", "started"),
    ("Finished", "finished"),
    ("Hardware", "hardware"),
)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the comparison, the most profitable policy first."""
    header = ["policy", f"profit ({comparison.currency})"]
    header += [f"over {baseline}" for baseline in comparison.baselines]
    header += ["units sold", "fill rate", "units lost", "mean stock"]
    header += [_SHORT[item] for item in _shown_items(comparison)]
    rows = sorted(comparison.rows, key=lambda row: -row.profit.mean)
    return header, [_cells(row, comparison=comparison) for row in rows]


def _cells(row: Row, *, comparison: Comparison) -> list[str]:
    cells = [row.policy, format_interval(row.profit)]
    for baseline in comparison.baselines:
        difference = row.differences.get(baseline)
        cells.append(_percent_cell(difference["profit"]) if difference else "")
    cells += [f"{row.metrics['sales_units'].mean:,.0f}", f"{100 * row.metrics['fill_rate'].mean:.1f} %"]
    cells += [f"{row.metrics[name].mean:,.0f}" for name in ("lost_units", "stock_units")]
    return cells + [f"{row.economics[item]:,.0f}" for item in _shown_items(comparison)]


def _percent_cell(difference: Difference) -> str:
    percent = difference.percent
    if math.isnan(percent.mean):
        return ""
    digits = 2 if abs(percent.mean) < 1.0 else 1
    low, high = f"{percent.low:+.{digits}f}", f"{percent.high:+.{digits}f}"
    spread = "" if math.isnan(percent.low) else f" [{low}, {high}]"
    return f"{percent.mean:+.{digits}f} %{spread}"


_SHORT = {
    "revenue": "revenue",
    "purchase_cost": "purchases",
    "holding_cost": "holding",
    "stockout_cost": "lost sales penalty",
    "overflow_cost": "overflow",
    "order_cost": "order costs",
    "exposure_cost": "exposure",
    "initial_stock_cost": "initial stock",
    "salvage": "salvage",
}


def _shown_items(comparison: Comparison) -> list[str]:
    return [item for item in _SHORT if any(row.economics[item] for row in comparison.rows)]
