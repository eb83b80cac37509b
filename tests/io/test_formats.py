"""Every format, written by its own library or byte by byte, comes back equal, lazily, on any scheduler."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from emreel.io import open_movie
from emreel.movie import DIMS, frame_times_s, pixel_size_nm


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("a pixel was computed while nothing was asked for")


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_comes_back_equal(written: Any) -> None:
    path, frames, _ = written
    with dask.config.set(scheduler=_refuse):
        movie = open_movie(path)
    assert movie.dims == DIMS and movie.shape == frames.shape
    assert movie.dtype == frames.dtype and movie.dtype.isnative
    assert movie.chunks is not None, "a file's movie must be lazy"
    np.testing.assert_array_equal(movie.values, frames)


def test_tells_calibration_and_nothing_more(written: Any) -> None:
    path, frames, form = written
    movie = open_movie(path)
    if form.pixel_size_nm is None:
        assert pixel_size_nm(movie) is None and movie.y.attrs["units"] == "px"
    else:
        assert pixel_size_nm(movie) == pytest.approx(form.pixel_size_nm, rel=1e-5)
    if form.frame_time_s is None:
        assert frame_times_s(movie) is None and movie.time.attrs["units"] == "frame"
    else:
        np.testing.assert_allclose(frame_times_s(movie), np.arange(len(frames)) * form.frame_time_s, atol=1e-6)


def test_metadata_is_json(written: Any) -> None:
    path, _, _ = written
    movie = open_movie(path)
    assert json.loads(json.dumps(movie.attrs["original_metadata"], allow_nan=False)) is not None
    assert movie.attrs["source"] == path


def test_parts_are_read_alone(written: Any) -> None:
    path, frames, _ = written
    movie = open_movie(path, frames=slice(1, 6, 2), roi=((2, 9), (3, 10)))
    np.testing.assert_array_equal(movie.values, frames[1:6:2, 2:9, 3:10])
    whole = open_movie(path).data
    np.testing.assert_array_equal(whole[4].compute(), frames[4])
    np.testing.assert_array_equal(whole[::-2, ::3, ::-1].compute(), frames[::-2, ::3, ::-1])
    np.testing.assert_array_equal(whole[[5, 0, 3], 2].compute(), frames[[5, 0, 3], 2])


def test_processes_read_it(written: Any, processes: Client) -> None:
    path, frames, _ = written
    movie = open_movie(path)
    pieces = processes.compute([movie.data[:3], movie.data[3:]])
    np.testing.assert_array_equal(np.concatenate(processes.gather(pieces)), frames)
