"""`invrec sensitivity`: what coordination is worth as the world changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from invrec_rllib.cli.assignments import parse_assignments, parse_names
from invrec_rllib.cli.console import clock, examples, help_of, print_json, results, say
from invrec_rllib.cli.evaluating import DEFAULT_SEED
from invrec_rllib.cli.training import Information
from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario import load_scenario
from invrec_rllib.scenario.variations import FACTORS

FAILED = 1


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "sensitivity",
        help=help_of(sensitivity),
        epilog=examples(
            "invrec sensitivity paper --out worth/drivers --information full",
            "invrec sensitivity paper --out worth/lift --factor lift=1,2,3,4 --factor lead_time=0,3 --seeds 16",
            "invrec sensitivity paper --out worth/tuned --tune 20000 --jobs 8",
        ),
    )(sensitivity)


def sensitivity(
    scenario: Annotated[str, typer.Argument(help="Preset or file: the base.")],
    out: Annotated[Path, typer.Option(help="Folder; new, or the same again to go on.", show_default=False)],
    factor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=LEVELS]",
            help=f"What changes, repeatable, with levels separated by commas: {', '.join(FACTORS)}.",
            show_default="all",
        ),
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            help="What the coordinated heuristic is held against, separated by commas: silo, traditional, order_rule "
            "(its own orders, told of past slates alone, with the silo's slates), and with --tune also silo_best and "
            "sequential.",
            show_default="all",
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per seed.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds; intervals are over them.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = DEFAULT_SEED,
    information: Annotated[Information, typer.Option(help="What policies are shown.")] = Information.observed,
    tune: Annotated[
        int,
        typer.Option(
            min=0,
            help="Episodes to search each policy's parameters with at every point (extra: search); 0: those by "
            "formula.",
        ),
    ] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Points at once.", show_default="the CPUs")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to run on, auto or host:port; --out must lie on a shared disk."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Play at most so many points in this call.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Begin no point after so many minutes; what runs is finished."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write the page.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What coordination is worth as the world changes, one factor at a time, on common random numbers.

    Plays the coordinated heuristic and silos at every level of every factor, several points at once; OUT/rows.csv
    holds a row per point, policy and seed, and OUT/report a page with the figure (extra: report). The same command
    again goes on where it stopped; more factors, levels or seeds play only what they add.
    """
    from invrec_rllib.report.document import check_installed
    from invrec_rllib.studies.sensitivity import Settings, baselines_of
    from invrec_rllib.studies.sensitivity_folder import SensitivityDir
    from invrec_rllib.studies.sensitivity_page import write_sensitivity_report
    from invrec_rllib.studies.sensitivity_running import run_sensitivity

    if page:
        check_installed()
    if tune:
        require("cma", extra="search")
    levels = parse_factors(factor or list(FACTORS))
    shown: Any = information.value
    settings = Settings(shown, episodes, seed, tune)
    held = parse_names(baselines or "") or baselines_of(settings)
    started = time.monotonic()

    def tell(point: Any, error: str, done: int, planned: int) -> None:
        left = (time.monotonic() - started) / done * (planned - done)
        say(f"{done}/{planned} {point.name}{error and f' failed: {error}'}; {clock(left)} left")

    found = run_sensitivity(
        load_scenario(scenario),
        out=out,
        levels=levels,
        baselines=held,
        settings=settings,
        num_seeds=seeds,
        jobs=jobs,
        address=address,
        limit=limit,
        max_minutes=max_minutes,
        on_end=tell,
    )
    folder = SensitivityDir(out)
    files = write_sensitivity_report(folder, levels=levels, baselines=held, page=page) if found.rows else []
    if as_json:
        print_json(
            {
                "out": str(found.path),
                "rows": len(found.rows),
                "points": found.points,
                "made": found.made,
                "left": found.left,
                "failed": found.failed,
                "report": [str(file) for file in files],
            }
        )
    elif files:
        results().print(str(files[0]), soft_wrap=True, markup=False)
    say(f"{found.made} points played, {found.left} left; {len(found.rows)} rows in {folder.rows_file}")
    if found.failed:
        say(f"Tracebacks: {folder.errors}; the same command tries these points again", style="red")
        raise typer.Exit(FAILED)


def parse_factors(texts: list[str]) -> dict[str, tuple[float, ...]]:
    """Levels by factor, of texts like ``lift`` or ``lift=1,2.5``; ``inf`` is no limit.

    Raises:
        InputError: an unknown factor, one given twice, or a level that is no number.
    """
    named = parse_assignments(
        [text if "=" in text else f"{text}=" for text in texts], option="--factor", known=tuple(FACTORS)
    )
    return {
        name: FACTORS[name].levels if value is None else _levels(name, value) for name, value in named.items()
    }


def _levels(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in str(value).split(","))
    except ValueError as error:
        raise InputError(
            f"--factor {name}: levels must be numbers separated by commas, got {value!r}"
        ) from error
