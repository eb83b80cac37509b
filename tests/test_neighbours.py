"""Labels with neighbours in mind, through fit and model: tiles, saving, memberships as sure as they are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel.descriptors.geometry import Tile
from emreel.fit import fit_model
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe, RefineStep, SampleStep
from emreel.refine import Novelty, Potts
from emreel.synthetic import Scene, make_scene

SAMPLE = SampleStep(frames=6, points=12_000)


def test_tiles_equal_the_whole_frame(front_movie: xr.DataArray, front_model: Model) -> None:
    frame, shape = front_movie[3].values, (128, 144)
    assert front_model.potts is not None
    report = front_model.report(frame)
    # a short reach, so that tiles end inside the frame
    short = replace(front_model, potts=Potts(coupling=6.0, sigma_points=0.6, steps=2), steady=None, novelty=None)
    assert short.reach == short.descriptor.halo + 2 + 4 * short.stride
    model = replace(short, novelty=Novelty(size_points=3, threshold=0.1))
    assert model.reach == short.reach
    for one in (front_model, model):
        whole = one.label_frame(frame, report)
        for tile in (Tile(0, 64, 0, 72), Tile(64, 128, 72, 144), Tile(60, 68, 68, 76)):
            have = tile.grown(one.reach, shape)
            part = one.label_tile(frame[have.slices], have, tile, shape, report)
            np.testing.assert_array_equal(part.label, whole.label[tile.slices])
            np.testing.assert_array_equal(part.membership, whole.membership[(slice(None), *tile.grid_slices(4))])


def test_a_label_is_the_largest_membership(front_movie: xr.DataArray, front_model: Model) -> None:
    for frame in front_movie.values[::3]:
        label = front_model.label(frame)[:: front_model.stride, :: front_model.stride]
        largest = front_model.membership(frame).argmax(axis=0) + 1
        known = label <= front_model.n_clusters
        assert known.mean() > 0.9
        np.testing.assert_array_equal(label[known], largest[known])


def test_a_saved_model_keeps_its_neighbours(front_model: Model, tmp_path: Path) -> None:
    front_model.save(tmp_path / "model.zarr")
    loaded = Model.load(tmp_path / "model.zarr")
    assert loaded == front_model
    assert loaded.potts == front_model.potts
    assert loaded.temperature == front_model.temperature != 1.0
    assert replace(front_model, potts=None) != front_model
    assert replace(front_model, temperature=1.0) != front_model


def test_a_recipe_switches_the_neighbours(front_movie: xr.DataArray) -> None:
    without = Recipe(sample=SAMPLE, refine=RefineStep(neighbours=False)).with_clusters(4)
    assert fit_model(front_movie, without).potts is None
    step = DescriptorStep(name="translation", fields={"window_px": 8, "patch_px": 6, "stride": 4})
    published = Recipe(sample=SAMPLE, descriptor=step).with_clusters(3)
    assert fit_model(front_movie, published).potts is None  # as it was published
    pulled = fit_model(front_movie, replace(published, refine=RefineStep(neighbours=True, reach_periods=2.0)))
    assert pulled.potts is not None
    assert pulled.potts.sigma_points > 2.0
    frame = front_movie[4].values
    assert np.mean(pulled.label(frame) == fit_model(front_movie, published).label(frame)) > 0.8


def test_noisy_labels_are_fewer(front_movie: xr.DataArray) -> None:
    """At a twentieth of the dose: pixels that differ from the pixel two grid points away are fewer."""
    thin = np.random.default_rng(0).binomial(front_movie.values.astype(int), 0.05).astype(np.uint8)
    model = fit_model(make_movie(thin), Recipe(sample=SAMPLE).with_clusters(4))

    def unrest(one: Model) -> float:
        labels = np.stack([one.label(frame) for frame in thin[::3]])
        return float(np.mean(labels[:, :, 8:] != labels[:, :, :-8]))

    assert unrest(model) < 0.95 * unrest(replace(model, potts=None))


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, int]]:
    shape = {"shape_yx": (192, 192), "n_frames": 3}
    return [
        (make_scene("front", seed=61, dose=30.0, **shape), 4),
        (make_scene("twin_lamella", seed=62, dose=20.0, **shape), 3),
        (make_scene("order_disorder", seed=63, dose=10.0, **shape), 2),
    ]


def test_memberships_are_as_sure_as_they_are_right(scenes: list[tuple[Scene, int]]) -> None:
    """Of points said to be 0.8 four in five are right, over movies of three kinds."""
    sure, right = [], []
    for scene, k in scenes:
        frames = np.stack([scene.frame(i) for i in range(scene.n_frames)])
        model = fit_model(make_movie(frames), Recipe(sample=SAMPLE).with_clusters(k))
        truth = np.stack([scene.truth(i).labels[:: model.stride, :: model.stride] for i in range(scene.n_frames)])
        soft = np.stack([model.membership(frame) for frame in frames])
        found = soft.argmax(axis=1)
        meaning = np.array([np.bincount(truth[found == j], minlength=k).argmax() for j in range(k)])
        sure.append(soft.max(axis=1).ravel())
        right.append((meaning[found] == truth).ravel())
    confidence, correct = np.concatenate(sure), np.concatenate(right)
    for low, high in ((0.6, 0.75), (0.75, 0.85), (0.85, 0.95)):
        near = (confidence >= low) & (confidence < high)
        assert near.sum() > 100
        assert correct[near].mean() == pytest.approx(confidence[near].mean(), abs=0.12)
