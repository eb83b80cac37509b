"""`open_source`: one door for folders and files that grow, and for movies that are played again."""

from __future__ import annotations

import os
from typing import Any

from emreel.io import readers
from emreel.stream.errors import StreamError
from emreel.stream.folder import FolderSource
from emreel.stream.growing import GrowingFile, GrowingZarr
from emreel.stream.source import FrameSource


def open_source(
    address: str | os.PathLike[str],
    *,
    pixel_size_nm: float | None = None,
    frame_time_s: float | None = None,
    dataset: str | None = None,
    first: int | None = None,
) -> FrameSource:
    """The source at a path or address: a folder of frames, a zarr or a file that grows.

    first : the number in the name of a folder's first frame. Raises StreamError for what cannot be followed.
    """
    path = os.fspath(address)
    known: dict[str, Any] = {"pixel_size_nm": pixel_size_nm, "frame_time_s": frame_time_s}
    kind = readers.reader_name(path)
    if first is not None and kind != "folder":
        raise StreamError("--first is for folders of frames; here frames are counted from 0.")
    if kind == "zarrs":
        return GrowingZarr(path, dataset=dataset, **known)
    if kind == "folder":
        return FolderSource(path, first=first, **known)
    return GrowingFile(path, **known)
