"""HDF5 (and netCDF-4, NeXus): a data set by name, or the only one that can be a movie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import h5py
import numpy as np
import numpy.typing as npt

from emreel.io.axes import AxisMap, find_axes, forward
from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp, native_dtype
from emreel.io.units import even_times, second_factor, to_nm


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with open_file(path) as file:
        name = choose_dataset(path, list_arrays(file), dataset)
        array = file[name]
        axes = find_axes(array.shape, [dim.label or None for dim in array.dims], where=f"{path}, {name}")
        frames, declared = frames_of(path, array, axes)
        times, size = _calibration(array, axes)
        metadata = {**dict(file.attrs), **dict(array.attrs)}
    return RawMovie(
        frames=frames,
        frame_times_s=None if times is None or times.size != declared else times[: frames.shape[0]],
        pixel_size_nm=size,
        original_metadata=metadata,
        declared_frames=declared if frames.shape[0] < declared else None,
    )


def open_file(path: str) -> h5py.File:
    """Open for reading; the error for a cut file says so."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise ReaderError(
                f"{path} is cut: {str(error).split('(')[-1].rstrip(')')}. HDF5 keeps its index all over the file; "
                "copy it again, or repair it with h5clear and h5repack."
            ) from error
        raise ReaderError(f"{path} is not an HDF5 file, or a damaged one: {error}.") from error


def list_arrays(file: h5py.File) -> list[Candidate]:
    """Every data set of numbers in the file."""
    found: list[Candidate] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None and len(node.shape) > 1:
            found.append(Candidate(name, node.shape, node.dtype))

    file.visititems(visit)
    return found


def frames_of(path: str, array: Any, axes: AxisMap) -> tuple[Hdf5Frames, int]:
    """Lazy frames of a data set, and how many it declares."""
    declared = axes.movie_shape(array.shape)[0]
    if 0 in array.shape:
        raise ReaderError(f"{path}, {array.name} has shape {array.shape}: not one frame.")
    if array.is_virtual or array.external:
        raise ReaderError(
            f"{path}, {array.name} is a view of other files, which emreel does not follow. "
            "Copy it into one file: h5repack, or h5py."
        )
    readable = _count_written(path, array, axes, declared)
    frames = Hdf5Frames(
        path=path,
        name=array.name,
        axes=axes,
        shape_tyx=(readable, *axes.movie_shape(array.shape)[1:]),
        stored=array.dtype.str,
        native=axes.movie_shape(array.chunks) if array.chunks else None,
        stamp=file_stamp(path),
    )
    return frames, declared


def _count_written(path: str, array: Any, axes: AxisMap, declared: int) -> int:
    """Frames before a tail for which the file holds no bytes."""
    if array.chunks is None:
        if array.id.get_offset() is None and array.id.get_storage_size() == 0:
            raise ReaderError(f"{path}, {array.name} declares {declared} frames, but none was written.")
        return declared
    if axes.time is None or array.id.get_num_chunks() == math.prod(
        math.ceil(n / piece) for n, piece in zip(array.shape, array.chunks, strict=True)
    ):
        return declared
    piece = int(array.chunks[axes.time])
    for row in range(math.ceil(declared / piece) - 1, -1, -1):
        if _row_is_written(array, axes.time, row * piece):
            return min((row + 1) * piece, declared)
    raise ReaderError(f"{path}, {array.name} declares {declared} frames, but not one chunk was written.")


def _row_is_written(array: Any, time: int, start: int) -> bool:
    corners = [range(0, n, piece) for n, piece in zip(array.shape, array.chunks, strict=True)]
    corners[time] = range(start, start + 1)
    places = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, array.ndim)
    return any(
        array.id.get_chunk_info_by_coord(tuple(int(n) for n in place)).byte_offset is not None for place in places
    )


def _calibration(array: Any, axes: AxisMap) -> tuple[npt.NDArray[np.float64] | None, float | None]:
    """From dimension scales with units, Fiji's ``element_size_um``, or plainly named attributes."""
    times, size = None, None
    attributes = array.attrs
    if axes.time is not None and (scale := _dimension_scale(array, axes.time)) is not None:
        factor = second_factor(scale[1])
        times = scale[0] * factor if factor is not None else None
    if (scale := _dimension_scale(array, axes.x)) is not None and scale[0].size > 1:
        size = to_nm((scale[0][-1] - scale[0][0]) / (scale[0].size - 1), scale[1])
    if size is None and (sizes := _numbers(attributes.get("element_size_um"))):
        size = to_nm(sizes[-1], "um")
    if size is None and (sizes := _numbers(attributes.get("pixel_size_nm"))):
        size = to_nm(sizes[-1], "nm")
    if times is None and (steps := _numbers(attributes.get("frame_time_s"))) and steps[0] > 0:
        times = even_times(axes.movie_shape(array.shape)[0], steps[0])
    return times, size


def _dimension_scale(array: Any, axis: int) -> tuple[npt.NDArray[np.float64], str] | None:
    if len(array.dims[axis]) == 0:
        return None
    scale = array.dims[axis][0]
    units = scale.attrs.get("units")
    if scale.shape != (array.shape[axis],) or units is None:
        return None
    return np.asarray(scale[:], np.float64), units.decode() if isinstance(units, bytes) else str(units)


def _numbers(value: Any) -> Sequence[float]:
    try:
        return [float(item) for item in np.atleast_1d(value)] if value is not None else []
    except (TypeError, ValueError):
        return []


@dataclass(frozen=True, kw_only=True)
class Hdf5Frames(FrameBlocks):
    """Frames of a data set, opened by path wherever a block is read."""

    path: str
    name: str
    axes: AxisMap
    shape_tyx: tuple[int, int, int]
    stored: str
    native: tuple[int, int, int] | None
    stamp: str

    splits_rows: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.shape_tyx

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    @property
    def native_tyx(self) -> tuple[int, int, int] | None:
        return self.native

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        wanted, backward = forward(frames)
        with h5py.File(self.path, "r") as file:
            block = self.axes.to_movie(np.asarray(file[self.name][self.axes.key(wanted, rows, columns)]))
        return block[::-1] if backward else block
