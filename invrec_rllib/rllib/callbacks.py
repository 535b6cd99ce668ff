"""Metrics in money and units beside RLlib's own."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from invrec_rllib.env.accounts import MONEY, UNITS

ECONOMICS = "economics"
_WINDOW = 100
# Stocks are no flows: adding up `on_hand` over periods would mean nothing.
SUMMED = (*MONEY, *(item for item in UNITS if item not in ("on_hand", "on_order")))


class EconomicsCallback(RLlibCallback):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """Logs what episodes earned and sold as `env_runners/economics/<item>`: means of the last 100 finished.

    It adds up the items that `invrec_v0` puts into every step's infos (`env.accounts`), and logs nothing for
    environments without them.
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
            metrics_logger.log_value((ECONOMICS, name), value, reduce="mean", window=_WINDOW)
