"""Codes and colours of what is laid over the movie."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.view.dashboard import layers
from emreel.view.figures import web_color
from emreel.view.orientation import orientation_color

COLORS = ((0, 114, 178), (230, 159, 0))


def test_classes_have_their_colours_and_unknown_is_striped() -> None:
    label = np.full((40, 40), 255, np.uint8)
    label[:10], label[10:12], label[12:14], label[14:20] = 0, 1, 2, 254
    codes = layers.label_codes(label)
    palette = layers.label_palette(COLORS)
    assert set(np.unique(codes[:10])) == {0} and palette[0] == layers.CLEAR
    assert palette[1] == "#0072b2" and palette[2] == "#e69f00"
    np.testing.assert_array_equal(codes[10:14], label[10:14])
    assert set(np.unique(codes[14:20])) == {254, layers.INVALID_STRIPE}
    unknown = codes[20:]
    assert set(np.unique(unknown)) == {255, layers.UNKNOWN_STRIPE}
    assert np.mean(unknown == 255) == pytest.approx(0.5, abs=0.1)
    assert len({palette[code] for code in (1, 2, 252, 253, 254, 255)}) == 6
    assert layers.label_palette((None, None))[1:3] == (layers.CLEAR,) * 2


def test_a_region_keeps_its_colour_and_none_is_clear() -> None:
    region = np.array([[0, 1, 2], [251, 252, 70_000]], np.uint32)
    codes = layers.region_codes(region)
    assert codes[0, 0] == 0 and codes.min() == 0
    assert np.all(codes.ravel()[1:] > 0)
    np.testing.assert_array_equal(codes, layers.region_codes(region.copy()))
    palette = layers.region_palette()
    assert len(palette) == 256 and palette[0] == layers.CLEAR
    assert palette[codes[0, 1]] != palette[codes[0, 2]]


@pytest.mark.parametrize("fold", [2, 4, 6])
def test_an_angle_has_the_hue_of_the_wheel(fold: int) -> None:
    angles = np.linspace(0, 360, 97, dtype=np.float32)[None]
    codes = layers.angle_codes(angles, fold)
    assert codes.min() >= 1
    palette = layers.angle_palette(fold)
    for angle, code in zip(angles[0], codes[0], strict=True):
        wanted = orientation_color(float(angle), fold)
        got = np.array([int(palette[code][place : place + 2], 16) / 255 for place in (1, 3, 5)])
        assert np.abs(wanted - got).max() < 0.05
    assert layers.angle_codes(np.full((2, 2), np.nan, np.float32), fold).max() == 0


def test_memberships_grow_brighter() -> None:
    rows = [tuple(int(color[place : place + 2], 16) for place in (1, 3, 5)) for color in layers.membership_palette()]
    light = np.array(rows) @ (0.299, 0.587, 0.114)
    assert np.all(np.diff(light[::16]) > 0)
    assert web_color((0, 34, 78)) == layers.membership_palette()[0]
