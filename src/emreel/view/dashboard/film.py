"""The page without a server: one HTML file that holds the frames themselves, and everything to look at them.

Frames are JPEG, labels PNG, both at most `FILM_PX` a side; of long movies every n-th frame is kept.
"""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, Div, Select, Slider, Toggle
from bokeh.resources import INLINE
from PIL import Image

from emreel.progress import Progress, StageStarted, StepsDone
from emreel.result import Result
from emreel.view.dashboard.charts import Charts
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.layers import Layer, find_layers, fold_of
from emreel.view.dashboard.page import KEYS, SIDE_PX, SPEEDS, headline
from emreel.view.dashboard.panes import Panes
from emreel.view.dashboard.scripts import read_script
from emreel.view.dashboard.window import Window
from emreel.view.figures import web_color
from emreel.view.files import replacing
from emreel.view.overlay import Bytes
from emreel.view.pictures import Pictures

FILM_PX, MOST_FRAMES = 512, 300
_JPEG_QUALITY = 85


def write_html(result: Result, path: Path, *, opacity: float, overwrite: bool, progress: Progress) -> None:
    """Write the page as one file that needs no server and asks for nothing; see `emreel.view.export_result`."""
    pictures = Pictures(result)
    pictures.warn_unfinished()
    document = Document(title=f"emreel: {result.path.name}")
    _fill(document, pictures, opacity, progress)
    html = file_html(document, INLINE, document.title)
    with replacing(path, overwrite=overwrite) as partial:
        partial.write_text(html, encoding="utf-8")


def _fill(document: Document, pictures: Pictures, opacity: float, progress: Progress) -> None:
    frames = Frames(pictures.result)
    labels = find_layers(frames, pictures.colors, fold_of(pictures.result))[0]
    every = -(-pictures.n_frames // MOST_FRAMES)
    kept = range(0, pictures.n_frames, every)
    panes = Panes(frames, labels, opacity, most_px=FILM_PX)
    slider = Slider(
        name="frame", title="frame", start=0, end=max(kept[-1], every), value=0, step=every, sizing_mode="stretch_width"
    )
    charts = Charts(pictures, slider)
    film = ColumnDataSource(_expose(frames, labels, panes.window, pictures, kept, progress))
    clock = Div(text=film.data["clock"][0], width=260)
    play, speed = Toggle(label="▶ Play", width=90), Select(title="frames a second", value="10", options=list(SPEEDS))
    shade = Slider(title="opacity", start=0, end=1, step=0.05, value=opacity, width=SIDE_PX - 30)
    shade.js_link("value", panes.codes, "global_alpha")
    shown = {"slider": slider, "source": panes.source, "film": film, "clock": clock}
    slider.js_on_change("value", CustomJS(args=shown, code=read_script("film")))
    playing = {"toggle": play, "slider": slider, "speed": speed, "source": panes.source}
    play.js_on_change("active", CustomJS(args=playing, code=read_script("play")))
    heard = {"slider": slider, "toggle": play, "opacity": shade, "layer": None}
    document.js_on_event(DocumentReady, CustomJS(args=heard, code=read_script("keys")))
    plots = [charts.fractions.plot, charts.quality, *([] if charts.fronts is None else [charts.fronts])]
    document.add_root(
        column(
            Div(text=headline(pictures), disable_math=True, sizing_mode="stretch_width"),
            row(slider, play, speed, sizing_mode="stretch_width", spacing=12),
            clock,
            row(
                row(panes.movie, panes.overlay, sizing_mode="stretch_width", spacing=8),
                column(shade, _legend(pictures), width=SIDE_PX),
                sizing_mode="stretch_width",
                spacing=12,
            ),
            *plots,
            Div(text=KEYS, sizing_mode="stretch_width", styles={"color": "#555555"}),
            sizing_mode="stretch_width",
            margin=12,
        )
    )


def _expose(
    frames: Frames, labels: Layer, window: Window, pictures: Pictures, kept: range, progress: Progress
) -> dict[str, list[str]]:
    """Columns gray, code and clock, one row a kept frame; pictures in base64."""
    progress(StageStarted("export", len(kept)))
    columns: dict[str, list[str]] = {"gray": [], "code": [], "clock": []}
    for number, frame in enumerate(kept, start=1):
        columns["gray"].append(_encode(frames.gray(frame, window)[0], "JPEG", quality=_JPEG_QUALITY))
        columns["code"].append(_encode(labels.codes(frame, window), "PNG", optimize=True))
        columns["clock"].append(f"<b>{pictures.clock.text(frame)}</b> of {pictures.n_frames} frames")
        progress(StepsDone("export", number, len(kept)))
    return columns


def _encode(picture: Bytes, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _legend(pictures: Pictures) -> Div:
    rows = "".join(
        f"<div><span style='display:inline-block;width:1em;height:1em;background:{web_color(color)}'></span> "
        f"{escape(name)}</div>"
        for name, color in zip(pictures.names, pictures.colors, strict=True)
    )
    return Div(text=rows, disable_math=True, styles={"line-height": "1.8"}, width=SIDE_PX - 20)
