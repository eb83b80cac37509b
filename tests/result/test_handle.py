"""Results opened: by us, and by every program that reads OME-Zarr."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr.io
import ome_zarr.reader
import pytest
import xarray as xr
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

from emreel import result
from emreel.movie import frame_times_s, pixel_size_nm
from emreel.result import ResultError
from emreel.result.store import checksum

TIMES_S = np.array([0.0, 0.1, 0.25, 0.3, 0.4, 0.55, 0.6])
CALIBRATED: dict[str, Any] = {"times_s": TIMES_S, "pixel_size_nm": 0.25, "origin_yx_px": (10.0, 4.0)}
GROUPS = ["", "labels/segments", "membership"]


@pytest.fixture
def wide(make_bench: Any) -> Any:
    """Frames wider than a preview may be: the preview is smaller than the frame."""
    return make_bench((3, 12, 2050), frames=2)


def whole(bench: Any, name: str) -> np.ndarray:
    values = np.zeros(bench.layout.arrays()[name].shape, np.uint8)
    for block in bench.layout.blocks():
        values[bench.layout.region(name, block)] = bench.data(block)[name]
    return values


@pytest.mark.parametrize("chunks", ["shards", None, {"time": 1}])
def test_what_was_written_is_read(tmp_path: Path, bench: Any, chunks: Any) -> None:
    bench.run(tmp_path, **CALIBRATED, provenance={"program": "emreel"})
    opened = result.open_result(tmp_path, chunks=chunks)
    assert opened.is_complete and opened.layout == bench.layout and opened.path == tmp_path
    assert opened.label.dtype == np.uint8 and opened.label.dims == ("time", "y", "x")
    assert (opened.label.chunks is None) == (chunks is None)
    np.testing.assert_array_equal(opened.label, whole(bench, "label"))
    np.testing.assert_array_equal(opened.preview, whole(bench, "preview"))
    np.testing.assert_allclose(opened.membership, whole(bench, "membership") / 255, rtol=1e-7)
    assert opened.membership.dims == ("time", "class", "y_grid", "x_grid")
    assert list(opened.membership["class"]) == [1, 2, 3]
    assert opened.facts["provenance"] == {"program": "emreel"}
    assert opened.tree.attrs["emreel"] == opened.facts
    assert opened.label_names == ("vacuum", "film 1", "substrate")


def test_coordinates_are_the_movie_s(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path, **CALIBRATED)
    opened = result.open_result(tmp_path)
    label, membership = opened.label, opened.membership
    np.testing.assert_array_equal(label["time"], TIMES_S)
    np.testing.assert_allclose(label["y"], (np.arange(20) + 10) * 0.25)
    np.testing.assert_allclose(label["x"], (np.arange(30) + 4) * 0.25)
    assert [label[dim].attrs["units"] for dim in label.dims] == ["s", "nm", "nm"]
    np.testing.assert_array_equal(membership["y_grid"], label["y"][::4])
    np.testing.assert_array_equal(membership["x_grid"], label["x"][::4])
    np.testing.assert_array_equal(membership["time"], TIMES_S)
    assert pixel_size_nm(label) == opened.pixel_size_nm == 0.25
    assert frame_times_s(label) is not None and opened.times_s is not None
    np.testing.assert_array_equal(opened.times_s, TIMES_S)


def test_without_calibration_pixels_and_frames_are_counted(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    opened = result.open_result(tmp_path)
    assert opened.pixel_size_nm is None and opened.times_s is None
    assert pixel_size_nm(opened.label) is None and frame_times_s(opened.label) is None
    assert [opened.label[dim].attrs["units"] for dim in opened.label.dims] == ["frame", "px", "px"]
    assert list(opened.label["time"]) == list(range(7)) and opened.label["time"].dtype == np.int64
    multiscales = zarr.open_group(tmp_path / "movie.zarr").attrs["ome"]["multiscales"]
    assert all("unit" not in axis for axis in multiscales[0]["axes"])


def test_a_preview_s_pixel_lies_in_the_middle_of_those_it_stands_for(tmp_path: Path, wide: Any) -> None:
    wide.run(tmp_path, pixel_size_nm=2.0)
    opened = result.open_result(tmp_path)
    factor = wide.layout.preview_factor
    assert factor == 3 and opened.preview.sizes == {"time": 3, "y_preview": 4, "x_preview": 684}
    np.testing.assert_allclose(opened.preview["y_preview"], opened.label["y"].values.reshape(4, factor).mean(axis=1))
    dataset = zarr.open_group(tmp_path / "movie.zarr").attrs["ome"]["multiscales"][0]["datasets"][0]
    assert dataset["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 6.0, 6.0]},
        {"type": "translation", "translation": [0.0, 2.0, 2.0]},
    ]


def test_an_unfinished_result_opens_and_says_what_is_missing(
    tmp_path: Path, bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.run(tmp_path, 1)
    with caplog.at_level(logging.WARNING):
        opened = result.open_result(tmp_path)
    assert opened.missing_blocks == (1, 2, 3) and not opened.is_complete
    assert caplog.messages == [f"{tmp_path} is not finished: 3 of 4 blocks are missing"]
    label = opened.label.values
    assert (label[:2] > 0).all() and (label[2:] == 0).all()


def test_results_without_memberships_say_so(tmp_path: Path, make_bench: Any) -> None:
    make_bench(with_membership=False).run(tmp_path)
    opened = result.open_result(tmp_path)
    assert "membership" not in opened.tree
    with pytest.raises(ResultError, match="no memberships"):
        opened.membership  # noqa: B018


def test_opening_reads_no_pixel(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    for block in bench.layout.blocks():
        for file in result.shard_paths(tmp_path, bench.layout, block).values():
            file.write_bytes(b"not a shard")
    for chunks in ("shards", None):
        opened = result.open_result(tmp_path, chunks=chunks)
        assert opened.label.shape == (7, 20, 30)
        with pytest.raises((ValueError, RuntimeError, IndexError, TypeError)):
            opened.label.values  # noqa: B018


@pytest.mark.parametrize("key", ["labels/segments/label", "labels/segments/y", "labels/segments", "preview", "time"])
def test_a_damaged_result_is_named(tmp_path: Path, bench: Any, key: str) -> None:
    bench.run(tmp_path)
    (tmp_path / "movie.zarr" / key / "zarr.json").write_text("{")
    with pytest.raises(ResultError, match=r"is damaged .*emreel verify"):
        result.open_result(tmp_path)


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ResultError, match=r"is not a result.*Give the folder"):
            result.open_result(path)
    assert list(tmp_path.iterdir()) == []


def test_frame_tables_follow_from_the_ledger(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path, **CALIBRATED)
    result.write_frame_tables(tmp_path)
    opened = result.open_result(tmp_path)
    fractions, labels = opened.table("class_fraction"), whole(bench, "label")
    assert list(opened.table("quality")["frame"]) == list(range(7))
    for row in fractions.itertuples():
        assert row.area_px2 == (labels[row.frame] == row.label).sum()
        assert row.area_nm2 == row.area_px2 * 0.0625 and row.time_s == TIMES_S[row.frame]


def test_it_shows_itself_in_a_notebook(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    html = result.open_result(tmp_path)._repr_html_()
    assert "label" in html and "membership" in html


@pytest.mark.parametrize("fixture", ["bench", "wide"])
@pytest.mark.parametrize("more", [{}, {"times_s": None, "pixel_size_nm": 0.1}])
def test_xarray_opens_every_group_without_a_warning(
    tmp_path: Path, request: pytest.FixtureRequest, fixture: str, more: dict[str, Any]
) -> None:
    bench = request.getfixturevalue(fixture)
    bench.run(tmp_path, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets = [xr.open_zarr(tmp_path / "movie.zarr", group=group) for group in GROUPS]
        groups = xr.open_groups(tmp_path / "movie.zarr", engine="zarr")
        group = zarr.open_group(tmp_path / "movie.zarr", mode="r")
        members = {name for name, _ in group.members(max_depth=None)}
    preview, segments, membership = datasets
    assert preview["preview"].dims == segments["label"].dims == ("time", "y", "x")
    assert segments["label"].dtype == np.uint8 and "_FillValue" not in segments["label"].encoding
    np.testing.assert_array_equal(segments["label"], whole(bench, "label"))
    np.testing.assert_allclose(membership["membership"], whole(bench, "membership") / 255, rtol=1e-7)
    assert {"/", "/labels", "/labels/segments", "/membership"} == set(groups)
    assert {"preview", "labels/segments/label", "membership/membership", "time", "y", "x"} <= members


def test_xarray_opens_the_whole_tree_when_the_preview_is_as_large_as_the_movie(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    tree = xr.open_datatree(tmp_path / "movie.zarr", engine="zarr")
    assert tree["labels/segments/label"].shape == (7, 20, 30)


def test_labels_say_what_they_mean(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    label = result.open_result(tmp_path).label
    assert label.attrs["flag_values"] == [0, 1, 2, 3, 254, 255]
    assert label.attrs["flag_meanings"].split() == [
        *("not_computed", "vacuum", "film_1", "substrate", "invalid", "unknown")
    ]


def test_ome_zarr_models_finds_it_valid(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path, **CALIBRATED)
    image = Image.from_zarr(zarr.open_group(tmp_path / "movie.zarr", mode="r"))
    assert [axis.name for axis in image.ome_attributes.multiscales[0].axes] == ["time", "y", "x"]
    segments = ImageLabel.from_zarr(zarr.open_group(tmp_path / "movie.zarr" / "labels" / "segments", mode="r"))
    described = segments.ome_attributes.image_label
    assert described is not None and described.colors is not None and described.properties is not None
    assert [color.label_value for color in described.colors] == [0, 1, 2, 3, 254, 255]
    assert described.colors[0].rgba == (0, 0, 0, 0), "what is not computed is transparent"
    assert described.colors[1].rgba == (230, 159, 0, 255)


def test_ome_zarr_py_reads_image_and_labels(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path, **CALIBRATED)
    location = ome_zarr.io.parse_url(tmp_path / "movie.zarr")
    nodes = {Path(str(node.zarr.path)).name: node for node in ome_zarr.reader.Reader(location)()}
    np.testing.assert_array_equal(nodes["movie.zarr"].data[0], whole(bench, "preview"))
    segments = nodes["segments"]
    np.testing.assert_array_equal(segments.data[0], whole(bench, "label"))
    assert segments.metadata["properties"][2] == {"name": "film 1"}
    assert segments.metadata["color"][2] == [86 / 255, 180 / 255, 233 / 255, 1.0]


# in a process of its own: napari's imports warn of many things that are none of ours
NAPARI = """
import json, sys
from google_crc32c import value
from napari_ome_zarr import napari_get_reader
layers = [
    {"kind": kind, "crc": value(data[0].compute().tobytes()), "color of 0": meta.get("colormap", {0: None})[0]}
    | {name: meta.get(name) for name in ("axis_labels", "scale", "units", "properties")}
    for data, meta, kind in napari_get_reader(sys.argv[1])(sys.argv[1])
]
print(json.dumps(layers, default=list))
"""


def test_napari_s_reader_shows_image_and_labels(tmp_path: Path, wide: Any) -> None:
    wide.run(tmp_path, times_s=[0.0, 0.1, 0.2], pixel_size_nm=0.5)
    command = [sys.executable, "-c", NAPARI, tmp_path / "movie.zarr"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    image, labels = json.loads(told.stdout.splitlines()[-1])
    assert (image["kind"], labels["kind"]) == ("image", "labels")
    assert image["crc"] == checksum(whole(wide, "preview")) and labels["crc"] == checksum(whole(wide, "label"))
    assert image["axis_labels"] == labels["axis_labels"] == ["time", "y", "x"]
    assert image["units"] == labels["units"] == ["second", "nanometer", "nanometer"]
    np.testing.assert_allclose(image["scale"], [0.1, 1.5, 1.5])
    np.testing.assert_allclose(labels["scale"], [0.1, 0.5, 0.5])
    assert labels["properties"]["name"] == ["not computed", "vacuum", "film 1", "substrate", "invalid", "unknown"]
    assert labels["properties"]["index"] == [0, 1, 2, 3, 254, 255]
    assert labels["color of 0"][3] == 0
