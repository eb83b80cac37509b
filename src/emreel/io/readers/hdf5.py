"""HDF5 (and netCDF-4, NeXus): a data set by name, or the only one that can be a movie."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
    """Open for reading. A cut file is opened as if zeros followed; `frames_of` counts what is really there.

    Raises
    ------
    ReaderError : no HDF5, or cut so that its index is lost.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        promised = re.search(r"stored_eof = (\d+)", str(error))
        if promised is None:
            raise ReaderError(f"{path} is not an HDF5 file, or a damaged one: {error}.") from error
        try:
            return h5py.File(PaddedFile(path, int(promised[1])), "r")
        except (OSError, RuntimeError) as second:
            raise ReaderError(
                f"{path} is cut: it has {os.path.getsize(path)} of {promised[1]} bytes, and its index is lost. "
                "Copy it again."
            ) from second


class PaddedFile(io.RawIOBase):
    """A cut file with zeros in place of what is missing."""

    def __init__(self, path: str, size: int) -> None:
        super().__init__()
        self._file = Path(path).open("rb")  # noqa: SIM115 - closed with this object
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(self._size - self._at, 0))
        self._file.seek(self._at)
        data = self._file.read(wanted)
        buffer[:wanted] = data + bytes(wanted - len(data))
        self._at += wanted
        return wanted

    def close(self) -> None:
        self._file.close()
        super().close()


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
    size = os.path.getsize(path)
    if array.chunks is None:
        readable = _count_contiguous(array, axes, declared, size)
    else:
        readable = _count_chunked(array, axes, declared, size)
    if readable < 1:
        raise ReaderError(f"{path}, {array.name} declares {declared} frames, but not one whole frame was written.")
    return readable


def _count_contiguous(array: Any, axes: AxisMap, declared: int, size: int) -> int:
    first = array.id.get_offset()
    if first is None:  # compact, inside the header; or never written
        return declared if array.id.get_storage_size() else 0
    there = max(size - first, 0)
    if array.nbytes <= there:
        return declared
    return min(declared, there // (array.nbytes // declared)) if axes.time == 0 else 0


def _count_chunked(array: Any, axes: AxisMap, declared: int, size: int) -> int:
    """Up to the last chunk that was written; of those, up to the first that the cut file lacks."""
    last, lost = -1, array.shape[axes.time] if axes.time is not None else 1

    def see(chunk: Any) -> None:
        nonlocal last, lost
        row = int(chunk.chunk_offset[axes.time]) if axes.time is not None else 0
        last = max(last, row)
        if chunk.byte_offset + chunk.size > size:
            lost = min(lost, row)

    try:
        array.id.chunk_iter(see)
    except RuntimeError:  # the index of the chunks lies in what is missing
        return 0
    if last < 0:
        return 0
    piece = int(array.chunks[axes.time]) if axes.time is not None else 1
    return int(min(last + piece, lost, declared))


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
        with open_file(self.path) as file:
            block = self.axes.to_movie(np.asarray(file[self.name][self.axes.key(wanted, rows, columns)]))
        return block[::-1] if backward else block
