"""`invrec report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from invrec_rllib.cli.console import examples, help_of, print_json, results, say, working


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "report",
        help=help_of(report),
        epilog=examples("invrec report runs/first", "invrec report runs/first --out pages/first --open"),
    )(report)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page and its figures.", show_default="RUN/report")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: the page and its figures.")] = False,
) -> None:
    """Write a run's report: one self-contained HTML page, and its figures as PNG files.

    An older report in the folder is replaced; files that are not a report's are not.
    """
    from invrec_rllib.report import write_report

    with working("Drawing the report"):
        page = write_report(run, out=out)
    figures = sorted(str(file) for file in page.parent.glob("*.png"))
    if as_json:
        print_json({"page": str(page), "figures": figures})
    else:
        results().print(str(page), soft_wrap=True, markup=False)
        say(f"with {len(figures)} figures beside it")
    if open_page:
        typer.launch(page.resolve().as_uri())
