"""Cubic spline coefficients of a frame, and where the taps of a point between its pixels lie.

The prefilter is the usual recursive one written as a finite filter of 2 REACH + 1 taps along each axis; what is cut
off is below 3e-5 of a change of counts. It is applied to differences, c = f + sum_k h_k (f[-k] - f + f[+k] - f), so
that a constant stays what it is to the bit. An invalid pixel (NaN) is replaced by the one opposite to it, as a mirror
at the border would do; where both are invalid, by the pixel in the middle. So an invalid pixel carries no weight,
nothing is seen from further than REACH, and a tile gives the bits of the whole frame.

The coefficients are laid out in column phases: pixel (y, x) is element y row + (x % step) pitch + x // step of a flat
array, so that "the same tap of the next position, ``step`` px on" is the next element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emreel.descriptors.kernels.flat import ZERO, Array, copy, kernel

#: Half length of the prefilter, px.
REACH = 8
#: The pole of the cubic spline.
POLE = np.sqrt(3.0) - 2.0
#: h_k of the prefilter, k = 1 to REACH, scaled so that all taps together give 1.
TAPS = (np.sqrt(3.0) * POLE ** np.arange(1, REACH + 1)).astype(np.float32)


@kernel
def _add_mirrored(out: Array, middle: Array, before: Array, after: Array, tap: float) -> None:
    """out += tap ((before - middle) + (after - middle)); a NaN of the two is replaced by the other."""
    for e in range(out.size):
        a = before[e] - middle[e]
        b = after[e] - middle[e]
        a_or_b = a if a == a else b
        b_or_a = b if b == b else a
        both = a_or_b + b_or_a
        out[e] += tap * (both if both == both else ZERO)


@kernel
def _scale_row(out: Array, row: Array, valid: Array, masked: bool, scale: float, largest: Any) -> None:
    """out = scale row; NaN where it is not valid or not finite."""
    nothing = np.float32(np.nan)
    if masked:
        for e in range(out.size):
            good = valid[e] & (abs(row[e]) <= largest)
            out[e] = scale * row[e] if good else nothing
    else:
        for e in range(out.size):
            out[e] = scale * row[e] if abs(row[e]) <= largest else nothing


@kernel
def _into_phases(out: Array, row: Array, step: int, pitch: int) -> None:
    """Elements phase, phase + step, ... of a row one after the other, a pitch a phase; 0 for NaN."""
    for phase in range(step):
        n = (row.size - phase + step - 1) // step
        for e in range(n):
            value = row[phase + e * step]
            out[phase * pitch + e] = value if value == value else ZERO


@kernel
def spline_coefficients(
    phases: Array, good: Array, padded: Array, valid: Array, scale: float, step: int, pitch: int
) -> None:
    """Coefficients of a frame in column phases; ``good``: the frame itself times ``scale``, NaN where invalid.

    phases : shape (y, step pitch); the outermost REACH rows and columns are left 0. ``valid`` may be empty.
    """
    height, width = padded.shape
    largest = np.float32(3.4028235e38)
    masked = valid.size > 0
    taps = TAPS
    upright, both = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        _scale_row(good[y], padded[y], valid[y] if masked else valid[0:0].ravel(), masked, scale, largest)
    both[:] = ZERO
    for y in range(REACH, height - REACH):
        copy(upright, good[y])
        for k in range(1, REACH + 1):
            _add_mirrored(upright, good[y], good[y - k], good[y + k], taps[k - 1])
        n = width - 2 * REACH
        inner = upright[REACH : REACH + n]
        copy(both[REACH : REACH + n], inner)
        for k in range(1, REACH + 1):
            before, after = upright[REACH - k : REACH - k + n], upright[REACH + k : REACH + k + n]
            _add_mirrored(both[REACH : REACH + n], inner, before, after, taps[k - 1])
        _into_phases(phases[y], both, step, pitch)


@kernel
def square_means(mean: Array, column: Array, good: Array, y0: int, x0: int, step: int, half: int) -> None:
    """Mean of the valid pixels of the square of half side ``half`` around each position; 0 without any.

    mean : shape (n_y, n_x), position (i, j) on pixel (y0 + i step, x0 + j step). ``column``: scratch, (2, x), float64.
    """
    n_y, n_x = mean.shape
    width = good.shape[1]
    for i in range(n_y):
        y = y0 + i * step
        column[:] = 0.0
        for row in range(y - half, y + half + 1):
            _add_counted(column[0], column[1], good[row])
        for j in range(n_x):
            left = x0 + j * step - half
            total, count = 0.0, 0.0
            for x in range(left, min(left + 2 * half + 1, width)):
                total += column[0, x]
                count += column[1, x]
            mean[i, j] = total / count if count > 0.0 else 0.0


@kernel
def _add_counted(total: Array, count: Array, row: Array) -> None:
    """Add a row to sums and to counts, NaN left out."""
    for e in range(total.size):
        value = row[e]
        there = value == value
        total[e] += np.float64(value) if there else 0.0
        count[e] += 1.0 if there else 0.0
