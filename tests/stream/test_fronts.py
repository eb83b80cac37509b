"""Fronts that are followed while the movie is taken are those of the finished movie; marks are told once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr

from emreel.model import Model
from emreel.result import Result, create_store, open_result, plan_growing_layout, read_table
from emreel.stream import Event, LabelledFrame, LiveFronts, Replay, Watching, read_events, watch
from emreel.track.errors import TrackError
from emreel.track.fronts import COLUMNS, track_fronts
from emreel.track.line import Line

Labels = npt.NDArray[np.uint8]

ALL_AT_ONCE = float("inf")


def followed(movie: xr.DataArray, model: Model, path: Path, *fronts: Any, **options: Any) -> Result:
    """The movie, watched with a listener of fronts alone."""
    listener = LiveFronts(path, fronts, **options)
    how = Watching(any_pixel_size=True)
    return watch(Replay(movie, speed=ALL_AT_ONCE), model, path, how=how, listeners=[listener])


def means(result: Result) -> pd.DataFrame:
    table = result.table("fronts")
    return table[table["kind"] == "mean"]


def told(path: Path, about: str) -> list[tuple[str, int, str]]:
    return [(e["event"], e["frame"], e["subject"]) for e in read_events(path) if e["event"].startswith(about)]


AXES: list[Any] = ["y", "contour", (60, 70), Line(start_yx=(5, 70), end_yx=(120, 70), width_px=40)]


def drifting(movie: xr.DataArray) -> xr.DataArray:
    """The specimen goes up and down by whole pixels, and one frame is blank."""
    moved = [np.roll(frame, (2 * i) % 5, axis=0) for i, frame in enumerate(movie.values)]
    moved[4] = np.zeros_like(moved[4])
    return movie.copy(data=np.stack(moved))


@pytest.mark.parametrize(("axis", "surveyed"), [*((axis, True) for axis in AXES), ("y", False)])
def test_the_table_is_that_of_the_finished_movie(
    axis: Any, surveyed: bool, front_movie: xr.DataArray, quick_model: Model, tmp_path: Path
) -> None:
    model, sides = replace(quick_model, survey=surveyed), ((1, 2), (3,))
    result = followed(drifting(front_movie), model, tmp_path / "r", (axis, sides))
    live, events = result.table("fronts"), result.table("events")
    track_fronts(result, axis=axis, between=sides, rest=None)
    assert list(live.columns) == list(COLUMNS) and live["frame"].nunique() >= 8
    pd.testing.assert_frame_equal(live, result.table("fronts"))
    later = result.table("events")
    come_and_gone = later[later["event"].isin(["front_appears", "front_vanishes"])]
    names = ["frame", "event", "subject", "time_s"]
    wanted = come_and_gone[names].reset_index(drop=True)
    pd.testing.assert_frame_equal(events.sort_values(names, ignore_index=True)[names], wanted)


def test_depths_count_from_what_rests(front_movie: xr.DataArray, quick_model: Model, tmp_path: Path) -> None:
    rest, sides = ((1,), (2,)), ((1, 2), (3,))
    result = followed(front_movie, quick_model, tmp_path / "r", ("y", sides), rest=rest)
    live = means(result)
    track_fronts(result, axis="y", between=sides, rest=rest)
    later = means(result)
    assert live["position_px"].tolist() == later["position_px"].tolist()
    off = live["depth_px"].to_numpy() - later["depth_px"].to_numpy()
    assert np.isfinite(off).all() and np.ptp(off) < 1e-9


def test_going_on_tells_nothing_twice_and_leaves_the_whole_table(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path
) -> None:
    """Stopped at the first event of a mark, as a microscope may be."""
    sides = ((1, 2), (3,))
    whole = followed(front_movie, quick_model, tmp_path / "whole", ("y", sides), marks_px=[3.0])
    marks = told(tmp_path / "whole", "mark")
    assert len(marks) == 1 and 0 < marks[0][1] < 9, "this movie's front passes 3 px"

    def stop(event: Event) -> None:
        if event.kind == "mark_passed":
            raise KeyboardInterrupt

    source, follow = Replay(front_movie, speed=ALL_AT_ONCE), LiveFronts(tmp_path / "r", [("y", sides)], marks_px=[3.0])
    with pytest.raises(KeyboardInterrupt):
        watch(source, quick_model, tmp_path / "r", listeners=[follow], on_event=stop)
    so_far = open_result(tmp_path / "r").table("fronts")
    assert len(so_far) and so_far["kind"].unique().tolist() == ["mean"], "means are there before the end"
    result = followed(front_movie, quick_model, tmp_path / "r", ("y", sides), marks_px=[3.0])
    assert told(tmp_path / "r", "") == told(tmp_path / "whole", "")
    pd.testing.assert_frame_equal(result.table("fronts"), whole.table("fronts"))
    assert not list((tmp_path / "r" / "tables").glob("*.partial"))


# ----------------------------------------------------------------------------------- labels made by hand


def layers(row: int, shape_yx: tuple[int, int] = (60, 40)) -> Labels:
    label = np.ones(shape_yx, np.uint8)
    label[row:] = 2
    return label


@pytest.fixture
def begin_result(tmp_path: Path) -> Callable[..., Path]:
    """A growing result that has no frames yet."""

    def begin(pixel_size_nm: float | None, n_classes: int = 2) -> Path:
        create_store(
            tmp_path / "r",
            plan_growing_layout((60, 40), 1, n_classes, with_membership=False),
            identity={},
            label_names=["a", "b", "c"][:n_classes],
            label_colors=[(1, 2, 3), (4, 5, 6), (7, 8, 9)][:n_classes],
            pixel_size_nm=pixel_size_nm,
        )
        return tmp_path / "r"

    return begin


def tell_all(listener: LiveFronts, labels: Iterable[Labels]) -> list[list[tuple[str, int, str]]]:
    """Events as they are told, frame by frame, and those of the end."""
    shown = np.full((60, 40), 200, np.uint8)
    events = []
    for index, label in enumerate(labels):
        arrays = {"label": label, "preview": shown, "membership": None}
        frame = LabelledFrame(index, 0.5 * index, "good", {1: 1}, arrays.__getitem__)
        events.append([(e.kind, e.frame, e.subject) for e in listener.add(frame)])
    return [*events, [(e.kind, e.frame, e.subject) for e in listener.finish()]]


def test_marks_are_told_once_and_soon(begin_result: Callable[..., Path]) -> None:
    rows = [20, 24, 31, 28, 32, 34, 36, 29, 33, 41, 44, 44]
    listener = LiveFronts(begin_result(0.5), [("y", (1, 2))], marks_px=[10.0, 100.0], marks_nm=[10.0, -1.0])
    events = tell_all(listener, map(layers, rows))
    assert events[6] == [("mark_passed", 4, "front 1/2, 10 px")], "two frames beyond, told when noise is known"
    assert events[11] == [("mark_passed", 9, "front 1/2, 10 nm")]
    assert [event for at, event in enumerate(events) if at not in (6, 11)] == [[]] * 11


def test_fronts_that_come_and_go(begin_result: Callable[..., Path]) -> None:
    labels = [layers(60)] * 2 + [layers(30)] * 4 + [layers(60)] * 4
    path = begin_result(None)
    events = tell_all(LiveFronts(path, [("y", (1, 2)), ("x", (1, 2))]), labels)
    assert events[2] == [("front_appears", 2, "front 1/2")]
    assert events[8] == [("front_vanishes", 6, "front 1/2")]
    table = read_table(path, "fronts")
    pd.testing.assert_frame_equal(
        table, track_fronts(np.stack(labels), between=(1, 2)).assign(time_s=0.5 * table["frame"])
    )


def test_depths_wait_for_what_rests(begin_result: Callable[..., Path]) -> None:
    """Label 3 comes in the fourth frame, under label 2; the front goes up, away from it."""
    labels = [layers(40 - 2 * t) for t in range(8)]
    for label in labels[3:]:
        label[50:] = 3
    path = begin_result(None, 3)
    tell_all(LiveFronts(path, [("y", (1, 2))], rest=(2, 3)), labels)
    depth = read_table(path, "fronts").query("kind == 'mean'")["depth_px"]
    np.testing.assert_array_equal(depth, [np.nan, np.nan, 14, 16, 18, 20, 22, 24])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"marks_nm": [3.0]}, "marks in px"),
        ({"fronts": [("y", (1, 3))]}, "from 1 to 2"),
        ({"fronts": [("z", (1, 2))]}, "axis"),
        ({"steady_frames": 0}, "at least 1"),
        ({"rest": (1,)}, "two sets"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str, begin_result: Callable[..., Path]) -> None:
    with pytest.raises(TrackError, match=message):
        tell_all(LiveFronts(begin_result(None), **{"fronts": [("y", (1, 2))]} | options), [layers(20)])
