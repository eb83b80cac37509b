"""Region of interest, range of frames and binning, of a movie that is already dressed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.movie import MovieError, frame_times_s, make_movie, pixel_size_nm

FrameRange = slice | tuple[int | None, int | None]
Region = tuple[tuple[int, int], tuple[int, int]]
Bins = tuple[int, int, int]


def select_movie(
    movie: xr.DataArray, *, frames: FrameRange | None = None, roi: Region | None = None, bins: Bins = (1, 1, 1)
) -> xr.DataArray:
    """Cut frames, then the region, then bin; coordinates keep to the specimen and to the true times."""
    if frames is not None:
        movie = movie.isel(time=_frame_slice(frames, movie.sizes["time"]))
    if roi is not None:
        rows, columns = _region_slices(roi, (movie.sizes["y"], movie.sizes["x"]))
        movie = movie.isel(y=rows, x=columns)
    return movie if bins == (1, 1, 1) else _bin_movie(movie, bins)


def _frame_slice(frames: FrameRange, n_frames: int) -> slice:
    chosen = frames if isinstance(frames, slice) else slice(*frames)
    if len(range(n_frames)[chosen]) == 0 or (chosen.step is not None and chosen.step < 0):
        raise MovieError(
            f"got frames {chosen.start}:{chosen.stop}:{chosen.step or 1}, but the movie has frames 0:{n_frames}. "
            "Choose at least one of them, in rising order."
        )
    return chosen


def _region_slices(roi: Region, shape_yx: tuple[int, int]) -> tuple[slice, slice]:
    try:
        (y0, y1), (x0, x1) = roi
        inside = 0 <= y0 < y1 <= shape_yx[0] and 0 <= x0 < x1 <= shape_yx[1]
    except (TypeError, ValueError):
        raise MovieError(f"got roi={roi!r}, wanted ((y0, y1), (x0, x1)) in px.") from None
    if not inside:
        raise MovieError(
            f"got the region y {y0}:{y1}, x {x0}:{x1}, but frames are {shape_yx[0]} x {shape_yx[1]} px. "
            "Give ((y0, y1), (x0, x1)) inside the frame, from the top left corner."
        )
    return slice(y0, y1), slice(x0, x1)


def _bin_movie(movie: xr.DataArray, bins: Bins) -> xr.DataArray:
    bins = _check_bins(bins, movie.shape)
    time_bin, side = bins[0], bins[1]
    size_nm, times = pixel_size_nm(movie), frame_times_s(movie)
    n_frames = movie.shape[0] // time_bin
    if times is not None:
        times = times[: n_frames * time_bin].reshape(n_frames, time_bin).mean(axis=1)
    origin = tuple(
        (float(movie.coords[axis].values[0]) / (size_nm or 1.0) + (side - 1) / 2) / side for axis in ("y", "x")
    )
    binned = make_movie(
        _bin_array(movie.data, bins),
        frame_times_s=times,
        pixel_size_nm=None if size_nm is None else size_nm * side,
        origin_yx_px=(origin[0], origin[1]),
        source=str(movie.attrs["source"]),
        original_metadata=movie.attrs["original_metadata"],
    )
    binned.attrs.update({key: value for key, value in movie.attrs.items() if key not in binned.attrs})
    return binned


def _check_bins(bins: Bins, shape_tyx: tuple[int, ...]) -> Bins:
    try:
        time_bin, bin_y, bin_x = (int(b) for b in bins)
    except (TypeError, ValueError):
        raise MovieError(f"got bin={bins!r}, wanted three whole numbers (frames, rows, columns).") from None
    if (time_bin, bin_y, bin_x) != tuple(bins) or min(time_bin, bin_y, bin_x) < 1:
        raise MovieError(f"got bin={bins!r}, wanted three whole numbers of at least 1 (frames, rows, columns).")
    if bin_y != bin_x:
        raise MovieError(f"got a bin of {bin_y} x {bin_x} px. Pixels stay square in emreel: bin y and x alike.")
    if any(b > n for b, n in zip((time_bin, bin_y, bin_x), shape_tyx, strict=True)):
        raise MovieError(f"got bin={bins!r} for a movie of shape {tuple(shape_tyx)}: nothing would be left. Bin less.")
    return time_bin, bin_y, bin_x


def _bin_array(data: Any, bins: Bins) -> Any:
    shape = tuple(n // b for n, b in zip(data.shape, bins, strict=True))
    data = data[tuple(slice(0, n * b) for n, b in zip(shape, bins, strict=True))]
    if isinstance(data, np.ndarray):
        return _bin_block(data, bins)
    whole = tuple(_whole_bins(chunks, b) for chunks, b in zip(data.chunks, bins, strict=True))
    return data.rechunk(whole).map_blocks(
        _bin_block,
        bins,
        chunks=tuple(tuple(n // b for n in chunks) for chunks, b in zip(whole, bins, strict=True)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )


def _whole_bins(chunks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Move the borders between chunks to the next border between bins."""
    ends = sorted({-(-int(end) // size) * size for end in np.cumsum(chunks)})
    return tuple(int(n) for n in np.diff([0, *ends]))


def _bin_block(block: npt.NDArray[Any], bins: Bins) -> npt.NDArray[np.float32]:
    t, y, x = (n // b for n, b in zip(block.shape, bins, strict=True))
    grouped = block.reshape(t, bins[0], y, bins[1], x, bins[2])
    mean: npt.NDArray[np.float32] = grouped.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
    return mean
