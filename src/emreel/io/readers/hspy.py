"""HyperSpy's .hspy: rosettasciio's layout of HDF5, frames read through h5py."""

from __future__ import annotations

from typing import Any

from emreel.io.axes import AxisMap, find_axes
from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import RawMovie
from emreel.io.readers.hdf5 import frames_of, open_file
from emreel.io.units import even_times, to_nm, to_seconds


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with open_file(path) as file:
        experiments = file.get("Experiments")
        if experiments is None:
            raise ReaderError(f"{path} holds no experiment of HyperSpy. For plain HDF5 use the suffix .h5.")
        groups = {name: group for name, group in experiments.items() if "data" in group}
        found = [Candidate(name, g["data"].shape, g["data"].dtype) for name, g in groups.items()]
        group = groups[choose_dataset(path, found, dataset)]
        array = group["data"]
        axes = [dict(group[f"axis-{number}"].attrs) for number in range(array.ndim)]
        order = axis_map(path, axes, array)
        frames, declared = frames_of(path, array, order)
        step = None
        if order.time is not None:
            step = to_seconds(axes[order.time].get("scale"), axes[order.time].get("units"))
        size = to_nm(axes[order.x].get("scale"), axes[order.x].get("units"))
        metadata = plain_attributes(group.get("original_metadata"))
    return RawMovie(
        frames=frames,
        frame_times_s=None if step is None else even_times(frames.shape[0], step),
        pixel_size_nm=size,
        original_metadata=metadata,
        declared_frames=declared if frames.shape[0] < declared else None,
    )


def axis_map(path: str, axes: list[dict[str, Any]], array: Any) -> AxisMap:
    """The two signal axes are y and x; the one navigation axis is time."""
    signal = [number for number, axis in enumerate(axes) if not bool(axis.get("navigate", number < array.ndim - 2))]
    if len(signal) != 2:
        raise ReaderError(f"{path} holds {len(signal)}-dimensional signals (spectra); wanted pictures.")
    names: list[str | None] = [None] * array.ndim
    names[signal[0]], names[signal[1]] = "y", "x"
    return find_axes(array.shape, names, where=path)


def plain_attributes(group: Any, depth: int = 0) -> dict[str, Any]:
    """Attributes of a group and of the groups in it, as nested dicts."""
    if group is None or depth > 16:
        return {}
    found = dict(group.attrs)
    for name in group:
        node = group[name]
        if hasattr(node, "keys"):  # a group of HDF5 or zarr, not an array
            found[name] = plain_attributes(node, depth + 1)
    return found
