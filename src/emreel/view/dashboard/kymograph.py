"""Labels along one row or column through time, read when asked for.

A few frames are read at a time, so that the page stays alive meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.layouts import column, row
from bokeh.models import Button, ColumnDataSource, LinearColorMapper, Range1d, Select

from emreel.result import ResultError
from emreel.view.dashboard.charts import Charts
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.layers import Layer
from emreel.view.dashboard.window import Window
from emreel.view.overlay import Bytes
from emreel.view.overview import frame_edges

#: Moments and pixels that a kymograph shows at most.
MOST_MOMENTS, MOST_PX = 400, 500
KYMOGRAPH_PX = 190
_AT_ONCE = 8
ALONG = {"along y (a column)": "y", "along x (a row)": "x"}


class Kymograph:
    """The kymograph through the pixel that was clicked last; through the middle at first."""

    def __init__(
        self,
        frames: Frames,
        charts: Charts,
        labels: Layer,
        scale: float,
        later: Callable[[Callable[[], None]], Any] | None,
    ) -> None:
        self._frames, self._charts, self._labels, self._later = frames, charts, labels, later
        self._scale = scale
        height, width = frames.result.layout.shape_tyx[1:]
        self._at_yx = (height // 2, width // 2)
        self._along = Select(value=next(iter(ALONG)), options=list(ALONG), width=170)
        self._button = Button(label="Read the kymograph through the clicked pixel", width=300)
        self._button.on_click(self.read)
        self._source = ColumnDataSource({name: [] for name in ("code", "x", "y", "w", "h")}, name="kymograph")
        self._mapper = LinearColorMapper(palette=list(labels.palette), low=-0.5, high=255.5)
        self._range = Range1d(height * scale, 0)
        self.plot = charts.plot(KYMOGRAPH_PX, self._axis_label("y"), self._range)
        self.plot.image("code", "x", "y", "w", "h", source=self._source, color_mapper=self._mapper)
        self._lines: Iterator[None] = iter(())
        self.layout: Any = column(row(self._along, self._button), self.plot, sizing_mode="stretch_width")

    def aim(self, y: int, x: int) -> None:
        """The next kymograph goes through this pixel."""
        self._at_yx = (y, x)

    def recolor(self, labels: Layer) -> None:
        self._labels = labels
        self._mapper.palette = list(labels.palette)

    def read(self) -> None:
        """Begin to read; what is read shows at once."""
        self._lines = self._read(ALONG[str(self._along.value)], self._at_yx)
        self._go_on()

    def _go_on(self) -> None:
        if next(self._lines, StopIteration) is StopIteration:
            return
        if self._later is None:
            self._go_on()
        else:
            self._later(self._go_on)

    def _read(self, along: str, at_yx: tuple[int, int]) -> Iterator[None]:
        """Reads a few frames, shows them, and hands over, until it is through."""
        layout = self._frames.result.layout
        side, step, window = _line_window(layout.shape_tyx[1:], along, at_yx)
        edges = frame_edges(np.asarray(self._charts.times.data["x"], np.float64))
        moments = sample_frames(edges)
        codes: Bytes = np.zeros((-(-side // step), len(moments)), np.uint8)
        self.plot.yaxis.axis_label = self._axis_label(along)
        self._range.start = side * self._scale
        self._button.disabled = True
        try:
            for start in range(0, len(moments), _AT_ONCE):
                for place, frame in enumerate(moments[start : start + _AT_ONCE].tolist(), start):
                    label = self._frames.label(frame, window)
                    codes[:, place] = (label[:, 0] if along == "y" else label[0])[::step]
                self._source.data = {
                    "code": [codes], "x": [edges[0]], "y": [0], "w": [edges[-1] - edges[0]],
                    "h": [codes.shape[0] * step * self._scale],
                }  # fmt: skip
                yield
        except ResultError:
            yield  # the pictures tell of damage
        finally:
            self._button.disabled = False

    def _axis_label(self, along: str) -> str:
        return f"{along} ({'px' if self._frames.result.pixel_size_nm is None else 'nm'})"


def sample_frames(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The frames that last at evenly spaced moments between two ends; every frame at most once where there are few."""
    n_moments = min(len(edges) - 1, MOST_MOMENTS)
    moments = edges[0] + (np.arange(n_moments) + 0.5) / n_moments * (edges[-1] - edges[0])
    frames: npt.NDArray[np.int64] = np.clip(np.searchsorted(edges, moments, side="right") - 1, 0, len(edges) - 2)
    return frames


def _line_window(shape_yx: tuple[int, int], along: str, at_yx: tuple[int, int]) -> tuple[int, int, Window]:
    """Length of the line, px; every how many of its pixels are shown; and the window, one pixel wide."""
    (height, width), (y, x) = shape_yx, at_yx
    side = height if along == "y" else width
    ends = (0, height, x, x + 1) if along == "y" else (y, y + 1, 0, width)
    return side, -(-side // MOST_PX), Window(y0=ends[0], y1=ends[1], x0=ends[2], x1=ends[3], step=1)
