"""The survey of a movie: stream and batch agree, each fault is found, nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

from emreel import engine
from emreel.movie import make_movie
from emreel.prepare import measure
from emreel.prepare.measure import survey_movie
from emreel.prepare.survey import Survey, survey_frames
from emreel.synthetic.catalog import make_scene


@pytest.fixture(scope="module")
def faulty() -> np.ndarray:
    scene = make_scene(
        "front", shape_yx=(160, 144), n_frames=16, dose=10.0, dtype="float32", seed=3, flicker=0.2, wander_px=2.0,
        nan_pixels=9, hot_pixels=14, dead_rows=(70, 71), dead_line_frames=(5,), blank_frames=(0, 7, 12),
        duplicate_frames=(9, 10), dark_counts=0.05,
    )  # fmt: skip
    return np.stack([scene.frame(i) for i in range(scene.n_frames)])


def test_every_fault_has_its_row(faulty: np.ndarray) -> None:
    rows = survey_movie(make_movie(faulty))
    assert [row.frame for row in rows] == list(range(16))
    found = {row.frame: row.status for row in rows if row.status != "good"}
    assert found == {0: "blank", 7: "blank", 12: "blank", 9: "duplicate", 10: "duplicate"}
    assert rows[9].reason == "repeats frame 8"
    assert [row.frame for row in rows if not row.drift_ok] == [0, 7, 12]
    assert [row.frame for row in rows if np.isnan(row.gain)] == [0, 7, 12]
    assert rows[9].gain == pytest.approx(rows[8].gain, rel=0.01)
    assert rows[9].drift_y_px == pytest.approx(rows[8].drift_y_px, abs=0.05)


def same(first: object, second: object) -> bool:
    """Equal to the bit, NaN included."""
    return repr(first) == repr(second)


def test_stream_and_batch_agree(faulty: np.ndarray) -> None:
    survey = Survey(reference_mean=float(np.nanmedian(faulty.mean(axis=(1, 2), where=np.isfinite(faulty)))))
    assert same(survey_movie(make_movie(faulty), survey), survey_frames(survey, faulty))


@pytest.mark.parametrize("chunks", [{"time": 5}, {"y": 50, "x": 60}])
def test_chunks_threads_and_windows_change_nothing(
    faulty: np.ndarray, chunks: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = make_movie(faulty)
    expected = survey_movie(movie)
    monkeypatch.setattr(measure, "FRAMES_AT_ONCE", 3)
    lazy: xr.DataArray = movie.chunk(chunks)
    with engine.local_threads(2):
        assert same(survey_movie(lazy), expected)


def test_threads_of_blas_change_nothing() -> None:
    scene = make_scene("front", shape_yx=(256, 256), n_frames=5, dose=20.0, dtype="uint16", seed=2, wander_px=3.0)
    survey, frames = Survey(reference_mean=20.0), [scene.frame(i) for i in range(5)]
    with threadpool_limits(1):
        expected = survey_frames(survey, frames)
    with threadpool_limits(3):
        assert same(survey_frames(survey, frames), expected)


def test_large_frames_are_surveyed_in_bands_and_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene("front", shape_yx=(300, 200), n_frames=5, dose=60.0, dtype="uint16", seed=2, wander_px=3.0)
    movie = make_movie(np.stack([scene.frame(i) for i in range(5)]))
    monkeypatch.setattr("emreel.prepare.survey.LONGEST_SIDE_PX", 160)  # bins of 2 px
    whole = survey_movie(movie)
    monkeypatch.setattr(measure, "BAND_PIXELS", 130 * 200)
    banded = survey_movie(movie)
    truth = np.array([scene.drift.at(i, 2) for i in range(5)])
    for rows in (whole, banded):
        drift = np.array([(row.drift_y_px, row.drift_x_px) for row in rows])
        assert np.abs(drift - (truth - truth[0])).max() < 0.3
        assert all(row.drift_ok and row.status == "good" for row in rows)
    for one, other in zip(whole, banded, strict=True):
        assert one.gain == pytest.approx(other.gain, rel=1e-6)
        assert one.signature == other.signature


def test_parts_can_be_left_out(faulty: np.ndarray) -> None:
    rows = survey_movie(make_movie(faulty), Survey(drift=None, flicker=None))
    assert not any(row.drift_ok for row in rows)
    assert all(np.isnan(row.gain) for row in rows)
    assert [row.status for row in rows] == [row.status for row in survey_movie(make_movie(faulty))]


def test_a_movie_of_nothing_has_rows_too() -> None:
    rows = survey_movie(make_movie(np.zeros((3, 20, 30), np.uint8)))
    assert [row.status for row in rows] == ["blank"] * 3
    rows = survey_movie(make_movie(np.full((2, 9, 9), np.nan, np.float32)))
    assert [row.status for row in rows] == ["invalid"] * 2
    single = survey_movie(make_movie(np.random.default_rng(0).poisson(9, (1, 64, 64)).astype(np.uint8)))
    assert [(row.status, row.drift_ok, row.gain) for row in single] == [("good", True, 1.0)]


def test_glances_do_not_change_what_they_see(faulty: np.ndarray) -> None:
    frame = faulty[3].copy()
    frame.setflags(write=False)
    survey = Survey(reference_mean=5.0)
    first, second = survey.glance(frame), replace(survey).glance(frame)
    assert first.view is not None
    assert second.view is not None
    np.testing.assert_array_equal(first.view, second.view)
    np.testing.assert_array_equal(frame, faulty[3])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nasty_front", {12: "blank", 27: "blank", 20: "duplicate"}),
        ("front_lfo_sto", {}),
        ("twin_lamella", {}),
        ("decahedron_axis", {}),
        ("grain_growth", {}),
        ("order_disorder", {}),
    ],
)
def test_the_movies_have_no_false_alarm(data_dir: Path, name: str, expected: dict[int, str]) -> None:
    rows = survey_movie(make_movie(np.load(data_dir / name / "movie.npz")["frames"]), Survey(drift=None))
    assert {row.frame: row.status for row in rows if row.status != "good"} == expected
    assert {row.gain_note for row in rows} == {""}
