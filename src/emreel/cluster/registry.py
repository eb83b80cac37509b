"""Clusterers by name: how recipes find them. Nothing is imported before it is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from emreel.cluster.errors import ClusterError
from emreel.cluster.kmeans import RunRound
from emreel.names import Registry, did_you_mean

BUILT_IN = {
    "cores": "emreel.cluster.cores:CoreClusters",
    "kmeans": "emreel.cluster.kmeans:MiniBatchKMeans",
}
_REGISTRY = Registry(kind="clusterer", built_in=BUILT_IN, group="emreel.clusterers", error=ClusterError)
#: Every name that a recipe may use, and the class behind one.
clusterer_names, clusterer_class = _REGISTRY.names, _REGISTRY.find
#: Arguments that the recipe gives in its own words.
_GIVEN = ("n_clusters", "seed")


class Clusterer(Protocol):
    """What emreel asks of a clusterer: an estimator that leaves centres behind.

    Constructed as ``Class(n_clusters, seed=..., **options)``; ``n_clusters`` may be None where it has None as its
    default. ``fit`` takes rows in the order of their hashes, so that any first part of them is a fair sample.
    Labelling is always by the nearest centre, whatever the clusterer.
    """

    name: ClassVar[str]
    cluster_centers_: npt.NDArray[np.float64]  # (class, feature)

    def fit(self, rows: npt.NDArray[np.float32], /) -> Self: ...


@runtime_checkable
class InRounds(Protocol):
    """A clusterer that also visits the whole sample, which lies elsewhere, in rounds of sums."""

    def fit_rounds(self, reservoir_rows: npt.NDArray[np.float32], run_round: RunRound) -> Any: ...


def build_clusterer(name: str, n_clusters: int | None, *, seed: int, options: Mapping[str, Any]) -> Clusterer:
    """A clusterer by its name and options, which `check_options` has looked at.

    Raises
    ------
    ClusterError : unknown name, or no number of clusters where one is needed.
    """
    cls = clusterer_class(name)
    if n_clusters is None and needs_n_clusters(name):
        raise ClusterError("the number of phases is not given. Pass n_clusters=3, or -k 3 on the command line.")
    built: Clusterer = cls(n_clusters, seed=seed, **options)
    return built


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the clusterer does not have, or of the wrong kind.

    Raises
    ------
    ClusterError : an unknown name or option, with a suggestion; a value of another kind than the default.
    """
    parameters = inspect.signature(clusterer_class(name)).parameters
    known = [key for key in parameters if key not in _GIVEN]
    for key, value in options.items():
        if key not in known:
            raise ClusterError(f"unknown key '{key}' of clusterer '{name}'{did_you_mean(key, ['n_clusters', *known])}")
        default = parameters[key].default
        kind = (int, float) if type(default) is float else (type(default),)
        if default is not None and (
            not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool)
        ):
            raise ClusterError(f"got {key} = {value!r} for clusterer '{name}', wanted a value like {default!r}.")


def needs_n_clusters(name: str) -> bool:
    """Whether the clusterer cannot find the number of clusters by itself."""
    default = inspect.signature(clusterer_class(name)).parameters["n_clusters"].default
    return bool(default is inspect.Parameter.empty)
