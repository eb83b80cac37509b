"""A result in napari: movie, labels in their colours, regions and memberships as layers, in nm and s.

napari is not among emreel's own packages: ``pip install "napari[all]"``. It also opens the result's folder
``movie.zarr`` by itself, through napari-ome-zarr.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from emreel.result import INVALID, UNKNOWN, Result
from emreel.view.errors import ViewError
from emreel.view.overlay import INVALID_COLORS, OPACITY, UNKNOWN_COLORS, Color
from emreel.view.pictures import Pictures


def add_layers(viewer: Any, result: Result) -> list[Any]:
    """Add a result's layers to a viewer of napari's; lazy, a frame is read when it is shown. Returns the layers.

    Time is in s, lengths in nm; frames and px where the movie is not calibrated. Uneven times are shown by their mean
    step, for napari knows one step an axis.
    """
    from napari.utils.colormaps import DirectLabelColormap

    pictures = Pictures(result)
    name, step = result.path.name, _frame_step(result)
    units = ("pixel" if result.times_s is None else "s", *(("pixel" if result.pixel_size_nm is None else "nm",) * 2))
    size, factor, stride = result.pixel_size_nm or 1.0, result.layout.preview_factor, result.layout.stride

    def place(cell: int, *, middle: bool) -> dict[str, Any]:
        offset = size * (cell - 1) / 2 if middle else 0.0
        known = {"scale": (step, size * cell, size * cell), "translate": (0.0, offset, offset)}
        return known | {"units": units, "axis_labels": ("time", "y", "x")}

    layers = [
        viewer.add_image(_lazy(result.preview), name=name, contrast_limits=(0, 255), **place(factor, middle=True)),
        viewer.add_labels(
            _lazy(result.label),
            name=f"{name}: labels",
            opacity=OPACITY,
            colormap=DirectLabelColormap(color_dict=label_colors(pictures.colors)),
            features=_names(pictures),
            **place(1, middle=False),
        ),
    ]
    if "region" in result.dataset:
        region = viewer.add_labels(_lazy(result.region), name=f"{name}: regions", **place(1, middle=False))
        region.visible = False
        layers.append(region)
    if result.layout.with_membership:
        soft = result.membership
        for number, phase in enumerate(pictures.names):
            options = place(stride, middle=False) | {"colormap": "viridis", "contrast_limits": (0, 1), "visible": False}
            layers.append(viewer.add_image(_lazy(soft[:, number]), name=f"{name}: {phase}", opacity=OPACITY, **options))
    return layers


def label_colors(colors: tuple[Color, ...]) -> dict[int | None, tuple[float, ...]]:
    """RGBA, 0 to 1, of every label value; clear where nothing is computed."""
    known: dict[int | None, tuple[float, ...]] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
    special = {INVALID: INVALID_COLORS[0], UNKNOWN: UNKNOWN_COLORS[0]}
    for value, color in (dict(enumerate(colors, start=1)) | special).items():
        known[value] = (*(part / 255 for part in color), 1.0)
    return known


def show_napari(result: Result) -> None:
    """Open a result in a window of napari's, until it is closed.

    Raises
    ------
    ViewError : napari is not installed, or there is no screen.
    """
    if importlib.util.find_spec("napari") is None:
        raise ViewError('napari is not installed. Type: pip install "napari[all]"')
    import napari

    try:
        viewer = napari.Viewer(title=f"emreel: {result.path.name}")
    except (ImportError, RuntimeError) as error:
        raise ViewError(f'napari cannot open a window ({error}). Type: pip install "napari[all]"') from error
    add_layers(viewer, result)
    napari.run()


def _lazy(array: Any) -> Any:
    return array.data if array.chunks is not None else array.chunk({"time": 1}).data


def _frame_step(result: Result) -> float:
    times = result.times_s
    return 1.0 if times is None or times.size < 2 else float((times[-1] - times[0]) / (times.size - 1))


def _names(pictures: Pictures) -> dict[str, Any]:
    """What napari shows in its status line for each label."""
    named = {0: "not computed"} | dict(enumerate(pictures.names, start=1)) | {INVALID: "invalid", UNKNOWN: "unknown"}
    return {"index": np.array(list(named)), "name": np.array(list(named.values()))}
