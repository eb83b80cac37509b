"""How alike the rows of a sample are: all pairs, their distribution, thresholds, and the graph of the alike.

With the distance ``d = |a - b|^2 / 2``, which for embeddings of length 1 is the cosine distance ``1 - a . b``
(also after a mean was taken from both, or a rotation applied), a similarity is

=========  ================================================  ====================================================
"range"    ``1 - (d - min d) / (max d - min d)``, in 0..1     the text of Ter-Petrosyan et al. (arXiv:2311.08585)
"cosine"   ``1 - d``, in -1..1                                their code; the cosine of the angle between embeddings
=========  ================================================  ====================================================

The two differ by a scale and an offset. A threshold taken from the distribution moves along, so the graph above it has
the same edges for both; only weights differ. Nothing here holds all pairs at once: rows are taken in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from emreel.cluster.assign import Rows, parse_rows, squared_distances
from emreel.cluster.errors import ClusterError

SimilarityKind = Literal["range", "cosine"]
ThresholdName = Literal["mean", "median", "mode"]
#: Bins in which the mode is looked for.
N_BINS = 100
#: Rows whose similarities to all others are held at once.
BLOCK_ROWS = 256
_FINE_BINS = 1 << 14


@dataclass(frozen=True, eq=False)
class Similarities:
    """The distribution of the similarities of all pairs of a sample (each pair once, none with itself).

    kind : how a distance becomes a similarity. mean, median, mode : of the pairs; the mode is the left edge of the
    fullest of 100 bins. counts : shape (100,), pairs in each bin. edges : shape (101,), the bins' edges, from the
    least similarity to the largest. offset, slope : similarity = offset - slope |a - b|^2.
    """

    kind: SimilarityKind
    mean: float
    median: float
    mode: float
    counts: npt.NDArray[np.int64]
    edges: npt.NDArray[np.float64]
    offset: float
    slope: float

    @property
    def n_pairs(self) -> int:
        return int(self.counts.sum())

    def threshold(self, wanted: ThresholdName | float) -> float:
        """A threshold by name, or a number as it is.

        Raises
        ------
        ClusterError : another name.
        """
        if isinstance(wanted, str):
            if wanted not in get_args(ThresholdName):
                raise ClusterError(f"got threshold {wanted!r}, wanted 'mean', 'median', 'mode' or a number.")
            return float(getattr(self, wanted))
        return float(wanted)

    def of_distances(self, sq_distances: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Similarities of pairs of these squared distances."""
        return np.asarray(self.offset - self.slope * sq_distances.astype(np.float64))


def measure_similarities(rows: npt.ArrayLike, kind: SimilarityKind = "range") -> Similarities:
    """The distribution of the similarities of all pairs of rows, shape (n, d), n at least 2.

    The median is exact: a first pass counts the pairs in 16 384 bins, a second sorts the bin in the middle.

    Raises
    ------
    ClusterError : fewer than two rows, or another kind.

    >>> found = measure_similarities([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], "cosine")
    >>> round(found.mean, 3), found.median, found.n_pairs
    (0.333, 0.0, 3)
    """
    rows = parse_rows(rows)
    if len(rows) < 2 or kind not in get_args(SimilarityKind):
        raise ClusterError(f"got {len(rows)} rows and kind {kind!r}, wanted at least 2 rows, and 'range' or 'cosine'.")
    least, most, total, n_pairs = np.inf, 0.0, 0.0, 0
    for block in _upper_blocks(rows):
        least, most = min(least, float(block.min())), max(most, float(block.max()))
        total += float(block.sum(dtype=np.float64))
        n_pairs += block.size
    offset, slope = _line(kind, least, most)
    edges = np.linspace(offset - slope * most, offset - slope * least, N_BINS + 1)
    counts, fine = np.zeros(N_BINS, np.int64), np.zeros(_FINE_BINS, np.int64)
    for block in _upper_blocks(rows):
        if most > least:
            counts += np.histogram(offset - slope * block.astype(np.float64), edges)[0]
            fine += np.bincount(_fine_bin(block, least, most), minlength=_FINE_BINS)
        else:
            counts[-1] += block.size
    middle = _median_of_pairs(rows, fine, least, most, n_pairs) if most > least else least
    return Similarities(
        kind=kind,
        mean=offset - slope * total / n_pairs,
        median=offset - slope * middle,
        mode=float(edges[int(np.argmax(counts))]),
        counts=counts,
        edges=edges,
        offset=offset,
        slope=slope,
    )


def build_graph(
    rows: npt.ArrayLike,
    similarities: Similarities,
    threshold: float | None,
    *,
    neighbors: int | None = None,
    weighted: bool = False,
) -> sparse.csr_array:
    """The graph whose nodes are rows and whose edges join those that are alike.

    Parameters
    ----------
    rows : shape (n, d).
    similarities : of these rows (`measure_similarities`).
    threshold : pairs strictly above it are joined; None: all pairs.
    neighbors : a row is joined to so many of its most similar rows only (and to those that count it among theirs).
    weighted : edges weigh their similarity (pairs at or below 0 are not joined), otherwise 1.

    Returns
    -------
    Symmetric, shape (n, n), float32, nothing on the diagonal, columns in order.
    """
    rows = parse_rows(rows)
    if neighbors is not None and neighbors < 1:
        raise ClusterError(f"got neighbors = {neighbors}, wanted at least 1, or None for all.")
    n = len(rows)
    data, columns, ends = [], [], [np.zeros(1, np.int64)]
    for first in range(0, n, BLOCK_ROWS):
        part = similarities.of_distances(squared_distances(rows[first : first + BLOCK_ROWS], rows))
        keep = np.ones(part.shape, bool) if threshold is None else part > threshold
        keep[np.arange(len(part)), np.arange(first, first + len(part))] = False
        if weighted:
            keep &= part > 0
        if neighbors is not None and neighbors < n:
            keep &= _nearest(np.where(keep, part, -np.inf), neighbors)
        ends.append(keep.sum(axis=1))
        columns.append(np.nonzero(keep)[1].astype(np.int32))
        data.append(part[keep].astype(np.float32) if weighted else np.ones(len(columns[-1]), np.float32))
    indptr = np.cumsum(np.concatenate(ends))
    graph = sparse.csr_array((np.concatenate(data), np.concatenate(columns), indptr), shape=(n, n))
    if neighbors is not None:
        graph = sparse.csr_array(graph.maximum(graph.T))
        graph.sort_indices()
    return graph


def _line(kind: SimilarityKind, least: float, most: float) -> tuple[float, float]:
    """Offset and slope of the similarity as a function of the squared distance."""
    if kind == "cosine":
        return 1.0, 0.5
    slope = 1.0 / (most - least) if most > least else 1.0
    return 1.0 + slope * least, slope


def _upper_blocks(rows: Rows) -> Iterator[npt.NDArray[np.float32]]:
    """Squared distances of all pairs, each once, a block of rows at a time."""
    for first in range(0, len(rows) - 1, BLOCK_ROWS):
        part = squared_distances(rows[first : first + BLOCK_ROWS], rows[first:])
        yield part[np.arange(part.shape[1])[None, :] > np.arange(part.shape[0])[:, None]]


def _fine_bin(block: npt.NDArray[np.float32], least: float, most: float) -> npt.NDArray[np.intp]:
    place = (block.astype(np.float64) - least) * (_FINE_BINS / (most - least))
    return np.minimum(place.astype(np.intp), _FINE_BINS - 1)


def _median_of_pairs(rows: Rows, fine: npt.NDArray[np.int64], least: float, most: float, n_pairs: int) -> float:
    """The median squared distance: the mean of the two in the middle where their number is even."""
    below = np.concatenate(([0], np.cumsum(fine)))
    ranks = ((n_pairs - 1) // 2, n_pairs // 2)
    bins = [int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks]
    held: dict[int, list[npt.NDArray[np.float32]]] = {wanted: [] for wanted in bins}
    for block in _upper_blocks(rows):
        place = _fine_bin(block, least, most)
        for wanted, parts in held.items():
            parts.append(block[place == wanted])
    middle = [
        float(np.sort(np.concatenate(held[wanted]))[rank - below[wanted]])
        for wanted, rank in zip(bins, ranks, strict=True)
    ]
    return (middle[0] + middle[1]) / 2


def _nearest(similarity: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.bool_]:
    """Where a row's k largest are; the first of equals."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(similarity.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen
