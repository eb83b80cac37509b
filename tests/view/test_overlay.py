"""Overlays: the hue tells the class at any brightness, and what is no class never looks like one."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from emreel.view import ViewError, overlay_rgb
from emreel.view.overlay import INVALID_COLORS

COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
channels = st.integers(0, 255)
palettes = st.lists(st.tuples(channels, channels, channels), min_size=1, max_size=6)


def hue_deg(rgb: np.ndarray | tuple[int, int, int]) -> float:
    return 360 * colorsys.rgb_to_hsv(*(float(c) / 255 for c in rgb))[0]


def hue_gap(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


@st.composite
def overlays(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]], float]:
    colors = draw(palettes)
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    gray = draw(arrays(np.uint8, shape))
    label = draw(arrays(np.uint8, shape, elements=st.integers(0, len(colors))))
    return gray, label, colors, draw(st.floats(0, 1))


@given(overlays())
def test_equals_the_formula_pixel_by_pixel(drawn: tuple) -> None:
    gray, label, colors, opacity = drawn
    rgb = overlay_rgb(gray, label, colors, opacity)
    assert rgb.shape == (*gray.shape, 3)
    assert rgb.dtype == np.uint8
    for at in np.ndindex(gray.shape):
        g = float(gray[at])
        for channel in range(3):
            want = g
            if label[at]:
                color = colors[label[at] - 1][channel] / 255
                want = (1 - opacity) * g + opacity * color * (0.35 * 255 + 0.65 * g)
            assert abs(rgb[at][channel] - want) <= 0.5 + 1e-9


@pytest.mark.parametrize("gray", [0, 40, 128, 255])
@pytest.mark.parametrize("opacity", [0.4, 0.6, 1.0])
def test_hue_is_the_class_at_any_brightness(gray: int, opacity: float) -> None:
    label = np.array([[1, 2, 3, 4]], np.uint8)
    rgb = overlay_rgb(np.full_like(label, gray), label, COLORS, opacity)
    for value, color in enumerate(COLORS, start=1):
        got = rgb[0, value - 1]
        assert hue_gap(hue_deg(got), hue_deg(color)) < 4  # eight bits leave a few degrees
        others = [hue_deg(other) for other in COLORS if other != color]
        assert min(hue_gap(hue_deg(got), other) for other in others) > 15


@given(palettes, st.floats(0, 1))
def test_brighter_frames_make_brighter_overlays(colors: list, opacity: float) -> None:
    gray = np.arange(256, dtype=np.uint8)[None]
    for value in range(len(colors) + 1):
        rgb = overlay_rgb(gray, np.full_like(gray, value), colors, opacity).astype(int)
        assert (np.diff(rgb.max(axis=2)[0]) >= 0).all()


def test_not_computed_is_transparent_and_opacity_zero_grey() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (overlay_rgb(gray, np.zeros_like(gray), COLORS) == gray[..., None]).all()
    assert (overlay_rgb(gray, np.full_like(gray, 2), COLORS, 0.0) == gray[..., None]).all()


@pytest.mark.parametrize("brightness", [0, 255])
def test_invalid_is_grey_stripes_whatever_the_frame(brightness: int) -> None:
    label = np.full((24, 24), 254, np.uint8)
    rgb = overlay_rgb(np.full_like(label, brightness), label, COLORS)
    tones, counts = np.unique(rgb.reshape(-1, 3), axis=0, return_counts=True)
    assert sorted(map(tuple, tones.tolist())) == sorted(INVALID_COLORS)
    assert counts.min() > 0.4 * label.size


@pytest.mark.parametrize("brightness", [0, 100, 255])
def test_unknown_is_magenta_stripes_unlike_any_class(brightness: int) -> None:
    label = np.full((24, 24), 255, np.uint8)
    rgb = overlay_rgb(np.full_like(label, brightness), label, COLORS)
    tones = np.unique(rgb.reshape(-1, 3), axis=0)
    assert len(tones) == 2
    for tone in tones:
        assert hue_gap(hue_deg(tone), 300) < 2
        assert int(tone.max()) - int(tone.min()) > 30  # never a plain grey
    assert np.ptp(tones[:, 1]) > 30  # the stripes are seen without colour vision


def test_stripes_have_the_width_asked_for() -> None:
    label = np.full((1, 40), 254, np.uint8)
    row = overlay_rgb(np.zeros_like(label), label, COLORS, stripe_px=10)[0, :, 0]
    assert np.diff(np.flatnonzero(np.diff(row.astype(int)))).tolist() == [5] * 6


def test_inputs_are_left_alone_and_may_be_read_only() -> None:
    gray = np.full((5, 7), 9, np.uint8)
    label = np.array([[1, 0, 254, 255, 2, 3, 4]] * 5, np.uint8)
    for array in (gray, label):
        array.setflags(write=False)
    first, second = (overlay_rgb(gray, label, COLORS) for _ in range(2))
    assert first.flags.writeable
    assert (first == second).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": np.full((4, 4), 5, np.uint8)}, "label 5 and colours for 4"),
        ({"label": np.full((4, 4), 253, np.uint8)}, "label 253"),
        ({"label": np.ones((4, 5), np.uint8)}, "wanted one size"),
        ({"label": np.ones((4, 4), np.int64)}, "dtype int64"),
        ({"frame_gray": np.ones((4, 4), np.float32)}, "dtype float32"),
        ({"frame_gray": np.ones((1, 4, 4), np.uint8)}, "3 dimensions"),
        ({"opacity": 1.5}, "opacity of 1.5"),
        ({"opacity": float("nan")}, "opacity of nan"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, says: str) -> None:
    good = {"frame_gray": np.ones((4, 4), np.uint8), "label": np.ones((4, 4), np.uint8), "colors": COLORS}
    with pytest.raises(ViewError, match=says):
        overlay_rgb(**(good | change))
