"""Weekly demand by product and segment, with visits, prices and exposure; and the same by store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.calibration.records import Records
from invrec_rllib.scenario.calibration.segments import Segmentation
from invrec_rllib.scenario.calibration.tables import Frame

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class StorePanel:
    """Purchases by store, for stores with promotions; axes (segment, product, store, week).

    Attributes:
        purchases: baskets with the product, shape (M, N, S, W).
        visits: baskets, shape (M, S, W).
        display: whether the product was on display, shape (N, S, W).
    """

    purchases: FloatArray
    visits: FloatArray
    display: NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """What happened in the chain, by week.

    Attributes:
        weeks: week numbers, W of them.
        products: product ids, N of them.
        segments: segment names, M of them.
        purchases: baskets with the product, shape (W, M, N).
        units: units sold, shape (W, M, N).
        visits: baskets, shape (W, M).
        exposure: share of a segment's visits to stores where the product is on display or in the mailer,
            shape (W, M, N), 0 to 1.
        price: amount paid per unit, money, shape (W, N); in a week without sales the week's before.
        stores: the same by store, for the identification within store and week.
    """

    weeks: tuple[int, ...]
    products: tuple[str, ...]
    segments: tuple[str, ...]
    purchases: FloatArray
    units: FloatArray
    visits: FloatArray
    exposure: FloatArray
    price: FloatArray
    stores: StorePanel


def build_panel(
    records: Records,
    promotions: Frame,
    *,
    products: tuple[str, ...],
    segmentation: Segmentation,
    weeks: range,
    price_before: FloatArray | None = None,
) -> Panel:
    """Count purchases, units, visits and exposed visits.

    Args:
        records: visits and lines; rows of other weeks and products are ignored.
        promotions: week, store, product, display, mailer; a row that is not there was no promotion.
        products: the chosen products.
        segmentation: which segment a household is in.
        weeks: the weeks of the panel.
        price_before: last known price of each product, for weeks before its first sale, shape (N,); None: the
            price of its first sale.

    Raises:
        InputError: a product was not sold in any of the weeks and has no price from before.
    """
    rows = records.within(weeks)
    lines = rows.lines[rows.lines["product"].isin(products)]
    promoted = promotions[promotions["week"].isin(weeks) & promotions["product"].isin(products)]
    stores = sorted(set(promotions["store"]))
    sizes = (len(segmentation.names), len(products), len(stores) + 1, len(weeks))

    # Stores without any promotion share the last place: they count as visits and sales, not as stores.
    visit_at = _places(rows.visits, segmentation, products, stores, weeks)
    line_at = _places(lines, segmentation, products, stores, weeks)
    visits = _count(visit_at, ("segment", "store", "week"), (sizes[0], sizes[2], sizes[3]))
    purchases = _count(line_at, ("segment", "product", "store", "week"), sizes)
    units = _count(line_at, ("segment", "product", "week"), (sizes[0], sizes[1], sizes[3]), lines["quantity"])
    display, either = _promoted(promoted, products, stores, weeks)

    chain_visits = visits.sum(axis=1)
    exposed = np.einsum("msw,nsw->mnw", visits[:, :-1], either.astype(float))
    return Panel(
        weeks=tuple(weeks),
        products=products,
        segments=segmentation.names,
        purchases=purchases.sum(axis=2).transpose(2, 0, 1),
        units=units.transpose(2, 0, 1),
        visits=chain_visits.T,
        exposure=(exposed / np.maximum(chain_visits, 1.0)[:, None]).transpose(2, 0, 1),
        price=_weekly_prices(lines, products, weeks, price_before),
        stores=StorePanel(purchases=purchases[:, :, :-1], visits=visits[:, :-1], display=display),
    )


def _places(
    frame: Frame, segmentation: Segmentation, products: tuple[str, ...], stores: list[str], weeks: range
) -> dict[str, NDArray[np.int64]]:
    pandas = require("pandas", extra="data")
    store = pandas.Index(stores).get_indexer(frame["store"])
    places = {
        "segment": segmentation.segment_of(frame),
        "store": np.where(store < 0, len(stores), store),
        "week": frame["week"].to_numpy(np.int64) - weeks[0],
    }
    if "product" in frame:
        places["product"] = pandas.Index(products).get_indexer(frame["product"])
    return places


def _count(
    places: dict[str, NDArray[np.int64]],
    axes: tuple[str, ...],
    shape: tuple[int, ...],
    weight: Frame | None = None,
) -> FloatArray:
    flat = np.ravel_multi_index(tuple(places[axis] for axis in axes), shape)
    weights = None if weight is None else weight.to_numpy(float)
    return np.bincount(flat, weights=weights, minlength=int(np.prod(shape))).reshape(shape).astype(float)


def _promoted(
    promoted: Frame, products: tuple[str, ...], stores: list[str], weeks: range
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether on display, and whether on display or in the mailer; each of shape (N, S, W)."""
    pandas = require("pandas", extra="data")
    display = np.zeros((len(products), len(stores), len(weeks)), bool)
    either = display.copy()
    at = (
        pandas.Index(products).get_indexer(promoted["product"]),
        pandas.Index(stores).get_indexer(promoted["store"]),
        promoted["week"].to_numpy(np.int64) - weeks[0],
    )
    shown, mailed = promoted["display"].to_numpy(bool), promoted["mailer"].to_numpy(bool)
    np.logical_or.at(display, at, shown)
    np.logical_or.at(either, at, shown | mailed)
    return display, either


def _weekly_prices(
    lines: Frame, products: tuple[str, ...], weeks: range, price_before: FloatArray | None
) -> FloatArray:
    sums = lines.groupby(["week", "product"])[["amount", "quantity"]].sum()
    price = (sums["amount"] / sums["quantity"]).where(sums["amount"] > 0).unstack("product")
    price = price.reindex(index=list(weeks), columns=list(products)).ffill()
    if price_before is not None:
        price = price.fillna(dict(zip(products, price_before.tolist(), strict=True)))
    price = price.bfill()
    unsold = [product for product in products if price[product].isna().all()]
    if unsold:
        raise InputError(
            f"product {unsold[0]!r} was not sold in weeks {weeks[0]} to {weeks[-1]}: it has no price"
        )
    filled: FloatArray = price.to_numpy(float)
    return filled
