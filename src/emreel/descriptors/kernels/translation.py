"""Local correlation maps: Pearson correlation of the patch at r + a with the patch at r + b, for many pairs (a, b).

The covariance comes from the mean squared distance of the two patches (d2), so that no offset enters it:

    correlation = (var_a + var_b + (mean_a - mean_b)^2 - d2) / (2 sd_a sd_b)

d2 is summed in float32 (stride x stride blocks, then doubling windows on the grid), means and variances in float64,
once a tile for all shifts (`distances`, `planes`). Where a patch holds an invalid pixel, mean and variance are taken
over the jointly valid ones; where the terms cancel (two patches on both sides of a huge step) or float32 overflows,
the covariance is summed in float64 (`joint`). What is decided, is decided a point at a time from its own support,
so tiles never show.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cached_property

import numpy as np

from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels.distances import QUAD, correlate_group
from emreel.descriptors.kernels.flat import Array, add_scaled, add_scaled4, kernel, n_levels
from emreel.descriptors.kernels.joint import MOMENTS, decide, find_undecided, mend_rim, recount, sum_columns, sum_rows
from emreel.descriptors.kernels.planes import (
    fill_invalid,
    patch_statistics,
    slack_of,
    split_frame,
)  # fmt: skip
from emreel.descriptors.kernels.sides import mend_side, turn_strip
from emreel.descriptors.kernels.vectors import LANES
from emreel.descriptors.kernels.windows import n_window_levels

#: Correlation maps computed before they are written or projected: 16 floats fill a cache line.
GROUP = 16
#: Pairs of columns whose sums are kept at a frame's side: as many as a grid of nine shifts a side has.
KEPT_COLUMNS = 18
#: Sizes of tiles (whole, rims, corners) whose work arrays a thread keeps.
MAX_KEPT = 9


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
        chunk = max(1, 1024 // pitch) * pitch
        self.planes, self.weights = np.zeros(size, np.float32), np.zeros(size, np.float32)
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
        self.kept: dict[str, Array] = {}
        self.layout, self.area, self.slack = (side, stride, n_rows, pitch), area, slack
        length, depth = side // stride, n_window_levels(side // stride)
        self.n_levels, self.n_ring = depth, 1 << length.bit_length()
        self.for_distances = (
            np.zeros((QUAD * (2 * depth + 2), pitch + length + LANES), np.float32),
            np.zeros((GROUP, (depth + 1) * self.n_ring * pitch + LANES), np.float32),
            depth,
            self.n_ring,
        )
        self.distances = np.zeros((GROUP, area + LANES), np.float32)
        self.correlations = np.zeros((GROUP, area + LANES), np.float32)
        self.runs = np.zeros((n_rows, 2), np.int64)

    def room(self, name: str, *shape: int) -> Array:
        """Work of the careful path, float64, kept for the next tile; only some frames need it."""
        size = math.prod(shape)
        if name not in self.kept or self.kept[name].size < size:
            self.kept[name] = np.zeros(size)
        return np.reshape(self.kept[name][:size], shape)

    @cached_property
    def filled(self) -> Array:
        """The planes with 0 for invalid pixels."""
        return np.zeros_like(self.planes)


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


class _Mender:
    """Decides what the fast path left undecided in one tile."""

    def __init__(self, work: Scratch, grid_yx: tuple[int, int], valid: Array, n_invalid: int) -> None:
        self.work, self.grid_yx = work, grid_yx
        if n_invalid:
            fill_invalid(work.filled, work.planes)
        else:
            work.filled[:] = work.planes
            work.weights[:] = 1
        self.parts: list[Callable[[Array], None]] = []
        if 0 < n_invalid == valid.size - np.count_nonzero(valid):  # else there are NaN pixels as well
            in_row, in_column = (np.asarray(valid.any(axis=axis)) for axis in (1, 0))
            rows, columns = _ends(in_row), _ends(in_column)
            if valid.size - n_invalid == (rows[1] - rows[0]) * (columns[1] - columns[0]):
                self._plan_parts(in_row, in_column, rows, columns)

    def mend(self, group: Array, undecided: Array) -> None:
        """Decide the points of the maps of a group, whose patches have these corners."""
        for part in self.parts:
            part(group)
        if self.parts:
            recount(undecided[: len(group)], self.work.correlations, *self.grid_yx, self.work.layout[3])
        for f in np.flatnonzero(undecided[: len(group)]).tolist():
            self._mend_map(f, group[f])

    def _plan_parts(self, in_row: Array, in_column: Array, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """Grid columns that reach beyond the frame on the left, on the right, and those that do not."""
        stride, n_cols = self.work.layout[1], self.grid_yx[1]
        reach = in_column.size - (n_cols - 1) * stride
        left = min(grid_length(columns[0], stride), n_cols)
        right = max(min((columns[1] - reach) // stride + 1, n_cols), left)
        if left > 0:
            self.parts.append(self._side(0, left, reach, in_row, in_column))
        if right < n_cols:
            self.parts.append(self._side(right, n_cols - right, reach, in_row, in_column))
        if right > left and rows != (0, in_row.size):
            self.parts.append(self._rim(left, right - left, np.array(rows)))

    def _rim(self, col: int, n_cols: int, rows: Array) -> Callable[[Array], None]:
        work, (_, stride, n_rows, pitch) = self.work, self.work.layout
        known = np.full((stride, 2), -1, np.int64)
        ones = np.ones(stride * pitch + work.slack, np.float32)
        for_sums = self._for_sums()
        lines = work.room("rim", stride, MOMENTS, stride * n_rows * pitch + LANES)

        def mend(group: Array) -> None:
            mend_rim(
                work.correlations, work.distances, group, work.filled, ones, rows, np.array(work.layout),
                self.grid_yx[0], col, n_cols, known, lines, *for_sums, work.n_ring,
            )  # fmt: skip

        return mend

    def _side(self, col: int, n_cols: int, reach: int, in_row: Array, in_column: Array) -> Callable[[Array], None]:
        work, (side, stride, n_rows, pitch) = self.work, self.work.layout
        depth, n_columns = grid_length(n_rows, LANES) * LANES, (n_cols - 1) * stride + reach
        line = stride * depth
        strip = np.zeros(n_columns * line + work.slack + LANES, np.float32)
        turn_strip(strip, work.filled, col * stride, n_columns, in_row.size, stride, n_rows, pitch, depth)
        valid_columns = in_column[col * stride : col * stride + n_columns].astype(np.int64)
        weights = np.zeros(line + work.slack + LANES, np.float32)
        weights[np.arange(in_row.size) % stride * depth + np.arange(in_row.size) // stride] = in_row
        known = np.full((KEPT_COLUMNS, 2), -1, np.int64)
        lines = work.room(f"side {col > 0}", KEPT_COLUMNS, MOMENTS, n_cols * line + LANES)
        turned, distances = (np.zeros(n_cols * depth + LANES, np.float32) for _ in range(2))
        sums = work.room("turned sums", 2, MOMENTS, n_cols * depth + LANES)
        n_joint = work.room("turned number", n_cols * depth + LANES)
        pieces = work.room("turned pieces", (work.n_levels + 1) * (depth + side // stride + 2 * LANES))
        ring = work.room("turned ring", MOMENTS * ((work.n_levels + 1) * work.n_ring * line + LANES))

        def mend(group: Array) -> None:
            mend_side(
                work.correlations, work.distances, group, strip, weights, in_row.astype(np.int64), valid_columns,
                np.array([side, stride, depth, pitch]), self.grid_yx[0], col, n_cols, known, lines, sums,
                turned, distances, n_joint, pieces, ring, work.n_ring,
            )  # fmt: skip

        return mend

    def _for_sums(self) -> tuple[Array, Array, Array, Array]:
        """Room for one-sided sums of both patches and one more, numbers of pixels, and work."""
        work, (side, _, _, pitch) = self.work, self.work.layout
        return (
            work.room("sums", 3, MOMENTS, work.area + LANES),
            work.room("number", work.area + LANES),
            work.room("pieces", MOMENTS * (work.n_levels + 1) * (pitch + side + 2 * LANES)),
            work.room("ring", MOMENTS * ((work.n_levels + 1) * work.n_ring * pitch + LANES)),
        )

    def _mend_map(self, f: int, corner: Array) -> None:
        side, stride, _, pitch = self.work.layout
        work, (n_grid_rows, n_grid_cols) = self.work, self.grid_yx
        out, distance = work.correlations[f], work.distances[f]
        swapped = corner[[2, 3, 0, 1]]
        n_runs = find_undecided(work.runs, out, n_grid_rows, n_grid_cols, pitch, side // stride)
        for first, end in work.runs[:n_runs].tolist():
            where = first, end, 0, n_grid_cols, side, pitch
            n_joint = self._sum(work.weights, work.weights, corner, first, end, 2)[0].copy()
            a = self._sum(work.filled, work.weights, corner, first, end, 0)
            b = self._sum(work.filled, work.weights, swapped, first, end, 1)
            if decide(out, distance, n_joint, a, b, np.empty(0), *where):
                products = self._sum(work.filled, work.filled, corner, first, end, 2)[0]
                decide(out, distance, n_joint, a, b, products, *where)

    def _sum(self, planes: Array, others: Array, corner: Array, first: int, end: int, which: int) -> Array:
        work, (side, stride, n_rows, pitch) = self.work, self.work.layout
        sums, _, pieces, ring = self._for_sums()
        rows, n_cols = work.room("rows", MOMENTS, stride * n_rows * pitch + LANES), self.grid_yx[1]
        y0 = int(corner[0]) + first * stride
        y1 = y0 + (end - first - 1) * stride + side
        sum_rows(rows, planes, others, False, corner, y0, y1, side, stride, n_rows, pitch, n_cols, pieces)
        sum_columns(sums[which], rows, y0, y0, y1, end - first, side, stride, pitch, 0, n_cols, ring, work.n_ring)
        chosen: Array = sums[which]
        return chosen


def _ends(inside: Array) -> tuple[int, int]:
    """First and end of what is True."""
    where = np.flatnonzero(inside)
    return (int(where[0]), int(where[-1]) + 1) if where.size else (0, 0)


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
        (f0, corners[f0 : f0 + GROUP], np.ascontiguousarray(components[:, f0 : f0 + GROUP]))
        for f0 in range(0, len(corners), GROUP)
    ]
    undecided = np.zeros(GROUP, np.int64)
    for i0, i1, j0, j1 in tiles.tolist():
        n_rows = i1 - i0 + grid_length(2 * halo + 1, stride)
        pitch = grid_length(j1 - j0 + grid_length(2 * halo + 1, stride), 16) * 16
        work, layout = _scratch(side, stride, n_rows, pitch), (side, stride, n_rows, pitch)
        y0, y1, x0, x1 = i0 * stride, (i1 - 1) * stride + 1 + 2 * halo, j0 * stride, (j1 - 1) * stride + 1 + 2 * halo
        n_invalid = split_frame(work.planes, work.weights, padded, valid, y0, y1, x0, x1, stride, n_rows, pitch)
        patch_statistics(work.mean, work.variance, work.scale, work.planes, *layout, *work.for_statistics)
        mender = None
        n = (i1 - i0) * pitch
        maps = np.repeat(constant[:, None], n, axis=1)
        for f0, group, weights in groups:
            correlate_group(
                work.correlations, undecided, work.distances, group, work.planes, work.mean, work.variance, work.scale,
                n_invalid == 0, i1 - i0, j1 - j0, *layout, *work.for_distances,
            )  # fmt: skip
            if undecided[: len(group)].any():
                mender = mender or _Mender(work, (i1 - i0, j1 - j0), valid[y0:y1, x0:x1], n_invalid)
                mender.mend(group, undecided)
            if len(components):
                _project_group(maps, work.correlations, n, weights)
            else:
                _write_features(out, work.correlations, f0, len(group), i0, i1, j0, j1, pitch)
        if len(components):
            _write_features(out, maps, 0, len(components), i0, i1, j0, j1, pitch)
