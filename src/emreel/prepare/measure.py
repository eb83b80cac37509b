"""Measure frames of a movie, wherever its pixels are, without ever holding a frame too large for a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel import engine
from emreel.descriptors.geometry import Tile, grid_length
from emreel.prepare.background import Background, block_px, learn_background
from emreel.prepare.flicker import BlockSums
from emreel.prepare.quality import FrameReport, FrameSums
from emreel.prepare.survey import FrameRow, Glance, GlanceSums, Survey, judge_rows, repair_band, unread_row

#: Pixels of the bands of whole rows in which large frames are measured.
BAND_PIXELS = 2**22
#: Frames that are looked at before their rows are made: what is held at a time.
FRAMES_AT_ONCE = 32
#: Frames over the movie from which its ordinary mean is learned.
REFERENCE_FRAMES = 9


def measure_frames(
    movie: xr.DataArray, frames: Sequence[int], reference_mean: float | None = None
) -> list[FrameReport]:
    """The report of each of ``frames``, in their order, none twice; reads those frames and nothing else."""
    bands = [band for frame in frames for band in _bands(frame, movie.sizes["y"], movie.sizes["x"])]
    sums = engine.map_regions(movie, bands, _itself, _measure_band)
    grouped = groupby(zip(bands, sums, strict=True), key=lambda pair: pair[0].t0)
    return [engine.add_in_order([s for _, s in group]).finish(reference_mean) for _, group in grouped]


def survey_movie(
    movie: xr.DataArray, survey: Survey | None = None, on_done: Callable[[int], None] = lambda _: None
) -> list[FrameRow]:
    """One row for every frame of a movie, in order: quality, gain of the resting layer, sharpness, drift.

    movie : dims (time, y, x). survey : what is measured; its ``reference_mean``, when None, is learned from a few
    frames spread over the movie. on_done : told how many frames are done, now and then. Frames are looked at in
    parallel, on the active scheduler, `FRAMES_AT_ONCE` at a time; the rows are the same for any scheduler, and the
    same as those of `survey_frames`. A frame that cannot be read is "unreadable".

    >>> import numpy as np
    >>> from emreel.movie import make_movie
    >>> frames = np.random.default_rng(0).poisson(20, (6, 64, 64)).astype(np.uint16)
    >>> frames[4] = 0
    >>> [row.status for row in survey_movie(make_movie(frames))]
    ['good', 'good', 'good', 'good', 'blank', 'good']
    """
    survey = Survey() if survey is None else survey
    n_frames, shape_yx = movie.sizes["time"], (movie.sizes["y"], movie.sizes["x"])
    if survey.reference_mean is None:
        survey = replace(survey, reference_mean=_ordinary_mean(movie))
    state, rows = None, list[FrameRow]()
    for start in range(0, n_frames, FRAMES_AT_ONCE):
        indices = range(start, min(start + FRAMES_AT_ONCE, n_frames))
        for index, glance in zip(indices, _glances(movie, survey, indices), strict=True):
            if isinstance(glance, str):
                row = unread_row(index, "unreadable", glance)
            else:
                state, row = survey.step(state, index, glance, survey.bin_px(shape_yx))
            rows.append(row)
        on_done(len(rows))
    return judge_rows(rows)


def learn_movie_background(
    movie: xr.DataArray, *, degree: int = 2, ridge: float = 1.0, n_frames: int = 32
) -> Background:
    """The slow field over a movie, from frames spread over it, each divided by its mean counts.

    Frames that are not usable are left out; reads ``n_frames`` frames. Raises as `learn_background`.
    """
    shape_yx = (movie.sizes["y"], movie.sizes["x"])
    size = block_px(shape_yx)
    spread = np.unique(np.linspace(0, movie.sizes["time"] - 1, min(n_frames, movie.sizes["time"])).round().astype(int))
    good = [int(f) for f, r in zip(spread, measure_frames(movie, spread.tolist()), strict=True) if r.usable]
    bands = [band for frame in good for band in _bands(frame, *shape_yx, size)]
    sums = engine.map_regions(movie, bands, _itself, _BlockBand(size))
    counts, n_valid = (np.zeros(tuple(grid_length(n, size) for n in shape_yx)) for _ in range(2))
    for _, group in groupby(zip(bands, sums, strict=True), key=lambda pair: pair[0].t0):
        of_frame = engine.add_in_order([s for _, s in group])
        mean = of_frame.counts.sum() / max(of_frame.n_valid.sum(), 1.0)
        if mean > 0:
            counts += of_frame.counts / mean
            n_valid += of_frame.n_valid
    return learn_background(BlockSums(counts, n_valid, size), shape_yx, degree=degree, ridge=ridge)


def _ordinary_mean(movie: xr.DataArray) -> float | None:
    """Median over a few frames of their mean counts; None when none of them is good."""
    n_frames = movie.sizes["time"]
    spread = np.unique(np.linspace(0, n_frames - 1, min(REFERENCE_FRAMES, n_frames)).round().astype(int))
    means = [report.mean for report in measure_frames(movie, spread.tolist()) if report.usable]
    return float(np.median(means)) if means else None


def _glances(movie: xr.DataArray, survey: Survey, frames: Sequence[int]) -> Iterator[Glance | str]:
    """Of each frame; or why it cannot be read."""
    shape_yx = (movie.sizes["y"], movie.sizes["x"])
    unit = survey.band_rows(shape_yx)
    bands = [band for frame in frames for band in _bands(frame, *shape_yx, unit)]
    seen: dict[engine.Region, Any] = {}
    faults: dict[int, str] = {}

    def set_aside(band: engine.Region, error: BaseException) -> None:
        faults[band.t0] = " ".join(str(error).split()) or type(error).__name__

    engine.run_regions(movie, bands, _itself, _LookAt(survey, shape_yx), seen.__setitem__, set_aside)
    for frame, group in groupby(bands, key=lambda band: band.t0):
        if frame in faults:
            yield faults[frame]
        else:
            parts = [seen.pop(band) for band in group]
            yield parts[0] if isinstance(parts[0], Glance) else survey.finish(engine.add_in_order(parts))


@dataclass(frozen=True)
class _LookAt:
    """The task of one band of a frame: its sums, or the glance where it is the whole frame."""

    survey: Survey
    shape_yx: tuple[int, int]

    def __call__(self, pixels: npt.NDArray[Any], region: Any) -> GlanceSums | Glance:
        sums = self.survey.sum_band(pixels[0], self.shape_yx)
        return self.survey.finish(sums) if pixels.shape[1:] == self.shape_yx else sums


@dataclass(frozen=True)
class _BlockBand:
    """The task that sums blocks of one band; dead lines and hot pixels are left out."""

    block_px: int

    def __call__(self, pixels: npt.NDArray[Any], region: Any) -> BlockSums:
        return BlockSums.of(*repair_band(pixels[0])[:2], self.block_px)


def _bands(frame: int, height: int, width: int, unit: int = 1) -> list[engine.Region]:
    rows = max(BAND_PIXELS // width // unit * unit, unit)
    tops = range(0, height, rows)
    return [engine.Region(frame, frame + 1, Tile(y, min(y + rows, height), 0, width)) for y in tops]


def _itself(region: engine.Region) -> engine.Region:
    return region


def _measure_band(pixels: npt.NDArray[np.generic], region: Any) -> FrameSums:
    return FrameSums.of(pixels[0])
