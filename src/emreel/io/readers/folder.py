"""A folder of frames in natural order: frame_2 before frame_10. One file may hold one frame or several.

A sidecar ``times.csv`` gives the frame times: a column ``time_s``, and a column ``file`` (names) or ``frame``
(numbers from 0); without either the rows are in order.
"""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.io import readers
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie

TIMES_FILE = "times.csv"
#: Kinds whose header is quick to parse: every file is looked at before the first frame is read.
_QUICK = frozenset({"npy", "tiff", "picture", "mrc", "tia", "merlin"})
_log = logging.getLogger(__name__)


def open_raw(path: str, dataset: str | None) -> RawMovie:
    folder = Path(path)
    files = list_frame_files(folder)
    first = readers.open_raw(str(files[0]))
    parts = _open_parts(files, first)
    frames = FolderFrames(
        files=tuple(str(file) for file, _ in parts),
        counts=tuple(count for _, count in parts),
        shape_yx=first.frames.shape[1:],
        stored=first.frames.dtype.str,
        stamp=_stamp([file for file, _ in parts]),
    )
    one_each = all(count == 1 for _, count in parts)
    times = _read_times(folder / TIMES_FILE, [file.name for file, _ in parts], frames.shape[0], one_each)
    lost = len(files) - len(parts)
    return RawMovie(
        frames=frames,
        frame_times_s=times,
        pixel_size_nm=first.pixel_size_nm,
        original_metadata={"first_frame": first.original_metadata},
        declared_frames=frames.shape[0] + lost if lost else None,
    )


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that reads runs of digits as numbers."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]


def list_frame_files(folder: Path) -> list[Path]:
    """Frames of the folder in natural order; hidden files and other kinds (notes, previews) are left out.

    Raises
    ------
    ReaderError : no frames, or frames of several kinds.
    """
    files = [
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() in readers.FRAME_SUFFIXES
    ]
    kinds = Counter(readers.BY_SUFFIX[file.suffix.lower()] for file in files)
    if not kinds:
        known = ", ".join(sorted(readers.FRAME_SUFFIXES))
        raise ReaderError(f"{folder} holds no frames. Wanted files of one of these kinds: {known}; or a zarr.")
    if len(kinds) > 1:
        suffixes = Counter(file.suffix.lower() for file in files)
        counted = ", ".join(f"{n} {suffix}" for suffix, n in sorted(suffixes.items()))
        raise ReaderError(f"{folder} mixes kinds of frames: {counted}. Keep the frames of one movie in one folder.")
    return sorted(files, key=lambda file: (natural_key(file.name), file.name))


def _open_parts(files: Sequence[Path], first: RawMovie) -> list[tuple[Path, int]]:
    """Files with their numbers of frames; a tail that cannot be read is left out, a hole is an error."""
    quick = readers.BY_SUFFIX[files[0].suffix.lower()] in _QUICK
    first_size = files[0].stat().st_size
    parts: list[tuple[Path, int]] = [(files[0], first.frames.shape[0])]
    broken: tuple[Path, Exception] | None = None
    for file in files[1:]:
        try:
            raw = first if not quick and file.stat().st_size == first_size else readers.open_raw(str(file))
        except ReaderError as error:
            broken = broken or (file, error)
            continue
        if broken is not None:
            raise ReaderError(f"{broken[0]} cannot be read, but later frames can. Remove or repair it.") from broken[1]
        _require_alike(files[0], first, file, raw)
        parts.append((file, raw.frames.shape[0]))
    if broken is not None:
        _log.warning("%s and what follows cannot be read: %s", broken[0], broken[1])
    return parts


def _require_alike(first_file: Path, first: RawMovie, file: Path, raw: RawMovie) -> None:
    have, want = raw.frames.shape[1:], first.frames.shape[1:]
    if have != want:
        raise ReaderError(
            f"{file.parent} mixes frame sizes: {first_file.name} is {want[0]} x {want[1]} px, "
            f"{file.name} is {have[0]} x {have[1]}. Keep frames of one size in one folder."
        )
    if raw.frames.dtype != first.frames.dtype:
        raise ReaderError(
            f"{file.parent} mixes kinds of numbers: {first_file.name} holds {first.frames.dtype}, "
            f"{file.name} {raw.frames.dtype}. Save all frames alike."
        )


def _stamp(files: Sequence[Path]) -> str:
    newest = max(file.stat().st_mtime_ns for file in files)
    return f"{sum(file.stat().st_size for file in files)}:{newest}"


def _read_times(sidecar: Path, names: Sequence[str], n_frames: int, one_each: bool) -> npt.NDArray[np.float64] | None:
    if not sidecar.exists():
        return None
    with sidecar.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    if not rows or "time_s" not in rows[0]:
        raise ReaderError(f"{sidecar} has no column 'time_s'. Give 'time_s' and 'file' (names) or 'frame' (0, 1, ...).")
    try:
        times = _times_by_key(rows, names if one_each else None, n_frames)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ReaderError(f"{sidecar} does not fit the {n_frames} frames beside it: {error}.") from error
    return np.asarray(times, dtype=np.float64)


def _times_by_key(rows: Sequence[Mapping[str, str]], names: Sequence[str] | None, n_frames: int) -> list[float]:
    values = [float(row["time_s"]) for row in rows]
    if "file" in rows[0] and names is not None:
        by_name = dict(zip((row["file"].strip() for row in rows), values, strict=True))
        missing = [name for name in names if name not in by_name]
        if missing:
            raise KeyError(f"no time for {', '.join(missing[:5])}")
        return [by_name[name] for name in names]
    if "frame" in rows[0]:
        by_number = dict(zip((int(row["frame"]) for row in rows), values, strict=True))
        missing_numbers = [number for number in range(n_frames) if number not in by_number]
        if missing_numbers:
            raise KeyError(f"no time for frame {', '.join(map(str, missing_numbers[:5]))}")
        return [by_number[number] for number in range(n_frames)]
    if len(values) != n_frames:
        raise ValueError(f"{len(values)} times")
    return values


@dataclass(frozen=True, kw_only=True)
class FolderFrames(FrameBlocks):
    """Frames spread over files, each opened by its own reader when it is asked for."""

    files: tuple[str, ...]
    counts: tuple[int, ...]
    shape_yx: tuple[int, int]
    stored: str
    stamp: str

    @property
    def shape(self) -> tuple[int, int, int]:
        return (sum(self.counts), *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stored)

    @property
    def n_entries(self) -> int:
        return len(self.files)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        ends = np.cumsum(self.counts)
        block = np.empty((len(frames), rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        opened: tuple[int, FrameBlocks] | None = None
        for target, frame in enumerate(frames):
            number = int(np.searchsorted(ends, frame, side="right"))
            if opened is None or opened[0] != number:
                raw = readers.open_raw(self.files[number])
                if raw.frames.shape[1:] != self.shape_yx or raw.frames.dtype != self.dtype:
                    raise ReaderError(
                        f"{self.files[number]} holds frames of {raw.frames.shape[1:]} {raw.frames.dtype}, the first "
                        f"file {self.shape_yx} {self.dtype}. Keep frames of one kind and size in one folder."
                    )
                opened = (number, raw.frames)
            inside = frame - int(ends[number]) + self.counts[number]
            block[target] = opened[1].read(range(inside, inside + 1), rows, columns)[0]
        return block
