"""Moments are exact and mergeable in any order; PCA equals scikit-learn's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition

from emreel.reduce import MAX_ROWS, PCA, Moments, ReduceError, project_rows

_OFFSETS = st.sampled_from([0.0, 1.0, 1e3, 1e6, -(2.0**19), 3e-9])
_UNITS = st.sampled_from([1e-30, 1e-3, 1.0, 7.0, 2.0**20, 1e15])


def draw(seed: int, n: int, d: int, offset: float = 0.0, unit: float = 1.0) -> np.ndarray:
    """Correlated rows of unequal spread."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.logspace(0, -1, d) + offset
    return (mixed * unit).astype(np.float32)


def bits(moments: Moments) -> tuple[bytes, ...]:
    mean, covariance = moments.finish()
    return mean.tobytes(), covariance.tobytes(), moments.top.tobytes(), moments.first.tobytes()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 200), max_size=6),
    _OFFSETS,
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_chunking_and_tree_gives_the_same_bits(
    seed: int,
    cuts: list[int],
    offset: float,
    wild: bool,
    random,  # type: ignore[no-untyped-def]
) -> None:
    rows = draw(seed, 200, 4, offset)
    if wild:  # partials whose digits start at other heights
        rows *= np.random.default_rng(seed).choice(np.float32([0, 1e-20, 1e-7, 1, 1e7, 1e18]), size=(200, 1))
    whole = Moments.of(rows)
    order = np.random.default_rng(seed + 1).permutation(200)
    parts = [Moments.of(part) for part in np.split(rows[order], sorted(cuts))]
    random.shuffle(parts)
    while len(parts) > 1:
        i = random.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert bits(parts[0]) == bits(whole)
    np.testing.assert_array_equal(parts[0].second, whole.second)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 5), _OFFSETS)
def test_moments_are_exact(seed: int, n: int, d: int, offset: float) -> None:
    # on a grid of a 512th of 2^20 at most every value fits its digits, so nothing at all may be lost
    rows = (np.round(draw(seed, n, d, offset) * 512) / 512).astype(np.float32)
    exact = [[Fraction(float(v)) for v in row] for row in rows]
    mean, covariance = Moments.of(rows).finish()
    sums = [sum(row[j] for row in exact) for j in range(d)]
    assert mean.tolist() == pytest.approx([float(s / n) for s in sums], rel=1e-15, abs=0)
    for i in range(d):
        for j in range(d):
            products = sum(row[i] * row[j] for row in exact)
            wanted = float((products - sums[i] * sums[j] / n) / (n - 1))
            assert covariance[i, j] == pytest.approx(wanted, rel=1e-15, abs=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 500), st.integers(1, 8), _OFFSETS, _UNITS)
def test_stable_far_from_zero_and_at_any_scale(seed: int, n: int, d: int, offset: float, unit: float) -> None:
    rows = draw(seed, n, d, offset, unit).astype(np.float64)
    mean, covariance = Moments.of(rows).finish()
    centred = rows - rows.mean(axis=0)
    centred -= centred.mean(axis=0)
    wanted = centred.T @ centred / (n - 1)
    size = np.abs(rows).max(axis=0)
    spread = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=float(1e-12 * size.max()))
    tolerance = 1e-11 * np.outer(spread, spread) + 2.0**-38 * np.add.outer(spread * size.max(), spread * size.max())
    assert np.all(np.abs(covariance - wanted) <= tolerance)
    np.testing.assert_array_equal(covariance, covariance.T)


def test_an_offset_of_a_million_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = np.round(rng.normal(size=(5000, 3)) * 64) / 64  # a grid that float32 has at a million, too
    near, far = (Moments.of((rows + offset).astype(np.float64)).finish()[1] for offset in (0.0, 1e6))
    np.testing.assert_array_equal(near, far)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(20, 400), st.integers(2, 12), st.sampled_from([0.0, 50.0, 1e4]))
def test_pca_is_scikit_learns(seed: int, n: int, d: int, offset: float) -> None:
    rows = draw(seed, n, d, offset)
    k = min(5, d)
    found = PCA(k).fit(rows)
    wanted = decomposition.PCA(k, svd_solver="full").fit(rows.astype(np.float64))
    np.testing.assert_allclose(found.mean_, wanted.mean_, rtol=1e-8)
    np.testing.assert_allclose(found.explained_variance_, wanted.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(found.explained_variance_ratio_, wanted.explained_variance_ratio_, rtol=1e-8)
    values = np.append(wanted.explained_variance_, 0.0)
    gaps = -np.diff(values) if k < d else -np.diff(np.append(wanted.explained_variance_, -1.0))
    for i in range(k):  # an axis is defined as well as its variance differs from its neighbours'
        gap = min(gaps[i], gaps[i - 1] if i else np.inf) / values[0]
        if gap < 1e-3 or (k < d and i == k - 1):
            continue
        sign = np.sign(found.components_[i] @ wanted.components_[i])
        np.testing.assert_allclose(found.components_[i], sign * wanted.components_[i], atol=1e-8)
    assert found.n_rows_ == n


def test_projection_is_scikit_learns() -> None:
    rows = draw(3, 500, 6)
    found, wanted = PCA(3).fit(rows), decomposition.PCA(3, svd_solver="full").fit(rows.astype(np.float64))
    signs = np.sign(np.sum(found.components_ * wanted.components_, axis=1))
    np.testing.assert_allclose(found.transform(rows), wanted.transform(rows) * signs, atol=1e-5)
    np.testing.assert_allclose(found.components_ * signs[:, None], wanted.components_, atol=1e-8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_the_largest_loading_is_positive(seed: int, d: int) -> None:
    axes = PCA(d).fit(draw(seed, 50, d)).components_
    assert np.all(axes[np.arange(d), np.abs(axes).argmax(axis=1)] > 0)
    np.testing.assert_allclose(axes @ axes.T, np.eye(d), atol=1e-12)


def test_equal_loadings_take_the_sign_of_the_first() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    axis = PCA(1).fit(np.stack([x, -x], axis=1)).components_[0]
    np.testing.assert_allclose(axis, [0.5**0.5, -(0.5**0.5)], atol=1e-12)


def test_no_components_keeps_the_features() -> None:
    rows = draw(1, 100, 4, 30.0)
    found = PCA(None).fit(rows)
    assert found.transform(rows).tobytes() == rows.tobytes()
    np.testing.assert_array_equal(found.components_, np.eye(4))
    assert found.explained_variance_ratio_.sum() == pytest.approx(1)


def test_features_without_variance_are_allowed() -> None:
    rows = np.full((50, 3), 4.2, np.float32)
    found = PCA(2).fit(rows)
    np.testing.assert_array_equal(found.explained_variance_ratio_, [0, 0])
    np.testing.assert_array_equal(found.transform(rows), np.zeros((50, 2)))
    np.testing.assert_array_equal(found.mean_, rows[0].astype(np.float64))
    assert PCA(3).fit(rows[:1]).n_rows_ == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 200), st.integers(1, 9), st.integers(1, 5), st.integers(0, 200))
def test_projection_does_not_depend_on_the_batch(seed: int, n: int, d: int, k: int, cut: int) -> None:
    rows, rng = draw(seed, n, d), np.random.default_rng(seed)
    mean, components = rng.normal(size=d), rng.normal(size=(k, d))
    whole = project_rows(rows, mean, components)
    np.testing.assert_allclose(whole, (rows.astype(np.float64) - mean) @ components.T, rtol=1e-5, atol=1e-5)
    pieces = [project_rows(part, mean, components) for part in np.split(rows, [min(cut, n)])]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert whole.shape == (n, k) and whole.dtype == np.float32
    centred = project_rows(rows, mean, None)
    assert centred.tobytes() == project_rows(rows, mean, np.eye(d)).tobytes() and centred.shape == (n, d)


def test_projection_of_a_map_keeps_its_shape() -> None:
    features = draw(0, 35, 3).reshape(5, 7, 3)
    assert project_rows(features, np.zeros(3), np.ones((2, 3))).shape == (5, 7, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(bad: float) -> None:
    rows = draw(0, 30, 3)
    rows[5, 1] = bad
    with pytest.raises(ReduceError, match="finite"):
        Moments.of(rows)


def test_wrong_input_is_refused() -> None:
    moments = Moments.of(draw(0, 30, 3))
    with pytest.raises(ReduceError, match=r"n_components = 4 for 3 features"):
        PCA(4).fit_moments(moments)
    with pytest.raises(ReduceError, match=r"n_components = 0"):
        PCA(0).fit_moments(moments)
    with pytest.raises(ReduceError, match="3 and 2 features"):
        moments + Moments.of(draw(0, 5, 2))
    with pytest.raises(ReduceError, match="no rows"):
        Moments.of(np.empty((0, 3))).finish()
    with pytest.raises(ReduceError, match=r"wanted \(n, d\)"):
        Moments.of(np.zeros(4))
    with pytest.raises(ReduceError, match="wanted"):
        project_rows(np.zeros((2, 3)), np.zeros(2), np.zeros((1, 2)))


def test_the_largest_sums_fit_and_more_rows_are_refused() -> None:
    # every digit at its largest, 2^19: MAX_ROWS of them reach 2^62
    value = np.float32(2.0**19)
    one = Moments.of(np.full((2**15, 1), value))
    assert one.second.max() == 2**15 * 2**38
    many = one
    while many.count < MAX_ROWS:
        many = many + many
    mean, covariance = many.finish()
    assert many.count == MAX_ROWS and many.second.max() == 2**62
    assert mean[0] == value and covariance[0, 0] == 0
    with pytest.raises(ReduceError, match="smaller sample"):
        many + one


def test_blocks_of_many_rows_stay_exact() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(-(2**19), 2**19, (70_000, 2)).astype(np.float32)
    mean, covariance = Moments.of(rows).finish()
    whole = rows.astype(np.int64)
    sums, products = whole.sum(axis=0), whole.T @ whole
    for i in range(2):
        assert mean[i] == int(sums[i]) / 70_000
        for j in range(2):
            wanted = (70_000 * int(products[i, j]) - int(sums[i]) * int(sums[j])) / (70_000 * 69_999)
            assert covariance[i, j] == wanted
