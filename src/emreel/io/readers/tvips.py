"""TVIPS recorder streams: ``name_000.tvips``, ``name_001.tvips``, ...; a header before every frame.

The general header's ``pixelsize`` is the camera's own pixel, not the specimen's, and rosettasciio's writer puts
another axis there: it is kept as metadata and not believed. Give pixel_size_nm.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError
from emreel.io.frames import Part, RawFrames, RawMovie, count_readable, file_stamp

_GENERAL = np.dtype(
    [
        ("size", "<u4"), ("version", "<u4"), ("width", "<u4"), ("height", "<u4"), ("bits", "<u4"), ("x0", "<u4"),
        ("y0", "<u4"), ("bin_x", "<u4"), ("bin_y", "<u4"), ("pixel_size", "<u4"), ("high_tension", "<u4"),
        ("magnification", "<u4"), ("frame_header_bytes", "<u4"), ("signature", "S204"),
    ]
)  # fmt: skip
_TIME = np.dtype([("number", "<u4"), ("seconds", "<u4"), ("milliseconds", "<u4")])
_SERIES = re.compile(r"(.+_)(\d{3})(\.tvips)", re.IGNORECASE)


def open_raw(path: str, dataset: str | None) -> RawMovie:
    files = _series(path)
    header = np.fromfile(files[0], _GENERAL, count=1)[0]
    if header["version"] not in (1, 2) or header["bits"] not in (8, 16, 32):
        raise ReaderError(f"{files[0]} has no sound TVIPS header (version {header['version']}). Copy it again.")
    stored = np.dtype(f"<u{header['bits'] // 8}")
    shape_yx = (int(header["height"]), int(header["width"]))
    frame_bytes = shape_yx[0] * shape_yx[1] * stored.itemsize
    head = 12 if header["version"] == 1 else int(header["frame_header_bytes"])
    parts, lost = [], False
    for number, file in enumerate(files):
        first = int(header["size"]) if number == 0 else 0
        room = os.path.getsize(file) - first
        declared = max(room // (head + frame_bytes), 1)
        count = count_readable(file, declared=declared, shape_yx=shape_yx, frame_bytes=head + frame_bytes, first=first)
        lost = room % (head + frame_bytes) > 0
        parts.append(Part(file, count, first + head, head + frame_bytes))
    n_frames = sum(part.count for part in parts)
    return RawMovie(
        frames=RawFrames(
            parts=tuple(parts), stored=stored.str, shape_yx=shape_yx, stamp=";".join(map(file_stamp, files))
        ),
        frame_times_s=_read_times(parts, head),
        original_metadata={"header": {name: header[name] for name in _GENERAL.names or ()}},
        declared_frames=n_frames + 1 if lost else None,
    )


def _series(path: str) -> list[str]:
    """This file and those that continue it."""
    found = _SERIES.fullmatch(path)
    if found is None:
        return [path]
    if int(found[2]) != 0:
        raise ReaderError(f"{path} continues another file. Open the first one: {found[1]}000{found[3]}.")
    files = [path]
    while Path(following := f"{found[1]}{len(files):03d}{found[3]}").exists():
        files.append(following)
    return files


def _read_times(parts: list[Part], head: int) -> npt.NDArray[np.float64] | None:
    times = []
    for part in parts:
        with Path(part.path).open("rb") as file:
            for index in range(part.count):
                file.seek(part.offset(index) - head)
                stamp = np.frombuffer(file.read(_TIME.itemsize), _TIME)[0]
                times.append(float(stamp["seconds"]) + float(stamp["milliseconds"]) / 1000.0)
    since = np.asarray(times) - times[0]
    return since if since.size > 1 and bool(np.all(np.diff(since) > 0)) else None
