"""`invrec solve`: a small world's exact optimum, its silos, and what coordination is worth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from invrec_rllib.cli.console import examples, help_of, print_json, results, working
from invrec_rllib.cli.scenarios import load_with_lift

if TYPE_CHECKING:
    from invrec_rllib.theory.coordination import Coordination

_PAID_BY = {"clicks": "all demand, in stock or not", "sales": "what is sold"}


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "solve",
        help=help_of(solve),
        epilog=examples("invrec solve tiny", "invrec solve my_shop.yaml --exposure-step 0.5 --json"),
    )(solve)


def solve(
    scenario: Annotated[str, typer.Argument(help="Preset name, or path of a scenario file.")],
    lift: Annotated[
        str | None, typer.Option(help="Another lift of exposure: careful, high or a number.")
    ] = None,
    exposure_step: Annotated[float, typer.Option(help="Width of the exposure grid, in (0, 1].")] = 0.25,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is exactly best in a small world: for the firm, and for departments that each look after themselves.

    For up to two products of lead time 0 or 1 and one segment with fixed tastes. Other worlds are refused with the
    reason.
    """
    from invrec_rllib.theory.coordination import solve_coordination

    world = load_with_lift(scenario, lift)
    started = time.perf_counter()
    with working(f"Solving {world.name}"):
        found = solve_coordination(world, exposure_step=exposure_step)
    facts = _facts(found, seconds=time.perf_counter() - started)
    if as_json:
        print_json(facts)
    else:
        _print(facts, currency=world.currency)


def _facts(found: Coordination, *, seconds: float) -> dict[str, Any]:
    world = found.joint.plan.world
    return {
        "scenario": world.params.scenario.name,
        "states": world.num_states,
        "periods": world.params.num_periods,
        "orders": len(world.orders),
        "exposures": len(world.exposures),
        "seconds": seconds,
        "joint_profit": found.joint.value,
        "siloed": {
            pay: {
                "profit": pair.accounts.profit,
                "inventory_account": pair.accounts.inventory,
                "recommender_account": getattr(pair.accounts, pay),
                "rounds": pair.rounds,
                "cycle_profits": list(pair.cycle),
                "value_of_coordination": found.value(pay) if pair.accounts.profit > 0 else None,
            }
            for pay, pair in found.siloed.items()
        },
    }


def _print(facts: dict[str, Any], *, currency: str) -> None:
    table = Table(box=box.SIMPLE)
    for column in ("who decides", f"profit per episode, {currency}", "value of coordination", "settled"):
        table.add_column(column, justify="left" if column in ("who decides", "settled") else "right")
    table.add_row("the firm", f"{facts['joint_profit']:,.2f}", "", "")
    for pay, pair in facts["siloed"].items():
        value, cycle = pair["value_of_coordination"], len(pair["cycle_profits"])
        table.add_row(
            f"departments; the recommender is paid for {_PAID_BY[pay]}",
            f"{pair['profit']:,.2f}",
            "" if value is None else f"{100 * value:+.2f} %",
            f"after {pair['rounds']} rounds"
            + ("" if cycle == 1 else f" in a cycle of {cycle} pairs, the best for the firm is shown"),
        )
    console = results()
    console.print(table)
    console.print(
        f"{facts['scenario']}: {facts['periods']} periods of {facts['states']:,} states, {facts['orders']:,} orders "
        f"and {facts['exposures']:,} exposures, solved in {facts['seconds']:.1f} s; orders and slates by stock and "
        "period, expected values, undiscounted",
        soft_wrap=True,
        markup=False,
    )
