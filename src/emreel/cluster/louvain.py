"""Louvain communities of a similarity graph, by emreel's own kernel, by networkx or by scikit-network.

Modularity with resolution g (Newman & Girvan 2004; Reichardt & Bornholdt 2006):

    Q = sum over communities c of [ w_c / W - g (s_c / W)^2 ]

with w_c the weight of the edges inside c (both ways), s_c the strength of its nodes, W the strength of all. Louvain
(Blondel et al., J. Stat. Mech. 2008, P10008) moves single nodes to the neighbouring community that gains most until
none gains, makes every community a node, and starts again. It is a heuristic that depends on the order of the nodes, so
several orders are tried and the partition of the largest Q is kept.

The three programs do not find the same partition of the same graph. Which one is used is therefore a choice that a
recipe names, never what happens to be installed. emreel's own is the default: it takes a graph of a million edges in a
fraction of a second (networkx: minutes), and its order comes from hashes of the seed, so that it gives the same
communities with every version of every library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from emreel.cluster.errors import ClusterError
from emreel.cluster.sampling import derive_seed, hash_indices

Backend = Literal["emreel", "networkx", "scikit-network"]
Partition = npt.NDArray[np.int64]  # (node,), community 0..C-1

#: A move must gain so much modularity.
LEAST_GAIN = 1e-10
MOST_LEVELS = 64


def find_communities(
    graph: sparse.csr_array, *, resolution: float = 1.0, seed: int = 0, n_starts: int = 4, backend: Backend = "emreel"
) -> Partition:
    """Communities of a graph; of several starts the one of largest modularity, the first of equals.

    Parameters
    ----------
    graph : symmetric, shape (n, n), non-negative weights.
    resolution : above 1 more and smaller communities, below 1 fewer.
    n_starts : orders of the nodes that compete.

    Returns
    -------
    shape (n,), numbered from the largest community to the smallest (of equals, the one with the first node). A node
    without edges is a community of its own.

    Raises
    ------
    ClusterError : an unknown backend or one that is not installed, or a resolution that is not above 0.
    """
    if backend not in _BACKENDS:
        raise ClusterError(f"got backend {backend!r}, wanted one of {', '.join(map(repr, _BACKENDS))}.")
    if not resolution > 0 or n_starts < 1:
        raise ClusterError(f"got resolution {resolution} and {n_starts} starts, wanted both above 0.")
    find = _BACKENDS[backend]
    best: tuple[float, Partition] | None = None
    for start in range(n_starts if graph.nnz else 1):
        found = find(graph, resolution, derive_seed(seed, start) % 2**31) if graph.nnz else np.arange(graph.shape[0])
        quality = modularity(graph, found, resolution)
        if best is None or quality > best[0] + LEAST_GAIN:
            best = quality, found
    assert best is not None
    return rank_by_size(best[1])


def modularity(graph: sparse.csr_array, partition: npt.ArrayLike, resolution: float = 1.0) -> float:
    """Modularity of a partition, at most 1; 0 for a graph without edges."""
    partition = np.asarray(partition, np.int64)
    strength = np.asarray(graph.sum(axis=1), np.float64).ravel()
    total = float(strength.sum())
    if total == 0:
        return 0.0
    source = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    inside = float(graph.data[partition[source] == partition[graph.indices]].sum(dtype=np.float64))
    shares = np.bincount(partition, strength) / total
    return inside / total - resolution * float(np.sum(shares**2))


def rank_by_size(partition: npt.ArrayLike) -> Partition:
    """The same communities, numbered from the largest to the smallest; of equals, the one with the first node."""
    _, first, number, sizes = np.unique(partition, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[number])


# ---------------------------------------------------------------------------------------------- programs


def _by_emreel(graph: sparse.csr_array, resolution: float, seed: int) -> Partition:
    partition = np.arange(graph.shape[0], dtype=np.int64)
    level = sparse.csr_array(graph, dtype=np.float64)
    for depth in range(MOST_LEVELS):
        n = level.shape[0]
        order = np.argsort(hash_indices(np.arange(n), derive_seed(seed, depth)), kind="stable")
        strength = np.asarray(level.sum(axis=1), np.float64).ravel()
        indices, indptr = level.indices.astype(np.int64), level.indptr.astype(np.int64)
        found = np.arange(n, dtype=np.int64)
        if not _move_nodes(indptr, indices, level.data, strength, order.astype(np.int64), found, resolution):
            break
        _, found = np.unique(found, return_inverse=True)
        partition = found[partition]
        join = sparse.csr_array((np.ones(n), (np.arange(n), found)))
        level = sparse.csr_array(join.T @ level @ join)
        level.sort_indices()
    return partition


def _by_networkx(graph: sparse.csr_array, resolution: float, seed: int) -> Partition:
    import networkx as nx

    whole = nx.from_scipy_sparse_array(sparse.csr_array(graph, dtype=np.float64))
    partition = np.empty(graph.shape[0], np.int64)
    for number, nodes in enumerate(nx.community.louvain_communities(whole, resolution=resolution, seed=seed)):
        partition[list(nodes)] = number
    return partition


def _by_scikit_network(graph: sparse.csr_array, resolution: float, seed: int) -> Partition:
    try:
        clustering: Any = importlib.import_module("sknetwork.clustering")
    except ImportError:
        raise ClusterError(
            'the backend "scikit-network" is not installed. Run: pip install "emreel[chips]", or choose "emreel".'
        ) from None
    plain = sparse.csr_matrix((graph.data.astype(np.float64), graph.indices, graph.indptr), shape=graph.shape)
    louvain = clustering.Louvain(resolution=resolution, modularity="newman", shuffle_nodes=True, random_state=seed)
    return np.asarray(louvain.fit_predict(plain), np.int64)


_BACKENDS: dict[str, Callable[[sparse.csr_array, float, int], Partition]] = {
    "emreel": _by_emreel,
    "networkx": _by_networkx,
    "scikit-network": _by_scikit_network,
}


@numba.njit(cache=True, nogil=True)
def _move_nodes(  # type: ignore[no-untyped-def]
    indptr: Any, indices: Any, data: Any, strength: Any, order: Any, community: Any, resolution: float
):
    """Move nodes, in this order, to the neighbouring community of largest gain until none moves; whether any did."""
    n = strength.size
    total = strength.sum()
    inside = strength.copy()  # strength of each community
    weight = np.zeros(n)  # of the node's edges to each community
    touched = np.empty(n, np.int64)
    any_moved = False
    for _ in range(1000):
        moved = False
        for node in order:
            here = community[node]
            n_touched = 0
            for e in range(indptr[node], indptr[node + 1]):
                if indices[e] == node:
                    continue
                there = community[indices[e]]
                if weight[there] == 0.0:
                    touched[n_touched] = there
                    n_touched += 1
                weight[there] += data[e]
            inside[here] -= strength[node]
            best = here
            most = weight[here] - resolution * strength[node] * inside[here] / total
            for t in range(n_touched):
                there = touched[t]
                gain = weight[there] - resolution * strength[node] * inside[there] / total
                if gain > most + LEAST_GAIN * total:
                    best, most = there, gain
            inside[best] += strength[node]
            if best != here:
                community[node] = best
                moved = True
            for t in range(n_touched):
                weight[touched[t]] = 0.0
        if not moved:
            break
        any_moved = True
    return any_moved
