"""Regions of whole results: tables, identities in the store, lineage, events."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel.fit import fit_model
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import Recipe, SampleStep
from emreel.result import Result, ResultError, acquire_lock, open_result, verify_result
from emreel.synthetic import make_scene
from emreel.track.errors import TrackError
from emreel.track.linking import RegionFinder
from emreel.track.regions import size_table, track_regions


def blobs() -> np.ndarray:
    """Two blobs of class 2 that meet at frame 6, one of class 3 that vanishes at frame 4 and one that comes at 3."""
    movie = np.ones((10, 60, 80), np.uint8)
    for t in range(10):
        movie[t, 10:22, 5 + 2 * t : 20 + 2 * t] = 2
        movie[t, 10:22, 33:50] = 2
        if t < 4:
            movie[t, 40:50, 10:20] = 3
        if t >= 3:
            movie[t, 35:50, 50:70] = 3
    return movie


def test_tables_tell_what_happens(make_result: Callable[..., Result]) -> None:
    result = make_result(blobs(), times_s=np.arange(10) * 0.2, pixel_size_nm=0.5)
    table = track_regions(result)
    events = result.table("events")
    told = events[["event", "frame", "region"]].to_numpy().tolist()
    assert told == [["region_appears", 3, 5], ["region_vanishes", 4, 4], ["region_merges", 7, 2]]
    assert events["time_s"].to_numpy() == pytest.approx([0.6, 0.8, 1.4])
    in_rows = table[table["event"] != ""][["frame", "region", "event"]].to_numpy().tolist()
    assert in_rows == [[3, 4, "vanishes"], [3, 5, "appears"], [6, 2, "merges"]]
    vanishing = table[(table["region"] == 4) & (table["frame"] == 0)].iloc[0]
    assert (vanishing["area_px2"], vanishing["area_nm2"], vanishing["label"]) == (100, 25, 3)
    assert result.table("lineage").to_numpy().tolist() == [[7, 2, 3, "merge"]]
    touching = result.table("boundaries")
    assert set(touching["region"]) | set(touching["neighbour"]) == {1, 2, 3, 4, 5}
    sizes = size_table(table)
    assert sizes[(sizes["frame"] == 3) & (sizes["label"] == 3)]["n_regions"].tolist() == [2]


def test_identities_are_written_beside_the_labels(make_result: Callable[..., Result]) -> None:
    label = blobs()
    result = make_result(label)
    with pytest.raises(ResultError, match="emreel track"):
        _ = result.region
    track_regions(result)
    again = open_result(result.path)
    region = again.region.to_numpy()
    assert region.dtype == np.uint32 and region.shape == label.shape
    assert (np.unique(region[label == 3]).tolist(), np.unique(region[label == 2]).tolist()) == ([4, 5], [2, 3])
    assert not verify_result(result.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = xr.open_zarr(result.path / "movie.zarr", group="labels/regions")
    assert raw["region"].dims == ("time", "y", "x")
    first = {file: file.read_bytes() for file in (result.path / "movie.zarr" / "labels").rglob("*") if file.is_file()}
    table = track_regions(open_result(result.path))
    assert {file: file.read_bytes() for file in first} == first
    assert set(table["region"]) == {1, 2, 3, 4, 5}


def test_a_blank_frame_is_no_news(make_result: Callable[..., Result]) -> None:
    movie = blobs()[:3]
    result = make_result(np.stack([movie[0], np.full_like(movie[0], 254), movie[2]]))
    table = track_regions(result)
    assert table["frame"].unique().tolist() == [0, 2]
    assert result.table("events").empty


def test_grains_keep_the_names_that_they_have(tmp_path: Path) -> None:
    scene = make_scene("grain_growth", shape_yx=(256, 256), n_frames=6, n_grains=16, seed=8)
    frames = np.stack([scene.frame(index) for index in range(scene.n_frames)])
    movie = make_movie(frames, pixel_size_nm=scene.pixel_size_nm, frame_times_s=scene.frame_times_s)
    model: Model = fit_model(movie, Recipe(sample=SampleStep(frames=6, points=20_000)))
    result = label_movie(movie, model, tmp_path / "grains")
    before = result.table("regions")
    named = result.region.to_numpy()
    table = track_regions(result)
    columns = ["frame", "region", "area_px2", "orientation_deg"]
    assert table[columns].to_numpy() == pytest.approx(before[columns].to_numpy(), nan_ok=True)
    assert (open_result(result.path).region.to_numpy() == named).all()
    borders = result.table("boundaries").set_index(["frame", "region", "neighbour"])
    angle = table.set_index(["frame", "region"])["orientation_deg"]
    (frame, one, other), row = next(iter(borders.iterrows()))  # type: ignore[misc]
    turn = abs(angle[frame, one] - angle[frame, other]) % 90
    assert row["misorientation_deg"] == pytest.approx(min(turn, 90 - turn))


def test_what_cannot_be_followed_is_refused(make_result: Callable[..., Result]) -> None:
    result = make_result(blobs())
    with pytest.raises(TrackError, match="pixel size"):
        track_regions(result, finder=RegionFinder(min_area_nm2=5.0))
    with acquire_lock(result.path), pytest.raises(ResultError, match="lock|written"):
        track_regions(result)
    assert not (result.path / "movie.zarr" / "labels" / "regions").exists()
