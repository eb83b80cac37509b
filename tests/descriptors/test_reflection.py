"""Reflection symmetry: the laws of every descriptor, the published formula, pySTEM's numbers, real micrographs."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from emreel.descriptors.geometry import pad_frame, upsample_nearest
from emreel.descriptors.polar import SymmetryError
from emreel.descriptors.reflection import ReflectionSymmetry
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.testing import check_descriptor


@pytest.mark.parametrize("stride", [3, 4])
def test_conforms(stride):
    check_descriptor(ReflectionSymmetry(planes=7, radius_px=6, window_px=6, step_px=2, stride=stride, radii=5))


@pytest.fixture(scope="module")
def texture():
    return np.random.default_rng(0).normal(100, 10, (140, 140)).astype(np.float32)


@pytest.mark.parametrize("planes", [10, 7, 8])
def test_scores_are_the_published_formula(texture, planes):
    """The patch alone against its mirror image, both interpolated by scipy; any number of planes covers 180 deg."""
    descriptor = ReflectionSymmetry(planes=planes)
    got = descriptor.scores(texture)
    n_angles = descriptor.n_angles
    assert n_angles % planes == 0 and n_angles >= 60
    radii, angles = np.linspace(1, 20, 20, endpoint=False)[:, None], 2 * np.pi * np.arange(n_angles) / n_angles
    for i, j in ((0, 0), (8, 3)):
        y, x = descriptor.first_px + 5 * i, descriptor.first_px + 5 * j
        patch = texture[y - 20 : y + 21, x - 20 : x + 21].astype(np.float64)

        def polar(t, patch=patch):
            points = np.stack([20 + radii * np.sin(t), 20 + radii * np.cos(t)])
            return ndimage.map_coordinates(patch - patch.mean(), points) * radii

        for k, score in enumerate(got[i, :, j]):
            mirrored = polar(2 * np.pi * k / planes - angles)
            assert abs((polar(angles) * mirrored).sum() / (polar(angles) ** 2).sum() - score) <= 5e-3


def test_pystem_gives_the_same_numbers():
    """The reference is made by ``python benchmarks/polar.py`` from pySTEM 0.0.26; it filters each patch by itself."""
    with np.load(Path(__file__).parents[1] / "data" / "pystem_polar.npz") as reference:
        lengths = {name: int(reference[name]) for name in ("radius_px", "window_px", "step_px", "radii", "angles")}
        frame, scores, features = (reference[name] for name in ("frame", "scores", "features"))
    descriptor = ReflectionSymmetry(stride=lengths["step_px"], **lengths)
    found = descriptor.scores(frame)
    assert np.abs(found - scores[: found.shape[0], : found.shape[2], 4:].swapaxes(1, 2)).max() <= 5e-3
    got = descriptor(frame)
    assert got.shape == (*features.shape[:2], 100)
    assert np.abs(got - features[..., 40:]).max() <= 5e-3


@pytest.mark.parametrize("plane", [0, 3, 8])
def test_a_mirror_plane_shows_at_its_angle(plane):
    """A random texture beside its mirror image; angles grow from x towards y."""
    angle = np.pi * plane / 10
    y, x = np.mgrid[:121, :121] - np.array([57, 63])[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    half = ndimage.gaussian_filter(np.random.default_rng(plane).normal(size=(400, 400)), 2.5)
    frame = ndimage.map_coordinates(half, [200 + np.abs(across), 200 + along]).astype(np.float32)
    descriptor = ReflectionSymmetry(radius_px=16, window_px=8, step_px=1, stride=4, largest=1)
    got = descriptor(*pad_frame(frame, descriptor.halo))[14, 15]
    assert got.argmax() == plane and got[plane] >= 0.98
    assert np.delete(got, plane).max() <= 0.8


def test_a_quarter_turn_moves_the_planes(texture):
    smooth = ndimage.gaussian_filter(texture, 1.5)[:75, :75]
    descriptor = ReflectionSymmetry(planes=4, radius_px=8, window_px=8, step_px=2, stride=2, radii=8)
    shape = (-1, 4, descriptor.largest)
    got = descriptor(smooth)
    turned = descriptor(np.rot90(smooth))
    got, turned = (part.reshape(*part.shape[:2], *shape[1:]) for part in (got, turned))
    np.testing.assert_allclose(turned, np.rot90(np.roll(got, 2, axis=2)), atol=1e-4)


def test_nonsense_planes_are_refused():
    for planes in (0, 2.5, True):
        with pytest.raises(SymmetryError, match="planes"):
            ReflectionSymmetry(planes=planes)


def test_values_survive_a_round_trip_as_data():
    descriptor = ReflectionSymmetry(planes=8, radius_px=7)
    data = describe_descriptor(descriptor)
    assert build_descriptor(data.pop("name"), data) == descriptor
    assert descriptor.features[10].name == "plane 22.5 deg #1"
    assert len(ReflectionSymmetry().features) == 100


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


def segment(descriptor, image, n_clusters):
    features = descriptor(*pad_frame(image, descriptor.halo))
    rows = PCA(5).fit_transform(features.reshape(-1, features.shape[2]))
    grid = KMeans(n_clusters, n_init=5, random_state=0).fit_predict(rows).reshape(features.shape[:2])
    return upsample_nearest(grid, descriptor.stride, image.shape)


@pytest.mark.data
@pytest.mark.parametrize("published", [False, True])
def test_splits_two_grains_at_their_boundary(data_dir, published):
    """The boundary lies at 48 % of the width; K = 3 adds its core and leaves the frame's edges alone."""
    image = np.asarray(iio.imread(data_dir / "real" / "cu_grain_boundary_nb.png"), np.float32)
    image = image if image.ndim == 2 else image[..., :3].mean(axis=2)
    descriptor = ReflectionSymmetry() if published else ReflectionSymmetry.suggest({}, fold_over([image]))
    right = np.broadcast_to(np.arange(image.shape[1]) >= 0.48 * image.shape[1], image.shape)
    agreement = (segment(descriptor, image, 2) == right).mean()
    assert max(agreement, 1 - agreement) >= 0.97
    three = segment(descriptor, image, 3)
    grains = [
        np.bincount(part.ravel()).argmax() for part in (three[:, : round(0.36 * 214)], three[:, -round(0.4 * 214) :])
    ]
    assert grains[0] != grains[1]
    assert (three[:, : round(0.36 * image.shape[1])] == grains[0]).mean() >= 0.97
    assert (three[:, round(0.62 * image.shape[1]) :] == grains[1]).mean() >= 0.97


@pytest.mark.data
def test_finds_the_plates_of_a_high_entropy_alloy(data_dir):
    """Three groups of stripes cross the lower half of the frame from left to right, each one piece."""
    image = np.load(data_dir / "real" / "high_entropy_alloy.npy").astype(np.float32)
    labels = segment(ReflectionSymmetry(), image, 2)
    plates = labels == (1 if (labels == 1).mean() < 0.5 else 0)
    assert 0.15 <= plates.mean() <= 0.45
    pieces, n = ndimage.label(plates)
    sizes = np.sort(ndimage.sum_labels(plates, pieces, np.arange(1, n + 1)))[::-1] / plates.sum()
    assert sizes[:3].sum() >= 0.9 and sizes[2] >= 0.05
