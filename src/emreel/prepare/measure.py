"""Measure frames of a movie, wherever its pixels are, without ever holding a frame too large for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel import engine
from emreel.descriptors.geometry import Tile
from emreel.prepare.quality import FrameReport, FrameSums

#: Pixels of the bands of whole rows in which large frames are measured.
BAND_PIXELS = 2**22


def measure_frames(
    movie: xr.DataArray, frames: Sequence[int], reference_mean: float | None = None
) -> list[FrameReport]:
    """The report of each of ``frames``, in their order; reads those frames and nothing else."""
    bands = [band for frame in frames for band in _bands(frame, movie.sizes["y"], movie.sizes["x"])]
    sums = engine.map_regions(movie, bands, _itself, _measure_band)
    grouped = groupby(zip(bands, sums, strict=True), key=lambda pair: pair[0].t0)
    return [engine.add_in_order([s for _, s in group]).finish(reference_mean) for _, group in grouped]


def _bands(frame: int, height: int, width: int) -> list[engine.Region]:
    rows = max(BAND_PIXELS // width, 1)
    tops = range(0, height, rows)
    return [engine.Region(frame, frame + 1, Tile(y, min(y + rows, height), 0, width)) for y in tops]


def _itself(region: engine.Region) -> engine.Region:
    return region


def _measure_band(pixels: npt.NDArray[np.generic], region: Any) -> FrameSums:
    return FrameSums.of(pixels[0])
