"""What a movie is: a DataArray of dims ``(time, y, x)`` with units, parsed once at the door.

Everything behind the door trusts what `check_movie` returns and never looks again.
A movie carries

========================  ==========================================================
``dims``                  ``("time", "y", "x")``
``coords["time"]``        frame times in s (``units = "s"``), or frame numbers
                          (``units = "frame"``) when the movie tells no times
``coords["y"], ["x"]``    pixel positions in nm (``units = "nm"``), or in px (``"px"``)
``attrs``                 ``pixel_size_nm`` (only when known), ``source`` (path or name),
                          ``original_metadata`` (dict, as the file had it)
========================  ==========================================================

A scale is never invented: without calibration the coordinates count pixels and frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

DIMS = ("time", "y", "x")
#: Movies above this many pixels a frame are refused before anything is read.
MAX_FRAME_PIXELS = 2**32


class EmreelError(Exception):
    """Base of every error that emreel raises on purpose; the command line prints it without a traceback."""


class MovieError(EmreelError, ValueError):
    """The input is not a movie that emreel can segment."""


def make_movie(
    data: Any,
    *,
    frame_times_s: npt.ArrayLike | None = None,
    pixel_size_nm: float | None = None,
    origin_yx_px: tuple[float, float] = (0.0, 0.0),
    source: str = "array",
    original_metadata: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Dress an array as a movie.

    Parameters
    ----------
    data : shape (time, y, x) or (y, x), numpy or dask array, counts. Integer or real.
    frame_times_s : shape (time,), s; increasing. ``None``: the coordinate counts frames.
    pixel_size_nm : nm per px; ``None``: the coordinates count pixels.
    origin_yx_px : first pixel's position in the original frame, px (after a region of interest).

    Raises
    ------
    MovieError : wrong number of dimensions, dtype, empty, or times that do not fit.
    """
    if getattr(data, "ndim", None) == 2:
        data = data[None]
    _check_array(data)
    n_frames, height, width = data.shape
    if frame_times_s is None:
        time = xr.Variable("time", np.arange(n_frames, dtype=np.int64), {"units": "frame"})
    else:
        times = np.asarray(frame_times_s, dtype=np.float64)
        if times.shape != (n_frames,):
            raise MovieError(f"got {times.size} frame times for {n_frames} frames. Give one time a frame, in seconds.")
        if not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
            raise MovieError(
                "frame times must be finite and increase from frame to frame. Sort the frames or leave the times out."
            )
        time = xr.Variable("time", times, {"units": "s"})
    scale, unit = (1.0, "px") if pixel_size_nm is None else (_check_pixel_size(pixel_size_nm), "nm")
    attrs: dict[str, Any] = {"source": source, "units": "counts"}
    if pixel_size_nm is not None:
        attrs["pixel_size_nm"] = float(pixel_size_nm)
    attrs["original_metadata"] = dict(original_metadata or {})
    y0, x0 = origin_yx_px
    return xr.DataArray(
        data,
        dims=DIMS,
        coords={
            "time": time,
            "y": xr.Variable("y", (np.arange(height) + y0) * scale, {"units": unit}),
            "x": xr.Variable("x", (np.arange(width) + x0) * scale, {"units": unit}),
        },
        name="intensity",
        attrs=attrs,
    )


def check_movie(movie: object) -> xr.DataArray:
    """Parse anything that can stand for a movie; no pixel is read.

    Accepts a DataArray of dims (time, y, x) or (y, x), or a raw numpy or dask array of 2 or 3
    dimensions. Already parsed movies pass through unchanged.

    Raises
    ------
    MovieError : not an array, wrong dims, complex, boolean or object data, zero frames.
    """
    if isinstance(movie, xr.DataArray):
        if movie.dims == DIMS and movie.attrs.get("units") == "counts" and "source" in movie.attrs:
            _check_array(movie.data if movie.chunks is not None else movie.variable)
            return movie
        if set(movie.dims) not in ({"time", "y", "x"}, {"y", "x"}):
            raise MovieError(
                f"got a DataArray of dims {tuple(map(str, movie.dims))}, wanted ('time', 'y', 'x'). "
                "Rename them: movie.rename(old='time')."
            )
        if "time" not in movie.dims:
            movie = movie.expand_dims("time")
        movie = movie.transpose(*DIMS)
        pixel_size = movie.attrs.get("pixel_size_nm")
        if pixel_size is None:
            pixel_size = _pixel_size_from_coords(movie)
        return make_movie(
            movie.data,
            frame_times_s=_times_from_coords(movie),
            pixel_size_nm=pixel_size,
            source=str(movie.attrs.get("source", movie.name or "array")),
            original_metadata=movie.attrs.get("original_metadata"),
        )
    if isinstance(movie, Sequence) and not isinstance(movie, str | bytes):
        raise MovieError(
            "got a list where one movie was wanted. Give one movie, or stack the frames: np.stack(frames)."
        )
    if not hasattr(movie, "shape") or not hasattr(movie, "dtype"):
        raise MovieError(
            f"got {type(movie).__name__}, wanted a movie: a DataArray (time, y, x), a numpy or dask array, "
            "or what emreel.open_movie(path) returns."
        )
    return make_movie(movie)


def pixel_size_nm(movie: xr.DataArray) -> float | None:
    """Pixel size in nm, or None when the movie is not calibrated."""
    value = movie.attrs.get("pixel_size_nm")
    return None if value is None else float(value)


def frame_times_s(movie: xr.DataArray) -> npt.NDArray[np.float64] | None:
    """Frame times in s, shape (time,), or None when the movie only counts frames."""
    time = movie.coords["time"]
    return np.asarray(time.values, dtype=np.float64) if time.attrs.get("units") == "s" else None


def _check_array(data: Any) -> None:
    if data.ndim != 3:
        raise MovieError(f"got an array of {data.ndim} dimensions, wanted 3 (time, y, x) or 2 (y, x).")
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "iuf":
        what = {"c": "complex numbers", "b": "booleans", "O": "Python objects"}.get(dtype.kind, f"dtype {dtype}")
        raise MovieError(
            f"got {what}, wanted counts (integers or real numbers). "
            "Take the modulus of complex data, or cast: movie.astype('uint8')."
        )
    if 0 in data.shape:
        raise MovieError(f"got an empty movie of shape {tuple(data.shape)}. Wanted at least one frame of one pixel.")
    if data.shape[1] * data.shape[2] > MAX_FRAME_PIXELS:
        raise MovieError(
            f"frames of {data.shape[1]} x {data.shape[2]} px are beyond {MAX_FRAME_PIXELS} pixels. "
            "The header is probably damaged; otherwise open a region of interest."
        )


def _check_pixel_size(value: float) -> float:
    if not np.isfinite(value) or value <= 0:
        raise MovieError(f"got a pixel size of {value} nm, wanted a positive number, or none at all.")
    return float(value)


_NM = {"nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "micrometer": 1e3, "A": 0.1, "Å": 0.1, "angstrom": 0.1}
_S = {"s": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "millisecond": 1e-3, "min": 60.0}


def _pixel_size_from_coords(movie: xr.DataArray) -> float | None:
    sizes: list[float] = []
    for dim in ("y", "x"):
        coord = movie.coords.get(dim)
        factor = None if coord is None else _NM.get(str(coord.attrs.get("units")))
        if factor is None or coord is None or coord.size < 2:
            continue
        sizes.append(float(coord.values[-1] - coord.values[0]) / (coord.size - 1) * factor)
    if not sizes:
        return None
    if len(sizes) == 2 and abs(sizes[0] - sizes[1]) > 1e-3 * abs(sizes[0]):
        raise MovieError(
            f"pixels of {sizes[0]:.6g} x {sizes[1]:.6g} nm are not square. Resample the movie to square pixels."
        )
    return sizes[0]


def _times_from_coords(movie: xr.DataArray) -> npt.NDArray[np.float64] | None:
    coord = movie.coords.get("time")
    factor = None if coord is None else _S.get(str(coord.attrs.get("units")))
    return None if coord is None or factor is None else np.asarray(coord.values, dtype=np.float64) * factor
