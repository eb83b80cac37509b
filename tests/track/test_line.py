"""Lines, and maps sampled along them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.track.errors import TrackError
from emreel.track.line import Line, LineSampler


def bilinear(grid, y, x):
    """Value between the four neighbours of a grid position, clamped to the grid; plain float64."""
    y, x = np.clip(y, 0, grid.shape[0] - 1), np.clip(x, 0, grid.shape[1] - 1)
    y0, x0 = int(min(np.floor(y), max(grid.shape[0] - 2, 0))), int(min(np.floor(x), max(grid.shape[1] - 2, 0)))
    y1, x1 = min(y0 + 1, grid.shape[0] - 1), min(x0 + 1, grid.shape[1] - 1)
    fy, fx = y - y0, x - x0
    return (
        (1 - fy) * (1 - fx) * grid[y0, x0]
        + (1 - fy) * fx * grid[y0, x1]
        + fy * (1 - fx) * grid[y1, x0]
        + fy * fx * grid[y1, x1]
    )


def plain_field(phase, known, line, stride):
    """The field at every position, by loops over positions and the width."""
    direction = np.subtract(line.end_yx, line.start_yx) / np.hypot(*np.subtract(line.end_yx, line.start_yx))
    n = max(1, int(np.ceil(line.width_px)))
    out = []
    for s in line.positions_px:
        inside = total = 0.0
        for k in range(n):
            t = ((k + 0.5) / n - 0.5) * line.width_px
            y = line.start_yx[0] + s * direction[0] - t * direction[1]
            x = line.start_yx[1] + s * direction[1] + t * direction[0]
            inside += bilinear(phase * known, y / stride, x / stride)
            total += bilinear(known, y / stride, x / stride)
        out.append(inside / total if total > 1e-6 * 1 else np.nan)
    return np.array(out)


@st.composite
def lines(draw):
    """A grid of any stride, and a line inside its frame."""
    stride = draw(st.integers(1, 5))
    grid = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    shape = grid[0] * stride, grid[1] * stride
    width = draw(st.floats(0.3, 0.5 * min(shape)))
    margin = width / 2
    inside = [st.floats(margin, n - 1 - margin) for n in shape]
    start, end = (tuple(draw(axis) for axis in inside) for _ in range(2))
    if np.hypot(*np.subtract(start, end)) < 0.5:
        end = (start[0] + 0.4 if start[0] < shape[0] / 2 else start[0] - 0.4, start[1])
    step = draw(st.sampled_from([0.3, 1.0, 2.5]))
    return Line(start_yx=start, end_yx=end, width_px=width, step_px=step), grid, stride, shape


@settings(deadline=None, max_examples=60)
@given(lines(), st.integers(0, 10**6), st.sampled_from([0.0, 0.2, 0.9]))
def test_equals_plain_loops_and_stays_within_its_values(drawn, seed, part_unknown):
    line, grid, stride, shape = drawn
    rng = np.random.default_rng(seed)
    phase = rng.random(grid)
    known = (rng.random(grid) >= part_unknown).astype(float)
    sampler = LineSampler(line, grid, stride, shape)
    crop = np.s_[sampler.rows, sampler.columns]
    got = sampler.average((phase * known)[crop], known[crop])
    wanted = plain_field(phase, known, line, stride)
    both = np.isfinite(got) & np.isfinite(wanted)
    np.testing.assert_allclose(got[both], wanted[both], atol=1e-6)
    assert np.mean(np.isfinite(got) == np.isfinite(wanted)) > 0.99  # the limit of what is known may round either way
    seen = phase[crop][known[crop] > 0]
    if both.any():
        assert got[both].min() >= seen.min() - 1e-9 and got[both].max() <= seen.max() + 1e-9


def test_positions_and_points():
    line = Line(start_yx=(10.0, 20.0), end_yx=(10.0, 26.2), width_px=3.0)
    np.testing.assert_allclose(line.positions_px, np.arange(7))
    points = line.points_yx()
    np.testing.assert_allclose(points[2], [[9, 22], [10, 22], [11, 22]])
    slanted = Line(start_yx=(0.0, 0.0), end_yx=(30.0, 40.0), width_px=4.0, step_px=0.5)
    points = slanted.points_yx()
    assert points.shape == (101, 4, 2)
    np.testing.assert_allclose(points.mean(axis=1) @ [0.6, 0.8], slanted.positions_px, atol=1e-9)
    np.testing.assert_allclose(np.ptp(points @ [0.8, -0.6], axis=1), 3.0)


def test_only_what_the_line_needs_is_asked_for():
    sampler = LineSampler(Line(start_yx=(40, 8), end_yx=(40, 60), width_px=9), (30, 40), 4, (120, 160))
    assert (sampler.rows, sampler.columns) == (slice(9, 13), slice(2, 17))


@pytest.mark.parametrize("end", [(5.0, 120.0), (-3.0, 4.0), (63.8, 20.0)])
def test_a_line_that_leaves_the_frame_is_refused(end):
    with pytest.raises(TrackError, match="leaves the frame of 64 x 100 px"):
        LineSampler(Line(start_yx=(5, 5), end_yx=end), (64, 100), 1, (64, 100))


@pytest.mark.parametrize(
    "fields",
    [
        {"end_yx": (1.0, 1.0)},
        {"end_yx": (np.nan, 1.0)},
        {"end_yx": (5.0, 1.0), "width_px": 0.0},
        {"end_yx": (5.0, 1.0), "step_px": -1.0},
    ],
)
def test_nonsense_is_refused(fields):
    with pytest.raises(TrackError, match="got"):
        Line(start_yx=(1.0, 1.0), **fields)
