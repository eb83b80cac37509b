"""Frames on disk as small values: a path and a few numbers that can be sent anywhere and read there.

A reader (see `emreel.io.readers`) parses a header once and returns a `RawMovie`. Its `frames` hold no
open file and no pixel; whoever is handed them, in this process or on a worker, opens the file, reads
the block that is asked for, and closes it again.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError
from emreel.movie import MAX_FRAME_PIXELS

Key = int | slice


class FrameBlocks(abc.ABC):
    """An array of shape (time, y, x) whose blocks are read when they are indexed; picklable by value."""

    #: Whether a part of the rows can be read without reading the whole frame.
    splits_rows: ClassVar[bool] = False
    #: Whether a frame can only be reached through those before it, so that larger blocks pay.
    sequential: ClassVar[bool] = False
    ndim: ClassVar[int] = 3

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of the blocks that come back: native byte order."""

    @abc.abstractmethod
    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Read a block of shape (len(frames), rows, columns); bounds are absolute and the steps of y, x are 1."""

    @property
    def native_tyx(self) -> tuple[int, int, int] | None:
        """Shape of the smallest piece that the file lets one read, None where frames are free."""
        return None

    @property
    def n_entries(self) -> int:
        """Length of the tables that this value carries; long ones are sent once, not with every task."""
        return 1

    def __getitem__(self, key: Key | tuple[Key, ...]) -> npt.NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys = keys + (slice(None),) * (3 - len(keys))
        wanted = [
            range(n)[k] if isinstance(k, slice) else range(n)[k : k + 1 or None]
            for k, n in zip(keys, self.shape, strict=True)
        ]
        covers = [slice(min(w), max(w) + 1) if len(w) else slice(0, 0) for w in wanted[1:]]
        if any(len(w) == 0 for w in wanted):
            block = np.empty(tuple(len(w) for w in wanted), self.dtype)
        else:
            block = self._read(wanted[0], covers[0], covers[1])
            block = np.asarray(block, dtype=self.dtype)[:, _inside(wanted[1], covers[0]), _inside(wanted[2], covers[1])]
        return block[tuple(slice(None) if isinstance(k, slice) else 0 for k in keys)]

    def _read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """`read`; whatever a format library raises over damaged bytes becomes a ReaderError."""
        try:
            return self.read(frames, rows, columns)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ReaderError(f"frames {min(frames)} to {max(frames)} cannot be read: {reason}") from error


def _inside(wanted: range, cover: slice) -> slice:
    """Express `wanted`, absolute, relative to the block that was read."""
    if wanted.step == 1:
        return slice(None)
    start, stop = wanted.start - cover.start, wanted.stop - cover.start
    return slice(start, None if stop < 0 else stop, wanted.step)


@dataclass(frozen=True, kw_only=True, eq=False)
class RawMovie:
    """What a reader found in a file, before the user's own calibration and selection.

    ``frame_times_s`` shape (time,), s; ``pixel_size_nm`` nm a px; both None when the file does not tell.
    ``declared_frames``: how many frames the header promises when the tail of the file is missing.
    """

    frames: FrameBlocks
    frame_times_s: npt.NDArray[np.float64] | None = None
    pixel_size_nm: float | None = None
    original_metadata: Mapping[str, Any] = field(default_factory=dict)
    declared_frames: int | None = None


@dataclass(frozen=True)
class Part:
    """Where one file keeps its frames: ``first + i * step`` bytes from its start, or a table of offsets."""

    path: str
    count: int
    first: int = 0
    step: int = 0
    table: tuple[int, ...] | None = None

    def offset(self, index: int) -> int:
        return self.first + index * self.step if self.table is None else self.table[index]


def part_from_offsets(path: str, offsets: npt.ArrayLike) -> Part:
    """Describe a table of byte offsets, as an arithmetic series wherever it is one (it nearly always is)."""
    table = np.asarray(offsets, dtype=np.int64)
    step = int(table[1] - table[0]) if table.size > 1 else 0
    if np.all(np.diff(table) == step):
        return Part(path, int(table.size), int(table[0]), step)
    return Part(path, int(table.size), table=tuple(int(offset) for offset in table))


@dataclass(frozen=True, kw_only=True)
class RawFrames(FrameBlocks):
    """Uncompressed frames at known places in one or more files.

    ``stored`` is the dtype on disk with its byte order; blocks come back in native order.
    ``flip_y``: the file keeps the bottom row first.
    """

    parts: tuple[Part, ...]
    stored: str
    shape_yx: tuple[int, int]
    flip_y: bool = False
    stamp: str = ""

    splits_rows: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return (sum(part.count for part in self.parts), *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    @property
    def n_entries(self) -> int:
        return sum(len(part.table or "1") for part in self.parts)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        height, width = self.shape_yx
        if self.flip_y:
            rows = slice(height - rows.stop, height - rows.start)
        n_rows = rows.stop - rows.start
        stored = np.dtype(self.stored)
        block = np.empty((len(frames), n_rows, columns.stop - columns.start), self.dtype)
        for part, indices, targets in self._by_part(frames):
            with Path(part.path).open("rb") as file:
                for index, target in zip(indices, targets, strict=True):
                    file.seek(part.offset(index) + rows.start * width * stored.itemsize)
                    values = np.fromfile(file, dtype=stored, count=n_rows * width)
                    if values.size != n_rows * width:
                        raise ReaderError(
                            f"{part.path} ends inside frame {index}, although it was longer when it was opened. "
                            "Wait until it is written, then open it again."
                        )
                    values = values.reshape(n_rows, width)
                    block[target] = (values[::-1] if self.flip_y else values)[:, columns]
        return block

    def _by_part(self, frames: range) -> list[tuple[Part, list[int], list[int]]]:
        """Group the asked frames by the file that holds them."""
        ends = np.cumsum([part.count for part in self.parts])
        which = np.searchsorted(ends, np.asarray(frames), side="right")
        groups = []
        for number in np.unique(which):
            targets = np.flatnonzero(which == number)
            start = int(ends[number]) - self.parts[number].count
            groups.append((self.parts[number], [frames[int(t)] - start for t in targets], [int(t) for t in targets]))
        return groups


def native_dtype(stored: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype that blocks come back in: native byte order, half floats as float32, long doubles as float64."""
    dtype = np.dtype(stored).newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype


def file_stamp(path: str | os.PathLike[str]) -> str:
    """Size and time of change, so that a changed file is another value (and another Dask key)."""
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


def count_readable(path: str, *, declared: int, shape_yx: tuple[int, int], frame_bytes: int, first: int) -> int:
    """How many of the `declared` frames the file holds whole; refuses before anything is allocated.

    Raises
    ------
    ReaderError : the header declares no frame, impossible frames, or not one whole frame is there.
    """
    size = os.path.getsize(path)
    height, width = shape_yx
    if declared < 1 or height < 1 or width < 1:
        raise ReaderError(f"{path} declares {declared} frames of {height} x {width} px. There is nothing to read.")
    if height * width > MAX_FRAME_PIXELS or first + frame_bytes > size:
        raise ReaderError(
            f"{path} declares frames of {height} x {width} px ({frame_bytes} bytes), but has {size} bytes in all: "
            "not one whole frame. The file is cut or its header is damaged; copy it again."
        )
    return min(declared, (size - first) // frame_bytes)
