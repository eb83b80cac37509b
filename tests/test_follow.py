"""One k-means step a frame: equal to a plain re-implementation, in batch, in a stream, and after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel import engine
from emreel.descriptors.geometry import pad_frame
from emreel.fit import fit_model
from emreel.label import label_movie, label_stream
from emreel.label import layout as label_layout
from emreel.model import SLOW_REACH, Model
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
    monkeypatch.setattr(label_layout, "MOST_FRAMES_PER_BLOCK", 3)


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


# ------------------------------------------------------------------------------------------------- slowly


@pytest.fixture(scope="module")
def fading(front_movie: xr.DataArray) -> np.ndarray:
    """The same few frames again and again, while something that scatters everywhere builds up."""
    frames = np.concatenate([front_movie.values[:4]] * 20).astype(np.uint16)
    rng = np.random.default_rng(1)
    return frames + rng.poisson(np.linspace(0, 0.7, len(frames))[:, None, None] * frames.mean(), frames.shape)


def fitted_on_the_first(frames: np.ndarray, follow: str) -> Model:
    step = TimeStep(follow=follow, steady=False)  # type: ignore[arg-type]
    recipe = Recipe(time=step, refine=RefineStep(novelty=False), sample=SampleStep(frames=4))
    return fit_model(make_movie(frames[:4]), recipe.with_clusters(4))


def test_slow_following_keeps_labels_right_while_contrast_drifts(fading: np.ndarray) -> None:
    still, slow = (fitted_on_the_first(fading, follow) for follow in ("none", "slow"))
    first = [still.label(frame) for frame in fading[:4]]
    agree = {}
    for name, model in (("none", still), ("slow", slow)):
        labels = [found.label for found in label_stream(fading, model)]
        agree[name] = np.mean([np.mean(label == expected) for label, expected in zip(labels[-4:], first, strict=True)])
    assert agree["slow"] > agree["none"] + 0.1 and agree["slow"] > 0.85


def test_slow_following_is_bounded(fading: np.ndarray) -> None:
    model = fitted_on_the_first(fading, "slow")
    reach = SLOW_REACH * np.sqrt(model.unknown_sq_distance)
    following = model
    for frame in np.concatenate([fading[20:], fading[20:] * 3 + 400]):
        before = following
        following = following.followed(frame)
        assert np.all(np.linalg.norm(following.centers - model.centers, axis=1) <= reach * (1 + 1e-9))
        assert np.linalg.norm(following.centers - before.centers) < 0.2 * np.ptp(model.centers)
    assert not np.array_equal(following.centers, model.centers)


def test_slow_following_is_the_same_in_batch_and_after_an_interruption(fading: np.ndarray, tmp_path: Path) -> None:
    model = fitted_on_the_first(fading, "slow")
    result = label_movie(make_movie(fading[:12]), model, tmp_path / "r")
    expected = np.stack([found.label for found in label_stream(fading[:12], model)])
    np.testing.assert_array_equal(result.label, expected)
    with acquire_lock(tmp_path / "r") as lock:
        forget_blocks(tmp_path / "r", {2, 3}, lock)
    label_movie(make_movie(fading[:12]), model, tmp_path / "r")
    np.testing.assert_array_equal(open_result(tmp_path / "r").label, expected)
