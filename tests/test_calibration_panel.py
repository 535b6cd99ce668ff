"""The panel counted by hand on a small frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.panel import build_panel
from invrec_rllib.scenario.calibration.records import Records, choose_products, collect_sales
from invrec_rllib.scenario.calibration.segments import Segmentation, segment_households
from invrec_rllib.scenario.calibration.sources import Source

pd = pytest.importorskip("pandas")

COLUMNS = ["week", "household", "store", "basket", "product", "quantity", "amount"]
# Households a* are in segment 0, b* in segment 1. Week 1 is outside; store s3 never has a promotion.
ROWS = [
    (1, "a1", "s1", "k0", "p", 9, 90.0),
    (2, "a1", "s1", "k1", "p", 2, 4.0),
    (2, "a1", "s1", "k1", "q", 1, 5.0),
    (2, "a1", "s2", "k2", "x", 1, 1.0),
    (2, "a2", "s1", "k3", "p", 1, 2.0),
    (2, "a2", "s3", "k4", "q", 1, 5.0),
    (2, "b1", "s2", "k5", "p", 1, 3.0),
    (2, "b1", "s2", "k5", "p", 1, 3.0),
    (3, "a1", "s1", "k6", "x", 1, 1.0),
    (3, "b1", "s2", "k7", "q", 4, 16.0),
    (3, "b1", "s2", "k7", "p", 0, 0.0),
    (3, "b1", "s1", "k8", "x", 2, 2.0),
]
PROMOTIONS = [(2, "s1", "p", True, False), (2, "s2", "q", False, True), (3, "s2", "q", True, True)]


def source() -> Source:
    def batches() -> Any:
        frame = pd.DataFrame(ROWS, columns=COLUMNS)
        yield frame.iloc[:5]
        yield frame.iloc[5:]

    return Source("test", "", "", sales=batches, promotions=lambda wanted: iter(()))


def segmentation() -> Segmentation:
    labels = {"a1": 0, "a2": 0, "b1": 1}
    return Segmentation(("a", "b"), (labels, labels), labels, default=1, last_fit=3)


def panel(weeks: range = range(2, 4)) -> Any:
    records = collect_sales(source(), weeks=weeks, scope=frozenset({"p", "q"}))
    promotions = pd.DataFrame(PROMOTIONS, columns=["week", "store", "product", "display", "mailer"])
    return build_panel(records, promotions, products=("p", "q"), segmentation=segmentation(), weeks=weeks)


def test_visits_are_baskets_of_any_product() -> None:
    np.testing.assert_array_equal(panel().visits, [[4, 1], [1, 2]])


def test_purchases_are_baskets_with_the_product_and_units_their_quantity() -> None:
    np.testing.assert_array_equal(panel().purchases, [[[2, 2], [1, 0]], [[0, 0], [0, 1]]])
    np.testing.assert_array_equal(panel().units, [[[3, 2], [2, 0]], [[0, 0], [0, 4]]])


def test_exposure_is_the_share_of_visits_to_stores_with_display_or_mailer() -> None:
    # Week 2, segment a: 2 of 4 visits to s1 (p shown), 1 of 4 to s2 (q mailed); s3 has none.
    np.testing.assert_allclose(panel().exposure, [[[0.5, 0.25], [0, 1]], [[0, 0], [0, 0.5]]])


def test_price_is_amount_over_units_and_carries_over_a_week_without_sales() -> None:
    np.testing.assert_allclose(panel().price, [[12.0 / 5.0, 5.0], [12.0 / 5.0, 4.0]])


def test_store_panel_counts_display_only_and_leaves_out_stores_without_promotions() -> None:
    stores = panel().stores
    np.testing.assert_array_equal(stores.visits[0], [[2, 1], [1, 0]])
    np.testing.assert_array_equal(stores.display[1], [[False, False], [False, True]])
    np.testing.assert_array_equal(stores.purchases[0, 1], [[1, 0], [0, 0]])


def test_week_1_counts_only_when_asked_for() -> None:
    assert panel(range(1, 4)).units.sum() == panel().units.sum() + 9


def test_a_product_never_sold_has_no_price_and_is_refused() -> None:
    records = collect_sales(source(), weeks=range(2, 4), scope=frozenset({"p"}))
    promotions = pd.DataFrame(PROMOTIONS, columns=["week", "store", "product", "display", "mailer"])
    with pytest.raises(InputError, match="product 'z' was not sold in weeks 2 to 3"):
        build_panel(records, promotions, products=("p", "z"), segmentation=segmentation(), weeks=range(2, 4))


def test_a_week_without_sales_is_refused() -> None:
    with pytest.raises(InputError, match="no sales in week 4"):
        collect_sales(source(), weeks=range(2, 6), scope=None)


def test_products_are_ranked_by_baskets_among_those_sold_in_nearly_every_week() -> None:
    records = collect_sales(source(), weeks=range(2, 4), scope=None)
    # p sells in one of two weeks only; q and x in both, x in more baskets.
    assert choose_products(records.lines, weeks=range(2, 4), count=2) == ("q", "x")
    with pytest.raises(InputError, match="only 2 sold in at least 90%"):
        choose_products(records.lines, weeks=range(2, 4), count=3)


def tasteful_records() -> Records:
    """40 households that buy p in even weeks and q in odd weeks, every week twice."""
    rows = [
        (week, f"h{h}", "s1", f"{week}-{h}-{k}", "p" if week % 2 == 0 else "q", 1, 1.0)
        for week in range(2, 12)
        for h in range(40)
        for k in range(2)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return Records(visits=frame[["week", "household", "store", "basket"]], lines=frame)


def test_taste_of_a_week_comes_from_the_weeks_of_the_other_parity() -> None:
    records = tasteful_records()
    # Half of the households become lovers of p in every week, so that two tastes exist.
    lovers = records.lines["household"].str.slice(1).astype(int) < 20
    records.lines.loc[lovers, "product"] = "p"
    found = segment_households(source(), records, products=("p", "q"), weeks=range(2, 12), count=3)
    rows = pd.DataFrame({"household": ["h0", "h39", "h39", "new"], "week": [2, 2, 3, 2]})
    lover, even, odd, new = found.segment_of(rows).tolist()
    # In even weeks h39 is what its odd weeks say (q), in odd weeks what its even weeks say (p).
    assert odd == lover
    assert even != lover
    # Nobody is occasional here, so that segment is merged into the largest, which newcomers join.
    assert found.names == ("taste_1", "taste_2")
    assert new == 0


def test_segments_that_the_source_cannot_give_are_refused() -> None:
    for kind in ("income", "given"):
        with pytest.raises(InputError, match=f"segments='{kind}' needs"):
            segment_households(
                source(), tasteful_records(), products=("p", "q"), weeks=range(2, 12), kind=kind
            )
