"""The sample depends on place and seed only; reservoirs merge in any order."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster import ClusterError, Reservoir, derive_seed, point_hashes, select_points
from emreel.cluster.sampling import draw_uniform, hash_indices

_MASK = 2**64 - 1


def splitmix(index: int, seed: int) -> int:
    """SplitMix64 in Python integers."""
    z = (index * 0x9E3779B97F4A7C15 + derive_seed(seed)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


@given(st.lists(st.integers(0, 2**62), max_size=20), st.integers(-5, 2**65))
def test_hash_is_splitmix(indices: list[int], seed: int) -> None:
    found = hash_indices(np.array(indices, np.int64), seed)
    assert [int(h) for h in found] == [splitmix(i, seed) for i in indices]


def test_reference_values_of_splitmix64() -> None:
    # Vigna's splitmix64.c started at 1234567 gives this first number; our state is index * golden + key
    golden, key = 0x9E3779B97F4A7C15, derive_seed(0)
    index = ((1234567 + golden - key) * pow(golden, -1, 2**64)) & _MASK
    assert splitmix(index, 0) == 6457827717110365317


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 4000),
    st.integers(0, 2**40),
    st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)
def test_lowest_hashes_in_raster_order(
    frame: int, height: int, width: int, n_points: int, seed: int, masked: float
) -> None:
    allowed = np.random.default_rng(frame).random((height, width)) >= masked
    for mask in (None, allowed):
        rows, cols = select_points(frame, (height, width), n_points, seed, mask)
        every = np.arange(height * width) if mask is None else np.flatnonzero(mask)
        hashes = [splitmix(frame * height * width + int(i), seed) for i in every]
        wanted = np.sort(every[np.argsort(np.array(hashes, np.uint64))[:n_points]]) if len(every) else every
        np.testing.assert_array_equal(rows * width + cols, wanted)
        assert rows.dtype == cols.dtype == np.int64
        chosen = point_hashes(frame, (height, width), rows, cols, seed)
        assert sorted(int(h) for h in chosen) == sorted(hashes)[:n_points]


def test_points_of_a_large_grid_are_spread_evenly() -> None:
    rows, cols = select_points(7, (1024, 1024), 16_384, seed=1)
    assert len(rows) == 16_384
    table = np.histogram2d(rows, cols, bins=8, range=[[0, 1024]] * 2)[0]
    chi_square = ((table - 256) ** 2 / 256).sum()  # 63 degrees of freedom: 63 +- 11
    assert 25 < chi_square < 120
    other = select_points(8, (1024, 1024), 16_384, seed=1)
    shared = np.intersect1d(rows * 1024 + cols, other[0] * 1024 + other[1]).size
    assert 150 < shared < 370  # independent choices of 1/64 share 256 +- 16


def test_another_seed_chooses_other_points() -> None:
    first, second = (select_points(0, (64, 64), 100, seed) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert derive_seed(0, 1) != derive_seed(0, 2) != derive_seed(1, 2)
    assert derive_seed(3, 1, 2) != derive_seed(3, 2, 1)


def test_uniform_draws_are_uniform_and_repeat() -> None:
    draws = np.array([draw_uniform(5, i) for i in range(4000)])
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.02 and abs(draws.std() - 12**-0.5) < 0.01
    assert draw_uniform(5, 17) == draws[17]


@pytest.mark.parametrize(("frame", "grid", "n"), [(-1, (4, 4), 2), (0, (0, 4), 2), (0, (4, 4), -1)])
def test_impossible_selections_are_refused(frame: int, grid: tuple[int, int], n: int) -> None:
    with pytest.raises(ClusterError, match="Wanted a grid"):
        select_points(frame, grid, n, 0)
    with pytest.raises(ClusterError, match="mask of shape"):
        select_points(0, (4, 4), 2, 0, np.ones((4, 5), bool))


# ----------------------------------------------------------------------------------- reservoirs


def bits(reservoir: Reservoir) -> bytes:
    return reservoir.hashes.tobytes() + reservoir.rows.tobytes()


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Batches of hashed rows, with equal hashes and rows among them now and then."""
    seed = draw(st.integers(0, 10**6))
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=6))
    few = draw(st.booleans())
    rng = np.random.default_rng(seed)
    made = [
        (
            rng.integers(0, 20 if few else 2**63, n).astype(np.uint64),
            rng.choice([-0.0, 0.0, 1.0, 2.0], (n, 2)).astype(np.float32),
        )
        for n in sizes
    ]
    return made, draw(st.integers(1, 60))


@settings(deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_any_order_and_tree_gives_the_same_reservoir(drawn, random) -> None:  # type: ignore[no-untyped-def]
    made, capacity = drawn
    whole = Reservoir.of(np.concatenate([h for h, _ in made]), np.concatenate([r for _, r in made]), capacity)
    parts = [Reservoir.of(h, r, capacity) for h, r in made]
    random.shuffle(parts)
    while len(parts) > 1:
        i = random.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert bits(parts[0]) == bits(whole)
    assert len(whole.finish()) == min(capacity, sum(len(h) for h, _ in made))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 200))
def test_keeps_the_lowest_hashes_in_their_order(seed: int, capacity: int, n: int) -> None:
    hashes = hash_indices(np.arange(n), seed)
    rows = np.arange(n, dtype=np.float32)[:, None]
    kept = Reservoir.of(hashes, rows, capacity).finish()
    np.testing.assert_array_equal(kept[:, 0], np.argsort(hashes)[:capacity])


def test_memory_is_bounded_by_the_capacity() -> None:
    rng = np.random.default_rng(0)
    parts = [Reservoir.of(hash_indices(np.arange(i * 50, i * 50 + 50), 0), rng.random((50, 3)), 64) for i in range(20)]
    merged = functools.reduce(operator.add, parts)
    assert merged.rows.shape == (64, 3) and merged.rows.base is None
    assert all(part.rows.shape == (50, 3) for part in parts)


def test_reservoirs_that_do_not_fit_are_refused() -> None:
    one = Reservoir.of(np.array([1], np.uint64), [[1.0]], 4)
    with pytest.raises(ClusterError, match="cannot be merged"):
        one + Reservoir.of(np.array([2], np.uint64), [[1.0]], 5)
    with pytest.raises(ClusterError, match="cannot be merged"):
        one + Reservoir.of(np.array([2], np.uint64), [[1.0, 2.0]], 4)
    with pytest.raises(ClusterError, match="not finite"):
        Reservoir.of(np.array([1], np.uint64), [[np.nan]], 4)
    with pytest.raises(ClusterError, match="one hash a row"):
        Reservoir.of(np.array([1, 2], np.uint64), [[1.0]], 4)
