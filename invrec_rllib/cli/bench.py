"""`invrec bench`: how fast the simulator is, RLlib's sampling, and training."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from invrec_rllib.cli.console import examples, print_json, results, say, working


def add_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "invrec bench simulator",
            "invrec bench simulator --scenario paper --batch 256 --json",
        )
    )(simulator)
    app.command(epilog=examples("invrec bench sampling", "invrec bench sampling --envs 32 --json"))(sampling)
    app.command(epilog=examples("invrec bench training", "invrec bench training --envs 128 --json"))(training)


def simulator(
    scenario: Annotated[
        list[str] | None, typer.Option(help="Preset or file, repeatable.", show_default="all presets")
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Episodes side by side, repeatable.", show_default="1, 64, 1024"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Least time per scenario and batch size, seconds.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Env steps per second of the simulator on one core."""
    from invrec_rllib.benchmarks.simulator import benchmark_simulator

    found = benchmark_simulator(
        scenario,
        batch_sizes=batch or (1, 64, 1024),
        seconds=seconds,
        on_result=lambda name, size, rate: say(f"{name}, B = {size}: {rate:,.0f} env steps/s"),
    )
    if as_json:
        print_json(found)
        return
    table = Table(box=box.SIMPLE)
    for column in ("scenario", "B", "env steps/s", "ns per product-segment"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for name, figures in found["scenarios"].items():
        for size, rate in figures["steps_per_second"].items():
            cost = figures["nanoseconds_per_product_segment_step"][size]
            table.add_row(name, f"{size:,}", f"{rate:,.0f}", f"{cost:,.1f}")
    results().print(table)
    results().print(_machine(found["machine"]), soft_wrap=True)


def sampling(
    scenario: Annotated[str, typer.Option(help="Preset or file.")] = "paper",
    envs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Environments per runner on our path, repeatable.", show_default="1, 16"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="To sample for, per path.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Env steps per second of RLlib's sampling: our adapter beside RLlib's own PettingZoo wrapper."""
    from invrec_rllib.benchmarks.sampling import benchmark_sampling

    with working("Sampling through each path in turn"):
        found = benchmark_sampling(scenario, envs=tuple(envs or (1, 16)), seconds=seconds)
    if as_json:
        print_json(found)
        return
    table = Table(box=box.SIMPLE)
    for column in ("path", "env steps/s", "ratio to stock_1"):
        table.add_column(column, justify="left" if column == "path" else "right")
    for path, rate in found["env_steps_per_second"].items():
        ratio = found["ratios"].get(path)
        table.add_row(path, f"{rate:,.0f}", "" if ratio is None else f"{ratio:.2f}")
    results().print(table)


def training(
    scenario: Annotated[str, typer.Option(help="Preset or file.")] = "paper",
    envs: Annotated[int, typer.Option(min=1, help="Environments of the fast runner.")] = 256,
    seconds: Annotated[float, typer.Option(min=0.0, help="Least time of a turn.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each path.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Sampling by the fast runner beside RLlib's own, and beside a bare loop; one core."""
    from invrec_rllib.benchmarks.training import benchmark_training

    with working("Sampling through each path in turn"):
        found = benchmark_training(scenario, envs=envs, seconds=seconds, rounds=rounds)
    if as_json:
        print_json(found)
        return
    for title, figures, style in (
        ("env steps/s", found["env_steps_per_second"], "{:,.0f}"),
        ("ratio", found["ratios"], "{:.2f}"),
    ):
        table = Table(box=box.SIMPLE)
        table.add_column("")
        table.add_column(title, justify="right")
        for name, figure in figures.items():
            table.add_row(name, style.format(figure))
        results().print(table)
    results().print(_machine(found["machine"]), soft_wrap=True)


def _machine(machine: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in machine.items())
