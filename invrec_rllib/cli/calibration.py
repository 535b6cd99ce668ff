"""`invrec scenario calibrate`: a world from sales data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from invrec_rllib.cli.assignments import parse_assignments, parse_lift
from invrec_rllib.cli.console import check_free, examples, help_of, messages, print_json, results, say
from invrec_rllib.errors import InputError
from invrec_rllib.scenario import save_scenario

if TYPE_CHECKING:
    from rich.status import Status

    from invrec_rllib.scenario.calibration import Assumptions, Calibration, Source

_SECONDS_BETWEEN_REPORTS = 0.5


class SourceKind(str, Enum):
    """Where the sales come from."""

    completejourney = "completejourney"
    tables = "tables"


class Segments(str, Enum):
    """How households are put in segments."""

    taste = "taste"
    income = "income"
    behaviour = "behaviour"
    given = "given"


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "calibrate",
        help=help_of(calibrate_scenario),
        epilog=examples(
            "invrec scenario calibrate --source completejourney --out worlds/pizza.yaml",
            "invrec scenario calibrate --sales sales.csv --promotions promotions.csv --first-week 1 "
            "--last-fit-week 39 --last-week 52 --out worlds/mine.yaml",
            "invrec scenario calibrate --columns",
        ),
    )(calibrate_scenario)


def _print_columns(value: bool) -> None:
    if value:
        from invrec_rllib.scenario.calibration import describe_tables

        typer.echo(describe_tables())
        raise typer.Exit


def calibrate_scenario(
    out: Annotated[Path, typer.Option(help="Scenario file to write.")],
    source: Annotated[
        SourceKind | None,
        typer.Option(
            help="The Complete Journey panel (extra data), or your own tables.",
            show_default="tables if --sales is given, else completejourney",
        ),
    ] = None,
    sales: Annotated[Path | None, typer.Option(help="Your sales: csv or parquet.")] = None,
    promotions: Annotated[Path | None, typer.Option(help="Your promotions: csv or parquet.")] = None,
    products: Annotated[Path | None, typer.Option(help="Your products and their categories.")] = None,
    households: Annotated[
        Path | None, typer.Option(help="Your households' segments, for --segments given.")
    ] = None,
    columns: Annotated[
        bool,
        typer.Option(
            "--columns", callback=_print_columns, is_eager=True, help="Print what the tables must hold."
        ),
    ] = False,
    category: Annotated[str | None, typer.Option(help="Products of this category.")] = None,
    department: Annotated[str | None, typer.Option(help="Products of this department.")] = None,
    num_products: Annotated[int, typer.Option(min=1, help="How many of the best-selling products.")] = 20,
    segments: Annotated[Segments, typer.Option(help="What puts households in a segment.")] = Segments.taste,
    num_segments: Annotated[int, typer.Option(min=1, help="How many segments by taste.")] = 4,
    first_week: Annotated[int, typer.Option(min=0, help="First week that is fitted.")] = 2,
    last_fit_week: Annotated[int, typer.Option(min=1, help="Last week that is fitted.")] = 40,
    last_week: Annotated[
        int, typer.Option(min=1, help="Last week that is held out to measure the fit.")
    ] = 53,
    lift: Annotated[str, typer.Option(help="Lift of exposure: careful, high, or a number.")] = "careful",
    price_path: Annotated[
        bool, typer.Option("--price-path", help="Include the logged prices, promotions and all.")
    ] = False,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Change an assumption, such as mean_demand=50 or lead_times=\\[1,2,4]; repeatable.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the scenario.", show_default="the file's")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of clustering and resampling.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the fit as JSON.")] = False,
) -> None:
    """Build a world from sales and promotions; needs the extra data.

    Demand, price effects, lift and tastes are fitted to the weeks to fit, and the fit is measured on the weeks
    held out. What sales do not tell (costs, lead times, storage, slots) is assumed; the file says why.
    """
    from invrec_rllib.scenario.calibration import DEFAULT_CATEGORY, Weeks, calibrate

    check_free(out, force=force)
    assumptions = _assumptions(assume or [])
    weeks = Weeks(first_fit=first_week, last_fit=last_fit_week, last_test=last_week)
    tables = {"sales": sales, "promotions": promotions, "products": products, "households": households}
    given = {table: path for table, path in tables.items() if path is not None}
    kind = source or (SourceKind.tables if given else SourceKind.completejourney)
    chosen = _source(kind, given)
    if kind is SourceKind.completejourney and category is None and department is None:
        category = DEFAULT_CATEGORY
    with _RowCounter(chosen) as counted:
        found = calibrate(
            counted.source,
            category=category,
            department=department,
            num_products=num_products,
            segments=segments.value,
            num_segments=num_segments,
            weeks=weeks,
            lift=_lift(lift),
            promotions=price_path,
            assumptions=assumptions,
            name=name or out.stem,
            seed=seed,
        )
    save_scenario(found.scenario, out, overwrite=force)
    _print_fit(found, out=out, as_json=as_json)


def _lift(text: str) -> Any:
    lift = parse_lift(text)
    if isinstance(lift, str) and lift not in ("careful", "high"):
        raise InputError(f"--lift must be careful, high or a number from 0 to 10, got {text!r}")
    return lift


def _source(kind: SourceKind, tables: dict[str, Path]) -> Source:
    from invrec_rllib.scenario.calibration import complete_journey, own_tables

    if kind is SourceKind.completejourney:
        if tables:
            options = ", ".join(f"--{table}" for table in tables)
            raise InputError(f"--source completejourney has its own tables: drop {options}")
        return complete_journey()
    missing = [f"--{table}" for table in ("sales", "promotions") if table not in tables]
    if missing:
        raise InputError(
            f"your own tables need {' and '.join(missing)}; --columns prints what they must hold"
        )
    return own_tables(
        tables["sales"],
        tables["promotions"],
        products=tables.get("products"),
        households=tables.get("households"),
    )


def _assumptions(texts: list[str]) -> Assumptions:
    from invrec_rllib.scenario.calibration import Assumptions

    known = [field.name for field in fields(Assumptions)]
    values = parse_assignments(texts, option="--assume", known=known)
    try:
        return TypeAdapter(Assumptions).validate_python(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
            for fault in error.errors()
        ]
        raise InputError("--assume is not valid:\n  " + "\n  ".join(lines)) from error


class _RowCounter:
    """Passes a source's batches on and tells how many rows were read, and how fast."""

    def __init__(self, source: Source) -> None:
        self.source = replace(
            source,
            sales=lambda: self._count("sales", source.sales()),
            promotions=lambda wanted: self._count("promotions", source.promotions(wanted)),
        )
        self._status: Status | None = None

    def __enter__(self) -> _RowCounter:
        console = messages()
        if console.is_terminal:
            self._status = console.status("reading")
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _count(self, table: str, batches: Iterator[Any]) -> Iterator[Any]:
        rows, started, told = 0, time.monotonic(), 0.0
        for batch in batches:
            rows += len(batch)
            seconds = time.monotonic() - started
            if self._status is not None and seconds - told > _SECONDS_BETWEEN_REPORTS:
                told = seconds
                self._status.update(f"{table}: {rows:,} rows, {rows / seconds:,.0f} rows/s")
            yield batch
        if self._status is None:
            say(f"{table}: {rows:,} rows read in {time.monotonic() - started:.1f} s")
        else:
            self._status.update("fitting")


def _print_fit(found: Calibration, *, out: Path, as_json: bool) -> None:
    provenance: dict[str, Any] = found.scenario.provenance
    if as_json:
        print_json({"scenario": str(out), "provenance": provenance})
        return
    lines = [f"{out}: {found.scenario.description}"]
    lines += [
        f"lift, {name}: pooled {variant['pooled']:.3f} (standard error {variant['pooled_standard_error']:.3f}), "
        f"by segment {', '.join(f'{value:.3f}' for value in variant['lift'])}"
        for name, variant in provenance["lift"]["variants"].items()
    ]
    if found.holdout is not None:
        lines.append(
            f"weeks held out: {100 * found.holdout.deviance_explained:.1f} % of the deviance explained; WAPE "
            f"{100 * found.holdout.wape_model:.1f} %, mean of the last 4 weeks "
            f"{100 * found.holdout.wape_last_4_weeks:.1f} %, a quarter before "
            f"{100 * found.holdout.wape_seasonal:.1f} %"
        )
    results().print("\n".join(lines), soft_wrap=True, markup=False)
    say(f"Assumed, not fitted: {', '.join(provenance['assumed'])}; the file gives the reasons")
