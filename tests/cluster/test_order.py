"""Canonical order, scatter and membership."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from emreel.cluster import (
    ClusterError,
    FixedPoint,
    ScatterSums,
    assign,
    canonical_order,
    discriminants,
    membership,
    pooled_scatter,
    squared_distances,
)
from emreel.cluster.order import center_directions


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([1.0, 3.0])), min_size=1, max_size=8))
def test_least_ordered_first_then_darkest(classes: list[tuple[float, float]]) -> None:
    measure, intensity = np.array(classes).T
    order = canonical_order(measure, intensity)
    assert sorted(order.tolist()) == list(range(len(classes)))
    named = [(measure[i], intensity[i], i) for i in order]
    assert named == sorted(named)


@given(st.permutations(range(5)))
def test_order_does_not_depend_on_how_k_means_numbered(permutation: list[int]) -> None:
    measure, intensity = np.array([3.0, 1.0, 1.0, 0.5, 2.0]), np.array([1.0, 5.0, 4.0, 9.0, 2.0])
    order = canonical_order(measure[permutation], intensity[permutation])
    assert [permutation[i] for i in order] == [3, 2, 1, 4, 0]


def test_order_refuses_what_it_cannot_rank() -> None:
    with pytest.raises(ClusterError, match="one of each"):
        canonical_order([1.0, 2.0], [1.0])
    with pytest.raises(ClusterError, match="finite"):
        canonical_order([1.0, np.nan], [1.0, 1.0])


# ------------------------------------------------------------------------------------------ scatter


def gaussians(seed: int, k: int, d: int, n: int, sigma: float, apart: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, d)) * apart * sigma
    return (centers[rng.integers(k, size=n)] + sigma * rng.normal(size=(n, d))).astype(np.float32), centers


def bits(sums: ScatterSums) -> tuple[object, ...]:
    return sums.counts.tobytes(), sums.largest_sq.tobytes(), sums.sq_sums, sums.along_sums


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3000), max_size=5), st.randoms(use_true_random=False))
def test_any_chunking_and_tree_gives_the_same_scatter(seed: int, cuts: list[int], random) -> None:  # type: ignore[no-untyped-def]
    rows, centers = gaussians(seed, 2, 3, 3000, 1.0, 2.0)  # more rows a class than distances are kept
    scale = FixedPoint.of_rows(rows)
    whole = ScatterSums.of(rows, centers, scale)
    parts = [ScatterSums.of(part, centers, scale) for part in np.split(rows, sorted(cuts))]
    random.shuffle(parts)
    while len(parts) > 1:
        i = random.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert bits(parts[0]) == bits(whole)
    assert parts[0].finish() == whole.finish()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 8), st.sampled_from([1e-3, 1.0, 1e4]))
def test_variance_and_threshold_of_separate_gaussians(seed: int, k: int, d: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    centers = 50 * sigma * np.arange(k)[:, None] * np.ones(d)
    rows = (np.repeat(centers, 5000, axis=0) + sigma * rng.normal(size=(5000 * k, d))).astype(np.float32)
    found = pooled_scatter(rows, centers)
    assert found.variance == pytest.approx(sigma**2, rel=0.1)
    exact = stats.chi2.isf(1e-4, d) * sigma**2
    for k_class, threshold in enumerate(found.thresholds_sq):
        assert 0.6 * exact < threshold < 2.5 * exact  # 0.77 to 1.95 in 6000 samples; the median 1.07
        mine = rows[k_class * 5000 : (k_class + 1) * 5000]
        beyond = ((mine.astype(np.float64) - centers[k_class]) ** 2).sum(axis=1) > threshold * (1 + 1e-6)
        assert beyond.mean() <= 1e-4


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([3, 30, 400, 3000]), st.sampled_from([2, 5]))
def test_fewer_than_a_thousandth_of_the_rest_is_unknown(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    fitted, rest = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(100_000, d)).astype(np.float32)
    threshold = pooled_scatter(fitted, np.zeros((1, d))).thresholds_sq[0]
    beyond = float(np.mean(assign(rest, np.zeros((1, d)))[1] > threshold))
    if n >= 400:  # 4e-6 in the median and 9.9e-4 at most of 6000 samples of 400
        assert beyond < (1e-3 if n >= 3000 else 3e-3)
    assert np.all(assign(fitted, np.zeros((1, d)))[1] <= threshold * (1 + 1e-6))
    stranger = np.full((1, d), 12.0, np.float32)
    assert n < 30 or assign(stranger, np.zeros((1, d)))[1][0] > threshold


def test_scatter_is_measured_where_the_centres_differ() -> None:
    # three times wider across than along the line between the centres: only the latter blurs labels
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [10.0, 0.0]])
    rows = (np.repeat(centers, 4000, axis=0) + rng.normal(size=(8000, 2)) * [1.0, 3.0]).astype(np.float32)
    assert pooled_scatter(rows, centers).variance == pytest.approx(1.0, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_directions_are_an_orthonormal_basis_of_the_differences(seed: int, k: int, d: int, repeat: bool) -> None:
    centers = np.random.default_rng(seed).normal(size=(k, d)) + 1e3
    if repeat:
        centers = np.concatenate((centers, centers[:1], centers[-1:]))
    basis = center_directions(centers)
    assert len(basis) == min(k - 1, d)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
    differences = centers - centers[0]
    np.testing.assert_allclose(differences @ basis.T @ basis, differences, atol=1e-9)


def test_a_movie_without_noise_has_a_width_all_the_same() -> None:
    rows = np.repeat([[1.0, 2.0], [5.0, 2.0]], 50, axis=0).astype(np.float32)
    found = pooled_scatter(rows, rows[[0, -1]])
    assert 0 < found.variance < 1e-6 and all(0 < t < 1e-6 for t in found.thresholds_sq)
    posterior = membership(squared_distances(rows, rows[[0, -1]]), found)
    np.testing.assert_array_equal(posterior, np.repeat([[1, 0], [0, 1]], 50, axis=0))


def test_scatter_refuses_what_it_cannot_measure() -> None:
    rows, centers = gaussians(0, 2, 2, 50, 1.0, 3.0)
    scale = FixedPoint.of_rows(rows)
    empty = ScatterSums.of(rows[:0], centers, scale)
    with pytest.raises(ClusterError, match="no rows"):
        empty.finish()
    with pytest.raises(ClusterError, match="cannot be merged"):
        empty + ScatterSums.of(rows, centers[:1], scale)
    rows[3, 1] = np.nan
    with pytest.raises(ClusterError, match="1 of 50 rows"):
        ScatterSums.of(rows, centers, scale)
    assert empty + empty is not empty


# --------------------------------------------------------------------------------------- membership


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(1e-6, 1e6), st.sampled_from([0.1, 1.0, 1e4]))
def test_membership_is_the_posterior(seed: int, k: int, variance: float, unit: float) -> None:
    distances = (np.random.default_rng(seed).random((4, 9, k)) * unit).astype(np.float32)
    found = membership(distances, variance)
    assert found.shape == distances.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(-distances.astype(np.float64) / (2 * variance), axis=-1), atol=2e-7)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=-1), distances.argmin(axis=-1))


def test_a_near_tie_keeps_its_label() -> None:
    one = np.float32(1)
    distances = np.array([[np.nextafter(one, np.float32(2)), one, 1], [one, one, one]], np.float32)
    found = membership(distances, 1e6)
    assert found.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)


def test_scores_give_the_posteriors_of_distances() -> None:
    rows, centers = gaussians(5, 4, 3, 200, 1.0, 1.5)
    found = membership(-2 * discriminants(rows, centers), 1.0)
    np.testing.assert_allclose(found, membership(squared_distances(rows, centers), 1.0), atol=1e-5)


def test_posteriors_of_gaussian_blobs_are_calibrated() -> None:
    rng = np.random.default_rng(2)
    centers = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    truth = rng.integers(2, size=40_000)
    rows = (centers[truth] + rng.normal(size=(40_000, 3))).astype(np.float32)
    posterior = membership(squared_distances(rows, centers), pooled_scatter(rows, centers))[:, 1]
    for low in np.arange(0, 1, 0.2):
        mine = (posterior >= low) & (posterior < low + 0.2)
        assert abs(posterior[mine].mean() - truth[mine].mean()) < 0.05


def test_far_rows_stay_finite() -> None:
    found = membership([[1e30, 3e38], [0.0, np.finfo(np.float32).max]], 1e-20)
    np.testing.assert_array_equal(found, [[1, 0], [1, 0]])


def test_membership_refuses_wrong_input() -> None:
    with pytest.raises(ClusterError, match="variance of 0"):
        membership([[1.0, 2.0]], 0.0)
    with pytest.raises(ClusterError, match="at least one class"):
        membership(np.empty((3, 0)), 1.0)


def test_merging_many_frames_keeps_memory_small() -> None:
    rows, centers = gaussians(0, 2, 2, 6000, 1.0, 3.0)
    scale = FixedPoint.of_rows(rows)
    merged = functools.reduce(operator.add, (ScatterSums.of(p, centers, scale) for p in np.split(rows, 12)))
    assert merged.largest_sq.shape == (2, 1024)
    assert merged.counts.sum() == 6000
