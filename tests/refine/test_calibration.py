"""Temperature from the margins beside edges: by the formula, the same in any order and at any stride."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import EdgeMargins, RefineError
from emreel.refine.calibration import PLAIN_TEMPERATURE


def ramp(slope_per_px: float, stride: int, size_px: int = 256) -> np.ndarray:
    """Two classes that part at a slanted line; the margin grows by ``slope_per_px`` with the distance from it."""
    y, x = np.mgrid[:size_px:stride, :size_px:stride]
    distance = (x - 0.37 * y - 60.3) / np.hypot(1, 0.37)
    return np.stack([0 * distance, slope_per_px * distance], axis=-1).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_the_median_of_the_margins_beside_edges(seed: int, n_classes: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 3, (23, 31, n_classes)).astype(np.float32)
    label, margins = scores.argmax(axis=2), []
    for i in range(23):
        for j in range(31):
            around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            if any(0 <= a < 23 and 0 <= b < 31 and label[a, b] != label[i, j] for a, b in around):
                best = np.sort(scores[i, j].astype(np.float64))
                margins.append(best[-1] - best[-2])
    found = EdgeMargins.of(scores)
    assert found.counts.sum() == len(margins)
    assert found.temperature(6.0, 2) == pytest.approx(np.median(margins), rel=0.1)  # 6 / (3 x 2) = 1


def test_the_order_of_merging_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    parts = [EdgeMargins.of(rng.normal(size=(9, 9, 3))) for _ in range(4)]
    forth, back = parts[0] + parts[1] + parts[2] + parts[3], parts[3] + (parts[2] + (parts[1] + parts[0]))
    np.testing.assert_array_equal(forth.counts, back.counts)


def test_the_same_edge_has_the_same_temperature_at_any_stride() -> None:
    found = [EdgeMargins.of(ramp(2.0, stride)).temperature(8.0, stride) for stride in (1, 2, 4, 8)]
    assert max(found) < 1.5 * min(found)
    # twice as steep, twice as sure without reason
    assert EdgeMargins.of(ramp(4.0, 4)).temperature(8.0, 4) == pytest.approx(2 * found[2], rel=0.1)


def test_points_that_are_not_valid_do_not_count() -> None:
    scores = ramp(2.0, 4)
    valid = np.zeros(scores.shape[:2], bool)
    assert EdgeMargins.of(scores, valid).counts.sum() == 0
    valid[:20] = True
    assert 0 < EdgeMargins.of(scores, valid).counts.sum() < EdgeMargins.of(scores).counts.sum()


@pytest.mark.parametrize("n_classes", [1, 2])
def test_without_edges_a_middling_temperature_is_taken(n_classes: int) -> None:
    scores = np.zeros((20, 20, n_classes), np.float32)
    assert EdgeMargins.of(scores).temperature(8.0, 4) == PLAIN_TEMPERATURE


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(RefineError, match="wanted .y_grid, x_grid, K."):
        EdgeMargins.of(np.zeros((4, 4)))
