"""Curves through time beside the pictures: class fractions, what was wrong with frames, fronts.

All share one axis of time, and a line at the frame that is shown; a click shows the frame under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    DataRange1d,
    HoverTool,
    Range1d,
    Slider,
    Span,
)
from bokeh.plotting import figure

from emreel.result import Result, ResultError
from emreel.view.dashboard.scripts import read_script
from emreel.view.figures import web_color
from emreel.view.overlay import UNKNOWN_COLORS, Color
from emreel.view.overview import class_fractions, frame_edges
from emreel.view.pictures import Pictures

#: Steps of a curve that a screen can show; longer movies are shown by every n-th frame.
MOST_STEPS = 2000
CHART_PX, STRIP_PX = 190, 46
INK, FAINT = "#222222", "#dddddd"
#: Colours of what was wrong with a frame, apart in hue and brightness.
STATUS_COLORS = {"good": FAINT, "duplicate": "#56b4e9", "blank": "#000000", "invalid": "#000000", "blurred": "#e69f00"}
OTHER_STATUS = "#d55e00"
_LEFT_BORDER_PX = 64


class Charts:
    """The charts of a result. ``times`` holds every frame's place on the axis of time."""

    def __init__(self, pictures: Pictures, slider: Slider) -> None:
        self._slider = slider
        self.times = ColumnDataSource({"x": pictures.clock.values})
        self._spans: list[Span] = []
        edges = frame_edges(pictures.clock.values)
        self.x_range = Range1d(float(edges[0]), float(edges[-1]))
        self._axis_label = pictures.clock.axis_label
        self.fractions = FractionChart(pictures, self.plot(CHART_PX, "area fraction", Range1d(0, 1)))
        self.quality = self.plot(STRIP_PX, "", Range1d(0, 1), axis=False)
        self.quality_data = ColumnDataSource(quality_strip(pictures.result, edges))
        self.quality.quad("left", "right", 1, 0, color="color", line_color=None, source=self.quality_data)
        self.quality.add_tools(HoverTool(tooltips=[("frame", "@frame"), ("", "@status @reason")]))
        self.quality.yaxis.visible = False
        self.fronts = self._front_chart(pictures)
        self.area = self.plot(CHART_PX, "area", DataRange1d(start=0))
        self.area_data = ColumnDataSource({"x": [], "y": []})
        self.area.line("x", "y", line_width=2, color=INK, source=self.area_data)
        self.area.scatter("x", "y", size=4, color=INK, source=self.area_data)
        slider.js_on_change(
            "value",
            CustomJS(args={"slider": slider, "times": self.times, "spans": self._spans}, code=read_script("cursor")),
        )

    def update(self, pictures: Pictures) -> None:
        """Take up what came to a result that grows."""
        edges = frame_edges(pictures.clock.values)
        self.times.data = {"x": pictures.clock.values}
        self.x_range.update(start=float(edges[0]), end=float(edges[-1]))
        self.fractions.update(pictures)
        self.quality_data.data = quality_strip(pictures.result, edges)

    def plot(self, height: int, label: str, y_range: Any, *, axis: bool = True) -> Any:
        """A chart over the common axis of time."""
        plot = figure(
            height=height,
            sizing_mode="stretch_width",
            x_range=self.x_range,
            y_range=y_range,
            toolbar_location=None,
            tools="",
            min_border_left=_LEFT_BORDER_PX,
            min_border_right=12,
            outline_line_color=None,
            x_axis_label=self._axis_label if axis else None,
            y_axis_label=label,
        )
        plot.xaxis.visible = axis
        plot.grid.grid_line_color = None
        plot.axis.axis_label_text_font_style = "normal"
        span = Span(dimension="height", location=self.times.data["x"][self._slider.value], line_color=INK, line_width=1)
        plot.add_layout(span)
        self._spans.append(span)
        plot.js_on_event("tap", CustomJS(args={"slider": self._slider, "times": self.times}, code=read_script("jump")))
        return plot

    def _front_chart(self, pictures: Pictures) -> Any | None:
        curves, unit = front_curves(pictures)
        if not curves:
            return None
        plot = self.plot(CHART_PX, f"front ({unit})", DataRange1d(flipped=True))
        for number, (name, curve) in enumerate(curves.items()):
            source = ColumnDataSource(curve)
            dash = ("solid", "dashed", "dotted", "dotdash")[number % 4]
            plot.varea("x", "low", "high", fill_alpha=0.2, fill_color=INK, source=source)
            plot.line("x", "y", line_width=2, color=INK, line_dash=dash, source=source, legend_label=f"front {name}")
        plot.legend.visible = len(curves) > 1
        return plot


class FractionChart:
    """The classes' shares of each frame, stacked; the last, hatched, is unknown."""

    def __init__(self, pictures: Pictures, plot: Any) -> None:
        self.plot = plot
        self._shares = class_fractions(pictures.result)
        self._data = ColumnDataSource(stacked_fractions(self._shares, pictures.clock.values))
        self._areas = []
        colors: Sequence[Color] = (*pictures.colors, UNKNOWN_COLORS[0])
        for number, color in enumerate(colors):
            hatch = {"hatch_pattern": "/", "hatch_color": "white"} if number == len(pictures.colors) else {}
            area = plot.varea(
                "x", f"low{number}", f"high{number}", fill_color=web_color(color), source=self._data, **hatch
            )
            self._areas.append(area)

    def update(self, pictures: Pictures) -> None:
        self._shares = class_fractions(pictures.result)
        self._data.data = stacked_fractions(self._shares, pictures.clock.values)

    def shares_at(self, frame: int) -> list[float]:
        """Each class's share of a frame, and that of the unknown, 0 to 1; NaN where it is not computed."""
        return [float(share) for share in self._shares[:, frame]]

    def recolor(self, number: int, color: str) -> None:
        self._areas[number].glyph.fill_color = color


def stacked_fractions(
    shares: npt.NDArray[np.float64], x: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Columns x, and low0, high0 of every class and the unknown; NaN where a frame has none.

    shares : shape (class + 1, time). x : shape (time,), frames' places on the axis of time.
    """
    every = -(-shares.shape[1] // MOST_STEPS)
    shares, x = shares[:, ::every], x[::every]
    if x.size == 1:  # an area needs two ends
        edges = frame_edges(x)
        shares, x = np.repeat(shares, 2, axis=1), edges
    tops = np.cumsum(shares, axis=0)
    columns = {"x": x}
    for number, top in enumerate(tops):
        columns |= {f"low{number}": top - shares[number], f"high{number}": top}
    return columns


def quality_strip(result: Result, edges: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Runs of frames of one status: left and right end, colour, and the words of their first frame."""
    try:
        table = result.table("quality")
    except ResultError:
        return {name: [] for name in ("left", "right", "color", "frame", "status", "reason")}
    table = table[table["frame"] < len(edges) - 1].reset_index(drop=True)
    new = (table[["status", "reason"]] != table[["status", "reason"]].shift()).any(axis=1)
    runs = table.groupby(new.cumsum())
    first, last = runs.first(), runs["frame"].last().to_numpy()
    frames = first["frame"].to_numpy()
    return {
        "left": edges[frames],
        "right": edges[last + 1],
        "color": [STATUS_COLORS.get(status, OTHER_STATUS) for status in first["status"]],
        "frame": [str(a) if a == b else f"{a} to {b}" for a, b in zip(frames, last, strict=True)],
        "status": first["status"].tolist(),
        "reason": first["reason"].tolist(),
    }


def front_curves(pictures: Pictures) -> tuple[dict[str, dict[str, npt.NDArray[np.float64]]], str]:
    """Each front's mean position through time, with one standard deviation around it, and the unit; none without."""
    try:
        table = pictures.result.table("fronts")
    except ResultError:
        return {}, "px"
    table = table[table["kind"] == "mean"].sort_values("frame")
    size = pictures.result.pixel_size_nm
    scale, unit = (1.0, "px") if size is None else (size, "nm")
    curves = {}
    for name, rows in table.groupby("front"):
        y, sd = rows["position_px"].to_numpy(np.float64), rows["position_sd_px"].to_numpy(np.float64)
        sd = np.where(np.isfinite(sd), sd, 0.0)
        x = pictures.clock.values[rows["frame"].to_numpy(np.int64)]
        curves[str(name)] = {"x": x, "y": y * scale, "low": (y - sd) * scale, "high": (y + sd) * scale}
    return curves, unit
