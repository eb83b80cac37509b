"""Which labels meet, and which of their boundaries rests."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.errors import TrackError
from emreel.track.finding import FrontFinder
from emreel.track.pairs import Survey, find_pairs, sample_frames
from emreel.track.rays import make_rays
from emreel.track.source import LabelFrames


def movie() -> np.ndarray:
    """Labels 1 to 4 in layers; the boundary of 2 and 3 moves, the others rest."""
    label = np.ones((20, 80, 30), np.uint8)
    for t in range(20):
        label[t, 20:], label[t, 25 + t :], label[t, 60:] = 2, 3, 4
    return label


def survey(label: np.ndarray) -> Survey:
    frames = LabelFrames.of(label)
    return Survey(frames, make_rays("y", frames.shape_yx), FrontFinder(), np.zeros((frames.n_frames, 2)))


def test_frames_are_spread_over_the_movie() -> None:
    assert sample_frames(1) == [0] and sample_frames(5) == [0, 1, 2, 3, 4]
    assert len(sample_frames(1000)) == 16 and sample_frames(1000)[-1] == 999


def test_labels_that_meet() -> None:
    frames = LabelFrames.of(movie())
    assert find_pairs(frames, "y") == [((1,), (2,)), ((2,), (3,)), ((3,), (4,))]
    with pytest.raises(TrackError, match="no two labels meet"):
        find_pairs(frames, "x")


def test_the_first_side_that_has_a_resting_boundary_gives_the_datum() -> None:
    look = survey(movie())
    above = look.find_datum(((1, 2), (3, 4)))
    assert above is not None and (above.position_px, above.sign) == (20, 1)
    below = look.find_datum(((2,), (3, 4)))
    assert below is not None and (below.position_px, below.sign) == (60, -1)
    assert below.depth_px(np.array([50.0])).tolist() == [10]
    assert look.find_datum(((2,), (3,))) is None
    assert look.find_datum(((1,), (2, 3))) is None  # what moves is no rest
    assert look.datum(((2,), (3,)), ((1,), (4,))) is None


def test_drift_is_taken_off_before_a_boundary_is_called_restless() -> None:
    label = movie()
    drift = np.stack([np.arange(20) // 2, np.zeros(20)], axis=1).astype(float)
    moved = np.stack([np.roll(frame, int(shift[0]), axis=0) for frame, shift in zip(label, drift, strict=True)])
    moved[:, :12] = 1
    frames = LabelFrames.of(moved)
    rays = make_rays("y", frames.shape_yx)
    datum = Survey(frames, rays, FrontFinder(), drift).find_datum(((1, 2), (3, 4)))
    assert datum is not None and datum.position_px == 20
