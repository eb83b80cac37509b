"""The survey of a growing movie: the rows of a batch, whatever happened in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emreel.model import Model
from emreel.prepare.survey import Survey, survey_frames
from emreel.result import open_result
from emreel.result.quality import read_survey, survey_table
from emreel.stream import FolderSource, Watching, watch
from emreel.stream.repair import repair_watched
from emreel.stream.surveying import KEEP_EVERY, ROWS, STATE, GrowingSurvey

SHAPE = (128, 144)


@pytest.fixture(scope="module")
def movie(frames: np.ndarray) -> np.ndarray:
    many = np.concatenate([np.roll(frames, shift, axis=2) for shift in (0, 1)])
    many[5] = 0
    many[8] = many[7]
    return many


@pytest.fixture(scope="module")
def survey(movie: np.ndarray) -> Survey:
    return Survey(reference_mean=float(movie.mean()))


def step_all(growing: GrowingSurvey, movie: np.ndarray, places: range) -> None:
    for place in places:
        growing.step(place, growing.glance(movie[place]), SHAPE)


@pytest.mark.parametrize("stop", [3, KEEP_EVERY, KEEP_EVERY + 2])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("harm", ["none", "torn row", "lost state"])
def test_rows_are_those_of_a_batch(
    stop: int, kept: bool, harm: str, movie: np.ndarray, survey: Survey, tmp_path: Path
) -> None:
    growing = GrowingSurvey(tmp_path, survey)
    step_all(growing, movie, range(stop))
    if kept:
        growing.keep()
    rows, state = tmp_path / "survey" / ROWS, tmp_path / "survey" / STATE
    if harm == "torn row":
        rows.write_bytes(rows.read_bytes()[:-7])
    if harm == "lost state" and state.exists():
        state.write_bytes(state.read_bytes()[:1000])
    again = GrowingSurvey(tmp_path, survey)
    unharmed = stop - 1 if kept else KEEP_EVERY * (stop // KEEP_EVERY) - 1
    assert again.last == (unharmed if harm == "none" or (harm == "torn row" and unharmed < stop - 1) else -1)
    step_all(again, movie, range(again.last + 1, len(movie)))
    again.write_table(len(movie))
    found = read_survey(tmp_path, len(movie))
    assert found is not None
    pd.testing.assert_frame_equal(found, survey_table(survey_frames(survey, movie)))


def test_a_late_frame_tells_no_drift(movie: np.ndarray, survey: Survey, tmp_path: Path) -> None:
    growing = GrowingSurvey(tmp_path, survey)
    step_all(growing, movie, range(4))
    step_all(growing, movie, range(6, 7))
    growing.step(4, growing.glance(movie[4]), SHAPE)
    growing.step(5, None, SHAPE, "it cannot be read")
    late = growing.row(4)
    assert late.status == "good" and not late.drift_ok
    assert np.isnan(growing.drift_of(range(3, 7))).any(axis=1).tolist() == [False, True, True, False]
    assert growing.row(5).status == "unreadable"


def test_a_mended_result_is_the_one_of_an_unharmed_run(
    movie: np.ndarray, quick_model: Model, tmp_path: Path, write_frame: Callable[[Path, int, np.ndarray], Path]
) -> None:
    for number, frame in enumerate(movie):
        write_frame(tmp_path / "f", number, frame)
    good = watch(FolderSource(tmp_path / "f"), quick_model, tmp_path / "r", how=Watching(idle_s=0.5))
    labels, quality = np.asarray(good.label), good.table("quality")
    assert set(quality["status"]) == {"good", "blank", "duplicate"}
    damaged = tmp_path / "r" / "movie.zarr" / "labels/segments/label/c/9/0/0"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    how = Watching(idle_s=0.5)
    assert repair_watched(FolderSource(tmp_path / "f"), tmp_path / "r", how=how) == 1
    mended = open_result(tmp_path / "r")
    np.testing.assert_array_equal(mended.label, labels)
    pd.testing.assert_frame_equal(mended.table("quality"), quality)
