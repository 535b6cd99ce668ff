"""Options that say what sales a world is calibrated from, and the calibration that they ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from invrec_rllib.cli.assignments import parse_assignments
from invrec_rllib.cli.console import messages, say
from invrec_rllib.errors import InputError

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


def _print_columns(value: bool) -> None:
    if value:
        from invrec_rllib.scenario.calibration import describe_tables

        typer.echo(describe_tables())
        raise typer.Exit


SourceOption = Annotated[
    SourceKind | None,
    typer.Option(
        help="The Complete Journey panel (extra data), or your own tables.",
        show_default="tables if --sales is given, else completejourney",
    ),
]
SalesOption = Annotated[Path | None, typer.Option(help="Your sales: csv or parquet.")]
PromotionsOption = Annotated[Path | None, typer.Option(help="Your promotions: csv or parquet.")]
ProductsOption = Annotated[Path | None, typer.Option(help="Your products and their categories.")]
HouseholdsOption = Annotated[
    Path | None, typer.Option(help="Your households' segments, for --segments given.")
]
ColumnsOption = Annotated[
    bool,
    typer.Option(
        "--columns", callback=_print_columns, is_eager=True, help="Print what the tables must hold."
    ),
]
CategoryOption = Annotated[str | None, typer.Option(help="Products of this category.")]
DepartmentOption = Annotated[str | None, typer.Option(help="Products of this department.")]
NumProductsOption = Annotated[int, typer.Option(min=1, help="How many of the best-selling products.")]
SegmentsOption = Annotated[Segments, typer.Option(help="What puts households in a segment.")]
NumSegmentsOption = Annotated[int, typer.Option(min=1, help="How many segments by taste.")]
FirstWeekOption = Annotated[int, typer.Option(min=0, help="First week that is fitted.")]
LastFitWeekOption = Annotated[int, typer.Option(min=1, help="Last week that is fitted.")]
LastWeekOption = Annotated[int, typer.Option(min=1, help="Last week that is held out to measure the fit.")]
AssumeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Change an assumption, such as mean_demand=50 or lead_times=\\[1,2,4]; repeatable.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of clustering and resampling.")]


@dataclass(frozen=True)
class SalesOptions:
    """What to calibrate from, as the options give it; the defaults are theirs."""

    source: SourceKind | None = None
    sales: Path | None = None
    promotions: Path | None = None
    products: Path | None = None
    households: Path | None = None
    category: str | None = None
    department: str | None = None
    num_products: int = 20
    segments: Segments = Segments.taste
    num_segments: int = 4
    first_week: int = 2
    last_fit_week: int = 40
    last_week: int = 53
    assume: tuple[str, ...] = ()
    seed: int = 0

    def calibrate(self, *, name: str, lift: Any = "careful", price_path: bool = False) -> Calibration:
        """Read the sales, telling how many rows, and fit.

        Raises:
            InputError: an option or a table is not valid.
            MissingExtraError: the extra `data` is not installed.
        """
        from invrec_rllib.scenario.calibration import DEFAULT_CATEGORY, Weeks, calibrate

        assumptions = _assumptions(list(self.assume))
        weeks = Weeks(first_fit=self.first_week, last_fit=self.last_fit_week, last_test=self.last_week)
        tables = {
            "sales": self.sales,
            "promotions": self.promotions,
            "products": self.products,
            "households": self.households,
        }
        given = {table: path for table, path in tables.items() if path is not None}
        kind = self.source or (SourceKind.tables if given else SourceKind.completejourney)
        chosen, category = _source(kind, given), self.category
        if kind is SourceKind.completejourney and category is None and self.department is None:
            category = DEFAULT_CATEGORY
        with _RowCounter(chosen) as counted:
            return calibrate(
                counted.source,
                category=category,
                department=self.department,
                num_products=self.num_products,
                segments=self.segments.value,
                num_segments=self.num_segments,
                weeks=weeks,
                lift=lift,
                promotions=price_path,
                assumptions=assumptions,
                name=name,
                seed=self.seed,
            )


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
            # The assumptions' own checks name field and value themselves.
            fault["msg"].removeprefix("Value error, assumptions.")
            if fault["type"] == "value_error"
            else f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
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
