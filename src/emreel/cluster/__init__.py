"""Clustering that gives the same bits anywhere: sampling by hash, k-means in fixed point, order, scatter."""

from emreel.cluster.assign import assign, discriminants, squared_distances
from emreel.cluster.errors import ClusterError
from emreel.cluster.kmeans import MiniBatchKMeans, one_step
from emreel.cluster.order import Scatter, ScatterSums, canonical_order, membership, pooled_scatter
from emreel.cluster.sampling import RESERVOIR_ROWS, Reservoir, derive_seed, point_hashes, select_points
from emreel.cluster.sums import CentroidSums, FixedPoint

__all__ = [
    "RESERVOIR_ROWS",
    "CentroidSums",
    "ClusterError",
    "FixedPoint",
    "MiniBatchKMeans",
    "Reservoir",
    "Scatter",
    "ScatterSums",
    "assign",
    "canonical_order",
    "derive_seed",
    "discriminants",
    "membership",
    "one_step",
    "point_hashes",
    "pooled_scatter",
    "select_points",
    "squared_distances",
]
