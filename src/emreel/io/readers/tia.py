"""FEI's TIA series: .ser, and the .emi beside it.

Source: the format notes of C. Boothroyd ("TIA series data file format"). Rows are stored from the bottom up and
turned round, as HyperSpy does. Times of the elements have a precision of one second: they are the frame times
where they rise from frame to frame, and otherwise stay unknown.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError
from emreel.io.frames import RawFrames, RawMovie, count_readable, file_stamp, part_from_offsets
from emreel.io.units import to_nm

_HEAD = struct.Struct("<HHHIIII")
_ELEMENT = struct.Struct("<ddiddiHII")
_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
_IMAGES = 0x4122
_MAX_ELEMENTS = 100_000_000
_EMI_BYTES_MAX = 256 * 2**20


def open_raw(path: str, dataset: str | None) -> RawMovie:
    if Path(path).suffix.lower() == ".emi":
        return _open_emi(path, dataset)
    if dataset is not None:
        raise ReaderError(f"{path} holds one series; leave dataset={dataset!r} out.")
    return _open_ser(path, {})


def _open_ser(path: str, extra: Mapping[str, Any]) -> RawMovie:
    with Path(path).open("rb") as file:
        total, valid, offsets, tags = _read_tables(path, file)
        file.seek(int(offsets[0]))
        element = _ELEMENT.unpack(_read(file, _ELEMENT.size, path))
        kind, width, height = element[6:9]
        if kind not in _TYPES:
            raise ReaderError(f"{path} holds complex data (type {kind}); wanted counts. Take the modulus.")
        stored = np.dtype(_TYPES[kind])
        frame_bytes = width * height * stored.itemsize
        count_readable(
            path, declared=valid, shape_yx=(height, width), frame_bytes=frame_bytes, first=int(offsets[0]) + 50
        )
        count = _whole_elements(path, file, offsets, (kind, width, height), frame_bytes)
        times = _read_times(file, tags[:count])
    return RawMovie(
        frames=RawFrames(
            parts=(part_from_offsets(path, offsets[:count] + _ELEMENT.size),),
            stored=stored.str,
            shape_yx=(height, width),
            flip_y=True,
            stamp=file_stamp(path),
        ),
        frame_times_s=times,
        pixel_size_nm=to_nm(element[1], "m") if 0 < element[1] < 1e-3 else None,
        original_metadata={"total_elements": total, "valid_elements": valid, **extra},
        declared_frames=valid if count < valid else None,
    )


def _read(file: IO[bytes], size: int, path: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ReaderError(f"{path} ends inside its header. The file is cut; copy it again.")
    return data


def _read_tables(path: str, file: IO[bytes]) -> tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of elements, and where the elements and their tags begin."""
    order, series, version, kind, _, total, valid = _HEAD.unpack(_read(file, _HEAD.size, path))
    if order != 0x4949 or series != 0x0197:
        raise ReaderError(f"{path} is not a TIA series: it begins with {order:#x}, {series:#x}.")
    if kind != _IMAGES:
        raise ReaderError(f"{path} holds spectra, not pictures. Open it with HyperSpy.")
    if not 0 < valid <= total <= _MAX_ELEMENTS:
        raise ReaderError(f"{path} declares {valid} recorded frames of {total}. There is nothing to read.")
    width = 8 if version > 528 else 4
    table = int.from_bytes(_read(file, width, path), "little")
    size = Path(path).stat().st_size
    if table + 2 * total * width > size:
        raise ReaderError(
            f"{path} keeps the places of its frames at byte {table}, beyond its end ({size} bytes). Copy it again."
        )
    file.seek(table)
    places = np.fromfile(file, f"<u{width}", count=2 * total).astype(np.int64)
    return total, valid, places[:valid], places[total : total + valid]


def _whole_elements(
    path: str, file: IO[bytes], offsets: npt.NDArray[np.int64], first: tuple[int, int, int], frame_bytes: int
) -> int:
    size = Path(path).stat().st_size
    for index, offset in enumerate(offsets):
        if offset + _ELEMENT.size + frame_bytes > size:
            return index
        file.seek(int(offset) + _ELEMENT.size - 10)
        kind, width, height = struct.unpack("<HII", file.read(10))
        if (kind, width, height) != first:
            raise ReaderError(
                f"{path} mixes frame sizes: frame 0 is {first[2]} x {first[1]} px, frame {index} is {height} x {width}."
            )
    return int(offsets.size)


def _read_times(file: IO[bytes], tags: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
    times = np.empty(tags.size)
    for index, tag in enumerate(tags):
        file.seek(int(tag) + 4)
        data = file.read(4)
        if len(data) < 4:
            return None
        times[index] = int.from_bytes(data, "little")
    return times - times[0] if times.size > 1 and np.all(np.diff(times) > 0) else None


def _open_emi(path: str, dataset: str | None) -> RawMovie:
    """The .emi holds metadata; the frames are in ``<name>_1.ser``, ``<name>_2.ser``, ... beside it."""
    place = Path(path)
    pattern = re.compile(re.escape(place.stem) + r"_(\d+)\.ser", re.IGNORECASE)
    series = sorted(file.name for file in place.parent.iterdir() if pattern.fullmatch(file.name))
    if dataset is not None and dataset in series:
        series = [dataset]
    if len(series) != 1 or (dataset is not None and dataset != series[0]):
        raise ReaderError(
            f"{path} has {len(series)} series beside it: {', '.join(series) or 'none'}. "
            "Copy the .ser files too, and open the one you want."
        )
    return _open_ser(str(place.with_name(series[0])), {"emi": _emi_metadata(place)})


def _emi_metadata(place: Path) -> Any:
    if place.stat().st_size > _EMI_BYTES_MAX:
        return "too large to parse"
    found = re.search(rb"<ObjectInfo>.*?</ObjectInfo>", place.read_bytes(), re.DOTALL)
    if found is None:
        return None
    try:
        return _tree(ET.fromstring(found.group()))  # noqa: S314 - expat refuses entity bombs
    except ET.ParseError:
        return found.group().decode("utf-8", "replace")


def _tree(node: ET.Element) -> Any:
    if len(node) == 0:
        return node.text
    return {child.tag: _tree(child) for child in node}
