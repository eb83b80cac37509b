"""Drift of the specimen, from the survey or from the previews."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from emreel.result import Result, write_table
from emreel.track.rest import read_drift


def test_the_survey_is_believed(front_result: Result) -> None:
    survey = front_result.table("survey")
    drift = read_drift(front_result)
    good = survey["drift_ok"].to_numpy()
    assert drift[good] == pytest.approx(survey.loc[good, ["drift_y_px", "drift_x_px"]].to_numpy())
    lost = survey.assign(drift_ok=[index != 4 for index in range(len(survey))])
    write_table(front_result.path, "survey", lost)
    assert np.isnan(read_drift(front_result)[4]).all()


def test_without_a_survey_the_previews_tell(make_result: Callable[..., Result]) -> None:
    rng = np.random.default_rng(6)
    specimen = ndimage.gaussian_filter(rng.normal(0, 1, (190, 190)), 1.5)
    specimen = 120 + 60 * specimen / specimen.std()
    steps = [(0, 0), (2, -1), (5, -3), (7, -4)]
    frames = [specimen[20 - y : 180 - y, 20 - x : 180 - x] + rng.normal(0, 6, (160, 160)) for y, x in steps]
    gray = np.clip(np.stack(frames), 0, 255).astype(np.uint8)
    result = make_result(np.ones(gray.shape, np.uint8), gray)
    assert read_drift(result) == pytest.approx(np.array(steps, float), abs=0.25)


def test_frames_too_small_to_measure_are_taken_to_rest(make_result: Callable[..., Result]) -> None:
    result = make_result(np.ones((3, 40, 40), np.uint8))
    assert not read_drift(result).any()
    assert isinstance(result.table("quality"), pd.DataFrame)
