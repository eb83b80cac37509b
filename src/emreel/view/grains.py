"""Pictures of grains: their boundaries over the frame, and their areas as a histogram and as boxes.

Figures belong to nobody (see `emreel.view`). Colours only tell neighbours apart; what a grain is, stands in its table
(`emreel.track.grains.measure_grains`).
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import ndimage

from emreel.view.errors import ViewError
from emreel.view.figures import (
    FONT_PT,
    MARGIN_IN,
    add_axes,
    add_scale_bar,
    fit_inches,
    new_figure,
    show_picture,
)
from emreel.view.marks import scale_bar
from emreel.view.overlay import Bytes, Color

#: Share of a grain's colour over the frame.
GRAIN_OPACITY = 0.35
BOUNDARY_COLOR: Color = (255, 255, 255)
NO_GRAIN_COLOR: Color = (0, 0, 0)
#: Width of a boundary on paper, inches.
_BOUNDARY_IN = 0.012
_PICTURE_IN = 5.0
#: Colours go round the circle by the golden ratio: no two of the first many grains are alike.
_GOLDEN = 0.618034
_FIRST_BAR_COLOR: Color = (0, 114, 178)
_MOST_BARS = 30


def draw_grains(
    frame: npt.NDArray[Any], grains: npt.NDArray[np.integer[Any]], *, pixel_size_nm: float | None = None
) -> Figure:
    """A frame with its grains tinted and their boundaries in white; what is no grain is dark.

    Parameters
    ----------
    frame : shape (y, x), counts. grains : shape (y, x), 0 for none, as `emreel.track.grains.GrainFinder` makes it.
    pixel_size_nm : for the scale bar; None gives one in px.

    Raises
    ------
    ViewError : shapes that differ.
    """
    height, width = frame.shape
    wide, high = fit_inches((height, width), (_PICTURE_IN, _PICTURE_IN))
    figure = new_figure()
    figure.set_size_inches(wide + 2 * MARGIN_IN, high + 2 * MARGIN_IN)
    axes = add_axes(figure, MARGIN_IN, MARGIN_IN, wide, high)
    line_px = max(1, round(_BOUNDARY_IN * width / wide))
    show_picture(axes, grains_rgb(frame, grains, line_px=line_px), (height, width))
    add_scale_bar(axes, scale_bar(width, pixel_size_nm), wide)
    return figure


def grains_rgb(frame: npt.NDArray[Any], grains: npt.NDArray[np.integer[Any]], *, line_px: int = 1) -> Bytes:
    """The same as an array, shape (y, x, 3), uint8; boundaries are ``line_px`` px wide."""
    if frame.ndim != 2 or frame.shape != grains.shape:
        raise ViewError(f"got a frame of {frame.shape} px and grains of {grains.shape} px, wanted one size, (y, x).")
    low, high = np.percentile(frame, [0.5, 99.5])
    gray = np.clip((frame - low) * (255.0 / max(high - low, 1e-12)), 0, 255)[..., None]
    colors = np.array([NO_GRAIN_COLOR, *grain_colors(int(grains.max(initial=0)))], np.float64)
    rgb = (1 - GRAIN_OPACITY) * gray + GRAIN_OPACITY * colors[grains]
    rgb[grain_boundaries(grains, line_px)] = BOUNDARY_COLOR
    return np.asarray(np.rint(rgb), np.uint8)


def grain_boundaries(grains: npt.NDArray[np.integer[Any]], line_px: int = 1) -> npt.NDArray[np.bool_]:
    """True on the pixels whose right or lower neighbour belongs to another grain, widened to ``line_px`` px."""
    edge = np.zeros(grains.shape, bool)
    edge[:, :-1] |= grains[:, :-1] != grains[:, 1:]
    edge[:-1] |= grains[:-1] != grains[1:]
    return edge if line_px <= 1 else np.asarray(ndimage.maximum_filter(edge, line_px))


def grain_colors(n: int) -> list[Color]:
    """RGB of the grains 1..n, 0 to 255; neighbours in number are far apart in hue."""
    colors = []
    for i in range(n):
        r, g, b = colorsys.hsv_to_rgb(i * _GOLDEN % 1.0, 0.85 - 0.25 * (i % 3 == 1), 1.0 - 0.2 * (i % 2))
        colors.append((round(255 * r), round(255 * g), round(255 * b)))
    return colors


def draw_grain_sizes(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Areas of the grains of one or more specimens: a histogram of each, and a box plot beside them.

    Boxes reach from quartile to quartile, with the median as a line and the mean as a cross (fig. 7 of Paruchuri et al.
    2025). Areas are in um^2 where every table has them, else in px.

    Parameters
    ----------
    tables : name -> table of `emreel.track.grains.measure_grains`.

    Raises
    ------
    ViewError : no table, or one without grains.
    """
    if not tables or any(table.empty for table in tables.values()):
        raise ViewError(f"got {len(tables)} tables, wanted at least one and a grain in each. Check clean_px.")
    physical = all(table["area_um2"].notna().all() for table in tables.values())
    column, unit = ("area_um2", "µm²") if physical else ("area_px", "px")
    areas = {name: table[column].to_numpy(np.float64) for name, table in tables.items()}
    figure = new_figure()
    figure.set_size_inches(6.5, 2.8)
    left, right = figure.add_axes((0.09, 0.17, 0.5, 0.73)), figure.add_axes((0.69, 0.17, 0.29, 0.73))
    _draw_histogram(left, areas, unit)
    _draw_boxes(right, areas, unit)
    for axes in (left, right):
        axes.tick_params(labelsize=FONT_PT - 1)
    return figure


def _draw_histogram(axes: Axes, areas: Mapping[str, npt.NDArray[np.float64]], unit: str) -> None:
    everything = np.concatenate(list(areas.values()))
    n_bars = int(np.clip(np.ceil(np.sqrt(len(everything)) * 2), 4, _MOST_BARS))
    edges = np.linspace(0, float(everything.max()) * 1.0001, n_bars + 1)
    for (name, values), color in zip(areas.items(), _bar_colors(len(areas)), strict=True):
        shown = f"{name}: {len(values)} grains, mean {values.mean():.3g}, median {np.median(values):.3g} {unit}"
        axes.hist(values, edges.tolist(), histtype="stepfilled", facecolor=(*color, 0.45), edgecolor=color, label=shown)
    axes.set_xlabel(f"grain area ({unit})", fontsize=FONT_PT)
    axes.set_ylabel("grains", fontsize=FONT_PT)
    axes.legend(fontsize=FONT_PT - 2, frameon=False, loc="upper right")


def _draw_boxes(axes: Axes, areas: Mapping[str, npt.NDArray[np.float64]], unit: str) -> None:
    drawn = axes.boxplot(
        list(areas.values()), tick_labels=list(areas), showmeans=True, patch_artist=True, widths=0.5,
        meanprops={"marker": "x", "markeredgecolor": "black", "markersize": 5},
        medianprops={"color": "black"}, flierprops={"markersize": 3},
    )  # fmt: skip
    for box, color in zip(drawn["boxes"], _bar_colors(len(areas)), strict=True):
        box.set(facecolor=(*color, 0.45), edgecolor=color)
    axes.set_ylabel(f"grain area ({unit})", fontsize=FONT_PT)
    axes.set_ylim(bottom=0)


def _bar_colors(n: int) -> list[tuple[float, float, float]]:
    red, green, blue = (value / 255 for value in _FIRST_BAR_COLOR)
    hue = colorsys.rgb_to_hsv(red, green, blue)[0]
    return [(red, green, blue), *(colorsys.hsv_to_rgb((hue + i * _GOLDEN) % 1.0, 0.8, 0.75) for i in range(1, n))]
