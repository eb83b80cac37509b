"""Louvain communities of a similarity graph against networkx."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Contest, in_process, item

from emreel.cluster.louvain import find_communities, modularity
from emreel.cluster.similarity import build_graph, measure_similarities


@item("louvain_networkx")
def louvain_networkx(tiny: bool) -> Contest:
    """One start each on one graph: chips of four phases, joined above the mean. Error: modularity that is missing."""
    n = 120 if tiny else 600
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(4, 8))
    rows = middles[rng.integers(4, size=n)] + rng.normal(0, 0.6, (n, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = measure_similarities(rows)
    graph = build_graph(rows, found, found.mean)

    def run(backend: Any) -> Any:
        return find_communities(graph, n_starts=1, backend=backend)

    return Contest(
        ours=in_process(lambda: run("emreel")),
        peer=in_process(lambda: run("networkx")),
        n_outputs=graph.nnz,
        error=lambda ours, peer: max(modularity(graph, peer) - modularity(graph, ours), 0.0),
        peer_name="networkx louvain_communities",
    )
