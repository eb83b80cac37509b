"""A tile as stride x stride phase planes, and the mean and spread of every patch in it.

Plane (ry, rx) holds the pixels of rows R stride + ry and columns J stride + rx, row by row with a fixed pitch, so
that "the same pixel of the next grid point" is the next element and a whole tile is one flat loop. All planes lie
in one array; pixel (y, x) of the tile is at `index_of`.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import (
    NEXT,
    NO_TAIL,
    Array,
    add,
    add2,
    add_squares,
    add_squares2,
    copy,
    fill,
    kernel,
    sum2,
    sum_windows,
)  # fmt: skip
from emreel.descriptors.kernels.vectors import LANES, load, narrow, select, splat, sqrt, store

#: A patch whose variance is below this part of its mean square is flat: its correlation is 0.
FLAT = 1e-12
#: Variances outside this range are left to the float64 kernel.
TINY, HUGE = 1e-30, 1e30
LARGEST = np.float32(np.finfo(np.float32).max)


@kernel
def index_of(y: int, x: int, stride: int, n_rows: int, pitch: int) -> int:
    """Where pixel (y, x) of the tile lies in the flat array of planes."""
    return ((y % stride) * stride + x % stride) * n_rows * pitch + (y // stride) * pitch + x // stride


def slack_of(side: int, stride: int, pitch: int) -> int:
    """Elements that flat loops may read beyond the last row: their results are never used."""
    return (side // stride + 3) * pitch


@kernel
def _count_bad(frame: Array, y0: int, y1: int, x0: int, x1: int) -> int:
    """How many pixels of a rectangle are not finite."""
    count = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            count += not (abs(frame[y, x]) <= LARGEST)
    return count


@kernel
def _count_invalid(valid: Array, y0: int, y1: int, x0: int, x1: int) -> int:
    count = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            count += not valid[y, x]
    return count


@kernel
def split_frame(
    planes: Array, weights: Array, padded: Array, valid: Array, y0: int, y1: int, x0: int, x1: int,
    stride: int, n_rows: int, pitch: int,
) -> int:  # fmt: skip
    """Copy rows [y0, y1) and columns [x0, x1) into planes; invalid and non-finite pixels become NaN.

    ``weights`` gets 1 for valid pixels and 0 for others, but only if there are others.
    ``valid`` may be empty (all valid). Returns how many of the pixels are invalid.
    """
    masked = valid.size > 0 and _count_invalid(valid, y0, y1, x0, x1) > 0
    plain = not masked and _count_bad(padded, y0, y1, x0, x1) == 0
    n_bad = 0
    for y in range(y0, y1):
        for rx in range(stride):
            start = (((y - y0) % stride * stride + rx) * n_rows + (y - y0) // stride) * pitch
            n_cols = (x1 - x0 - rx + stride - 1) // stride
            if plain:
                for col in range(n_cols):
                    planes[start + col] = padded[y, x0 + col * stride + rx]
                continue
            for col in range(n_cols):
                value = padded[y, x0 + col * stride + rx]
                good = abs(value) <= LARGEST and (not masked or valid[y, x0 + col * stride + rx])
                planes[start + col] = value if good else np.float32(np.nan)
                weights[start + col] = np.float32(1.0) if good else np.float32(0.0)
                n_bad += not good
    return n_bad


@kernel
def fill_invalid(filled: Array, planes: Array) -> None:
    """filled = planes, with 0 for invalid pixels (NaN)."""
    for e in range(planes.size):
        filled[e] = planes[e] if planes[e] == planes[e] else np.float32(0.0)


@kernel
def _finish(mean: Array, variance: Array, scale: Array, at: int, sums: Array, squares: Array, n: float) -> None:
    """Mean, variance and 1/sd of flat patches of n pixels from sums of values and of squares."""
    per_n, flat, least = splat(1.0 / n), splat(FLAT), splat(TINY / 2)
    tiny, huge, one = splat(np.float32(TINY)), splat(np.float32(HUGE)), splat(np.float32(1.0))
    zero, not_known = splat(np.float32(0.0)), splat(np.float32(np.nan))
    for e in range(0, sums.size, LANES):
        middle, mean_square = load(sums, e) * per_n, load(squares, e) * per_n
        store(mean, at + e, middle)
        value = mean_square - middle * middle
        above = select(value < least, least, value)  # a NaN stays one
        power = select(value < flat * mean_square, zero, narrow(above))
        power = select(value == flat * mean_square, zero, power)
        store(variance, at + e, power)
        usable = (tiny < power) & (power < huge)
        store(scale, at + e, select(usable, one / sqrt(power), select(power == zero, zero, not_known)))


@kernel
def _sum_rows(
    total: Array, squares: Array, planes: Array, blocks: Array, inner: Array, start: int, phase: int,
    rx: int, side: int, stride: int, area: int, pitch: int,
) -> None:  # fmt: skip
    """Sum and sum of squares of ``side`` rows from row phase ``phase`` on, for a flat piece from ``start`` on."""
    n = total.size
    whole = (side - stride + 1) // stride
    head, n_blocks = side, 0
    first = 1 if phase > 0 else 0
    if whole < 1:
        fill(total, 0.0)
        fill(squares, 0.0)
    else:
        head = (stride - phase) % stride
        n_blocks = (side - head) // stride
        at = start + first * pitch
        end = at + whole * pitch
        if n_blocks > whole:
            sum2(total, inner[0, rx, at : at + n], blocks[0, rx, end : end + n])
            sum2(squares, inner[1, rx, at : at + n], blocks[1, rx, end : end + n])
        else:
            copy(total, inner[0, rx, at : at + n])
            copy(squares, inner[1, rx, at : at + n])
    loose = side - n_blocks * stride
    previous = -1
    for u in range(loose):
        row = phase + u if u < head else (first + n_blocks) * stride + u - head
        at = (row % stride * stride + rx) * area + start + row // stride * pitch
        if previous >= 0:
            add_squares2(total, squares, planes[previous : previous + n], planes[at : at + n])
            previous = -1
        elif u == loose - 1:
            add_squares(total, squares, planes[at : at + n])
        else:
            previous = at


@kernel
def _sum_columns(out: Array, columns: Array, block: Array, inner: Array, phase: int, side: int, stride: int) -> None:
    """Sum of ``side`` columns from column phase ``phase`` on; ``columns`` holds one row of elements per phase."""
    n = out.size
    whole = (side - stride + 1) // stride
    head, n_blocks = side, 0
    first = 1 if phase > 0 else 0
    if whole < 1:
        fill(out, 0.0)
    else:
        head = (stride - phase) % stride
        n_blocks = (side - head) // stride
        if n_blocks > whole:
            sum2(out, inner[first : first + n], block[first + whole : first + whole + n])
        else:
            copy(out, inner[first : first + n])
    loose = side - n_blocks * stride
    last, last_at = -1, 0
    for u in range(loose):
        col = phase + u if u < head else (first + n_blocks) * stride + u - head
        k, at = col % stride, col // stride
        if last >= 0:
            add2(out, columns[last, last_at : last_at + n], columns[k, at : at + n])
            last = -1
        elif u == loose - 1:
            add(out, columns[k, at : at + n])
        else:
            last, last_at = k, at


@kernel
def patch_statistics(
    mean: Array, variance: Array, scale: Array, planes: Array, side: int, stride: int, n_rows: int, pitch: int,
    blocks: Array, inner: Array, columns: Array, inside: Array, sums: Array, work: Array,
) -> None:  # fmt: skip
    """Mean, variance and 1/sd of the side x side patch whose corner is each pixel, in the planes' layout.

    A flat patch has variance 0 and scale 0; scale is NaN where float32 cannot hold the variance, and where the patch
    holds an invalid pixel (NaN). Sums are float64 trees: whole blocks of ``stride`` rows by doubling, then the rows
    before and after them; then the same along the columns. The arguments from ``blocks`` on are scratch.
    """
    area = n_rows * pitch
    whole = max((side - stride + 1) // stride, 0)
    if whole > 0:
        for rx in range(stride):
            for moment in range(2):
                fill(blocks[moment, rx, :area], 0.0)
            for ry in range(stride):
                at = (ry * stride + rx) * area
                add_squares(blocks[0, rx, :area], blocks[1, rx, :area], planes[at : at + area])
            for moment in range(2):
                copy(work[0], blocks[moment, rx])
                sum_windows(inner[moment, rx, :area], work, whole, pitch, NO_TAIL)
    chunk = sums.shape[2]
    n_pixels = float(side * side)
    end = ((n_rows * stride - side) // stride + 1) * pitch
    for start in range(0, end, chunk):
        n = min(chunk, end - start)
        for ry in range(stride):
            for rx in range(stride):
                _sum_rows(
                    columns[0, rx, :n], columns[1, rx, :n], planes, blocks, inner,
                    start, ry, rx, side, stride, area, pitch,
                )  # fmt: skip
            for moment in range(2):
                if whole > 0:
                    row = work[0, :n]
                    copy(row, columns[moment, 0, :n])
                    for rx in range(1, stride):
                        add(row, columns[moment, rx, :n])
                    sum_windows(inside[:n], work, whole, NEXT, NO_TAIL)
                for rx in range(stride):
                    _sum_columns(sums[moment, rx, :n], columns[moment], work[0], inside, rx, side, stride)
            for rx in range(stride):
                at = (ry * stride + rx) * area + start
                _finish(mean, variance, scale, at, sums[0, rx, :n], sums[1, rx, :n], n_pixels)
