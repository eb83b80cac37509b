"""Rims have no inside: counted against a plain loop, and dropped from what is found in real frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.ablation import KINDS, Generated
from benchmarks.in_time import accuracy_of
from emreel.fit.rims import InsideCounts, has_mixtures


def count_plainly(label: np.ndarray, valid: np.ndarray, n_classes: int, reach: int) -> tuple[list[int], list[int]]:
    points, inside = [0] * n_classes, [0] * n_classes
    for y, x in np.argwhere(valid):
        k = label[y, x]
        points[k] += 1
        around = np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        inside[k] += bool(np.all((label[around] == k) & valid[around]))
    return points, inside


@settings(max_examples=40, deadline=None)
@given(
    label=arrays.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)),
    reach=st.integers(1, 3),
    dead=st.floats(0, 0.3),
)
def test_inside_is_counted_as_a_loop_counts(label: np.ndarray, reach: int, dead: float) -> None:
    valid = np.random.default_rng(0).random(label.shape) >= dead
    found = InsideCounts.of(label, valid, 3, reach)
    points, inside = count_plainly(label, valid, 3, reach)
    assert found.points.tolist() == points
    assert found.inside.tolist() == inside


def test_a_class_without_points_has_no_inside() -> None:
    found = InsideCounts.of(np.zeros((9, 9), np.int64), np.ones((9, 9), bool), 2, 1)
    assert found.share.tolist() == [1.0, 0.0]


def test_partials_add() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.integers(0, 2, (7, 8)) for _ in range(3)]
    parts = [InsideCounts.of(one, np.ones(one.shape, bool), 2, 1) for one in maps]
    whole = parts[0] + parts[1] + parts[2]
    assert whole.points.tolist() == np.bincount(np.concatenate([one.ravel() for one in maps])).tolist()


@pytest.mark.parametrize("width_points", [2, 20])
def test_thin_stripes_are_rims_and_wide_ones_are_not(width_points: int) -> None:
    label = np.zeros((60, 60), np.int64)
    label[:, 25 : 25 + width_points] = 1
    share = InsideCounts.of(label, np.ones(label.shape, bool), 2, 2).share
    assert (share[1] > 0.3) == (width_points > 5)
    assert share[0] > 0.7


@pytest.mark.parametrize(
    ("third", "wanted"), [((5.0, 1.0), True), ((5.0, 6.0), False), ((-3.0, 0.0), True), ((9.0, 0.5), True)]
)
def test_a_mixture_lies_between_two_others(third: tuple[float, float], wanted: bool) -> None:
    assert has_mixtures(np.array([(0.0, 0.0), (10.0, 0.0), third])) is wanted


def test_two_centres_mix_nothing() -> None:
    assert not has_mixtures(np.array([(0.0, 0.0), (10.0, 0.0)]))


@pytest.mark.parametrize("seed", [901, 913])
def test_a_given_number_of_phases_is_not_spent_on_a_rim(seed: int) -> None:
    """Two layers that hardly differ, at four electrons a pixel: the front's rim was told apart instead of them."""
    movie = Generated.of(KINDS["front, lit from a side"], seed, 256, 16)
    assert accuracy_of(movie.frames, movie.labels, movie.n_clusters) > 0.96
