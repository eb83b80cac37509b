"""The overview: what a run found, on one page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emreel.result import UNKNOWN, Result, class_fraction_table, read_ledger
from emreel.result.files import write_file
from emreel.view import figures
from emreel.view.marks import scale_bar
from emreel.view.overlay import Bytes, overlay_rgb
from emreel.view.pictures import Pictures

OVERVIEW = "overview.png"
PAGE_IN = 7.2
N_FRAMES, MOST_FRAMES = 5, 9
#: Frames wider than this (width over height) are shown in rows instead of columns.
WIDE = 3.0
_ROW_IN, _GAP_IN = 2.8, 0.06
_HEAD_IN, _SIDE_IN, _CLOCK_IN = 0.16, 0.2, 0.18
_PLOT_IN, _PLOT_LEFT_IN, _PLOT_BELOW_IN = 1.5, 0.55, 0.45


def draw_overview(result: Result) -> Figure:
    """A contact sheet: frames spread over the movie, their overlays, and each class's fraction through time.

    Fractions are shares of a frame's valid pixels; frames that are not computed, or hold no data, leave gaps.
    """
    pictures = Pictures(result)
    figure = figures.new_figure()
    clocks = {pictures.clock.text(frame) for frame in range(pictures.n_frames)}
    sheet = _plan_sheet(pictures, figures.text_inches(figure, max(clocks, key=len)) + _GAP_IN)
    pairs = [pictures.pair(frame) for frame in sheet.frames]
    fractions = class_fractions(result)
    legend = figures.add_legend(figure, figures.legend_handles(pictures, pictures.present()), PAGE_IN)
    legend_width, legend_height = figures.inches_of(figure, legend)
    page = max(PAGE_IN, legend_width + 2 * figures.MARGIN_IN)
    legend_top = figures.MARGIN_IN + _HEAD_IN + sheet.height + 0.05
    plot_top = legend_top + legend_height + 0.12
    figure.set_size_inches(page, plot_top + _PLOT_IN + _PLOT_BELOW_IN)
    title = figure.text(0, 0, _headline(result), fontsize=figures.FONT_PT, va="top", fontweight="bold")
    figures.place(figure, title, figures.MARGIN_IN, figures.MARGIN_IN)
    _draw_sheet(figure, sheet, pictures, pairs)
    figures.place_legend(figure, legend, (page - legend_width) / 2, legend_top)
    width = page - _PLOT_LEFT_IN - 2 * figures.MARGIN_IN
    axes = figures.add_axes(figure, _PLOT_LEFT_IN, plot_top, width, _PLOT_IN)
    draw_fractions(axes, pictures, fractions, sheet.frames)
    return figure


def save_overview(result: Result) -> Path:
    """Write the overview to RESULT/overview.png in one step, replacing an older one. Returns the file.

    Raises
    ------
    emreel.result.StorageError : the disk refuses; what was there is untouched.
    """
    buffer = io.BytesIO()
    draw_overview(result).savefig(buffer, format="png")
    path = Path(result.path) / OVERVIEW
    write_file(path, buffer.getvalue())
    return path


def class_fractions(result: Result) -> npt.NDArray[np.float64]:
    """Share of each frame's valid pixels that a class has; NaN where a frame is not computed or has no valid pixel.

    Returns shape (class + 1, time); the last row is unknown. From the ledger, so an unfinished result has it too.
    """
    n_frames = result.layout.shape_tyx[0]  # the ledger may be ahead of what a growing result shows
    records = [record for record in read_ledger(result.path).done.values() if record.block.frames[1] <= n_frames]
    table = class_fraction_table(
        records,
        result.times_s,
        label_names=result.label_names,
        shape_yx=result.layout.shape_tyx[1:],
        pixel_size_nm=result.pixel_size_nm,
    )
    n_classes = len(result.label_names)
    fractions = np.full((n_classes + 1, n_frames), np.nan)
    rows = np.where(table["label"] == UNKNOWN, n_classes, table["label"] - 1)
    fractions[rows, table["frame"]] = table["fraction"]
    return fractions


def draw_fractions(
    axes: Axes, pictures: Pictures, fractions: npt.NDArray[np.float64], marked: Sequence[int] = ()
) -> None:
    """Stack the classes' fractions through time, each frame as long as it lasts; ``marked`` frames get a line."""
    clock = pictures.clock
    edges = frame_edges(clock.values)
    below = np.zeros(fractions.shape[1])
    looks: list[dict[str, Any]] = [{"facecolor": figures.web_color(color)} for color in pictures.colors]
    unknown = figures.special_patch(UNKNOWN)
    looks.append({"facecolor": unknown.get_facecolor(), "hatch": "////", "edgecolor": unknown.get_edgecolor()})
    for share, look in zip(fractions, looks, strict=True):
        if np.nansum(share) > 0:
            axes.stairs(below + share, edges, baseline=below, fill=True, linewidth=0, **look)
        below = below + share
    for frame in marked if len(marked) > 1 else ():
        axes.axvline(clock.values[frame], color="black", linewidth=0.6, linestyle=(0, (2, 2)))
    if np.isnan(fractions).all():
        axes.text(0.5, 0.5, "no valid frame", ha="center", va="center", fontsize=figures.FONT_PT)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1))
    axes.set_xlabel(clock.axis_label, fontsize=figures.FONT_PT)
    axes.set_ylabel("area fraction", fontsize=figures.FONT_PT)
    axes.tick_params(labelsize=figures.FONT_PT - 1, direction="out", length=3)
    axes.spines[["top", "right"]].set_visible(False)
    if pictures.n_frames == 1:
        axes.set_xticks([clock.values[0]])


def frame_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where frames begin and end on the time axis: half way to their neighbours. Shape (time + 1,)."""
    if values.size == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


# ------------------------------------------------------------------------------------ the contact sheet


@dataclass(frozen=True)
class _Sheet:
    """Where the pictures go: frames in columns (or rows, where frames are wide), recorded and labelled side by side.

    ``pitch`` : from one frame to the next, at least as long as the text of a clock, inches.
    """

    frames: tuple[int, ...]
    in_rows: bool
    picture_wh: tuple[float, float]
    pitch: float

    @property
    def height(self) -> float:
        pictures = len(self.frames) * self.pitch if self.in_rows else 2 * (self.picture_wh[1] + _GAP_IN)
        return _CLOCK_IN + pictures

    def place(self, column: int, row: int, page: float) -> tuple[float, float]:
        """Left and top of the picture of a frame (column) and a kind (row: 0 recorded, 1 labelled), inches."""
        width, height = self.picture_wh
        if self.in_rows:
            across, down = row * (width + _GAP_IN), column * self.pitch
            used = 2 * width + _GAP_IN
        else:
            across, down = column * self.pitch, row * (height + _GAP_IN)
            used = (len(self.frames) - 1) * self.pitch + width
        left = _SIDE_IN + (page - _SIDE_IN - used) / 2
        return left + across, figures.MARGIN_IN + _HEAD_IN + _CLOCK_IN + down


def _plan_sheet(pictures: Pictures, clock_in: float) -> _Sheet:
    room = PAGE_IN - 2 * _SIDE_IN - figures.MARGIN_IN
    aspect = pictures.shape_yx[1] / pictures.shape_yx[0]
    wanted = int(np.clip(room / max(_ROW_IN * aspect + _GAP_IN, clock_in), N_FRAMES, MOST_FRAMES))
    frames = tuple(int(f) for f in np.unique(np.linspace(0, pictures.n_frames - 1, wanted).round()))
    in_rows = aspect > WIDE or len(frames) == 1
    n_across = 2 if in_rows else len(frames)
    most = (room - (n_across - 1) * _GAP_IN) / n_across, _ROW_IN
    width, height = figures.fit_inches(pictures.shape_yx, most)
    return _Sheet(frames, in_rows, (width, height), max((height if in_rows else width) + _GAP_IN, clock_in))


def _draw_sheet(figure: Figure, sheet: _Sheet, pictures: Pictures, pairs: Sequence[tuple[Bytes, Bytes]]) -> None:
    page, (width, height) = figure.get_size_inches()[0], sheet.picture_wh
    bar = scale_bar(pictures.shape_yx[1], pictures.result.pixel_size_nm, share=0.4)
    for column, (frame, (gray, label)) in enumerate(zip(sheet.frames, pairs, strict=True)):
        stripe = figures.stripe_px(gray, width)
        rgb = overlay_rgb(gray, label, pictures.colors, stripe_px=stripe)
        for row, picture in enumerate((gray, rgb)):
            axes = figures.add_axes(figure, *sheet.place(column, row, page), width, height)
            figures.show_picture(axes, picture, pictures.shape_yx)
            if (column, row) == (0, 0):
                figures.add_scale_bar(axes, bar, width)
            heading = _heading(sheet, column, row, pictures.clock.text(frame))
            if heading:
                axes.set_title(heading, fontsize=figures.FONT_PT, pad=2)
            side = _side_text(sheet, column, row, pictures.clock.text(frame))
            if side:
                axes.text(
                    -0.03 / width, 0.5, side, rotation=90, transform=axes.transAxes, ha="right", va="center",
                    fontsize=figures.FONT_PT,
                )  # fmt: skip


_KINDS = ("recorded", "labelled")


def _heading(sheet: _Sheet, column: int, row: int, time: str) -> str:
    if sheet.in_rows:
        return _KINDS[row] if column == 0 else ""
    return time if row == 0 else ""


def _side_text(sheet: _Sheet, column: int, row: int, time: str) -> str:
    if sheet.in_rows:
        return time if row == 0 else ""
    return _KINDS[row] if column == 0 else ""


def _headline(result: Result) -> str:
    n_frames, height, width = result.layout.shape_tyx
    parts = [f"{n_frames} frame{'s' if n_frames > 1 else ''} of {height} × {width} px"]
    if result.pixel_size_nm is not None:
        parts.append(f"{result.pixel_size_nm:.4g} nm/px")
    if not result.is_complete:
        parts.append("not finished")
    return f"{result.path.name}: " + ", ".join(parts)
