"""`invrec study`: replicated comparisons of ways to train, from plan to report."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from invrec_rllib.cli.console import clock, examples, help_of, print_json, results, say, working
from invrec_rllib.errors import InputError
from invrec_rllib.studies.files import dump_study, load_study, study_names

if TYPE_CHECKING:
    from invrec_rllib.studies.running import Outcome, StudyResult
    from invrec_rllib.studies.study import Study

FAILED = 1
INTERRUPTED = 130
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NameOrFile = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A shipped study, or a YAML file of one's own.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", epilog=examples("invrec study list", "invrec study list --json"))(list_studies)
    app.command(
        epilog=examples("invrec study show parts", "invrec study show speeds --yaml > my_study.yaml")
    )(show)
    app.command(
        "run",
        help=help_of(run),
        epilog=examples(
            "invrec study run parts --out studies/parts --dry-run",
            "invrec study run parts --out studies/parts --jobs 8",
            "invrec study run my_study.yaml --out studies/mine --seeds 2 --only default --condition paper",
            "invrec study run speeds --out /shared/speeds --address auto",
        ),
    )(run)

    app.command(
        "report",
        help=help_of(report),
        epilog=examples(
            "invrec study report studies/parts",
            "invrec study report studies/parts/rows.csv --markdown",
            "invrec study report rows.csv --out pages/parts --open",
        ),
    )(report)


def list_studies(as_json: AsJson = False) -> None:
    """The studies that ship with the package."""
    studies = [load_study(name) for name in study_names()]
    if as_json:
        print_json([_summary(study) for study in studies])
        return
    table = Table(box=box.SIMPLE)
    table.add_column("name", style="bold", no_wrap=True)
    for column in ("variants", "conditions", "runs"):
        table.add_column(column, justify="right")
    table.add_column("question")
    for study in studies:
        summary = _summary(study)
        counts = (len(summary["variants"]), len(summary["conditions"]), summary["runs"])
        table.add_row(study.name, *map(str, counts), study.question)
    results().print(table)


def _summary(study: Study) -> dict[str, Any]:
    seeds = {name: len(study.seeds_of(name)) for name in study.variants}
    return {
        "name": study.name,
        "question": study.question,
        "variants": list(study.variants),
        "conditions": list(study.conditions),
        "baseline": study.baseline,
        "runs": len(study.conditions) * sum(seeds.values()),
    }


def show(
    study: NameOrFile,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the study's YAML.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a study compares."""
    found = load_study(study)
    if as_json:
        print_json(found.model_dump(mode="json", by_alias=True))
        return
    if as_yaml:
        typer.echo(dump_study(found), nl=False)
        return
    console = results()
    console.print(f"[bold]{found.name}[/bold]")
    console.print(found.question, markup=False)
    console.print(f"All runs: {_assignments(found.base)}", markup=False)
    table = Table("condition", "label", "what differs", box=box.SIMPLE)
    for name, condition in found.conditions.items():
        parts = (condition.changes, condition.world, condition.scenario)
        table.add_row(
            *map(escape, (name, condition.label, " ".join(_assignments(part or {}) for part in parts)))
        )
    console.print(table)
    table = Table("variant", "label", "what differs", box=box.SIMPLE)
    table.add_column("seeds", justify="right")
    for name, variant in found.variants.items():
        cells = (name, variant.label, _assignments(variant.changes), f"{len(found.seeds_of(name))}")
        table.add_row(*map(escape, cells), style="bold" if name == found.baseline else "")
    console.print(table)
    console.print(f"The others are compared with {found.baseline}.", markup=False)


def _assignments(changes: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in changes.items())


def run(
    study: NameOrFile,
    out: Annotated[
        Path, typer.Option(help="Folder of the study; new, or the same again to go on.", show_default=False)
    ],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds.", show_default="the study's")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIANT", help="Variant to run, repeatable.", show_default="all"),
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="Condition to run, repeatable.", show_default="all")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at once.", show_default="the CPUs")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to run on, auto or host:port; --out must lie on a shared disk."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Make at most so many runs in this call.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Begin no run after so many minutes; what runs is finished.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the runs of a study, several at once; what is finished already is not made again.

    Every run is an ordinary run's folder, OUT/runs/CONDITION/VARIANT/SEED; what all of them found is OUT/rows.csv. The
    same command again goes on where it stopped. Ctrl-C drops the runs at work, which the next call starts anew.
    """
    found = load_study(study)
    choice: dict[str, Any] = {"num_seeds": seeds, "variants": only or (), "conditions": condition or ()}
    if dry_run:
        _print_plan(found, out, choice, jobs=jobs or _num_cpus(), limit=limit, as_json=as_json)
        return
    from invrec_rllib.studies.running import run_study

    try:
        result = run_study(
            found,
            out=out,
            **choice,
            jobs=jobs,
            address=address,
            limit=limit,
            max_minutes=max_minutes,
            on_outcome=_Progress(),
        )
    except KeyboardInterrupt:
        say(f"Stopped; the same command goes on. What is finished: {out / 'rows.csv'}")
        raise
    _print_result(found, result, as_json=as_json)
    if result.failed:
        raise typer.Exit(FAILED)


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Progress:
    """A line for every run that comes to its end, with the time that the others will take."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, outcome: Outcome) -> None:
        """Tell of a run."""
        left = (time.monotonic() - self._started) / outcome.done * (outcome.planned - outcome.done)
        found = f"failed: {outcome.error}"
        if outcome.row is not None:
            found = f"profit {outcome.row.profit:,.1f} in {clock(outcome.row.seconds)}"
        say(f"{outcome.done}/{outcome.planned} {outcome.run.name}: {found}; {clock(left)} left")


def _print_plan(
    study: Study, out: Path, choice: Mapping[str, Any], *, jobs: int, limit: int | None, as_json: bool
) -> None:
    from invrec_rllib.studies.folder import StudyDir
    from invrec_rllib.studies.plan import estimate_seconds, plan_runs

    plan, folder = plan_runs(study, **choice), StudyDir(out)
    folder.check_free_for(study)
    waiting = [run for run in plan if not folder.is_finished(run)]
    next_call = waiting[:limit]
    seconds = estimate_seconds(next_call, folder.finished(study), jobs=jobs)
    if as_json:
        print_json(
            {
                "study": study.name,
                "out": str(folder.path),
                "runs": [run.name for run in plan],
                "to_make": [run.name for run in next_call],
                "finished": len(plan) - len(waiting),
                "jobs": jobs,
                "seconds": seconds,
            }
        )
        return
    table = Table("condition", "variant", box=box.SIMPLE)
    for column in ("runs", "finished", "to make"):
        table.add_column(column, justify="right")
    for condition, variant in dict.fromkeys((run.condition, run.variant) for run in plan):
        counts = [
            sum((run.condition, run.variant) == (condition, variant) for run in runs)
            for runs in (plan, waiting, next_call)
        ]
        table.add_row(condition, variant, f"{counts[0]}", f"{counts[0] - counts[1]}", f"{counts[2]}")
    results().print(table)
    time_needed = (
        "how long they take is known when one is finished"
        if seconds is None
        else f"about {clock(seconds)} with {jobs} at once"
    )
    results().print(
        f"{study.name}: {len(plan)} runs, {len(plan) - len(waiting)} finished, {len(next_call)} to make; {time_needed}",
        soft_wrap=True,
    )


def _print_result(study: Study, result: StudyResult, *, as_json: bool) -> None:
    rows = result.path / "rows.csv"
    if as_json:
        print_json(
            {
                "study": study.name,
                "out": str(result.path),
                "rows": str(rows),
                "finished": len(result.rows),
                "made": result.made,
                "left": result.left,
                "failed": result.failed,
            }
        )
    for name, error in result.failed.items():
        say(f"failed: {name}: {error}", style="red")
    if result.failed:
        say(f"Tracebacks: {result.path / 'errors'}; the same command tries these runs again")
    say(f"{study.name}: {result.made} runs made, {result.left} left; {len(result.rows)} rows in {rows}")
    if result.rows:
        say(f"Next: invrec study report {shlex.quote(str(result.path))}")


def report(
    study: Annotated[
        Path, typer.Argument(metavar="DIR|ROWS.csv", help="Folder of a study, or rows of its runs alone.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page, figures and tables.", show_default="DIR/report")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as Markdown instead, and write nothing.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a study's report: one self-contained HTML page, its figures, and its tables as Markdown and CSV.

    Of rows alone the learning curves are missing. The page needs the extra report; the tables of --markdown do not.
    An older report in the folder is replaced; files that are not a report's are not.
    """
    if markdown and (as_json or out or open_page):
        raise InputError("--markdown prints tables and writes nothing: drop --out, --open and --json")
    if markdown:
        from invrec_rllib.studies.source import read_source
        from invrec_rllib.studies.tables import make_lines, to_markdown

        source = read_source(study)
        typer.echo(to_markdown(source.study, make_lines(source.study, source.rows)), nl=False)
        return
    if out is None and not study.is_dir():
        raise InputError("rows alone have no folder for their report: say where to write it with --out")
    from invrec_rllib.studies.page import write_study_report

    with working("Drawing the report"):
        written = write_study_report(study, out=out)
    if as_json:
        print_json(
            {
                "page": str(written.page),
                "figures": [str(file) for file in written.figures],
                "tables": [str(file) for file in written.tables],
            }
        )
    else:
        results().print(str(written.page), soft_wrap=True, markup=False)
        say(f"with {len(written.figures)} figures and {len(written.tables)} tables beside it")
    if open_page:
        typer.launch(written.page.resolve().as_uri())
