"""Temperature from the classes that meet at edges: by the formula, the same in any order and at any stride."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import Edges, RefineError

#: Three classes: 1 and 2 lie 3 and 4 from the first, 5 from each other; squares 9, 16, 25.
CENTERS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])


def scores_of(label: np.ndarray, n_classes: int) -> np.ndarray:
    return np.eye(n_classes, dtype=np.float32)[label]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_neighbours_of_other_labels_are_counted(seed: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    label, valid = rng.integers(0, n_classes, (13, 17)), rng.random((13, 17)) < 0.8
    wanted = np.zeros((n_classes, n_classes), np.int64)
    for i in range(13):
        for j in range(17):
            for a, b in ((i + 1, j), (i, j + 1), (i - 1, j), (i, j - 1)):
                if 0 <= a < 13 and 0 <= b < 17 and valid[i, j] and valid[a, b] and label[i, j] != label[a, b]:
                    wanted[label[i, j], label[a, b]] += 1
    np.testing.assert_array_equal(Edges.of(scores_of(label, n_classes), valid).counts, wanted)


def test_the_order_of_merging_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    parts = [Edges.of(rng.normal(size=(9, 9, 3))) for _ in range(4)]
    forth, back = parts[0] + parts[1] + parts[2] + parts[3], parts[3] + (parts[2] + (parts[1] + parts[0]))
    np.testing.assert_array_equal(forth.counts, back.counts)


def test_the_temperature_is_a_twentieth_of_how_far_the_classes_at_edges_are_apart() -> None:
    label = np.zeros((10, 12), np.intp)
    label[:, 6:] = 1  # ten pairs of the classes 0 and 1
    label[0, 11] = 2  # two of 1 and 2
    mean = (10 * 9 + 2 * 25) / 12
    edges = Edges.of(scores_of(label, 3))
    assert edges.temperature(CENTERS, 0.01) == pytest.approx(mean / 0.01 / 20)
    assert edges.temperature(10 * CENTERS, 1.0) == pytest.approx(mean / 0.01 / 20)


def test_labels_are_never_surer_than_gaussian_classes() -> None:
    assert Edges.of(scores_of(np.arange(9).reshape(3, 3) % 3, 3)).temperature(CENTERS, 100.0) == 1.0


def test_an_edge_tells_the_same_at_any_stride() -> None:
    y, x = np.mgrid[:256, :256]
    label = np.where(x < 0.37 * y + 60, 0, np.where(x < 150, 1, 2))
    found = [Edges.of(scores_of(label[::n, ::n], 3)).temperature(CENTERS, 0.01) for n in (1, 2, 4, 8)]
    assert found == pytest.approx([found[0]] * 4, rel=0.05)


def test_without_edges_all_classes_count_alike() -> None:
    scores = scores_of(np.zeros((20, 20), np.intp), 3)
    assert Edges.of(scores).temperature(CENTERS, 0.01) == pytest.approx((9 + 16 + 25) / 3 / 0.01 / 20)
    assert Edges.of(scores[..., :1]).temperature(CENTERS[:1], 0.01) == 1.0


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(RefineError, match="wanted .y_grid, x_grid, K."):
        Edges.of(np.zeros((4, 4)))
