"""A result that grows while its movie is being taken: one chunk a frame, shown when it is whole.

Frames are written in any order, each array's chunk in one step; the ledger counts them as everywhere.
`GrowingStore.show` then tells readers of the new length: frame times first, then every array's shape, then the groups'
consolidated metadata, the root's with the status last. Who opens a group by its consolidated metadata (as xarray) sees
all arrays at one length; frames below it that are not done yet are 0, not computed. What a power cut costs of this is
made anew from the ledger at the next start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from emreel.result import ome
from emreel.result.errors import LayoutError, ResultError
from emreel.result.files import write_file
from emreel.result.layout import Block, Layout
from emreel.result.lines import plain_json
from emreel.result.store import STORE, Bytes, checksum, parse_data

_NODE = "zarr.json"
_ZSTD = Zstd(level=ome.ZSTD_LEVEL)


class GrowingStore:
    """The zarr of a growing result, open for its one writer. Frames may be written by several threads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._store = Path(path) / STORE
        try:
            files = {str(f.relative_to(self._store)): json.loads(f.read_bytes()) for f in self._store.rglob(_NODE)}
            self._facts: dict[str, Any] = files[_NODE]["attributes"]["emreel"]
        except (OSError, ValueError, KeyError) as error:
            raise ResultError(f"{os.fspath(path)} is damaged ({error}). Watch into another folder.") from error
        layout = Layout.from_dict(self._facts["layout"])
        if not layout.grows:
            raise ResultError(f"{os.fspath(path)} has a fixed number of frames. Watch into another folder.")
        self._nodes = {key: _plain(node) for key, node in sorted(files.items())}
        self._specs = layout.arrays()
        self.layout = layout
        self._times: npt.NDArray[Any] = np.empty(0)

    def write_frame(
        self,
        index: int,
        *,
        label: Bytes,
        preview: Bytes,
        membership: Bytes | None = None,
        region: npt.NDArray[np.uint32] | None = None,
        angle: npt.NDArray[np.float32] | None = None,
    ) -> dict[str, int]:
        """Write one frame; shapes as `emreel.result.write_block` with t = 1. Returns crc32c by array name.

        Raises
        ------
        LayoutError : data of another shape or dtype. StorageError : the disk is full or refuses.
        """
        given = {"label": label, "preview": preview, "membership": membership, "region": region, "angle": angle}
        data = parse_data(given, self.layout, self.layout.block(0))
        for name, values in data.items():
            write_file(self._store / self._key(name, index), encode_chunk(values))
        return {name: checksum(values) for name, values in data.items()}

    @property
    def has_times(self) -> bool:
        """Whether frames have times in s; else they are counted."""
        return bool(self._nodes[f"time/{_NODE}"]["data_type"] == "float64")

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the result says of itself, see `emreel.result.read_facts`."""
        return self._facts

    @property
    def label_colors(self) -> tuple[tuple[int, ...], ...]:
        """RGBA of the classes, in their order."""
        colors = self._nodes[f"labels/segments/{_NODE}"]["attributes"]["ome"]["image-label"]["colors"]
        classes = range(1, self.layout.n_classes + 1)
        return tuple(tuple(color["rgba"]) for color in colors if color["label-value"] in classes)

    def read_frame(self, index: int, name: str) -> npt.NDArray[Any] | None:
        """One frame of the array ``name`` without its time axis, shown or not; None when the result has no such array.

        Raises
        ------
        ResultError : the frame is not there, or damaged.
        """
        if name not in self._specs:
            return None
        file = self._store / self._key(name, index)
        try:
            values = decode_chunk(file.read_bytes(), self._specs[name].shape[1:], self._specs[name].dtype)
        except (OSError, ValueError, RuntimeError) as error:
            raise ResultError(f"{file} cannot be read ({error}). Run 'emreel verify'.") from error
        return values

    def block(self, index: int) -> Block:
        """The block that is frame ``index``, which may lie beyond what is shown."""
        return self.layout.grown(index + 1).block(index)

    def show(self, n_frames: int, times_s: npt.NDArray[np.float64] | None, status: Mapping[str, Any]) -> None:
        """Tell readers that there are ``n_frames`` frames; never fewer than before.

        times_s : shape (n_frames,), s, or None where frames are counted. status : plain JSON, attrs.emreel["stream"].

        Raises
        ------
        StorageError : the disk is full or refuses.
        """
        self.layout = self.layout.grown(n_frames)
        self._facts["layout"]["shape_tyx"][0] = n_frames
        self._facts["stream"] = plain_json(status)
        values = np.arange(n_frames) if times_s is None else np.asarray(times_s, np.float64)
        if values.shape != (n_frames,):
            raise LayoutError(f"got {values.size} frame times for {n_frames} frames.")
        if self.has_times != (times_s is not None):
            raise LayoutError(f"got {'times' if times_s is not None else 'no times'}; this result began otherwise.")
        times = self._time_chunks(values)
        for key, node in self._nodes.items():
            if node["node_type"] == "array" and "time" in node.get("dimension_names", ()):
                if len(node["shape"]) == 1:
                    for number, chunk in times.items():
                        write_file(self._store / key.removesuffix(_NODE) / f"c/{number}", chunk, flush=False)
                node["shape"][0] = n_frames
            _set_interval(node, values)
        files = ome.consolidate({key: json.dumps(node).encode() for key, node in self._nodes.items()}, indent=None)
        for key in sorted(files, key=self._rank):
            write_file(self._store / key, files[key], flush=False)

    def _rank(self, key: str) -> tuple[bool, bool]:
        return self._nodes[key]["node_type"] == "group", key == _NODE

    def _time_chunks(self, values: npt.NDArray[Any]) -> dict[int, bytes]:
        """The chunks of frame times that differ from what was shown before, by their number."""
        size, chunks = ome.TIMES_PER_CHUNK, {}
        for start in range(_first_change(self._times, values) // size * size, len(values), size):
            padded = np.zeros(size, values.dtype)
            padded[: len(values) - start] = values[start : start + size]
            chunks[start // size] = encode_chunk(padded)
        self._times = values.copy()
        return chunks

    def _key(self, name: str, index: int) -> str:
        spec = self._specs[name]
        return f"{spec.path}/c/{index}" + "/0" * (len(spec.shape) - 1)


def encode_chunk(values: npt.NDArray[Any]) -> bytes:
    """A chunk as zarr encodes it with `ome.COMPRESSORS`: bytes in C order, zstd, crc32c; at a tenth of zarr's time."""
    packed = bytes(_ZSTD.encode(np.ascontiguousarray(values)))
    return packed + int(google_crc32c.value(packed)).to_bytes(4, "little")


def decode_chunk(encoded: bytes, shape: tuple[int, ...], dtype: str = "uint8") -> npt.NDArray[Any]:
    """What `encode_chunk` was given. Raises ValueError when a byte differs."""
    packed, crc = encoded[:-4], encoded[-4:]
    if google_crc32c.value(packed).to_bytes(4, "little") != crc:
        raise ValueError("its checksum differs")
    return np.frombuffer(_ZSTD.decode(packed), dtype).reshape(shape)


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("consolidated_metadata", None)
    return node


def _first_change(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> int:
    common = min(len(old), len(new))
    changed = np.flatnonzero(old[:common] != new[:common])
    return int(changed[0]) if changed.size else common


def _set_interval(node: Mapping[str, Any], times: npt.NDArray[Any]) -> None:
    """The mean time from frame to frame, where an OME group tells it."""
    if times.size < 2:
        return
    for image in node.get("attributes", {}).get("ome", {}).get("multiscales", ()):
        for part in image["datasets"][0]["coordinateTransformations"]:
            if part["type"] == "scale":
                part["scale"][0] = float(times[-1] - times[0]) / (times.size - 1)
