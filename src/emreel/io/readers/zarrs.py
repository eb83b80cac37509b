"""Zarr v2 and v3, plain, by xarray, or OME-Zarr (0.4, 0.5); local or at any address that fsspec reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.sync import sync

from emreel.io.axes import AxisMap, find_axes, forward
from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, native_dtype
from emreel.io.units import even_times, second_factor, to_nm, to_seconds


def open_raw(path: str, dataset: str | None) -> RawMovie:
    node = _open_node(path)
    scales: _Scales = _Scales()
    inner = ""
    if isinstance(node, zarr.Group):
        image, ome = _find_image(node, dataset)
        if ome is not None:
            inner, scales = ome.path, ome.scales
        else:
            inner = choose_dataset(path, list(_candidates(node)), dataset)
        array = cast(zarr.Array[Any], node[inner])
        metadata = {**dict(node.attrs), **({} if image is node else dict(image.attrs)), **dict(array.attrs)}
    else:
        array, metadata = node, dict(node.attrs)
    names = scales.names or _dimension_names(array)
    axes = find_axes(array.shape, names, where=f"{path}/{inner}".rstrip("/"))
    if isinstance(node, zarr.Group) and not scales.names:
        scales = _coordinate_scales(node, inner, names, axes)
    frames, declared = frames_of(path, inner, array, axes)
    readable = frames.shape[0]
    return RawMovie(
        frames=frames,
        frame_times_s=scales.times_s(axes, declared, readable),
        pixel_size_nm=scales.pixel_size_nm(axes),
        original_metadata=metadata,
        declared_frames=declared if readable < declared else None,
    )


def frames_of(address: str, inner: str, array: Any, axes: AxisMap) -> tuple[ZarrFrames, int]:
    """Lazy frames of the array at `inner`, and how many it declares."""
    declared = axes.movie_shape(array.shape)[0]
    if 0 in array.shape:
        raise ReaderError(f"{address} declares an array of shape {array.shape}: not one frame.")
    readable = _count_written(address, array, axes, declared)
    frames = ZarrFrames(
        address=address,
        inner=inner,
        axes=axes,
        shape_tyx=(readable, *axes.movie_shape(array.shape)[1:]),
        stored=np.dtype(array.dtype).str,
        native=axes.movie_shape(array.shards or array.chunks),
    )
    return frames, declared


def _open_node(address: str) -> zarr.Group | zarr.Array[Any]:
    try:
        node = zarr.open(address, mode="r")
    except (FileNotFoundError, KeyError, zarr.errors.NodeTypeValidationError) as error:
        raise ReaderError(f"{address} holds no zarr array or group. Check the address.") from error
    return node


@dataclass(frozen=True, kw_only=True)
class _Scales:
    """Names, scales and units of the array's axes, and uneven times where the file lists them."""

    names: Sequence[str | None] | None = None
    scale: Sequence[float] | None = None
    units: Sequence[str | None] | None = None
    times: npt.NDArray[np.float64] | None = None
    size_nm: float | None = None

    def pixel_size_nm(self, axes: AxisMap) -> float | None:
        if self.scale is None or self.units is None:
            return self.size_nm
        return to_nm(self.scale[axes.x], self.units[axes.x])

    def times_s(self, axes: AxisMap, declared: int, readable: int) -> npt.NDArray[np.float64] | None:
        if self.times is not None:
            return self.times[:readable] if self.times.size == declared else None
        if self.scale is None or self.units is None or axes.time is None:
            return None
        step = to_seconds(self.scale[axes.time], self.units[axes.time])
        return None if step is None else even_times(readable, step)


@dataclass(frozen=True)
class _OmeImage:
    path: str
    scales: _Scales


def _find_image(group: zarr.Group, dataset: str | None) -> tuple[zarr.Group, _OmeImage | None]:
    """The first image of an OME-Zarr: the group itself, or its member 0 in the layout of bioformats2raw."""
    if dataset is not None:
        return group, None
    for prefix in ("", "0"):
        member = group if not prefix else group.get(prefix)
        if isinstance(member, zarr.Group):
            attributes = dict(member.attrs)
            ome = attributes.get("ome")
            found = (ome if isinstance(ome, Mapping) else attributes).get("multiscales")
            if isinstance(found, Sequence) and found:
                image = _parse_multiscale(cast(Mapping[str, Any], found[0]))
                return member, _OmeImage(f"{prefix}/{image.path}".lstrip("/"), image.scales)
    return group, None


def _parse_multiscale(multiscale: Mapping[str, Any]) -> _OmeImage:
    level = multiscale["datasets"][0]
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in multiscale.get("axes", ())]
    scale = [1.0] * len(axes)
    for transform in (*level.get("coordinateTransformations", ()), *multiscale.get("coordinateTransformations", ())):
        if transform.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
    return _OmeImage(
        str(level["path"]),
        _Scales(
            names=[axis["name"] for axis in axes] or ["t", "c", "z", "y", "x"],
            scale=scale or None,
            units=[axis.get("unit") for axis in axes] or None,
        ),
    )


def _dimension_names(array: zarr.Array[Any]) -> Sequence[str | None] | None:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return cast("Sequence[str | None] | None", names)


def _candidates(group: zarr.Group) -> list[Candidate]:
    return [
        Candidate(name, member.shape, np.dtype(member.dtype))
        for name, member in group.members(max_depth=None)
        if isinstance(member, zarr.Array)
    ]


def _coordinate_scales(group: zarr.Group, inner: str, names: Sequence[str | None] | None, axes: AxisMap) -> _Scales:
    """Coordinates as xarray writes them: one-dimensional arrays beside the data, named as its axes."""
    folder = inner.rpartition("/")[0]

    def coordinate(axis: int | None) -> tuple[npt.NDArray[np.float64], str] | None:
        name = names[axis] if names is not None and axis is not None else None
        member = group.get(f"{folder}/{name}".lstrip("/")) if name else None
        if not isinstance(member, zarr.Array) or member.ndim != 1 or "units" not in member.attrs:
            return None
        return np.asarray(member[:], dtype=np.float64), str(member.attrs["units"])

    times, columns = coordinate(axes.time), coordinate(axes.x)
    factor = second_factor(times[1]) if times is not None else None
    size = None
    if columns is not None and columns[0].size > 1:
        size = to_nm((columns[0][-1] - columns[0][0]) / (columns[0].size - 1), columns[1])
    return _Scales(times=times[0] * factor if times is not None and factor is not None else None, size_nm=size)


def _count_written(path: str, array: zarr.Array[Any], axes: AxisMap, declared: int) -> int:
    """Frames before a tail of which not one chunk was ever written; all of them where nobody can list the chunks."""
    if axes.time != 0:
        return declared
    first, separator = _chunk_folder(array)
    try:
        names = sync(_list(array, first))
    except (OSError, NotImplementedError):
        return declared
    rows = [int(row) for row in (name.rstrip("/").split(separator)[0] for name in names) if row.isdecimal()]
    if not rows:
        raise ReaderError(f"{path} declares {declared} frames, but not one chunk was written. Copy it again.")
    return min((max(rows) + 1) * (array.shards or array.chunks)[0], declared)


def _chunk_folder(array: zarr.Array[Any]) -> tuple[str, str]:
    """Where the chunks lie below the array, and what stands between their numbers in one name."""
    key = array.metadata.encode_chunk_key((1,) * array.ndim)  # c/1/1/1, 1/1/1, c.1.1.1 or 1.1.1
    folder = "c" if key.startswith("c/") else ""
    return folder, "/" if "/" in key else "."


async def _list(array: zarr.Array[Any], folder: str) -> list[str]:
    place = array.store_path / folder if folder else array.store_path
    return [name.removeprefix("c.") async for name in place.store.list_dir(place.path)]


@dataclass(frozen=True, kw_only=True)
class ZarrFrames(FrameBlocks):
    """Frames of a zarr array, opened by its address wherever a block is read."""

    address: str
    inner: str
    axes: AxisMap
    shape_tyx: tuple[int, int, int]
    stored: str
    native: tuple[int, int, int]

    splits_rows: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.shape_tyx

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    @property
    def native_tyx(self) -> tuple[int, int, int]:
        return self.native

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        array = zarr.open_array(self.address, path=self.inner, mode="r")
        wanted, backward = forward(frames)
        block = self.axes.to_movie(np.asarray(array[self.axes.key(wanted, rows, columns)]))
        return block[::-1] if backward else block
