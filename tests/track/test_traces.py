"""Lines through points with outliers, and the point where lines meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.track.traces import Trace, find_axis, find_traces, fit_trace


def line_points(angle_deg: float, through: tuple[float, float], n: int, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.deg2rad(angle_deg)
    along = np.array([np.sin(turn), np.cos(turn)])
    across = np.array([np.cos(turn), -np.sin(turn)])
    return np.array(through) + np.linspace(-40, 40, n)[:, None] * along + rng.normal(0, noise, n)[:, None] * across


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(0, 179.9), seed=st.integers(0, 10**6))
def test_a_trace_does_not_mind_its_bent_end(angle: float, seed: int) -> None:
    points = line_points(angle, (50, 60), 120, 0.3, seed)
    points[-12:] += 15  # along a rim
    trace = fit_trace(points)
    assert abs((trace.angle_deg - angle + 90) % 180 - 90) < 1
    assert abs(trace.distance(np.array([50.0, 60.0]))) < 0.5


def test_traces_are_those_of_the_labels() -> None:
    y, x = np.mgrid[:120, :140].astype(float)
    height = (y - 60) * np.cos(0.3) - (x - 70) * np.sin(0.3)
    twin = (1 / (1 + np.exp(-(height + 12))) - 1 / (1 + np.exp(-(height - 12)))).astype(np.float32)
    traces = find_traces(1 - twin, twin)
    assert len(traces) == 2
    for trace in traces:
        assert trace.angle_deg == pytest.approx(np.degrees(0.3), abs=0.3)
        assert abs(trace.distance(np.array([60.0, 70.0]))) == pytest.approx(12, abs=0.1)
    assert find_traces(np.ones((40, 40), np.float32), np.zeros((40, 40), np.float32)) == []


def trace_through(angle_deg: float, point: tuple[float, float], length: float = 60.0) -> Trace:
    turn = np.deg2rad(angle_deg)
    away = np.array([np.sin(turn), np.cos(turn)]) * 25
    return Trace(
        point_yx=(point[0] + away[0], point[1] + away[1]),
        normal_yx=(float(np.cos(turn)), float(-np.sin(turn))),
        length_px=length,
        rms_px=0.3,
    )


def test_five_traces_meet_at_the_axis_and_one_that_misses_it_is_left_out() -> None:
    traces = [trace_through(angle, (80.0, 90.0)) for angle in (5, 40, 77, 112, 149)]
    found = find_axis([*traces, trace_through(60, (80.0, 150.0), 20.0)])
    assert found is not None
    point, error, n = found
    assert point.tolist() == pytest.approx([80, 90]) and n == 5 and error < 0.1
    assert find_axis(traces[:2]) is None
    assert find_axis([trace_through(10, (80, 90)), trace_through(12, (80, 90)), trace_through(14, (80, 90))]) is None
