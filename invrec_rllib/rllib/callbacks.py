"""Metrics in money and units beside RLlib's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.callbacks.callbacks import RLlibCallback

from invrec_rllib.env.accounts import MONEY, UNITS

ECONOMICS = "economics"
WINDOW = 100
# Stocks are no flows: adding up `on_hand` over periods would mean nothing.
SUMMED = (*MONEY, *(item for item in UNITS if item not in ("on_hand", "on_order")))

Figures = NDArray[np.float64]


class EpisodeSums:
    """What B running episodes have earned and sold so far, from the items of their steps.

    Of the items of `env.accounts` those of `SUMMED` are added up, and the fill rate is weighted by demand; of
    an environment that reports other items, all are added up.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Figures] = {}

    def add(self, items: Mapping[str, Figures]) -> None:
        """Add a step's items, (B,) each; none at all is fine."""
        flows = {name: items[name] for name in SUMMED} if "profit" in items else dict(items)
        if "profit" in items:
            flows["fill_rate"] = items["fill_rate"] * items["demand"]
        if not self._sums:
            self._sums = {name: np.zeros(np.shape(values)) for name, values in flows.items()}
        for name, values in flows.items():
            self._sums[name] += values

    def figures(self, ended: NDArray[np.bool_]) -> dict[str, Figures]:
        """Totals of the episodes that ended, whose sums then begin anew.

        Args:
            ended: which did, (B,), K of them.

        Returns:
            (K,) each; `fill_rate` is the share of demand served, 1 without demand.
        """
        totals = {name: values[ended] for name, values in self._sums.items()}
        for values in self._sums.values():
            values[ended] = 0.0
        if "profit" in totals:
            served, demand = totals["fill_rate"], totals["demand"]
            totals["fill_rate"] = np.divide(served, demand, out=np.ones_like(served), where=demand > 0)
        return totals


class EconomicsCallback(RLlibCallback):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """Logs what episodes earned and sold as `env_runners/economics/<item>`: means of the last 100 finished.

    It adds up the items that `invrec_v0` puts into every step's infos (`env.accounts`), and logs nothing for
    environments without them. The fast runners log the same without it.
    """

    def on_episode_end(
        self, *, episode: Any, prev_episode_chunks: Any = None, metrics_logger: Any = None, **kwargs: Any
    ) -> None:
        """Log the totals of one episode."""
        played = [
            items
            for chunk in [*(prev_episode_chunks or []), episode]
            # Every agent's infos hold the same items of the firm: one agent's will do.
            for items in next(iter(chunk.get_infos().values()), [])
            if "profit" in items
        ]
        if not played or metrics_logger is None:
            return
        totals = {name: sum(items[name] for items in played) for name in SUMMED}
        served = sum(items["fill_rate"] * items["demand"] for items in played)
        totals["fill_rate"] = served / totals["demand"] if totals["demand"] else 1.0
        for name, value in totals.items():
            metrics_logger.log_value((ECONOMICS, name), value, reduce="mean", window=WINDOW)
