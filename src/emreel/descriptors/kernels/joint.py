"""The careful path: points that the fast path left undecided, over the jointly valid pixels, with float64 sums.

Sums over the pixels that are valid in both patches, of one patch's values, are one-sided: they know the other patch
only by its mask. Where the mask is the same all along a row (the frame's upper and lower rim) or a column, they serve
all shifts that differ along it only; the trees of additions stay the same, so the bits do.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.distances import CANCELLATION, count_undecided, list_block_pixels
from emreel.descriptors.kernels.flat import (
    NEXT,
    PIECE,
    WITH_TAIL,
    Array,
    add_joint_sums1,
    add_joint_sums2,
    any_nonzero,
    copy,
    fill,
    kernel,
    sum_windows,
)  # fmt: skip
from emreel.descriptors.kernels.planes import FLAT, HUGE, TINY

#: Jointly valid part of a patch below which a correlation means nothing and is 0.
MIN_VALID_PART = 1 / 16


@kernel
def find_undecided(runs: Array, out: Array, n_grid_rows: int, n_cols: int, pitch: int, gap: int) -> int:
    """Runs of grid rows [first, end) that hold undecided points, and how many; runs ``gap`` rows apart are one."""
    n_runs = 0
    for row in range(n_grid_rows):
        if count_undecided(out[row * pitch : row * pitch + n_cols]) > 0:
            if n_runs == 0 or row - runs[n_runs - 1, 1] >= gap:
                runs[n_runs, 0] = row
                n_runs += 1
            runs[n_runs - 1, 1] = row + 1
    return n_runs


@kernel
def _add_pixels(
    sums: Array, n: int, planes: Array, weights: Array, others: Array, at_a: Array, at_b: Array,
    q0: int, q1: int, start: int,
) -> None:  # fmt: skip
    """Add the joint sums over the pixels q0 <= q < q1 of a block, n elements from ``start`` on."""
    held = -1
    for q in range(q0, q1):
        a, b = at_a[q] + start, at_b[q] + start
        if not (any_nonzero(weights[a : a + n]) and any_nonzero(others[b : b + n])):
            continue  # beyond the frame
        if held < 0:
            held = q
            continue
        c, d = at_a[held] + start, at_b[held] + start
        add_joint_sums2(
            sums, n, planes[c : c + n], weights[c : c + n], others[d : d + n],
            planes[a : a + n], weights[a : a + n], others[b : b + n],
        )  # fmt: skip
        held = -1
    if held >= 0:
        c, d = at_a[held] + start, at_b[held] + start
        add_joint_sums1(sums, n, planes[c : c + n], weights[c : c + n], others[d : d + n])


@kernel
def _keep(bands: Array, row: int, sums: Array, start: int, n: int) -> None:
    for moment in range(bands.shape[0]):
        copy(bands[moment, row, start : start + n], sums[moment * PIECE : moment * PIECE + n])


@kernel
def joint_sums(
    out: Array, planes: Array, weights: Array, others: Array, corner: Array, row0: int, side: int, stride: int,
    n_rows: int, pitch: int, whole: Array, rims: Array, columns: Array,
) -> None:  # fmt: skip
    """Sums over the patch a of w_a o_b, x_a o_b and x_a x_a o_b, for grid rows from ``row0`` on.

    out : shape (3, grid row times pitch), float64, written. planes (x), weights (w), others (o) : flat, see `planes`.
    corner : (y, x) of patch a, for planes and weights, and of patch b, for others.
    whole, rims : work for each moment, as `sum_windows` wants it: sums over blocks and over their left-over rows; the
    same for the left-over columns. columns : work for one moment.
    """
    blocks, rest = side // stride, side % stride
    at_a, at_b = np.empty(stride * stride, np.int64), np.empty(stride * stride, np.int64)
    bounds = np.empty(5, np.int64)
    list_block_pixels(at_a, at_b, bounds, corner, rest, stride, n_rows, pitch)
    sums = np.empty(3 * PIECE)
    n_out = out.shape[1]
    n_in = n_out + (blocks + (1 if rest > 0 else 0)) * pitch
    for start in range(0, n_in, PIECE):
        n, at = min(PIECE, n_in - start), row0 * pitch + start
        fill(sums, 0.0)
        if rest > 0:
            _add_pixels(sums, n, planes, weights, others, at_a, at_b, bounds[0], bounds[1], at)
            _keep(rims, 1, sums, start, n)
            _add_pixels(sums, n, planes, weights, others, at_a, at_b, bounds[2], bounds[3], at)
            _keep(rims, 0, sums, start, n)
            fill(sums, 0.0)
            _add_pixels(sums, n, planes, weights, others, at_a, at_b, bounds[0], bounds[2], at)
            _keep(whole, 1, sums, start, n)
        _add_pixels(sums, n, planes, weights, others, at_a, at_b, bounds[2] if rest > 0 else 0, bounds[4], at)
        _keep(whole, 0, sums, start, n)
    for moment in range(3):
        sum_windows(columns[0, :n_out], whole[moment], blocks, pitch, rest > 0)
        if rest > 0:
            sum_windows(columns[1, :n_out], rims[moment], blocks, pitch, WITH_TAIL)
        sum_windows(out[moment], columns, blocks, NEXT, rest > 0)


@kernel
def decide(
    out: Array, distance: Array, a: Array, at_a: int, b: Array, at_b: int, products: Array,
    row0: int, row1: int, n_cols: int, side: int, pitch: int,
) -> int:  # fmt: skip
    """Decide the undecided points of grid rows [row0, row1); how many are left.

    a, b : `joint_sums` of both patches; grid point (row0, 0) is at elements at_a, at_b. products : the same with
    x_b for others, from grid point (row0, 0) on, or empty: the covariance is then taken from the squared distances,
    where it does not cancel.
    """
    n_least = max(2.0, MIN_VALID_PART * side * side)
    n_left = 0
    for row in range(row0, row1):
        for col in range(n_cols):
            e, f = row * pitch + col, (row - row0) * pitch + col
            if not out[e] > np.float32(1.5):
                continue
            n, sum_a, square_a = a[0, at_a + f], a[1, at_a + f], a[2, at_a + f]
            sum_b, square_b = b[1, at_b + f], b[2, at_b + f]
            power_a, power_b = square_a - sum_a * sum_a / n, square_b - sum_b * sum_b / n
            if n < n_least or power_a <= FLAT * square_a or power_b <= FLAT * square_b:
                out[e] = 0.0
                continue
            root = np.sqrt(power_a) * np.sqrt(power_b)
            if products.size > 0:
                value = (products[1, f] - sum_a * sum_b / n) / root
            else:
                step = sum_a - sum_b
                spread = 0.5 * (power_a + power_b + step * step / n)
                in_range = min(power_a, power_b) > n * TINY and max(power_a, power_b) < n * HUGE
                if not (in_range and spread < CANCELLATION * root):
                    n_left += 1
                    continue
                value = (spread - 0.5 * distance[e]) / root
            out[e] = max(-1.0, min(1.0, value))
    return n_left
