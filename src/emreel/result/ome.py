"""What movie.zarr says to the world: OME-Zarr 0.5 metadata, CF attributes, coordinates.

Built in memory as a mapping of keys to bytes; `emreel.result.store` puts it on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from emreel.result.errors import LayoutError
from emreel.result.layout import ArraySpec, Layout

OME_VERSION = "0.5"
ZSTD_LEVEL = 3
COMPRESSORS = (ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec())
#: Frame times a chunk in a result that grows.
TIMES_PER_CHUNK = 1024
#: Values with a fixed meaning, their names and RGBA colours. 0 is transparent.
SPECIAL_LABELS = {
    0: ("not computed", (0, 0, 0, 0)),
    254: ("invalid", (64, 64, 64, 255)),
    255: ("unknown", (255, 0, 255, 255)),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that the metadata tell: sizes, calibration, names and colours. Checked on creation."""

    layout: Layout
    name: str
    label_names: tuple[str, ...]
    label_colors: tuple[tuple[int, ...], ...]
    times_s: npt.NDArray[np.float64] | None
    pixel_size_nm: float | None
    origin_yx_px: tuple[float, float]

    def __post_init__(self) -> None:
        n_classes, n_frames = self.layout.n_classes, self.layout.shape_tyx[0]
        if len(self.label_names) != n_classes or len(self.label_colors) != n_classes:
            raise LayoutError(
                f"got {len(self.label_names)} names and {len(self.label_colors)} colours for {n_classes} classes."
            )
        if any(len(color) not in (3, 4) or not all(0 <= c <= 255 for c in color) for color in self.label_colors):
            raise LayoutError(f"got the colours {self.label_colors}, wanted RGB or RGBA from 0 to 255.")
        if self.times_s is not None and self.times_s.shape != (n_frames,):
            raise LayoutError(f"got {self.times_s.size} frame times for {n_frames} frames.")
        if self.pixel_size_nm is not None and not (np.isfinite(self.pixel_size_nm) and self.pixel_size_nm > 0):
            raise LayoutError(f"got a pixel size of {self.pixel_size_nm} nm, wanted a positive number or none.")

    @property
    def labels(self) -> dict[int, tuple[str, tuple[int, ...]]]:
        """Name and RGBA colour of every label value, in rising order."""
        rgba = [(*color, 255)[:4] for color in self.label_colors]
        classes = dict(enumerate(zip(self.label_names, rgba, strict=True), start=1))
        return dict(sorted((SPECIAL_LABELS | classes).items()))


def build(scene: Scene, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of an empty result, key to content; ``facts`` becomes attrs.emreel of the root."""
    files: dict[str, Any] = {}
    memory = MemoryStore(files)
    specs = scene.layout.arrays()
    image = {"version": OME_VERSION, "multiscales": [_multiscales(scene, "preview", scene.layout.preview_factor)]}
    root = zarr.create_group(memory, zarr_format=3, attributes={"ome": image, "emreel": dict(facts)})
    _create(root, specs["preview"], {"long_name": "preview of the movie", "units": "1"})
    _add_coordinates(root, scene, scene.layout.preview_factor)

    names = ["segments", *(["regions"] if "region" in specs else [])]
    root.create_group("labels", attributes={"ome": {"version": OME_VERSION, "labels": names}})
    segments = root.create_group("labels/segments", attributes={"ome": _label_metadata(scene)})
    _create(root, specs["label"], _flags(scene))
    _add_coordinates(segments, scene, 1)

    if "membership" in specs:
        group = root.create_group("membership")
        _create(root, specs["membership"], {"long_name": "class membership", "units": "1", "scale_factor": 1 / 255})
        _add_coordinates(group, scene, scene.layout.stride, suffix="_grid")
        _add_coordinate(group, "class", np.arange(1, scene.layout.n_classes + 1), {"long_name": "label value"})
    if "region" in specs:
        regions = root.create_group("labels/regions", attributes={"ome": _region_metadata(scene)})
        _create(root, specs["region"], {"long_name": "region", "units": "1"})
        _add_coordinates(regions, scene, 1)
    if "angle" in specs:
        group = root.create_group("orientation")
        _create(root, specs["angle"], {"long_name": "in-plane angle of the lattice", "units": "degree"})
        _add_coordinates(group, scene, scene.layout.stride, suffix="_grid")
    return consolidate({key: bytes(buffer.to_bytes()) for key, buffer in sorted(files.items())})


def consolidate(files: Mapping[str, bytes], *, indent: int | None = 2) -> dict[str, bytes]:
    """Every group's zarr.json with those below it, as zarr writes them; without, xarray warns and opens slowly.

    Who adds or grows an array must do this again (`emreel.result.growing` shows new frames in just this way).
    """
    name = "zarr.json"
    nodes = {key.removesuffix(name): json.loads(data) for key, data in files.items() if key.endswith(name)}
    done = dict(files)
    for prefix, node in nodes.items():
        if node["node_type"] == "group":
            below = {
                key.removeprefix(prefix).rstrip("/"): node for key, node in nodes.items() if key.startswith(prefix)
            }
            below.pop("")
            node = node | {"consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": below}}
            done[prefix + name] = json.dumps(node, indent=indent).encode()
    return done


def _create(root: zarr.Group, spec: ArraySpec, attributes: dict[str, Any]) -> None:
    root.create_array(
        spec.path,
        shape=spec.shape,
        chunks=spec.chunks,
        shards=spec.zarr_shards,
        dtype=spec.dtype,
        compressors=COMPRESSORS,
        fill_value=float("nan") if spec.dtype == "float32" else 0,
        dimension_names=spec.dims,
        attributes=attributes,
    )


def _add_coordinates(group: zarr.Group, scene: Scene, step: int, suffix: str = "") -> None:
    """Time and the positions of every ``step``-th pixel; a preview's pixel lies in the middle of its cell."""
    chunk = TIMES_PER_CHUNK if scene.layout.grows else None
    if scene.times_s is None:
        _add_coordinate(group, "time", np.arange(scene.layout.shape_tyx[0]), {"units": "frame"}, chunk)
    else:
        _add_coordinate(group, "time", scene.times_s, {"units": "second"}, chunk)
    scale, units = (1.0, "pixel") if scene.pixel_size_nm is None else (float(scene.pixel_size_nm), "nanometer")
    middle = 0.0 if suffix else (step - 1) / 2
    for axis, side, origin in zip("yx", scene.layout.shape_tyx[1:], scene.origin_yx_px, strict=True):
        positions = (np.arange(0, side, step) + middle + origin) * scale
        _add_coordinate(group, axis + suffix, positions, {"units": units})


def _add_coordinate(
    group: zarr.Group,
    name: str,
    values: npt.NDArray[Any],
    attributes: dict[str, Any],
    chunk: int | None = None,
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape if chunk is None else (chunk,),
        dtype=values.dtype,
        compressors=COMPRESSORS,
        fill_value=0,
        dimension_names=(name,),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
    array[:] = values


def _multiscales(scene: Scene, path: str, step: int) -> dict[str, Any]:
    """One resolution; OME knows one number an axis, so uneven frame times are given by their mean step."""
    pixel = scene.pixel_size_nm or 1.0
    times = np.arange(scene.layout.shape_tyx[0], dtype=np.float64) if scene.times_s is None else scene.times_s
    interval = float((times[-1] - times[0]) / (times.size - 1)) if times.size > 1 else 1.0
    corner = [float(times[0]), *((origin + (step - 1) / 2) * pixel for origin in scene.origin_yx_px)]
    space: dict[str, str] = {} if scene.pixel_size_nm is None else {"unit": "nanometer"}
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [interval, step * pixel, step * pixel]}]
    if any(corner):
        transforms.append({"type": "translation", "translation": corner})
    return {
        "name": scene.name,
        "axes": [
            {"name": "time", "type": "time"} | ({} if scene.times_s is None else {"unit": "second"}),
            {"name": "y", "type": "space"} | space,
            {"name": "x", "type": "space"} | space,
        ],
        "datasets": [{"path": path, "coordinateTransformations": transforms}],
    }


def _label_metadata(scene: Scene) -> dict[str, Any]:
    return {
        "version": OME_VERSION,
        "multiscales": [_multiscales(scene, "label", 1) | {"name": "segments"}],
        "image-label": {
            "colors": [{"label-value": value, "rgba": list(rgba)} for value, (_, rgba) in scene.labels.items()],
            "properties": [{"label-value": value, "name": name} for value, (name, _) in scene.labels.items()],
            "source": {"image": "../../"},
        },
    }


def _region_metadata(scene: Scene) -> dict[str, Any]:
    """Identities have neither names nor colours of their own."""
    return {
        "version": OME_VERSION,
        "multiscales": [_multiscales(scene, "region", 1) | {"name": "regions"}],
        "image-label": {"source": {"image": "../../"}},
    }


def _flags(scene: Scene) -> dict[str, Any]:
    """CF: the values that a label takes and one word for each."""
    words = ["_".join(name.split()) or f"class_{value}" for value, (name, _) in scene.labels.items()]
    return {"long_name": "class", "flag_values": list(scene.labels), "flag_meanings": " ".join(words)}
