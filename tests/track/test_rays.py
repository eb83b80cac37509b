"""Rays sample a map where they say that they do."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.errors import TrackError
from emreel.track.line import Line
from emreel.track.rays import make_rays

RAMP = np.add.outer(3.0 * np.arange(40), np.arange(50.0)).astype(np.float32)


def test_columns_and_rows_are_the_map_itself() -> None:
    down, right = make_rays("y", RAMP.shape), make_rays("x", RAMP.shape)
    assert (down.sample(RAMP) == RAMP).all() and (right.sample(RAMP) == RAMP.T).all()
    assert down.direction_yx.tolist()[0] == [1, 0] and right.direction_yx.tolist()[0] == [0, 1]
    assert down.position_px(7.5) == 7.5 and right.column_px.size == 40


def test_lines_and_beams_are_sampled_linearly() -> None:
    line = make_rays(Line(start_yx=(5, 5), end_yx=(5, 45), width_px=5, step_px=0.5), RAMP.shape)
    found = line.sample(RAMP)
    assert found == pytest.approx(3 * line.points_yx[..., 0] + line.points_yx[..., 1], abs=1e-3)
    assert found.shape == (81, 5) and line.column_px.tolist() == [-2, -1, 0, 1, 2]
    assert line.position_px(10) == pytest.approx(4.75)
    beams = make_rays((20, 25), RAMP.shape)
    assert beams.sample(RAMP) == pytest.approx(3 * beams.points_yx[..., 0] + beams.points_yx[..., 1], abs=1e-3)
    assert np.hypot(*beams.direction_yx.T) == pytest.approx(1)


def test_positions_are_places_in_the_frame() -> None:
    assert make_rays("y", RAMP.shape).place_yx(np.full(50, 7.0))[3].tolist() == [6.5, 3]
    assert make_rays("x", RAMP.shape).place_yx(np.full(40, 7.0))[3].tolist() == [3, 6.5]
    line = make_rays(Line(start_yx=(5, 5), end_yx=(5, 45), width_px=3), RAMP.shape)
    assert line.place_yx(np.full(3, 10.0))[1].tolist() == [5, 15]
    beams = make_rays((20, 25), RAMP.shape)
    assert np.hypot(*(beams.place_yx(np.full(len(beams.column_px), 6.0)) - (20, 25)).T) == pytest.approx(6)


def test_other_axes_are_refused() -> None:
    for wrong in ("z", (1, 2, 3), (-4, 5), (20, 49), None):
        with pytest.raises(TrackError, match="wanted 'y'"):
            make_rays(wrong, RAMP.shape)
