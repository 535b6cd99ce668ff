"""Sparse linear programs, written block by block and solved by HiGHS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from invrec_rllib.sim.params import FloatArray, IntArray

# Terms of rows: the rows' numbers, the columns' numbers, the coefficients, which broadcast together.
Term = tuple[IntArray, IntArray, NDArray[np.float64] | float]


@dataclass(frozen=True, eq=False)
class Optimum:
    """A solved program.

    Attributes:
        value: largest value of the objective.
        solution: of each column, (n,).
        equality_prices: what one more unit on the right-hand side of each equality adds to the value.
    """

    value: float
    solution: FloatArray
    equality_prices: FloatArray


@dataclass(eq=False)
class LinearProgram:
    """Maximise `gain . x` subject to equalities, upper limits of rows, and `0 <= x <= upper`."""

    _gain: list[FloatArray] = field(default_factory=list)
    _upper: list[FloatArray] = field(default_factory=list)
    _num_columns: int = 0
    _equal: _Rows = field(default_factory=lambda: _Rows())
    _below: _Rows = field(default_factory=lambda: _Rows())

    def columns(
        self, shape: tuple[int, ...], *, gain: FloatArray | float = 0.0, upper: FloatArray | float = math.inf
    ) -> IntArray:
        """New variables >= 0 with their value per unit and upper limits; returns their numbers in that shape."""
        size = math.prod(shape)
        self._gain.append(np.broadcast_to(gain, shape).reshape(-1).astype(np.float64))
        self._upper.append(np.broadcast_to(upper, shape).reshape(-1).astype(np.float64))
        numbers = np.arange(self._num_columns, self._num_columns + size).reshape(shape)
        self._num_columns += size
        return numbers

    def equal(self, right: FloatArray) -> IntArray:
        """New rows that must equal `right`; returns their numbers in its shape."""
        return self._equal.append(right)

    def below(self, right: FloatArray) -> IntArray:
        """New rows that must stay at or below `right`; returns their numbers in its shape."""
        return self._below.append(right)

    def add_equal(self, *terms: Term) -> None:
        """Add terms to rows made by `equal`."""
        self._equal.add(terms)

    def add_below(self, *terms: Term) -> None:
        """Add terms to rows made by `below`."""
        self._below.add(terms)

    def solve(self) -> Optimum:
        """Solve by HiGHS' interior point method with crossover, which on these programs is the fastest.

        Raises:
            RuntimeError: HiGHS found no optimum.
        """
        gain, upper = np.concatenate(self._gain), np.concatenate(self._upper)
        # HiGHS' tolerances are absolute. A power of 2 scales money without rounding.
        scale = 2.0 ** math.frexp(float(np.abs(gain).max()) or 1.0)[1]
        found = linprog(
            -gain / scale,
            A_ub=self._below.matrix(self._num_columns),
            b_ub=self._below.right(),
            A_eq=self._equal.matrix(self._num_columns),
            b_eq=self._equal.right(),
            bounds=np.stack((np.zeros(len(upper)), upper), axis=1),
            method="highs-ipm",
        )
        if found.status != 0:
            raise RuntimeError(f"the linear program has no optimum: {found.message}")
        return Optimum(-scale * found.fun, found.x, -scale * found.eqlin.marginals)


class _Rows:
    def __init__(self) -> None:
        self._terms: list[tuple[IntArray, IntArray, FloatArray]] = []
        self._right: list[FloatArray] = []
        self._count = 0

    def append(self, right: FloatArray) -> IntArray:
        values = np.asarray(right, dtype=np.float64)
        numbers = np.arange(self._count, self._count + values.size).reshape(values.shape)
        self._right.append(values.reshape(-1))
        self._count += values.size
        return numbers

    def add(self, terms: tuple[Term, ...]) -> None:
        for term in terms:
            rows, columns, values = np.broadcast_arrays(*term)
            self._terms.append((rows.reshape(-1), columns.reshape(-1), values.reshape(-1).astype(np.float64)))

    def matrix(self, num_columns: int) -> sparse.csr_array | None:
        if not self._count:
            return None
        rows, columns, values = (np.concatenate(part) for part in zip(*self._terms, strict=True))
        # Equal places add up.
        return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=(self._count, num_columns)))

    def right(self) -> FloatArray | None:
        return np.concatenate(self._right) if self._right else None
