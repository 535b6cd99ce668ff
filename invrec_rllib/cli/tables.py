"""Tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from invrec_rllib.cli.console import results
from invrec_rllib.evaluation.comparison import Comparison, format_interval, format_percent

if TYPE_CHECKING:
    from invrec_rllib.evaluation.worth_tables import Table as Cells


def rich_table(table: Cells) -> Table:
    """Cells of text with their title; the first column to the left, the others to the right."""
    drawn = Table(box=box.SIMPLE, title=table.title, title_justify="left", title_style="bold")
    for k, name in enumerate(table.header):
        drawn.add_column(name, justify="right" if k else "left")
    for cells in table.rows:
        drawn.add_row(*(cell.replace("[", "\\[") for cell in cells))
    return drawn


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
            _in_two_lines(format_interval(row.profit)),
            *(_in_two_lines(format_percent(row, baseline, missing="")) for baseline in comparison.baselines),
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
        f"{comparison.scenario}: {comparison.drawn}, "
        f"{comparison.information} information; means per episode with {100 * comparison.confidence:g} % intervals",
        soft_wrap=True,
        markup=False,
    )


def _in_two_lines(estimate: str) -> str:
    """The interval below the mean, its bracket escaped from markup."""
    return estimate.replace(" [", "\n\\[")
