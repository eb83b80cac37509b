"""`open_movie`: one door for files, folders, addresses, names in a catalog, and arrays."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote, urlparse

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.io.catalog import Entry, find_entry
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, native_dtype
from emreel.io.metadata import plain_metadata
from emreel.io.selection import Bins, FrameRange, Region, select_movie
from emreel.io.units import even_times
from emreel.movie import MovieError, check_movie, make_movie
from emreel.movie import frame_times_s as times_of
from emreel.movie import pixel_size_nm as pixel_size_of

_log = logging.getLogger(__name__)


@runtime_checkable
class FrameSource(Protocol):
    """Frames made or read one by one: what `emreel.synthetic` offers; a pure value, picklable."""

    n_frames: int
    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    frame_times_s: npt.NDArray[np.float64] | None
    pixel_size_nm: float | None
    name: str

    def frame(self, index: int) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the user knows better than the file."""

    frame_times_s: npt.ArrayLike | None = None
    frame_time_s: float | None = None
    pixel_size_nm: float | None = None

    def times_s(self, n_frames: int, own: npt.ArrayLike | None) -> npt.ArrayLike | None:
        if self.frame_times_s is not None and self.frame_time_s is not None:
            raise MovieError("got both frame_times_s and frame_time_s. Give the times, or the time between frames.")
        if self.frame_times_s is not None:
            return self.frame_times_s
        if self.frame_time_s is None:
            return own
        if not np.isfinite(self.frame_time_s) or self.frame_time_s <= 0:
            raise MovieError(f"got a frame time of {self.frame_time_s} s, wanted a positive number.")
        return even_times(n_frames, self.frame_time_s)

    def size_nm(self, own: float | None) -> float | None:
        return own if self.pixel_size_nm is None else self.pixel_size_nm

    @property
    def is_given(self) -> bool:
        return not (self.frame_times_s is None and self.frame_time_s is None and self.pixel_size_nm is None)


def open_movie(
    source: Any,
    *,
    frame_times_s: npt.ArrayLike | None = None,
    frame_time_s: float | None = None,
    pixel_size_nm: float | None = None,
    frames: FrameRange | None = None,
    roi: Region | None = None,
    bin: Bins = (1, 1, 1),
    dataset: str | None = None,
) -> Any:
    """Open a movie without reading it.

    Parameters
    ----------
    source : path of a file or a folder of frames; address of a zarr (``s3://...``, ``https://...``); name
        in the catalog, or ``"catalog.yaml#name"``; numpy or dask array or DataArray, shape (time, y, x) or
        (y, x); a `FrameSource`. A list or tuple of these gives a list of movies.
    frame_times_s : shape (time,), s, one for every frame of the file; rising, not necessarily even.
    frame_time_s : s from frame to frame, when it is even.
    pixel_size_nm : nm a px. These three overrule the file; what neither tells stays unknown.
    frames : ``(start, stop)`` or a slice, in frames of the file.
    roi : ``((y0, y1), (x0, x1))`` in px, from the top left corner, ends excluded.
    bin : frames, rows and columns that become one, by their mean (not their sum), in float32. What does not
        fill a whole bin at the end is dropped; the time of a group is the mean of its times.
    dataset : which array, in a file that holds several (HDF5, zarr, npz, mat, emd).

    Returns
    -------
    DataArray (time, y, x) as `emreel.movie.make_movie` describes; lazy for everything but numpy arrays, in
    chunks of whole frames. ``attrs["truncated"] = {"declared": n, "readable": m}`` when the file's tail is missing.

    Raises
    ------
    ReaderError : missing, damaged, cut so that no frame is left, in colour, or no movie at all.
    MovieError : complex or boolean data, zero frames, a selection or calibration that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> movie = open_movie(np.ones((6, 8, 8), np.uint8), frame_time_s=0.5, pixel_size_nm=0.1, bin=(2, 4, 4))
    >>> movie.shape, movie.time.values.tolist(), round(float(movie.pixel_size_nm), 3)
    ((3, 2, 2), [0.25, 1.25, 2.25], 0.4)
    """
    calibration = Calibration(frame_times_s=frame_times_s, frame_time_s=frame_time_s, pixel_size_nm=pixel_size_nm)
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        if not source:
            raise MovieError("got an empty list of movies. Give at least one.")
        return [select_movie(_open_one(one, calibration, dataset), frames=frames, roi=roi, bins=bin) for one in source]
    return select_movie(_open_one(source, calibration, dataset), frames=frames, roi=roi, bins=bin)


def _open_one(source: Any, calibration: Calibration, dataset: str | None) -> xr.DataArray:
    if isinstance(source, str | os.PathLike):
        return _open_address(os.fspath(source), calibration, dataset)
    if dataset is not None:
        raise ReaderError(f"got dataset={dataset!r} with a {type(source).__name__}. It names an array in a file.")
    if isinstance(source, FrameSource):
        return _dress(_raw_source(source), calibration, source.name)
    movie = check_movie(source)
    if movie.dtype != native_dtype(movie.dtype):
        movie = movie.astype(native_dtype(movie.dtype))
    if not calibration.is_given:
        return movie
    remade = make_movie(
        movie.data,
        frame_times_s=calibration.times_s(movie.shape[0], times_of(movie)),
        pixel_size_nm=calibration.size_nm(pixel_size_of(movie)),
        source=str(movie.attrs["source"]),
        original_metadata=movie.attrs["original_metadata"],
    )
    remade.attrs.update({key: value for key, value in movie.attrs.items() if key not in remade.attrs})
    return remade


def _open_address(address: str, calibration: Calibration, dataset: str | None) -> xr.DataArray:
    from emreel.io import readers

    if address.startswith("file://"):
        address = unquote(urlparse(address).path)
    if "://" not in address and not os.path.exists(address):
        entry = find_entry(address)
        if entry is not None:
            return open_entry(entry, calibration, dataset)
    place = address if "://" in address else os.path.abspath(address)  # workers stand in other folders
    return _dress(readers.open_raw(place, dataset), calibration, address)


def open_entry(entry: Entry, calibration: Calibration | None = None, dataset: str | None = None) -> xr.DataArray:
    """Open a catalog's entry: its calibration counts where the file has none and the user gives none."""
    movie = _open_one(entry.resolve(), calibration or Calibration(), dataset or entry.dataset)
    movie.attrs["source"] = entry.name
    missing = Calibration(
        frame_time_s=entry.frame_time_s if times_of(movie) is None else None,
        pixel_size_nm=entry.pixel_size_nm if pixel_size_of(movie) is None else None,
    )
    return _open_one(movie, missing, None)


def _dress(raw: RawMovie, calibration: Calibration, source: str) -> xr.DataArray:
    from emreel.io.lazy import lazy_frames

    n_frames = raw.frames.shape[0]
    movie = make_movie(
        lazy_frames(raw.frames),
        frame_times_s=calibration.times_s(n_frames, raw.frame_times_s),
        pixel_size_nm=calibration.size_nm(raw.pixel_size_nm),
        source=source,
        original_metadata=plain_metadata(raw.original_metadata),
    )
    if raw.declared_frames is not None and raw.declared_frames > n_frames:
        _log.warning("%s is cut: %d of %d frames can be read", source, n_frames, raw.declared_frames)
        movie.attrs["truncated"] = {"declared": int(raw.declared_frames), "readable": int(n_frames)}
    return movie


def _raw_source(source: FrameSource) -> RawMovie:
    frames = SourceFrames(source=source)
    return RawMovie(frames=frames, frame_times_s=source.frame_times_s, pixel_size_nm=source.pixel_size_nm)


@dataclass(frozen=True, kw_only=True)
class SourceFrames(FrameBlocks):
    """A frame source as blocks."""

    source: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = self.source.shape_yx
        return int(self.source.n_frames), int(height), int(width)

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.source.dtype)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        return np.stack([np.asarray(self.source.frame(index))[rows, columns] for index in frames])
