"""A comparison of policies on a terminal."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table

from invrec_rllib.cli.console import results
from invrec_rllib.evaluation.comparison import Comparison, Row, format_interval


def comparison_table(comparison: Comparison) -> Table:
    """Profit, paired differences to the baselines, service and stock, with intervals below the means.

    Args:
        comparison: of policies on common random numbers.
    """
    table = Table(box=box.SIMPLE)
    table.add_column("policy", style="bold", no_wrap=True)
    headers = [f"profit,\n{comparison.currency}", *(f"profit over\n{name}" for name in comparison.baselines)]
    for header in (*headers, "fill\nrate", "units\nlost", "holding\ncost"):
        table.add_column(header, justify="right")
    for row in comparison.rows:
        table.add_row(
            row.policy,
            format_interval(row.profit).replace(" [", "\n\\["),
            *(_over(row, baseline) for baseline in comparison.baselines),
            f"{100 * row.metrics['fill_rate'].mean:.1f} %",
            f"{row.metrics['lost_units'].mean:,.0f}",
            f"{row.economics['holding_cost']:,.0f}",
        )
    return table


def print_comparison(comparison: Comparison) -> None:
    """Print the table to standard output, with what it is based on."""
    console = results()
    console.print(comparison_table(comparison))
    console.print(
        f"{comparison.scenario}: {comparison.episodes:,} paired episodes of seed {comparison.seed}, "
        f"{comparison.information} information; means per episode with {100 * comparison.confidence:g} % intervals",
        soft_wrap=True,
        markup=False,
    )


def _over(row: Row, baseline: str) -> str:
    if baseline not in row.differences:
        return ""
    percent = row.differences[baseline]["profit"].percent
    if math.isnan(percent.mean):
        return ""
    mean = f"{percent.mean:+.1f} %"
    return mean if math.isnan(percent.low) else f"{mean}\n\\[{percent.low:+.1f}, {percent.high:+.1f}]"
