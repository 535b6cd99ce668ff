"""Where sales come from: one shape for the user's own tables and for Complete Journey."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.calibration.tables import (
    BATCH_ROWS,
    HOUSEHOLDS,
    PRODUCTS,
    PROMOTIONS,
    SALES,
    Frame,
    read_batches,
)


@dataclass(frozen=True)
class Source:
    """Sales data to calibrate from. The batches may be asked for more than once.

    Attributes:
        name: what the data is called in the scenario's provenance.
        notice: what a reader must know of its origin.
        licence: under which terms it is distributed.
        sales: batches with week, household, store, basket, product, quantity, amount.
        promotions: given the products wanted (None: all), batches with week, store, product, display, mailer.
        products: product, category and perhaps department and name; None: one category.
        households: household and segment, for ``segments="given"``; or None.
        incomes: household and income group, for ``segments="income"``; or None.
        currency: unit of the amounts.
    """

    name: str
    notice: str
    licence: str
    sales: Callable[[], Iterator[Frame]]
    promotions: Callable[[frozenset[str] | None], Iterator[Frame]]
    products: Frame | None = None
    households: Frame | None = None
    incomes: Frame | None = None
    currency: str = "money"


def own_tables(
    sales: str | os.PathLike[str],
    promotions: str | os.PathLike[str],
    *,
    products: str | os.PathLike[str] | None = None,
    households: str | os.PathLike[str] | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Source:
    """The user's own tables as a source; `describe_tables` lists their columns.

    Args:
        sales: csv or parquet file, one row per basket and product.
        promotions: csv or parquet file, one row per promoted product, store and week.
        products: category of every product; None: all products are of one category.
        households: segment of every household, for ``segments="given"``.
        batch_rows: rows of a parquet batch.

    Raises:
        InputError: a table is not valid; now for products and households, while reading for the others.
    """
    catalogue = _whole(products, PRODUCTS, "products", "product") if products is not None else None
    known = frozenset(catalogue["product"]) if catalogue is not None else None
    return Source(
        name="own tables",
        notice="the user's own sales and promotions",
        licence="the user's own",
        sales=lambda: _known_rows(
            read_batches(sales, SALES, table="sales", batch_rows=batch_rows), "sales", known
        ),
        promotions=lambda wanted: _promotions(promotions, wanted, known, batch_rows),
        products=catalogue,
        households=_whole(households, HOUSEHOLDS, "households", "household")
        if households is not None
        else None,
    )


def _whole(path: str | os.PathLike[str], columns: tuple[Any, ...], table: str, key: str) -> Frame:
    pandas = require("pandas", extra="data")
    frame = pandas.concat(read_batches(path, columns, table=table), ignore_index=True)
    twice = frame[key].duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise InputError(f"{table}, column {key}, row {row + 1}: {frame[key][row]!r} is there twice")
    return frame


def _known_rows(batches: Iterator[Frame], table: str, known: frozenset[str] | None) -> Iterator[Frame]:
    first_row = 1
    for batch in batches:
        if known is not None:
            unknown = ~batch["product"].isin(known).to_numpy()
            if unknown.any():
                at = int(unknown.argmax())
                raise InputError(
                    f"{table}, column product, row {first_row + at}: {batch['product'].iloc[at]!r} "
                    "is not in the table of products"
                )
        first_row += len(batch)
        yield batch


def _promotions(
    path: str | os.PathLike[str], wanted: frozenset[str] | None, known: frozenset[str] | None, batch_rows: int
) -> Iterator[Frame]:
    batches = read_batches(path, PROMOTIONS, table="promotions", batch_rows=batch_rows)
    for batch in _known_rows(batches, "promotions", known):
        chosen = batch if wanted is None else batch[batch["product"].isin(wanted)]
        columns = {"display": True, "mailer": False}
        yield chosen.assign(**{name: value for name, value in columns.items() if name not in chosen})
