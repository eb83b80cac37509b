"""Frame reports: the same from any bands; blank, invalid and dead lines found; nothing else."""

from __future__ import annotations

import itertools
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emreel.prepare.measure import measure_frames
from emreel.prepare.quality import FrameSums, usable_pixels


@given(
    frame=arrays(
        np.float32,
        st.tuples(st.integers(2, 40), st.integers(1, 30)),
        elements=st.floats(-10, 1e6, width=32) | st.sampled_from([np.nan, np.inf, 1e30]),
    ),
    cuts=st.lists(st.integers(1, 39), max_size=4),
)
def test_bands_do_not_change_a_bit(frame: np.ndarray, cuts: list[int]) -> None:
    edges = sorted({0, frame.shape[0], *(cut for cut in cuts if cut < frame.shape[0])})
    bands = [FrameSums.of(frame[a:b]) for a, b in itertools.pairwise(edges)]
    report, whole = reduce(add, bands).finish(5.0), FrameSums.of(frame).finish(5.0)
    assert repr(report) == repr(whole)


@given(frame=arrays(np.float32, (9, 7), elements=st.floats(0, 1e4, width=32) | st.just(np.nan)))
def test_the_mean_is_that_of_the_usable_pixels(frame: np.ndarray) -> None:
    report = FrameSums.of(frame).finish()
    usable = frame[usable_pixels(frame)].astype(np.float64)
    if usable.size:
        assert report.mean == pytest.approx(usable.mean(), rel=1e-12)
    else:
        assert np.isnan(report.mean)
        assert report.status == "invalid"


def test_dead_lines_are_found_and_low_dose_is_not_mistaken() -> None:
    rng = np.random.default_rng(0)
    frame = rng.poisson(4.0, (60, 50)).astype(np.float32)
    frame[[20, 21]] = 0
    frame[:, 33] = 0
    report = FrameSums.of(frame).finish(4.0)
    assert report.dead_rows == (20, 21)
    assert report.dead_columns == (33,)
    sparse = rng.poisson(0.01, (60, 50)).astype(np.uint8)
    assert FrameSums.of(sparse).finish(0.01).dead_rows == ()


def test_blank_and_constant_frames() -> None:
    rng = np.random.default_rng(0)
    assert FrameSums.of(rng.poisson(0.2, (30, 30))).finish(40.0).status == "blank"
    assert FrameSums.of(rng.poisson(20, (30, 30))).finish(40.0).status == "good"
    constant = FrameSums.of(np.full((5, 5), 7, np.uint8)).finish()
    assert (constant.status, constant.reason) == ("blank", "every pixel is 7")


def test_repeats_have_the_same_signature() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.poisson(20, (2, 30, 30))
    assert FrameSums.of(first).finish().signature == FrameSums.of(first.copy()).finish().signature
    assert FrameSums.of(first).finish().signature != FrameSums.of(second).finish().signature


def test_large_frames_are_measured_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    from emreel.movie import make_movie
    from emreel.prepare import measure

    movie = make_movie(np.random.default_rng(0).poisson(20, (4, 33, 20)).astype(np.uint16))
    at_once = measure_frames(movie, [3, 1])
    monkeypatch.setattr(measure, "BAND_PIXELS", 100)
    assert measure_frames(movie, [3, 1]) == at_once
