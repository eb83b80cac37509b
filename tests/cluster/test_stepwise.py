"""One k-means step a frame: equal to scikit-learn's single step, true to its classes, resumable to the bit."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from emreel.cluster import ClusterError
from emreel.cluster.stepwise import StepwiseCenters
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.translation import TranslationSymmetry


def plain_step(rows, centers):
    """Nearest centre, then means, then nearest again: loops in float64."""
    rows, centers = rows.astype(np.float64), np.asarray(centers, np.float64)
    nearest = np.array([np.argmin([np.sum((row - c) ** 2) for c in centers]) for row in rows])
    moved = np.array([rows[nearest == k].mean(axis=0) if (nearest == k).any() else c for k, c in enumerate(centers)])
    return moved, np.array([np.argmin([np.sum((row - c) ** 2) for c in moved]) for row in rows])


def moving_blobs(seed, n_frames=6, n=120, k=3, d=2):
    """Rows of k blobs that wander and change their sizes."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(k, d)) * 6
    for _ in range(n_frames):
        middles = middles + rng.normal(size=(k, d)) * 0.3
        yield (middles[rng.choice(k, n, p=rng.dirichlet(np.ones(k)))] + rng.normal(size=(n, d))).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_equals_plain_loops_frame_after_frame(seed):
    frames = list(moving_blobs(seed))
    state = StepwiseCenters(centers=frames[0][:3])
    centers = frames[0][:3].astype(np.float64)
    for rows in frames:
        state, labels = state.step(rows)
        centers, wanted = plain_step(rows, centers)
        np.testing.assert_allclose(state.array, centers, atol=1e-6)
        assert np.mean(labels == wanted) > 0.99


def test_equals_the_published_way_on_a_movie(front_movie):
    """scikit-learn's PCA fitted on frame 0, then KMeans(init=centres before, max_iter=1) on every frame."""
    descriptor = TranslationSymmetry(window_px=8, patch_px=8, stride=6, max_shifts=25)
    features = [
        descriptor(*pad_frame(frame.astype(np.float32), descriptor.halo)).reshape(-1, len(descriptor.features))
        for frame in front_movie.values[:5]
    ]
    pca = PCA(3, svd_solver="full").fit(features[0])
    rows = [pca.transform(one).astype(np.float32) for one in features]
    first = KMeans(3, n_init=4, random_state=0).fit(rows[0])
    state, centers = StepwiseCenters(centers=first.cluster_centers_), first.cluster_centers_
    for one in rows:
        state, labels = state.step(one)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            published = KMeans(3, init=centers, n_init=1, max_iter=1, algorithm="lloyd").fit(one)
        centers = published.cluster_centers_
        np.testing.assert_allclose(state.array, centers, atol=1e-4)
        assert np.mean(labels == published.labels_) > 0.995


def test_labels_keep_their_meaning_when_areas_cross():
    rng = np.random.default_rng(0)
    state = StepwiseCenters(centers=((0.0, 0.0), (8.0, 0.0)))
    for t in range(20):
        n = 190 - 9 * t, 10 + 9 * t
        drift = 0.4 * t
        rows = np.concatenate([rng.normal((8 * k + drift, drift), 1.0, (n[k], 2)) for k in (0, 1)])
        state, labels = state.step(rows)
        assert np.mean(labels == np.repeat([0, 1], n)) > 0.99
    np.testing.assert_allclose(state.array, [[7.6, 7.6], [15.6, 7.6]], atol=0.5)


def test_a_class_without_rows_waits_and_a_small_rate_follows_slowly():
    away = np.full((50, 1), 1.0)
    state, labels = StepwiseCenters(centers=((0.0,), (100.0,))).step(away)
    assert state.centers == ((1.0,), (100.0,)) and not labels.any()
    slow, _ = StepwiseCenters(centers=((0.0,), (100.0,)), rate=0.25).step(away)
    assert slow.centers == ((0.25,), (100.0,))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 6), st.sampled_from([1.0, 0.3]))
def test_an_interrupted_run_goes_on_to_the_bit(seed, cut, rate):
    frames = list(moving_blobs(seed))
    whole = StepwiseCenters(centers=frames[0][:3], rate=rate)
    state = whole
    for rows in frames[:cut]:
        state, _ = state.step(rows)
    state = StepwiseCenters.from_dict(json.loads(json.dumps(state.to_dict())))
    for rows in frames[cut:]:
        state, _ = state.step(rows)
    for rows in frames:
        whole, _ = whole.step(rows)
    assert state == whole and state.n_steps == len(frames)


def test_a_model_takes_the_centres(front_model, front_movie):
    """The rest of the model does not change: a frame is labelled by the centres that followed to it."""
    state = StepwiseCenters(centers=front_model.centers)
    assert np.array_equal(state.array, front_model.centers)
    model = dataclasses.replace(front_model, centers=state.array)
    np.testing.assert_array_equal(model.label(front_movie[0].values), front_model.label(front_movie[0].values))


@pytest.mark.parametrize(
    "build",
    [
        lambda: StepwiseCenters(centers=((0.0,), (np.nan,))),
        lambda: StepwiseCenters(centers=()),
        lambda: StepwiseCenters(centers=((0.0,),), rate=0.0),
        lambda: StepwiseCenters(centers=((0.0,),), rate=1.5),
        lambda: StepwiseCenters(centers=((0.0,),)).step(np.zeros((3, 2))),
        lambda: StepwiseCenters(centers=((0.0,),)).step(np.full((3, 1), np.nan)),
        lambda: StepwiseCenters(centers=((0.0,),)).step(np.zeros((0, 1))),
        lambda: StepwiseCenters.from_dict({"centers": [[0.0]]}),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(ClusterError):
        build()
