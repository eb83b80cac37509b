"""Figures of what was tracked: fronts against time, regions and where they come from, lamellae.

Axes carry nm and s where the movie is calibrated, px and frames where it is not. Figures belong to nobody (see
`emreel.view`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emreel.result import Result
from emreel.result.files import write_file
from emreel.view.errors import ViewError
from emreel.view.figures import FONT_PT, new_figure
from emreel.view.grains import grain_colors
from emreel.view.orientation import draw_orientation
from emreel.view.overview import frame_edges
from emreel.view.pictures import Pictures

#: Colours that are told apart in print and by colour-blind eyes (M. Okabe, K. Ito).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_PANEL_IN = (3.2, 2.3)
#: A band reaches so many standard errors to each side.
BAND = 1.96
#: Lineages of more regions than this are not drawn.
MOST_REGIONS = 400


def draw_fronts(fronts: pd.DataFrame, events: pd.DataFrame | None = None, field: xr.DataArray | None = None) -> Figure:
    """Depth of each front with its 95 % band and its events, its roughness, and a kymograph where one is given.

    Parameters
    ----------
    fronts : table of `emreel.track.fronts.track_fronts`; its means are drawn.
    events : the result's table ``events``. field : of `emreel.track.phase_field.phase_field`, along the fronts' axis.

    Raises
    ------
    ViewError : no means in the table.
    """
    means = fronts[fronts["kind"] == "mean"]
    if means.empty:
        raise ViewError("got no front to draw: there is no frame in which both sides meet.")
    figure = new_figure()
    n = 2 if field is None else 3
    figure.set_size_inches(n * _PANEL_IN[0], _PANEL_IN[1])
    panels = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    time, time_label = _time_of(means)
    depth, unit = ("depth_nm", "nm") if means["depth_nm"].notna().any() else ("depth_px", "px")
    per_px = float((means["depth_nm"] / means["depth_px"]).median()) if unit == "nm" else 1.0
    for (name, rows), color in zip(means.groupby("front", sort=False), _cycle(means["front"].nunique()), strict=True):
        x, y = rows[time].to_numpy(np.float64), rows[depth].to_numpy(np.float64)
        reach = BAND * rows["position_sd_px"].to_numpy(np.float64) * abs(per_px)
        panels[-2].fill_between(x, y - reach, y + reach, color=color, alpha=0.3, linewidth=0)
        panels[-2].plot(x, y, color=color, linewidth=1, label=str(name))
        panels[-1].plot(x, rows["roughness_px"] * abs(per_px), color=color, linewidth=1, label=str(name))
    panels[-1].set_ylim(bottom=0)
    _label(panels[-2], time_label, f"depth ({unit})")
    _label(panels[-1], time_label, f"roughness ({unit})")
    panels[-2].legend(fontsize=FONT_PT - 1, frameon=False, title="labels", title_fontsize=FONT_PT - 1)
    if events is not None:
        told = events[events["event"].str.startswith("front_")]
        _mark_events(panels[-2], told, time)
    if field is not None:
        draw_kymograph(panels[0], field)
    figure.tight_layout(pad=0.6)
    return figure


def draw_kymograph(axes: Axes, field: xr.DataArray) -> None:
    """A phase field, dims (position, time), dark where there is none of the phase; positions run downwards."""
    position, time = field["position"].to_numpy(), field["time"].to_numpy().astype(np.float64)
    edges = frame_edges(time), frame_edges(position)
    axes.pcolormesh(*edges, field.transpose("position", "time").to_numpy(), cmap="gray", vmin=0, vmax=1)
    axes.invert_yaxis()
    units = field["time"].attrs.get("units", "frame")
    _label(axes, "frame" if units == "frame" else f"time ({units})", f"position ({field['position'].units})")


def draw_regions(regions: pd.DataFrame, links: pd.DataFrame | None = None) -> Figure:
    """Number and mean size of the regions through time, their size distribution at the beginning, the middle and the
    end, and their lifelines with splits and merges.

    Parameters
    ----------
    regions, links : the tables ``regions`` and ``lineage`` of `emreel.track.regions.track_regions`.

    Raises
    ------
    ViewError : no regions.
    """
    if regions.empty:
        raise ViewError("got no regions to draw. Lower min_area_px2.")
    figure = new_figure()
    figure.set_size_inches(3 * _PANEL_IN[0], _PANEL_IN[1])
    through, sizes, lives = (figure.add_subplot(1, 3, i + 1) for i in range(3))
    _draw_sizes_through_time(through, regions)
    _draw_size_distributions(sizes, regions)
    draw_lineage(lives, regions, links)
    figure.tight_layout(pad=0.6)
    return figure


def draw_lineage(axes: Axes, regions: pd.DataFrame, links: pd.DataFrame | None = None) -> None:
    """A line for every region from its first frame to its last, thick as it is large; arrows where one becomes another.

    Regions beyond `MOST_REGIONS` are left out, the shortest lives first.
    """
    time, time_label = _time_of(regions)
    lives = regions.groupby("region").agg(
        first=(time, "min"), last=(time, "max"), area=("area_px2", "mean"), n=("frame", "size")
    )
    lives = lives.sort_values("n", ascending=False, kind="stable").head(MOST_REGIONS).sort_values(["first", "last"])
    rows = {int(region): row for row, region in enumerate(lives.index)}
    widths = 0.6 + 2.4 * np.sqrt(lives["area"] / lives["area"].max())
    colors = grain_colors(len(lives))
    for (region, life), width in zip(lives.iterrows(), widths, strict=True):
        color = tuple(part / 255 for part in colors[rows[int(str(region))]])
        row = rows[int(str(region))]
        axes.plot([life["first"], life["last"]], [row, row], color=color, linewidth=width, solid_capstyle="butt")
    for frame, source, target, kind in (
        () if links is None else zip(*(links[c].tolist() for c in ("frame", "source", "target", "kind")), strict=True)
    ):
        if kind in ("split", "merge") and source in rows and target in rows:
            at = regions.loc[regions["frame"] == frame, time].iloc[0]
            style = {"arrowstyle": "-|>", "lw": 0.6, "shrinkA": 0, "shrinkB": 0, "color": "black"}
            axes.annotate("", (at, rows[target]), (at, rows[source]), arrowprops=style)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _label(axes, time_label, "regions, by first frame")


def draw_twins(twins: pd.DataFrame) -> Figure:
    """Width of each lamella in planes and nm, its share of the particle, and the way of the axis where there is one.

    Raises
    ------
    ViewError : neither a lamella nor an axis in the table.
    """
    lamellae, axis = twins[twins["kind"] == "lamella"], twins[twins["kind"] == "axis"]
    n = 2 * (not lamellae.empty) + (not axis.empty)
    if n == 0:
        raise ViewError("got neither a lamella nor an axis to draw; the table has boundaries alone.")
    figure = new_figure()
    figure.set_size_inches(n * _PANEL_IN[0], _PANEL_IN[1])
    panels = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    time, time_label = _time_of(twins)
    for (name, rows), color in zip(lamellae.groupby("twin"), _cycle(lamellae["twin"].nunique()), strict=True):
        panels[0].plot(rows[time], rows["width_planes"], color=color, linewidth=1, marker="o", ms=2, label=str(name))
        panels[1].plot(rows[time], rows["fraction"], color=color, linewidth=1, label=str(name))
    if len(lamellae):
        for panel, name in zip(panels, ("lamella (planes)", "twin fraction"), strict=False):
            panel.set_ylim(bottom=0)
            _label(panel, time_label, name)
        panels[0].grid(axis="y", linewidth=0.3)
    if len(axis):
        dots = panels[-1].scatter(axis["point_x_px"], axis["point_y_px"], c=axis[time], s=8, cmap="viridis")
        panels[-1].set_aspect("equal", "datalim")
        panels[-1].invert_yaxis()
        _label(panels[-1], "x (px)", "y of the axis (px)")
        bar = figure.colorbar(dots, ax=panels[-1])
        bar.set_label(time_label, fontsize=FONT_PT)
        bar.ax.tick_params(labelsize=FONT_PT - 1)
    figure.tight_layout(pad=0.6)
    return figure


def draw_region_orientations(result: Result, frame: int, *, fold: int = 2) -> Figure:
    """One frame, every region in the colour of its lattice's in-plane angle, with the colour wheel and the boundaries.

    result : with regions and their ``orientation_deg``, as `emreel.track.regions.track_regions` leaves it, opened
        after that. fold : of the lattice's symmetry.

    Raises
    ------
    ViewError : no region of the frame has an orientation. ResultError : the result has no regions.
    """
    table = result.table("regions")
    rows = table[(table["frame"] == frame) & table["orientation_deg"].notna()]
    if rows.empty:
        raise ViewError(f"no region of frame {frame} has an orientation. Track regions with --orientation.")
    pictures = Pictures(result)
    step = pictures.factor
    region = np.asarray(result.region.isel(time=pictures.check_frame(frame)).values)[::step, ::step]
    angle_of = np.full(int(max(region.max(), rows["region"].max())) + 1, np.nan)
    angle_of[rows["region"].to_numpy()] = rows["orientation_deg"].to_numpy()
    gray = pictures.gray(frame)
    pixel = None if result.pixel_size_nm is None else result.pixel_size_nm * step
    return draw_orientation(gray, angle_of[region], fold=fold, labels=region, pixel_size_nm=pixel)


def draw_against(table: pd.DataFrame, x: str, y: str, *, by: str | None = None) -> Figure:
    """One column of a table against another, such as depth against temperature; a line for every value of ``by``.

    Raises
    ------
    ViewError : a column that is not there.
    """
    for name in (x, y, *([] if by is None else [by])):
        if name not in table:
            raise ViewError(f"the table has no column {name!r}. It has {', '.join(map(str, table.columns))}.")
    figure = new_figure()
    figure.set_size_inches(*_PANEL_IN)
    axes = figure.add_subplot()
    groups: Sequence[tuple[Any, pd.DataFrame]] = [("", table)] if by is None else list(table.groupby(by, sort=False))
    for (name, rows), color in zip(groups, _cycle(len(groups)), strict=True):
        axes.plot(rows[x], rows[y], color=color, linewidth=1, marker="o", ms=2, label=str(name))
    if by is not None:
        axes.legend(fontsize=FONT_PT - 1, frameon=False, title=by, title_fontsize=FONT_PT - 1)
    _label(axes, x.replace("_", " "), y.replace("_", " "))
    figure.tight_layout(pad=0.6)
    return figure


def save_figure(result: Result, name: str, figure: Figure) -> Path:
    """Write RESULT/NAME.png in one step. Raises StorageError: the disk refuses."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    path = result.path / f"{name}.png"
    write_file(path, buffer.getvalue())
    return path


def _draw_sizes_through_time(axes: Axes, regions: pd.DataFrame) -> None:
    time, time_label = _time_of(regions)
    area, unit = _area_of(regions)
    sized = regions.assign(diameter=np.sqrt(4 * regions[area] / np.pi))
    counts = axes.twinx()
    for (label, rows), color in zip(sized.groupby("label"), _cycle(sized["label"].nunique()), strict=True):
        grouped = rows.groupby(time)
        axes.plot(grouped["diameter"].mean(), color=color, linewidth=1, label=f"phase {label}")
        counts.plot(grouped["region"].size(), color=color, linewidth=0.8, linestyle=":")
    counts.set_ylim(bottom=0)
    axes.set_ylim(bottom=0)
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    counts.tick_params(labelsize=FONT_PT - 1)
    counts.set_ylabel("number (dotted)", fontsize=FONT_PT)
    axes.legend(fontsize=FONT_PT - 1, frameon=False)
    _label(axes, time_label, f"mean diameter ({unit})")
    axes.spines["right"].set_visible(True)


def _draw_size_distributions(axes: Axes, regions: pd.DataFrame) -> None:
    area, unit = _area_of(regions)
    frames = np.unique(regions["frame"])
    shown = np.unique(frames[[0, len(frames) // 2, -1]])
    size = np.sqrt(4 * regions[area] / np.pi)
    edges = np.linspace(0, float(size.max()) * 1.001, 13)
    for frame, color in zip(shown.tolist(), _cycle(len(shown)), strict=True):
        values = size[regions["frame"] == frame].to_numpy(np.float64)
        axes.hist(values, edges.tolist(), histtype="step", color=color, label=f"frame {frame}: {len(values)}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=FONT_PT - 1, frameon=False)
    _label(axes, f"diameter ({unit})", "regions")


def _mark_events(axes: Axes, events: pd.DataFrame, time: str) -> None:
    low, high = axes.get_ylim()
    for row, (kind, at) in enumerate(zip(events["event"].tolist(), events[time].tolist(), strict=True)):
        axes.axvline(at, color="0.4", linewidth=0.5, linestyle=(0, (3, 2)))
        text = kind.removeprefix("front_")
        axes.text(at, high - (0.02 + 0.07 * (row % 4)) * (high - low), f" {text}", fontsize=FONT_PT - 2, va="top")
    axes.set_ylim(low, high)


def _time_of(table: pd.DataFrame) -> tuple[str, str]:
    return ("time_s", "time (s)") if table["time_s"].notna().any() else ("frame", "frame")


def _area_of(table: pd.DataFrame) -> tuple[str, str]:
    return ("area_nm2", "nm") if table["area_nm2"].notna().any() else ("area_px2", "px")


def _cycle(n: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(n)]


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=FONT_PT)
    axes.set_ylabel(y, fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT - 1, length=2)
    axes.spines[["top", "right"]].set_visible(False)
