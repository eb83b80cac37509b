"""HyperSpy's .zspy: the layout of .hspy in a zarr folder (rosettasciio reads it with zarr 2 only)."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import RawMovie
from emreel.io.readers.hspy import axis_map, plain_attributes
from emreel.io.readers.zarrs import frames_of
from emreel.io.units import even_times, to_nm, to_seconds


def open_raw(path: str, dataset: str | None) -> RawMovie:
    root = zarr.open(path, mode="r")
    experiments = root.get("Experiments") if isinstance(root, zarr.Group) else None
    if not isinstance(experiments, zarr.Group):
        raise ReaderError(f"{path} holds no experiment of HyperSpy. A plain zarr has the suffix .zarr.")
    arrays: dict[str, Any] = {
        name: group["data"]
        for name, group in experiments.members()
        if isinstance(group, zarr.Group) and isinstance(group.get("data"), zarr.Array)
    }
    found = [Candidate(name, array.shape, np.dtype(array.dtype)) for name, array in arrays.items()]
    name = choose_dataset(path, found, dataset)
    array = arrays[name]
    group: Any = experiments[name]
    axes = [dict(group[f"axis-{number}"].attrs) for number in range(array.ndim)]
    order = axis_map(path, axes, array)
    frames, declared = frames_of(path, f"Experiments/{name}/data", array, order)
    step = to_seconds(axes[order.time].get("scale"), axes[order.time].get("units")) if order.time is not None else None
    return RawMovie(
        frames=frames,
        frame_times_s=None if step is None else even_times(frames.shape[0], step),
        pixel_size_nm=to_nm(axes[order.x].get("scale"), axes[order.x].get("units")),
        original_metadata=plain_attributes(group.get("original_metadata")),
        declared_frames=declared if frames.shape[0] < declared else None,
    )
