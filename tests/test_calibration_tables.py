"""Reading the user's tables: what is refused, and that batches change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.sources import own_tables
from invrec_rllib.scenario.calibration.tables import PROMOTIONS, SALES, describe_tables, read_batches

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

HEADER = "week,household,store,basket,product,quantity,amount"
GOOD = ["1,h1,s1,b1,apple,2,3.0", "1,h1,s1,b1,007,1,1.5", "2,h2,s1,b2,apple,0,0"]


def write(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[object]:
    return list(read_batches(path, SALES, table="sales"))


def test_a_valid_csv_keeps_ids_as_text_and_numbers_as_numbers(tmp_path: Path) -> None:
    (frame,) = read(write(tmp_path / "sales.csv", GOOD))
    assert list(frame["product"]) == ["apple", "007", "apple"]
    assert frame["week"].tolist() == [1, 1, 2]
    assert frame["amount"].tolist() == [3.0, 1.5, 0.0]


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ("3,h,s,b,apple,-1,2.0", "quantity", "'-1'"),
        ("3,h,s,b,apple,two,2.0", "quantity", "'two'"),
        ("3,h,s,b,apple,1,nan", "amount", "'nan'"),
        ("3.5,h,s,b,apple,1,2.0", "week", "'3.5'"),
        ("-3,h,s,b,apple,1,2.0", "week", "'-3'"),
        ("3,,s,b,apple,1,2.0", "household", "None"),
    ],
)
def test_a_bad_value_is_named_with_table_column_row_and_value(
    tmp_path: Path, row: str, column: str, value: str
) -> None:
    path = write(tmp_path / "sales.csv", [*GOOD, row])
    with pytest.raises(InputError, match=rf"sales, column {column}, row 4: {value}"):
        read(path)


def test_a_bad_value_in_a_later_batch_is_named_by_its_row_of_the_file(tmp_path: Path) -> None:
    rows = {"week": [1, 2, 3, 4, -5], "store": list("aaaaa"), "product": list("ppppp")}
    pd.DataFrame(rows).to_parquet(tmp_path / "promotions.parquet")
    with pytest.raises(InputError, match=r"promotions, column week, row 5: -5"):
        list(read_batches(tmp_path / "promotions.parquet", PROMOTIONS, table="promotions", batch_rows=2))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "sales.csv", ["1,h1"], header="week,household")
    with pytest.raises(InputError, match="sales: column store, basket, product, quantity, amount is missing"):
        read(path)


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read(tmp_path / "none.csv")
    (tmp_path / "sales.xlsx").write_text("x")
    with pytest.raises(InputError, match=r"must end in \.csv"):
        read(tmp_path / "sales.xlsx")


def test_a_flag_that_is_not_0_or_1_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "promotions.csv", ["1,s,p,1", "1,s,q,2"], header="week,store,product,display")
    with pytest.raises(InputError, match=r"column display, row 2: '2' is not 0 or 1"):
        list(read_batches(path, PROMOTIONS, table="promotions"))


def test_a_product_that_the_table_of_products_lacks_is_named_with_its_row(tmp_path: Path) -> None:
    sales = write(tmp_path / "sales.csv", GOOD)
    promotions = write(tmp_path / "promotions.csv", ["1,s1,apple"], header="week,store,product")
    products = write(tmp_path / "products.csv", ["apple,fruit"], header="product,category")
    source = own_tables(sales, promotions, products=products)
    with pytest.raises(InputError, match="sales, column product, row 2: '007' is not in the table"):
        list(source.sales())


def test_a_product_listed_twice_is_refused(tmp_path: Path) -> None:
    sales = write(tmp_path / "sales.csv", GOOD)
    promotions = write(tmp_path / "promotions.csv", ["1,s1,apple"], header="week,store,product")
    products = write(tmp_path / "products.csv", ["apple,fruit", "apple,food"], header="product,category")
    with pytest.raises(InputError, match="products, column product, row 2: 'apple' is there twice"):
        own_tables(sales, promotions, products=products)


def test_promotions_without_flags_are_displays(tmp_path: Path) -> None:
    promotions = write(tmp_path / "promotions.csv", ["1,s1,apple"], header="week,store,product")
    (frame,) = own_tables(write(tmp_path / "sales.csv", GOOD), promotions).promotions(None)
    assert frame[["display", "mailer"]].to_numpy().tolist() == [[True, False]]


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_reading_in_batches_equals_reading_whole(tmp_path: Path, batch_rows: int) -> None:
    frame = pd.DataFrame(
        {
            "week": range(100),
            "store": [f"s{i % 3}" for i in range(100)],
            "product": [i % 5 for i in range(100)],
            "display": [i % 2 == 0 for i in range(100)],
        }
    )
    frame.to_parquet(tmp_path / "promotions.parquet")
    batches = list(
        read_batches(tmp_path / "promotions.parquet", PROMOTIONS, table="promotions", batch_rows=batch_rows)
    )
    assert len(batches) == -(-100 // batch_rows)
    whole = frame.assign(product=frame["product"].astype("str"), store=frame["store"].astype("str"))
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), whole, check_dtype=False)


def test_the_help_text_lists_every_column() -> None:
    text = describe_tables()
    assert all(f"  {column.name}" in text for column in (*SALES, *PROMOTIONS))
