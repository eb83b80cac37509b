"""The graph of splits, merges and gaps."""

from __future__ import annotations

import networkx as nx
import pandas as pd

from emreel.track.lineage import ancestors_of, empty_links, lineage_graph


def test_the_lineage_has_no_cycles() -> None:
    regions = pd.DataFrame({"frame": [*range(8), 2, 3, 4, 6, 7], "region": [1] * 8 + [2, 2, 2, 3, 3], "label": 1})
    links = pd.DataFrame(
        {"frame": [2, 5, 6], "source": [1, 2, 1], "target": [2, 1, 3], "kind": ["split", "merge", "split"]}
    )
    graph = lineage_graph(regions, links)
    assert nx.is_directed_acyclic_graph(graph)
    assert next(iter(nx.topological_sort(graph))) == (1, 0)
    assert graph.edges[(1, 0), (2, 2)]["kind"] == "split" and graph.edges[(2, 2), (1, 5)]["kind"] == "merge"
    assert graph.nodes[2, 2] == {"region": 2, "first_frame": 2, "last_frame": 4, "label": 1}
    assert ancestors_of(graph, 3) == {1, 2} and ancestors_of(graph, 1) == {2}


def test_a_gap_is_an_edge_of_its_own() -> None:
    regions = pd.DataFrame({"frame": [0, 1, 4, 5], "region": 7, "label": 2})
    links = pd.DataFrame({"frame": [4], "source": [7], "target": [7], "kind": ["gap"]})
    graph = lineage_graph(regions, links)
    assert list(graph.edges(data="kind")) == [((7, 0), (7, 4), "gap")]
    assert list(lineage_graph(regions, empty_links()).nodes) == [(7, 0)]
