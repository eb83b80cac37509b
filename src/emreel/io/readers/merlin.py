"""Quantum Detectors' Merlin, .mib: a text header before every frame, big-endian counts, bottom row first.

The frame times come from the headers' own time stamps, and the number of frames from the .hdr beside the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError
from emreel.io.frames import Part, RawFrames, RawMovie, count_readable, file_stamp

_TYPES = {"U08": ">u1", "U8": ">u1", "U16": ">u2", "U32": ">u4"}
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?")


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with Path(path).open("rb") as file:
        head = file.read(768).split(b",")
    if len(head) < 8 or head[0] != b"MQ1":
        raise ReaderError(f"{path} has no Merlin header: it begins with {head[0][:16]!r}, wanted b'MQ1'.")
    header_bytes, width, height = int(head[2]), int(head[4]), int(head[5])
    kind = head[6].decode("ascii", "replace").strip()
    if kind not in _TYPES:
        raise ReaderError(f"{path} holds raw detector data ({kind}). Save it as processed counts (U08, U16, U32).")
    stored = np.dtype(_TYPES[kind])
    frame_bytes = height * width * stored.itemsize
    step = header_bytes + frame_bytes
    size = Path(path).stat().st_size
    sidecar = _read_sidecar(path)
    declared = max(_declared(sidecar), size // step + (size % step > 0))
    count = count_readable(path, declared=declared, shape_yx=(height, width), frame_bytes=step, first=0)
    return RawMovie(
        frames=RawFrames(
            parts=(Part(path, count, header_bytes, step),),
            stored=stored.str,
            shape_yx=(height, width),
            flip_y=True,
            stamp=file_stamp(path),
        ),
        frame_times_s=_read_times(path, count, header_bytes, step),
        original_metadata={"header": b",".join(head).decode("ascii", "replace")[:header_bytes], "hdr": sidecar},
        declared_frames=declared if count < declared else None,
    )


def _read_sidecar(path: str) -> Mapping[str, str]:
    place = Path(path).with_suffix(".hdr")
    if not place.is_file():
        return {}
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key.rstrip(": "): value.strip() for key, tab, value in (line.partition("\t") for line in lines) if tab}


def _declared(sidecar: Mapping[str, str]) -> int:
    text = sidecar.get("Frames in Acquisition (Number)", "0")
    return int(text) if text.isdecimal() else 0


def _read_times(path: str, count: int, header_bytes: int, step: int) -> npt.NDArray[np.float64] | None:
    """Seconds since the first frame, where every header has a stamp and the stamps rise."""
    stamps = []
    with Path(path).open("rb") as file:
        for index in range(count):
            file.seek(index * step)
            found = _STAMP.search(file.read(header_bytes))
            if found is None:
                return None
            seconds = np.datetime64(found[1].decode(), "ns")
            stamps.append(seconds + np.timedelta64(round(float(found[2] or 0) * 1e9), "ns"))
    times = (np.array(stamps) - stamps[0]) / np.timedelta64(1, "s")
    return times if count > 1 and bool(np.all(np.diff(times) > 0)) else None
