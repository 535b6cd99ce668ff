"""What coordination is worth as tables: for readers as text, Markdown and LaTeX, for programs as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from invrec_rllib.evaluation.comparison import (
    format_interval,
    format_percent,
    markdown_table,
    percent_text,
    without_nan,
)
from invrec_rllib.evaluation.decomposition import PARTS, Decomposition
from invrec_rllib.evaluation.gap import Gap
from invrec_rllib.evaluation.statistics import Difference, Estimate
from invrec_rllib.evaluation.worth import Worth

ITEM_LABELS: dict[str, str] = {
    "revenue": "revenue",
    "purchase_cost": "purchases",
    "initial_stock_cost": "initial stock",
    "order_cost": "fixed order costs",
    "holding_cost": "holding",
    "stockout_cost": "penalty of lost sales",
    "overflow_cost": "storage overflow",
    "exposure_cost": "exposure",
    "salvage": "salvage of what is left",
}


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        title: what it tells.
        header: of the columns.
        rows: cells, as many in each as in the header.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def make_tables(worth: Worth) -> list[Table]:
    """The tables for readers: policies, money by item, and the parts of each gain that was taken apart."""
    return [policies_table(worth), items_table(worth), *map(parts_table, worth.decompositions)]


def policies_table(worth: Worth) -> Table:
    """Profit and units sold with intervals and differences to the baselines, and the gap to the best possible."""
    found, gap = worth.comparison, worth.gap
    header = ["policy", f"profit ({found.currency})"]
    header += [f"profit over {baseline}" for baseline in found.baselines]
    header += ["units sold", f"units over {worth.baseline}", "fill rate"]
    rows = []
    for row in found.rows:
        difference = row.differences.get(worth.baseline)
        cells = [row.policy, format_interval(row.profit)]
        cells += [format_percent(row, baseline, missing="") for baseline in found.baselines]
        cells += [
            format_interval(row.metrics["sales_units"]),
            percent_text(difference["sales_units"].percent) if difference else "",
            f"{100 * row.metrics['fill_rate'].mean:.1f} %",
        ]
        if gap is not None:
            cells.append(percent_text(gap.below_percent[row.policy], digits=2, sign=False))
        rows.append(tuple(cells))
    if gap is not None:
        header.append(f"below the {gap.kind}")
    return Table("Policies", tuple(header), tuple(rows))


def items_table(worth: Worth) -> Table:
    """Money per episode by item; behind it, how it differs from the first baseline's."""
    policies = list(worth.items)
    rows = []
    for item, label in ITEM_LABELS.items():
        if not any(worth.items[policy][item].mean for policy in policies):
            continue
        cells = [label]
        for policy in policies:
            change = worth.changes.get(policy, {}).get(item)
            text = f"{worth.items[policy][item].mean:,.0f}"
            cells.append(text if change is None else f"{text} ({_plus_minus(change)})")
        rows.append(tuple(cells))
    title = f"Money by item, {worth.comparison.currency}, and how it differs from {worth.baseline}"
    return Table(title, ("item", *policies), tuple(rows))


def parts_table(found: Decomposition) -> Table:
    """Where the gain of a pair comes from."""
    rows = tuple(
        (
            label,
            _signed_interval(found.parts[name]["profit"].absolute),
            percent_text(found.parts[name]["profit"].percent, digits=2),
            percent_text(found.parts[name]["sales_units"].percent, digits=2),
        )
        for name, label in PARTS.items()
        if name in found.parts
    )
    title = f"The gain of {found.policy} over {found.baseline}"
    return Table(title, ("what is exchanged", "profit", "profit, %", "units sold, %"), rows)


def basis(worth: Worth) -> str:
    """What the numbers are based on, in sentences."""
    found = worth.comparison
    text = (
        f"{found.scenario}: {found.drawn}, {found.information} information; means per episode with "
        f"{100 * found.confidence:g} % intervals."
    )
    return text if worth.gap is None else f"{text} {gap_note(worth.gap)}"


def gap_note(gap: Gap) -> str:
    """What the best possible is here."""
    if gap.kind == "optimum":
        return (
            f"The optimum is exact, {gap.reference.mean:,.2f} per episode, with exposures in quarters; the gap is "
            f"taken on the same {gap.episodes:,} episodes."
        )
    return (
        f"No policy exceeds the bound on average: {format_interval(gap.reference)} over {gap.episodes:,} paths of "
        "tastes, on which the gap is taken; how much of the gap is the bound's own is not known."
    )


def _signed_interval(estimate: Estimate) -> str:
    text = format_interval(estimate)
    return text if estimate.mean < 0 else f"+{text}"


def _plus_minus(change: Estimate) -> str:
    half = 0.5 * (change.high - change.low)
    return f"{change.mean:+,.0f}" if math.isnan(half) else f"{change.mean:+,.0f} ± {half:,.0f}"


def to_markdown(tables: Sequence[Table], *, note: str) -> str:
    """Markdown, a heading above each table."""
    parts = [f"{note}\n"]
    parts += [f"## {table.title}\n\n{markdown_table(table.header, table.rows)}" for table in tables]
    return "\n".join(parts)


_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
    }
)


def to_latex(tables: Sequence[Table], *, note: str) -> str:
    """LaTeX floats, to be included in a document that uses the package booktabs."""
    parts = [f"% {note}\n"]
    for table in tables:
        # A cell that begins with a bracket would be read as the optional argument of the line before it.
        lines = [
            " & ".join(cell.translate(_LATEX).replace("[", "{[}") for cell in cells) + r" \\"
            for cells in (table.header, *table.rows)
        ]
        columns = "l" + "r" * (len(table.header) - 1)
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{table.title.translate(_LATEX)}}}",
                    rf"\begin{{tabular}}{{{columns}}}",
                    r"\toprule",
                    lines[0],
                    r"\midrule",
                    *lines[1:],
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
            + "\n"
        )
    return "\n".join(parts)


def to_csv(worth: Worth) -> str:
    """CSV: one number with its interval a row, of all that was found.

    Columns: policy; part (of a gain taken apart, else empty); quantity; measure (``value``, ``over NAME``,
    ``percent over NAME``, ``percent below optimum`` or ``bound``); mean, low, high, standard_error.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("policy", "part", "quantity", "measure", "mean", "low", "high", "standard_error"))
    for keys, estimate in _numbers(worth):
        numbers = (estimate.mean, estimate.low, estimate.high, estimate.standard_error)
        writer.writerow((*keys, *("" if math.isnan(number) else number for number in numbers)))
    return stream.getvalue()


def _numbers(worth: Worth) -> Iterator[tuple[tuple[str, str, str, str], Estimate]]:
    for row in worth.comparison.rows:
        name = row.policy
        for metric, estimate in row.metrics.items():
            yield (name, "", metric, "value"), estimate
        for item, estimate in worth.items[name].items():
            yield (name, "", item, "value"), estimate
        for baseline, differences in row.differences.items():
            for metric, difference in differences.items():
                yield from _both((name, "", metric), baseline, difference)
        for item, estimate in worth.changes.get(name, {}).items():
            yield (name, "", item, f"over {worth.baseline}"), estimate
        if worth.gap is not None:
            yield (name, "", "profit", f"percent below {worth.gap.kind}"), worth.gap.below_percent[name]
    for found in worth.decompositions:
        for part, quantities in found.parts.items():
            for quantity, difference in quantities.items():
                yield from _both((found.policy, part, quantity), found.baseline, difference)


def _both(
    keys: tuple[str, str, str], baseline: str, difference: Difference
) -> Iterator[tuple[tuple[str, str, str, str], Estimate]]:
    yield (*keys, f"over {baseline}"), difference.absolute
    yield (*keys, f"percent over {baseline}"), difference.percent


def seeds_csv(worth: Worth) -> str:
    """CSV of the means by policy and seed."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(asdict(worth.by_seed[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in worth.by_seed)
    return stream.getvalue()


def to_json(worth: Worth) -> str:
    """JSON of all that was found; NaN becomes null."""
    data: dict[str, Any] = without_nan(asdict(worth))
    return json.dumps(data, indent=2, allow_nan=False) + "\n"
