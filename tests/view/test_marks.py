"""Scale bars are round and true; clocks tell neighbours apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emreel.view.marks import Clock, scale_bar

NM = {"pm": 1e-3, "nm": 1.0, "µm": 1e3, "mm": 1e6}


@given(st.integers(1, 20_000), st.floats(1e-4, 1e5), st.floats(0.1, 0.5))
def test_bar_is_as_long_as_it_says(width_px: int, pixel_size_nm: float, share: float) -> None:
    bar = scale_bar(width_px, pixel_size_nm, share)
    number, unit = bar.text.split()
    assert float(number) * NM[unit] == pytest.approx(bar.length_px * pixel_size_nm, rel=1e-6)
    assert number.replace("0", "").replace(".", "") in {"1", "2", "5"}
    assert share / 2.5 * width_px * 0.999 <= bar.length_px <= share * width_px * 1.001


@given(st.integers(1, 20_000))
def test_bar_counts_pixels_without_calibration(width_px: int) -> None:
    bar = scale_bar(width_px, None)
    assert bar.text == f"{bar.length_px:g} px"
    assert bar.length_px.is_integer()
    assert bar.length_px >= 1


@pytest.mark.parametrize(
    ("width_px", "pixel_size_nm", "text"),
    [(256, 0.04, "2 nm"), (100, 1000 / 30, "1 µm"), (1024, 0.001, "0.2 nm"), (64, 0.0005, "5 pm"), (400, 5e4, "5 mm")],
)
def test_bar_in_usual_units(width_px: int, pixel_size_nm: float, text: str) -> None:
    assert scale_bar(width_px, pixel_size_nm).text == text


@pytest.mark.parametrize(
    ("times_s", "texts", "axis"),
    [
        (None, ["frame 0", "frame 1", "frame 2"], "frame"),
        ([0.0, 0.05, 0.1], ["0 ms", "50 ms", "100 ms"], "time (ms)"),
        ([0.0, 0.5, 1.0], ["0.0 s", "0.5 s", "1.0 s"], "time (s)"),
        ([0.0, 0.25, 1.5], ["0.00 s", "0.25 s", "1.50 s"], "time (s)"),
        ([10.0, 20.0, 35.0], ["10 s", "20 s", "35 s"], "time (s)"),
        ([0.0, 2e-9, 5e-9], ["0 ns", "2 ns", "5 ns"], "time (ns)"),
        ([0.0, 1 / 30, 2.0], ["0.000 s", "0.033 s", "2.000 s"], "time (s)"),
    ],
)
def test_clock(times_s: list[float] | None, texts: list[str], axis: str) -> None:
    clock = Clock(3, None if times_s is None else np.array(times_s))
    assert clock.axis_label == axis
    assert [clock.text(i) for i in range(3)] == texts
    factor = {"s": 1, "ms": 1e3, "ns": 1e9}.get(axis[6:-1], 1)
    assert clock.values == pytest.approx(np.arange(3) if times_s is None else np.array(times_s) * factor)


@given(st.floats(1e-6, 1e3), st.integers(2, 50))
@example(0.953125, 12)
def test_neighbours_show_different_times(step_s: float, n_frames: int) -> None:
    clock = Clock(n_frames, np.arange(n_frames) * step_s)
    texts = [clock.text(i) for i in range(n_frames)]
    assert len(set(texts)) == n_frames
    assert all(len(text) < 12 for text in texts)


def test_one_frame() -> None:
    assert Clock(1, np.array([0.0])).text(0) == "0 s"
    assert Clock(1, np.array([2.25])).text(0) == "2.25 s"
    assert Clock(1, None).text(0) == "frame 0"
