"""Sums around centres: the same bits in any order, and those of a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster import CentroidSums, ClusterError, FixedPoint
from emreel.cluster.sums import BATCH_ROWS, MAX_ROWS


def blobs(seed: int, k: int = 4, n: int = 2000, d: int = 3, apart: float = 4.0, offset: float = 0.0) -> np.ndarray:
    """Rows of k round blobs of unequal size."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(k, d)) * apart + offset
    share = rng.dirichlet(np.full(k, 3.0))
    return (middles[rng.choice(k, n, p=share)] + rng.normal(size=(n, d))).astype(np.float32)


def bits(sums: CentroidSums) -> tuple[bytes, bytes, int]:
    return sums.sums.tobytes(), sums.counts.tobytes(), sums.inertia_steps


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 300), max_size=6),
    st.sampled_from([0.0, 1e6, -3e4]),
    st.randoms(use_true_random=False),
)
def test_any_chunking_and_tree_gives_the_same_bits(seed: int, cuts: list[int], offset: float, random) -> None:  # type: ignore[no-untyped-def]
    rows = blobs(seed, n=300, offset=offset)
    centers, scale = rows[:5].astype(np.float64), FixedPoint.of_rows(rows)
    whole = CentroidSums.of(rows, centers, scale)
    order = np.random.default_rng(seed).permutation(300)
    parts = [CentroidSums.of(part, centers, scale) for part in np.split(rows[order], sorted(cuts))]
    random.shuffle(parts)
    while len(parts) > 1:
        i = random.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert bits(parts[0]) == bits(whole)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e6]), st.sampled_from([1e-20, 1.0, 1e12]))
def test_sums_are_those_of_a_plain_loop(seed: int, offset: float, unit: float) -> None:
    rows = (blobs(seed, n=500, offset=offset) * unit).astype(np.float32)
    centers, scale = rows[:3].astype(np.float64), FixedPoint.of_rows(rows)
    found = CentroidSums.of(rows, centers, scale)
    distances = ((rows[:, None].astype(np.float64) - centers) ** 2).sum(axis=2)
    labels = distances.argmin(axis=1)
    np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=3))
    spread = np.ptp(rows.astype(np.float64))
    means = np.array([rows[labels == k].mean(axis=0, dtype=np.float64) for k in range(3)])
    np.testing.assert_allclose(found.finish(centers), means, atol=1e-8 * spread, rtol=0)
    assert found.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-6)


def test_a_class_without_rows_keeps_its_centre() -> None:
    rows = np.tile(np.float32([1, 2]), (5, 1))
    centers = np.array([[1.0, 2.0], [50.0, 60.0]])
    sums = CentroidSums.of(rows, centers, FixedPoint.of_rows(rows))
    assert sums.counts.tolist() == [5, 0]
    np.testing.assert_array_equal(sums.finish(centers), centers)


@pytest.mark.parametrize("stray", [1e6, -3e30, 3e38])
def test_stray_rows_are_cut_and_never_overflow(stray: float) -> None:
    rows = blobs(0, n=200)
    scale = FixedPoint.of_rows(rows)
    centers = np.zeros((1, 3))
    wild = CentroidSums.of(np.full((64, 3), stray, np.float32), centers, scale)
    assert np.all(np.abs(wild.sums) == 64 * 2**30) and np.all(np.sign(wild.sums) == np.sign(stray))
    assert wild.inertia_steps == 64 * 2**42
    # the rows of the largest sample, all cut at the same side, still fit 64 bits, and so does a batch's inertia
    assert MAX_ROWS * 2**30 < 2**63 and BATCH_ROWS * 2**42 < 2**63


def test_more_rows_than_the_sums_hold_are_refused() -> None:
    scale = FixedPoint.of_rows([[0.0], [1.0]])
    half = CentroidSums(np.zeros((1, 1), np.int64), np.array([MAX_ROWS // 2 + 1]), 0, scale)
    with pytest.raises(ClusterError, match="smaller sample"):
        half + half


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(bad: float) -> None:
    rows = blobs(1, n=100)
    scale = FixedPoint.of_rows(rows)
    rows[70, 1] = bad
    with pytest.raises(ClusterError, match="1 of 100 rows"):
        CentroidSums.of(rows, rows[:2], scale)
    with pytest.raises(ClusterError, match="1 of 100 rows"):
        FixedPoint.of_rows(rows)


def test_sums_of_other_centres_or_scales_are_not_merged() -> None:
    rows = blobs(1, n=50)
    scale = FixedPoint.of_rows(rows)
    one = CentroidSums.of(rows, rows[:2], scale)
    with pytest.raises(ClusterError, match="cannot be merged"):
        one + CentroidSums.of(rows, rows[:3], scale)
    with pytest.raises(ClusterError, match="cannot be merged"):
        one + CentroidSums.of(rows, rows[:2], FixedPoint.of_rows(rows * 100))
    with pytest.raises(ClusterError, match="scale of 3 features"):
        CentroidSums.of(rows[:, :2], rows[:2, :2], scale)
