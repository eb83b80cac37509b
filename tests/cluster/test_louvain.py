"""Louvain: modularity against its definition, partitions against networkx and scikit-network."""

from __future__ import annotations

import os

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from emreel.cluster.errors import ClusterError
from emreel.cluster.louvain import find_communities, modularity, rank_by_size

few = settings(max_examples=25, deadline=None)
BACKENDS = ["emreel", "networkx", "scikit-network"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each program; scikit-network is an extra, and in CI it must be there."""
    if request.param == "scikit-network":
        try:
            import sknetwork  # noqa: F401
        except ImportError:
            if os.environ.get("CI"):
                pytest.fail('scikit-network is not installed; run: pip install "emreel[chips]"')
            pytest.skip("scikit-network is not installed")
    return request.param


def planted(seed, sizes=(40, 25, 15), inside=0.5, outside=0.03, weighted=False):
    """A graph with groups that are denser inside, nodes shuffled; graph and truth."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    chance = np.where(truth[:, None] == truth[None], inside, outside)
    upper = np.triu(rng.random(chance.shape) < chance, 1) * (rng.uniform(0.5, 1, chance.shape) if weighted else 1.0)
    return sparse.csr_array((upper + upper.T).astype(np.float32)), truth


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0, 2.0]), st.booleans())
def test_modularity_is_networkxs(seed, resolution, weighted):
    graph, _ = planted(seed, (9, 7, 4), weighted=weighted)
    partition = np.random.default_rng(seed).integers(0, 4, graph.shape[0])
    groups = [set(np.flatnonzero(partition == k).tolist()) for k in np.unique(partition)]
    whole = nx.from_scipy_sparse_array(sparse.csr_array(graph, dtype=float))
    expected = nx.community.modularity(whole, groups, resolution=resolution)
    assert modularity(graph, partition, resolution) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_planted_groups_are_found(backend, weighted):
    for seed in range(3):
        graph, truth = planted(seed, weighted=weighted)
        found = find_communities(graph, backend=backend, seed=seed)
        assert same_partition(found, truth)
        assert found.dtype == np.int64
        assert np.bincount(found).tolist() == [40, 25, 15]


def test_the_same_seed_gives_the_same_communities(backend):
    graph, _ = planted(1, (30, 30, 30), inside=0.2, outside=0.1)
    runs = [find_communities(graph, backend=backend, seed=5, n_starts=2) for _ in range(2)]
    np.testing.assert_array_equal(*runs)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.7, 1.0, 1.5]))
def test_no_worse_than_networkx(seed, resolution):
    graph, _ = planted(seed, (20, 20, 12, 8), inside=0.3, outside=0.1)
    ours = find_communities(graph, resolution=resolution, seed=seed)
    theirs = find_communities(graph, resolution=resolution, seed=seed, backend="networkx", n_starts=1)
    assert modularity(graph, ours, resolution) >= modularity(graph, theirs, resolution) - 0.02


@few
@given(st.integers(0, 2**32 - 1))
def test_no_single_move_gains(seed):
    """What Louvain promises: every node lies where it adds most (here with one start and what comes after levels)."""
    graph, _ = planted(seed, (15, 10, 5), inside=0.4, outside=0.1)
    found = find_communities(graph, seed=seed, n_starts=1)
    best = modularity(graph, found)
    merged = [modularity(graph, np.where(found == a, b, found)) for a in set(found) for b in set(found) if a != b]
    assert all(quality <= best + 1e-9 for quality in merged)
    assert best >= modularity(graph, np.zeros(len(found), np.int64))


def test_more_starts_are_never_worse():
    graph, _ = planted(3, (20, 20, 20, 20), inside=0.15, outside=0.08)
    quality = [modularity(graph, find_communities(graph, n_starts=n)) for n in (1, 4, 16)]
    assert quality == sorted(quality)


def test_resolution_makes_more_and_fewer():
    graph, _ = planted(0, (40, 40), inside=0.4, outside=0.05)
    counts = [find_communities(graph, resolution=r).max() + 1 for r in (0.05, 1.0, 8.0)]
    assert counts[0] == 1 and counts[1] == 2 and counts[2] > 4


def test_nodes_without_edges_stay_alone(backend):
    graph = sparse.csr_array((6, 6), dtype=np.float32)
    assert sorted(find_communities(graph, backend=backend)) == [0, 1, 2, 3, 4, 5]
    edge = np.zeros((5, 5), np.float32)
    edge[0, 3] = edge[3, 0] = 1
    assert find_communities(sparse.csr_array(edge), backend=backend).tolist() == [0, 1, 2, 0, 3]


def test_the_graph_is_left_as_it_was(backend):
    graph, _ = planted(2, weighted=True)
    before = graph.copy()
    find_communities(graph, backend=backend)
    assert (graph != before).nnz == 0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_ranks_go_down_in_size(partition):
    ranked = rank_by_size(partition)
    sizes = np.bincount(ranked)
    assert (np.diff(sizes) <= 0).all() and sizes.all()
    assert same_partition(ranked, partition)


@pytest.mark.parametrize("options", [{"resolution": 0.0}, {"n_starts": 0}, {"backend": "igraph"}])
def test_nonsense_is_refused(options):
    with pytest.raises(ClusterError, match="got"):
        find_communities(planted(0)[0], **options)


def test_an_absent_program_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sknetwork", None)
    monkeypatch.setitem(sys.modules, "sknetwork.clustering", None)
    with pytest.raises(ClusterError, match=r'pip install "emreel\[chips\]"'):
        find_communities(planted(0)[0], backend="scikit-network")
