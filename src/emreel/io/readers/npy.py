"""NumPy's .npy: one array, read in place. Pickled objects are refused and never loaded."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from emreel.io.axes import find_axes
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, Part, RawFrames, RawMovie, count_readable, file_stamp, native_dtype
from emreel.movie import MAX_FRAME_PIXELS


@dataclass(frozen=True)
class NpyHeader:
    """Shape, order and dtype of the array, and where its bytes begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    first: int

    def require_numbers(self, where: str) -> None:
        """Refuse what is no movie of counts, pickles first."""
        if self.dtype.hasobject:
            raise ReaderError(
                f"{where} holds pickled Python objects, which emreel never loads. Save numbers: np.save(path, frames)."
            )
        if self.dtype.kind not in "iuf":
            raise ReaderError(
                f"{where} holds {self.dtype}, wanted counts (integers or real numbers). "
                "Take the modulus of complex data, or cast booleans: frames.astype('uint8')."
            )


def read_header(file: IO[bytes]) -> NpyHeader:
    """Parse the header at the file's position (NumPy format 1 to 3); evaluates literals only."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    return NpyHeader(tuple(shape), fortran, dtype, file.tell())


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with Path(path).open("rb") as file:
        header = read_header(file)
    return raw_from_header(path, header)


def raw_from_header(path: str, header: NpyHeader) -> RawMovie:
    """Frames of an .npy whose bytes lie at ``header.first`` in `path` (alone, or stored inside an .npz)."""
    header.require_numbers(path)
    axes = find_axes(header.shape, None, where=path)
    declared, height, width = axes.movie_shape(header.shape)
    frame_bytes = height * width * header.dtype.itemsize
    if header.fortran and declared * height * width > 0:
        return RawMovie(frames=_fortran(path, header, (declared, height, width)))
    count = count_readable(
        path, declared=declared, shape_yx=(height, width), frame_bytes=frame_bytes, first=header.first
    )
    frames = RawFrames(
        parts=(Part(path, count, header.first, frame_bytes),),
        stored=header.dtype.str,
        shape_yx=(height, width),
        stamp=file_stamp(path),
    )
    return RawMovie(frames=frames, declared_frames=declared if count < declared else None)


def _fortran(path: str, header: NpyHeader, shape_tyx: tuple[int, int, int]) -> FrameBlocks:
    need = header.first + math.prod(shape_tyx) * header.dtype.itemsize
    have = os.path.getsize(path)
    if need > have or shape_tyx[1] * shape_tyx[2] > MAX_FRAME_PIXELS:
        raise ReaderError(
            f"{path} declares {shape_tyx} values in Fortran order ({need} bytes), but has {have} bytes. "
            "Every frame lies spread over the whole file, so none is complete; copy the file again."
        )
    return FortranFrames(
        path=path, shape_tyx=shape_tyx, stored=header.dtype.str, first=header.first, stamp=file_stamp(path)
    )


@dataclass(frozen=True, kw_only=True)
class FortranFrames(FrameBlocks):
    """An array whose first axis runs fastest: mapped, since every frame lies spread over the whole file."""

    path: str
    shape_tyx: tuple[int, int, int]
    stored: str
    first: int
    stamp: str

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.shape_tyx

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        mapped = np.memmap(self.path, self.stored, "r", offset=self.first, shape=self.shape_tyx, order="F")
        block = mapped[np.asarray(frames), rows, columns]
        return np.array(block, dtype=self.dtype, order="C")
