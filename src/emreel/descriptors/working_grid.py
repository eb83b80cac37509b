"""The working grid of a frame, and the separable smoothings on it that the lattice descriptor is made of.

The grid starts at the corner of the frame's valid rectangle, in step with the descriptor's own grid, so what is
computed at one place never depends on where a tile begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels import lattice as kernels

Image = npt.NDArray[np.float32]

#: Every Gaussian ends at this many sigma; a descriptor's halo is the sum of these reaches.
REACH_SIGMAS = 3.0


@dataclass(frozen=True, eq=False)
class WorkingView:
    """What of a padded frame carries weight: its valid rectangle and the frame itself, with the working grid.

    counts : shape (y, x), counts minus ``zero``, 0 where invalid. weight : 1 where valid, else 0.
    n_grid_yx : points of the working grid, which starts at the corner and goes one step past the end.
    first_yx : the working grid's point on the frame's first pixel.
    """

    counts: Image
    weight: Image
    grid_px: int
    n_grid_yx: tuple[int, int]
    first_yx: tuple[int, int]

    @classmethod
    def of(cls, padded: Frame, valid: Mask | None, *, halo: int, grid_px: int, zero: np.float32) -> WorkingView:
        good = np.ones(padded.shape, bool) if valid is None else valid
        rows, row = _trim(np.any(good, axis=1), halo, grid_px)
        cols, col = _trim(np.any(good, axis=0), halo, grid_px)
        good = good[rows, cols]
        counts = np.where(good, padded[rows, cols] - zero, np.float32(0))
        n_grid_yx = ((good.shape[0] - 1) // grid_px + 2, (good.shape[1] - 1) // grid_px + 2)
        return cls(counts.astype(np.float32, copy=False), good.astype(np.float32), grid_px, n_grid_yx, (row, col))

    @cached_property
    def weight_on_grid(self) -> Image:
        """1 where the working grid lies on a valid pixel."""
        out = np.zeros(self.n_grid_yx, np.float32)
        sampled = self.weight[:: self.grid_px, :: self.grid_px]
        out[: sampled.shape[0], : sampled.shape[1]] = sampled
        return out

    @property
    def inside(self) -> Mask:
        return self.weight_on_grid > 0

    def picked(self, stride: int, shape_yx: tuple[int, int]) -> tuple[slice, slice]:
        """The working grid's points that are the descriptor's."""
        every = stride // self.grid_px
        return tuple(  # type: ignore[return-value]
            slice(first, first + (grid_length(n, stride) - 1) * every + 1, every)
            for first, n in zip(self.first_yx, shape_yx, strict=True)
        )


def _trim(has_valid: Any, halo: int, grid_px: int) -> tuple[slice, int]:
    """The part of an axis that holds the frame and all valid pixels, and the grid steps it begins before the frame."""
    n = len(has_valid)
    where = np.flatnonzero(has_valid)
    first, last = (halo, n - halo) if where.size == 0 else (min(int(where[0]), halo), max(int(where[-1]) + 1, n - halo))
    steps = grid_length(halo - first, grid_px)
    return slice(halo - steps * grid_px, last), steps


def reach_px(sigma_px: float) -> int:
    return int(np.ceil(REACH_SIGMAS * sigma_px))


def gaussian_taps(sigma_px: float) -> Image:
    """Taps of a Gaussian that sum to 1, length 2 radius + 1."""
    t = np.arange(-reach_px(sigma_px), reach_px(sigma_px) + 1)
    taps = np.exp(-0.5 * (t / sigma_px) ** 2)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


def wave_taps(taps: Image, frequency: float) -> tuple[Image, Image]:
    """Taps from the middle outwards times the cosine and the sine of the reference wave."""
    radius = len(taps) // 2
    phase = 2 * np.pi * frequency * np.arange(radius + 1)
    half = taps[radius:].astype(np.float64)
    return (half * np.cos(phase)).astype(np.float32), (-half * np.sin(phase)).astype(np.float32)


def with_margin(image: npt.NDArray[np.float32], radius: int, n_out: int, step: int) -> Image:
    """The rows between margins of zeros, so that every output row finds all its taps."""
    out = np.zeros((max((n_out - 1) * step + 2 * radius + 1, radius + image.shape[0]), image.shape[1]), np.float32)
    out[radius : radius + image.shape[0]] = image
    return out


def smooth(image: Image, taps: Image, step: int, n_yx: tuple[int, int]) -> Image:
    """Separable smoothing of both axes, every ``step``-th point; zeros beyond the image."""
    down = kernels.smooth_rows(image, taps, step, n_yx[0])
    across = kernels.smooth_rows(np.ascontiguousarray(down.T), taps, step, n_yx[1])
    return np.ascontiguousarray(across.T)


def sum_of_squares(images: list[Image]) -> Image:
    total = np.zeros_like(images[0])
    for image in images:
        total += image * image
    return total


def divide_covered(over: Image, under: Image) -> Image:
    """over / under, and 0 where nothing is under it."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > np.float32(1e-6))
