"""Frames on disk as a Dask array: chunks of whole frames, one task a chunk, nothing open in between."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize

from emreel.io.frames import FrameBlocks

#: What one task reads, bytes: large enough to pay for the task, small enough for several at once.
CHUNK_BYTES = 16 * 2**20
#: Frames that can only be reached through those before them are read in larger pieces.
SEQUENTIAL_CHUNK_BYTES = 64 * 2**20
#: Single frames above this are split in space where the format allows.
FRAME_BYTES_MAX = 256 * 2**20

#: Values with longer tables of files or offsets become one key of the graph instead of a part of every task.
INLINE_ENTRIES = 256


def lazy_frames(frames: FrameBlocks) -> Any:
    """A Dask array of shape (time, y, x) over frames on disk; no pixel is read."""
    chunks = plan_chunks(
        frames.shape,
        frames.dtype.itemsize,
        native_tyx=frames.native_tyx,
        splits_rows=frames.splits_rows,
        chunk_bytes=SEQUENTIAL_CHUNK_BYTES if frames.sequential else CHUNK_BYTES,
    )
    return da.from_array(
        frames,
        chunks=chunks,
        name=f"frames-{tokenize(frames)}",
        meta=np.empty((0, 0, 0), frames.dtype),
        asarray=True,
        inline_array=frames.n_entries <= INLINE_ENTRIES,
    )


def plan_chunks(
    shape_tyx: tuple[int, int, int],
    itemsize: int,
    *,
    native_tyx: tuple[int, int, int] | None = None,
    splits_rows: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> tuple[int, int, int]:
    """Frames, rows and columns a chunk.

    Whole frames, as many as fit `chunk_bytes` (one at least), in whole native pieces where the file has
    them, so that nothing is unpacked twice. Only frames above `FRAME_BYTES_MAX` are split, along y.
    """
    n_frames, height, width = shape_tyx
    native_t, native_y, _ = native_tyx or (1, 1, width)
    native_t = min(native_t, n_frames)
    frame_bytes = height * width * itemsize
    if frame_bytes * native_t <= FRAME_BYTES_MAX:
        count = max(native_t, chunk_bytes // max(frame_bytes * native_t, 1) * native_t)
        return min(count, n_frames), height, width
    if not splits_rows:
        return 1, height, width
    row_bytes = width * itemsize * native_t
    rows = max(native_y, chunk_bytes // row_bytes // native_y * native_y)
    return native_t, min(rows, height), width
