"""What one frame is worth: mean, dead lines, blank or unusable. Measured over rows, so tiles cannot change it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.kernels.vectors import LANES
from emreel.prepare.kernels import measure_rows

#: No detector counts so far; values beyond are damage, and would overflow float32 sums.
LARGEST_COUNT = 1e12
#: A frame of less than this share of the movie's usual mean is blank (beam off, shutter closed).
BLANK_SHARE = 0.1
#: A frame with fewer readable pixels than this share is not labelled.
LEAST_VALID_SHARE = 0.5
#: Dark lines are dead only where fewer than this many are expected by chance.
CHANCE_OF_DARK_LINE = 0.01


@dataclass(frozen=True, eq=False)
class FrameSums:
    """Sums over bands of whole rows, mergeable from top to bottom: ``of(band) + of(next band)``.

    Every sum is over one row, in float64, so cutting a frame into other bands gives the same bits.
    """

    row_sum: npt.NDArray[np.float64]  # (y,)
    row_count: npt.NDArray[np.int64]  # (y,) finite pixels
    row_min: npt.NDArray[np.float64]
    row_max: npt.NDArray[np.float64]
    row_at_min: npt.NDArray[np.int64]  # pixels that are the lowest of their row
    column_min: npt.NDArray[np.float64]  # (x,)
    column_max: npt.NDArray[np.float64]

    @classmethod
    def of(cls, band: npt.NDArray[Any]) -> FrameSums:
        """band : shape (rows, x), counts as recorded; integers or reals."""
        height, width = band.shape
        sums, lows, highs = np.empty(height), np.empty(height), np.empty(height)
        counts, at_low = np.empty(height, np.int64), np.empty(height, np.int64)
        column_low, column_high = np.full(width + LANES, np.inf), np.full(width + LANES, -np.inf)
        largest = LARGEST_COUNT if band.dtype.kind == "f" else np.inf
        measure_rows(_measurable(band), largest, sums, counts, lows, highs, at_low, column_low, column_high)
        return cls(sums, counts, lows, highs, at_low, column_low[:width], column_high[:width])

    def __add__(self, below: FrameSums) -> FrameSums:
        return FrameSums(
            np.concatenate([self.row_sum, below.row_sum]),
            np.concatenate([self.row_count, below.row_count]),
            np.concatenate([self.row_min, below.row_min]),
            np.concatenate([self.row_max, below.row_max]),
            np.concatenate([self.row_at_min, below.row_at_min]),
            np.minimum(self.column_min, below.column_min),
            np.maximum(self.column_max, below.column_max),
        )

    def finish(self, reference_mean: float | None = None) -> FrameReport:
        """The frame's report; blank is judged against ``reference_mean``, counts a pixel."""
        n_valid = int(self.row_count.sum())
        n_pixels = self.row_sum.size * self.column_min.size
        mean = float(self.row_sum.sum() / n_valid) if n_valid else float("nan")
        lowest, highest = float(self.row_min.min()), float(self.row_max.max())
        status, reason = "good", ""
        if n_valid < LEAST_VALID_SHARE * n_pixels:
            status, reason = "invalid", f"{n_valid} of {n_pixels} pixels are readable"
        elif lowest == highest:
            status, reason = "blank", f"every pixel is {lowest:g}"
        elif reference_mean is not None and mean < BLANK_SHARE * reference_mean:
            status, reason = "blank", f"mean {mean:.4g} against {reference_mean:.4g} counts"
        dead_rows: tuple[int, ...] = ()
        dead_columns: tuple[int, ...] = ()
        if status == "good":
            darkest = float(np.median(self.row_at_min / np.maximum(self.row_count, 1)))
            dead_rows = _dead_lines(self.row_min, self.row_max, lowest, darkest ** len(self.column_min))
            dead_columns = _dead_lines(self.column_min, self.column_max, lowest, darkest ** len(self.row_min))
        ordinary_max = float(np.median(self.row_max))
        signature = zlib.crc32(self.row_sum.tobytes())
        return FrameReport(mean, status, reason, dead_rows, dead_columns, ordinary_max, signature)


@dataclass(frozen=True)
class FrameReport:
    """What was found in one frame.

    status : good, blank or invalid (duplicates show from a pair of frames). mean : counts a pixel.
    ordinary_max : median over the rows of their largest counts; single pixels far above it are hot.
    signature : crc32 of the frame's row sums; equal for exact repeats of a frame.
    """

    mean: float
    status: str
    reason: str
    dead_rows: tuple[int, ...]
    dead_columns: tuple[int, ...]
    ordinary_max: float
    signature: int

    @property
    def usable(self) -> bool:
        return self.status == "good"


def _measurable(band: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The band as one of the kinds of array that the kernel is compiled for: contiguous and not to be written."""
    known = band.dtype.newbyteorder("=") in (np.uint8, np.uint16, np.int16, np.float32)
    view: npt.NDArray[Any] = np.ascontiguousarray(band, band.dtype.newbyteorder("=") if known else np.float64).view()
    view.flags.writeable = False
    return view


def usable_pixels(frame: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True where a pixel is finite and within the range of a detector."""
    if frame.dtype.kind in "iu":
        return np.ones(frame.shape, bool)
    with np.errstate(invalid="ignore"):
        inside: npt.NDArray[np.bool_] = np.abs(frame) < LARGEST_COUNT
    return inside


def _dead_lines(
    line_min: npt.NDArray[Any], line_max: npt.NDArray[Any], lowest: float, by_chance: float
) -> tuple[int, ...]:
    """Lines that hold the frame's lowest counts and nothing else.

    None when more than a tenth of all do (dark regions are alive), or when a line of a frame so sparse is dark
    ``by_chance`` often enough to be seen.
    """
    constant = (line_min == line_max) & (line_min <= lowest)
    if line_min.size < 8 or constant.sum() > 0.1 * line_min.size or by_chance * line_min.size > CHANCE_OF_DARK_LINE:
        return ()
    return tuple(int(i) for i in np.flatnonzero(constant))
