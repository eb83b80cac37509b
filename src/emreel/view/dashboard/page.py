"""The page: movie and overlay side by side, frame by frame, with everything that was found beside them.

Bokeh's models in one layout. What can be done in the browser is done there (opacity, cursors, playing, keys); the
server is asked for pixels alone, and only for those that are seen.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, Tap
from bokeh.layouts import column, row
from bokeh.models import Checkbox, CustomJS, Div, Select, Slider, TabPanel, Tabs, Toggle

from emreel.movie import EmreelError
from emreel.result import INVALID, NOT_COMPUTED, UNKNOWN, Result, ResultError, open_result
from emreel.view.dashboard.charts import Charts
from emreel.view.dashboard.classes import ClassEditor
from emreel.view.dashboard.following import Following, RegionTable
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.kymograph import Kymograph
from emreel.view.dashboard.layers import Layer, find_layers, fold_of
from emreel.view.dashboard.panes import Panes
from emreel.view.dashboard.scripts import read_script
from emreel.view.dashboard.traces import Traces
from emreel.view.dashboard.wheel import wheel_figure
from emreel.view.dashboard.window import Window
from emreel.view.figures import web_color
from emreel.view.overlay import OPACITY, Color
from emreel.view.pictures import Pictures

SPEEDS = ("1", "2", "5", "10", "20", "50")
SIDE_PX = 250
#: How often a result that is being written is looked at, ms.
REFRESH_MS = 500
KEYS = "← → frame · PgUp PgDn ten · Home End · space play · o overlay · wheel zoom, drag to pan, click a curve"
SERVED_KEYS = f"{KEYS} · l layer · click a pixel to see what is there"
Later = Callable[[Callable[[], None]], Any]


class Page:
    """One look at a result. ``later`` runs something once the event at hand is over, so that only the last of many
    moves of a slider is drawn; without it everything is drawn at once."""

    def __init__(self, result: Result, later: Later | None = None) -> None:
        self._later, self._waits = later, False
        self._result, self._pictures, self._fold = result, Pictures(result), fold_of(result)
        frames = Frames(result)
        self._layers = self._find_layers(frames, self._pictures.colors)
        self.panes = Panes(frames, self._layers[0], OPACITY)
        self._build_controls()
        self.charts = Charts(self._pictures, self.slider)
        self.editor = ClassEditor(self._pictures, self._recolor, self._say)
        self.traces, self.regions = Traces(frames), RegionTable(result)
        self.following = Following(self.regions, self.panes, self.charts)
        self.kymograph = Kymograph(frames, self.charts, self._layers[0], self.panes.scale, later)
        self._connect()
        self.layout = self._lay_out()
        self._draw()

    # -------------------------------------------------------------------------------------- frame by frame

    @property
    def frame(self) -> int:
        """The frame that is wanted."""
        return min(int(self.slider.value), self._result.layout.shape_tyx[0] - 1)

    def _want_frame(self, attr: str, old: object, new: object) -> None:
        if self._later is None:
            self._draw()
        elif not self._waits:
            self._waits = True
            self._later(self._draw)

    def _draw(self) -> None:
        self._waits = False
        frame = self.frame
        try:
            self.panes.show(frame)
            self._tell(frame)
            self.panes.traces.data = self.traces.at(frame, self.panes.scale)
            self.regions.show(frame)
            self.following.show(frame)
            self._say("")
        except EmreelError as error:
            self._say(str(error))

    def _tell(self, frame: int) -> None:
        shares = self.charts.fractions.shares_at(frame)
        self.editor.show_shares(shares[:-1])
        unknown = "not computed" if np.isnan(shares[-1]) else f"unknown {100 * shares[-1]:.1f} %"
        self.clock.text = (
            f"<b>{self._pictures.clock.text(frame)}</b> of {self._result.layout.shape_tyx[0]} frames · {unknown}"
        )

    # --------------------------------------------------------------------------------------------- looking

    def _look(self, event: RangesUpdate) -> None:
        if self.panes.look((event.x0, event.x1), (event.y0, event.y1)):
            self._want_frame("", None, None)

    def _lay(self, attr: str, old: object, new: object) -> None:
        self.panes.lay(next(layer for layer in self._layers if layer.name == new))
        self.wheel.visible = new == "orientation"
        self._draw()

    def _recolor(self) -> None:
        """Names or colours were changed."""
        at = [layer.name for layer in self._layers].index(str(self.layer.value))
        self._layers = self._find_layers(self.panes.frames, self.editor.colors)
        self.layer.options = [layer.name for layer in self._layers]
        self.panes.lay(self._layers[at])
        self.layer.value = self._layers[at].name
        self.kymograph.recolor(self._layers[0])
        for number, color in enumerate(self.editor.colors):
            self.charts.fractions.recolor(number, web_color(color))

    def _inspect(self, event: Tap) -> None:
        """What is at a pixel; and its region is followed from now on."""
        if event.x is None or event.y is None:
            return
        height, width = self._result.layout.shape_tyx[1:]
        y, x = int(event.y // self.panes.scale), int(event.x // self.panes.scale)
        if not (0 <= y < height and 0 <= x < width):
            return
        try:
            self.pixel.text = "<br>".join(self._words(y, x))
        except EmreelError as error:
            self._say(str(error))
        self.kymograph.aim(y, x)

    def _words(self, y: int, x: int) -> list[str]:
        pixel, frames = Window(y0=y, y1=y + 1, x0=x, x1=x + 1, step=1), self.panes.frames
        label = int(frames.label(self.frame, pixel)[0, 0])
        special = {NOT_COMPUTED: "not computed", INVALID: "invalid", UNKNOWN: "unknown"}
        words = [f"row {y}, column {x}", special.get(label) or escape(self.editor.names[label - 1])]
        if frames.has("membership") and label not in (NOT_COMPUTED, INVALID):
            values = [frames.membership(self.frame, pixel, k)[0, 0] / 255 for k in range(len(self.editor.names))]
            words.append("membership " + ", ".join(f"{value:.2f}" for value in values))
        if frames.has("region"):
            region = int(frames.region(self.frame, pixel)[0, 0])
            words.append(f"region {region}" if region else "no region")
            self.following.follow(region, self.frame)
        return words

    def _say(self, text: str) -> None:
        self.message.text, self.message.visible = escape(text), bool(text)

    # ---------------------------------------------------------------------------------------------- growing

    def refresh(self) -> None:
        """Take up what was written since; the last frame is followed where that is ticked."""
        if not self.is_growing:
            return
        try:
            result = open_result(self._result.path, chunks=None)
        except ResultError as error:  # being written: try again the next time
            self._say(str(error))
            return
        n_frames = result.layout.shape_tyx[0]
        follows = self.live.active and is_watched(self._result)
        self.live.visible = is_watched(result)
        if (n_frames, result.missing_blocks) == (self._result.layout.shape_tyx[0], self._result.missing_blocks):
            return
        self._result, self._pictures = result, Pictures(result)
        self.panes.frames.renew(result)
        self.charts.update(self._pictures)
        self.slider.end = max(n_frames - 1, 1)
        if follows:
            self.slider.value = newest_frame(result)
        self._draw()

    @property
    def is_growing(self) -> bool:
        """Whether something may still be written."""
        return is_watched(self._result) or not self._result.is_complete

    # --------------------------------------------------------------------------------------------- the parts

    def _find_layers(self, frames: Frames, colors: tuple[Color, ...]) -> tuple[Layer, ...]:
        return find_layers(frames, colors, self._fold)

    def _build_controls(self) -> None:
        last = self._result.layout.shape_tyx[0] - 1
        self.slider = Slider(
            name="frame", title="frame", start=0, end=max(last, 1), value=0, step=1, sizing_mode="stretch_width"
        )
        self.play = Toggle(label="▶ Play", width=90)
        self.speed = Select(title="frames a second", value="10", options=list(SPEEDS), width=90)
        self.clock = Div(text="", width=260)
        self.live = Checkbox(label="follow the newest frame", active=True, visible=is_watched(self._result))
        self.layer = Select(
            name="layer", title="laid over", value="labels", options=[layer.name for layer in self._layers], width=220
        )
        self.opacity = Slider(title="opacity", start=0, end=1, step=0.05, value=OPACITY, width=220)
        self.pixel = Div(text="Click a pixel to see what is there.", width=SIDE_PX - 20, disable_math=True)
        self.message = Div(
            text="", disable_math=True, visible=False, styles={"color": "#a00000"}, sizing_mode="stretch_width"
        )
        self.wheel = wheel_figure(self._fold)

    def _connect(self) -> None:
        self.slider.on_change("value", self._want_frame)
        self.layer.on_change("value", self._lay)
        self.opacity.js_link("value", self.panes.codes, "global_alpha")
        playing = {"toggle": self.play, "slider": self.slider, "speed": self.speed, "source": self.panes.source}
        self.play.js_on_change("active", CustomJS(args=playing, code=read_script("play")))
        for pane in (self.panes.movie, self.panes.overlay):
            pane.on_event(Tap, self._inspect)
        self.panes.movie.on_event(RangesUpdate, self._look)
        self.panes.overlay.on_event(RangesUpdate, self._look)

    @property
    def keys(self) -> CustomJS:
        """To be run once the page is there."""
        heard = {"slider": self.slider, "toggle": self.play, "opacity": self.opacity, "layer": self.layer}
        return CustomJS(args=heard, code=read_script("keys"))

    def _lay_out(self) -> Any:
        side = column(self.layer, self.opacity, self.editor.layout, self.wheel, self.pixel, width=SIDE_PX)
        panes = row(self.panes.movie, self.panes.overlay, sizing_mode="stretch_width", spacing=8)
        tabs = [TabPanel(child=self.kymograph.layout, title="kymograph")]
        if self.charts.fronts is not None:
            tabs.insert(0, TabPanel(child=self.charts.fronts, title="fronts"))
        if self.regions.is_there:
            tabs.insert(
                0,
                TabPanel(
                    child=column(self.regions.layout, self.charts.area, sizing_mode="stretch_width"), title="regions"
                ),
            )
        charts = column(self.charts.fractions.plot, self.charts.quality, sizing_mode="stretch_width")
        return column(
            Div(text=headline(self._pictures), disable_math=True, sizing_mode="stretch_width"),
            row(self.slider, self.play, self.speed, self.live, sizing_mode="stretch_width", spacing=12),
            self.clock,
            self.message,
            row(panes, side, sizing_mode="stretch_width", spacing=12),
            row(charts, Tabs(tabs=tabs, sizing_mode="stretch_width"), sizing_mode="stretch_width", spacing=12),
            Div(text=SERVED_KEYS, sizing_mode="stretch_width", styles={"color": "#555555"}),
            sizing_mode="stretch_width",
            margin=12,
        )


def is_watched(result: Result) -> bool:
    """Whether `emreel watch` is at it, as far as the result tells."""
    return bool(result.layout.grows and not result.facts.get("stream", {}).get("finished"))


def newest_frame(result: Result) -> int:
    """The last frame that has labels; 0 where none has."""
    missing = set(result.missing_blocks)
    done = (index for index in reversed(range(result.layout.n_blocks)) if index not in missing)
    return result.layout.block(next(done, 0)).frames[1] - 1


def headline(pictures: Pictures) -> str:
    """What is shown: name, size, calibration, number of phases."""
    height, width = pictures.shape_yx
    size = pictures.result.pixel_size_nm
    parts = [
        f"{width} × {height} px",
        "pixel size unknown" if size is None else f"{size:.4g} nm a px",
        f"{len(pictures.names)} phases",
    ]
    return f"<span style='font-size:150%'>{escape(pictures.result.path.name)}</span> &nbsp; {' · '.join(parts)}"
