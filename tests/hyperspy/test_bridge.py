"""Signals in, movies out, and back: axes, units, uneven times, metadata, masks, laziness."""

from __future__ import annotations

from typing import Any

import dask
import hyperspy.api as hs
import numpy as np
import pytest
import xarray as xr

from emreel.hyperspy import HyperSpyError, from_signal, to_signal
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import MovieError, frame_times_s, make_movie, pixel_size_nm
from emreel.result import Result


def signal_of(frames: np.ndarray, **axes: dict[str, Any]) -> Any:
    signal = hs.signals.Signal2D(frames)
    for name, values in axes.items():
        where = signal.axes_manager.navigation_axes if name == "time" else signal.axes_manager.signal_axes
        axis = where[0] if name in ("time", "x") else where[1]
        for key, value in values.items():
            setattr(axis, key, value)
    return signal


FRAMES = np.random.default_rng(0).integers(0, 200, (5, 6, 8), dtype=np.uint16)


def test_axes_and_units_become_nm_and_s() -> None:
    signal = signal_of(
        FRAMES,
        time={"units": "ms", "scale": 250.0, "offset": 500.0},
        y={"units": "Å", "scale": 0.5, "offset": 1.0},
        x={"units": "Å", "scale": 0.5},
    )
    signal.original_metadata.add_dictionary({"Microscope": {"kV": 300, "name": "T"}})
    movie = from_signal(signal)
    np.testing.assert_array_equal(movie.values, FRAMES)
    np.testing.assert_allclose(frame_times_s(movie), 0.5 + 0.25 * np.arange(5))
    assert pixel_size_nm(movie) == pytest.approx(0.05)
    np.testing.assert_allclose(movie.y.values, 0.1 + 0.05 * np.arange(6))
    assert movie.attrs["original_metadata"] == {"Microscope": {"kV": 300, "name": "T"}}


def test_what_is_not_calibrated_stays_so() -> None:
    movie = from_signal(signal_of(FRAMES, x={"units": "1/nm", "scale": 0.1}, y={"units": "1/nm", "scale": 0.1}))
    assert pixel_size_nm(movie) is None and frame_times_s(movie) is None
    assert movie.x.attrs["units"] == "px" and movie.time.attrs["units"] == "frame"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_movie_comes_back_the_same(lazy: bool) -> None:
    times = np.array([0.0, 0.5, 0.6, 2.0, 7.5])
    movie = make_movie(
        FRAMES, frame_times_s=times, pixel_size_nm=0.07, origin_yx_px=(3, 4), original_metadata={"a": {"b": 1}}
    )
    signal = to_signal(movie, lazy=lazy)
    assert signal._lazy is lazy
    assert not signal.axes_manager.navigation_axes[0].is_uniform
    back = from_signal(signal)
    xr.testing.assert_allclose(back, movie)
    assert back.attrs == movie.attrs
    assert (back.chunks is not None) is lazy


def test_nothing_is_computed() -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a pixel was computed")

    signal = signal_of(FRAMES).as_lazy()
    with dask.config.set(scheduler=refuse):
        mask = np.zeros((6, 8), bool)
        movie = from_signal(signal, signal_mask=mask, navigation_mask=np.zeros(5, bool))
        to_signal(movie)
    np.testing.assert_array_equal(movie.values, FRAMES)


def test_masks_leave_out_pixels_and_frames() -> None:
    pixels = np.zeros((6, 8), bool)
    pixels[2, 3] = True
    frames = hs.signals.BaseSignal(np.array([True, False, False, True, False])).T
    movie = from_signal(signal_of(FRAMES, time={"units": "s"}), signal_mask=pixels, navigation_mask=frames.data)
    assert np.isnan(movie.values[:, 2, 3]).all() and np.isnan(movie.values).sum() == 3
    np.testing.assert_array_equal(movie.values[:, 0], FRAMES[[1, 2, 4], 0])
    np.testing.assert_array_equal(frame_times_s(movie), [1, 2, 4])
    assert movie.attrs["units"] == "counts"


def test_other_dimensions() -> None:
    assert from_signal(hs.signals.Signal2D(FRAMES[0])).shape == (1, 6, 8)
    scan = hs.signals.Signal2D(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5))
    np.testing.assert_array_equal(from_signal(scan).values, scan.data.reshape(6, 4, 5))
    turned = signal_of(FRAMES).transpose(signal_axes=(0, 1))
    assert from_signal(turned).shape == tuple(turned.data.shape)


def test_what_is_no_movie_is_named() -> None:
    with pytest.raises(HyperSpyError, match="1 signal dimensions, wanted pictures"):
        from_signal(hs.signals.Signal1D(np.ones((3, 4))))
    with pytest.raises(HyperSpyError, match="not square"):
        from_signal(signal_of(FRAMES, y={"units": "nm", "scale": 0.1}, x={"units": "nm", "scale": 0.2}))
    with pytest.raises(HyperSpyError, match="wanted bool"):
        from_signal(signal_of(FRAMES), signal_mask=np.zeros((3, 3), bool))
    with pytest.raises(HyperSpyError, match="every frame"):
        from_signal(signal_of(FRAMES), navigation_mask=np.ones(5, bool))
    with pytest.raises(MovieError, match="complex"):
        from_signal(hs.signals.ComplexSignal2D(FRAMES + 1j))


@pytest.mark.parametrize("name", ["atomic_resolution_image", "wave_image"])
def test_hyperspys_own_examples(name: str) -> None:
    signal = getattr(hs.data, name)()
    movie = from_signal(signal)
    np.testing.assert_array_equal(movie.values[0], signal.data)
    units = signal.axes_manager.signal_axes[0].units
    assert (pixel_size_nm(movie) is not None) == (units in ("nm", "Å"))


@pytest.fixture(scope="module")
def result(front_movie: xr.DataArray, front_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return label_movie(front_movie, front_model, tmp_path_factory.mktemp("r") / "run")


def test_a_result_is_signals(result: Result) -> None:
    label = to_signal(result)
    assert type(label).__name__ == "LazySegmentation"
    np.testing.assert_array_equal(label.data.compute(), result.label.values)
    x = label.axes_manager.signal_axes[0]
    assert (x.name, x.units, x.scale) == ("x", "nm", pytest.approx(0.04))
    assert label.axes_manager.navigation_axes[0].units == "s"
    assert to_signal(result, lazy=False).data.dtype == np.uint8
    soft = to_signal(result, "membership")
    assert [axis.name for axis in soft.axes_manager.navigation_axes] == ["class", "time"]
    np.testing.assert_allclose(soft.data.compute(), result.membership.values)
    assert soft.axes_manager.signal_axes[0].scale == pytest.approx(0.04 * result.layout.stride)
    with pytest.raises(HyperSpyError, match="wanted one of label"):
        to_signal(result, "labels")
