"""Intensity fields through fit and labels: a movie lit from one side, in tiles, after loading, in other frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from emreel import engine
from emreel.descriptors.geometry import Tile
from emreel.fit import fit_model
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import ClusterStep, Recipe, SampleStep
from emreel.synthetic import AmorphousFront, Detector

WITH = Recipe(sample=SampleStep(frames=6, points=12_000), cluster=ClusterStep(name="kmeans", n_clusters=4))
WITHOUT = replace(WITH, cluster=ClusterStep(name="kmeans", n_clusters=4, intensity_field=False))


@pytest.fixture(scope="module")
def lit_scene() -> AmorphousFront:
    return AmorphousFront(shape_yx=(192, 208), n_frames=6, detector=Detector(dose=60.0, dtype="uint16"), seed=8)


@pytest.fixture(scope="module")
def lit_movie(lit_scene: AmorphousFront) -> xr.DataArray:
    """The beam is a third weaker at the right edge; binomial thinning leaves the counts Poisson's."""
    x = np.linspace(0, 1, lit_scene.shape_yx[1])
    frames = np.stack([lit_scene.frame(i) for i in range(lit_scene.n_frames)])
    return make_movie(np.random.default_rng(0).binomial(frames, 1 - 0.5 * x).astype(np.uint16))


@pytest.fixture(scope="module")
def lit_model(lit_movie: xr.DataArray) -> Model:
    return fit_model(lit_movie, WITH)


def accuracy(scene: AmorphousFront, movie: xr.DataArray, model: Model) -> float:
    truth = scene.truth(5).labels
    label = model.label(movie[5].values)
    meaning = [np.bincount(truth[label == k], minlength=4).argmax() for k in range(1, 5)]
    return float(np.mean(np.asarray([-1, *meaning, *[-1] * 251])[label] == truth))


def test_a_field_mends_uneven_light(lit_scene: AmorphousFront, lit_movie: xr.DataArray, lit_model: Model) -> None:
    plain = fit_model(lit_movie, WITHOUT)
    assert plain.field is None
    assert lit_model.field is not None
    assert accuracy(lit_scene, lit_movie, lit_model) > accuracy(lit_scene, lit_movie, plain) + 0.015
    bend = lit_model.field.at(np.full(2, 96.0), np.array([0.0, 207.0]))
    assert np.all(bend[0] > bend[1])


def test_tiles_equal_the_whole_frame(lit_movie: xr.DataArray, lit_model: Model) -> None:
    frame, shape = lit_movie[3].values, (192, 208)
    report = lit_model.report(frame)
    whole = lit_model.label_frame(frame, report)
    for tile in (Tile(0, 96, 0, 104), Tile(96, 192, 64, 208), Tile(40, 48, 100, 104)):
        have = tile.grown(lit_model.reach, shape)
        part = lit_model.label_tile(frame[have.slices], have, tile, shape, report)
        np.testing.assert_array_equal(part.label, whole.label[tile.slices])
        np.testing.assert_array_equal(part.membership, whole.membership[(slice(None), *tile.grid_slices(4))])


def test_a_saved_field_is_the_same_field(lit_movie: xr.DataArray, lit_model: Model, tmp_path: Path) -> None:
    lit_model.save(tmp_path / "model.zarr")
    loaded = Model.load(tmp_path / "model.zarr")
    assert loaded == lit_model != replace(lit_model, field=None)
    np.testing.assert_array_equal(loaded.label(lit_movie[2].values), lit_model.label(lit_movie[2].values))


def test_chunks_and_workers_do_not_change_a_bit(lit_movie: xr.DataArray, lit_model: Model) -> None:
    chunked = lit_movie.copy(data=da.from_array(lit_movie.values, chunks=(2, 100, 77)))
    with engine.local_threads(3):
        assert fit_model(chunked, WITH).digest == lit_model.digest


def test_frames_of_another_shape_have_no_field(lit_movie: xr.DataArray, lit_model: Model) -> None:
    frame = lit_movie[3].values[:, :160]
    report = lit_model.report(lit_movie[3].values)
    plain = replace(lit_model, field=None)
    np.testing.assert_array_equal(lit_model.label_frame(frame, report).label, plain.label_frame(frame, report).label)


def test_movies_of_several_shapes_have_no_field(lit_movie: xr.DataArray) -> None:
    assert fit_model([lit_movie, lit_movie[:, :, :160]], WITH).field is None


def test_a_descriptor_without_an_intensity_channel_has_no_field(lit_movie: xr.DataArray) -> None:
    from emreel.recipe import DescriptorStep

    step = DescriptorStep(name="translation", fields={"window_px": 8, "patch_px": 6, "stride": 4})
    assert fit_model(lit_movie, replace(WITH, descriptor=step)).field is None
