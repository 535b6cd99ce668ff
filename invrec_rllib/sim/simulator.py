"""A batch of episodes played in lockstep, with checked actions and common random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray, IntArray, Params, compile_scenario
from invrec_rllib.sim.period import simulate_period
from invrec_rllib.sim.randomness import EpisodeKey, EpisodeStreams, episode_keys
from invrec_rllib.sim.state import Outcome, State, initial_state

# A budget met by sums of 32-bit numbers may be missed by this much.
_BUDGET_TOLERANCE = 1e-4
# Where the supplier sets no limit: far below what 64-bit sums hold.
_LARGEST_ORDER = 2**40


class Simulator:
    """Plays B episodes of one world side by side.

    >>> from invrec_rllib.scenario import load_scenario
    >>> simulator = Simulator(load_scenario("tiny"))
    >>> state = simulator.reset(seed=0, episodes=100)
    >>> outcome = simulator.step(order=np.full((100, 2), 2), exposure=np.full((100, 1, 2), 0.5))
    >>> outcome.economics.profit.shape
    (100,)

    Args:
        scenario: the world, or one already compiled.
    """

    def __init__(self, scenario: Scenario | Params) -> None:
        self.params = scenario if isinstance(scenario, Params) else compile_scenario(scenario)
        self._state: State | None = None
        self._streams: EpisodeStreams | None = None

    @property
    def state(self) -> State:
        """The start of the period about to be decided."""
        if self._state is None:
            raise InputError("the simulator has no state yet: call reset first")
        return self._state

    @property
    def streams(self) -> EpisodeStreams:
        """The random streams of the running episodes."""
        if self._streams is None:
            raise InputError("the simulator has no streams yet: call reset first")
        return self._streams

    @property
    def done(self) -> bool:
        """Whether the horizon is reached."""
        return self.state.period >= self.params.num_periods

    def reset(self, *, seed: int, episodes: int | Sequence[int] = 1) -> State:
        """Start episodes `episodes` of `seed`: a count, or their indices. Equal indices face equal chance."""
        return self.reset_keys(episode_keys(seed, episodes))

    def reset_keys(self, keys: Sequence[EpisodeKey]) -> State:
        """Start one episode per key; see `EpisodeStreams`."""
        self._streams = EpisodeStreams(self.params, keys)
        self._state = initial_state(self.params, len(keys))
        return self._state

    def step(self, *, order: Any, exposure: Any) -> Outcome:
        """Play one period.

        Args:
            order: whole units, >= 0, at most the supplier's limit, 0 outside review periods; (B, N).
            exposure: in [0, 1], at most K in sum per segment; (B, M, N).

        Raises:
            InputError: a shape, value or budget is not allowed, or the horizon is reached.
        """
        if self.done:
            raise InputError(f"the horizon of {self.params.num_periods} periods is reached: call reset")
        state = self.state
        self._state, outcome = simulate_period(
            self.params,
            state,
            order=check_order(self.params, order, state=state),
            exposure=check_exposure(self.params, exposure, state=state),
            draws=self.streams.next_period(),
        )
        return outcome


def check_order(params: Params, order: Any, *, state: State) -> IntArray:
    """The order as whole units, or an `InputError` that says what is wrong with it."""
    units = np.asarray(order)
    expected = (state.num_episodes, params.num_products)
    if units.shape != expected:
        raise InputError(f"order has shape {units.shape}, must be {expected} (episodes, products)")
    # A copy: the state remembers what was done, whatever the caller does with the array.
    units = units.copy() if units.dtype == np.int64 else _as_whole_units(units)
    limit = params.max_order if params.limits_orders else _LARGEST_ORDER
    if units.min() < 0 or (units > limit).any():
        worst = np.argwhere((units < 0) | (units > limit))[0]
        most = np.broadcast_to(limit, units.shape)[tuple(worst)]
        raise InputError(
            f"order of product {worst[1]} is {units[tuple(worst)]} units, must be at least 0 and at most {most}"
            + (" (products.max_order)" if params.limits_orders else "")
        )
    if state.period % params.scenario.supply.review_periods and units.any():
        raise InputError(
            f"order must be 0 in period {state.period}: orders are possible only in periods divisible by "
            f"{params.scenario.supply.review_periods} (supply.review_periods)"
        )
    return units


def _as_whole_units(values: np.ndarray[Any, np.dtype[Any]]) -> IntArray:
    if values.dtype.kind not in "iuf":
        raise InputError(f"order must hold whole units, got values of type {values.dtype}")
    # Written so that NaN fails; beyond the largest order a conversion could wrap around.
    wrong = ~((np.floor(values) == values) & (values <= _LARGEST_ORDER) & (values >= -_LARGEST_ORDER))
    if wrong.any():
        worst = np.argwhere(wrong)[0]
        raise InputError(
            f"order of product {worst[1]} is {values[tuple(worst)]}, must be a whole number of units "
            f"from 0 to {_LARGEST_ORDER}"
        )
    return values.astype(np.int64)


def check_exposure(params: Params, exposure: Any, *, state: State) -> FloatArray:
    """The exposure as floats, or an `InputError` that says what is wrong with it."""
    values = np.asarray(exposure)
    if values.dtype.kind not in "iuf":
        raise InputError(f"exposure must hold numbers in [0, 1], got values of type {values.dtype}")
    # A copy, and in C order, so that sums over products round alike whatever the argument's layout.
    values = np.array(values, dtype=np.float64, order="C")
    expected = (state.num_episodes, params.num_segments, params.num_products)
    if values.shape != expected:
        raise InputError(
            f"exposure has shape {values.shape}, must be {expected} (episodes, segments, products)"
        )
    low, high = values.min(), values.max()
    # Written so that NaN fails.
    if not (low >= 0.0 and high <= 1.0 + _BUDGET_TOLERANCE):
        raise InputError(f"exposure must lie in [0, 1], got values from {low:g} to {high:g}")
    used = np.einsum("bmn->bm", values).max()
    if used > params.slots + _BUDGET_TOLERANCE:
        raise InputError(
            f"exposure of one segment sums to {used:.6g}, above its {params.slots:g} slots "
            "(recommendation.slots)"
        )
    return values
