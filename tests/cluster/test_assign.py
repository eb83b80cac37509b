"""Nearest centre: a plain float64 loop and scikit-learn are the references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from emreel.cluster import ClusterError, assign, discriminants, squared_distances


def draw(seed: int, n: int, d: int, k: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(np.float32), rng.normal(size=(k, d)) + offset


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 200), st.integers(1, 12), st.integers(1, 9))
def test_equals_plain_distances(seed: int, n: int, d: int, k: int) -> None:
    rows, centers = draw(seed, n, d, k)
    wanted = ((rows[:, None].astype(np.float64) - centers) ** 2).sum(axis=2)
    labels, nearest = assign(rows, centers)
    assert labels.dtype == np.int32 and nearest.dtype == np.float32
    np.testing.assert_array_equal(labels, wanted.argmin(axis=1) if n else [])
    np.testing.assert_allclose(nearest, wanted.min(axis=1) if n else [], rtol=1e-6)
    np.testing.assert_allclose(squared_distances(rows, centers), wanted, rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 300))
def test_bits_do_not_depend_on_the_batch(seed: int, n: int, cut: int) -> None:
    rows, centers = draw(seed, n, 5, 4)
    cut = min(cut, n)
    for kernel in (lambda x, c: assign(x, c)[0], lambda x, c: assign(x, c)[1], squared_distances, discriminants):
        pieces = [kernel(part, centers) for part in np.split(rows, [cut])]
        assert np.concatenate(pieces).tobytes() == kernel(rows, centers).tobytes()


def test_labels_are_those_of_scikit_learn() -> None:
    rows, _ = draw(3, 20_000, 7, 1)
    kmeans = KMeans(6, n_init=1, max_iter=5, random_state=0).fit(rows.astype(np.float64))
    labels, nearest = assign(rows, kmeans.cluster_centers_)
    np.testing.assert_array_equal(labels, kmeans.predict(rows.astype(np.float64)))
    assert nearest.sum(dtype=np.float64) == pytest.approx(-kmeans.score(rows.astype(np.float64)), rel=1e-6)


def test_the_lower_class_wins_a_tie() -> None:
    labels, nearest = assign([[0.0, 0.0]], [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert labels.tolist() == [1] and nearest.tolist() == [1.0]


def test_a_row_that_is_not_finite_is_infinitely_far() -> None:
    labels, nearest = assign([[np.nan, 1.0], [np.inf, 1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    assert labels.tolist() == [0, 0, 1]
    assert nearest.tolist() == [np.inf, np.inf, 0.0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.floats(-1e4, 1e4))
def test_discriminants_rank_as_distances_far_from_zero(seed: int, offset: float) -> None:
    rows, centers = draw(seed, 200, 4, 5, offset)
    scores = discriminants(rows, centers).astype(np.float64)
    distances = ((rows[:, None].astype(np.float64) - centers) ** 2).sum(axis=2)
    # equal up to a constant of the row
    gap = scores + distances / 2
    np.testing.assert_allclose(gap - gap[:, :1], 0, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_discriminants_are_linear(seed: int, share: float) -> None:
    rows, centers = draw(seed, 2, 3, 4)
    between = (share * rows[:1].astype(np.float64) + (1 - share) * rows[1:]).astype(np.float32)
    ends = discriminants(rows, centers)
    np.testing.assert_allclose(discriminants(between, centers)[0], share * ends[0] + (1 - share) * ends[1], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "centers", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 3)), "2 features for centres of 3"),
        (np.zeros(3), np.zeros((2, 3)), "rows of shape"),
        (np.zeros((3, 2)), np.zeros((0, 2)), "centres of shape"),
        (np.zeros((3, 2)), [[0.0, np.nan]], "not finite"),
    ],
)
def test_wrong_shapes_are_refused(rows: np.ndarray, centers: np.ndarray, message: str) -> None:
    for kernel in (assign, squared_distances, discriminants):
        with pytest.raises(ClusterError, match=message):
            kernel(rows, centers)


def test_inputs_stay_as_they_were() -> None:
    rows, centers = draw(0, 70, 3, 2)
    rows.setflags(write=False)
    centers.setflags(write=False)
    for kernel in (assign, squared_distances, discriminants):
        kernel(rows, centers)
