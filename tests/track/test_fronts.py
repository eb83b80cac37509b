"""Fronts of movies whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.result import Result
from emreel.synthetic import AmorphousFront
from emreel.track.errors import TrackError
from emreel.track.events import Event, add_events
from emreel.track.finding import FrontFinder
from emreel.track.fronts import COLUMNS, track_fronts
from emreel.track.line import Line
from emreel.track.velocity import front_velocity


def layers(rows: list[int], shape_yx: tuple[int, int] = (60, 40)) -> np.ndarray:
    """Labels 1, 2, ... from the top, each from one of these rows on (the first from 0)."""
    label = np.ones(shape_yx, np.uint8)
    for k, row in enumerate(rows, start=2):
        label[row:] = k
    return label


def means(table: pd.DataFrame, front: str | None = None) -> pd.DataFrame:
    rows = table[table["kind"] == "mean"]
    return rows if front is None else rows[rows["front"] == front]


def test_a_moving_front_along_every_axis() -> None:
    movie = np.stack([layers([20 + 3 * t]) for t in range(8)])
    wanted = 20 + 3.0 * np.arange(8)
    down = means(track_fronts(movie, between=((1,), (2,))))
    assert down["position_px"].tolist() == wanted.tolist()
    assert down["velocity_px_per_frame"].tolist() == pytest.approx([3] * 8)
    assert down["front"].unique().tolist() == ["1/2"]
    right = means(track_fronts(movie.transpose(0, 2, 1), axis="x", between=((1,), (2,))))
    assert right["position_px"].tolist() == wanted.tolist()
    line = Line(start_yx=(5, 20), end_yx=(55, 20), width_px=9)
    along = means(track_fronts(movie, axis=line, between=((1,), (2,))))
    assert along["position_px"].tolist() == pytest.approx(wanted - 5.5)
    contour = means(track_fronts(movie, axis="contour", between=((1,), (2,))))
    assert contour["position_px"].tolist() == pytest.approx(wanted - 20, abs=0.01)


def test_a_disc_that_grows_is_followed_outwards() -> None:
    y, x = np.mgrid[:81, :91]
    movie = np.stack([1 + (np.hypot(y - 40, x - 44) >= 10 + 2 * t) for t in range(8)]).astype(np.uint8)
    found = means(track_fronts(movie, axis=(40, 44), between=((1,), (2,))))
    assert found["position_px"].to_numpy() == pytest.approx(10 + 2 * np.arange(8), abs=0.5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), upside_down=st.booleans())
def test_columns_of_clean_labels_are_exact(seed: int, upside_down: bool) -> None:
    rng = np.random.default_rng(seed)
    edge = rng.integers(10, 50, 40)
    label = np.where(np.arange(60)[:, None] < edge, 2, 3).astype(np.uint8)
    label, edge = (label[::-1], 60 - edge) if upside_down else (label, edge)
    table = track_fronts(label[None].copy(), between=((2,), (3,)))
    columns = table[table["kind"] == "column"]
    assert columns["position_px"].tolist() == edge.tolist()
    assert columns["front"].unique().tolist() == ["3/2" if upside_down else "2/3"]


def test_a_front_is_told_exactly_where_both_sides_are() -> None:
    movie = np.stack([layers([20, 40]) for _ in range(12)])
    movie[:4] = layers([30])[None]  # no label 3 yet
    movie[4:8, 20:, :15][movie[4:8, 20:, :15] == 2] = 3  # no label 2 in the first 15 columns
    table = track_fronts(movie, between=((2,), (3,)))
    rows = table[(table["kind"] == "column") & table["position_px"].notna()]
    told = {(frame, int(column)) for frame, column in zip(rows["frame"], rows["column_px"], strict=True)}
    assert told == {(t, x) for t in range(4, 12) for x in range(40) if t >= 8 or x >= 15}
    assert means(table)["share_kept"].tolist() == pytest.approx([25 / 40] * 4 + [1] * 4)


def test_fronts_appear_and_vanish_as_events(make_result: Callable[..., Result]) -> None:
    movie = np.stack([layers([20]) if 4 <= t < 12 else np.ones((60, 40), np.uint8) for t in range(20)])
    movie[6] = 254  # a blank frame is no news
    result = make_result(movie, times_s=0.5 * np.arange(20))
    track_fronts(result, between=((1,), (2,)))
    events = result.table("events")
    assert events[["event", "frame", "time_s", "subject"]].to_numpy().tolist() == [
        ["front_appears", 4, 2.0, "front 1/2"],
        ["front_vanishes", 12, 6.0, "front 1/2"],
    ]


def test_both_fronts_of_a_layer_keep_their_names() -> None:
    movie = np.stack([layers([20 - t, 40 + t]) for t in range(10)])
    movie[movie == 3] = 1
    table = track_fronts(movie, between=((1,), (2,)))
    assert means(table, "1/2")["position_px"].tolist() == (20 - np.arange(10)).tolist()
    assert means(table, "2/1")["position_px"].tolist() == (40 + np.arange(10)).tolist()


def test_every_two_labels_that_meet_are_fronts_when_none_is_named() -> None:
    table = track_fronts(np.stack([layers([15, 30, 45])] * 3))
    assert table["front"].unique().tolist() == ["1/2", "2/3", "3/4"]


def test_drift_cancels_in_the_depth() -> None:
    drift = np.array([[round(3 * np.sin(t)), 0] for t in range(12)])
    movie = np.stack([layers([10, 20 + 2 * t, 50]) for t in range(12)])
    movie = np.stack([np.roll(frame, shift[0], axis=0) for frame, shift in zip(movie, drift, strict=True)])
    movie[:, :4], movie[:, -4:] = 1, 4
    found = means(track_fronts(movie, between=((1, 2), (3, 4)), drift_yx_px=drift))
    assert found["depth_px"].to_numpy() == pytest.approx(10 + 2 * np.arange(12))
    below = means(track_fronts(movie, between=((1, 2), (3, 4)), drift_yx_px=drift, rest=((3,), (4,))))
    assert below["depth_px"].to_numpy() == pytest.approx(30 - 2 * np.arange(12))
    from_start = means(track_fronts(movie, between=((1, 2), (3, 4)), drift_yx_px=drift, rest=None))
    assert from_start["depth_px"].to_numpy() == pytest.approx(2 * np.arange(12))


def test_errors_and_roughness_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(4)
    x = np.arange(400)
    rough = 4 * np.sin(2 * np.pi * x / 57) + 3 * np.sin(2 * np.pi * x / 23)
    noise = 1.5 * rng.normal(0, 1, (20, 400))
    edge = np.rint(60 + 1.2 * np.arange(20)[:, None] + rough + noise)
    movie = np.where(np.arange(140)[None, :, None] < edge[:, None], 1, 2).astype(np.uint8)
    found = means(track_fronts(movie, between=((1,), (2,))))
    assert float(found["roughness_px"].median()) == pytest.approx(rough.std(), rel=0.06)
    assert float(found["roughness_raw_px"].median()) == pytest.approx(np.hypot(rough.std(), 1.53), rel=0.03)
    off = found["position_px"].to_numpy() - 60 - 1.2 * found["frame"].to_numpy()
    assert float(found["position_sd_px"].median()) == pytest.approx(off.std(), rel=0.5)


def test_fronts_of_a_labelled_movie(front_result: Result, front_scene: AmorphousFront) -> None:
    n = front_scene.n_frames
    table = track_fronts(front_result, axis="y", between=((1, 2), (3, 4)))
    truth = np.stack([front_scene.truth(t).front_row for t in range(n)])
    found = means(table)
    assert found["frame"].tolist() == list(range(n))
    off = found["position_px"].to_numpy() - truth.mean(axis=1)
    assert np.sqrt(np.mean(off**2)) < 1.5
    assert found["position_nm"].to_numpy() == pytest.approx(found["position_px"] * front_scene.pixel_size_nm)
    assert found["time_s"].tolist() == front_scene.frame_times_s.tolist()
    stored = front_result.table("fronts")
    assert list(stored.columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(stored, table, check_dtype=False)
    columns = table[table["kind"] == "column"].pivot_table(index="frame", columns="column_px", values="position_px")
    assert np.sqrt(np.nanmean((columns.to_numpy() - truth) ** 2)) < 3
    only = track_fronts(front_result, between=((1, 2), (3, 4)), columns=False)
    pd.testing.assert_frame_equal(only, found.reset_index(drop=True))


def test_the_speed_of_a_front_is_recovered(make_result: Callable[..., Result]) -> None:
    """Labels are the truth's, in the frames as recorded: what is measured is position, drift and speed alone."""
    scene = AmorphousFront(shape_yx=(256, 256), n_frames=20, frame_time_s=0.5, velocity_nm_s=0.25, seed=2)
    truths = [scene.truth(index) for index in range(scene.n_frames)]
    label = np.stack([truth.labels for truth in truths]).astype(np.uint8) + 1
    counts = np.stack([np.asarray(scene.frame(index), np.float64) for index in range(scene.n_frames)])
    gray = np.clip(counts * (200 / counts.max()), 0, 255).astype(np.uint8)
    result = make_result(label, gray, times_s=scene.frame_times_s, pixel_size_nm=scene.pixel_size_nm)
    table = track_fronts(result, between=((1, 2), (3, 4)))
    velocity = front_velocity(table)
    assert velocity.unit == "nm/s"
    assert velocity.low <= 0.25 <= velocity.high and velocity.value == pytest.approx(0.25, rel=0.03)
    local = means(table)["velocity_nm_per_s"]
    assert float(local.median()) == pytest.approx(0.25, rel=0.05)
    depth = np.array([truth.front_depth_nm for truth in truths])
    off = means(table)["depth_nm"].to_numpy() - depth
    assert off.std() < 0.5 * scene.pixel_size_nm


def test_what_cannot_be_tracked_is_refused() -> None:
    movie = np.stack([layers([20])] * 2)
    with pytest.raises(TrackError, match="two sets of labels"):
        track_fronts(movie, between=(1, 2, 3))
    with pytest.raises(TrackError, match="no label in both"):
        track_fronts(movie, between=((1, 2), (2, 3)))
    with pytest.raises(TrackError, match="wanted 'y'"):
        track_fronts(movie, axis="z", between=((1,), (2,)))
    with pytest.raises(TrackError, match="leaves the frame"):
        track_fronts(movie, axis=Line(start_yx=(0, 0), end_yx=(90, 0)), between=((1,), (2,)))
    with pytest.raises(TrackError, match="no two labels meet"):
        track_fronts(np.ones((2, 60, 40), np.uint8))
    with pytest.raises(TrackError, match="drift_yx_px"):
        track_fronts(movie, between=((1,), (2,)), drift_yx_px=np.zeros((3, 2)))
    with pytest.raises(TrackError, match="no boundary"):
        track_fronts(movie, between=((1,), (2,)), rest=((3,), (4,)))
    with pytest.raises(TrackError, match="wanted labels"):
        track_fronts(movie.astype(float))
    for wrong in ({"reach_px": 0}, {"stiffness": -1.0}, {"least_share": 0.0}):
        with pytest.raises(TrackError, match="got"):
            FrontFinder(**wrong)  # type: ignore[arg-type]


def test_events_of_one_kind_replace_only_themselves(make_result: Callable[..., Result]) -> None:
    result = make_result(np.stack([layers([20])] * 2))
    add_events(result.path, [Event(kind="region_splits", frame=1, subject="region 1")], about="region")
    add_events(result.path, [Event(kind="front_appears", frame=0)], about="front")
    add_events(result.path, [Event(kind="front_appears", frame=1, values={"position_px": 2.0})], about="front")
    table = result.table("events")
    assert table[["event", "frame"]].to_numpy().tolist() == [["front_appears", 1], ["region_splits", 1]]
    assert add_events(result.path, [], about="region")["event"].tolist() == ["front_appears"]
