"""The frames behind the labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from emreel.movie import make_movie
from emreel.result import Result
from emreel.track.errors import TrackError
from emreel.track.pictures import Pictures


def test_full_size_previews_are_taken_where_there_are_any(make_result: Callable[..., Result]) -> None:
    gray = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50).astype(np.uint8)
    result = make_result(np.ones(gray.shape, np.uint8), gray)
    assert (Pictures.of(result).read(1) == gray[1]).all()


def test_a_movie_that_is_given_wins_and_must_fit(make_result: Callable[..., Result]) -> None:
    result = make_result(np.ones((2, 40, 50), np.uint8))
    frames = np.random.default_rng(1).random((2, 40, 50)).astype(np.float32)
    frames[0, 3, 4] = np.nan
    read = Pictures.of(result, make_movie(frames)).read(0)
    assert read[3, 4] == pytest.approx(np.nanmean(frames[0]))
    with pytest.raises(TrackError, match="shape"):
        Pictures.of(result, make_movie(frames[:1]))


def test_large_movies_are_opened_again(make_result: Callable[..., Result]) -> None:
    result = make_result(np.ones((1, 1100, 40), np.uint8), np.zeros((1, 550, 20), np.uint8))
    with pytest.raises(TrackError, match="which movie"):
        Pictures.of(result)
