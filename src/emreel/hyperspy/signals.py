"""Labels as HyperSpy signals of a type of their own, eager and lazy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hyperspy.api import plot
from hyperspy.api import signals as hyperspy_signals

from emreel.hyperspy.errors import HyperSpyError
from emreel.result import UNKNOWN
from emreel.result.appearance import parse_color
from emreel.view.figures import web_color
from emreel.view.overlay import Color


def describe_classes(names: Sequence[str], colors: Sequence[Color]) -> dict[str, Any]:
    """What a `Segmentation` keeps in ``metadata.Segmentation``."""
    return {"names": list(names), "colors": [web_color(color) for color in colors]}


def parse_colors(colors: Sequence[str]) -> list[Color]:
    """A model's colours, "#rrggbb", as RGB."""
    return [parse_color(color) for color in colors]


class Segmentation(hyperspy_signals.Signal2D):  # type: ignore[misc]
    """Labels of every frame: 0 not computed, 1..K classes, 254 invalid, 255 unknown.

    ``metadata.Segmentation`` holds names and colours of the classes 1..K.
    """

    _signal_type = "segmentation"

    @property
    def label_names(self) -> list[str]:
        """Names of the classes 1..K."""
        return [str(name) for name in self.metadata.get_item("Segmentation.names") or ()]

    def class_fraction(self, label: int) -> Any:
        """Share of each frame's pixels that is this class, over the navigation axes; lazy where this is."""
        self._check_label(label)
        inside: Any = self == label
        inside.change_dtype("float32")
        inside.set_signal_type("")
        return inside.mean(axis=inside.axes_manager.signal_axes).T

    def contours(self, label: int, *, least_px: int = 8, **options: Any) -> Any:
        """Outlines of a class in every frame, as a marker for any signal with these axes: ``signal.add_marker(...)``.

        Parameters
        ----------
        label : the class. least_px : shorter outlines are left out.
        options : of the marker, such as ``linewidth=2``; its colour is the class's own unless told.

        Returns
        -------
        hyperspy.api.plot.markers.Polygons, one set of polygons a frame, in the units of the axes. Lazy labels are read.
        """
        from skimage.measure import find_contours

        self._check_label(label)
        x_axis, y_axis = self.axes_manager.signal_axes
        frames = np.asarray(self.data).reshape(-1, *self.data.shape[-2:])
        verts = np.empty(len(frames), dtype=object)
        for number, frame in enumerate(frames):
            lines: Any = find_contours(np.pad(frame == label, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
            verts[number] = [
                np.column_stack(
                    [
                        (line[:, 1] - 1) * x_axis.scale + x_axis.offset,
                        (line[:, 0] - 1) * y_axis.scale + y_axis.offset,
                    ]
                )
                for line in lines
                if len(line) >= least_px
            ]
        colors = self.metadata.get_item("Segmentation.colors")
        options = {"edgecolor": colors[label - 1] if colors else "white", "facecolor": "none"} | options
        shape = self.data.shape[:-2]
        return plot.markers.Polygons(verts=verts.reshape(shape) if shape else verts[0], **options)

    def _check_label(self, label: int) -> None:
        known = len(self.label_names) or UNKNOWN
        if not (1 <= label <= known or label == UNKNOWN):
            raise HyperSpyError(f"got class {label}, wanted 1 to {known}, or {UNKNOWN} (unknown).")


class LazySegmentation(hyperspy_signals.LazySignal2D, Segmentation):  # type: ignore[misc]
    """The same, computed when it is asked for."""
