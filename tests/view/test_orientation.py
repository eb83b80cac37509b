"""Orientation pictures: one colour an orientation, a wheel that agrees, thin boundaries."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from emreel.orientation import Crystal
from emreel.view import ViewError
from emreel.view.orientation import (
    boundary_lines,
    crystal_map,
    draw_orientation,
    orientation_color,
    orientation_rgb,
    overlay_lines,
    wheel_rgba,
)

folds = st.sampled_from([2, 4, 6])


def hue_deg(rgb):
    return 360 * colorsys.rgb_to_hsv(*(float(c) for c in rgb))[0]


@given(st.floats(-360, 360), folds)
def test_the_hue_goes_round_once_a_period(angle, fold):
    color = orientation_color(angle, fold)
    assert np.allclose(color, orientation_color(angle + 360 / fold, fold), atol=1e-6)
    gap = abs((hue_deg(color) - angle * fold + 180) % 360 - 180)
    assert gap < 1e-3


@given(st.floats(0, 180), st.integers(0, 255), st.floats(0, 1))
def test_a_pixel_is_grey_mixed_with_its_colour(angle, gray, opacity):
    frame = np.full((1, 2), gray, np.uint8)
    got = orientation_rgb(frame, [[angle, np.nan]], opacity=opacity)
    tint = orientation_color(angle) * (0.35 * 255 + 0.65 * gray)
    assert np.abs(got[0, 0] - ((1 - opacity) * gray + opacity * tint)).max() <= 0.5 + 1e-9
    assert got[0, 1].tolist() == [gray] * 3


@given(folds, st.floats(0, 2 * np.pi))
def test_the_wheel_shows_each_direction_in_its_colour(fold, turn):
    wheel = wheel_rgba(fold, size_px=201)
    y, x = (round(100 + 75 * part(turn)) for part in (np.sin, np.cos))
    seen = np.degrees(np.arctan2(y - 100, x - 100))
    assert wheel[y, x, 3] == 255
    assert np.abs(wheel[y, x, :3] - 255 * orientation_color(seen, fold)).max() <= 0.5 + 1e-9
    assert wheel[100, 100, 3] == wheel[0, 0, 3] == 0


def test_crystals_fill_their_labels():
    labels = np.array([[0, 1, 1], [2, 2, 255]])
    crystals = tuple(Crystal(label=k, angle_deg=10.0 * k, fringes=()) for k in (1, 2))
    np.testing.assert_array_equal(crystal_map(labels, crystals), [[np.nan, 10, 10], [20, 20, np.nan]])


def test_boundaries_are_thin_and_lie_where_labels_meet():
    y, x = np.indices((60, 80))
    labels = (x > 40 + 6 * np.sin(y / 9)).astype(np.uint8) + 2 * (y > 30)
    lines = boundary_lines(labels)
    met = ndimage.morphological_gradient(labels, size=3) > 0
    assert lines.any() and met[lines].all()
    assert not np.any(ndimage.uniform_filter(lines.astype(float), 3) > 7.5 / 9)
    assert ndimage.label(~lines)[1] == 4
    assert not boundary_lines(np.ones((5, 5))).any()


def test_lines_are_drawn_over_grey_and_colour():
    lines = np.eye(3, dtype=bool)
    for picture in (np.zeros((3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8)):
        rgb = overlay_lines(picture, lines, (9, 8, 7))
        assert rgb[1, 1].tolist() == [9, 8, 7] and rgb[0, 1].tolist() == [0, 0, 0] and not picture.any()


def test_the_figure_holds_picture_and_wheel(tmp_path):
    gray = np.full((60, 90), 128, np.uint8)
    angle = np.where(np.indices((60, 90))[1] < 45, 20.0, 110.0)
    figure = draw_orientation(gray, angle, fold=2, labels=angle > 50, pixel_size_nm=0.1)
    assert len(figure.axes) == 2
    assert "180°" in [text.get_text() for text in figure.axes[1].texts]
    figure.savefig(tmp_path / "orientation.png", dpi=50)
    assert (tmp_path / "orientation.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "call",
    [
        lambda: orientation_rgb(np.zeros((3, 3)), np.zeros((3, 3))),
        lambda: orientation_rgb(np.zeros((3, 3), np.uint8), np.zeros((3, 4))),
        lambda: orientation_rgb(np.zeros((3, 3), np.uint8), np.zeros((3, 3)), opacity=2.0),
        lambda: draw_orientation(np.zeros((3, 3), np.uint8), np.zeros((3, 3)), fold=0),
        lambda: boundary_lines(np.zeros(4)),
        lambda: overlay_lines(np.zeros((3, 3), np.uint8), np.zeros((4, 3), bool)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(ViewError, match="got"):
        call()
