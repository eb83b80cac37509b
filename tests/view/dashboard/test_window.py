"""What is seen of a frame: covered by the window, no more pixels than promised, in its right place."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.view.dashboard.window import MARGIN, Window

SIDES = st.integers(1, 5000)


@st.composite
def looks(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[float, float], tuple[float, float]]:
    shape = draw(SIDES), draw(SIDES)
    spans = []
    for side in shape:
        start = draw(st.floats(0, side - 1))
        spans.append((start, draw(st.floats(start + 1, side)) if start + 1 < side else float(side)))
    return shape, spans[0], spans[1]


@settings(max_examples=60)
@given(looks(), st.integers(64, 800))
def test_what_is_seen_is_covered_by_few_pixels(
    look: tuple[tuple[int, int], tuple[float, float], tuple[float, float]], most: int
) -> None:
    shape, (y0, y1), (x0, x1) = look
    window = Window.around(shape, (y0, y1), (x0, x1), most)
    assert window.y0 <= y0 and window.y1 >= y1 and window.x0 <= x0 and window.x1 >= x1
    assert 0 <= window.y0 < window.y1 <= shape[0] and 0 <= window.x0 < window.x1 <= shape[1]
    assert max(window.y1 - window.y0, window.x1 - window.x0) <= (most + 2) * window.step
    assert window.step <= 1 + (1 + 2 * MARGIN) * max(y1 - y0, x1 - x0) / most
    assert window.y0 % window.step == window.x0 % window.step == 0


@settings(max_examples=60)
@given(looks(), st.sampled_from([1, 2, 3, 4, 8]))
def test_every_value_lies_inside_its_place(
    look: tuple[tuple[int, int], tuple[float, float], tuple[float, float]], cell: int
) -> None:
    """Where a value is drawn is where the pixel that it was taken from lies, on any grid."""
    shape, y_px, x_px = look
    window = Window.around(shape, y_px, x_px)
    rows, columns = window.slices(cell)
    n_rows, n_columns = (-(-side // cell) for side in shape)
    taken_y, taken_x = np.arange(n_rows)[rows] * cell, np.arange(n_columns)[columns] * cell
    assert taken_y.size and taken_x.size
    left, top, width, height = window.place(cell, (taken_y.size, taken_x.size))
    for first, length, taken in ((top, height, taken_y), (left, width, taken_x)):
        drawn = length / taken.size
        places = first + drawn * np.arange(taken.size)
        assert np.all(taken >= places)
        assert np.all(taken[:-1] < places[:-1] + drawn)  # the last may be cut by the frame's edge
    assert left <= window.x0 and left + width >= min(window.x1, n_columns * cell) - drawn


def test_without_a_look_the_whole_frame_is_seen() -> None:
    assert Window.around((100, 300)) == Window(y0=0, y1=100, x0=0, x1=300, step=1)
    assert Window.around((4096, 2048), most_px=512).step == 8
    assert Window.around((64, 64), (10.2, 10.4), (3.0, 3.1)) == Window(y0=0, y1=64, x0=0, x1=64, step=1)
