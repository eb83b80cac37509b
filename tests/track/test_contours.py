"""Contours between two sides and their distance from the first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from emreel.result import Result
from emreel.track.contours import distance_into, trace_contour
from emreel.track.fronts import track_fronts


def disc(radius: float, shape: tuple[int, int] = (90, 100)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.clip(0.5 + radius - np.hypot(y - 44.3, x - 50.6), 0, 1).astype(np.float32)


def test_points_lie_on_the_circle_a_pixel_apart() -> None:
    inside = disc(25.0)
    points = trace_contour(inside, 1 - inside)
    radius = np.hypot(points[:, 0] - 44.3, points[:, 1] - 50.6)
    assert radius == pytest.approx(25, abs=0.15)
    assert len(points) == pytest.approx(2 * np.pi * 25, rel=0.02)


def test_no_contour_where_a_third_class_lies_between() -> None:
    inside = disc(20.0)
    assert len(trace_contour(inside, 1 - disc(30.0))) == 0
    assert len(trace_contour(np.ones((30, 30), np.float32), np.zeros((30, 30), np.float32))) == 0


def test_distances_are_zero_between_the_pixels_of_both_sides() -> None:
    side = np.zeros((20, 20), bool)
    side[:, 8:] = True
    assert distance_into(side)[5, 5:11].tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]


def test_a_disc_that_grows_is_followed_in_every_direction() -> None:
    movie = np.stack([np.where(disc(15.0 + 2 * t) > 0.5, 1, 2) for t in range(6)]).astype(np.uint8)
    table = track_fronts(movie, axis="contour", between=((1,), (2,)))
    means = table[table["kind"] == "mean"]
    assert means["depth_px"].to_numpy() == pytest.approx(2 * np.arange(6), abs=0.3)
    points = table[(table["kind"] == "contour") & (table["frame"] == 5)]
    assert np.hypot(points["point_y_px"] - 44.3, points["point_x_px"] - 50.6).to_numpy() == pytest.approx(25, abs=0.6)


def test_contours_that_come_and_go_are_events_when_they_stay(make_result: Callable[..., Result]) -> None:
    movie = np.ones((12, 90, 100), np.uint8)
    for t in (1, *range(5, 12)):  # seen once at 1, which is noise
        movie[t][disc(20.0) > 0.5] = 2
    result = make_result(movie)
    track_fronts(result, axis="contour", between=((1,), (2,)))
    assert result.table("events")[["event", "frame"]].to_numpy().tolist() == [["front_appears", 5]]
