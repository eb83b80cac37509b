"""Drift of movies with known truth: doses, amplitudes, changing specimens; what cannot be told is not told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emreel.movie import make_movie
from emreel.prepare.drift import DriftError, DriftReport, DriftTracker, moved_fraction, moved_whole
from emreel.prepare.measure import survey_movie
from emreel.synthetic.catalog import make_scene
from emreel.synthetic.scene import Scene

STILL = {"wander_px": 0.0, "jitter_px": 0.0}
SLOW = {"wander_px": 1.0, "jitter_px": 0.2}
WILD = {"drift_px_per_frame": (0.8, -0.5), "wander_px": 3.0, "jitter_px": 1.0}


def track(frames: Any, tracker: DriftTracker | None = None) -> list[DriftReport]:
    tracker, state, reports = tracker or DriftTracker(), None, []
    for frame in frames:
        state, report = tracker.step(state, tracker.view(frame, np.isfinite(frame)))
        reports.append(report)
    return reports


def errors(scene: Scene, reports: list[DriftReport]) -> np.ndarray:
    """Error of the drift of the frames that were measured, less its mean, shape (frame, 2)."""
    truth = np.array([scene.drift.at(i, scene.seed) for i in range(scene.n_frames)])
    ok = np.array([report.ok for report in reports])
    off = (np.array([report.drift_yx_px for report in reports]) - truth)[ok]
    return off - off.mean(axis=0)


def rms(off: np.ndarray) -> float:
    return float(np.sqrt((off**2).sum(axis=1).mean()))


def scene_of(kind: str, **parameters: Any) -> Scene:
    return make_scene(kind, **({"shape_yx": (192, 192), "n_frames": 12, "dtype": "float32", "seed": 7} | parameters))


@pytest.mark.parametrize("drift", [STILL, SLOW, WILD], ids=["still", "slow", "wild"])
@pytest.mark.parametrize("dose", [4.0, 400.0])
@pytest.mark.parametrize("kind", ["front", "twin_lamella", "grain_growth", "order_disorder"])
def test_drift_is_found(kind: str, dose: float, drift: dict[str, Any]) -> None:
    scene = scene_of(kind, dose=dose, flicker=0.2, **drift)
    reports = track(scene.frame(i) for i in range(scene.n_frames))
    assert sum(report.ok for report in reports) >= 11
    assert rms(errors(scene, reports)) < 0.1  # the bar is 0.5 px, for movies that stand still 0.1


def test_a_front_does_not_drag_the_frame_along() -> None:
    """The amorphous half is much darker, and the front runs 3 px a frame: the drift shows no trace of it."""
    scene = scene_of("front", n_frames=24, dose=20.0, amorphous_ratio=0.6, **STILL)
    off = errors(scene, track(scene.frame(i) for i in range(scene.n_frames)))
    false_speed = np.polyfit(np.arange(len(off)), off[:, 0], 1)[0]
    assert abs(false_speed) < 0.005
    assert rms(off) < 0.1


@pytest.mark.parametrize("seed", [3, 4])
def test_steps_of_more_than_a_period_are_told_apart(seed: int) -> None:
    scene = scene_of("front", dose=20.0, wander_px=0.0, jitter_px=4.0, seed=seed)
    truth = np.array([scene.drift.at(i, scene.seed) for i in range(scene.n_frames)])
    assert np.abs(np.diff(truth, axis=0)).max() > scene.lattice_px
    assert rms(errors(scene, track(scene.frame(i) for i in range(scene.n_frames)))) < 0.1


def test_a_specimen_is_followed_across_the_frame() -> None:
    parameters = {"drift_px_per_frame": (3.0, 2.0), "drift_limit_px": 100.0, "wander_px": 0.0}
    scene = scene_of("front", n_frames=20, dose=20.0, stop_fraction=0.2, **parameters)
    reports = track(scene.frame(i) for i in range(scene.n_frames))
    assert sum(report.ok for report in reports) >= 18
    assert rms(errors(scene, reports)) < 0.2


def test_frames_without_a_specimen_are_not_told() -> None:
    rng = np.random.default_rng(0)
    reports = track(rng.poisson(5.0, (128, 128)).astype(np.float32) for _ in range(6))
    assert [report.ok for report in reports] == [True] + [False] * 5
    assert {report.drift_yx_px for report in reports} == {(0.0, 0.0)}


@pytest.mark.parametrize("zero", [-500.0, 0.0, 500.0])
def test_the_zero_of_the_counts_does_not_matter(zero: float) -> None:
    scene = scene_of("front", dose=40.0, **SLOW)
    off = errors(scene, track(scene.frame(i) + np.float32(zero) for i in range(scene.n_frames)))
    assert len(off) == scene.n_frames
    assert rms(off) < 0.1


def test_hot_pixels_that_are_masked_do_not_hold_the_frame() -> None:
    scene = scene_of("front", dose=4.0, nan_pixels=400, **WILD)
    assert rms(errors(scene, track(scene.frame(i) for i in range(scene.n_frames)))) < 0.1


@pytest.mark.parametrize("shape_yx", [(40, 200), (97, 131), (64, 64)])
def test_frames_of_any_shape(shape_yx: tuple[int, int]) -> None:
    scene = scene_of("order_disorder", shape_yx=shape_yx, dose=60.0, **SLOW)
    off = errors(scene, track(scene.frame(i) for i in range(scene.n_frames)))
    assert len(off) == scene.n_frames
    assert rms(off) < 0.15


@pytest.mark.parametrize("shape_yx", [(1, 1), (3, 3), (5, 70)])
def test_tiny_frames_give_a_report(shape_yx: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    reports = track(rng.poisson(20.0, shape_yx).astype(np.float32) for _ in range(3))
    assert all(np.isfinite(report.drift_yx_px).all() for report in reports)


def test_a_frame_of_a_single_tile_that_moved_out_tells_no_drift() -> None:
    scene = scene_of("front", shape_yx=(40, 40), n_frames=2, dose=60.0, drift_px_per_frame=(3.0, 0.0), wander_px=0.0)
    reports = track(scene.frame(i) for i in range(2))
    assert [report.ok for report in reports] == [True, False]


def test_the_state_is_not_changed_and_the_result_is_the_same_twice() -> None:
    scene = scene_of("front", n_frames=3)
    tracker = DriftTracker()
    views = [tracker.view(scene.frame(i), np.ones(scene.shape_yx, bool)) for i in range(3)]
    state, _ = tracker.step(None, views[0])
    kept = state.reference.copy(), state.rest.copy()
    first = tracker.step(state, views[1])
    second = tracker.step(state, views[1])
    assert first[1] == second[1]
    np.testing.assert_array_equal(first[0].reference, second[0].reference)
    np.testing.assert_array_equal(state.reference, kept[0])
    np.testing.assert_array_equal(state.rest, kept[1])


def test_errors_say_what_is_wanted() -> None:
    with pytest.raises(DriftError, match="fine_px = 0"):
        DriftTracker(fine_px=0)
    tracker = DriftTracker()
    state, _ = tracker.step(None, np.zeros((64, 64), np.float32))
    with pytest.raises(DriftError, match=r"\(32, 32\), wanted \(64, 64\)"):
        tracker.step(state, np.zeros((32, 32), np.float32))


@given(
    image=arrays(np.float32, (7, 9), elements=st.floats(-5, 5, width=32)), dy=st.integers(-9, 9), dx=st.integers(-9, 9)
)
def test_whole_moves(image: np.ndarray, dy: int, dx: int) -> None:
    moved = moved_whole(image, np.array([dy, dx]))
    for y in range(7):
        for x in range(9):
            inside = 0 <= y - dy < 7 and 0 <= x - dx < 9
            assert moved[y, x] == (image[y - dy, x - dx] if inside else 0)


@settings(max_examples=20)
@given(dy=st.floats(-1, 1), dx=st.floats(-1, 1))
def test_fractional_moves(dy: float, dx: float) -> None:
    y, x = np.mgrid[:40, :40]

    def wave(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * (y / 12 + x / 17))

    moved = moved_fraction(wave(y, x).astype(np.float32), np.array([dy, dx]))
    np.testing.assert_allclose(moved[4:-4, 4:-4], wave(y - dy, x - dx)[4:-4, 4:-4], atol=0.02)


@pytest.mark.data
@pytest.mark.parametrize("name", ["nasty_front", "front_lfo_sto", "twin_lamella", "grain_growth", "order_disorder"])
def test_drift_of_the_movies(data_dir: Path, name: str) -> None:
    """The bar: within 0.5 px rms of the truth (both less their means) on the nasty one; far below on all that rest.

    decahedron_axis is left out: there the whole lattice slides under a resting outline, and is followed.
    """
    movie = np.load(data_dir / name / "movie.npz")["frames"]
    truth = np.load(data_dir / name / "truth.npz")["drift_xy"][:, ::-1]
    rows = survey_movie(make_movie(movie))
    ok = np.array([row.drift_ok for row in rows])
    off = (np.array([(row.drift_y_px, row.drift_x_px) for row in rows]) - truth)[ok]
    assert rms(off - off.mean(axis=0)) < (0.2 if name == "nasty_front" else 0.1)
    assert ok.sum() == sum(row.status in ("good", "duplicate") for row in rows)
