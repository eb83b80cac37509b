"""Plateaus of distance: found by the definition, at any cut, in any order; edges are not among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import Novelty, Plateaus, RefineError
from emreel.refine.novelty import FACTOR, LEAST_THRESHOLD, opened, plateau_points


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 5]))
def test_opening_is_the_largest_smallest_distance_of_the_squares_around(seed: int, size: int) -> None:
    far = np.random.default_rng(seed).exponential(1.0, (11, 14)).astype(np.float32)
    r = size // 2
    wide = np.pad(far.astype(np.float64), 2 * r, mode="edge")
    smallest = np.array(
        [
            [wide[i - r : i + r + 1, j - r : j + r + 1].min() for j in range(2 * r, 14 + 2 * r)]
            for i in range(2 * r, 11 + 2 * r)
        ]
    )
    around = np.pad(smallest, r, mode="edge")
    expected = np.array([[around[i : i + size, j : j + size].max() for j in range(14)] for i in range(11)])
    np.testing.assert_allclose(opened(far, size), expected, rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([3, 5, 7]), st.integers(0, 20))
def test_a_piece_with_its_reach_is_cut_from_the_whole(seed: int, size: int, first: int) -> None:
    far = np.random.default_rng(seed).exponential(0.3, (50, 40)).astype(np.float32)
    novelty = Novelty(size_points=size, threshold=0.2)
    reach = novelty.reach_points
    piece = far[max(first - reach, 0) : first + 10 + reach]
    raised = novelty(piece)[first - max(first - reach, 0) :][:10]
    np.testing.assert_array_equal(raised, novelty(far)[first : first + 10])
    assert (raised >= far[first : first + 10]).all()


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_the_threshold_lies_beyond_what_the_fit_reaches_in_any_order(scale: float) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.exponential(scale, (60, 70)).astype(np.float32) for _ in range(4)]
    valid = np.ones((60, 70), bool)
    valid[:5] = False
    frames[0][:5] = 50.0
    parts = [Plateaus.of(far, valid, 5) for far in frames]
    novelty = (parts[0] + parts[1] + parts[2] + parts[3]).novelty(5)
    again = (parts[3] + parts[1] + parts[0] + parts[2]).novelty(5)
    assert novelty is not None and novelty == again
    reached = np.quantile(np.concatenate([opened(far, 5)[valid] for far in frames]), 0.999)
    wanted = max(FACTOR * reached, LEAST_THRESHOLD)
    assert wanted <= novelty.threshold <= 1.1 * wanted


def test_few_points_or_large_distances_teach_nothing() -> None:
    valid = np.ones((30, 30), bool)
    assert Plateaus.of(np.full((30, 30), 0.9, np.float32), valid, 3).novelty(3) is None
    assert Plateaus.of(np.full((10, 10), 0.1, np.float32), valid[:10, :10], 3).novelty(3) is None
    assert [plateau_points(period, 4) for period in (4.0, 7.2, 16.0)] == [5, 7, 17]
    with pytest.raises(RefineError, match="odd side"):
        Novelty(size_points=4, threshold=0.1)
