"""Local correlation maps: Pearson correlation of the patch at r + a with the patch at r + b, for many pairs (a, b).

The covariance comes from the mean squared distance of the two patches (d2), so that no offset enters it:

    correlation = (var_a + var_b + (mean_a - mean_b)^2 - d2) / (2 sd_a sd_b)

d2 is summed in float32 (stride x stride blocks, then doubling windows on the grid), means and variances in float64,
once a tile for all shifts. Where the terms cancel (two patches on both sides of a huge step), where a patch holds an
invalid pixel, or where float32 overflows, the point is computed again by `_correlate_carefully`, in float64 over the
jointly valid pixels. What is decided, is decided a point at a time from its own support, so tiles never show.
"""

from __future__ import annotations

import threading
from functools import cached_property

import numpy as np

from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels.flat import (
    NEXT,
    PIECE,
    WITH_TAIL,
    Array,
    add,
    add_distance1,
    add_distance3,
    add_joint_sums1,
    add_joint_sums2,
    add_scaled,
    add_scaled4,
    any_positive,
    copy,
    distance1_onto,
    distance3_onto,
    fill,
    kernel,
    n_levels,
    sum2,
    sum4,
    sum_windows,
)  # fmt: skip
from emreel.descriptors.kernels.planes import (
    FLAT,
    clear_invalid,
    index_of,
    patch_statistics,
    slack_of,
    split_frame,
)

#: (var_a + var_b + (mean_a - mean_b)^2) / (2 sd_a sd_b) up to which float32 distances are good to 1e-6.
CANCELLATION = 6.0
#: Written where the fast kernel gives up; no correlation is that large.
UNDECIDED = 4.0
#: Correlation maps computed before they are written or projected: 16 floats fill a cache line.
GROUP = 16
#: Sizes of tiles (whole, rims, corners) whose work arrays a thread keeps.
MAX_KEPT = 9
#: Jointly valid part of a patch below which a correlation means nothing and is 0.
MIN_VALID_PART = 1 / 16


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
def _count_undecided(a: Array) -> int:
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
def _list_block_pixels(
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
def _joint_correlation(n: float, s1: float, q1: float, s2: float, q2: float, c: float, n_least: float) -> float:
    if n < n_least:
        return 0.0
    v1, v2 = q1 - s1 * s1 / n, q2 - s2 * s2 / n
    if not (v1 > FLAT * q1 and v2 > FLAT * q2):
        return 0.0
    value: float = (c - s1 * s2 / n) / (np.sqrt(v1) * np.sqrt(v2))
    return max(-1.0, min(1.0, value))


@kernel
def _joint_block_sums(
    out: Array, sums: Array, planes: Array, weights: Array, at_a: Array, at_b: Array, q0: int, q1: int, start: int
) -> None:
    """out[moment] = the six joint sums over the pairs q0 <= q < q1, from element ``start`` of the planes on."""
    for first in range(0, out.shape[1], PIECE):
        n = min(PIECE, out.shape[1] - first)
        fill(sums, 0.0)
        held = -1
        for q in range(q0, q1):
            a, b = at_a[q] + start + first, at_b[q] + start + first
            if not (any_positive(weights[a : a + n]) and any_positive(weights[b : b + n])):
                continue  # beyond the frame
            if held < 0:
                held = q
                continue
            c, d = at_a[held] + start + first, at_b[held] + start + first
            add_joint_sums2(
                sums, n, planes[c : c + n], weights[c : c + n], planes[d : d + n], weights[d : d + n],
                planes[a : a + n], weights[a : a + n], planes[b : b + n], weights[b : b + n],
            )  # fmt: skip
            held = -1
        if held >= 0:
            c, d = at_a[held] + start + first, at_b[held] + start + first
            add_joint_sums1(sums, n, planes[c : c + n], weights[c : c + n], planes[d : d + n], weights[d : d + n])
        for moment in range(6):
            copy(out[moment, first : first + n], sums[moment * PIECE : moment * PIECE + n])


@kernel
def _correlate_carefully(
    out: Array, planes: Array, weights: Array, corner: Array, row0: int, row1: int, n_cols: int,
    side: int, stride: int, n_rows: int, pitch: int, bands: Array, columns: Array, work: Array,
) -> None:  # fmt: skip
    """Replace the undecided points of grid rows [row0, row1): float64, jointly valid pixels only."""
    blocks, rest = side // stride, side % stride
    at_a, at_b = np.empty(stride * stride, np.int64), np.empty(stride * stride, np.int64)
    bounds = np.empty(5, np.int64)
    _list_block_pixels(at_a, at_b, bounds, corner, rest, stride, n_rows, pitch)
    sums = np.empty(6 * PIECE)
    n_out = (row1 - row0) * pitch
    n_in = n_out + (blocks + (1 if rest > 0 else 0)) * pitch
    for group in range(4):
        _joint_block_sums(
            bands[group, :, :n_in], sums, planes, weights, at_a, at_b, bounds[group], bounds[group + 1], row0 * pitch
        )
    for moment in range(6):
        of_corner, of_rows = bands[0, moment, :n_in], bands[1, moment, :n_in]
        of_cols, whole = bands[2, moment, :n_in], bands[3, moment, :n_in]
        if rest > 0:
            copy(work[1, :n_in], of_corner)
            sum2(work[0, :n_in], of_cols, of_corner)
            sum_windows(columns[1, :n_out], work, blocks, pitch, WITH_TAIL)
            sum4(work[0, :n_in], of_corner, of_rows, of_cols, whole)
            sum2(work[1, :n_in], of_rows, of_corner)
        else:
            copy(work[0, :n_in], whole)
        sum_windows(columns[0, :n_out], work, blocks, pitch, rest > 0)
        sum_windows(bands[0, moment, :n_out], columns, blocks, NEXT, rest > 0)
    n_least = max(2.0, MIN_VALID_PART * side * side)
    for row in range(row1 - row0):
        for col in range(n_cols):
            e, f = (row0 + row) * pitch + col, row * pitch + col
            if out[e] > np.float32(1.5):
                out[e] = _joint_correlation(
                    bands[0, 0, f], bands[0, 1, f], bands[0, 2, f], bands[0, 3, f], bands[0, 4, f], bands[0, 5, f],
                    n_least,
                )  # fmt: skip


@kernel
def _find_undecided(runs: Array, out: Array, n_grid_rows: int, n_cols: int, pitch: int, gap: int) -> int:
    """Runs of grid rows [first, end) that hold undecided points, and how many; runs ``gap`` rows apart are one."""
    n_runs = 0
    for row in range(n_grid_rows):
        if _count_undecided(out[row * pitch : row * pitch + n_cols]) > 0:
            if n_runs == 0 or row - runs[n_runs - 1, 1] >= gap:
                runs[n_runs, 0] = row
                n_runs += 1
            runs[n_runs - 1, 1] = row + 1
    return n_runs


@kernel
def _write_features(
    out: Array, flat: Array, f0: int, n_features: int, i0: int, i1: int, j0: int, j1: int, pitch: int
) -> None:
    for i in range(i1 - i0):
        for j in range(0, j1 - j0, 16):  # as many as keep the written lines in the cache
            for f in range(n_features):
                for k in range(j, min(j + 16, j1 - j0)):
                    out[i0 + i, j0 + k, f0 + f] = flat[f, i * pitch + k]


@kernel
def _correlate_group(
    correlations: Array, undecided: Array, n: int, corners: Array, planes: Array, mean: Array, variance: Array,
    scale: Array, side: int, stride: int, n_rows: int, pitch: int, pieces: Array, rims: Array, bands: Array,
    zeros: Array, distance: Array,
) -> None:  # fmt: skip
    """Up to four correlation maps (flat, with pitch), and how many of their points are left to be mended."""
    at_a, at_b = np.empty(stride * stride, np.int64), np.empty(stride * stride, np.int64)
    bounds = np.empty(5, np.int64)
    for f in range(corners.shape[0]):
        corner = corners[f]
        _list_block_pixels(at_a, at_b, bounds, corner, side % stride, stride, n_rows, pitch)
        _sum_distances(distance[:n], planes, at_a, at_b, bounds, side, stride, pitch, pieces, rims, bands, zeros)
        a = index_of(corner[0], corner[1], stride, n_rows, pitch)
        b = index_of(corner[2], corner[3], stride, n_rows, pitch)
        _correlate(
            correlations[f, :n], distance[:n], mean[a : a + n], mean[b : b + n], variance[a : a + n],
            variance[b : b + n], scale[a : a + n], scale[b : b + n], float(side * side),
        )  # fmt: skip
        undecided[f] = _count_undecided(correlations[f, :n])


@kernel
def _project_group(maps: Array, correlations: Array, n: int, components: Array) -> None:
    """maps += components times correlations; ``components``: shape (component, shift)."""
    n_shifts = components.shape[1]
    for f in range(0, n_shifts - 3, 4):
        for c in range(components.shape[0]):
            add_scaled4(
                maps[c, :n], correlations[f, :n], correlations[f + 1, :n], correlations[f + 2, :n],
                correlations[f + 3, :n], components[c, f : f + 4],
            )  # fmt: skip
    for f in range(n_shifts - n_shifts % 4, n_shifts):
        for c in range(components.shape[0]):
            add_scaled(maps[c, :n], correlations[f, :n], components[c, f])


class Scratch:
    """Work arrays for tiles of one size."""

    def __init__(self, side: int, stride: int, n_rows: int, pitch: int) -> None:
        area, slack = n_rows * pitch, slack_of(side, stride, pitch)
        size, levels = stride * stride * area + slack, n_levels(side // stride)
        piece = max(1, 2048 // pitch) * pitch
        chunk = max(1, 1024 // pitch) * pitch
        self.planes, self.weights = np.zeros(size, np.float32), np.ones(size, np.float32)
        self.mean = np.zeros(size, np.float64)
        self.variance, self.scale = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.work = np.zeros((levels, area + slack))
        self.for_statistics = (
            np.zeros((2, stride, area + slack)),
            np.zeros((2, stride, area + slack)),
            np.zeros((2, stride, chunk + slack)),
            np.zeros(chunk + slack),
            np.zeros((2, stride, chunk)),
            self.work,
        )
        self.for_distances = (
            np.zeros((levels, piece + slack), np.float32),
            np.zeros((levels, piece + slack), np.float32),
            np.zeros((levels, area + slack), np.float32),
            np.zeros(piece, np.float32),
            np.zeros(area, np.float32),
        )
        self.correlations = np.zeros((GROUP, area), np.float32)
        self.runs = np.zeros((n_rows, 2), np.int64)
        self.masked = False  # whether weights holds zeros

    @cached_property
    def for_mending(self) -> tuple[Array, ...]:
        """Only frames with invalid pixels or huge steps need these."""
        return np.zeros((4, 6, self.work.shape[1])), np.zeros_like(self.work), self.work


_of_thread = threading.local()


def _scratch(side: int, stride: int, n_rows: int, pitch: int) -> Scratch:
    """This thread's work arrays for a size of tile; a few are kept, since fresh memory costs page faults."""
    kept: dict[tuple[int, ...], Scratch] = _of_thread.__dict__.setdefault("kept", {})
    key = side, stride, n_rows, pitch
    if key not in kept:
        if len(kept) >= MAX_KEPT:
            kept.clear()
        kept[key] = Scratch(*key)
    return kept[key]


def describe_tiles(
    out: Array, padded: Array, valid: Array, tiles: Array, corners: Array, halo: int, side: int, stride: int,
    components: Array, constant: Array,
) -> None:  # fmt: skip
    """Correlations of every grid point in ``tiles``, or their projection.

    Parameters
    ----------
    out : shape (y_grid, x_grid, shift), or (y_grid, x_grid, component) when ``components`` has rows. Written.
    padded, valid : shape (y, x), counts, and their mask (empty: all valid).
    tiles : shape (tile, 4), grid rows [i0, i1) and columns [j0, j1).
    corners : shape (shift, 4), px. Upper left corner (y, x) of patch a and of patch b for grid point (0, 0).
    halo, side, stride : px around the frame, px of the patch's side, px between grid points.
    components, constant : shapes (component, shift) and (component,), float32; projection = components @ f + constant.
    """
    groups = [
        (f0, corners[f0 : f0 + 4], np.ascontiguousarray(components[:, f0 : f0 + 4])) for f0 in range(0, len(corners), 4)
    ]
    undecided = np.zeros(4, np.int64)
    for i0, i1, j0, j1 in tiles.tolist():
        n_rows = i1 - i0 + grid_length(2 * halo + 1, stride)
        pitch = grid_length(j1 - j0 + grid_length(2 * halo + 1, stride), 16) * 16
        work = _scratch(side, stride, n_rows, pitch)
        planes, layout = work.planes, (side, stride, n_rows, pitch)
        n_invalid = split_frame(planes, work.weights, padded, valid, i0 * stride, j0 * stride, stride, n_rows, pitch)
        patch_statistics(work.mean, work.variance, work.scale, planes, *layout, *work.for_statistics)
        if n_invalid > 0:
            clear_invalid(planes, work.weights)
        elif work.masked:
            work.weights[:] = 1
        work.masked = n_invalid > 0
        n = (i1 - i0) * pitch
        maps = np.repeat(constant[:, None], n, axis=1)
        for f0, group, weights in groups:
            _correlate_group(
                work.correlations, undecided, n, group, planes, work.mean, work.variance, work.scale,
                *layout, *work.for_distances,
            )  # fmt: skip
            for f in np.flatnonzero(undecided[: len(group)]):
                row = work.correlations[f]
                n_runs = _find_undecided(work.runs, row, i1 - i0, j1 - j0, pitch, side // stride)
                for first, end in work.runs[:n_runs].tolist():
                    _correlate_carefully(
                        row, planes, work.weights, group[f], first, end, j1 - j0, *layout, *work.for_mending
                    )
            if len(components):
                _project_group(maps, work.correlations, n, weights)
            else:
                _write_features(out, work.correlations, f0, len(group), i0, i1, j0, j1, pitch)
        if len(components):
            _write_features(out, maps, 0, len(components), i0, i1, j0, j1, pitch)
