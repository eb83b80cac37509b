"""`joint` for the grid columns whose patches reach beyond the frame's left or right edge.

There are few of these columns and many rows, so everything is turned: a row of elements holds one column of pixels.
The sums are the same trees of additions as in `joint`, along x first, then along y.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import Array, kernel
from emreel.descriptors.kernels.joint import MOMENTS, decide, find_slot
from emreel.descriptors.kernels.planes import index_of
from emreel.descriptors.kernels.vectors import LANES, load, multiply_add, splat, store, widen
from emreel.descriptors.kernels.windows import list_terms, sum_across, sum_down


@kernel
def turn_strip(
    strip: Array, planes: Array, x0: int, n_columns: int, height: int, stride: int, n_rows: int, pitch: int, depth: int
) -> None:
    """strip = pixel columns from x0 on: each has its ``stride`` phases of y, ``depth`` elements a phase."""
    for x in range(n_columns):
        source = index_of(0, x0 + x, stride, n_rows, pitch)
        for ry in range(min(stride, height)):
            at, to = source + ry * stride * n_rows * pitch, (x * stride + ry) * depth
            for row in range((height - ry + stride - 1) // stride):
                strip[to + row] = planes[at + row * pitch]


@kernel
def _sum_columns_of_pixels(
    out: Array, strip: Array, valid: Array, x: int, other_x: int, n_lines: int, side: int, stride: int, line: int,
    ring: Array, n_ring: int,
) -> None:  # fmt: skip
    """`sum_rows` of every pixel row, for ``n_lines`` grid columns: out, shape (MOMENTS, n_lines times line)."""
    length, rest = side // stride, side % stride
    extra = 1 if rest > 0 else 0
    levels, places, terms = np.empty(40, np.int64), np.empty(40, np.int64), np.empty(40, np.int64)
    n_terms = list_terms(levels, places, length)
    flat, per_moment, per_ring = out.ravel(), out.shape[1], ring.size // MOMENTS
    at_tails = per_ring - n_ring * line - LANES
    zero = splat(0.0)
    used = np.empty(stride, np.int64)
    for row in range(n_lines + length + extra - 1):
        n_used, n_tail = 0, 0
        for k in range(stride):
            u = row * stride + k
            if max(x, other_x) + u < valid.size and valid[x + u] and valid[other_x + u]:
                used[n_used] = (x + u) * line
                n_used += 1
                n_tail += k < rest
        here = (row & (n_ring - 1)) * line
        for e in range(0, line, LANES):
            total, square = zero, zero
            for k in range(n_tail):
                value = widen(load(strip, used[k] + e))
                total = total + value
                square = multiply_add(value, value, square)
            store(ring, at_tails + here + e, total)
            store(ring, per_ring + at_tails + here + e, square)
            for k in range(n_tail, n_used):
                value = widen(load(strip, used[k] + e))
                total = total + value
                square = multiply_add(value, value, square)
            store(ring, here + e, total)
            store(ring, per_ring + here + e, square)
        for moment in range(MOMENTS):
            base = moment * per_ring
            sum_down(
                flat, moment * per_moment + (row - length - extra + 1) * line, ring, base, row, n_ring, line, length,
                rest > 0, line, levels, places, n_terms, base + at_tails, terms,
            )  # fmt: skip


@kernel
def _add_rows(
    pieces: Array, lines: Array, weights: Array, at_a: Array, at_b: Array, k0: int, k1: int, to: int, onto: int, n: int
) -> None:
    """Sums over the rows k0 <= k < k1 of a block, those of weight 1, row ``to`` of the pieces, on top of ``onto``."""
    zero = splat(0.0)
    for e in range(0, n, LANES):
        total = zero
        if onto >= 0:
            total = load(pieces, onto + e)
        for k in range(k0, k1):
            total = total + load(lines, at_a[k] + e) * widen(load(weights, at_b[k] + e))
        store(pieces, to + e, total)


@kernel
def _sum_rows_of_sums(
    out: Array, lines: Array, weights: Array, y: int, other_y: int, n_lines: int, n_points: int, side: int, stride: int,
    line: int, depth: int, pieces: Array,
) -> None:  # fmt: skip
    """`sum_columns`, turned: over patches from pixel row ``y`` on; rows that are not valid in the other count nothing.

    out : shape (MOMENTS, n_lines times depth). weights : 1 for valid rows, as one line of a strip.
    """
    length, rest = side // stride, side % stride
    levels, places, terms = np.empty(40, np.int64), np.empty(40, np.int64), np.empty(40, np.int64)
    n_terms = list_terms(levels, places, length)
    width, tail = depth + length + 2 * LANES, pieces.size - depth - length - 2 * LANES
    at_a, at_b = np.empty(stride, np.int64), np.empty(stride, np.int64)
    flat, flat_lines, per_moment = out.ravel(), lines.ravel(), lines.shape[1]
    n_in = n_points + length + (1 if rest > 0 else 0)
    for k in range(stride):
        at_b[k] = (other_y + k) % stride * depth + (other_y + k) // stride
    for moment in range(MOMENTS):
        for j in range(n_lines):
            for k in range(stride):
                at_a[k] = moment * per_moment + j * line + (y + k) % stride * depth + (y + k) // stride
            if rest > 0:
                _add_rows(pieces, flat_lines, weights, at_a, at_b, 0, rest, tail, -1, n_in)
            _add_rows(pieces, flat_lines, weights, at_a, at_b, rest, stride, 0, tail if rest > 0 else -1, n_in)
            sum_across(
                flat, moment * out.shape[1] + j * depth, pieces, 0, width, length, tail + length if rest > 0 else -1,
                n_points, levels, places, n_terms, terms,
            )  # fmt: skip


@kernel
def _count(out: Array, valid: Array, a: int, b: int, n: int, side: int, stride: int) -> None:
    """How many of the rows or columns of the patches from ``a`` and ``b`` on are valid in both, for n grid points."""
    for i in range(n):
        out[i] = 0
        for u in range(i * stride, i * stride + side):
            out[i] += valid[a + u] & valid[b + u]


@kernel
def mend_side(
    correlations: Array, distances: Array, corners: Array, strip: Array, row_weights: Array, valid_rows: Array,
    valid_columns: Array, layout: Array, n_grid_rows: int, col: int, n_cols: int, known: Array, lines: Array,
    sums: Array, turned: Array, turned_distances: Array, n_joint: Array, pieces: Array, ring: Array, n_ring: int,
) -> None:  # fmt: skip
    """Decide n_cols grid columns of all maps of a group, in a tile whose valid pixels are a rectangle.

    strip : see `turn_strip`, 0 for invalid pixels, from pixel column col stride on. row_weights : which rows are valid,
    as one line of it. valid_rows, valid_columns : 1 or 0, those of the strip. layout : side, stride, depth, pitch.
    known, lines : sums over columns for (x, x of the other patch), -1 where there is nothing yet. The rest is work.
    """
    side, stride, depth, pitch = layout[0], layout[1], layout[2], layout[3]
    line, nothing = stride * depth, np.empty(0)
    in_rows, in_columns = np.empty(n_grid_rows, np.int64), np.empty(n_cols, np.int64)
    for f in range(corners.shape[0]):
        ay, ax, by, bx = corners[f, 0], corners[f, 1], corners[f, 2], corners[f, 3]
        for which in range(2):
            y, x, other_y, other_x = (ay, ax, by, bx) if which == 0 else (by, bx, ay, ax)
            slot = find_slot(known, x, other_x)
            if known[slot, 0] < 0:
                known[slot] = x, other_x
                _sum_columns_of_pixels(lines[slot], strip, valid_columns, x, other_x, n_cols, side, stride, line,
                                       ring, n_ring)  # fmt: skip
            _sum_rows_of_sums(sums[which], lines[slot], row_weights, y, other_y, n_cols, n_grid_rows, side, stride,
                              line, depth, pieces)  # fmt: skip
        _count(in_rows, valid_rows, ay, by, n_grid_rows, side, stride)
        _count(in_columns, valid_columns, ax, bx, n_cols, side, stride)
        for j in range(n_cols):
            for i in range(n_grid_rows):
                e, to = i * pitch + col + j, j * depth + i
                turned[to], turned_distances[to] = correlations[f, e], distances[f, e]
                n_joint[to] = in_rows[i] * in_columns[j]
        decide(turned, turned_distances, n_joint, sums[0], sums[1], nothing, 0, n_cols, 0, n_grid_rows, side, depth)
        for j in range(n_cols):
            for i in range(n_grid_rows):
                correlations[f, i * pitch + col + j] = turned[j * depth + i]
