"""Positions and frames in the specimen's own coordinates, given the drift of every frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from emreel.movie import EmreelError

Doubles = npt.NDArray[np.float64]


class AlignError(EmreelError, ValueError):
    """Drift that does not fit the movie."""


def to_specimen(points_yx: npt.ArrayLike, drift_yx_px: npt.ArrayLike) -> Doubles:
    """Positions in the specimen (as in the first good frame) of what is seen at ``points_yx``, px; both (..., 2).

    >>> to_specimen([[10.0, 20.0]], (1.5, -2.0)).tolist()
    [[8.5, 22.0]]
    """
    return np.asarray(points_yx, np.float64) - np.asarray(drift_yx_px, np.float64)


def to_frame(points_yx: npt.ArrayLike, drift_yx_px: npt.ArrayLike) -> Doubles:
    """Where points of the specimen are seen in a frame of that drift, px; both (..., 2)."""
    return np.asarray(points_yx, np.float64) + np.asarray(drift_yx_px, np.float64)


def align_frame(frame: npt.NDArray[np.generic], drift_yx_px: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The frame as it would be without drift, shape (y, x), float32; NaN where it shows nothing of the specimen.

    Linear between pixels, so that no value is made up and counts are not overshot; noise is smoothed a little where the
    drift is not whole: for looking and for averages, not for labelling.
    """
    by = -np.asarray(drift_yx_px, np.float64)
    moved = ndimage.shift(frame.astype(np.float32), by, order=1, mode="constant", cval=np.nan)
    return np.asarray(moved, np.float32)


def align_movie(movie: xr.DataArray, drift_yx_px: npt.ArrayLike) -> xr.DataArray:
    """The movie without drift, lazily: dims (time, y, x), float32, NaN where a frame shows nothing.

    drift_yx_px : shape (time, 2), px, as `FrameRow` tells it. Chunks that cut frames in space are joined.

    Raises
    ------
    AlignError : drift for another number of frames, or not finite.

    >>> from emreel.movie import make_movie
    >>> frames = np.zeros((2, 8, 8), np.uint8)
    >>> frames[0, 3, 3] = frames[1, 4, 5] = 9
    >>> align_movie(make_movie(frames), [(0, 0), (1, 2)]).argmax(("y", "x"))["x"].values.tolist()
    [3, 3]
    """
    drift = np.asarray(drift_yx_px, np.float64)
    if drift.shape != (movie.sizes["time"], 2):
        raise AlignError(f"got drift of shape {drift.shape}, wanted ({movie.sizes['time']}, 2): (y, x) px a frame.")
    if not np.isfinite(drift).all():
        bad = int(np.flatnonzero(~np.isfinite(drift).all(axis=1))[0])
        raise AlignError(f"got drift {drift[bad].tolist()} for frame {bad}, wanted numbers. Fill the gaps first.")
    whole = movie if movie.chunks is None else movie.chunk({"y": -1, "x": -1})
    of_frame = xr.DataArray(drift, dims=("time", "axis"))
    if whole.chunks is not None:
        of_frame = of_frame.chunk({"time": dict(zip(whole.dims, whole.chunks, strict=True))["time"]})
    aligned: xr.DataArray = xr.apply_ufunc(
        _align_frames,
        whole,
        of_frame,
        input_core_dims=[["y", "x"], ["axis"]],
        output_core_dims=[["y", "x"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        keep_attrs=True,
    )
    return aligned.transpose("time", "y", "x")


def _align_frames(frames: npt.NDArray[np.generic], drift_yx_px: Doubles) -> npt.NDArray[np.float32]:
    aligned = [align_frame(frame, drift) for frame, drift in zip(frames, drift_yx_px, strict=True)]
    return np.stack(aligned) if aligned else np.empty(frames.shape, np.float32)
