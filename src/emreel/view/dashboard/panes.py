"""Two pictures side by side that move together: the movie, and the movie under a layer.

Their axes count nm from the frame's corner, or px where nothing is calibrated; ``scale`` is nm (or 1) a px.
"""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    ColumnDataSource,
    LinearColorMapper,
    Metric,
    MetricLength,
    PanTool,
    Range1d,
    ResetTool,
    ScaleBar,
    WheelZoomTool,
)
from bokeh.plotting import figure

from emreel.result import Result
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.layers import Layer
from emreel.view.dashboard.window import MOST_PX, Window

#: Height that a pane takes at most, px of the screen.
MOST_HEIGHT_PX = 560
#: Fewest pixels that can be zoomed to.
CLOSEST_PX = 8
_MARK_COLOR = "#ffffff"


class Panes:
    """The pictures of a result. ``source`` holds the one frame that is shown; its column ``frame`` says which."""

    def __init__(self, frames: Frames, layer: Layer, opacity: float, most_px: int = MOST_PX) -> None:
        self.frames, self.layer, self._most_px = frames, layer, most_px
        self.scale = frames.result.pixel_size_nm or 1.0
        self.window = Window.around(frames.result.layout.shape_tyx[1:], most_px=most_px)
        height, width = (side * self.scale for side in frames.result.layout.shape_tyx[1:])
        closest = CLOSEST_PX * self.scale
        self.x_range = Range1d(0, width, bounds=(0, width), min_interval=closest)
        self.y_range = Range1d(height, 0, bounds=(0, height), min_interval=closest)
        self.source = ColumnDataSource(self._columns(0), name="shown")
        self.traces = ColumnDataSource({"x": [], "y": []})
        self.outline = ColumnDataSource({"xs": [], "ys": []})
        self.path = ColumnDataSource({"x": [], "y": []})
        self.mapper = LinearColorMapper(palette=list(layer.palette), low=-0.5, high=255.5)
        self.movie, self.overlay = self._pane(), self._pane()
        self.codes = self.overlay.image(
            "code", "code_x", "code_y", "code_w", "code_h",
            source=self.source, color_mapper=self.mapper, global_alpha=opacity,
        ).glyph  # fmt: skip
        for pane in (self.movie, self.overlay):
            self._mark(pane)
        self.movie.add_layout(scale_bar(frames.result, self.movie.x_range))

    def show(self, frame: int) -> None:
        """Read what is seen of a frame, and show it."""
        self.source.data = self._columns(frame)

    def look(self, x: tuple[float, float], y: tuple[float, float]) -> bool:
        """Another part of the frames is seen, told by the axes; whether other pixels are needed for it."""
        rows, columns = ((low / self.scale, high / self.scale) for low, high in (y, x))
        window = Window.around(self.frames.result.layout.shape_tyx[1:], rows, columns, self._most_px)
        changed, self.window = window != self.window, window
        return changed

    def lay(self, layer: Layer) -> None:
        """Lay something else over the movie."""
        self.layer = layer
        self.mapper.palette = list(layer.palette)

    def _columns(self, frame: int) -> dict[str, list[Any]]:
        gray, gray_cell = self.frames.gray(frame, self.window)
        code = self.layer.codes(frame, self.window)
        columns: dict[str, list[Any]] = {"frame": [frame], "gray": [gray], "code": [code]}
        for name, cell, array in (("gray", gray_cell, gray), ("code", self.layer.cell, code)):
            place = self.window.place(cell, (array.shape[0], array.shape[1]))
            columns |= {f"{name}_{part}": [value * self.scale] for part, value in zip("xywh", place, strict=True)}
        return columns

    def _pane(self) -> Any:
        height, width = self.frames.result.layout.shape_tyx[1:]
        wheel = WheelZoomTool(zoom_on_axis=False)
        pane = figure(
            x_range=self.x_range,
            y_range=self.y_range,
            tools=[PanTool(), wheel, ResetTool()],
            active_scroll=wheel,
            toolbar_location=None,
            sizing_mode="scale_width",
            aspect_ratio=width / height,
            max_height=MOST_HEIGHT_PX,
            max_width=round(MOST_HEIGHT_PX * width / height),
            min_border=0,
            outline_line_color=None,
            background_fill_color="#606060",
            output_backend="canvas",
        )
        pane.axis.visible = False
        pane.grid.visible = False
        pane.image(
            "gray", "gray_x", "gray_y", "gray_w", "gray_h",
            source=self.source, color_mapper=LinearColorMapper(palette=GRAYS, low=0, high=255),
        )  # fmt: skip
        return pane

    def _mark(self, pane: Any) -> None:
        """Fronts and twin boundaries, and the region that is followed, over the picture."""
        for width, color in ((3, "#000000"), (1.5, _MARK_COLOR)):
            pane.line("x", "y", source=self.traces, line_width=width, line_color=color)
            pane.multi_line("xs", "ys", source=self.outline, line_width=width, line_color=color)
            pane.line("x", "y", source=self.path, line_width=width, line_color=color, line_dash="dotted")


GRAYS = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]


def scale_bar(result: Result, x_range: Range1d) -> ScaleBar:
    """A bar of a round length that follows the zoom; in px where nothing is calibrated."""
    size = result.pixel_size_nm
    unit, units = ("px", Metric(base_unit="px", include=["px"])) if size is None else ("nm", MetricLength())
    return ScaleBar(
        range=x_range,
        unit=unit,
        dimensional=units,
        bar_length=0.25,
        location="bottom_left",
        background_fill_color="#000000",
        background_fill_alpha=0.5,
        border_line_color=None,
        bar_line_color="#ffffff",
        bar_line_width=3,
        label_text_color="#ffffff",
        padding=6,
    )
