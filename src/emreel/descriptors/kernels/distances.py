"""The fast path: correlations of a whole tile from squared distances, in float32, pixels that are invalid left out.

Points whose result cannot be trusted to 1e-6 are marked `UNDECIDED`; `joint` decides them.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import (
    NEXT,
    WITH_TAIL,
    Array,
    add,
    add_distance1,
    add_distance3,
    distance1_onto,
    distance3_onto,
    kernel,
    sum2,
    sum_windows,
)  # fmt: skip
from emreel.descriptors.kernels.planes import index_of

#: (var_a + var_b + (mean_a - mean_b)^2) / (2 sd_a sd_b) up to which float32 distances are good to 1e-6.
CANCELLATION = 6.0
#: Written where the fast path gives up; no correlation is that large.
UNDECIDED = 4.0


@kernel
def _correlate(
    out: Array,
    distance: Array,
    mean_a: Array,
    mean_b: Array,
    var_a: Array,
    var_b: Array,
    scale_a: Array,
    scale_b: Array,
    n: float,
) -> None:
    half, per_pixel = np.float32(0.5), np.float32(1.0 / n)
    limit, one = np.float32(CANCELLATION), np.float32(1.0)
    for e in range(out.size):
        step = np.float32(mean_a[e] - mean_b[e])
        spread = half * ((var_a[e] + var_b[e]) + step * step)
        factor = scale_a[e] * scale_b[e]
        value = (spread - half * (distance[e] * per_pixel)) * factor
        good = (spread * factor < limit) & (abs(value) < np.float32(1.5))
        out[e] = max(-one, min(one, value)) if good else np.float32(UNDECIDED)


@kernel
def count_undecided(a: Array) -> int:
    count = 0
    for e in range(a.size):
        count += a[e] > np.float32(1.5)
    return count


@kernel
def _add_distances(out: Array, planes: Array, at_a: Array, at_b: Array, q0: int, q1: int, start: int) -> None:
    """out += squared distances of the pairs q0 <= q < q1, from element ``start`` of the planes on."""
    n = out.size
    q = q0
    while q + 3 <= q1:
        a0, a1, a2 = at_a[q] + start, at_a[q + 1] + start, at_a[q + 2] + start
        b0, b1, b2 = at_b[q] + start, at_b[q + 1] + start, at_b[q + 2] + start
        add_distance3(
            out, planes[a0 : a0 + n], planes[b0 : b0 + n], planes[a1 : a1 + n], planes[b1 : b1 + n],
            planes[a2 : a2 + n], planes[b2 : b2 + n],
        )  # fmt: skip
        q += 3
    while q < q1:
        a0, b0 = at_a[q] + start, at_b[q] + start
        add_distance1(out, planes[a0 : a0 + n], planes[b0 : b0 + n])
        q += 1


@kernel
def _distances_onto(
    out: Array, base: Array, planes: Array, at_a: Array, at_b: Array, q0: int, q1: int, start: int
) -> None:
    """out = base + squared distances of the pairs q0 <= q < q1 (at least one)."""
    n = out.size
    a0, b0 = at_a[q0] + start, at_b[q0] + start
    if q0 + 3 > q1:
        distance1_onto(out, base, planes[a0 : a0 + n], planes[b0 : b0 + n])
        _add_distances(out, planes, at_a, at_b, q0 + 1, q1, start)
    else:
        a1, a2 = at_a[q0 + 1] + start, at_a[q0 + 2] + start
        b1, b2 = at_b[q0 + 1] + start, at_b[q0 + 2] + start
        distance3_onto(
            out, base, planes[a0 : a0 + n], planes[b0 : b0 + n], planes[a1 : a1 + n], planes[b1 : b1 + n],
            planes[a2 : a2 + n], planes[b2 : b2 + n],
        )  # fmt: skip
        _add_distances(out, planes, at_a, at_b, q0 + 3, q1, start)


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
def _sum_distances(
    out: Array, planes: Array, at_a: Array, at_b: Array, bounds: Array, side: int, stride: int, pitch: int,
    pieces: Array, rims: Array, bands: Array, zeros: Array,
) -> None:  # fmt: skip
    """Sum of squared distances over the patch, for every grid point of the tile (flat, with pitch).

    Rows 0 and 1 of ``pieces`` get the sums over a block and over its left-over columns, those of ``rims`` the same
    for its left-over rows, and those of ``bands`` the sums over whole rows of the patch and of its left-over rows.
    """
    blocks, rest = side // stride, side % stride
    total = out.size + (blocks + (1 if rest > 0 else 0)) * pitch
    chunk = pieces.shape[1] - (blocks + 3) * pitch
    for start in range(0, total, chunk):
        n = min(chunk, total - start)
        whole, nothing = pieces[0, :n], zeros[:n]
        if rest > 0:
            cols, rows, corner = pieces[1, :n], rims[0, :n], rims[1, :n]
            _distances_onto(corner, nothing, planes, at_a, at_b, bounds[0], bounds[1], start)
            _distances_onto(rows, corner, planes, at_a, at_b, bounds[1], bounds[2], start)
            _distances_onto(cols, nothing, planes, at_a, at_b, bounds[2], bounds[3], start)
            sum2(whole, rows, cols)
            add(cols, corner)
            _add_distances(whole, planes, at_a, at_b, bounds[3], bounds[4], start)
            sum_windows(bands[1, start : start + n], rims, blocks, NEXT, WITH_TAIL)
        else:
            _distances_onto(whole, nothing, planes, at_a, at_b, bounds[3], bounds[4], start)
        sum_windows(bands[0, start : start + n], pieces, blocks, NEXT, rest > 0)
    sum_windows(out, bands, blocks, pitch, rest > 0)


@kernel
def correlate_group(
    correlations: Array, undecided: Array, n: int, corners: Array, planes: Array, mean: Array, variance: Array,
    scale: Array, side: int, stride: int, n_rows: int, pitch: int, pieces: Array, rims: Array, bands: Array,
    zeros: Array, distances: Array,
) -> None:  # fmt: skip
    """A correlation map (flat, with pitch) and its distances for each shift, and how many points are undecided."""
    at_a, at_b = np.empty(stride * stride, np.int64), np.empty(stride * stride, np.int64)
    bounds = np.empty(5, np.int64)
    for f in range(corners.shape[0]):
        corner = corners[f]
        list_block_pixels(at_a, at_b, bounds, corner, side % stride, stride, n_rows, pitch)
        _sum_distances(distances[f, :n], planes, at_a, at_b, bounds, side, stride, pitch, pieces, rims, bands, zeros)
        a = index_of(corner[0], corner[1], stride, n_rows, pitch)
        b = index_of(corner[2], corner[3], stride, n_rows, pitch)
        _correlate(
            correlations[f, :n], distances[f, :n], mean[a : a + n], mean[b : b + n], variance[a : a + n],
            variance[b : b + n], scale[a : a + n], scale[b : b + n], float(side * side),
        )  # fmt: skip
        undecided[f] = count_undecided(correlations[f, :n])
