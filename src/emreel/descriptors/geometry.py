"""Geometry, computed once and carried as a value: grids, tiles, padding, upsampling.

Nobody else adds or subtracts a margin. Grid point (i, j) of a descriptor of stride s lies on pixel
(i s, j s), so a frame of (h, w) px has ceil(h / s) x ceil(w / s) grid points and all of them lie inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask


def grid_length(n_px: int, stride: int) -> int:
    """Number of grid points along an axis of ``n_px`` pixels: ceil(n_px / stride)."""
    return -(-n_px // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the frame, px: rows [y0, y1), columns [x0, x1)."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    def grown(self, px: int, shape_yx: tuple[int, int] | None = None) -> Tile:
        """The tile with ``px`` more on every side, cut at the frame's edge when its shape is given."""
        grown = Tile(self.y0 - px, self.y1 + px, self.x0 - px, self.x1 + px)
        if shape_yx is None:
            return grown
        height, width = shape_yx
        return Tile(max(grown.y0, 0), min(grown.y1, height), max(grown.x0, 0), min(grown.x1, width))

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grid_slices(self, stride: int) -> tuple[slice, slice]:
        """The grid points that lie in the tile (whose corner is a multiple of the stride)."""
        return (
            slice(self.y0 // stride, grid_length(self.y1, stride)),
            slice(self.x0 // stride, grid_length(self.x1, stride)),
        )


def plan_tiles(shape_yx: tuple[int, int], tile_yx: tuple[int, int]) -> Iterator[Tile]:
    """Cut a frame into tiles, row by row; the last ones may be smaller."""
    for y0 in range(0, shape_yx[0], tile_yx[0]):
        for x0 in range(0, shape_yx[1], tile_yx[1]):
            yield Tile(y0, min(y0 + tile_yx[0], shape_yx[0]), x0, min(x0 + tile_yx[1], shape_yx[1]))


def pad_frame(frame: Frame, halo: int, valid: Mask | None = None) -> tuple[Frame, Mask]:
    """Pad a frame by ``halo`` px on every side; the padding mirrors the frame and is marked invalid.

    frame : shape (y, x). Returns the padded frame and its mask, both (y + 2 halo, x + 2 halo).
    """
    inside = np.ones(frame.shape, bool) if valid is None else valid
    if halo == 0:
        return frame, inside
    padded = np.pad(frame, halo, mode="symmetric")
    return padded, np.pad(inside, halo, mode="constant", constant_values=False)


def window_of(frame: Frame, valid: Mask, have: Tile, want: Tile) -> tuple[Frame, Mask]:
    """Cut the rectangle ``want`` out of a piece of a frame that lies at ``have``.

    Where ``want`` leaves the piece (beyond the frame's edge) it mirrors the piece and is marked invalid.
    """
    before = (max(have.y0 - want.y0, 0), max(have.x0 - want.x0, 0))
    after = (max(want.y1 - have.y1, 0), max(want.x1 - have.x1, 0))
    inside = (
        slice(max(want.y0 - have.y0, 0), want.y1 - have.y0 if after[0] == 0 else None),
        slice(max(want.x0 - have.x0, 0), want.x1 - have.x0 if after[1] == 0 else None),
    )
    widths = tuple(zip(before, after, strict=True))
    return (
        np.pad(frame[inside], widths, mode="symmetric"),
        np.pad(valid[inside], widths, mode="constant", constant_values=False),
    )


def upsample_nearest(grid: npt.NDArray[Any], stride: int, shape_yx: tuple[int, int]) -> npt.NDArray[Any]:
    """Nearest grid point for every pixel; first two axes of ``grid`` are (y_grid, x_grid). Ties go up."""
    rows = np.minimum((np.arange(shape_yx[0]) + stride // 2) // stride, grid.shape[0] - 1)
    cols = np.minimum((np.arange(shape_yx[1]) + stride // 2) // stride, grid.shape[1] - 1)
    taken: npt.NDArray[Any] = grid[rows[:, None], cols[None, :]]
    return taken
