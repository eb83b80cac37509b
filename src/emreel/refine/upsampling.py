"""From scores on the grid to labels on the pixels."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from emreel.descriptors.geometry import grid_length
from emreel.refine.errors import RefineError

UNKNOWN = 255
MAX_CLASSES = 253


def upsample_scores(
    scores: npt.ArrayLike,
    stride: int,
    shape_yx: tuple[int, int],
    outlier: npt.ArrayLike | None = None,
) -> npt.NDArray[np.uint8]:
    """Interpolate score maps linearly to the pixels and take the largest; nothing of size y x x x K is made.

    Parameters
    ----------
    scores : shape (y_grid, x_grid, K), larger is better; grid point (i, j) lies on pixel (i stride, j stride).
        Beyond the last grid point the map goes on flat. Grid points beyond the shape are used, so a tile
        that starts on a multiple of the stride equals its part of the frame when it brings one more row and
        column of grid points (where the frame has them).
    stride : px between grid points. shape_yx : px.
    outlier : shape (y_grid, x_grid), squared distance to the nearest centre in units of its class's threshold; where
        its interpolation exceeds 1 the pixel is unknown.

    Returns
    -------
    labels, shape (y, x) uint8: 1..K (the first of equals), 255 unknown.

    Raises
    ------
    RefineError : a grid too small for the shape, no or more than 253 classes, stride below 1.
    """
    maps = np.asarray(scores, np.float32)
    if maps.ndim != 3 or not 1 <= maps.shape[2] <= MAX_CLASSES:
        raise RefineError(f"got scores of shape {maps.shape}, wanted (y_grid, x_grid, K), K from 1 to {MAX_CLASSES}.")
    if stride < 1 or min(shape_yx) < 1:
        raise RefineError(f"got stride {stride} and a frame of {shape_yx} px, wanted 1 or more of each.")
    wanted = tuple(grid_length(n_px, stride) for n_px in shape_yx)
    if maps.shape[0] < wanted[0] or maps.shape[1] < wanted[1]:
        raise RefineError(
            f"got {maps.shape[0]} x {maps.shape[1]} grid points of stride {stride} px for {shape_yx[0]} x "
            f"{shape_yx[1]} px, wanted at least {wanted[0]} x {wanted[1]}."
        )
    ratio = np.empty((0, 0), np.float32) if outlier is None else np.ascontiguousarray(outlier, np.float32)
    if outlier is not None and ratio.shape != maps.shape[:2]:
        raise RefineError(f"got an outlier map of shape {ratio.shape} for scores of shape {maps.shape}.")
    labels = np.empty(shape_yx, np.uint8)
    _upsample(np.ascontiguousarray(maps), ratio, stride, labels)
    return labels


@numba.njit(cache=True, nogil=True)
def _row_between(grid, i, weight, k, out):  # type: ignore[no-untyped-def]
    """out[:n] = row i of map k, moved by ``weight`` towards the next row; the last column is repeated once."""
    below = min(i + 1, grid.shape[0] - 1)
    n = out.size - 1
    for g in range(n):
        a = grid[i, g, k]
        out[g] = a + weight * (grid[below, g, k] - a)
    out[n] = out[n - 1]


@numba.njit(cache=True, nogil=True)
def _upsample(scores, ratio, stride, labels):  # type: ignore[no-untyped-def]
    height, width = labels.shape
    n_classes = scores.shape[2]
    n = min(scores.shape[1], (width - 1) // stride + 2)  # the grid columns that the pixels touch
    has_ratio = ratio.size > 0
    ratios = ratio.reshape(ratio.shape[0], ratio.shape[1], 1)
    row = np.empty(n + 1, np.float32)
    best = np.empty((stride, n), np.float32)
    label = np.empty((stride, n), np.uint8)
    for y in range(height):
        i = y // stride
        weight_y = np.float32((y - i * stride) / stride)
        for k in range(n_classes):
            _row_between(scores, i, weight_y, k, row)
            for phase in range(stride):
                weight = np.float32(phase / stride)
                best_p, label_p = best[phase], label[phase]
                if k == 0:
                    for g in range(n):
                        best_p[g] = row[g] + weight * (row[g + 1] - row[g])
                        label_p[g] = np.uint8(1)
                else:
                    name = np.uint8(k + 1)
                    for g in range(n):
                        value = row[g] + weight * (row[g + 1] - row[g])
                        larger = value > best_p[g]
                        best_p[g] = value if larger else best_p[g]
                        label_p[g] = name if larger else label_p[g]
        if has_ratio:
            _row_between(ratios, i, weight_y, 0, row)
            for phase in range(stride):
                weight = np.float32(phase / stride)
                label_p = label[phase]
                for g in range(n):
                    if row[g] + weight * (row[g + 1] - row[g]) > np.float32(1):
                        label_p[g] = np.uint8(255)
        for phase in range(min(stride, width)):
            label_p = label[phase]
            for g in range((width - phase + stride - 1) // stride):
                labels[y, g * stride + phase] = label_p[g]
