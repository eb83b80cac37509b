"""NumPy's .npz: arrays by name in a zip. Stored members are read in place, compressed ones from their start."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.io.axes import find_axes
from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp, native_dtype
from emreel.io.readers.npy import NpyHeader, raw_from_header, read_header

_LOCAL_HEADER = 30  # bytes before the name in a zip member's local header


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with zipfile.ZipFile(path) as archive:
        headers = _headers(archive)
        name = choose_dataset(
            path, [Candidate(key, h.shape, h.dtype) for key, h in headers.items() if not h.dtype.hasobject], dataset
        )
        member = archive.getinfo(f"{name}.npy")
        header = headers[name]
    header.require_numbers(f"{path}, array {name!r}")
    if member.compress_type == zipfile.ZIP_STORED:
        start = _data_start(path, member)
        placed = NpyHeader(header.shape, header.fortran, header.dtype, start + header.first)
        return raw_from_header(path, placed)
    return RawMovie(frames=_compressed(path, name, header, member))


def _headers(archive: zipfile.ZipFile) -> Mapping[str, NpyHeader]:
    headers = {}
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            with archive.open(info) as member:
                headers[info.filename[:-4]] = read_header(member)
    return headers


def _data_start(path: str, member: zipfile.ZipInfo) -> int:
    with Path(path).open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(_LOCAL_HEADER)
    return (
        member.header_offset
        + _LOCAL_HEADER
        + int.from_bytes(local[26:28], "little")
        + int.from_bytes(local[28:30], "little")
    )


def _compressed(path: str, name: str, header: NpyHeader, member: zipfile.ZipInfo) -> FrameBlocks:
    need = header.first + math.prod(header.shape) * header.dtype.itemsize
    if need > member.file_size:
        raise ReaderError(
            f"{path}, array {name!r}: its header declares {header.shape} ({need} bytes), "
            f"but the archive holds {member.file_size}. The file is damaged; save it again."
        )
    axes = find_axes(header.shape, None, where=f"{path}, array {name!r}")
    if header.fortran and len(header.shape) > 2:
        raise ReaderError(
            f"{path}, array {name!r} is compressed in Fortran order, so no frame can be read alone. "
            "Save it as np.savez_compressed(path, frames=np.ascontiguousarray(frames))."
        )
    return NpzFrames(
        path=path,
        member=f"{name}.npy",
        shape_tyx=axes.movie_shape(header.shape),
        stored=header.dtype.str,
        first=header.first,
        fortran=header.fortran,
        stamp=file_stamp(path),
    )


@dataclass(frozen=True, kw_only=True)
class NpzFrames(FrameBlocks):
    """A compressed member: what lies before a block is unpacked in small pieces and dropped."""

    path: str
    member: str
    shape_tyx: tuple[int, int, int]
    stored: str
    first: int
    fortran: bool
    stamp: str

    sequential: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.shape_tyx

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        if frames.step < 0:
            return self.read(frames[::-1], rows, columns)[::-1]
        _, height, width = self.shape_tyx
        stored = np.dtype(self.stored)
        frame_bytes = height * width * stored.itemsize
        block = np.empty((len(frames), rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
            at = 0
            for target, frame in enumerate(frames):
                at = _skip(member, at, self.first + frame * frame_bytes)
                packed = member.read(frame_bytes)
                if len(packed) < frame_bytes:
                    raise ReaderError(f"{self.path} ends inside frame {frame}. The file is cut; copy it again.")
                values = np.frombuffer(packed, stored)
                at += frame_bytes
                picture = values.reshape((height, width), order="F" if self.fortran else "C")
                block[target] = picture[rows, columns]
        return block


def _skip(member: IO[bytes], at: int, to: int) -> int:
    while at < to:
        at += len(member.read(min(to - at, 1 << 20))) or to
    return to
