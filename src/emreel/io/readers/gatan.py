"""Gatan's dm3 and dm4: rosettasciio parses the tags, the frames are read in place.

Dimensions are stored behind the pixels, so a file cut inside its pixels tells nothing about them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import Part, RawFrames, RawMovie, count_readable, file_stamp
from emreel.io.units import even_times, to_nm, to_seconds

#: Gatan's codes of data types that are counts.
_TYPES = {1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8"}
_COLOUR = {8, 23}


def open_raw(path: str, dataset: str | None) -> RawMovie:
    signals = _parse(path)
    images = [_image_tags(signal) for signal in signals]
    names = [f"{number}:{tags.get('Name') or 'image'}" for number, tags in enumerate(images)]
    index = 0
    if len(signals) > 1 or dataset is not None:
        found = [
            Candidate(name, _shape(tags), np.dtype(_TYPES.get(_kind(tags), "c8")))
            for name, tags in zip(names, images, strict=True)
        ]
        index = names.index(choose_dataset(path, found, dataset))
    tags, axes = images[index], signals[index]["axes"]
    stored = _stored(path, tags)
    shape = _shape(tags)
    if len(shape) < 2:
        raise ReaderError(f"{path} holds a curve of shape {shape}; wanted pictures.")
    declared, shape_yx = int(np.prod(shape[:-2], dtype=np.int64)), (shape[-2], shape[-1])
    first = int(tags["ImageData"]["Data"]["offset"])
    frame_bytes = shape_yx[0] * shape_yx[1] * stored.itemsize
    count = count_readable(path, declared=declared, shape_yx=shape_yx, frame_bytes=frame_bytes, first=first)
    step = to_seconds(axes[0].get("scale"), axes[0].get("units")) if len(shape) == 3 else None
    return RawMovie(
        frames=RawFrames(
            parts=(Part(path, count, first, frame_bytes),),
            stored=stored.str,
            shape_yx=shape_yx,
            stamp=file_stamp(path),
        ),
        frame_times_s=None if step is None else even_times(count, step),
        pixel_size_nm=to_nm(axes[-1].get("scale"), axes[-1].get("units")),
        original_metadata=signals[index]["original_metadata"],
        declared_frames=declared if count < declared else None,
    )


def _parse(path: str) -> Sequence[Mapping[str, Any]]:
    from rsciio.digitalmicrograph import file_reader

    try:
        return list(file_reader(path, lazy=True))
    except (struct.error, EOFError, KeyError, IndexError) as error:
        raise ReaderError(
            f"{path} ends inside its tags or pixels, or its tags are damaged. Gatan's files keep the sizes "
            "behind the pixels, so nothing can be saved; copy it again."
        ) from error
    except ValueError as error:
        if "RGB" in str(error):
            raise ReaderError(f"{path} is in colour; wanted grey counts. Open the recorded data instead.") from error
        raise


def _image_tags(signal: Mapping[str, Any]) -> Mapping[str, Any]:
    tags: Mapping[str, Any] = signal["original_metadata"]["ImageList"]["TagGroup0"]
    return tags


def _kind(tags: Mapping[str, Any]) -> int:
    return int(tags["ImageData"]["DataType"])


def _shape(tags: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in tags["ImageData"]["Dimensions"].values())[::-1]


def _stored(path: str, tags: Mapping[str, Any]) -> np.dtype[Any]:
    kind = _kind(tags)
    if kind not in _TYPES:
        what = "a colour picture" if kind in _COLOUR else "boolean data" if kind == 14 else "complex data"
        raise ReaderError(f"{path} holds {what} (Gatan's type {kind}); wanted counts.")
    order = ">" if tags["ImageData"]["Data"].get("endian") == "big" else "<"
    return np.dtype(_TYPES[kind]).newbyteorder(order)  # type: ignore[arg-type]
