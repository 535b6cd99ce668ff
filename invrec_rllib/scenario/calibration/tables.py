"""The user's own tables: the columns they must have, and reading them in validated batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from invrec_rllib.errors import InputError, require

Frame = Any
"""A pandas DataFrame; pandas is an optional dependency, so annotations do not import it."""

BATCH_ROWS = 500_000


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, what it may hold and what it means."""

    name: str
    kind: Literal["id", "week", "quantity", "flag", "text"]
    meaning: str
    required: bool = True


SALES = (
    Column("week", "week", "week number, whole, 0 to 9999, the same count as in the promotions"),
    Column("household", "id", "who bought"),
    Column("store", "id", "where"),
    Column("basket", "id", "the visit: one household, one store, one week"),
    Column("product", "id", "what"),
    Column("quantity", "quantity", "units on the line, 0 or more"),
    Column("amount", "quantity", "money paid for the line, 0 or more"),
)
PROMOTIONS = (
    Column("week", "week", "week number, as in the sales"),
    Column("store", "id", "where the product was promoted"),
    Column("product", "id", "what; a product, store and week without a row was not promoted"),
    Column("display", "flag", "1: on display in the store; absent: 1 for every row", required=False),
    Column("mailer", "flag", "1: in the mailer; absent: 0 for every row", required=False),
)
PRODUCTS = (
    Column("product", "id", "every product of the sales and the promotions"),
    Column("category", "text", "its category"),
    Column("department", "text", "its department", required=False),
    Column("name", "text", "its label", required=False),
)
HOUSEHOLDS = (
    Column("household", "id", "one row per household"),
    Column("segment", "text", "its segment"),
)


def describe_tables() -> str:
    """The columns of the four tables, for help texts."""
    tables = {"sales": SALES, "promotions": PROMOTIONS, "products": PRODUCTS, "households": HOUSEHOLDS}
    lines = []
    for name, columns in tables.items():
        lines.append(f"{name}:")
        lines += [f"  {c.name}{'' if c.required else ' (optional)'}: {c.meaning}" for c in columns]
    return "\n".join(lines)


def read_batches(
    path: str | os.PathLike[str], columns: tuple[Column, ...], *, table: str, batch_rows: int = BATCH_ROWS
) -> Iterator[Frame]:
    """Read a csv or parquet file in batches of validated rows.

    Args:
        path: file whose name ends in ``.csv``, ``.csv.gz`` or ``.parquet``; other columns are ignored.
        columns: what the table must hold.
        table: what to call the table in errors.
        batch_rows: rows of a parquet batch; csv files are read in blocks of 4 MB.

    Yields:
        Frames with the columns given: ids and texts as strings, weeks as integers, quantities as floats,
        flags as booleans.

    Raises:
        InputError: no such file, a missing column, or a value that is not allowed: the message names the
            table, the row (the first data row is 1), the column and the value.
    """
    source = Path(path).expanduser()
    if not source.is_file():
        raise InputError(f"{table}: there is no file {source}")
    readers: dict[str, Callable[..., Iterator[Any]]] = {".csv": _csv_batches, ".parquet": _parquet_batches}
    suffix = source.with_suffix("").suffix if source.suffix == ".gz" else source.suffix
    if suffix not in readers:
        raise InputError(f"{table}: {source.name} must end in .csv, .csv.gz or .parquet")
    first_row = 1
    for batch in readers[suffix](source, columns, table=table, batch_rows=batch_rows):
        yield _validated(batch, columns, table=table, first_row=first_row)
        first_row += batch.num_rows


def _present(names: list[str], columns: tuple[Column, ...], table: str) -> list[str]:
    missing = [column.name for column in columns if column.required and column.name not in names]
    if missing:
        raise InputError(f"{table}: column {', '.join(missing)} is missing; the file has {', '.join(names)}")
    return [column.name for column in columns if column.name in names]


def _csv_batches(source: Path, columns: tuple[Column, ...], *, table: str, batch_rows: int) -> Iterator[Any]:
    arrow, csv = require("pyarrow", extra="data"), require("pyarrow.csv", extra="data")
    options = csv.ReadOptions(block_size=4 << 20)
    try:
        with csv.open_csv(source, read_options=options) as reader:
            present = _present(reader.schema.names, columns, table)
        convert = csv.ConvertOptions(
            include_columns=present,
            column_types=dict.fromkeys(present, arrow.string()),
            strings_can_be_null=True,
            null_values=[""],
        )
        with csv.open_csv(source, read_options=options, convert_options=convert) as reader:
            yield from reader
    except arrow.ArrowInvalid as error:
        raise InputError(f"{table}: {source.name} is not a csv table: {error}") from error


def _parquet_batches(
    source: Path, columns: tuple[Column, ...], *, table: str, batch_rows: int
) -> Iterator[Any]:
    arrow, parquet = require("pyarrow", extra="data"), require("pyarrow.parquet", extra="data")
    try:
        file = parquet.ParquetFile(source)
    except arrow.ArrowInvalid as error:
        raise InputError(f"{table}: {source.name} is not a parquet file: {error}") from error
    with file:
        present = _present(file.schema_arrow.names, columns, table)
        yield from file.iter_batches(batch_rows, columns=present)


def _validated(batch: Any, columns: tuple[Column, ...], *, table: str, first_row: int) -> Frame:
    pandas = require("pandas", extra="data")
    data = {}
    for column in columns:
        if column.name in batch.schema.names:
            place = f"{table}, column {column.name}"
            data[column.name] = _converted(
                batch.column(column.name), column, place=place, first_row=first_row
            )
    return pandas.DataFrame(data)


def _converted(values: Any, column: Column, *, place: str, first_row: int) -> Any:
    """One column of a batch as a NumPy array or a pandas string array."""
    arrow, compute = require("pyarrow", extra="data"), require("pyarrow.compute", extra="data")
    pandas = require("pandas", extra="data")

    def refuse(bad: Any, allowed: str) -> None:
        if bad.any():
            at = int(bad.argmax())
            raise InputError(f"{place}, row {first_row + at}: {values[at].as_py()!r} is not {allowed}")

    refuse(compute.is_null(values).to_numpy(zero_copy_only=False), "a value")
    if column.kind in ("id", "text"):
        return pandas.Series(compute.cast(values, arrow.string()).to_pandas(), dtype="str").array
    if column.kind == "flag" and arrow.types.is_boolean(values.type):
        return values.to_numpy(zero_copy_only=False)
    numbers = _as_numbers(values)
    if column.kind == "flag":
        refuse(~((numbers == 0) | (numbers == 1)), "0 or 1")
        return numbers == 1
    if column.kind == "week":
        refuse(
            ~((numbers >= 0) & (numbers <= 9999) & (numbers % 1 == 0)), "a whole week number from 0 to 9999"
        )
        return numbers.astype("int64")
    refuse(~((numbers >= 0) & (numbers < float("inf"))), "a number of 0 or more")
    return numbers


def _as_numbers(values: Any) -> Any:
    """Floats, NaN where a text is no number."""
    arrow, compute = require("pyarrow", extra="data"), require("pyarrow.compute", extra="data")
    try:
        return compute.cast(values, arrow.float64()).to_numpy(zero_copy_only=False)
    except arrow.ArrowInvalid:
        pandas = require("pandas", extra="data")
        return pandas.to_numeric(values.to_pandas(), errors="coerce").to_numpy(float)
