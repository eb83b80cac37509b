"""Where regions come from: a graph of splits, merges and gaps, without cycles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

LINEAGE_COLUMNS = ("frame", "source", "target", "kind")


def lineage_graph(regions: pd.DataFrame, links: pd.DataFrame) -> nx.DiGraph[Any]:
    """The lineage of a result's tables ``regions`` and ``lineage``.

    A region that meets another goes on as the same region, so a graph of regions could run in circles. Nodes are the
    stretches of a region between the events that touch it: (region, first frame), with the attributes ``region``,
    ``first_frame``, ``last_frame`` and ``label``. Edges carry ``kind``: continue, split, merge or gap, and ``frame``.

    >>> regions = pd.DataFrame({"frame": [0, 1, 1], "region": [1, 1, 2], "label": 1})
    >>> links = pd.DataFrame({"frame": [1], "source": [1], "target": [2], "kind": ["split"]})
    >>> sorted(lineage_graph(regions, links).edges(data="kind"))
    [((1, 0), (1, 1), 'continue'), ((1, 0), (2, 1), 'split')]
    """
    graph: nx.DiGraph[Any] = nx.DiGraph()
    rows = list(zip(*(links[name].tolist() for name in LINEAGE_COLUMNS), strict=True))
    touched: dict[int, set[int]] = {}
    for frame, source, target, _ in rows:
        touched.setdefault(source, set()).add(frame)
        touched.setdefault(target, set()).add(frame)
    spans = regions.groupby("region").agg(first=("frame", "min"), last=("frame", "max"), label=("label", "first"))
    starts: dict[int, list[int]] = {}
    for region, first, last, label in spans.reset_index().to_numpy(np.int64).tolist():
        cuts = sorted(frame for frame in touched.get(region, ()) if first < frame <= last)
        starts[region] = [first, *cuts]
        for begin, end in zip(starts[region], [*(frame - 1 for frame in cuts), last], strict=True):
            graph.add_node((region, begin), region=region, first_frame=begin, last_frame=end, label=label)
    gaps = {(target, frame) for frame, _, target, kind in rows if kind == "gap"}
    for region, frames in starts.items():
        for before, after in pairwise(frames):
            kind = "gap" if (region, after) in gaps else "continue"
            graph.add_edge((region, before), (region, after), kind=kind, frame=after)
    for frame, source, target, kind in rows:
        stretch = [first for first in starts.get(source, ()) if first < frame]
        if kind in ("split", "merge") and stretch and (target, frame) in graph:
            graph.add_edge((source, stretch[-1]), (target, frame), kind=kind, frame=frame)
    return graph


def ancestors_of(graph: nx.DiGraph[Any], region: int) -> set[int]:
    """The regions that a region came from."""
    nodes = [node for node in graph if node[0] == region]
    found = {node[0] for start in nodes for node in nx.ancestors(graph, start)}
    return {int(name) for name in found if name != region}


def empty_links() -> pd.DataFrame:
    """A lineage table without rows."""
    kinds: dict[str, Any] = {"frame": np.int64, "source": np.int64, "target": np.int64, "kind": str}
    return pd.DataFrame(columns=list(LINEAGE_COLUMNS)).astype(kinds)
