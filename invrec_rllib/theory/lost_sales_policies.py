"""The simple policies for lost sales with a lead time, and what they cost in the long run, exactly.

A rule maps states (n, L), on hand after receipt and then the orders under way, the next to arrive first, to orders
(n,). `average_cost` builds the Markov chain of the states that a rule reaches and solves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray
from invrec_rllib.theory.lost_sales import LostSales

Rule = Callable[[IntArray], IntArray]

_MOST_STATES = 400_000
# Chains of up to this many states are solved at once, larger ones by iteration.
_DENSE_STATES = 150
_MOST_ITERATIONS = 100_000
# States whose projection is computed at once: a few megabytes.
_BLOCK_STATES = 4096
# The largest stock that a constant order may pile up, and the probability that counts as hardly ever.
_MOST_ON_HAND = 4096
_NEGLIGIBLE = 1e-12


class PolicyCost(NamedTuple):
    """The best policy of a family: average cost per period, and its parameters by name, units."""

    cost: float
    parameters: dict[str, float]


def base_stock(level: int) -> Rule:
    """Order up to a level of on hand plus on order."""
    return capped_base_stock(level, cap=level)


def capped_base_stock(level: int, *, cap: int) -> Rule:
    """Order up to a level, but at most a cap (Xin 2021)."""
    return lambda states: np.clip(level - states.sum(axis=1), 0, cap)


def myopic(problem: LostSales) -> Rule:
    """Minimise the expected cost of the period in which the order arrives (Morton 1971; Zipkin's Myopic1).

    The smallest order q with P(D <= I + q) >= p / (p + h), where I is what is on hand just before it arrives.
    """
    below = problem.demand.cdf(np.arange(float(problem.position_limit + 1)))

    def rule(states: IntArray) -> IntArray:
        projected = projected_on_hand(problem, states)
        width = projected.shape[1]
        order = np.zeros(len(states), dtype=np.int64)
        for quantity in range(problem.order_limit):
            covered = below[np.minimum(np.arange(width) + quantity, len(below) - 1)]
            order += projected @ covered < problem.critical_ratio
        return order

    return rule


def projected_level(problem: LostSales, level: float) -> Rule:
    """Raise the mean of what will be on hand when the order arrives to a level, in whole units (van Jaarsveld
    and Arts 2024)."""

    def rule(states: IntArray) -> IntArray:
        projected = projected_on_hand(problem, states)
        mean = projected @ np.arange(projected.shape[1])
        return np.maximum(np.floor(level - mean + 0.5).astype(np.int64), 0)

    return rule


def projected_on_hand(problem: LostSales, states: IntArray) -> FloatArray:
    """Distribution of what is on hand just before an order placed now arrives, (n, C + 1).

    Args:
        problem: the product.
        states: (n, L).

    Returns:
        P(0), P(1), ..., P(C units), C the most that any state can have left.
    """
    most = int(states.sum(axis=1).max())
    left = problem.left_over(most)
    blocks = np.split(states, range(_BLOCK_STATES, len(states), _BLOCK_STATES))
    return np.concatenate([_project(block, left) for block in blocks])


def _project(states: IntArray, left: FloatArray) -> FloatArray:
    units = np.arange(len(left))
    projected = left[states[:, 0]]
    for arriving in states.T[1:]:
        before = units - arriving[:, None]
        shifted = np.take_along_axis(projected, np.maximum(before, 0), axis=1)
        projected = np.where(before >= 0, shifted, 0.0) @ left
    return projected


def average_cost(problem: LostSales, rule: Rule) -> float:
    """Average cost per period of a rule in the long run, starting from an empty system.

    Raises:
        InputError: the rule reaches too many states, or its chain does not settle.
    """
    states, chain = _chain(problem, rule)
    share = _stationary(chain)
    on_hand = states[:, 0]
    return float(share @ problem.period_cost(int(on_hand.max()))[on_hand])


def _chain(problem: LostSales, rule: Rule) -> tuple[IntArray, csr_array]:
    """States that a rule reaches from an empty system, (n, L), and the probabilities between them, (n, n)."""
    base = 2**20 if problem.lead_time <= 3 else 2 ** (62 // problem.lead_time)
    place = base ** np.arange(problem.lead_time)
    known = np.zeros(1, dtype=np.int64)
    frontier = np.zeros((1, problem.lead_time), dtype=np.int64)
    edges: list[tuple[IntArray, IntArray, FloatArray]] = []
    while len(frontier):
        source, target, probability = _moves(problem, frontier, rule(frontier))
        if target.max() >= base:
            raise InputError(f"a rule holds {target.max()} units: more than can be evaluated")
        code = target @ place
        edges.append(((frontier @ place)[source], code, probability))
        fresh = np.setdiff1d(code, known)
        known = np.union1d(known, fresh)
        if len(known) > _MOST_STATES:
            raise InputError(f"a rule reaches more than {_MOST_STATES:,} states: shorten the lead time")
        frontier = fresh[:, None] // place % base
    source, target, probability = (np.concatenate(part) for part in zip(*edges, strict=True))
    rows, columns = np.searchsorted(known, source), np.searchsorted(known, target)
    chain = csr_array((probability, (rows, columns)), shape=(len(known), len(known)))
    return known[:, None] // place % base, chain


def _moves(problem: LostSales, states: IntArray, order: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Possible next states of each: index of the state, next state (m, L), probability (m,)."""
    on_hand = states[:, 0]
    left = problem.left_over(int(on_hand.max()))
    probability = left[on_hand]
    source, remaining = np.nonzero(probability)
    pipeline = np.column_stack([states[:, 1:], order])[source]
    target = np.column_stack([remaining + pipeline[:, 0], pipeline[:, 1:]])
    return source, target, probability[source, remaining]


def _stationary(chain: csr_array) -> FloatArray:
    size = chain.shape[0]
    if size <= _DENSE_STATES:
        balance = chain.toarray().T - np.eye(size)
        # One equation follows from the others; the shares sum to 1.
        balance[-1] = 1.0
        shares: FloatArray = np.linalg.solve(balance, np.eye(size)[-1])
        return shares
    step = csr_array(chain.T)
    share = np.full(size, 1.0 / size)
    for _ in range(_MOST_ITERATIONS):
        moved = step @ share
        moved /= moved.sum()
        if np.abs(moved - share).sum() < 1e-10:
            return np.asarray(moved)
        share = moved
    raise InputError(f"the chain of {size:,} states did not settle in {_MOST_ITERATIONS:,} iterations")


def best_base_stock(problem: LostSales) -> PolicyCost:
    """The best level; the cost is convex in it (Janakiraman and Roundy 2004)."""
    level, cost = _descend(lambda s: average_cost(problem, base_stock(int(s))), start=problem.position_limit)
    return PolicyCost(cost, {"level": level})


def best_capped_base_stock(problem: LostSales) -> PolicyCost:
    """The best level and cap: for every cap from the mean demand on, the level by descent from the last cap's.

    The caps end where one no longer binds or two in turn bring nothing.
    """
    level = float(problem.position_limit)
    found: list[tuple[float, float, int]] = []
    for cap in range(max(math.floor(problem.demand.mean), 1), problem.position_limit + 1):
        level, cost = _descend(_cost_of_level(problem, cap), start=level)
        found.append((cost, level, cap))
        if min(found)[2] <= cap - 2:
            break
    cost, level, cap = min(found)
    return PolicyCost(cost, {"level": level, "cap": float(cap)})


def best_constant_order(problem: LostSales) -> PolicyCost:
    """The best constant order (Reiman 2004; Xin and Goldberg 2016), below the mean demand.

    Its cost does not depend on the lead time. For a demand without a bound on hand has none either.

    Raises:
        InputError: so close to the mean demand that stock hardly ever comes down again.
    """
    largest = math.ceil(problem.demand.mean) - 1
    costs = [_constant_order_cost(problem, quantity) for quantity in range(largest + 1)]
    best = int(np.argmin(costs))
    return PolicyCost(costs[best], {"quantity": float(best)})


def _constant_order_cost(problem: LostSales, quantity: int) -> float:
    largest = 2 * (problem.position_limit + 1)
    while largest <= _MOST_ON_HAND:
        left = problem.left_over(largest)
        chain = np.zeros(left.shape)
        chain[:, quantity:] = left[:, : largest + 1 - quantity]
        # What would rise above the largest stock stays there: it must hardly ever happen.
        chain[:, -1] += left[:, largest + 1 - quantity :].sum(axis=1)
        share = _stationary(csr_array(chain))
        if share[-1] < _NEGLIGIBLE:
            return float(share @ problem.period_cost(largest))
        largest *= 2
    raise InputError(
        f"a constant order of {quantity} against a mean demand of {problem.demand.mean:g} holds more than "
        f"{_MOST_ON_HAND:,} units at times: more than can be evaluated"
    )


def _cost_of_level(problem: LostSales, cap: int) -> Callable[[float], float]:
    return lambda level: average_cost(problem, capped_base_stock(int(level), cap=cap))


def best_projected_level(problem: LostSales) -> PolicyCost:
    """The best level of projected inventory, in quarters of a unit, by descent in whole units and then in quarters."""

    def cost_of(level: float) -> float:
        return average_cost(problem, projected_level(problem, level))

    level, _ = _descend(cost_of, start=float(problem.order_limit))
    level, cost = _descend(cost_of, start=level, step=0.25)
    return PolicyCost(cost, {"level": level})


def _descend(cost_of: Callable[[float], float], *, start: float, step: float = 1.0) -> tuple[float, float]:
    """The first local minimum that steps downhill from `start` lead to, and its cost; never below 0."""
    best, cost = start, cost_of(start)
    for direction in (-step, step):
        moved = False
        while best + direction >= 0.0 and (ahead := cost_of(best + direction)) < cost:
            best, cost, moved = best + direction, ahead, True
        if moved:
            break
    return best, cost
