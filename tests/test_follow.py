"""One k-means step a frame: equal to a plain re-implementation, in batch, in a stream, and after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel import engine
from emreel import label as label_module
from emreel.descriptors.geometry import pad_frame
from emreel.fit import fit_model
from emreel.label import label_movie, label_stream
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe, RefineStep, SampleStep, TimeStep
from emreel.result import acquire_lock, forget_blocks, open_result

RECIPE = Recipe(
    descriptor=DescriptorStep(name="translation", fields={"window_px": 8, "patch_px": 6, "stride": 4}),
    refine=RefineStep(upsample="nearest"),
    time=TimeStep(follow="step"),
    sample=SampleStep(frames=1, points=3000),
).with_clusters(3)


@pytest.fixture(scope="module")
def model(front_movie: xr.DataArray) -> Model:
    """Fitted on the first frame alone, as published."""
    return fit_model(front_movie[:1], RECIPE)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_module, "MOST_FRAMES_PER_BLOCK", 3)


def followed_plainly(frames: np.ndarray, model: Model) -> list[np.ndarray]:
    """Centres after each frame, in float64: a fixed projection, then the mean of the points nearest to each centre."""
    centers, found = model.centers.copy(), []
    assert model.components is not None
    for frame in frames:
        prepared = frame.astype(np.float32) / (frame.mean() / model.prepare.reference_mean)
        features = model.descriptor(*pad_frame(prepared.astype(np.float32), model.descriptor.halo)).astype(np.float64)
        rows = (features.reshape(-1, features.shape[-1]) - model.mean) @ model.components.T
        nearest = ((rows[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        centers = np.array([rows[nearest == k].mean(axis=0) if (nearest == k).any() else centers[k] for k in range(3)])
        found.append(centers)
    return found


def test_the_centres_are_those_of_a_plain_step_a_frame(front_movie: xr.DataArray, model: Model) -> None:
    following = model
    for frame, expected in zip(front_movie.values, followed_plainly(front_movie.values, model), strict=True):
        following = following.followed(frame)
        np.testing.assert_allclose(following.centers, expected, atol=2e-4 * np.abs(expected).max())
    moved = np.linalg.norm(following.centers - model.centers, axis=1)
    assert moved.max() > 0.02 * np.ptp(model.centers)


def test_batch_equals_stream(front_movie: xr.DataArray, model: Model, tmp_path: Path) -> None:
    streamed = [labels.label for labels in label_stream(front_movie.values, model)]
    with engine.local_threads(3):
        batch = label_movie(front_movie, model, tmp_path / "r")
    np.testing.assert_array_equal(batch.label.values, streamed)
    fixed = [model.label_frame(frame).label for frame in front_movie.values]
    assert np.mean(np.asarray(fixed) != np.asarray(streamed)) > 0.001


def test_it_goes_on_where_it_stopped(front_movie: xr.DataArray, model: Model, tmp_path: Path) -> None:
    whole = label_movie(front_movie, model, tmp_path / "whole").label.values
    label_movie(front_movie, model, tmp_path / "cut")
    with acquire_lock(tmp_path / "cut") as lock:
        forget_blocks(tmp_path / "cut", [1, 3], lock)
    label_movie(front_movie, model, tmp_path / "cut")
    np.testing.assert_array_equal(open_result(tmp_path / "cut").label.values, whole)


def test_blank_frames_move_nothing(front_movie: xr.DataArray, model: Model, tmp_path: Path) -> None:
    frames = front_movie.values.copy()
    frames[4] = 0
    assert model.followed(frames[4]).digest == model.digest
    label_movie(make_movie(frames), model, tmp_path / "r")


def test_a_saved_model_still_follows(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.zarr")
    assert Model.load(tmp_path / "m.zarr").follow == "step"
