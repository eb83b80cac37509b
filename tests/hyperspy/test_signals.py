"""Labels as signals of their own: known to HyperSpy, saved and loaded, fractions, outlines, numbers of regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from emreel.hyperspy import HyperSpyError, LazySegmentation, Segmentation, apply, region_markers, to_signal
from emreel.label import label_movie
from emreel.model import Model
from emreel.result import Result, ResultError, write_table
from emreel.view.export import export_result


@pytest.fixture(scope="module")
def result(front_movie: xr.DataArray, front_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return label_movie(front_movie, front_model, tmp_path_factory.mktemp("r") / "run")


def squares() -> Any:
    data = np.ones((3, 20, 24), np.uint8)
    for frame in range(3):
        data[frame, 5:12, 4 : 10 + frame] = 2
    signal = hs.signals.Signal2D(data)
    signal.set_signal_type("segmentation")
    for axis in signal.axes_manager.signal_axes:
        axis.scale, axis.units, axis.offset = 0.5, "nm", 2.0
    return signal


def test_hyperspy_knows_the_type() -> None:
    signal = squares()
    assert type(signal) is Segmentation
    lazy = signal.as_lazy()
    assert type(lazy) is LazySegmentation
    lazy.compute(show_progressbar=False)
    assert type(lazy) is Segmentation
    assert type(signal.inav[0]) is Segmentation
    signal.set_signal_type("")
    assert type(signal) is hs.signals.Signal2D


@pytest.mark.parametrize("lazy", [False, True])
def test_it_is_saved_and_loaded(result: Result, tmp_path: Path, lazy: bool) -> None:
    path = export_result(result, "hspy", tmp_path / "run.hspy")
    assert [file.name for file in tmp_path.iterdir()] == ["run.hspy"]
    loaded = hs.load(path, lazy=lazy)
    assert type(loaded) is (LazySegmentation if lazy else Segmentation)
    np.testing.assert_array_equal(np.asarray(loaded.data), result.label.values)
    assert loaded.label_names == ["phase 1", "phase 2", "phase 3", "phase 4"]
    time, x = loaded.axes_manager.navigation_axes[0], loaded.axes_manager.signal_axes[0]
    assert (time.units, time.scale, x.units, x.scale) == ("s", 1.0, "nm", 0.04)
    assert loaded.original_metadata.emreel.provenance.as_dictionary()
    if lazy:
        loaded.close_file()


def test_fractions_are_the_tables(result: Result) -> None:
    labels = to_signal(result)
    share = labels.class_fraction(2)
    assert share._lazy
    table = result.table("class_fraction")
    np.testing.assert_allclose(np.asarray(share.data), table[table["label"] == 2]["fraction"], atol=1e-6)
    assert share.axes_manager.signal_axes[0].units == "s"


def test_outlines_lie_where_the_class_is() -> None:
    signal = squares()
    marker = signal.contours(2, linewidth=2)
    for frame in range(3):
        (outline,) = marker.kwargs["verts"][frame]
        low, high = outline.min(axis=0), outline.max(axis=0)
        np.testing.assert_allclose(low, (2 + 0.5 * 3.5, 2 + 0.5 * 4.5))
        np.testing.assert_allclose(high, (2 + 0.5 * (9.5 + frame), 2 + 0.5 * 11.5))
    single = signal.inav[1].contours(2)
    assert len(single.kwargs["verts"]) == 1
    with pytest.raises(HyperSpyError, match="wanted 1 to"):
        signal.contours(0)


def test_markers_move_with_the_navigator(front_signal: Any, front_model: Model) -> None:
    labels = apply(front_model, front_signal, show_progressbar=False)
    front_signal.plot()
    front_signal.add_marker(labels.contours(2))
    front_signal.axes_manager.indices = (7,)
    front_signal._plot.signal_plot.figure.canvas.draw()
    plt.close("all")


def test_regions_have_their_numbers(make_regions: Any, front_signal: Any) -> None:
    result = make_regions()
    points, numbers = region_markers(result)
    np.testing.assert_allclose(points.kwargs["offsets"][1], [[4.0, 6.0], [10.0, 3.0]])
    assert list(numbers.kwargs["texts"][1]) == ["1", "7"]
    assert len(points.kwargs["offsets"][0]) == 0
    few, _ = region_markers(result, least_px=50)
    np.testing.assert_allclose(few.kwargs["offsets"][1], [[4.0, 6.0]])
    front_signal.plot()
    front_signal.add_marker([points, numbers])
    front_signal.axes_manager.indices = (1,)
    front_signal._plot.signal_plot.figure.canvas.draw()
    plt.close("all")


@pytest.fixture
def make_regions(result: Result) -> Any:
    def make() -> Result:
        table = result.table("class_fraction")[["frame"]].iloc[:0]
        rows = [{"frame": 1, "region": 1, "area_px2": 90.0, "centroid_x_px": 100.0, "centroid_y_px": 150.0}]
        rows.append({"frame": 1, "region": 7, "area_px2": 20.0, "centroid_x_px": 250.0, "centroid_y_px": 75.0})
        write_table(result.path, "regions", type(table)(rows))
        return result

    return make


def test_a_result_without_regions_says_so(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    result = label_movie(front_movie[:2], front_model, tmp_path / "r")
    with pytest.raises(ResultError, match="no table 'regions'"):
        region_markers(result)
