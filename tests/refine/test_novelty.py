"""Plateaus of distance: found by the definition, at any cut, in any order; edges are not among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import Novelty, Plateaus, RefineError
from emreel.refine.novelty import EDGE_SHARE, FACTOR, LEAST_THRESHOLD, LEAST_WATCHED, opened, plateau_points


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
@given(st.integers(0, 10**6), st.sampled_from([3, 5, 7]), st.integers(0, 20), st.sampled_from([None, 0.15]))
def test_a_piece_with_its_reach_is_cut_from_the_whole(
    seed: int, size: int, first: int, watched_threshold: float | None
) -> None:
    far, watched = np.random.default_rng(seed).exponential(0.3, (2, 60, 40)).astype(np.float32)
    novelty = Novelty(size_points=size, threshold=0.2, watched_threshold=watched_threshold)
    start = max(first - novelty.reach_points, 0)
    end = first + 10 + novelty.reach_points
    raised = novelty(far[start:end], watched[start:end])[first - start :][:10]
    np.testing.assert_array_equal(raised, novelty(far, watched)[first : first + 10])
    assert (raised >= far[first : first + 10]).all()


def test_a_watched_region_is_new_up_to_a_share_of_its_strength() -> None:
    x = np.arange(60)
    watched = np.broadcast_to(0.3 / (1 + np.exp(-(x - 30.0))), (40, 60)).astype(np.float32)
    watched = watched + 0.5 * (x == 8).astype(np.float32)  # and an edge
    novelty = Novelty(size_points=5, threshold=1.0, watched_threshold=0.03)
    new = novelty(np.zeros((40, 60), np.float32), watched) > 1
    first = int(np.flatnonzero(watched[0] > EDGE_SHARE * 0.3)[1])
    assert new[:, first + 1 :].all() and not new[:, : first - 1].any()
    assert not (novelty(np.zeros((40, 60), np.float32), watched / 12) > 1).any()
    assert not (novelty(np.zeros((40, 60), np.float32)) > 1).any()


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_the_threshold_lies_beyond_what_the_fit_reaches_in_any_order(scale: float) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.exponential(scale, (60, 70)).astype(np.float32) for _ in range(4)]
    valid = np.ones((60, 70), bool)
    valid[:5] = False
    frames[0][:5] = 50.0
    parts = [Plateaus.of(far, valid, 5) for far in frames]
    threshold = (parts[0] + parts[1] + parts[2] + parts[3]).threshold(LEAST_THRESHOLD)
    again = (parts[3] + parts[1] + parts[0] + parts[2]).threshold(LEAST_THRESHOLD)
    assert threshold is not None and threshold == again
    reached = np.quantile(np.concatenate([opened(far, 5)[valid] for far in frames]), 0.999)
    wanted = max(FACTOR * reached, LEAST_THRESHOLD)
    assert wanted <= threshold <= 1.1 * wanted


def test_few_points_or_large_distances_teach_nothing() -> None:
    valid = np.ones((30, 30), bool)
    few = Plateaus.of(np.full((10, 10), 0.1, np.float32), valid[:10, :10], 3)
    large = Plateaus.of(np.full((30, 30), 0.9, np.float32), valid, 3)
    small = Plateaus.of(np.full((30, 30), 0.001, np.float32), valid, 3)
    assert Novelty.learned(3, few, few) is None and Novelty.learned(3, large, None) is None
    assert Novelty.learned(3, small, None) == Novelty(size_points=3, threshold=LEAST_THRESHOLD)
    assert Novelty.learned(3, large, small) == Novelty(size_points=3, threshold=1.0, watched_threshold=LEAST_WATCHED)
    assert [plateau_points(period, 4) for period in (4.0, 7.2, 16.0)] == [5, 7, 17]
    for wrong in ({"size_points": 4}, {"threshold": 0.0}, {"watched_threshold": -1.0}):
        with pytest.raises(RefineError, match="odd side"):
            Novelty(**({"size_points": 5, "threshold": 0.1} | wrong))
