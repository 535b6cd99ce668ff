"""`invrec bench`: how fast the simulator is, RLlib's sampling and training, and what binds on a cluster."""

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
    app.command(
        epilog=examples(
            "invrec bench training", "invrec bench training --only iteration --only profile --json"
        )
    )(training)
    app.command(
        epilog=examples("invrec bench cluster", "invrec bench cluster --cores 32 --gigabits 25 --json")
    )(cluster)


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
    results().print(_in_words(found["machine"]), soft_wrap=True)


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
    scenario: Annotated[
        str, typer.Option(help="Preset or file; the part scale has worlds of its own.")
    ] = "paper",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Part, repeatable: sampling, iteration, scale, runners, memory, asynchronous, profile.",
            show_default="all",
        ),
    ] = None,
    envs: Annotated[
        int, typer.Option(min=1, help="Environments of the fast runner in the part sampling.")
    ] = 512,
    seconds: Annotated[float, typer.Option(min=0.0, help="Least time of a turn in the part sampling.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each path.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Training with fast sampling beside RLlib's own: sampling, whole iterations, memory; about ten minutes."""
    from invrec_rllib.benchmarks.training import benchmark_training

    found = benchmark_training(
        scenario,
        only=only,
        envs=envs,
        seconds=seconds,
        rounds=rounds,
        on_part=lambda part: say(f"Measuring {part}"),
    )
    if as_json:
        print_json(found)
        return
    for kind, title, style in (
        ("env_steps_per_second", "env steps/s", "{:,.0f}"),
        ("products_per_second", "env steps/s x products", "{:,.0f}"),
        ("ratios", "ratio", "{:.2f}"),
    ):
        if found.get(kind):
            _print_column(found[kind], title=title, style=style)
    for kind, title, style in (
        ("megabytes", "megabytes", "{:,.0f}"),
        ("shares", "share of an iteration", "{:.1%}"),
    ):
        if found.get(kind):
            _print_by_path(found[kind], title=title, style=style)
    for path, shares in found.get("hot_spots", {}).items():
        _print_column(shares, title=f"own time in {path}", style="{:.1%}")
    for part, workload in found.get("workload", {}).items():
        results().print(f"{part}: {_in_words(workload)}", soft_wrap=True)
    results().print(_in_words(found["machine"]), soft_wrap=True)


def cluster(
    scenario: Annotated[str, typer.Option(help="Preset or file.")] = "paper",
    cores: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Of a cluster to predict, repeatable.", show_default="10, 100, 1000"),
    ] = None,
    gigabits: Annotated[float, typer.Option(min=0.01, help="Of a node's link, per second.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each measurement.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What an iteration costs, and whether sampling, network or learning binds on a cluster; two minutes.

    Costs are measured here; the model that predicts from them is compared with iterations of a few runners and
    learners, and then asked for clusters that are not at hand.
    """
    from invrec_rllib.benchmarks.cluster import benchmark_cluster

    with working("Measuring costs, then iterations with remote runners and learners"):
        found = benchmark_cluster(scenario, cores=cores or (10, 100, 1000), gigabits=gigabits, rounds=rounds)
    if as_json:
        print_json(found)
        return
    _print_column(found["costs"], title="cost", style="{:,.3g}")
    _print_layouts(found["checked"], "measured_seconds", "predicted_over_measured")
    _print_layouts(found["predicted"], "env_steps_per_second", "binds")
    results().print(_in_words(found["machine"]), soft_wrap=True)


def _print_layouts(rows: list[dict[str, Any]], *others: str) -> None:
    columns = (
        "cores",
        "runners",
        "learners",
        "env_steps",
        "sampling",
        "network",
        "learning",
        "seconds",
        *others,
    )
    table = Table(box=box.SIMPLE)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    results().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_column(figures: dict[str, float], *, title: str, style: str) -> None:
    table = Table(box=box.SIMPLE)
    table.add_column("")
    table.add_column(title, justify="right")
    for name, figure in figures.items():
        table.add_row(name, style.format(figure))
    results().print(table)


def _print_by_path(figures: dict[str, dict[str, float]], *, title: str, style: str) -> None:
    """A column for each path."""
    table = Table(box=box.SIMPLE)
    table.add_column(title)
    for path in figures:
        table.add_column(path, justify="right")
    for name in dict.fromkeys(name for row in figures.values() for name in row):
        cells = (style.format(row[name]) if name in row else "" for row in figures.values())
        table.add_row(name, *cells)
    results().print(table)


def _in_words(figures: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in figures.items())
