from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.polycrystal import find_regions
from emreel.polycrystal.regions import (
    depth_of,
    gradient_of,
    keep_deep,
    mean_phasors,
    merge_regions,
    neighbours_of,
    renumber,
)


def blocks(angles, side=12):
    """Phasors of square regions, one an entry."""
    return np.exp(1j * np.kron(np.asarray(angles, float), np.ones((side, side)))).astype(np.complex64)


def found(phasors, merge_rad=0.3, inside=None):
    inside = np.ones(phasors.shape, bool) if inside is None else inside
    return find_regions(phasors, inside, period_points=3.0, merge_rad=merge_rad, least_depth_points=2.0)


def agreement(one, other):
    """Share of points whose region in the one map is, one to one, that in the other."""
    table = np.zeros((one.max() + 1, other.max() + 1), int)
    np.add.at(table, (one.ravel(), other.ravel()), 1)
    return table.max(axis=1).sum() / one.size if table.shape[0] == table.shape[1] else 0.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), noise=st.sampled_from([0.0, 0.2, 0.4]))
def test_finds_every_region_of_an_angle_of_its_own(seed, noise):
    rng = np.random.default_rng(seed)
    truth = np.kron(1 + np.arange(12).reshape(3, 4), np.ones((14, 14), int))
    angles = rng.permutation(12) * 2 * np.pi / 12
    smooth = [ndimage.gaussian_filter(rng.normal(size=truth.shape), 1.0) for _ in range(2)]  # as maps are
    phasors = np.exp(1j * angles[truth - 1]) + noise * (smooth[0] + 1j * smooth[1])
    regions = found(phasors.astype(np.complex64))
    assert regions.max() == 12
    assert agreement(regions, truth) > 0.9


def test_merges_what_differs_less_and_keeps_what_differs_more():
    phasors = blocks([[0.0, 0.2, 1.0]])
    regions = found(phasors, merge_rad=0.3)
    assert regions[6, [6, 18, 30]].tolist() == [1, 1, 2]
    assert found(phasors, merge_rad=0.1)[6, [6, 18, 30]].tolist() == [1, 2, 3]
    assert found(phasors, merge_rad=1.1).max() == 1


def test_a_sliver_between_two_grains_joins_one_and_never_both():
    """Its angle is nearer to both than what is merged, theirs are not."""
    regions = np.repeat([1, 1, 1, 1, 2, 3, 3, 3, 3], 4)[None].repeat(10, axis=0).astype(np.int32)
    phasors = np.exp(1j * np.repeat([0, 0, 0, 0, 0.3, 0.62, 0.62, 0.62, 0.62], 4))[None].repeat(10, axis=0)
    merged = merge_regions(regions, phasors.astype(np.complex64), 0.4)
    assert merged[0, 0] != merged[0, -1]
    assert merged[0, 16] in (merged[0, 0], merged[0, -1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), merge_rad=st.floats(0.1, 1.5))
def test_merging_goes_on_until_no_neighbours_differ_less(seed, merge_rad):
    rng = np.random.default_rng(seed)
    regions = rng.permutation(30)[np.arange(30)].reshape(5, 6).astype(np.int32).repeat(4, 0).repeat(4, 1) + 1
    phasors = np.exp(1j * rng.normal(0, 1.0, 31)[regions]).astype(np.complex64)
    merged = merge_regions(regions, phasors, merge_rad)
    means = mean_phasors(merged, phasors)
    for a, b in neighbours_of(merged):
        assert abs(np.angle(means[a] * np.conj(means[b]))) > merge_rad
    for region in np.unique(merged):  # merged regions hang together
        assert ndimage.label(merged == region)[1] == 1
    for region in np.unique(regions):  # and hold whole ones
        assert len(np.unique(merged[regions == region])) == 1


def test_what_is_outside_belongs_to_nothing():
    inside = np.ones((24, 24), bool)
    inside[:, 10:14] = False
    regions = found(blocks([[0.0, 2.0], [0.0, 2.0]]), inside=inside)
    assert (regions[~inside] == 0).all() and regions.max() == 2
    assert not found(blocks([[0.0]]), inside=np.zeros((12, 12), bool)).any()


def test_thin_pieces_go_and_the_frame_edge_is_no_border():
    regions = np.zeros((20, 20), np.int32)
    regions[:, :3] = 1  # three wide, but it goes on beyond the frame
    regions[5:8, 8:] = 2
    regions[12:, 10:] = 3
    regions[12, 5] = 3
    kept = keep_deep(regions, 2.5, 2.5)
    assert np.unique(kept).tolist() == [0, 1, 3]
    assert kept[12, 5] == 0
    assert keep_deep(regions, 1.0, 3.0)[6, 10] == 2


def test_depth_is_the_distance_to_the_border():
    mine = np.ones((5, 5), bool)
    assert depth_of(mine, (slice(3, 8), slice(3, 8)), (20, 20)) == 3.0
    assert depth_of(mine, (slice(0, 5), slice(3, 8)), (20, 20)) == 3.0  # it goes on above
    assert depth_of(np.ones((4, 9), bool), (slice(0, 4), slice(3, 12)), (20, 20)) == 4.0
    assert depth_of(np.ones((20, 20), bool), (slice(0, 20), slice(0, 20)), (20, 20)) == np.inf


def test_numbers_follow_the_first_points():
    assert renumber(np.array([[0, 7, 7], [3, 0, 9]], np.int32)).tolist() == [[0, 1, 1], [2, 0, 3]]


def test_the_gradient_is_that_of_the_angle():
    phase = 0.05 * np.arange(40)[None] * np.ones((30, 1))
    gradient = gradient_of(np.exp(1j * phase).astype(np.complex64), 1.0)
    np.testing.assert_allclose(gradient[10:-10, 10:-10], abs(np.exp(0.1j) - 1) ** 2, rtol=1e-3)


def test_sums_of_phasors():
    regions = np.array([[1, 1], [0, 2]], np.int32)
    phasors = np.array([[1, 1j], [5, -2]], np.complex64)
    assert mean_phasors(regions, phasors).tolist() == [5, 1 + 1j, -2]
    assert list(neighbours_of(np.array([[1, 2], [3, 0]], np.int32))) == [(1, 2), (1, 3)]
    with pytest.raises(StopIteration):
        next(neighbours_of(np.array([[1, 0], [0, 2]], np.int32)))
