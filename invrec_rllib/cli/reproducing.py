"""`invrec reproduce`: the experiments behind the documents' numbers, made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from invrec_rllib.cli.console import examples, help_of, print_json, results, say
from invrec_rllib.errors import MissingExtraError
from invrec_rllib.reproduction.experiment import Experiment, experiment_names, load_experiment
from invrec_rllib.scenario.files import write_bytes_atomically

if TYPE_CHECKING:
    from invrec_rllib.reproduction.running import Reproduced

FAILED = 1


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "reproduce",
        help=help_of(reproduce_record),
        epilog=examples(
            "invrec reproduce --list",
            "invrec reproduce --quick --out results/quick",
            "invrec reproduce --only tiny-optimum --json",
            "invrec reproduce --out /shared/results --address auto",
        ),
    )(reproduce_record)


def reproduce_record(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="EXPERIMENT", help="Experiment to make, repeatable.", show_default="all"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder; new, or the same again to go on.")] = Path("results"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer seeds, iterations and episodes: minutes, not hours.")
    ] = False,
    show: Annotated[bool, typer.Option("--list", help="List the experiments, and make none.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at once.", show_default="the CPUs")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to run on, auto or host:port; --out must lie on a shared disk."),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Begin nothing new after so many minutes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Train, play and find the numbers of the record: each experiment with its seeds, on common random numbers.

    OUT/EXPERIMENT holds an experiment's runs, what every policy made of every episode, and its findings as JSON and
    Markdown, with the extra `report` also as a figure. The same command again goes on where it stopped; a quick
    record needs a folder of its own.
    """
    experiments = [load_experiment(name) for name in only or experiment_names()]
    if quick:
        experiments = [experiment.made_quick() for experiment in experiments]
    if show:
        _print_list(experiments, as_json=as_json)
        return
    from invrec_rllib.reproduction.running import reproduce

    found: list[Reproduced] = []
    for experiment in experiments:
        say(f"{experiment.name}: {experiment.ways.question}")
        found.append(
            reproduce(
                experiment,
                out=out / experiment.name,
                jobs=jobs,
                address=address,
                max_minutes=max_minutes,
                on_pair=lambda news: say(f"{news.done}/{news.planned} {news.name}: {news.text}"),
                on_score=lambda name, done, planned: say(f"{done}/{planned} {name} has played"),
            )
        )
        _draw(experiment, found[-1])
    _print(found, as_json=as_json)
    if any(result.failed for result in found):
        raise typer.Exit(FAILED)


def _draw(experiment: Experiment, result: Reproduced) -> None:
    """The figure, where the extra that draws is installed: the numbers need none."""
    from invrec_rllib.report import style
    from invrec_rllib.reproduction.figures import findings_figure
    from invrec_rllib.reproduction.folder import ExperimentDir

    if not result.findings:
        return
    try:
        picture = style.png(findings_figure(experiment, result.findings))
    except MissingExtraError as error:
        say(f"{experiment.name}: no figure: {error}")
    else:
        write_bytes_atomically(ExperimentDir(result.path).figure_file, picture)


def _print(found: list[Reproduced], *, as_json: bool) -> None:
    for result in found:
        for name, error in result.failed.items():
            say(f"{result.experiment}: failed: {name}: {error}", style="red")
        if result.left:
            say(f"{result.experiment}: {result.left} runs or games left; the same command goes on")
    if as_json:
        print_json({"results": {result.experiment: result.data for result in found if result.data}})
        return
    for result in found:
        if result.findings:
            typer.echo((result.path / "findings.md").read_text("utf-8"))


def _print_list(experiments: list[Experiment], *, as_json: bool) -> None:
    if as_json:
        print_json([_summary(experiment) for experiment in experiments])
        return
    table = Table(box=box.SIMPLE)
    table.add_column("experiment", style="bold", no_wrap=True)
    for column in ("runs", "episodes"):
        table.add_column(column, justify="right")
    table.add_column("held against")
    table.add_column("question")
    for experiment in experiments:
        summary = _summary(experiment)
        cells = (f"{summary['runs']}", f"{summary['episodes']:,}", ", ".join(summary["references"]))
        table.add_row(experiment.name, *cells, experiment.ways.question)
    results().print(table)


def _summary(experiment: Experiment) -> dict[str, Any]:
    ways = experiment.ways
    return {
        "name": experiment.name,
        "question": ways.question,
        "runs": len(ways.conditions) * sum(len(ways.seeds_of(name)) for name in ways.variants),
        "episodes": experiment.episodes,
        "references": list(experiment.references),
    }
