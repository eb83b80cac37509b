"""Rotation symmetry: the laws of every descriptor, the published formula, pySTEM's numbers, a real grain boundary."""

from __future__ import annotations

import dataclasses
import functools
import operator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from emreel.descriptors.geometry import pad_frame, upsample_nearest
from emreel.descriptors.polar import SymmetryError, lengths_from_period
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.descriptors.rotation import RotationSymmetry
from emreel.testing import check_descriptor


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_conforms(stride):
    check_descriptor(RotationSymmetry(radius_px=6, window_px=6, step_px=2, stride=stride, radii=5))


@pytest.fixture(scope="module")
def texture():
    return np.random.default_rng(0).normal(100, 10, (140, 140)).astype(np.float32)


def test_scores_are_the_published_formula(texture):
    """The patch alone, interpolated by scipy, turned by whole samples."""
    descriptor = RotationSymmetry()
    got = descriptor.scores(texture)
    radii, angles = np.linspace(1, 20, 20, endpoint=False), np.deg2rad(6 * np.arange(60))
    for i, j in ((0, 0), (3, 5), (8, 8)):
        y, x = descriptor.first_px + 5 * i, descriptor.first_px + 5 * j
        patch = texture[y - 20 : y + 21, x - 20 : x + 21].astype(np.float64)
        points = 20 + radii[None, :, None] * np.stack([np.sin(angles), np.cos(angles)])[:, None, :]
        polar = ndimage.map_coordinates(patch - patch.mean(), points) * radii[:, None]
        for fold, score in zip(descriptor.folds, got[i, :, j], strict=True):
            turns = [np.roll(polar, k * 60 // fold, axis=1) for k in range(1, fold)]
            assert abs(np.mean([(polar * turn).sum() for turn in turns]) / (polar**2).sum() - score) <= 5e-3


def test_pystem_gives_the_same_numbers():
    """The reference is made by ``python benchmarks/polar.py`` from pySTEM 0.0.26; it filters each patch by itself."""
    with np.load(Path(__file__).parents[1] / "data" / "pystem_polar.npz") as reference:
        lengths = {name: int(reference[name]) for name in ("radius_px", "window_px", "step_px", "radii", "angles")}
        frame, scores, features = (reference[name] for name in ("frame", "scores", "features"))
    descriptor = RotationSymmetry(stride=lengths["step_px"], **lengths)
    found = descriptor.scores(frame)
    assert np.abs(found - scores[: found.shape[0], : found.shape[2], :4].swapaxes(1, 2)).max() <= 5e-3
    got = descriptor(frame)
    assert got.shape == (*features.shape[:2], 40)
    assert np.abs(got - features[..., :40]).max() <= 5e-3


@pytest.mark.parametrize("fold", [2, 3, 4, 5, 6])
def test_an_axis_shows_its_own_folds(fold):
    """A rosette of n petals has exactly the axes whose order divides n, wherever it lies."""
    y, x = np.mgrid[:101, :101] - np.array([47, 54])[:, None, None]
    rosette = np.exp(-(((np.hypot(y, x) - 9) / 4) ** 2)) * np.cos(fold * np.arctan2(y, x) + 0.4)
    descriptor = RotationSymmetry(folds=(2, 3, 4, 5, 6), radius_px=18, window_px=12, step_px=1, stride=4, largest=1)
    padded, valid = pad_frame(rosette.astype(np.float32), descriptor.halo)
    got = dict(zip(descriptor.folds, descriptor(padded, valid)[12, 13], strict=True))
    for n, score in got.items():
        assert score >= 0.98 if fold % n == 0 else score <= 0.6


def test_turning_the_frame_changes_nothing(texture):
    smooth = ndimage.gaussian_filter(texture, 1.5)
    descriptor = RotationSymmetry(radius_px=8, window_px=8, step_px=2, stride=2, radii=8)
    got, turned = descriptor(smooth[:75, :75]), descriptor(np.rot90(smooth[:75, :75]))
    np.testing.assert_allclose(turned, np.rot90(got), atol=1e-4)


@pytest.mark.parametrize(
    "fields", [{"folds": ()}, {"folds": (1,)}, {"folds": (2, 2)}, {"folds": (13,)}, {"folds": (2.0,)}]
)
def test_nonsense_folds_are_refused(fields):
    with pytest.raises(SymmetryError, match="got"):
        RotationSymmetry(**fields)


def test_values_survive_a_round_trip_as_data():
    descriptor = RotationSymmetry(folds=(2, 5), radius_px=7)
    data = describe_descriptor(descriptor)
    assert data["folds"] == [2, 5]
    assert build_descriptor(data.pop("name"), data) == descriptor
    assert hash(descriptor) == hash(dataclasses.replace(descriptor))
    assert len(descriptor.features) == 20 and descriptor.features[10].name == "5-fold #1"
    assert len(RotationSymmetry().features) == 40


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


@pytest.mark.parametrize("period_px", [6.0, 11.3])
def test_lengths_follow_the_lattice(period_px):
    y, x = np.mgrid[:200, :200]
    a, b = 2 * np.pi * (0.96 * x + 0.28 * y) / period_px, 2 * np.pi * (0.96 * y - 0.28 * x) / period_px
    lattice = (100 + 15 * (np.cos(a) + np.cos(b))).astype(np.float32)
    lattice += np.random.default_rng(0).normal(0, 15, lattice.shape).astype(np.float32)
    suggested = RotationSymmetry.suggest({}, fold_over([lattice]))
    assert suggested == RotationSymmetry(**lengths_from_period(period_px))
    assert RotationSymmetry.suggest({"stride": 8, "folds": (2,)}, fold_over([lattice])).stride == 8


def test_without_order_the_lengths_are_the_published_ones():
    noise = np.random.default_rng(0).normal(100, 10, (160, 160)).astype(np.float32)
    assert RotationSymmetry.suggest({}, fold_over([noise])) == RotationSymmetry()


def test_given_lengths_need_no_movie():
    def never(of):
        raise AssertionError("the movie was read")

    given = {"radius_px": 8, "window_px": 9, "step_px": 2, "stride": 4, "radii": 8}
    assert RotationSymmetry.suggest(given, never) == RotationSymmetry(**given)


def test_threads_do_not_share_their_work(texture):
    descriptor = RotationSymmetry(radius_px=5, window_px=4, step_px=2, stride=4, radii=5)
    frames = [np.roll(texture, 10 * i, axis=0)[:90, :100] for i in range(6)]
    expected = [descriptor(*pad_frame(frame, descriptor.halo)) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(descriptor, *pad_frame(frame, descriptor.halo)) for frame in frames * 3]
        for job, wanted in zip(jobs, expected * 3, strict=True):
            np.testing.assert_array_equal(job.result(), wanted)


@pytest.mark.data
def test_finds_the_core_of_a_grain_boundary(data_dir):
    """Two grains of one crystal have the same axes; the core between them, at 48 % of the width, has others."""
    image = np.asarray(iio.imread(data_dir / "real" / "cu_grain_boundary_nb.png"), np.float32)
    image = image if image.ndim == 2 else image[..., :3].mean(axis=2)
    descriptor = RotationSymmetry.suggest({}, fold_over([image]))
    features = descriptor(*pad_frame(image, descriptor.halo))
    rows = PCA(5).fit_transform(features.reshape(-1, features.shape[2]))
    grid = KMeans(2, n_init=5, random_state=0).fit_predict(rows).reshape(features.shape[:2])
    labels = upsample_nearest(grid, descriptor.stride, image.shape)
    width = image.shape[1]
    at_core = round(0.48 * width)
    core = labels == np.median(labels[:, at_core - 2 : at_core + 3])
    assert core[:, at_core - 2 : at_core + 3].mean() >= 0.95
    far = np.abs(np.arange(width) - at_core) > 0.12 * width
    assert core[:, far & (np.arange(width) < at_core)].mean() <= 0.05
    assert core[:, far & (np.arange(width) > at_core)].mean() <= 0.05
