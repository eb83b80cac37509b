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

import threading
from functools import cached_property

import numpy as np

from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels.distances import QUAD, correlate_group, n_window_levels
from emreel.descriptors.kernels.flat import Array, add_scaled, add_scaled4, kernel, n_levels
from emreel.descriptors.kernels.joint import decide, find_undecided, joint_sums
from emreel.descriptors.kernels.planes import (
    fill_invalid,
    patch_statistics,
    slack_of,
    split_frame,
)  # fmt: skip
from emreel.descriptors.kernels.vectors import LANES

#: Correlation maps computed before they are written or projected: 16 floats fill a cache line.
GROUP = 16
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
        length, depth = side // stride, n_window_levels(side // stride)
        n_ring = 1 << length.bit_length()
        self.for_distances = (
            np.zeros((QUAD * (2 * depth + 2), pitch + length + LANES), np.float32),
            np.zeros((GROUP, (depth + 1) * n_ring * pitch + LANES), np.float32),
            depth,
            n_ring,
        )
        self.distances = np.zeros((GROUP, area + LANES), np.float32)
        self.correlations = np.zeros((GROUP, area + LANES), np.float32)
        self.runs = np.zeros((n_rows, 2), np.int64)

    @cached_property
    def for_joint_sums(self) -> tuple[Array, ...]:
        """Only frames with invalid pixels or huge steps need these."""
        shape = self.work.shape
        return np.zeros((3, *shape)), np.zeros((3, *shape)), self.work

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

    def __init__(
        self, work: Scratch, layout: tuple[int, int, int, int], grid_yx: tuple[int, int], valid: Array, n_invalid: int
    ) -> None:
        self.work, self.layout, self.grid_yx = work, layout, grid_yx
        if n_invalid:
            fill_invalid(work.filled, work.planes)
        else:
            work.filled[:] = work.planes
            work.weights[:] = 1
        known = 0 < n_invalid == valid.size - np.count_nonzero(valid)  # else there are NaN pixels as well
        self.by_rows = known and bool((valid == valid[:, :1]).all())
        self.by_columns = known and not self.by_rows and bool((valid == valid[:1]).all())
        self.known: dict[tuple[int, ...], Array] = {}

    def mend(self, f: int, corner: Array) -> None:
        """Decide the points of map ``f`` of the group, whose patches have these corners."""
        side, stride, _, pitch = self.layout
        work, (n_grid_rows, n_grid_cols) = self.work, self.grid_yx
        out, distance = work.correlations[f], work.distances[f]
        ay, ax, by, bx = corner.tolist()
        n_runs = find_undecided(work.runs, out, n_grid_rows, n_grid_cols, pitch, side // stride)
        for first, end in work.runs[:n_runs].tolist():
            a, at_a = self._one_sided(ay, ax, by, bx, first, end)
            b, at_b = self._one_sided(by, bx, ay, ax, first, end)
            where = first, end, n_grid_cols, side, pitch
            if decide(out, distance, a, at_a, b, at_b, np.empty((0, 0)), *where):
                products = self._sum(work.filled, ay, ax, by, bx, first, end - first)
                decide(out, distance, a, at_a, b, at_b, products, *where)

    def _one_sided(self, y: int, x: int, other_y: int, other_x: int, first: int, end: int) -> tuple[Array, int]:
        """Joint sums of the patch at (y, x), whose partner is known by its mask only; and where ``first`` is."""
        side, stride, n_rows, pitch = self.layout
        if self.by_rows:
            key = y, x % stride, other_y
            if key not in self.known:
                self.known[key] = self._sum(self.work.weights, y, x % stride, other_y, x % stride, 0, self.grid_yx[0])
            return self.known[key], first * pitch + x // stride
        if self.by_columns:
            key = y % stride, x, other_x
            if key not in self.known:
                n_grid_rows = n_rows - grid_length(side, stride)
                self.known[key] = self._sum(self.work.weights, y % stride, x, y % stride, other_x, 0, n_grid_rows)
            return self.known[key], (first + y // stride) * pitch
        return self._sum(self.work.weights, y, x, other_y, other_x, first, end - first), 0

    def _sum(self, others: Array, y: int, x: int, other_y: int, other_x: int, first: int, n_grid_rows: int) -> Array:
        pitch = self.layout[3]
        out = np.empty((3, n_grid_rows * pitch))
        corner = np.array([y, x, other_y, other_x])
        joint_sums(
            out, self.work.filled, self.work.weights, others, corner, first, *self.layout, *self.work.for_joint_sums
        )
        return out


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
            for f in np.flatnonzero(undecided[: len(group)]).tolist():
                mender = mender or _Mender(work, layout, (i1 - i0, j1 - j0), valid[y0:y1, x0:x1], n_invalid)
                mender.mend(f, group[f])
            if len(components):
                _project_group(maps, work.correlations, n, weights)
            else:
                _write_features(out, work.correlations, f0, len(group), i0, i1, j0, j1, pitch)
        if len(components):
            _write_features(out, maps, 0, len(components), i0, i1, j0, j1, pitch)
