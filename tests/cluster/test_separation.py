"""Merge and split: halves of one class become one, two small classes become two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster import MiniBatchKMeans, assign
from emreel.cluster.separation import SPLIT, separate, separations


def shuffled(groups: list[np.ndarray], seed: int = 0) -> np.ndarray:
    rows = np.concatenate(groups)
    return np.random.default_rng(seed).permutation(rows).astype(np.float32)


def plain_separation(rows: np.ndarray, label: np.ndarray, centers: np.ndarray, i: int, j: int) -> float:
    line = centers[i] - centers[j]
    half = np.linalg.norm(line) / 2
    mine = rows[(label == i) | (label == j)].astype(np.float64)
    place = (mine - (centers[i] + centers[j]) / 2) @ line / np.linalg.norm(line)
    return float(half / np.sqrt(np.mean((np.abs(place) - half) ** 2)))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 4))
def test_separations_are_the_formula(seed: int, n_classes: int, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, n_features)).astype(np.float32)
    centers = rng.normal(size=(n_classes, n_features))
    found = separations(rows, centers)
    label = assign(rows, centers)[0]
    for i in range(n_classes):
        assert np.isinf(found[i, i])
        for j in range(i):
            if np.isin(label, [i, j]).any():
                assert (
                    found[i, j] == found[j, i] == pytest.approx(plain_separation(rows, label, centers, i, j), rel=1e-5)
                )


@pytest.mark.parametrize(("density", "expected"), [("normal", 1.32), ("uniform", 1.73)])
def test_halves_of_one_class_are_told(density: str, expected: float) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(20_000, 1)) if density == "normal" else rng.uniform(-1, 1, (20_000, 1))).astype(np.float32)
    centers = MiniBatchKMeans(2).fit(rows).cluster_centers_
    assert separations(rows, centers)[0, 1] == pytest.approx(expected, abs=0.02)
    assert expected < SPLIT


def test_a_large_noisy_class_in_halves_gives_way_to_two_small_ones() -> None:
    """What squared distances prefer is wrong here: a dark field in halves, two thin twins in one."""
    rng = np.random.default_rng(1)
    at = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.9, 0], [0, 0, 0.9, 0.5]])
    sizes, widths = [9000, 3000, 3000, 260, 260], [0.2, 0.1, 0.1, 0.05, 0.05]
    groups = [rng.normal(m, w, (n, 4)) for m, n, w in zip(at, sizes, widths, strict=True)]
    rows = shuffled(groups)
    plain = MiniBatchKMeans(5).fit(rows)
    assert separations(rows, plain.cluster_centers_).min() < SPLIT
    moved = separate(rows, plain.cluster_centers_)
    assert separations(rows, moved).min() > 2
    assert sorted(np.abs(moved[:, None] - at[None]).max(axis=2).argmin(axis=1)) == [0, 1, 2, 3, 4]
    # k-means was right by its own measure
    assert assign(rows, plain.cluster_centers_)[1].sum() < assign(rows, moved)[1].sum()


def test_classes_with_gaps_are_left_to_the_bit() -> None:
    rng = np.random.default_rng(2)
    rows = shuffled([rng.normal(m, 0.1, (500, 3)) for m in (0.0, 1.0, 2.0, 3.0)])
    centers = MiniBatchKMeans(4).fit(rows).cluster_centers_
    np.testing.assert_array_equal(separate(rows, centers), centers)


def test_too_many_classes_end_and_are_no_worse() -> None:
    rng = np.random.default_rng(3)
    rows = shuffled([rng.normal(m, 0.2, (800, 2)) for m in (0.0, 1.5)])
    centers = MiniBatchKMeans(6).fit(rows).cluster_centers_
    moved = separate(rows, centers)
    assert moved.shape == centers.shape
    assert np.isfinite(moved).all()
    assert separations(rows, moved).min() >= separations(rows, centers).min()


@pytest.mark.parametrize("n_classes", [1, 2])
def test_one_or_two_classes_have_nothing_to_trade(n_classes: int) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 2)).astype(np.float32)
    centers = MiniBatchKMeans(n_classes).fit(rows).cluster_centers_
    np.testing.assert_array_equal(separate(rows, centers), centers)
