"""From batches to the rows that a calibration needs: visits, lines of the chosen products, promotions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.calibration.sources import Source
from invrec_rllib.scenario.calibration.tables import Frame

_VISIT = ["week", "household", "store", "basket"]


@dataclass(frozen=True)
class Weeks:
    """The weeks that are fitted and the weeks held out, both ends included."""

    first_fit: int = 2
    last_fit: int = 40
    last_test: int = 53

    def __post_init__(self) -> None:
        if not 0 <= self.first_fit < self.last_fit <= self.last_test:
            raise InputError(
                f"weeks must rise: first fitted {self.first_fit} < last fitted {self.last_fit} <= "
                f"last held out {self.last_test}"
            )

    @property
    def fit(self) -> range:
        """The fitted weeks."""
        return range(self.first_fit, self.last_fit + 1)

    @property
    def test(self) -> range:
        """The weeks held out."""
        return range(self.last_fit + 1, self.last_test + 1)


@dataclass(frozen=True)
class Records:
    """Rows of the weeks asked for.

    Attributes:
        visits: one row per basket: week, household, store, basket.
        lines: one row per basket and product in scope with a quantity above 0: also product, quantity,
            amount.
    """

    visits: Frame
    lines: Frame

    def within(self, weeks: range) -> Records:
        """The rows of these weeks only."""
        return Records(
            *(frame[frame["week"].isin(weeks)].reset_index(drop=True) for frame in (self.visits, self.lines))
        )


def collect_sales(source: Source, *, weeks: range, scope: frozenset[str] | None) -> Records:
    """Read the sales once, keeping the visits of all baskets and the lines of the products in scope.

    Args:
        source: where the sales come from.
        weeks: the weeks to keep.
        scope: products whose lines to keep; None: all.

    Raises:
        InputError: a week of `weeks` has no sales at all.
    """
    pandas = require("pandas", extra="data")
    visits, lines = [], []
    for batch in source.sales():
        kept = batch[batch["week"].isin(weeks)]
        visits.append(kept[_VISIT].drop_duplicates())
        sold = kept[kept["quantity"] > 0]
        lines.append(sold if scope is None else sold[sold["product"].isin(scope)])
    if not visits:
        raise InputError("sales: the table has no rows")
    all_visits = pandas.concat(visits, ignore_index=True).drop_duplicates(ignore_index=True)
    absent = sorted(set(weeks) - set(all_visits["week"]))
    if absent:
        raise InputError(
            f"sales: no sales in week {absent[0]} ({len(absent)} of the weeks asked for are empty)"
        )
    keys = [*_VISIT, "product"]
    summed = (
        pandas.concat(lines, ignore_index=True).groupby(keys, as_index=False)[["quantity", "amount"]].sum()
    )
    return Records(visits=all_visits, lines=summed)


def collect_promotions(source: Source, *, weeks: range, products: tuple[str, ...]) -> Frame:
    """Read the promotions of some products in some weeks: week, store, product, display, mailer."""
    pandas = require("pandas", extra="data")
    batches = [batch[batch["week"].isin(weeks)] for batch in source.promotions(frozenset(products))]
    if not batches:
        raise InputError("promotions: the table has no rows")
    keys = ["week", "store", "product"]
    return (
        pandas.concat(batches, ignore_index=True).groupby(keys, as_index=False)[["display", "mailer"]].any()
    )


def products_in_scope(
    source: Source, *, category: str | None, department: str | None
) -> frozenset[str] | None:
    """The products of a category or department; None where neither is named.

    Raises:
        InputError: the source names no categories, or not this one.
    """
    if category is None and department is None:
        return None
    column, value = ("category", category) if category is not None else ("department", department)
    catalogue = source.products
    if catalogue is None or column not in catalogue:
        raise InputError(f"{column} {value!r} was asked for, but the source has no table of products with it")
    chosen = catalogue[catalogue[column] == value]
    if department is not None and category is not None:
        chosen = chosen[chosen["department"] == department]
    if chosen.empty:
        some = ", ".join(sorted(catalogue[column].unique())[:10])
        raise InputError(f"no product has {column} {value!r}; some that there are: {some}")
    return frozenset(chosen["product"])


def choose_products(
    lines: Frame, *, weeks: range, count: int, min_week_share: float = 0.9
) -> tuple[str, ...]:
    """The products bought in most baskets, among those sold in nearly every week.

    Args:
        lines: lines of the fitted weeks.
        weeks: the fitted weeks.
        count: how many products [N].
        min_week_share: share of the weeks in which a product must have sold.

    Raises:
        InputError: fewer products than asked for qualify.
    """
    sold = lines.groupby("product").agg(baskets=("basket", "size"), weeks=("week", "nunique"))
    steady = sold[sold["weeks"] >= np.ceil(min_week_share * len(weeks))].reset_index()
    if len(steady) < count:
        raise InputError(
            f"{count} products were asked for, but only {len(steady)} sold in at least "
            f"{min_week_share:.0%} of the {len(weeks)} fitted weeks"
        )
    ranked = steady.sort_values(["baskets", "product"], ascending=[False, True])
    return tuple(ranked["product"].head(count))
