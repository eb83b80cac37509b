"""Figures of tracks show the numbers that they were given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from emreel.result import Result
from emreel.track.fronts import track_fronts
from emreel.track.line import Line
from emreel.track.phase_field import phase_field
from emreel.track.regions import track_regions
from emreel.view.errors import ViewError
from emreel.view.tracks import draw_against, draw_fronts, draw_regions, draw_twins, save_figure


def moving_layer() -> np.ndarray:
    movie = np.ones((12, 60, 40), np.uint8)
    for t in range(12):
        movie[t, 20 + 2 * t :] = 2
    return movie


def lines_of(figure: Figure, panel: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in figure.axes[panel].get_lines()]


def test_fronts_are_drawn_in_nm_and_s(make_result: Callable[..., Result]) -> None:
    result = make_result(moving_layer(), times_s=0.5 * np.arange(12), pixel_size_nm=0.2)
    table = track_fronts(result, between=((1,), (2,)))
    field = phase_field(result, Line(start_yx=(0, 20), end_yx=(59, 20)), classes=1)
    figure = draw_fronts(table, result.table("events"), field)
    assert [axes.get_xlabel() for axes in figure.axes] == ["time (s)"] * 3
    assert figure.axes[1].get_ylabel() == "depth (nm)"
    x, y = lines_of(figure, 1)[0]
    assert x.tolist() == (0.5 * np.arange(12)).tolist()
    assert y == pytest.approx(0.4 * np.arange(12))
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]  # downwards, as in the picture
    assert save_figure(result, "fronts", figure).read_bytes()[1:4] == b"PNG"


def test_events_are_marked(make_result: Callable[..., Result]) -> None:
    movie = moving_layer()
    movie[:3] = 1
    result = make_result(movie)
    table = track_fronts(result, between=((1,), (2,)))
    figure = draw_fronts(table, result.table("events"))
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["appears"]
    assert figure.axes[0].get_xlabel() == "frame" and figure.axes[0].get_ylabel() == "depth (px)"


def test_regions_and_where_they_come_from(make_result: Callable[..., Result]) -> None:
    movie = np.ones((6, 50, 60), np.uint8)
    movie[:, 10:20, 5:50] = 2
    movie[3:, 10:20, 25:28] = 1
    result = make_result(movie)
    table = track_regions(result)
    figure = draw_regions(table, result.table("lineage"))
    lives = [x.tolist() for x, _ in lines_of(figure, 2)]
    assert sorted(lives) == [[0, 5], [0, 5], [3, 5]]
    assert len(figure.axes[2].texts) == 1  # the arrow of the split
    assert "frame 0: 2" in [text.get_text() for text in figure.axes[1].get_legend().get_texts()]


def test_lamellae_and_axes() -> None:
    names = ["frame", "time_s", "kind", "twin", "width_planes", "fraction", "point_x_px", "point_y_px"]
    rows = [(t, np.nan, "lamella", "3|2", 6.0 - t, 0.1 * (6 - t), 0.0, 0.0) for t in range(6)]
    rows += [(t, np.nan, "axis", "axis", np.nan, np.nan, 10.0 + t, 20.0) for t in range(6)]
    figure = draw_twins(pd.DataFrame(rows, columns=names))
    assert lines_of(figure, 0)[0][1].tolist() == [6, 5, 4, 3, 2, 1]
    assert figure.axes[2].get_ylabel() == "y of the axis (px)"
    with pytest.raises(ViewError, match="neither"):
        draw_twins(pd.DataFrame(rows[:1], columns=names).assign(kind="boundary"))


def test_any_column_against_any_other() -> None:
    table = pd.DataFrame({"front": ["a", "a", "b", "b"], "temperature_C": [20, 30, 20, 30], "depth_nm": [0, 1, 0, 2]})
    figure = draw_against(table, "temperature_C", "depth_nm", by="front")
    assert [y.tolist() for _, y in lines_of(figure, 0)] == [[0, 1], [0, 2]]
    assert figure.axes[0].get_xlabel() == "temperature C"
    with pytest.raises(ViewError, match="no column 'dose'"):
        draw_against(table, "dose", "depth_nm")


def test_nothing_to_draw_is_said() -> None:
    table = track_fronts(moving_layer(), between=((1,), (2,)))
    with pytest.raises(ViewError, match="no front"):
        draw_fronts(table.iloc[:0])
    with pytest.raises(ViewError, match="no regions"):
        draw_regions(pd.DataFrame({"region": []}))


def test_a_kymograph_needs_no_calibration() -> None:
    field = xr.DataArray(
        np.zeros((5, 4)),
        dims=("position", "time"),
        coords={"position": ("position", np.arange(5.0), {"units": "px"}), "time": np.arange(4)},
    )
    figure = draw_fronts(track_fronts(moving_layer(), between=((1,), (2,))), field=field)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("frame", "position (px)")
