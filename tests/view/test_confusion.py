"""Confusion matrix, accuracy and F1 against plain counting and scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from emreel.view import ViewError
from emreel.view.confusion import compare_labels, draw_confusion

shapes = st.tuples(st.integers(1, 8), st.integers(1, 8))


@st.composite
def pairs(draw):
    shape = draw(shapes)
    truth = draw(arrays(np.uint8, shape, elements=st.integers(0, 3)))
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from([1, 2, 3, 4, 255])))
    return truth, labels


@settings(deadline=None, max_examples=40)
@given(pairs())
def test_the_matching_is_the_best_of_all(drawn):
    truth, labels = drawn
    classes = np.unique(truth)
    best = max(
        np.mean([given_to.get(t) == v for t, v in zip(truth.ravel(), labels.ravel(), strict=True)])
        for given_to in (dict(zip(classes, order, strict=False)) for order in permutations([1, 2, 3, 4]))
    )
    table = compare_labels(truth, labels)
    assert table.accuracy == pytest.approx(best)
    assert table.counts.sum() + table.missed.sum() == truth.size


@settings(deadline=None, max_examples=40)
@given(pairs())
def test_equals_scikit_learn_once_matched(drawn):
    truth, labels = drawn
    table = compare_labels(truth, labels)
    names = {label: value for value, label in zip(table.truth, table.labels, strict=True) if label >= 0}
    mapped = np.array([names.get(v, -1) for v in labels.ravel()])
    known = list(table.truth)
    wanted = confusion_matrix(truth.ravel(), mapped, labels=[-1, *known])  # -1: void
    np.testing.assert_array_equal(table.counts, wanted[1:, 1:])
    np.testing.assert_array_equal(table.missed, wanted[1:, 0])
    assert table.accuracy == pytest.approx(accuracy_score(truth.ravel(), mapped))
    f1 = f1_score(truth.ravel(), mapped, labels=known, average=None, zero_division=0.0)
    np.testing.assert_allclose(table.f1, f1)
    assert table.macro_f1 == pytest.approx(np.mean(f1))


def test_only_kept_pixels_count():
    truth, labels = np.array([0, 0, 1, 1]), np.array([1, 2, 2, 2])
    assert compare_labels(truth, labels).accuracy == 0.75
    assert compare_labels(truth, labels, keep=[True, False, True, True]).accuracy == 1.0


def test_void_is_wrong_unless_it_is_said_to_be_a_label():
    truth, labels = np.array([0, 0, 1, 1]), np.array([0, 0, 2, 2])
    table = compare_labels(truth, labels)
    assert table.accuracy == 0.5 and table.missed.tolist() == [2, 0] and table.labels == (-1, 2)
    assert compare_labels(truth, labels, void=()).accuracy == 1.0


def test_more_labels_than_classes_are_missed():
    table = compare_labels([0, 0, 0, 1], [1, 1, 2, 3])
    assert table.counts.tolist() == [[2, 0], [0, 1]] and table.missed.tolist() == [1, 0]
    assert table.percent.tolist() == [[pytest.approx(200 / 3), 0], [0, 100]]


def test_the_figure_tells_accuracy_and_every_cell(tmp_path):
    table = compare_labels([0, 0, 0, 1], [1, 1, 2, 2])
    figure = draw_confusion(table, ["background", "twin"])
    [axes] = figure.axes
    assert axes.get_title() == "accuracy 75.00 %   macro-F1 73.33 %"
    assert [text.get_text() for text in axes.texts] == ["66.7", "33.3", "0.0", "100.0"]
    figure.savefig(tmp_path / "confusion.png", dpi=50)
    with pytest.raises(ViewError, match="names"):
        draw_confusion(table, ["one"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ViewError, match="one shape"):
        compare_labels([1, 2], [1])
    with pytest.raises(ViewError, match="no pixel"):
        compare_labels([1, 2], [1, 2], keep=[False, False])
