"""Communities as classes: groups on a circle whose truth is known, thresholds, given numbers, masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster.assign import assign
from emreel.cluster.communities import CommunityClusters
from emreel.cluster.errors import ClusterError

few = settings(max_examples=15, deadline=None)


def on_circle(seed=0, centers=(0.0, 0.7, 2.5), sizes=(60, 40, 20), spread=0.1, d=2):
    """Unit vectors in groups of these angles, shuffled; rows and truth."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    angle = np.array(centers)[truth] + rng.normal(0, spread, len(truth))
    rows = np.zeros((len(truth), d))
    rows[:, :2] = np.column_stack([np.cos(angle), np.sin(angle)])
    return rows.astype(np.float32), truth


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from(["range", "cosine"]), st.booleans())
def test_given_number_finds_the_groups(seed, similarity, weighted):
    rows, truth = on_circle(seed, sizes=(60, 50, 30))
    found = CommunityClusters(3, similarity=similarity, weighted=weighted).fit(rows)
    assert found.cluster_centers_.shape == (3, 2) and found.cluster_centers_.dtype == np.float64
    assert np.mean(found.labels_ == truth) > 0.97
    np.testing.assert_array_equal(found.counts_, np.bincount(found.labels_))
    for k in range(3):
        expected = rows[found.labels_ == k].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found.cluster_centers_[k], expected, atol=1e-12)
    np.testing.assert_array_equal(found.predict(rows), assign(rows, found.cluster_centers_)[0])


def test_thresholds_go_from_coarse_to_fine():
    rows, truth = on_circle(spread=0.07)
    found = {name: CommunityClusters(threshold=name).fit(rows) for name in ("mean", "median", "mode")}
    assert found["mean"].threshold_ < found["median"].threshold_ < found["mode"].threshold_
    assert found["mean"].counts_.tolist() == [100, 20]
    assert len(found["median"].counts_) == 3 and np.mean(found["median"].labels_ == truth) > 0.97
    assert found["mode"].graph_.nnz < found["median"].graph_.nnz < found["mean"].graph_.nnz


def test_free_number_takes_the_median_and_a_given_one_neighbours():
    rows, _ = on_circle()
    free, fixed = CommunityClusters().fit(rows), CommunityClusters(3).fit(rows)
    assert free.threshold_ == free.similarities_.median and free.neighbors_ is None
    assert fixed.threshold_ is None and fixed.neighbors_ == 10
    many = CommunityClusters(3).fit(on_circle(sizes=(600, 300, 300))[0])
    assert many.neighbors_ == 60
    assert CommunityClusters(3, threshold="mean").fit(rows).neighbors_ is None


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("threshold", [None, "mean", "mode"])
def test_any_number_is_reached(n_clusters, threshold):
    rows, _ = on_circle(sizes=(120, 80, 60))
    found = CommunityClusters(n_clusters, threshold=threshold).fit(rows)
    assert len(found.counts_) == len(found.cluster_centers_) == n_clusters
    assert (found.counts_ >= 3).all()


def test_joining_takes_the_least_costly_pair():
    """Six far groups, no edges between: no resolution joins them, Ward's criterion does."""
    rows, truth = on_circle(centers=(0.0, 0.3, 1.5, 1.8, 3.0, 3.3), sizes=(30,) * 6, spread=0.01)
    found = CommunityClusters(3, threshold=0.985).fit(rows)
    assert sorted(found.counts_.tolist()) == [60, 60, 60]
    pairs = [set(truth[found.labels_ == k].tolist()) for k in range(3)]
    assert sorted(map(sorted, pairs)) == [[0, 1], [2, 3], [4, 5]]


def test_what_no_resolution_cuts_is_cut_by_its_neighbours():
    """A thresholded phase is one dense block: at some resolution it goes from whole to dust."""
    rows, truth = on_circle(centers=(0.0, 0.5, 3.0), sizes=(60, 60, 60), spread=0.03)
    assert CommunityClusters(threshold="mean").fit(rows).counts_.tolist() == [120, 60]
    found = CommunityClusters(3, threshold="mean").fit(rows)
    assert found.counts_.tolist() == [60, 60, 60]
    assert all(len(set(truth[found.labels_ == k])) == 1 for k in range(3))


def test_small_communities_are_masked():
    rows, truth = on_circle(centers=(0.0, 1.5, 3.0, 4.5), sizes=(40, 30, 2, 1), spread=0.02)
    found = CommunityClusters(threshold=0.9).fit(rows)
    assert found.counts_.tolist() == [40, 30]
    assert found.n_communities_ == 4
    np.testing.assert_array_equal(found.labels_ == -1, truth >= 2)
    kept = CommunityClusters(threshold=0.9, min_chips=1).fit(rows)
    assert kept.counts_.tolist() == [40, 30, 2, 1]


def test_a_gradient_is_one_community_where_k_means_cuts_it():
    """A phase whose rows change gradually, and a small one beside it: what a focus gradient does to chips."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], (300, 60))
    along = np.where(truth == 0, rng.uniform(0, 1.2, 360), 2.0 + rng.normal(0, 0.02, 360))
    angle = along + rng.normal(0, 0.01, 360)
    order = rng.permutation(360)
    rows = np.column_stack([np.cos(angle), np.sin(angle)])[order].astype(np.float32)
    found = CommunityClusters(2).fit(rows)
    assert np.array_equal(found.labels_, truth[order])


def test_the_first_rows_are_the_sample():
    rows, _ = on_circle(sizes=(600, 300, 100))
    found = CommunityClusters(3, max_chips=200).fit(rows)
    assert found.graph_.shape == (200, 200) and len(found.labels_) == 200
    np.testing.assert_array_equal(found.cluster_centers_, CommunityClusters(3).fit(rows[:200]).cluster_centers_)


@pytest.mark.parametrize("backend", ["emreel", "networkx"])
def test_deterministic(backend):
    rows, _ = on_circle(3, spread=0.4)
    runs = [CommunityClusters(4, seed=7, backend=backend, n_starts=2).fit(rows).cluster_centers_ for _ in range(2)]
    np.testing.assert_array_equal(*runs)


def test_rows_of_any_scale_and_place():
    """Rows of other descriptors are no unit vectors: scale and place do not matter."""
    rows, truth = on_circle(d=4)
    found = CommunityClusters(3).fit((rows * 700 + 1e3).astype(np.float32))
    assert np.mean(found.labels_ == truth) > 0.97


def test_fit_returns_self_and_leaves_the_rows():
    rows, _ = on_circle()
    before = rows.copy()
    clusters = CommunityClusters(2)
    assert clusters.fit(rows) is clusters and CommunityClusters.name == "communities"
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, np.zeros((0, 2))),
        ({}, np.zeros((2, 2))),
        ({}, np.full((9, 2), np.nan)),
        ({}, np.ones((9, 2))),
        ({"n_clusters": 0}, on_circle()[0]),
        ({"n_clusters": 254}, on_circle()[0]),
        ({"n_clusters": 100}, on_circle()[0]),
        ({"threshold": "max"}, on_circle()[0]),
        ({"threshold": 2.0}, on_circle()[0]),
        ({"neighbors": 0}, on_circle()[0]),
        ({"max_chips": 1}, on_circle()[0]),
        ({"min_chips": 0}, on_circle()[0]),
        ({"resolution": -1.0}, on_circle()[0]),
        ({"backend": "leiden"}, on_circle()[0]),
        ({"similarity": "dot"}, on_circle()[0]),
    ],
)
def test_nonsense_is_refused(options, rows):
    with pytest.raises(ClusterError, match="got|NaN"):
        CommunityClusters(**options).fit(rows)
