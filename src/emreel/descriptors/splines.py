"""A frame as cubic spline coefficients, ready to be sampled at the same offsets from many positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels import spline
from emreel.descriptors.kernels.lanes import LANES
from emreel.descriptors.kernels.polar import HOPELESS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Positions with less than this part of the pixels around them valid get no score.
LEAST_VALID = 1 / 5
#: px beyond a point that its value depends on: the taps of the spline, and its prefilter.
SPLINE_PX = 1 + spline.REACH
#: Counts between these need no scaling: their squares and products fit into float32.
PLAIN_COUNTS = (1e-6, 1e6)


@dataclass(frozen=True, eq=False)
class SplineFrame:
    """Spline coefficients of a padded frame, and what is valid of it.

    flat : the coefficients, one after the other, with LANES elements of slack that vectors may read and nothing uses.
    coefficients : shape (y, column phases); the layout is told in `emreel.descriptors.kernels.spline`.
    good : shape (y, x), the frame; NaN where it is invalid or not finite. Both are times a power of two, which leaves
        every bit of what is scored alone and keeps squares from overflow.
    step, pitch : px between positions, and elements of a column phase.
    """

    prefilter_px: ClassVar[int] = spline.REACH

    flat: npt.NDArray[np.float32]
    coefficients: npt.NDArray[np.float32]
    good: npt.NDArray[np.float32]
    step: int
    pitch: int

    @classmethod
    def of(cls, padded: Frame, valid: Mask | None, step: int) -> SplineFrame:
        """Prefilter a padded frame for positions that lie ``step`` px apart."""
        frame = _read_only(np.ascontiguousarray(padded, np.float32))
        mask = _read_only(np.empty((0, 0), bool) if valid is None else np.ascontiguousarray(valid, np.bool_))
        pitch = grid_length(frame.shape[1], step) + 1
        size = frame.shape[0] * step * pitch
        flat = np.zeros(size + LANES, np.float32)
        coefficients = flat[:size].reshape(frame.shape[0], step * pitch)
        good = np.empty(frame.shape, np.float32)
        spline.spline_coefficients(coefficients, good, frame, mask, _scale(frame, valid), step, pitch)
        return cls(flat, coefficients, good, step, pitch)

    @property
    def row_pitch(self) -> int:
        """Elements from a row of the coefficients to the next."""
        return int(self.coefficients.shape[1])

    def columns(self, x: Integers) -> Integers:
        """Where the pixels of columns ``x`` lie in a row of the coefficients."""
        return (x % self.step) * self.pitch + x // self.step

    def taps(self, offsets: Floats, x0: int) -> tuple[Integers, Floats]:
        """Where the 16 coefficients around a point lie, relative to the row of a position, and their weights.

        offsets : (dy, dx) px of the points from a position, shape (..., 2); x0 : column of a row's first position.
        Returns two arrays of shape (..., 16), four columns of four rows.
        """
        near = np.round(offsets, 9)
        whole = np.floor(near).astype(np.int64)
        weights = cubic_weights(near - whole)
        around = np.arange(-1, 3)
        rows = (whole[..., 0, None] + around) * self.row_pitch
        columns = self.columns(x0 + whole[..., 1, None] + around)
        shape = (*offsets.shape[:-1], 16)
        elements = (rows[..., :, None] + columns[..., None, :]).reshape(shape)
        return elements, (weights[..., 0, :, None] * weights[..., 1, None, :]).reshape(shape)

    def flags(self, first_px: int, n_yx: tuple[int, int], half_px: int) -> npt.NDArray[np.uint8]:
        """1 for positions that have an invalid pixel within ``half_px`` along both axes, 2 where most are, else 0.

        The first position lies at ``first_px`` along both axes. 2 (HOPELESS) stands for less than LEAST_VALID.
        """
        bad = np.isnan(self.good)
        if not bad.any():
            return np.zeros(n_yx, np.uint8)
        sums = np.pad(bad.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
        y0, x0 = (first_px - half_px + np.arange(n) * self.step for n in n_yx)
        side = 2 * half_px + 1
        y1, x1 = y0 + side, x0 + side
        count = sums[y1][:, x1] - sums[y0][:, x1] - sums[y1][:, x0] + sums[y0][:, x0]
        return np.where(count > (1 - LEAST_VALID) * side**2, HOPELESS, count > 0).astype(np.uint8)

    def inside(self) -> npt.NDArray[np.float32]:
        """1 where all 16 taps of the points in a pixel are valid, else 0; laid out as the coefficients."""
        fine = ~np.isnan(self.good)
        for axis in (0, 1):
            lines = np.moveaxis(fine, axis, 0)
            all_four = np.zeros_like(lines)
            all_four[1:-2] = lines[:-3] & lines[1:-2] & lines[2:-1] & lines[3:]
            fine = np.moveaxis(all_four, 0, axis)
        out = np.zeros_like(self.coefficients)
        out[:, self.columns(np.arange(fine.shape[1]))] = fine
        return out

    def square_means(self, first_px: int, n_yx: tuple[int, int], half_px: int) -> npt.NDArray[np.float32]:
        """Mean of the valid pixels of the square of half side ``half_px`` around every position; 0 without any."""
        means = np.empty(n_yx, np.float32)
        scratch = np.empty((2, self.good.shape[1]))
        spline.square_means(means, scratch, self.good, first_px, first_px, self.step, half_px)
        return means


def cubic_weights(share: Floats) -> Floats:
    """Weights of the four coefficients around a point that lies ``share`` (0 to 1) px after the second, (..., 4)."""
    t = share
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3], axis=-1) / 6


def _scale(frame: Frame, valid: Mask | None) -> float:
    """A power of two that brings the largest valid counts near 1; 1 for usual ones."""
    least, most = PLAIN_COUNTS
    largest = float(np.max(frame, initial=0.0) - np.min(frame, initial=0.0))
    if least < largest < most:
        return 1.0
    counts = np.abs(frame[np.isfinite(frame) if valid is None else valid & np.isfinite(frame)])
    largest = float(counts.max(initial=0.0))
    return 1.0 if largest == 0.0 or least < largest < most else float(2.0 ** -np.floor(np.log2(largest)))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written: the one kind of array the kernels are compiled for."""
    view: npt.NDArray[Any] = array.view()
    view.flags.writeable = False
    return view
