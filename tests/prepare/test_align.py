"""Positions and frames without drift."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emreel.movie import make_movie
from emreel.prepare.align import AlignError, align_frame, align_movie, to_frame, to_specimen


@given(
    points=st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1),
    drift=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_there_and_back(points: list[tuple[float, float]], drift: tuple[float, float]) -> None:
    np.testing.assert_allclose(to_frame(to_specimen(points, drift), drift), points, atol=1e-9)


@given(dy=st.floats(-3, 3), dx=st.floats(-3, 3))
def test_a_frame_moves_back(dy: float, dx: float) -> None:
    y, x = np.mgrid[:32, :40]
    plane = 3.0 + 2.0 * (y - dy) - 1.5 * (x - dx)
    aligned = align_frame(plane, (dy, dx))
    seen = np.isfinite(aligned)
    assert seen[4:-4, 4:-4].all()
    np.testing.assert_allclose(aligned[seen], (3.0 + 2.0 * y - 1.5 * x)[seen], atol=1e-3)
    assert seen.all() or (dy, dx) != (0.0, 0.0)


def test_a_movie_is_aligned_lazily_and_the_same_in_any_chunks() -> None:
    rng = np.random.default_rng(0)
    frames, drift = rng.poisson(20, (6, 24, 30)).astype(np.uint16), rng.uniform(-2, 2, (6, 2))
    movie = make_movie(frames, pixel_size_nm=0.1)
    whole = align_movie(movie, drift)
    lazy = align_movie(movie.chunk({"time": 2, "y": 10, "x": 7}), drift)
    assert isinstance(lazy.data, da.Array)
    assert lazy.dims == movie.dims
    assert lazy.dtype == np.float32
    np.testing.assert_array_equal(lazy.values, whole.values)
    np.testing.assert_array_equal(whole.values[3], align_frame(frames[3], drift[3]))
    assert whole.attrs == movie.attrs


def test_errors_say_what_is_wanted() -> None:
    movie = make_movie(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(AlignError, match=r"wanted \(3, 2\)"):
        align_movie(movie, np.zeros((2, 2)))
    with pytest.raises(AlignError, match="frame 1"):
        align_movie(movie, [(0, 0), (np.nan, 0), (0, 0)])
