"""The page without a browser: what its models hold, frame by frame, after clicks and edits, while a result grows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emreel.result import Result, open_result, write_table
from emreel.result.appearance import write_appearance
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.kymograph import sample_frames
from emreel.view.dashboard.layers import CLEAR
from emreel.view.dashboard.page import Page, newest_frame
from emreel.view.dashboard.traces import Traces
from emreel.view.dashboard.window import Window
from emreel.view.overview import frame_edges

from .conftest import FRONT_AT, N_FRAMES, SIDE, STRIDE, TIMES, front_rows, labels_of, write_everything


def click(page: Page, y_px: float, x_px: float) -> None:
    page._inspect(SimpleNamespace(x=x_px * page.panes.scale, y=y_px * page.panes.scale))  # type: ignore[arg-type]


def shown(page: Page, name: str) -> Any:
    return page.panes.source.data[name][0]


def test_every_frame_is_shown_as_it_is_stored(everything: Result) -> None:
    page = Page(everything)
    for t in (0, 4, 2):
        page.slider.value = t
        assert shown(page, "frame") == t
        np.testing.assert_array_equal(shown(page, "gray"), 40 * t)
        label = labels_of(t)
        np.testing.assert_array_equal(shown(page, "code")[label <= 2], label[label <= 2])
        assert page.clock.text.startswith(f"<b>{1000 * TIMES[t]:g} ms</b>")
    assert (shown(page, "code_x"), shown(page, "code_w")) == (0, SIDE * 0.5)


def test_only_the_last_of_many_moves_is_drawn(everything: Result) -> None:
    waiting: list[Any] = []
    page = Page(everything, later=waiting.append)
    for t in (1, 2, 3, 4):
        page.slider.value = t
    assert len(waiting) == 1 and shown(page, "frame") == 0
    waiting.pop()()
    assert shown(page, "frame") == 4
    page.slider.value = 5
    assert len(waiting) == 1


def test_layers(everything: Result) -> None:
    page = Page(everything)
    assert page.layer.options == [
        "labels", "unknown only", "membership of glass", "membership of crystal", "regions", "orientation", "nothing",
    ]  # fmt: skip
    grid = labels_of(0)[::STRIDE, ::STRIDE]
    page.layer.value = "membership of crystal"
    np.testing.assert_array_equal(shown(page, "code"), (grid == 2) * 200)
    assert (shown(page, "code_w"), shown(page, "code_h")) == (SIDE * 0.5, SIDE * 0.5)
    page.layer.value = "regions"
    assert len(np.unique(shown(page, "code"))) == 3 and shown(page, "code")[0, 0] == 0
    assert not page.wheel.visible
    page.layer.value = "orientation"
    assert page.wheel.visible
    np.testing.assert_array_equal(shown(page, "code") > 0, grid == 2)
    page.layer.value = "unknown only"
    assert page.panes.mapper.palette[1:3] == [CLEAR, CLEAR]
    page.layer.value = "nothing"
    assert set(page.panes.mapper.palette) == {CLEAR}


def test_looking_closer_reads_only_that(everything: Result) -> None:
    page = Page(everything)
    page._look(SimpleNamespace(x0=10.0, x1=15.0, y0=20.0, y1=5.0))  # nm, of 24
    known = np.where(labels_of(0) > 200, 0, labels_of(0))
    np.testing.assert_array_equal(shown(page, "code"), known[7:43, 19:31])
    assert (shown(page, "code_x"), shown(page, "code_y")) == (9.5, 3.5)


def test_a_click_tells_and_follows(everything: Result) -> None:
    page = Page(everything)
    click(page, 30.5, 12.0)
    assert page.pixel.text == "row 30, column 12<br>crystal<br>membership 0.00, 0.78<br>region 5"
    assert page.following.region == 5
    np.testing.assert_allclose(page.charts.area_data.data["y"], [(500 + t) * 0.25 for t in range(N_FRAMES)])
    np.testing.assert_allclose(page.charts.area_data.data["x"], page.charts.times.data["x"])
    for t in (3, 5):
        page.slider.value = t
        (x,), (y,) = page.panes.outline.data["xs"], page.panes.outline.data["ys"]
        assert (x.min(), x.max()) == (0, 12)
        assert (y.min(), y.max()) == (FRONT_AT[t] * 0.5, 24)
        np.testing.assert_allclose(page.panes.path.data["x"], [(12.5 + i) * 0.5 for i in range(t + 1)])
    click(page, 2, 2)
    assert page.pixel.text.endswith("no region")
    assert page.following.region == 0 and len(page.panes.outline.data["xs"]) == 0
    click(page, 46, 2)
    assert "unknown" in page.pixel.text
    before = page.pixel.text
    click(page, 100, 2)
    assert page.pixel.text == before


def test_a_row_of_the_table_is_followed(everything: Result) -> None:
    page = Page(everything)
    page.slider.value = 2
    assert list(page.regions.data.data["region"]) == [5, 9]
    page.regions.data.selected.indices = [1]
    assert page.following.region == 9
    assert np.concatenate(page.panes.outline.data["xs"]).min() == 12


def test_fronts_lie_on_their_boundary(everything: Result) -> None:
    page = Page(everything)
    page.slider.value = 4
    line = page.panes.traces.data
    assert len(line["x"]) == SIDE + 1 and np.isnan(line["x"][-1])
    np.testing.assert_allclose(line["y"][:-1], FRONT_AT[4] * 0.5)
    np.testing.assert_allclose(line["x"][:-1], (np.arange(SIDE) + 0.5) * 0.5)
    assert page.charts.fronts is not None


def test_the_labels_tell_along_which_axis_a_front_moves(everything: Result) -> None:
    table = everything.table("fronts")
    turned = Traces(_Turned(everything))
    assert (Traces(Frames(everything))._axes, turned._axes) == ({"1/2": "y"}, {"1/2": "x"})
    line = turned.at(4, 1.0)
    np.testing.assert_allclose(line["x"][:-1], FRONT_AT[4])
    write_table(everything.path, "fronts", table.assign(position_px=table["position_px"] / 3))
    assert Traces(Frames(everything))._axes == {"1/2": None}
    assert Traces(Frames(everything)).at(4, 1.0) == {"x": [], "y": []}


class _Turned(Frames):
    """Labels with x and y exchanged."""

    def label(self, frame: int, window: Window) -> Any:
        return super().label(frame, window).T


def test_twin_boundaries_lie_where_they_were_found(everything: Result) -> None:
    row = {"frame": 2, "kind": "boundary", "twin": "1|2", "angle_deg": 90.0, "point_y_px": 20.0, "point_x_px": 30.0}
    write_table(everything.path, "twins", pd.DataFrame([row | {"length_px": 10.0}]))
    write_table(everything.path, "fronts", front_rows().iloc[:0])
    line = Traces(Frames(everything)).at(2, 0.5)
    np.testing.assert_allclose(line["x"][:-1], 15.25)
    np.testing.assert_allclose(line["y"][:-1], (7.75, 12.75))
    assert Traces(Frames(everything)).at(3, 0.5) == {"x": [], "y": []}


def test_charts_tell_shares_and_bad_frames(everything: Result) -> None:
    page = Page(everything)
    stacked = page.charts.fractions._data.data
    np.testing.assert_allclose(stacked["high2"], 1)
    table = everything.table("class_fraction")
    np.testing.assert_allclose(stacked["high0"], table[table["label"] == 1]["fraction"])
    strip = page.charts.quality_data.data
    assert list(strip["status"]) == ["good", "blank", "good"]
    assert strip["reason"][1] == "beam off" and strip["frame"] == ["0 to 2", "3", "4 to 5"]
    edges = frame_edges(page.charts.times.data["x"])
    np.testing.assert_allclose(strip["left"], edges[[0, 3, 4]])
    np.testing.assert_allclose(strip["right"], edges[[3, 4, 6]])


def test_a_kymograph_goes_through_the_click(everything: Result) -> None:
    page = Page(everything)
    click(page, 40, 20)
    page.kymograph.read()
    data = page.kymograph._source.data
    moments = sample_frames(frame_edges(np.asarray(page.charts.times.data["x"])))
    np.testing.assert_array_equal(data["code"][0], np.stack([labels_of(t)[:, 20] for t in moments], axis=1))
    assert data["h"] == [SIDE * 0.5]


def test_moments_are_even() -> None:
    np.testing.assert_array_equal(sample_frames(np.arange(7.0)), np.arange(6))
    edges = np.array([0.0, 1, 2, 10])
    np.testing.assert_array_equal(sample_frames(edges), [1, 2, 2])
    assert len(sample_frames(np.arange(5001.0))) == 400


def test_names_and_colours_are_taken_up_everywhere(everything: Result) -> None:
    page = Page(everything)
    page.layer.value = "membership of glass"
    page.editor._names[0].value = "amorphous"
    assert page.layer.value == "membership of amorphous"
    page.layer.value = "labels"
    page.editor._colors[1].color = "#123456"
    assert page.panes.mapper.palette[2] == "#123456"
    assert open_result(everything.path).label_names == ("amorphous", "crystal")
    page.editor._names[0].value = "  "
    assert "wanted 1 to 80 letters" in page.message.text and page.message.visible
    assert open_result(everything.path).label_names[0] == "amorphous"
    write_appearance(everything.path, ["a", "b"], [(1, 2, 3), (4, 5, 6)])
    assert Page(open_result(everything.path, chunks=None)).panes.mapper.palette[1] == "#010203"


def test_a_name_is_only_text(everything: Result) -> None:
    page = Page(everything)
    page.editor._names[1].value = "<img src=x onerror=alert(1)> $$x$$"
    click(page, 30, 12)
    assert "<img" not in page.pixel.text and "&lt;img src=x" in page.pixel.text
    assert page.pixel.disable_math


def test_damage_is_told_on_the_page(everything: Result) -> None:
    page = Page(everything)
    chunk = next(
        path for path in (everything.path / "movie.zarr/labels/segments/label/c/2").rglob("*") if path.is_file()
    )
    chunk.write_bytes(b"x" * 100)
    page.slider.value = 5
    assert "frame 5" in page.message.text and "emreel verify" in page.message.text
    assert shown(page, "frame") != 5


def test_an_unfinished_result_is_taken_up(tmp_path: Path) -> None:
    result = write_everything(tmp_path / "run", skip=(1, 2))
    page = Page(result)
    page.slider.value = 4
    assert "not computed" in page.clock.text
    assert page.is_growing and newest_frame(result) == 1
    page.refresh()
    write_everything(tmp_path / "whole")
    for part in ("ledger.jsonl", "movie.zarr", "tables"):
        (tmp_path / "run" / part).rename(tmp_path / f"old {part}")
        (tmp_path / "whole" / part).rename(tmp_path / "run" / part)
    page.refresh()
    assert "unknown 2.8 %" in page.clock.text
    assert not page.is_growing
    page.refresh()


def test_without_calibration_pixels_are_counted(tmp_path: Path) -> None:
    page = Page(write_everything(tmp_path / "run", pixel_size_nm=None))
    assert shown(page, "code_w") == SIDE
    assert page.panes.movie.center[-1].unit == "px"
    click(page, 30, 40)
    assert "row 30, column 40" in page.pixel.text


@pytest.mark.parametrize("packages", [("panel", "bokeh"), ("bokeh",)])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...]) -> None:
    import importlib.util

    from emreel.view.dashboard import check_installed
    from emreel.view.errors import ViewError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ViewError, match=r'pip install "emreel\[dashboard\]"'):
        check_installed(*packages)


def test_a_notebook_shows_the_page(everything: Result) -> None:
    import emreel as er

    pane = er.show(everything.path)
    bundle = pane.get_root()
    assert bundle.select_one({"name": "frame"}).end == N_FRAMES - 1
