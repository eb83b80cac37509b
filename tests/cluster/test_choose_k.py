"""Measures for the number of classes: right on Gaussians, each against its definition written out or scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from emreel.cluster import ClusterError
from emreel.cluster.choose_k import MEASURES, votes, weigh_numbers
from emreel.cluster.cores import CoreClusters

PLACES = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])


def blobs(k: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(place, 1.0, (700, 3)) for place in PLACES[:k]])
    return rng.permutation(rows).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_gaussians_are_counted(k: int) -> None:
    rows = blobs(k)
    cores = CoreClusters().fit(rows)
    said = votes(weigh_numbers(rows, cores.merging_, most=7))
    sure = ("valley", "gap", "bic") if k == 1 else tuple(m for m in MEASURES if m != "stability")
    assert {name: said[name] for name in sure} == dict.fromkeys(sure, k)
    assert said["stability"] is not None and said["stability"] >= k


def test_gain_is_that_of_scikit_learns_inertia() -> None:
    rows = blobs(3)
    weights = weigh_numbers(rows, most=5)
    inertia = [KMeans(k, n_init=4, random_state=0).fit(rows).inertia_ for k in range(1, 7)]
    for weight in weights[1:3]:
        k = weight.n_clusters
        wanted = (1 - inertia[k - 1] / inertia[k - 2]) / (1 - inertia[k] / inertia[k - 1])
        assert weight.gain == pytest.approx(wanted, rel=0.02)
    assert np.isnan(weights[0].gain)


def test_without_merging_valleys_say_nothing() -> None:
    assert votes(weigh_numbers(blobs(2), most=3))["valley"] is None


def test_the_same_seed_gives_the_same_weights() -> None:
    rows = blobs(2)
    assert str(weigh_numbers(rows, most=3, seed=4)) == str(weigh_numbers(rows, most=3, seed=4))


def test_rows_that_are_all_alike_are_one_class() -> None:
    weights = weigh_numbers(np.ones((200, 2), np.float32), CoreClusters().fit(np.ones((200, 2), np.float32)).merging_)
    assert [weight.n_clusters for weight in weights] == [1]
    assert votes(weights)["valley"] == 1


@pytest.mark.parametrize("most", [0, 40])
def test_too_few_rows_are_refused(most: int) -> None:
    with pytest.raises(ClusterError, match="at least 20 a class"):
        weigh_numbers(blobs(1), most=most)
