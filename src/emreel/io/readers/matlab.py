"""MATLAB .mat: version 5 through scipy (read whole, once a block), version 7.3 as the HDF5 it is.

MATLAB's movies are (y, x, time), as its own pictures are (y, x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.io.axes import AxisMap
from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp

_CLASSES = {
    "double": "f8", "single": "f4", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8",
}  # fmt: skip


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with Path(path).open("rb") as file:
        head = file.read(520)
    if b"MATLAB 7.3" in head[:128] or b"\x89HDF" in head:
        return _open_hdf5(path, dataset)
    return _open_v5(path, dataset)


def _movie_axes(path: str, shape: Sequence[int]) -> AxisMap:
    if len(shape) not in (2, 3):
        raise ReaderError(f"{path} holds an array of shape {tuple(shape)}; wanted (y, x, time) or (y, x).")
    return AxisMap(ndim=len(shape), time=2 if len(shape) == 3 else None, y=0, x=1)


def _open_hdf5(path: str, dataset: str | None) -> RawMovie:
    from emreel.io.readers.hdf5 import frames_of, list_arrays, open_file

    with open_file(path) as file:
        found = [c for c in list_arrays(file) if not c.name.startswith("#")]
        array = file[choose_dataset(path, found, dataset)]
        if array.attrs.get("MATLAB_class", b"") == b"logical":
            raise ReaderError(f"{path}, {array.name} holds booleans; wanted counts. Cast it: uint8(frames).")
        own = _movie_axes(path, array.shape)  # HDF5 lists MATLAB's axes backwards
        axes = AxisMap(ndim=own.ndim, time=None if own.time is None else 0, y=own.ndim - 1, x=own.ndim - 2)
        frames, _ = frames_of(path, array, axes)
    return RawMovie(frames=frames)


def _open_v5(path: str, dataset: str | None) -> RawMovie:
    from scipy.io import whosmat

    found = [
        Candidate(name, tuple(shape), np.dtype(_CLASSES[kind]))
        for name, shape, kind in whosmat(path)
        if kind in _CLASSES
    ]
    name = choose_dataset(path, found, dataset)
    chosen = next(candidate for candidate in found if candidate.name == name)
    values = _load_variable(path, name)
    if values.dtype.kind not in "iuf":
        raise ReaderError(f"{path}, {name!r} holds {values.dtype}; wanted counts (real numbers).")
    frames = MatFrames(
        path=path,
        name=name,
        axes=_movie_axes(path, chosen.shape),
        shape_in_file=chosen.shape,
        stored=values.dtype.str,
        stamp=file_stamp(path),
    )
    return RawMovie(frames=frames)


def _load_variable(path: str, name: str) -> npt.NDArray[Any]:
    from scipy.io import loadmat

    return np.asarray(loadmat(path, variable_names=[name])[name])


@dataclass(frozen=True, kw_only=True)
class MatFrames(FrameBlocks):
    """A variable of a version 5 file, which can only be read whole."""

    path: str
    name: str
    axes: AxisMap
    shape_in_file: tuple[int, ...]
    stored: str
    stamp: str

    sequential: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.axes.movie_shape(self.shape_in_file)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stored).newbyteorder("=")

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        movie = self.axes.to_movie(_load_variable(self.path, self.name))
        return np.ascontiguousarray(movie[np.asarray(frames), rows, columns])
