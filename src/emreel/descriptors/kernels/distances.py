"""The fast path: correlations of a whole tile from squared distances, in float32, pixels that are invalid left out.

A group of shifts is worked on a grid row at a time, and four of its shifts at once, so that the pixels of the patch
that does not move are loaded once for them and all that is summed stays in the cache. Points whose result cannot be
trusted to 1e-6 are marked `UNDECIDED`; `joint` decides them.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import Array, kernel
from emreel.descriptors.kernels.planes import index_of
from emreel.descriptors.kernels.vectors import (
    LANES,
    absolute,
    all_hold,
    load,
    multiply_add,
    narrow,
    select,
    splat,
    store,
)  # fmt: skip
from emreel.descriptors.kernels.windows import list_terms, sum_across, sum_down

#: (var_a + var_b + (mean_a - mean_b)^2) / (2 sd_a sd_b) up to which float32 distances are good to 1e-6.
CANCELLATION = 6.0
#: Written where the fast path gives up; no correlation is that large.
UNDECIDED = 4.0
#: Shifts worked on at a time.
QUAD = 4


@kernel
def count_undecided(a: Array) -> int:
    count = 0
    for e in range(a.size):
        count += a[e] > np.float32(1.5)
    return count


@kernel
def list_block_pixels(
    at_a: Array, at_b: Array, bounds: Array, corner: Array, rest: int, stride: int, n_rows: int, pitch: int
) -> None:
    """Flat places of a block's pixels for both patches: first those in the left-over rows and columns, then rows,
    then columns, then the others. ``bounds`` gets where each of the four groups begins, and the end."""
    q = 0
    for group in range(4):
        bounds[group] = q
        for r in range(stride):
            for k in range(stride):
                if (r < rest) == (group in (0, 1)) and (k < rest) == (group in (0, 2)):
                    at_a[q] = index_of(corner[0] + r, corner[1] + k, stride, n_rows, pitch)
                    at_b[q] = index_of(corner[2] + r, corner[3] + k, stride, n_rows, pitch)
                    q += 1
    bounds[4] = q


@kernel
def _sum_clean_blocks(
    sums: Array, per_shift: int, rows: Array, planes: Array, at: Array, bounds: Array, n: int
) -> None:
    """The blocks of a grid row, for four shifts. ``sums`` holds rows for each of them, from ``rows`` elements on:

    sums over the whole block (at 0), then their levels; over its left-over columns, with all their rows, so that the
    tail of a window is one element; over its left-over rows, then their levels; over the pixels that are in both.
    """
    columns, left_rows, corner = rows[0], rows[1], rows[2]
    with_rest = bounds[3] > 0
    zero = splat(np.float32(0.0))
    for e in range(0, n, LANES):
        f, g, h = e + per_shift, e + 2 * per_shift, e + 3 * per_shift
        s0, s1, s2, s3 = zero, zero, zero, zero
        c0, c1, c2, c3 = zero, zero, zero, zero
        r0, r1, r2, r3 = zero, zero, zero, zero
        for q in range(bounds[0], bounds[1]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            s3 = multiply_add(d, d, s3)
        c0, c1, c2, c3 = s0, s1, s2, s3
        for q in range(bounds[1], bounds[2]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            s3 = multiply_add(d, d, s3)
        r0, r1, r2, r3 = s0, s1, s2, s3
        s0, s1, s2, s3 = zero, zero, zero, zero
        for q in range(bounds[2], bounds[3]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            s3 = multiply_add(d, d, s3)
        if with_rest:
            store(sums, e + corner, c0)
            store(sums, f + corner, c1)
            store(sums, g + corner, c2)
            store(sums, h + corner, c3)
            store(sums, e + left_rows, r0)
            store(sums, f + left_rows, r1)
            store(sums, g + left_rows, r2)
            store(sums, h + left_rows, r3)
            store(sums, e + columns, s0 + c0)
            store(sums, f + columns, s1 + c1)
            store(sums, g + columns, s2 + c2)
            store(sums, h + columns, s3 + c3)
            s0, s1, s2, s3 = r0 + s0, r1 + s1, r2 + s2, r3 + s3
        for q in range(bounds[3], bounds[4]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            s3 = multiply_add(d, d, s3)
        store(sums, e, s0)
        store(sums, f, s1)
        store(sums, g, s2)
        store(sums, h, s3)


@kernel
def _sum_valid_blocks(
    sums: Array, per_shift: int, rows: Array, planes: Array, at: Array, bounds: Array, n: int
) -> None:
    """`_sum_clean_blocks` where planes may hold NaN: such pairs count nothing."""
    columns, left_rows, corner = rows[0], rows[1], rows[2]
    with_rest = bounds[3] > 0
    zero = splat(np.float32(0.0))
    for e in range(0, n, LANES):
        f, g, h = e + per_shift, e + 2 * per_shift, e + 3 * per_shift
        s0, s1, s2, s3 = zero, zero, zero, zero
        c0, c1, c2, c3 = zero, zero, zero, zero
        r0, r1, r2, r3 = zero, zero, zero, zero
        for q in range(bounds[0], bounds[1]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            d = select(d == d, d, zero)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            d = select(d == d, d, zero)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            d = select(d == d, d, zero)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            d = select(d == d, d, zero)
            s3 = multiply_add(d, d, s3)
        c0, c1, c2, c3 = s0, s1, s2, s3
        for q in range(bounds[1], bounds[2]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            d = select(d == d, d, zero)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            d = select(d == d, d, zero)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            d = select(d == d, d, zero)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            d = select(d == d, d, zero)
            s3 = multiply_add(d, d, s3)
        r0, r1, r2, r3 = s0, s1, s2, s3
        s0, s1, s2, s3 = zero, zero, zero, zero
        for q in range(bounds[2], bounds[3]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            d = select(d == d, d, zero)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            d = select(d == d, d, zero)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            d = select(d == d, d, zero)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            d = select(d == d, d, zero)
            s3 = multiply_add(d, d, s3)
        if with_rest:
            store(sums, e + corner, c0)
            store(sums, f + corner, c1)
            store(sums, g + corner, c2)
            store(sums, h + corner, c3)
            store(sums, e + left_rows, r0)
            store(sums, f + left_rows, r1)
            store(sums, g + left_rows, r2)
            store(sums, h + left_rows, r3)
            store(sums, e + columns, s0 + c0)
            store(sums, f + columns, s1 + c1)
            store(sums, g + columns, s2 + c2)
            store(sums, h + columns, s3 + c3)
            s0, s1, s2, s3 = r0 + s0, r1 + s1, r2 + s2, r3 + s3
        for q in range(bounds[3], bounds[4]):
            a = load(planes, at[q, QUAD] + e)
            d = a - load(planes, at[q, 0] + e)
            d = select(d == d, d, zero)
            s0 = multiply_add(d, d, s0)
            d = a - load(planes, at[q, 1] + e)
            d = select(d == d, d, zero)
            s1 = multiply_add(d, d, s1)
            d = a - load(planes, at[q, 2] + e)
            d = select(d == d, d, zero)
            s2 = multiply_add(d, d, s2)
            d = a - load(planes, at[q, 3] + e)
            d = select(d == d, d, zero)
            s3 = multiply_add(d, d, s3)
        store(sums, e, s0)
        store(sums, f, s1)
        store(sums, g, s2)
        store(sums, h, s3)


@kernel
def _correlate(
    out: Array, distance: Array, mean: Array, variance: Array, scale: Array, a: int, b: int, n_pixels: float,
    first: int, n: int,
) -> int:  # fmt: skip
    """Correlations of n patches at ``a`` and ``b`` from their distance; how many are left undecided."""
    half, per_pixel = splat(np.float32(0.5)), splat(np.float32(1.0 / n_pixels))
    limit, most = splat(np.float32(CANCELLATION)), splat(np.float32(1.5))
    one, minus_one, undecided = splat(np.float32(1)), splat(np.float32(-1)), splat(np.float32(UNDECIDED))
    all_good = True
    for e in range(first, first + n, LANES):
        step = narrow(load(mean, a + e) - load(mean, b + e))
        spread = half * ((load(variance, a + e) + load(variance, b + e)) + step * step)
        factor = load(scale, a + e) * load(scale, b + e)
        value = (spread - half * (load(distance, e) * per_pixel)) * factor
        good = (spread * factor < limit) & (absolute(value) < most)
        value = select(value < one, value, one)
        value = select(minus_one < value, value, minus_one)
        store(out, e, select(good, value, undecided))
        all_good &= all_hold(good)
    return 0 if all_good else count_undecided(out[first : first + n])


@kernel
def correlate_group(
    correlations: Array, undecided: Array, distances: Array, corners: Array, planes: Array, mean: Array,
    variance: Array, scale: Array, clean: bool, n_grid_rows: int, n_cols: int, side: int, stride: int, n_rows: int,
    pitch: int, sums: Array, ring: Array, n_levels: int, n_ring: int,
) -> None:  # fmt: skip
    """A correlation map (flat, with pitch) and its distances for each shift, and how many points are undecided.

    corners : (y, x) of patch a, the same for all, and of patch b; as many as rows of ``sums`` // QUAD times QUAD at
    most. clean : no pixel of the tile is invalid. sums, ring : work, see `_sum_clean_blocks` (four shifts) and
    `sum_down` (a row for each shift).
    """
    n_shifts, n_pairs = corners.shape[0], stride * stride
    n_quads = (n_shifts + QUAD - 1) // QUAD
    length, rest = side // stride, side % stride
    extra = 1 if rest > 0 else 0
    levels, places, terms = np.empty(40, np.int64), np.empty(40, np.int64), np.empty(40, np.int64)
    n_terms = list_terms(levels, places, length)
    at, bounds = np.empty((n_quads, n_pairs, QUAD + 1), np.int64), np.empty(5, np.int64)
    at_a, at_b = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64)
    order = np.argsort(corners[:, 2], kind="mergesort")  # neighbours then share rows
    for f in range(n_quads * QUAD):  # beyond the last shift, the last one again
        list_block_pixels(at_a, at_b, bounds, corners[order[min(f, n_shifts - 1)]], rest, stride, n_rows, pitch)
        at[f // QUAD, :, f % QUAD] = at_b
        at[f // QUAD, :, QUAD] = at_a
    flat_sums, width = sums.ravel(), sums.shape[1]
    rows, per_shift = np.array([n_levels, n_levels + 1, 2 * n_levels + 1]) * width, (2 * n_levels + 2) * width
    flat_ring, per_ring = ring.ravel(), ring.shape[1]
    flat_out, flat_distances, per_map = correlations.ravel(), distances.ravel(), correlations.shape[1]
    undecided[:] = 0
    for row in range(n_grid_rows + length + extra - 1):
        i = row - length - extra + 1
        for quad in range(n_quads):
            if clean:
                _sum_clean_blocks(flat_sums, per_shift, rows, planes, at[quad], bounds, n_cols + length + extra)
            else:
                _sum_valid_blocks(flat_sums, per_shift, rows, planes, at[quad], bounds, n_cols + length + extra)
            at[quad] += pitch
            for k in range(min(QUAD, n_shifts - quad * QUAD)):
                f, mine = order[quad * QUAD + k], k * per_shift
                at_ring = (quad * QUAD + k) * per_ring
                here = at_ring + (row & (n_ring - 1)) * pitch
                tail = mine + n_levels * width + length if rest > 0 else -1
                sum_across(
                    flat_ring, here, flat_sums, mine, width, length, tail, n_cols, levels, places, n_terms, terms
                )  # fmt: skip
                if rest > 0:
                    here += n_levels * n_ring * pitch
                    mine += (n_levels + 1) * width
                    tail = mine + n_levels * width + length
                    sum_across(
                        flat_ring, here, flat_sums, mine, width, length, tail, n_cols, levels, places, n_terms, terms
                    )  # fmt: skip
                to = f * per_map + i * pitch
                sum_down(flat_distances, to, flat_ring, at_ring, row, n_ring, pitch, length, rest > 0, n_cols,
                          levels, places, n_terms, at_ring + n_levels * n_ring * pitch, terms)  # fmt: skip
                if i >= 0:
                    corner = corners[f]
                    a = index_of(corner[0], corner[1], stride, n_rows, pitch)
                    b = index_of(corner[2], corner[3], stride, n_rows, pitch)
                    undecided[f] += _correlate(
                        flat_out, flat_distances, mean, variance, scale, a - f * per_map, b - f * per_map,
                        float(side * side), to, n_cols,
                    )  # fmt: skip
