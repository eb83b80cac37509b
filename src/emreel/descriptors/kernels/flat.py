"""Flat loops that the compiler vectorises, and window sums made of them.

Everything here works on one-dimensional contiguous pieces. Two rules hold throughout, so that a tile gives the
same bits as the whole frame: an output is always the same tree of additions, wherever it lies in its array
(doubling windows, no running sums), and a loop touches at most eight arrays (beyond that the compiler gives up).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]
ZERO = np.float32(0)
F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of one thread's work: no lock held, kept on disk between sessions.

    ``contract`` lets a multiply and an add become one instruction; nothing is ever reordered.
    """
    compile_it: Any = njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
    compiled: F = compile_it(function)
    return compiled


@kernel
def fill(out: Array, value: Any) -> None:
    """out = value."""
    for e in range(out.size):
        out[e] = value


@kernel
def copy(out: Array, a: Array) -> None:
    """out = a."""
    for e in range(out.size):
        out[e] = a[e]


@kernel
def add(out: Array, a: Array) -> None:
    """out += a."""
    for e in range(out.size):
        out[e] += a[e]


@kernel
def sum2(out: Array, a: Array, b: Array) -> None:
    """out = a + b."""
    for e in range(out.size):
        out[e] = a[e] + b[e]


@kernel
def sum3(out: Array, a: Array, b: Array, c: Array) -> None:
    """out = (a + b) + c."""
    for e in range(out.size):
        out[e] = (a[e] + b[e]) + c[e]


@kernel
def sum4(out: Array, a: Array, b: Array, c: Array, d: Array) -> None:
    """out = (a + b) + (c + d)."""
    for e in range(out.size):
        out[e] = (a[e] + b[e]) + (c[e] + d[e])


@kernel
def add2(out: Array, a: Array, b: Array) -> None:
    """out += a, then out += b."""
    for e in range(out.size):
        out[e] = (out[e] + a[e]) + b[e]


def n_levels(length: int) -> int:
    """How many rows of work `sum_windows` needs for windows up to this length: the source, the tail, its levels."""
    return 2 + (max(length, 1).bit_length() - 1) // 2


#: For calls of `sum_windows`: numba compiles it anew for every plain constant, but not for these.
NEXT: Any = np.int64(1)
WITH_TAIL: Any = np.bool_(True)
NO_TAIL: Any = np.bool_(False)


@kernel
def sum_windows(out: Array, work: Array, length: int, step: int, with_tail: bool) -> None:
    """out[e] = sum of work[0, e + u step] over u < length, and work[1, e + length step] where asked for.

    Rows 2, 3, ... of ``work``, shape (n_levels(length), >= out.size + length step), get the sums of 4, 16, ...
    neighbours; the base-4 digits of the length pick those that make up the window.
    """
    n = out.size
    at = np.empty((20, 2), np.int64)
    n_terms, position, width, level, rest = 0, 0, 1, 0, length
    while rest > 0:
        for _ in range(rest % 4):
            at[n_terms, 0] = level
            at[n_terms, 1] = position * step
            n_terms += 1
            position += width
        rest //= 4
        if rest > 0:
            m = n + (length - 4 * width) * step
            source, row, jump = work[level], max(level, 1) + 1, width * step
            sum4(work[row, :m], source[:m], source[jump : jump + m],
                 source[2 * jump : 2 * jump + m], source[3 * jump : 3 * jump + m])  # fmt: skip
            level, width = row, 4 * width
    if with_tail:
        at[n_terms, 0] = 1
        at[n_terms, 1] = length * step
        n_terms += 1
    a = work[at[0, 0], at[0, 1] : at[0, 1] + n]
    done = min(n_terms, 3)
    if done == 1:
        copy(out, a)
    else:
        b = work[at[1, 0], at[1, 1] : at[1, 1] + n]
        if done == 2:
            sum2(out, a, b)
        else:
            sum3(out, a, b, work[at[2, 0], at[2, 1] : at[2, 1] + n])
    while done < n_terms:
        a = work[at[done, 0], at[done, 1] : at[done, 1] + n]
        if done + 1 < n_terms:
            add2(out, a, work[at[done + 1, 0], at[done + 1, 1] : at[done + 1, 1] + n])
        else:
            add(out, a)
        done += 2


@kernel
def add_squares(total: Array, squares: Array, a: Array) -> None:
    """total += a, squares += a a."""
    for e in range(total.size):
        value = np.float64(a[e])
        total[e] += value
        squares[e] += value * value


@kernel
def add_squares2(total: Array, squares: Array, a: Array, b: Array) -> None:
    """`add_squares` of a, then of b."""
    for e in range(total.size):
        first, second = np.float64(a[e]), np.float64(b[e])
        total[e] = (total[e] + first) + second
        squares[e] = (squares[e] + first * first) + second * second


@kernel
def add_scaled(out: Array, a: Array, factor: float) -> None:
    """out += factor a."""
    for e in range(out.size):
        out[e] += factor * a[e]


@kernel
def add_scaled4(out: Array, a0: Array, a1: Array, a2: Array, a3: Array, factors: Array) -> None:
    """out += factor a, for four arrays, one after the other."""
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    for e in range(out.size):
        total = out[e]
        total += f0 * a0[e]
        total += f1 * a1[e]
        total += f2 * a2[e]
        total += f3 * a3[e]
        out[e] = total
