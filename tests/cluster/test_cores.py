"""Cores: valleys tell how many phases there are, and small phases are not lost beside large ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from emreel.cluster import ClusterError
from emreel.cluster.cores import CoreClusters, valley_between


def blobs(centers: list[list[float]], counts: list[int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(c, 1.0, (n, len(c))) for c, n in zip(centers, counts, strict=True)])
    return rng.permutation(rows).astype(np.float32)


@settings(deadline=None, max_examples=12)
@given(apart=st.floats(0, 12), seed=st.integers(0, 99))
def test_the_valley_is_that_of_the_density(apart: float, seed: int) -> None:
    """Oracle: two halves of a known mixture of two Gaussians, its density written out."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, (20_000, 1)), rng.normal(apart, 1, (20_000, 1))
    if apart < 0.5:
        return  # two samples of one Gaussian: their line has no direction of its own
    x = np.linspace(0, apart, 400)
    smoothed = np.hypot(1, 1.5 * 0.05 * apart)  # the histogram's own width
    density = norm.pdf(x, 0, smoothed) + norm.pdf(x, apart, smoothed)
    left, right = density[:200].argmax(), 200 + density[200:].argmax()
    between = density[left : right + 1]
    assert valley_between(a, b) == pytest.approx(between.min() / min(between[0], between[-1]), abs=0.12)


def test_halves_of_one_phase_have_no_valley() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (5000, 8))
    assert valley_between(rows[rows[:, 0] < 0], rows[rows[:, 0] >= 0]) > 0.9
    assert valley_between(rows[:2000], rows[:2000]) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_as_many_phases_as_valleys_tell(seed: int) -> None:
    places = [[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]]
    for k in range(1, 6):
        rows = blobs(places[:k], [6000, 3000, 300, 200, 1500][:k], seed)
        found = CoreClusters(seed=seed).fit(rows)
        assert len(found.cluster_centers_) == k
        nearest = np.linalg.norm(found.cluster_centers_[:, None] - np.asarray(places[:k]), axis=2).min(axis=0)
        assert nearest.max() < 0.4


def test_a_phase_with_a_gradient_is_one_phase() -> None:
    rng = np.random.default_rng(2)
    band = np.column_stack([rng.uniform(0, 30, 8000), rng.normal(0, 1, 8000)])
    spot = rng.normal([15, 12], 1, (800, 2))
    rows = rng.permutation(np.concatenate([band, spot])).astype(np.float32)
    assert len(CoreClusters().fit(rows).cluster_centers_) == 2
    assert len(CoreClusters().fit(band.astype(np.float32)).cluster_centers_) == 1


def test_brightness_must_part_more_clearly() -> None:
    rows = blobs([[0.0, 0], [0, 4.2]], [4000, 4000])
    brightness = np.array([[0.0, 1.0]])
    assert len(CoreClusters().fit(rows).cluster_centers_) == 2
    assert len(CoreClusters().fit(rows, brightness).cluster_centers_) == 1
    assert len(CoreClusters().fit(rows[:, ::-1].copy(), brightness).cluster_centers_) == 2


def test_groups_are_held_to_the_same_valleys() -> None:
    groups = [blobs([[3.9 * k, 0.0]], [4000], seed=k) for k in range(2)]  # 0.30 by the density
    cores = CoreClusters()
    assert cores.shallowest(groups) < 1 < cores.shallowest(groups, np.array([[1.0, 0.0]]))
    assert cores.shallowest(groups, np.array([[0.0, 1.0]])) == cores.shallowest(groups)
    assert cores.shallowest([groups[0], groups[1][:5]]) == np.inf


def test_a_small_phase_is_found_where_plain_kmeans_splits_a_large_one() -> None:
    from emreel.cluster import MiniBatchKMeans

    rng = np.random.default_rng(3)
    wide = rng.normal(0, [12, 1, 1], (9000, 3))
    small = rng.normal([0, 9, 0], 1, (120, 3))
    rows = rng.permutation(np.concatenate([wide, small])).astype(np.float32)
    truth = np.array([wide.mean(axis=0), small.mean(axis=0)])

    def miss(centers: np.ndarray) -> float:
        return float(np.linalg.norm(centers[:, None] - truth, axis=2).min(axis=0).max())

    assert miss(CoreClusters(2).fit(rows).cluster_centers_) < 1
    assert miss(MiniBatchKMeans(2).fit(rows).cluster_centers_) > 3


@pytest.mark.parametrize("k", [1, 2, 7, 30])
def test_k_is_kept_when_it_is_given(k: int) -> None:
    rows = blobs([[0.0, 0], [9, 0]], [1500, 1500])
    assert CoreClusters(k).fit(rows).cluster_centers_.shape == (k, 2)


def test_the_same_seed_gives_the_same_bits() -> None:
    rows = blobs([[0.0, 0], [9, 0]], [1500, 500])
    first, second = (CoreClusters(seed=5).fit(rows).cluster_centers_ for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.zeros((50, 2), np.float32), {"n_clusters": 2}, "got 1 distinct rows for 2 clusters"),
        (np.zeros((0, 2), np.float32), {}, "no rows"),
        (np.full((50, 2), np.nan, np.float32), {}, "NaN or inf"),
        (np.zeros((50, 2), np.float32), {"valley": 1.5}, "valley = 1.5, wanted a number between 0 and 1"),
        (np.zeros((50, 2), np.float32), {"n_fine": 0}, "n_fine = 0, wanted at least 1"),
    ],
)
def test_rows_and_options_that_cannot_work(rows: np.ndarray, options: dict[str, float], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        CoreClusters(**options).fit(rows)


def test_rows_that_are_all_alike_are_one_phase() -> None:
    assert len(CoreClusters().fit(np.ones((90, 3), np.float32)).cluster_centers_) == 1
