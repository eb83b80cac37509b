"""Arrays and frame sources, calibration, regions, ranges and binning."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.io import ReaderError, open_movie
from emreel.movie import DIMS, MovieError, frame_times_s, make_movie, pixel_size_nm


@dataclass(frozen=True)
class Ramp:
    """A frame source: frame i holds i, i + 1, ..."""

    n_frames: int = 9
    shape_yx: tuple[int, int] = (6, 8)
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint16))
    frame_times_s: Any = field(default_factory=lambda: np.array([0.0, 1, 2, 3, 5, 8, 9, 10, 20]))
    pixel_size_nm: float | None = 0.1
    name: str = "ramp"

    def frame(self, index: int) -> Any:
        return (np.arange(48).reshape(6, 8) + index).astype(self.dtype)


def test_a_frame_source_is_wrapped_lazily() -> None:
    source = Ramp()
    with dask.config.set(scheduler=lambda *args, **kwargs: pytest.fail("computed")):
        movie = open_movie(source, frames=(2, 7), roi=((1, 5), (0, 8)), bin=(2, 2, 2))
    assert movie.dims == DIMS and movie.shape == (2, 2, 4) and movie.attrs["source"] == "ramp"
    np.testing.assert_allclose(frame_times_s(movie), [2.5, 6.5])
    whole = np.stack([source.frame(i) for i in range(9)])
    expected = whole[2:6, 1:5].reshape(2, 2, 2, 2, 4, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(movie.values, expected)
    assert movie.dtype == np.float32


def test_raw_arrays_pass_through() -> None:
    frames = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    assert open_movie(frames).data is frames
    picture = open_movie(frames[0])
    assert picture.shape == (1, 4, 5)
    lazy = open_movie(da.from_array(frames, chunks=1), frame_time_s=2.0)
    assert lazy.chunks is not None and frame_times_s(lazy).tolist() == [0, 2, 4]
    own = make_movie(frames, pixel_size_nm=0.3, frame_times_s=[0, 1, 5])
    assert open_movie(own) is own
    named = xr.DataArray(frames, dims=("y", "time", "x"))
    assert open_movie(named, pixel_size_nm=0.2).shape == (4, 3, 5)
    recalibrated = open_movie(own, pixel_size_nm=0.6)
    assert pixel_size_nm(recalibrated) == 0.6 and frame_times_s(recalibrated).tolist() == [0, 1, 5]
    assert pixel_size_nm(own) == 0.3, "the input must not change"


@pytest.mark.parametrize("dtype", [">u2", ">f4", "float16", "longdouble"])
@pytest.mark.parametrize("lazy", [False, True])
def test_arrays_become_native(dtype: str, lazy: bool) -> None:
    frames = np.asfortranarray(np.arange(60).reshape(3, 4, 5).astype(dtype))
    frames.flags.writeable = False
    movie = open_movie(da.from_array(frames) if lazy else frames)
    assert movie.dtype.isnative and movie.dtype.itemsize in (2, 4, 8) and movie.dtype.str != "<f2"
    np.testing.assert_array_equal(movie.values, frames)
    assert movie.attrs["source"] == "array"


def test_a_list_gives_a_list(tmp_path: Path) -> None:
    frames = np.ones((3, 4, 5), np.uint8)
    np.save(tmp_path / "a.npy", frames)
    movies = open_movie([str(tmp_path / "a.npy"), frames, Ramp()], frames=(0, 2))
    assert [movie.shape for movie in movies] == [(2, 4, 5), (2, 4, 5), (2, 6, 8)]


def test_given_calibration_overrules_the_file(tmp_path: Path, writers: Any) -> None:
    path = writers.write_hspy(tmp_path, writers.make_frames())
    uneven = [0, 0.5, 0.6, 2, 3, 4, 5]
    movie = open_movie(path, pixel_size_nm=0.2, frame_times_s=uneven)
    assert pixel_size_nm(movie) == 0.2 and frame_times_s(movie).tolist() == uneven
    assert movie.x.values[1] == pytest.approx(0.2)
    later = open_movie(path, frame_times_s=uneven, frames=(2, 5))
    assert frame_times_s(later).tolist() == uneven[2:5], "a range keeps its true times"
    assert frame_times_s(open_movie(path, frame_time_s=3.0)).tolist() == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame_time_s": 1, "frame_times_s": [0, 1, 2]}, "both"),
        ({"frame_time_s": 0}, "positive"),
        ({"frame_time_s": float("nan")}, "positive"),
        ({"frame_times_s": [0, 1]}, "2 frame times for 3"),
        ({"frame_times_s": [0, 2, 1]}, "increase"),
        ({"pixel_size_nm": -1}, "pixel size"),
        ({"frames": (3, 9)}, "0:3"),
        ({"frames": slice(None, None, -1)}, "rising order"),
        ({"roi": ((0, 9), (0, 4))}, "4 x 5 px"),
        ({"roi": ((2, 2), (0, 4))}, "inside"),
        ({"roi": (0, 2, 0, 2)}, r"wanted \(\(y0, y1\)"),
        ({"bin": (1, 2, 3)}, "square"),
        ({"bin": (0, 1, 1)}, "at least 1"),
        ({"bin": (1, 1.5, 1.5)}, "whole numbers"),
        ({"bin": 2}, "three whole numbers"),
        ({"bin": (4, 1, 1)}, "nothing would be left"),
        ({"dataset": "x"}, "array in a file"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises((MovieError, ReaderError), match=words):
        open_movie(np.ones((3, 4, 5)), **options)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_selection_and_binning_are_plain_slices_and_means(data: Any) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 11)] * 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    frames = rng.integers(0, 60_000, shape, dtype=np.uint16)
    side = data.draw(st.integers(1, min(shape[1:])))
    (a, b), (y0, y1), (x0, x1) = (
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in shape
    )
    side = min(side, y1 - y0, x1 - x0)
    group = data.draw(st.integers(1, b - a))
    times = np.cumsum(rng.uniform(0.1, 3.0, shape[0]))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    movie = open_movie(
        da.from_array(frames, chunks=chunks) if data.draw(st.booleans()) else frames,
        pixel_size_nm=0.5,
        frame_times_s=times,
        frames=(a, b),
        roi=((y0, y1), (x0, x1)),
        bin=(group, side, side),
    )
    t, h, w = (b - a) // group, (y1 - y0) // side, (x1 - x0) // side
    cut = frames[a:b, y0:y1, x0:x1][: t * group, : h * side, : w * side].astype(np.float64)
    expected = cut.reshape(t, group, h, side, w, side).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(movie.values, expected, rtol=1e-6)
    assert movie.dtype == (np.uint16 if (group, side) == (1, 1) else np.float32)
    np.testing.assert_allclose(frame_times_s(movie), times[a : a + t * group].reshape(t, group).mean(axis=1))
    assert pixel_size_nm(movie) == pytest.approx(0.5 * side)
    centres = (np.arange(y0, y0 + h * side).reshape(h, side).mean(axis=1)) * 0.5
    np.testing.assert_allclose(movie.y.values, centres, err_msg="a pixel stays where it is on the specimen")


def test_frame_numbers_stay_those_of_the_file() -> None:
    movie = open_movie(np.ones((9, 4, 4)), frames=slice(2, 9, 3))
    assert movie.time.values.tolist() == [2, 5, 8] and movie.time.attrs["units"] == "frame"


def test_the_flag_of_a_cut_file_survives_binning(tmp_path: Path, writers: Any) -> None:
    path = writers.write_npy(tmp_path, writers.make_frames(shape=(20, 16, 16)))
    with open(path, "r+b") as file:
        file.truncate(6000)
    assert open_movie(path, bin=(2, 2, 2)).attrs["truncated"] == {"declared": 20, "readable": 11}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_at_an_address(version: int, served: tuple[Path, str], writers: Any) -> None:
    folder, address = served
    frames = writers.make_frames()
    writers.write_zarr(folder, frames, version)
    np.testing.assert_array_equal(open_movie(f"{address}/m.zarr", frames=(2, 5)).values, frames[2:5])
    np.testing.assert_array_equal(open_movie(f"file://{folder}/m.zarr").values, frames)
    with pytest.raises(ReaderError, match=r"none\.zarr"):
        open_movie(f"{address}/none.zarr")


def test_importing_is_cheap() -> None:
    code = (
        "import sys, emreel.io; heavy = {'rsciio', 'tifffile', 'av', 'h5py', 'zarr', 'PIL', 'pooch', 'distributed',"
        " 'dask', 'scipy', 'emreel.synthetic'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_smallest_movie() -> None:
    assert open_movie(np.ones((1, 1, 1))).shape == (1, 1, 1)


def test_an_ome_zarr_keeps_its_metadata(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "m.zarr", mode="w")
    array = group.create_array("0", data=np.ones((3, 4, 5), "u2"), chunks=(1, 4, 5))
    array.attrs["detector"] = "HAADF"
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": "t", "type": "time", "unit": "second"}, {"name": "y"}, {"name": "x"}],
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 1.0, 1.0]}]}],
            }
        ],
    }
    movie = open_movie(tmp_path / "m.zarr")
    assert pixel_size_nm(movie) is None, "a scale without unit is no calibration"
    assert frame_times_s(movie).tolist() == [0, 2, 4]
    assert movie.attrs["original_metadata"]["detector"] == "HAADF"
