"""The largest scores around a grid point: max pooling of score maps, by insertion, many grid points at once."""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import ZERO, Array, fill, kernel
from emreel.descriptors.kernels.polar import NONE, POOR

#: Grid points that are worked on at once.
CHUNK = 64


@kernel
def _insert(tops: Array, values: Array, n: int, n_kept: int) -> None:
    """Put a value each into sorted lists (element k of list e at k CHUNK + e), largest first; the least drops out."""
    for e in range(n):
        value = values[e]
        for k in range(n_kept):
            have = tops[k * CHUNK + e]
            tops[k * CHUNK + e] = max(have, value)
            value = min(have, value)


@kernel
def _insert10(tops: Array, values: Array, n: int) -> None:
    """`_insert` for lists of ten: unrolled, so that the compiler does many lists at once."""
    for e in range(n):
        v = values[e]
        h0, h1, h2, h3, h4 = (
            tops[e],
            tops[e + CHUNK],
            tops[e + 2 * CHUNK],
            tops[e + 3 * CHUNK],
            tops[e + 4 * CHUNK],
        )
        h5, h6, h7, h8, h9 = (
            tops[e + 5 * CHUNK],
            tops[e + 6 * CHUNK],
            tops[e + 7 * CHUNK],
            tops[e + 8 * CHUNK],
            tops[e + 9 * CHUNK],
        )
        # element k becomes the middle one of (k - 1, k, v): what was above v stays, what was below moves down
        tops[e] = max(h0, v)
        tops[e + CHUNK] = max(h1, min(h0, v))
        tops[e + 2 * CHUNK] = max(h2, min(h1, v))
        tops[e + 3 * CHUNK] = max(h3, min(h2, v))
        tops[e + 4 * CHUNK] = max(h4, min(h3, v))
        tops[e + 5 * CHUNK] = max(h5, min(h4, v))
        tops[e + 6 * CHUNK] = max(h6, min(h5, v))
        tops[e + 7 * CHUNK] = max(h7, min(h6, v))
        tops[e + 8 * CHUNK] = max(h8, min(h7, v))
        tops[e + 9 * CHUNK] = max(h9, min(h8, v))


@kernel
def _count(ample: Array, poor: Array, values: Array) -> None:
    """Count the scores over many pairs, and those over few."""
    for e in range(values.size):
        ample[e] += np.float32(1.0) if values[e] > -POOR / 2 else ZERO
        poor[e] += np.float32(1.0) if (values[e] <= -POOR / 2) & (values[e] > NONE) else ZERO


@kernel
def _take_every(out: Array, row: Array, first: int, step: int) -> None:
    for e in range(out.size):
        out[e] = row[first + e * step]


@kernel
def _write(out: Array, tops: Array, ample: Array, poor: Array, n_kept: int, n_all: int) -> None:
    """Write lists as features; those of fewer than all positions are read at the same quantiles.

    Poor scores count only where there are no others.

    The k-th largest of ``n_all`` is the quantile (k + 1/2) / n_all, which among n positions lies between two ranks.
    """
    for e in range(out.shape[0]):
        n = ample[e] if ample[e] > ZERO else poor[e]
        lift = ZERO if ample[e] > ZERO else POOR
        if n == ZERO:
            out[e, :] = ZERO
            continue
        for k in range(n_kept):
            if n == n_all:
                out[e, k] = lift + tops[k * CHUNK + e]
                continue
            rank = max((k + 0.5) * n / n_all - 0.5, 0.0)
            low = int(rank)
            high = min(low + 1, int(n) - 1, n_kept - 1)
            share = np.float32(rank - low)
            a, b = tops[low * CHUNK + e], tops[high * CHUNK + e]
            out[e, k] = lift + a + share * (b - a)


@kernel
def pool_largest(out: Array, scores: Array, n_kept: int, out_step: int, pool_step: int, n_side: int) -> None:
    """The ``n_kept`` largest of the n_side x n_side scores around every grid point, largest first.

    out : shape (y_grid, x_grid, operation n_kept). scores : shape (y, operation, x); grid point (i, j) pools the
    elements (i out_step + a pool_step, j out_step + b pool_step), a and b from 0 to n_side - 1. NONE is no score.
    """
    n_y, n_x = out.shape[:2]
    n_operations = scores.shape[1]
    tops, values = np.empty(n_kept * CHUNK, np.float32), np.empty(CHUNK, np.float32)
    ample, poor = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    for i in range(n_y):
        for operation in range(n_operations):
            for j in range(0, n_x, CHUNK):
                n = min(CHUNK, n_x - j)
                fill(tops, NONE)
                fill(ample, ZERO)
                fill(poor, ZERO)
                for a in range(n_side):
                    row = scores[i * out_step + a * pool_step, operation]
                    for b in range(n_side):
                        first = j * out_step + b * pool_step
                        taken = row[first : first + n]
                        if out_step > 1:
                            _take_every(values[:n], row, first, out_step)
                            taken = values[:n]
                        _count(ample[:n], poor[:n], taken)
                        if n_kept == 10:
                            _insert10(tops, taken, n)
                        else:
                            _insert(tops, taken, n, n_kept)
                here = operation * n_kept
                _write(out[i, j : j + n, here : here + n_kept], tops, ample, poor, n_kept, n_side * n_side)
