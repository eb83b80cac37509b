"""Glide symmetry: the laws of every descriptor, the four plane groups it is for, and where its glides come from."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.glide import GlideSymmetry, glides_of, scan_glides
from emreel.descriptors.peaks import Peaks
from emreel.descriptors.polar import SymmetryError
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.testing import check_descriptor

#: Of each plane group, (sign of x, sign of y, shift along x, shift along y) of its operations in the cell.
OPERATIONS = {
    "p1m1": [(1, 1, 0, 0), (1, -1, 0, 0)],
    "p1g1": [(1, 1, 0, 0), (1, -1, 0.5, 0)],
    "p2mm": [(1, 1, 0, 0), (1, -1, 0, 0), (-1, 1, 0, 0), (-1, -1, 0, 0)],
    "p2gg": [(1, 1, 0, 0), (-1, -1, 0, 0), (1, -1, 0.5, 0.5), (-1, 1, 0.5, 0.5)],
}


def pattern(group, shape_yx, cell_px, degrees, seed=None):
    """Counts of a crystal: three unlike atoms in a corner of the cell and their images, mean 100, spread 10."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    angle = np.deg2rad(degrees)
    u = (x * np.cos(angle) + y * np.sin(angle)) / cell_px[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / cell_px[1]
    total = np.zeros(shape_yx)
    for at_u, at_v, height in ((0.12, 0.15, 1.0), (0.33, 0.3, 0.6), (0.05, 0.36, 0.8)):
        for sign_u, sign_v, move_u, move_v in OPERATIONS[group]:
            off_u = (u - sign_u * at_u - move_u + 0.5) % 1 - 0.5
            off_v = (v - sign_v * at_v - move_v + 0.5) % 1 - 0.5
            total += height * np.exp(-((off_u * cell_px[0]) ** 2 + (off_v * cell_px[1]) ** 2) / 3.4)
    noise = 0 if seed is None else np.random.default_rng(seed).normal(0, 0.3, shape_yx)
    return (100 + 10 * ((total - total.mean()) / total.std() + noise)).astype(np.float32)


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


@pytest.mark.parametrize("stride", [3, 4])
def test_conforms(stride):
    glides = ((0.0, 5.0), (4.5, -2.2), (3.0, 3.0))
    check_descriptor(
        GlideSymmetry(glides=glides, radius_px=5, window_px=8, step_px=stride, stride=stride, radii=3, angles=20)
    )


def test_grid_points_lie_in_the_middle_of_what_they_describe():
    """Half a turn of the frame turns a glide into its own inverse: the features turn with the frame."""
    frame = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 10, (91, 107)), 1.5).astype(np.float32)
    descriptor = GlideSymmetry(
        glides=((0, 5), (6, 0)), radius_px=6, window_px=8, step_px=2, stride=2, radii=6, angles=24
    )
    np.testing.assert_allclose(descriptor(frame[::-1, ::-1]), descriptor(frame)[::-1, ::-1], atol=1e-4)


@pytest.mark.parametrize("degrees", [0, 28, 117])
@pytest.mark.parametrize(("mirror", "glide"), [("p1m1", "p1g1"), ("p2mm", "p2gg")])
def test_separates_groups_of_one_patterson_symmetry(mirror, glide, degrees):
    """The two lie side by side, alike in lattice, orientation and atoms; nothing is given, any orientation."""
    shape, cell = (150, 220), (14.0, 20.0)
    side = np.arange(shape[1]) < shape[1] // 2
    frame = np.where(side, pattern(mirror, shape, cell, degrees, seed=1), pattern(glide, shape, cell, degrees, seed=2))
    descriptor = GlideSymmetry.suggest({}, fold_over([frame]))
    along = np.deg2rad(degrees)
    wanted = 7 * np.array([np.sin(along), np.cos(along)])
    off = [min(np.hypot(*(np.array(one) - wanted)), np.hypot(*(np.array(one) + wanted))) for one in descriptor.glides]
    assert min(off) <= 0.2
    features = descriptor(*pad_frame(frame, descriptor.halo))
    rows = PCA(min(5, features.shape[2])).fit_transform(features.reshape(-1, features.shape[2]))
    labels = KMeans(2, n_init=5, random_state=0).fit_predict(rows).reshape(features.shape[:2])
    truth = np.broadcast_to(side[:: descriptor.stride], labels.shape)
    agreement = (labels == truth).mean()
    assert max(agreement, 1 - agreement) >= 0.87
    inside = np.abs(np.arange(0, shape[1], descriptor.stride) - shape[1] / 2) > descriptor.radius_px + 4
    agreement = (labels == truth)[:, inside].mean()
    assert max(agreement, 1 - agreement) >= 0.97
    best = features[..., off.index(min(off)) * descriptor.largest]
    assert np.quantile(best[:, ~truth[0] & inside], 0.05) >= 0.5
    assert np.quantile(best[:, truth[0] & inside], 0.95) <= 0.45


@pytest.mark.parametrize("degrees", [0.0, 33.0, 90.0, 151.0])
def test_a_glide_plane_of_a_random_texture(degrees):
    """Only the true direction with the true shift scores high; the texture repeats after two shifts, as it must."""
    angle, shift = np.deg2rad(degrees), 9.0
    y, x = np.mgrid[:141, :141] - np.array([66, 73])[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    texture = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(400, 72)), (2.5, 10), mode="wrap")
    moved = np.where(across < 0, along - shift, along)
    points = [200 + np.abs(across), 72 * moved / (2 * shift)]
    frame = ndimage.map_coordinates(texture, points, mode="grid-wrap").astype(np.float32)
    unit = np.array([np.sin(angle), np.cos(angle)])
    turned = np.array([unit[1], -unit[0]])
    glides = tuple(map(tuple, [-shift * unit, shift * unit, -0.4 * shift * unit, shift * turned]))
    descriptor = GlideSymmetry(glides=glides, radius_px=14, window_px=8, step_px=1, stride=4, largest=1)
    got = descriptor(*pad_frame(frame, descriptor.halo))[16, 18]
    assert got[:2].min() >= 0.8
    assert got[2:].max() <= 0.6


def test_no_shift_to_speak_of_is_a_reflection():
    """As the shift goes to zero the score becomes that of a mirror plane, and both halves of a glide make a shift."""
    mirror, glide = (pattern(group, (120, 120), (16.0, 20.0), 0) for group in ("p1m1", "p1g1"))
    lengths = {"radius_px": 18, "window_px": 12, "step_px": 1, "stride": 6, "largest": 1}
    near = GlideSymmetry(glides=((0.0, 1e-6), (0.0, 8.0), (0.0, 16.0)), **lengths)
    scores = [near(*pad_frame(frame, near.halo))[10, 10] for frame in (mirror, glide)]
    np.testing.assert_array_equal(scores[0] > 0.97, [True, False, True])  # a whole period is a mirror again
    np.testing.assert_array_equal(scores[1] > 0.97, [False, True, False])


def test_glides_come_from_the_lattice():
    frame = pattern("p2gg", (200, 200), (14.0, 20.0), 28, seed=0)
    glides = GlideSymmetry.suggest({"stride": 4}, fold_over([frame])).glides
    lengths = sorted(np.hypot(*glide) for glide in glides[:2])
    np.testing.assert_allclose(lengths, [7, 10], atol=0.2)
    given = GlideSymmetry.suggest({"glides": [[0, 5]]}, fold_over([frame]))
    assert given.glides == ((0.0, 5.0),) and given.radius_px != GlideSymmetry().radius_px


def test_without_a_lattice_directions_are_scanned():
    noise = np.random.default_rng(0).normal(100, 10, (160, 160)).astype(np.float32)
    assert GlideSymmetry.suggest({}, fold_over([noise])) == GlideSymmetry()
    ring = Peaks(np.zeros((0, 2)), np.zeros(0), np.zeros(0), ring_period_px=8.0)
    lengths = np.hypot(*np.array(glides_of(ring)).T)
    assert len(lengths) == 36 and set(np.round(lengths)) == {4.0, 6.0, 8.0}
    angles = np.rad2deg(np.arctan2(*np.array(scan_glides(5, [3.0])).T))
    np.testing.assert_allclose(angles, [0, 36, 72, 108, 144], atol=0.1)


def test_given_fields_need_no_movie():
    def never(of):
        raise AssertionError("the movie was read")

    given = {"glides": ((0.0, 5.0),), "radius_px": 8, "window_px": 9, "step_px": 2, "stride": 4, "radii": 8}
    assert GlideSymmetry.suggest(given, never) == GlideSymmetry(**given)


@pytest.mark.parametrize("glides", [(), ((0, 0),), ((1, 2), (1.0, 2.0)), ((1, 2, 3),), (3, 4), ((np.inf, 1),)])
def test_nonsense_glides_are_refused(glides):
    with pytest.raises(SymmetryError, match="got"):
        GlideSymmetry(glides=glides)


def test_values_survive_a_round_trip_as_data():
    descriptor = GlideSymmetry(glides=[[0, 5], [2.5, -1]], radius_px=7)
    data = describe_descriptor(descriptor)
    assert data["glides"] == [[0.0, 5.0], [2.5, -1.0]]
    assert build_descriptor(data.pop("name"), data) == descriptor
    assert len({feature.name for feature in descriptor.features}) == 20
