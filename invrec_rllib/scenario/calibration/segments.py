"""Household segments: by taste, income, behaviour, or as the user gives them.

Segments found from purchases are assigned crosswise: in an odd fitted week a household is in the segment that
its purchases of the even fitted weeks suggest, and the other way round. Else the purchases that put a
household in a segment would also be counted as that segment's demand, and segments would look further apart
than they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.calibration.records import Records
from invrec_rllib.scenario.calibration.sources import Source
from invrec_rllib.scenario.calibration.tables import Frame

SegmentKind = Literal["taste", "income", "behaviour", "given"]
IntArray = NDArray[np.int64]

MIN_WEEKLY_PURCHASES = 0.1
"""Purchases per week below which a household shows no taste."""

MIN_SEGMENT_PURCHASES = 50
"""Purchases of the chosen products in the fitted weeks below which a segment is too small to fit."""


@dataclass(frozen=True)
class Segmentation:
    """Which segment a household is in, by week.

    Attributes:
        names: the M segments.
        by_parity: segment of each household in the even and in the odd fitted weeks.
        afterwards: segment of each household in later weeks, from all fitted weeks.
        default: segment of a household that none of these knows.
        last_fit: last fitted week.
    """

    names: tuple[str, ...]
    by_parity: tuple[dict[str, int], dict[str, int]]
    afterwards: dict[str, int]
    default: int
    last_fit: int

    def segment_of(self, frame: Frame) -> IntArray:
        """Segment index of each row, from its columns household and week."""
        household, week = frame["household"], frame["week"].to_numpy()
        even, odd, later = (
            household.map(labels).fillna(self.default).to_numpy(np.int64)
            for labels in (*self.by_parity, self.afterwards)
        )
        labels: IntArray = np.where(week > self.last_fit, later, np.where(week % 2 == 0, even, odd))
        return labels

    def merged(self, counts: IntArray) -> Segmentation:
        """Without the segments of too few purchases: their households join the segment that has most.

        Args:
            counts: purchases of each segment in the fitted weeks, shape (M,).
        """
        kept = np.nonzero((counts >= MIN_SEGMENT_PURCHASES) | (counts == counts.max()))[0]
        largest = int(np.argmax(counts[kept]))
        target = [int(np.searchsorted(kept, m)) if m in kept else largest for m in range(len(counts))]
        even, odd, later = (
            {household: target[m] for household, m in labels.items()}
            for labels in (*self.by_parity, self.afterwards)
        )
        names = tuple(self.names[m] for m in kept)
        return Segmentation(names, (even, odd), later, target[self.default], self.last_fit)


def segment_households(
    source: Source,
    records: Records,
    *,
    products: tuple[str, ...],
    weeks: range,
    kind: SegmentKind = "taste",
    count: int = 4,
    seed: int = 0,
) -> Segmentation:
    """Put households in segments, from the fitted weeks only.

    Args:
        source: gives incomes and the user's own segments.
        records: visits and lines of the fitted weeks.
        products: the chosen products, for tastes.
        weeks: the fitted weeks.
        kind: `taste`: what a household buys of the products, and a segment of occasional buyers; `income`;
            `behaviour`: many or few visits, high or low prices paid; `given`: the user's own.
        count: how many segments [M], for taste.
        seed: of the starts of the clustering.

    Raises:
        InputError: the source lacks what the kind needs, or the kind is not known.
    """
    found = _segments_of_kind(source, records, products, weeks, kind, count, seed)
    bought = records.lines[records.lines["product"].isin(products)]
    counts = np.bincount(found.segment_of(bought), minlength=len(found.names))
    return found.merged(counts)


def _segments_of_kind(
    source: Source,
    records: Records,
    products: tuple[str, ...],
    weeks: range,
    kind: SegmentKind,
    count: int,
    seed: int,
) -> Segmentation:
    if kind in ("income", "given"):
        return _from_table(source, kind, last_fit=weeks[-1])
    if kind == "taste":
        names, learn = _tastes(records, products=products, count=count, seed=seed)
    elif kind == "behaviour":
        names, learn = _behaviours()
    else:
        raise InputError(f"segments must be taste, income, behaviour or given, got {kind!r}")
    halves = [[week for week in weeks if week % 2 == parity] for parity in (0, 1)]
    from_even, from_odd, from_all = (learn(records, selected) for selected in (*halves, list(weeks)))
    return Segmentation(names, (from_odd, from_even), from_all, default=len(names) - 1, last_fit=weeks[-1])


Rule = Callable[[Records, list[int]], dict[str, int]]


def _from_table(source: Source, kind: str, *, last_fit: int) -> Segmentation:
    table = source.incomes if kind == "income" else source.households
    if table is None:
        needed = "incomes" if kind == "income" else "a table of households and their segments"
        raise InputError(f"segments={kind!r} needs {needed}, which {source.name} does not have")
    names = (*sorted(table["segment"].unique()), "unknown")
    place = {name: index for index, name in enumerate(names)}
    labels = {
        household: place[name] for household, name in zip(table["household"], table["segment"], strict=True)
    }
    return Segmentation(names, (labels, labels), labels, default=len(names) - 1, last_fit=last_fit)


def _tastes(
    records: Records, *, products: tuple[str, ...], count: int, seed: int
) -> tuple[tuple[str, ...], Rule]:
    """A mixture of multinomials over the products, each household in its likeliest component."""
    if count < 2:
        raise InputError(f"taste segments: count must be at least 2 (one of occasional buyers), got {count}")
    place = {product: i for i, product in enumerate(products)}

    def purchases(selected: Records, weeks: list[int]) -> tuple[list[str], NDArray[np.float64]]:
        lines = selected.lines
        lines = lines[lines["week"].isin(weeks) & lines["product"].isin(place)]
        wide = lines.groupby(["household", "product"]).size().unstack(fill_value=0)
        wide = wide.reindex(columns=list(products), fill_value=0)
        enough = wide.sum(axis=1) >= MIN_WEEKLY_PURCHASES * len(weeks)
        return list(wide.index[enough]), wide[enough].to_numpy(float)

    all_weeks = sorted(records.lines["week"].unique())
    _, counts = purchases(records, all_weeks)
    if len(counts) < 10 * (count - 1):
        raise InputError(f"only {len(counts)} households buy often enough for {count - 1} taste segments")
    log_shares = _cluster_counts(counts, count=count - 1, seed=seed)

    def learn(selected: Records, weeks: list[int]) -> dict[str, int]:
        households, bought = purchases(selected, weeks)
        return dict(zip(households, (bought @ log_shares.T).argmax(axis=1).tolist(), strict=True))

    return (*(f"taste_{m + 1}" for m in range(count - 1)), "occasional"), learn


def _cluster_counts(
    counts: NDArray[np.float64], *, count: int, seed: int, starts: int = 20, steps: int = 50
) -> NDArray[np.float64]:
    """Log shares of the clusters that explain the counts best (classification EM), largest cluster first."""
    rng = np.random.default_rng(seed)
    pooled = counts.sum(axis=0) / counts.sum()
    best_value, best = -np.inf, np.empty((0, 0))
    for _ in range(starts):
        label = rng.integers(count, size=len(counts))
        for _ in range(steps):
            sums = np.stack([counts[label == m].sum(axis=0) for m in range(count)])
            # A few purchases spread as the average: no cluster rules a product out.
            log_shares = np.log((sums + 5.0 * pooled) / (sums.sum(axis=1, keepdims=True) + 5.0))
            score = counts @ log_shares.T
            label, before = score.argmax(axis=1), label
            if np.array_equal(label, before):
                break
        value = float(score.max(axis=1).sum())
        if value > best_value + 1e-6:
            order = np.argsort(
                -np.bincount(label, weights=counts.sum(axis=1), minlength=count), kind="stable"
            )
            best_value, best = value, log_shares[order]
    return best


def _behaviours() -> tuple[tuple[str, ...], Rule]:
    names = ("many visits, deals", "many visits, regular", "few visits, deals", "few visits, regular")

    def learn(records: Records, weeks: list[int]) -> dict[str, int]:
        visits = records.visits[records.visits["week"].isin(weeks)].groupby("household").size()
        lines = records.lines[records.lines["week"].isin(weeks)]
        typical = (
            lines["amount"].groupby(lines["product"]).sum()
            / lines["quantity"].groupby(lines["product"]).sum()
        )
        at_typical = lines["quantity"] * lines["product"].map(typical)
        paid = (
            lines["amount"].groupby(lines["household"]).sum() / at_typical.groupby(lines["household"]).sum()
        )
        few = (visits <= visits.median()).astype(int)
        regular = (paid.reindex(visits.index) > paid.median()) | ~visits.index.isin(paid.index)
        return {household: 2 * few[household] + int(regular[household]) for household in visits.index}

    return names, learn
