"""Similarities of all pairs, their thresholds, and the graph, against plain numpy over the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster.errors import ClusterError
from emreel.cluster.similarity import BLOCK_ROWS, build_graph, measure_similarities

few = settings(max_examples=25, deadline=None)


@st.composite
def unit_rows(draw):
    """Embeddings of length 1 in some groups; now and then more of them than one block holds."""
    n = draw(st.sampled_from([2, 3, 7, 40, 101, BLOCK_ROWS + 45]))
    d = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = rng.normal(size=(draw(st.integers(1, 4)), d))
    rows = groups[rng.integers(len(groups), size=n)] + rng.normal(0, draw(st.sampled_from([0.05, 0.5])), (n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pairs_of(rows, kind):
    """Oracle: the cosine of every pair, in float64, once each."""
    rows = rows.astype(np.float64)
    cosine = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    if kind == "cosine":
        return cosine
    distance = 1 - cosine
    return 1 - (distance - distance.min()) / max(float(np.ptp(distance)), 1e-300)


@few
@given(unit_rows())
def test_cosine_is_the_cosine_and_its_statistics_are_numpys(rows):
    found, pairs = measure_similarities(rows, "cosine"), pairs_of(rows, "cosine")
    assert found.n_pairs == len(pairs)
    np.testing.assert_allclose([found.mean, found.median], [pairs.mean(), np.median(pairs)], atol=2e-6)
    np.testing.assert_allclose(found.edges[[0, -1]], [pairs.min(), pairs.max()], atol=2e-6)


@few
@given(unit_rows())
def test_range_is_the_same_stretched_to_0_and_1(rows):
    found, pairs = measure_similarities(rows), pairs_of(rows, "range")
    spread = float(np.ptp(pairs_of(rows, "cosine")))
    if spread > 1e-2:
        np.testing.assert_allclose([found.mean, found.median], [pairs.mean(), np.median(pairs)], atol=2e-6 / spread)
        np.testing.assert_allclose(found.edges[[0, -1]], [0, 1], atol=1e-12)
        counts = np.histogram(pairs, np.linspace(0, 1, 101))[0]
        assert np.abs(np.cumsum(counts) - np.cumsum(found.counts)).max() <= 0.01 * len(pairs) + 2


@few
@given(unit_rows(), st.integers(0, 2**32 - 1))
def test_what_is_subtracted_from_all_rows_and_turns_change_nothing(rows, seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(rows.shape[1],) * 2))[0]
    moved = ((rows - rng.normal(size=rows.shape[1])) @ turn).astype(np.float32)
    for name in ("mean", "median"):
        before, after = (measure_similarities(r, "cosine").threshold(name) for r in (rows, moved))
        assert abs(before - after) < 1e-5


def test_mode_is_the_left_edge_of_the_fullest_bin():
    angle = np.concatenate([np.zeros(50), np.full(10, 1.0), np.linspace(0.3, 3, 12)])
    rows = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    found = measure_similarities(rows)
    counts, edges = np.histogram(pairs_of(rows, "range"), 100)
    assert found.mode == pytest.approx(edges[np.argmax(counts)], abs=1e-6) == pytest.approx(0.99, abs=1e-6)
    assert found.counts[-1] == counts[-1]


def test_the_median_of_even_and_odd_numbers_of_pairs_is_exact():
    for n in (4, 5, 6, 7, 300):
        rows = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        wide = rows.astype(np.float64)
        squared = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)[np.triu_indices(n, 1)]
        assert measure_similarities(rows, "cosine").median == pytest.approx(1 - np.median(squared) / 2, abs=1e-6)


@few
@given(unit_rows(), st.sampled_from(["mean", "median", "mode"]), st.booleans())
def test_graph_joins_what_is_strictly_above(rows, name, weighted):
    found = measure_similarities(rows)
    threshold = found.threshold(name)
    graph = build_graph(rows, found, threshold, weighted=weighted).toarray()
    pairs = pairs_of(rows, "range")
    np.testing.assert_array_equal(graph, graph.T)
    assert not graph.diagonal().any()
    upper = graph[np.triu_indices(len(rows), 1)]
    clear = np.abs(pairs - threshold) > 1e-3
    if np.ptp(pairs_of(rows, "cosine")) > 1e-2:
        np.testing.assert_array_equal(upper[clear] > 0, pairs[clear] > threshold)
        joined = upper > 0
        np.testing.assert_allclose(upper[joined], pairs[joined] if weighted else 1, atol=1e-3)


@few
@given(unit_rows())
def test_both_kinds_give_one_graph_of_edges(rows):
    ways = []
    for kind in ("range", "cosine"):
        found = measure_similarities(rows, kind)
        ways.append(build_graph(rows, found, found.mean).nnz)
    assert abs(ways[0] - ways[1]) <= 0.01 * len(rows) ** 2


def test_neighbours_are_the_nearest_and_those_who_count_us():
    rows = np.random.default_rng(0).normal(size=(BLOCK_ROWS + 30, 3)).astype(np.float32)
    found = measure_similarities(rows)
    graph = build_graph(rows, found, None, neighbors=4).toarray() > 0
    wide = rows.astype(np.float64)
    gap = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gap, np.inf)
    chosen = np.zeros_like(graph)
    np.put_along_axis(chosen, np.argsort(gap, axis=1)[:, :4], True, axis=1)
    np.testing.assert_array_equal(graph, chosen | chosen.T)
    both = build_graph(rows, found, found.threshold("mode"), neighbors=4).toarray() > 0
    np.testing.assert_array_equal(both, graph & (build_graph(rows, found, found.threshold("mode")).toarray() > 0))


def test_rows_all_alike_have_no_edges_above_their_own_similarity():
    rows = np.ones((5, 3), np.float32)
    found = measure_similarities(rows)
    assert (found.mean, found.median, found.n_pairs) == (1.0, 1.0, 10)
    assert build_graph(rows, found, found.mean).nnz == 0
    assert build_graph(rows, found, None).nnz == 20


@pytest.mark.parametrize(
    "call",
    [
        lambda: measure_similarities([[1.0, 2.0]]),
        lambda: measure_similarities([[1.0], [2.0]], "euclidean"),
        lambda: measure_similarities([[1.0], [2.0]]).threshold("max"),
        lambda: build_graph([[1.0], [2.0]], measure_similarities([[1.0], [2.0]]), 0.5, neighbors=0),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ClusterError, match="got"):
        call()
