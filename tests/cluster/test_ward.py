"""Ward clustering against a plain float64 merging, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage

from emreel.cluster import ClusterError
from emreel.cluster.ward import WardClusters, cost_of_height

fewer = settings(max_examples=30, deadline=None)


def merge_plainly(rows, n_clusters):
    """Merge the pair whose merger costs least, one after the other; clusters as sets of rows, and all costs."""
    rows = np.asarray(rows, np.float64)
    total = np.sum((rows - rows.mean(axis=0)) ** 2)
    clusters, costs = [[i] for i in range(len(rows))], []
    at_k = None
    while len(clusters) > 1:
        if len(clusters) == n_clusters:
            at_k = {frozenset(cluster) for cluster in clusters}
        best = None
        for a in range(len(clusters)):
            for b in range(a + 1, len(clusters)):
                na, nb = len(clusters[a]), len(clusters[b])
                apart = rows[clusters[a]].mean(axis=0) - rows[clusters[b]].mean(axis=0)
                cost = na * nb / (na + nb) * np.sum(apart**2)
                if best is None or cost < best[0]:
                    best = cost, a, b
        costs.append(best[0] / total)
        clusters[best[1]] += clusters.pop(best[2])
    return at_k or {frozenset(range(len(rows)))}, costs[::-1]


def mixture(n, seed=0, spread=0.3):
    """Rows from five clusters of uneven weight, in random order."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0], [4, 0, 0], [0, 5, 0], [0, 0, 6], [5, 5, 5.0]])
    kind = rng.choice(5, n, p=[0.4, 0.25, 0.15, 0.12, 0.08])
    return (centres[kind] + rng.normal(0, spread, (n, 3))).astype(np.float32), kind


@fewer
@given(st.integers(2, 25), st.integers(1, 4), st.integers(1, 8), st.integers(0, 999))
def test_equals_plain_merging(n_rows, n_features, n_clusters, seed):
    rows = np.random.default_rng(seed).normal(size=(n_rows, n_features)).astype(np.float32)
    n_clusters = min(n_clusters, n_rows)
    clusters, costs = merge_plainly(rows, n_clusters)
    found = WardClusters(n_clusters).fit(rows)
    assert {frozenset(np.flatnonzero(found.labels_ == k)) for k in range(n_clusters)} == clusters
    np.testing.assert_allclose(found.merge_costs_, costs, atol=1e-9)
    for k in range(n_clusters):
        np.testing.assert_allclose(found.cluster_centers_[k], rows[found.labels_ == k].mean(axis=0), atol=1e-6)


@fewer
@given(st.integers(2, 60), st.integers(0, 999))
def test_all_mergers_cost_the_whole_variance(n_rows, seed):
    rows = np.random.default_rng(seed).normal(size=(n_rows, 3)).astype(np.float32)
    costs = WardClusters(1).fit(rows).merge_costs_
    assert len(costs) == n_rows - 1 and abs(costs.sum() - 1) < 1e-9
    assert np.all(np.diff(costs) <= 1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_threshold_means_the_same_for_any_number_of_rows(seed):
    found = [WardClusters(max_cost=0.03).fit(mixture(n, seed)[0]) for n in (300, 1200, 3000)]
    assert [len(one.cluster_centers_) for one in found] == [5, 5, 5]
    for one in found[:-1]:
        np.testing.assert_allclose(one.cluster_centers_, found[-1].cluster_centers_, atol=0.2)
        np.testing.assert_allclose(one.merge_costs_[:4], found[-1].merge_costs_[:4], atol=0.05)
    # the height of the tree itself, which the published method cuts at, doubles with four times the rows
    heights = [linkage(mixture(n, seed)[0].astype(float), "ward")[-1, 2] for n in (300, 1200)]
    assert 1.7 < heights[1] / heights[0] < 2.3


@fewer
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_scale_and_offset_of_the_features_do_not_matter(scale, offset):
    rows = mixture(150)[0].astype(np.float64)
    plain, moved = WardClusters(max_cost=0.02).fit(rows), WardClusters(max_cost=0.02).fit(scale * (rows + offset / 100))
    np.testing.assert_array_equal(plain.labels_, moved.labels_)
    np.testing.assert_allclose(moved.merge_costs_[:10], plain.merge_costs_[:10], rtol=1e-2)


def test_the_order_of_the_rows_changes_no_centre():
    rows, kind = mixture(400)
    found = WardClusters(5).fit(rows)
    other = WardClusters(5).fit(rows[np.random.default_rng(1).permutation(400)])
    np.testing.assert_allclose(other.cluster_centers_, found.cluster_centers_, atol=1e-6)
    assert found.counts_.tolist() == sorted(np.bincount(kind).tolist(), reverse=True)
    np.testing.assert_array_equal(found.predict(rows), found.labels_)


def test_the_tree_is_built_on_the_first_rows_only():
    rows, _ = mixture(600)
    wild = np.concatenate([rows[:200], rows[200:] + 1000])
    found = WardClusters(5, max_rows=200).fit(wild)
    np.testing.assert_array_equal(found.cluster_centers_, WardClusters(5).fit(rows[:200]).cluster_centers_)
    assert len(found.labels_) == 200


def test_the_same_bits_every_time_whatever_the_seed():
    rows, _ = mixture(500)
    one, other = WardClusters(7, seed=1).fit(rows), WardClusters(7, seed=2).fit(rows.copy())
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    assert one.cluster_centers_.dtype == np.float64 and one.cluster_centers_.flags.c_contiguous


def test_equal_rows_are_one_cluster():
    found = WardClusters().fit(np.ones((20, 3), np.float32))
    assert found.cluster_centers_.tolist() == [[1, 1, 1]] and found.merge_costs_.tolist() == [0] * 19
    two = np.repeat([[0.0, 0], [3, 4]], 10, axis=0)
    assert WardClusters(2).fit(two).cluster_centers_.tolist() == [[0, 0], [3, 4]]
    assert len(WardClusters().fit(two).cluster_centers_) == 2
    assert WardClusters(1).fit(np.ones((1, 2))).cluster_centers_.tolist() == [[1, 1]]


def test_heights_of_other_trees_become_costs():
    rows, _ = mixture(300)
    heights = linkage(rows.astype(float), "ward")[::-1, 2]
    total = float(rows.var(axis=0, dtype=np.float64).sum())
    costs = [cost_of_height(height, 300, total) for height in heights]
    np.testing.assert_allclose(WardClusters(1).fit(rows).merge_costs_, costs, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (lambda: WardClusters(3), np.ones((10, 2))),
        (lambda: WardClusters(0), np.eye(3)),
        (lambda: WardClusters(254), np.random.default_rng(0).normal(size=(300, 2))),
        (lambda: WardClusters(max_cost=1e-9), np.random.default_rng(0).normal(size=(300, 2))),
        (lambda: WardClusters(max_cost=0.0), np.eye(3)),
        (lambda: WardClusters(2, max_cost=0.1), np.eye(3)),
        (lambda: WardClusters(2, max_rows=1), np.eye(3)),
        (lambda: WardClusters(2), np.full((5, 2), np.nan)),
        (lambda: WardClusters(2), np.empty((0, 2))),
        (lambda: WardClusters(2), np.ones(5)),
    ],
)
def test_nonsense_is_refused(build, rows):
    with pytest.raises(ClusterError):
        build().fit(rows)
    with pytest.raises(ClusterError, match="got"):
        cost_of_height(1.0, 0, 1.0)
