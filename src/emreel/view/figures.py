"""Figures of single frames, and the parts that every figure is made of.

Sizes are inches on paper, so that text has one size whatever the frame's; the figure grows to hold its legend.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

from emreel.result import INVALID, NOT_COMPUTED, UNKNOWN, Result
from emreel.view.marks import ScaleBar, scale_bar
from emreel.view.overlay import INVALID_COLORS, OPACITY, UNKNOWN_COLORS, Bytes, Color, overlay_rgb
from emreel.view.pictures import BLANK_GRAY, Pictures

#: Dots an inch of pictures on disk.
DPI = 200
FONT_PT = 8.0
MARGIN_IN = 0.1
#: Longest side of a single picture; frames narrower than `SLENDER` get their legend at the side.
_PICTURE_IN = 5.0
SLENDER = 0.7
_TITLE_IN = 0.18
_STRIPE_IN = 0.1


def draw_overlay(result: Result, frame: int = 0, *, opacity: float = OPACITY) -> Figure:
    """One frame, tinted by its classes, with a legend, a scale bar and a clock.

    Parameters
    ----------
    frame : its number; negative ones count from the end.
    opacity : share of the colour, 0 to 1; see `emreel.view.overlay_rgb`.

    Raises
    ------
    ViewError : no such frame, or an opacity outside 0 to 1.
    """
    pictures = Pictures(result)
    frame = pictures.check_frame(frame)
    gray, label = pictures.pair(frame)
    width, height = fit_inches(pictures.shape_yx, (_PICTURE_IN, _PICTURE_IN))
    figure = new_figure()
    at_side = width < SLENDER * height
    handles = legend_handles(pictures, np.unique(label))
    legend = add_legend(figure, handles, width_in=0.0 if at_side else max(width, 2.0))
    legend_width, legend_height = inches_of(figure, legend)
    text = figure.text(0, 0, pictures.clock.text(frame), fontsize=FONT_PT, va="top")
    content = max(width, inches_of(figure, text)[0]) if at_side else max(width, legend_width)
    total_width = content + 2 * MARGIN_IN + (legend_width + MARGIN_IN if at_side else 0)
    total_height = _TITLE_IN + 2 * MARGIN_IN + (max(height, legend_height) if at_side else height + legend_height)
    figure.set_size_inches(total_width, total_height)
    left = MARGIN_IN if at_side else (total_width - width) / 2
    place(figure, text, left, MARGIN_IN)
    axes = add_axes(figure, left, MARGIN_IN + _TITLE_IN, width, height)
    rgb = overlay_rgb(gray, label, pictures.colors, opacity, stripe_px=stripe_px(gray, width))
    show_picture(axes, rgb, pictures.shape_yx)
    add_scale_bar(axes, scale_bar(pictures.shape_yx[1], result.pixel_size_nm), width)
    if at_side:
        place_legend(figure, legend, MARGIN_IN + content + MARGIN_IN, MARGIN_IN + _TITLE_IN)
    else:
        place_legend(figure, legend, (total_width - legend_width) / 2, MARGIN_IN + _TITLE_IN + height + 0.05)
    return figure


# ------------------------------------------------------------------------------------------- the parts


class OwnFigure(Figure):
    """A figure that belongs to nobody (no window, no pyplot), and that a notebook shows as a picture."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure() -> OwnFigure:
    """A white figure that belongs to nobody."""
    figure = OwnFigure(figsize=(4, 4), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def fit_inches(shape_yx: tuple[int, int], most_wh: tuple[float, float]) -> tuple[float, float]:
    """Width and height of the largest picture of that shape within a box, inches."""
    scale = min(most_wh[0] / shape_yx[1], most_wh[1] / shape_yx[0])
    return shape_yx[1] * scale, shape_yx[0] * scale


def stripe_px(picture: Bytes, width_in: float) -> int:
    """Stripes of one width on paper, in pixels of the picture."""
    return max(4, round(_STRIPE_IN * int(picture.shape[1]) / width_in))


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the upper left corner."""
    total_width, total_height = figure.get_size_inches()
    return figure.add_axes(
        (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    )


def show_picture(axes: Axes, picture: Bytes, shape_yx: tuple[int, int]) -> None:
    """Show grey (y, x) or RGB (y, x, 3) of any size; the axes count the recorded frame's pixels."""
    height, width = shape_yx
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto")
    axes.set_axis_off()


def add_scale_bar(axes: Axes, bar: ScaleBar, width_in: float) -> None:
    """A bar in the lower left corner, white on a dark ground; the axes count the recorded frame's pixels."""
    low, high = axes.get_xlim()
    px_per_inch = (high - low) / width_in
    artist = AnchoredSizeBar(
        axes.transData,
        bar.length_px,
        bar.text,
        "lower left",
        pad=0.3,
        borderpad=0.4,
        sep=2,
        frameon=True,
        color="white",
        label_top=True,
        size_vertical=0.03 * px_per_inch,
        fill_bar=True,
        fontproperties=FontProperties(size=FONT_PT - 1),
    )
    artist.patch.set(facecolor="black", edgecolor="none", alpha=0.55)
    axes.add_artist(artist)


def legend_handles(pictures: Pictures, present: Iterable[int]) -> list[Patch]:
    """A patch for every class, and for unknown, invalid and not computed where they occur."""
    handles = [
        Patch(facecolor=web_color(color), edgecolor="black", linewidth=0.4, label=name)
        for name, color in zip(pictures.names, pictures.colors, strict=True)
    ]
    there = {int(value) for value in present}
    for value in (UNKNOWN, INVALID):
        if value in there:
            handles.append(special_patch(value))
    if NOT_COMPUTED in there:
        blank = web_color((BLANK_GRAY,) * 3)
        handles.append(Patch(facecolor=blank, edgecolor="black", linewidth=0.4, label="not computed"))
    return handles


def special_patch(value: int) -> Patch:
    """How unknown or invalid looks in a legend."""
    first, second = UNKNOWN_COLORS if value == UNKNOWN else INVALID_COLORS
    hatch, name = ("////", "unknown") if value == UNKNOWN else ("\\\\\\\\", "invalid")
    return Patch(facecolor=web_color(first), edgecolor=web_color(second), hatch=hatch, linewidth=0, label=name)


def add_legend(figure: Figure, handles: Sequence[Patch], width_in: float) -> Legend:
    """A legend in as many columns as the width takes, at least one."""
    for columns in range(min(len(handles), 8), 0, -1):
        legend = figure.legend(
            handles=handles,
            ncols=columns,
            loc="upper left",
            frameon=False,
            fontsize=FONT_PT,
            borderpad=0.2,
            borderaxespad=0,
            handlelength=1.3,
            handleheight=0.9,
            columnspacing=1.2,
            labelspacing=0.4,
        )
        if columns == 1 or inches_of(figure, legend)[0] <= width_in:
            break
        legend.remove()
    return legend


def place_legend(figure: Figure, legend: Legend, left: float, top: float) -> None:
    """Put a legend's upper left corner at a place in inches from the figure's."""
    width, height = figure.get_size_inches()
    legend.set_bbox_to_anchor((left / width, 1 - top / height), transform=figure.transFigure)


def place(figure: Figure, artist: Artist, left: float, top: float) -> None:
    """Put a text at a place in inches from the figure's upper left corner."""
    width, height = figure.get_size_inches()
    artist.set(x=left / width, y=1 - top / height)


def inches_of(figure: Figure, artist: Artist) -> tuple[float, float]:
    """Width and height of something drawn, inches."""
    extent = artist.get_window_extent()
    return extent.width / figure.dpi, extent.height / figure.dpi


def text_inches(figure: Figure, text: str) -> float:
    """Width of a text in the figures' font, inches."""
    artist = figure.text(0, 0, text, fontsize=FONT_PT)
    width = inches_of(figure, artist)[0]
    artist.remove()
    return width


def web_color(color: Color) -> str:
    """RGB, 0 to 255, as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)
