"""What a comparison of policies found: rows that go to JSON and back, and to CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.statistics import Difference, Estimate

METRICS: tuple[str, ...] = (
    "profit",
    "sales_units",
    "demand_units",
    "lost_units",
    "ordered_units",
    "stock_units",
    "fill_rate",
    "stockout_rate",
)
"""Per-episode quantities of a row: money, units, and shares in [0, 1]."""

DIFFERENCES: tuple[str, ...] = ("profit", "sales_units", "fill_rate")
"""The metrics whose paired differences to the baselines are given."""


@dataclass(frozen=True)
class Row:
    """One policy.

    Attributes:
        policy: its name.
        metrics: mean per episode with interval, by name in `METRICS`.
        economics: mean money per episode by item, costs positive.
        differences: paired differences by baseline, then by name in `DIFFERENCES`.
    """

    policy: str
    metrics: dict[str, Estimate]
    economics: dict[str, float]
    differences: dict[str, dict[str, Difference]] = field(default_factory=dict)

    @property
    def profit(self) -> Estimate:
        """Profit per episode, money."""
        return self.metrics["profit"]


@dataclass(frozen=True)
class Comparison:
    """Policies on common random numbers.

    Attributes:
        scenario: name of the world.
        scenario_sha256: of its YAML text, so that a result can be held against its world.
        currency: unit of money.
        seed, episodes: the episodes were 0, ..., episodes - 1 of the seed; with several seeds all together.
        information: what the policies were shown.
        confidence: of all intervals.
        baselines: policies that the others are compared with.
        seconds: wall time.
        provenance: versions, git revision and the like, as passed in.
        rows: one per policy.
        num_seeds: how many seeds, from `seed` on; each gave an equal share of the episodes.
    """

    scenario: str
    scenario_sha256: str
    currency: str
    seed: int
    episodes: int
    information: str
    confidence: float
    baselines: tuple[str, ...]
    seconds: float
    provenance: dict[str, str]
    rows: tuple[Row, ...]
    num_seeds: int = 1

    @property
    def drawn(self) -> str:
        """The episodes as text: ``1,000 paired episodes of seed 3``."""
        last = self.seed + self.num_seeds - 1
        seeds = f"seed {self.seed}" if self.num_seeds == 1 else f"seeds {self.seed} to {last}"
        return f"{self.episodes:,} paired episodes of {seeds}"

    def row(self, policy: str) -> Row:
        """The row of a policy.

        Raises:
            InputError: no such row; the message lists the policies.
        """
        for row in self.rows:
            if row.policy == policy:
                return row
        raise InputError(f"policy {policy!r} is not in the comparison, must be one of: {self.policies}")

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the policies, in the order of the rows."""
        return tuple(row.policy for row in self.rows)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back; NaN becomes null."""
        return json.dumps(without_nan(asdict(self)), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what `to_json` wrote.

        Raises:
            InputError: the text is not JSON, or lacks a field.
        """
        try:
            data = json.loads(text)
            rows = tuple(_row(entry) for entry in data.pop("rows"))
            return cls(**{**data, "baselines": tuple(data["baselines"]), "rows": rows})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"not a comparison of policies: {type(error).__name__}: {error}") from error

    def to_csv(self) -> str:
        """CSV text, one row per policy; means, intervals, differences and money items in columns."""
        records = [_flatten(row, baselines=self.baselines) for row in self.rows]
        columns = list(dict.fromkeys(name for record in records for name in record))
        stream = io.StringIO()
        writer = csv.DictWriter(stream, fieldnames=columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return stream.getvalue()

    def to_markdown(self) -> str:
        """A Markdown table with a caption line above it: profit, differences, units and fill rate."""
        header = ["policy", f"profit ({self.currency})"]
        header += [f"profit over {baseline}" for baseline in self.baselines]
        header += ["units sold", "fill rate", "units lost", "holding cost"]
        caption = (
            f"`{self.scenario}`, {self.drawn}, {self.information} information; means with "
            f"{100 * self.confidence:g} % intervals."
        )
        rows = []
        for row in self.rows:
            cells = [row.policy, format_interval(row.profit)]
            cells += [format_percent(row, baseline) for baseline in self.baselines]
            cells += [
                _number(row.metrics["sales_units"].mean),
                f"{100 * row.metrics['fill_rate'].mean:.1f} %",
                _number(row.metrics["lost_units"].mean),
                _number(row.economics["holding_cost"]),
            ]
            rows.append(cells)
        return f"{caption}\n\n{markdown_table(header, rows)}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (header, *rows)
    ]
    lines.insert(1, "|---" + "|---:" * (len(header) - 1) + "|")
    return "\n".join(lines) + "\n"


def format_interval(estimate: Estimate) -> str:
    """Mean and interval as text: ``85,400 [85,100, 85,700]``; digits by the size of the mean."""
    if math.isnan(estimate.low):
        return _number(estimate.mean)
    digits = _digits(estimate.mean)
    low, high = f"{estimate.low:,.{digits}f}", f"{estimate.high:,.{digits}f}"
    return f"{estimate.mean:,.{digits}f} [{low}, {high}]"


def format_percent(row: Row, baseline: str, *, missing: str = "-") -> str:
    """Profit over a baseline as text: ``+1.2 % [+1.0, +1.4]``, or `missing` where there is no such difference."""
    if baseline not in row.differences:
        return missing
    return percent_text(row.differences[baseline]["profit"].percent) or missing


def percent_text(estimate: Estimate, *, digits: int = 1, sign: bool = True) -> str:
    """``+1.2 % [+1.0, +1.4]``; empty for NaN."""
    if math.isnan(estimate.mean):
        return ""
    number = f"{{:{'+' if sign else ''}.{digits}f}}"
    text = f"{number.format(estimate.mean)} %"
    if math.isnan(estimate.low):
        return text
    return f"{text} [{number.format(estimate.low)}, {number.format(estimate.high)}]"


def _number(value: float) -> str:
    return f"{value:,.{_digits(value)}f}" if math.isfinite(value) else "-"


def _digits(value: float) -> int:
    return 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2


def _flatten(row: Row, *, baselines: tuple[str, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {"policy": row.policy}
    for name, estimate in row.metrics.items():
        record |= _columns(name, estimate)
    for baseline in baselines:
        for name, difference in row.differences.get(baseline, {}).items():
            record |= _columns(f"{name}_over_{baseline}", difference.absolute)
            record |= _columns(f"{name}_over_{baseline}_percent", difference.percent)
    return record | row.economics


def _columns(name: str, estimate: Estimate) -> dict[str, Any]:
    values = {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {column: "" if math.isnan(value) else value for column, value in values.items()}


def _row(data: dict[str, Any]) -> Row:
    return Row(
        policy=data["policy"],
        metrics={name: _estimate(entry) for name, entry in data["metrics"].items()},
        economics={name: _float(value) for name, value in data["economics"].items()},
        differences={
            baseline: {
                name: Difference(_estimate(entry["absolute"]), _estimate(entry["percent"]))
                for name, entry in differences.items()
            }
            for baseline, differences in data["differences"].items()
        },
    )


def _estimate(data: dict[str, float | None]) -> Estimate:
    return Estimate(**{name: _float(value) for name, value in data.items()})


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def without_nan(value: Any) -> Any:
    """Plain data with None for every number that is not finite, at any depth."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
