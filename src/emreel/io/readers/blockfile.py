"""NanoMegas' blockfile, .blo: square 8-bit patterns of a scan, each behind six bytes, taken in the order of the scan.

The patterns are diffraction: their scale is no length on the specimen, and the scan's is no time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emreel.io.errors import ReaderError
from emreel.io.frames import Part, RawFrames, RawMovie, count_readable, file_stamp

_HEADER = np.dtype(
    [
        ("id", "S6"), ("magic", "<u2"), ("first_picture", "<u4"), ("first_pattern", "<u4"), ("flags", "<u4"),
        ("side", "<u2"), ("rotation", "<u2"), ("scan_x", "<u2"), ("scan_y", "<u2"), ("scan_rotation", "<u2"),
        ("step_x_nm", "<f8"), ("step_y_nm", "<f8"), ("beam_energy_v", "<u4"), ("scale", "<u2"),
        ("camera_length", "<u4"), ("acquired", "<f8"),
    ]
)  # fmt: skip
_MAGIC = 0x0102
_MARK_BYTES = 6


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with Path(path).open("rb") as file:
        data = file.read(_HEADER.itemsize)
    if len(data) < _HEADER.itemsize:
        raise ReaderError(f"{path} ends inside its header. The file is cut; copy it again.")
    header = np.frombuffer(data, _HEADER)[0]
    if header["magic"] != _MAGIC:
        raise ReaderError(f"{path} is not a blockfile: it begins with {data[:8]!r}.")
    side, first = int(header["side"]), int(header["first_pattern"])
    declared = int(header["scan_x"]) * int(header["scan_y"])
    step = _MARK_BYTES + side * side
    count = count_readable(path, declared=declared, shape_yx=(side, side), frame_bytes=step, first=first)
    return RawMovie(
        frames=RawFrames(
            parts=(Part(path, count, first + _MARK_BYTES, step),),
            stored="|u1",
            shape_yx=(side, side),
            stamp=file_stamp(path),
        ),
        original_metadata={name: header[name] for name in _HEADER.names or ()},
        declared_frames=declared if count < declared else None,
    )
