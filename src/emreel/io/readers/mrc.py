"""MRC stacks and movies, of either byte order, with or without an extended header, whole or cut.

Source: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146, 2015); FEI's extended header; IMOD's flags for mode 0.
Direct Electron's ``..._info.txt`` beside a movie gives its frame rate and pixel size.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emreel.io.errors import ReaderError
from emreel.io.frames import Part, RawFrames, RawMovie, count_readable, file_stamp
from emreel.io.units import even_times, to_nm

Order = Literal["<", ">"]

_HEADER_BYTES = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_REFUSED = {3: "complex numbers", 4: "complex numbers", 101: "4-bit numbers"}
_IMOD_STAMP = 1146047817
_FIELDS = np.dtype(
    [
        ("nx", "i4"), ("ny", "i4"), ("nz", "i4"), ("mode", "i4"), ("start", "i4", 3), ("grid", "i4", 3),
        ("cell_angstrom", "f4", 3), ("angles_deg", "f4", 3), ("axes", "i4", 3), ("min_max_mean", "f4", 3),
        ("space_group", "i4"), ("extended_bytes", "i4"), ("extra", "S8"), ("extended_type", "S4"), ("version", "i4"),
        ("extra2", "S40"), ("imod_stamp", "i4"), ("imod_flags", "i4"), ("extra3", "S36"), ("origin", "f4", 3),
        ("map", "S4"), ("stamp", "S4"), ("rms", "f4"), ("n_labels", "i4"), ("labels", "S80", 10),
    ]
)  # fmt: skip


def open_raw(path: str, dataset: str | None) -> RawMovie:
    header, order = _read_header(path)
    mode = int(header["mode"])
    if mode not in _MODES:
        what = _REFUSED.get(mode, f"data of mode {mode}, which is no MRC mode")
        raise ReaderError(f"{path} holds {what}; wanted counts (mode 0, 1, 2, 6 or 12).")
    stored = np.dtype("u1" if mode == 0 and not _is_signed(header) else _MODES[mode]).newbyteorder(order)
    shape_yx = (int(header["ny"]), int(header["nx"]))
    frame_bytes = max(shape_yx[0], 0) * max(shape_yx[1], 0) * stored.itemsize
    first, declared = _HEADER_BYTES + int(header["extended_bytes"]), int(header["nz"])
    count = count_readable(path, declared=declared, shape_yx=shape_yx, frame_bytes=frame_bytes, first=first)
    info = _direct_electron_info(path)
    rate = _positive(info.get("Frames Per Second")) / max(_positive(info.get("Autosave Movie Sum Count")), 1.0)
    return RawMovie(
        frames=RawFrames(
            parts=(Part(path, count, first, frame_bytes),),
            stored=stored.str,
            shape_yx=shape_yx,
            stamp=file_stamp(path),
        ),
        frame_times_s=even_times(count, 1.0 / rate) if rate else None,
        pixel_size_nm=_pixel_size_nm(path, header, order, info),
        original_metadata={
            "header": {name: header[name] for name in _FIELDS.names or () if not name.startswith("extra")},
            **({"direct_electron": info} if info else {}),
        },
        declared_frames=declared if count < declared else None,
    )


def _read_header(path: str) -> tuple[Any, Order]:
    """The header and its byte order: by the machine stamp, else by which order makes sense."""
    with Path(path).open("rb") as file:
        data = file.read(_HEADER_BYTES)
    if len(data) < _HEADER_BYTES:
        raise ReaderError(f"{path} has {len(data)} bytes, less than an MRC header. Copy it again.")
    stamp = data[212:214]
    orders: dict[bytes, Order] = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
    both: tuple[Order, ...] = ("<", ">")
    for order in (orders[stamp],) if stamp in orders else both:
        header = np.frombuffer(data, _FIELDS.newbyteorder(order))[0]
        if 0 <= header["mode"] <= 101 and header["nx"] > 0 and 0 <= header["extended_bytes"] <= os.path.getsize(path):
            return header, order
    raise ReaderError(f"{path} has no sound MRC header. It is damaged, or of another format.")


def _is_signed(header: Any) -> bool:
    """Mode 0 is signed by IMOD's flag, or from MRC2014 on; older programs wrote unsigned bytes."""
    if header["imod_stamp"] == _IMOD_STAMP:
        return bool(header["imod_flags"] & 1)
    return bool(20140 <= header["version"] <= 20500)


def _pixel_size_nm(path: str, header: Any, order: Order, info: Mapping[str, str]) -> float | None:
    size = to_nm(_positive(info.get("Specimen Pixel Size X (nanometers)")), "nm")
    if size is not None:
        return size
    place = {b"FEI1": (156, "f8"), b"FEI2": (156, "f8")}.get(bytes(header["extended_type"]))
    if place is None and header["extended_bytes"] == 1024 * 128:
        place = (44, "f4")
    if place is not None and header["extended_bytes"] >= place[0] + 8:
        with Path(path).open("rb") as file:
            file.seek(_HEADER_BYTES + place[0])
            value = float(np.fromfile(file, np.dtype(place[1]).newbyteorder(order), count=1)[0])
        if 0 < value < 1e-3:
            return to_nm(value, "m")
    cell, grid = float(header["cell_angstrom"][0]), int(header["grid"][0]) or int(header["nx"])
    # a cell of exactly one angstrom a pixel is what programs write that know no calibration
    return to_nm(cell / grid, "angstrom") if cell > 0 and cell != grid else None


@dataclass(frozen=True)
class _InfoFile:
    """Where Direct Electron's server writes what it knows of ``<prefix>_movie.mrc``."""

    movie: Path

    def find(self) -> Path | None:
        prefix = self.movie.stem.partition("movie")[0]
        names = (f"{prefix}info.txt", f"{self.movie.stem}_info.txt")
        return next((self.movie.with_name(n) for n in names if self.movie.with_name(n).is_file()), None)


def _direct_electron_info(path: str) -> dict[str, str]:
    movie = Path(path)
    info = _InfoFile(movie).find() if "movie" in movie.stem else None
    if info is None:
        return {}
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _positive(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) and value > 0 else 0.0
