"""EMD, of Velox and of NCEM (also written by rosettasciio and py4DSTEM).

Velox keeps a stack as (y, x, time) with one JSON of metadata a frame. NCEM's groups say ``emd_group_type`` and
describe every axis of ``data`` by a small array ``dim1``, ``dim2``, ... with a name and units.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from emreel.io.axes import AxisMap, find_axes
from emreel.io.datasets import choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import RawMovie
from emreel.io.readers.hdf5 import frames_of, list_arrays, open_file
from emreel.io.units import even_times, second_factor, to_nm


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with open_file(path) as file:
        if "Data/Image" in file:
            return _open_velox(path, file, dataset)
        return _open_ncem(path, file, dataset)


def _open_velox(path: str, file: h5py.File, dataset: str | None) -> RawMovie:
    found = [c for c in list_arrays(file) if c.name.startswith("Data/Image/") and c.name.endswith("/Data")]
    array = file[choose_dataset(path, found, dataset)]
    if array.ndim != 3:
        raise ReaderError(f"{path}, {array.name} has shape {array.shape}; Velox keeps (y, x, time).")
    axes = AxisMap(ndim=3, time=2, y=0, x=1)
    frames, declared = frames_of(path, array, axes)
    metadata = _velox_metadata(array.parent, 0)
    result = metadata.get("BinaryResult", {})
    size = to_nm(result.get("PixelSize", {}).get("width"), result.get("PixelUnitX"))
    times = _velox_times(array.parent, metadata, declared)
    return RawMovie(
        frames=frames,
        frame_times_s=None if times is None else times[: frames.shape[0]],
        pixel_size_nm=size,
        original_metadata=metadata,
        declared_frames=declared if frames.shape[0] < declared else None,
    )


def _velox_metadata(group: h5py.Group, frame: int) -> dict[str, Any]:
    if "Metadata" not in group or frame >= group["Metadata"].shape[1]:
        return {}
    text = group["Metadata"][:, frame].tobytes().rstrip(b"\0").decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _velox_times(group: h5py.Group, metadata: Mapping[str, Any], n_frames: int) -> npt.NDArray[np.float64] | None:
    """Every frame's own start where all tell one; else the scan's frame time, or the camera's exposure."""
    if "Metadata" in group and group["Metadata"].shape[1] == n_frames > 1:
        starts = [_velox_start_s(_velox_metadata(group, frame)) for frame in range(n_frames)]
        if None not in starts:
            times: npt.NDArray[np.float64] = np.asarray(starts, np.float64)
            if np.all(np.diff(times) > 0):
                since: npt.NDArray[np.float64] = times - times[0]
                return since
    step = metadata.get("Scan", {}).get("FrameTime")
    if step is None:
        number = metadata.get("BinaryResult", {}).get("DetectorIndex")
        step = metadata.get("Detectors", {}).get(f"Detector-{number}", {}).get("ExposureTime")
    try:
        value = float(step)
    except (TypeError, ValueError):
        return None
    return even_times(n_frames, value) if np.isfinite(value) and value > 0 else None


def _velox_start_s(metadata: Mapping[str, Any]) -> float | None:
    stamp = metadata.get("Features", {}).get("TimeStamp") or metadata.get("TimeStamp")
    try:
        return float(stamp) * 1e-6 if stamp is not None else None  # microseconds
    except (TypeError, ValueError):
        return None


def _open_ncem(path: str, file: h5py.File, dataset: str | None) -> RawMovie:
    found = [c for c in list_arrays(file) if file[c.name].parent.attrs.get("emd_group_type") is not None]
    array = file[choose_dataset(path, found or list_arrays(file), dataset)]
    dims = [_ncem_dim(array.parent, number, array.ndim) for number in range(array.ndim)]
    names = [name for name, _, _ in dims]
    known = {"y", "x"} <= {str(name).lower() for name in names}
    axes = find_axes(array.shape, names, where=f"{path}, {array.name}") if known else _reversed_axes(path, array)
    frames, declared = frames_of(path, array, axes)
    times = None
    if axes.time is not None:
        _, values, units = dims[axes.time]
        factor = second_factor(units)
        if factor is not None and values is not None and values.size > 1:
            listed = values.size == declared  # two values alone stand for an even axis
            values = values if listed else values[0] + np.arange(declared) * (values[1] - values[0])
            times = values[: frames.shape[0]] * factor
    _, values, units = dims[axes.x]
    step = (values[-1] - values[0]) / (values.size - 1) if values is not None and values.size > 1 else None
    return RawMovie(
        frames=frames,
        frame_times_s=times,
        pixel_size_nm=to_nm(step, units),
        original_metadata={name: dict(group.attrs) for name, group in file.items() if isinstance(group, h5py.Group)},
        declared_frames=declared if frames.shape[0] < declared else None,
    )


def _reversed_axes(path: str, array: Any) -> AxisMap:
    """Unnamed axes are in the file's order: x, y, time from the first to the last."""
    names = ["x", "y", "time"][: array.ndim] if array.ndim <= 3 else None
    return find_axes(array.shape, names, where=f"{path}, {array.name}")


def _ncem_dim(group: h5py.Group, axis: int, ndim: int) -> tuple[str | None, npt.NDArray[np.float64] | None, str]:
    first = 0 if "dim0" in group else 1
    dim = group.get(f"dim{axis + first}")
    if dim is None:
        return None, None, ""
    name, units = dim.attrs.get("name"), dim.attrs.get("units", "")
    clean = units.decode("utf-8", "replace") if isinstance(units, bytes) else str(units)
    values = np.asarray(dim[...], np.float64) if dim.dtype.kind in "iuf" and dim.ndim == 1 else None
    return (
        name.decode("utf-8", "replace") if isinstance(name, bytes) else name,
        values,
        clean.strip("[]").replace("_", ""),
    )
