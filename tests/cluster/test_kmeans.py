"""Same bits in any order; as good as scikit-learn's best of ten starts."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from emreel.cluster import CentroidSums, ClusterError, FixedPoint, MiniBatchKMeans, Reservoir, one_step
from emreel.cluster.kmeans import seed_plus_plus, seed_random
from emreel.cluster.sampling import hash_indices


def blobs(seed: int, k: int = 4, n: int = 2000, d: int = 3, apart: float = 4.0, offset: float = 0.0) -> np.ndarray:
    """Rows of k round blobs of unequal size."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(k, d)) * apart + offset
    share = rng.dirichlet(np.full(k, 3.0))
    return (middles[rng.choice(k, n, p=share)] + rng.normal(size=(n, d))).astype(np.float32)


# ----------------------------------------------------------------------------------------- seeding


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_seeds_are_distinct_rows_and_repeat(seed: int, k: int) -> None:
    rows = np.repeat(np.arange(8, dtype=np.float32)[:, None], 5, axis=0)  # eight distinct rows, five of each
    for choose in (seed_plus_plus, seed_random):
        picked = choose(rows, k, seed)
        assert len({float(rows[i, 0]) for i in picked}) == k
        assert picked == choose(rows, k, seed)


def test_greedy_seeds_find_well_separated_blobs() -> None:
    rows = np.concatenate([np.random.default_rng(k).normal(100 * k, 1, (50, 2)) for k in range(6)]).astype(np.float32)
    assert {i // 50 for i in seed_plus_plus(rows, 6, 0)} == set(range(6))


# ------------------------------------------------------------------------------------------ fitting


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 7), st.integers(1, 6), st.sampled_from([1.0, 2.0, 5.0]))
def test_inertia_is_that_of_scikit_learns_best_of_ten(seed: int, k: int, d: int, apart: float) -> None:
    rows = blobs(seed, k, 1200, d, apart)
    reference = KMeans(k, n_init=10, random_state=0).fit(rows.astype(np.float64))
    found = MiniBatchKMeans(k).fit(rows)
    assert found.inertia_ <= reference.inertia_ * 1.01


def test_median_quality_is_within_a_thousandth() -> None:
    ratios = []
    for seed in range(15):
        rows = blobs(seed, 5, 3000, 4, 2.0)
        reference = KMeans(5, n_init=10, random_state=0).fit(rows.astype(np.float64))
        ratios.append(MiniBatchKMeans(5, batch_rows=500).fit(rows).inertia_ / reference.inertia_)
    assert np.median(ratios) < 1.0005 and max(ratios) < 1.005


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_what_is_learned_belongs_to_the_centres(seed: int, k: int) -> None:
    rows = blobs(seed, 4, 600)
    fitted = MiniBatchKMeans(k, max_rounds=2).fit(rows)
    distances = ((rows[:, None].astype(np.float64) - fitted.cluster_centers_) ** 2).sum(axis=2)
    labels = fitted.predict(rows)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    np.testing.assert_array_equal(fitted.counts_, np.bincount(labels, minlength=k))
    assert fitted.inertia_ == pytest.approx(distances.min(axis=1).sum(), rel=1e-6)
    assert fitted.n_rounds_ <= 2 and fitted.cluster_centers_.dtype == np.float64


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3000), min_size=1, max_size=5))
def test_a_sample_in_pieces_gives_the_same_model(seed: int, cuts: list[int]) -> None:
    rows = blobs(seed, 4, 3000)
    hashes = hash_indices(np.arange(len(rows)), seed)

    def fit(cuts: list[int], merge_backwards: bool) -> MiniBatchKMeans:
        pieces = np.split(rows, cuts)
        parts = [Reservoir.of(h, piece, 700) for h, piece in zip(np.split(hashes, cuts), pieces, strict=True)]
        reservoir = functools.reduce(operator.add, parts[::-1] if merge_backwards else parts).finish()

        def run_round(centers: np.ndarray, scale: FixedPoint) -> CentroidSums:
            sums = [CentroidSums.of(piece, centers, scale) for piece in pieces]
            return functools.reduce(operator.add, sums[::-1] if merge_backwards else sums)

        return MiniBatchKMeans(4, n_init=3, seed=1, batch_rows=256).fit_rounds(reservoir, run_round)

    whole = fit([], False)
    for backwards in (False, True):
        split = fit(sorted(cuts), backwards)
        assert split.cluster_centers_.tobytes() == whole.cluster_centers_.tobytes()
        assert (split.inertia_, split.n_rounds_) == (whole.inertia_, whole.n_rounds_)
        np.testing.assert_array_equal(split.counts_, whole.counts_)
    assert whole.counts_.sum() == 3000


def test_polishing_sees_what_the_reservoir_does_not() -> None:
    rows = blobs(5, 3, 20_000, 3, 2.0)
    kept = rows[:60]

    def run_round(centers: np.ndarray, scale: FixedPoint) -> CentroidSums:
        return CentroidSums.of(rows, centers, scale)

    start = MiniBatchKMeans(3, max_rounds=1).fit_rounds(kept, run_round)
    polished = MiniBatchKMeans(3).fit_rounds(kept, run_round)
    best = KMeans(3, n_init=10, random_state=0).fit(rows.astype(np.float64)).inertia_
    assert 1 < polished.n_rounds_ <= 20
    assert polished.inertia_ < start.inertia_
    assert polished.inertia_ < 1.001 * best


def test_the_same_seed_repeats_and_another_may_differ() -> None:
    rows = np.random.default_rng(0).random((500, 2)).astype(np.float32)  # no structure: every start ends elsewhere
    first, second, other = (MiniBatchKMeans(7, n_init=1, seed=s).fit(rows) for s in (3, 3, 4))
    assert first.cluster_centers_.tobytes() == second.cluster_centers_.tobytes()
    assert first.cluster_centers_.tobytes() != other.cluster_centers_.tobytes()


def test_more_starts_never_do_worse() -> None:
    rows = np.random.default_rng(1).random((800, 2)).astype(np.float32)
    inertias = [MiniBatchKMeans(9, n_init=n, seed=2).fit(rows).inertia_ for n in (1, 4, 12)]
    assert inertias[0] * 1.0001 >= inertias[1] and inertias[1] * 1.0001 >= inertias[2]
    assert inertias[2] < inertias[0]


def test_large_samples_go_through_a_reservoir_and_nested_batches() -> None:
    rows = blobs(2, 4, 70_000, 2)
    fitted = MiniBatchKMeans(4, n_init=2).fit(rows)
    reference = KMeans(4, n_init=2, random_state=0).fit(rows)
    assert fitted.inertia_ < 1.001 * reference.inertia_ and fitted.counts_.sum() == 70_000


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_both_ways_to_seed_find_blobs(init: str) -> None:
    rows = blobs(8, 3, 600, 2, 20.0)
    reference = KMeans(3, n_init=10, random_state=0).fit(rows.astype(np.float64))
    assert MiniBatchKMeans(3, init=init).fit(rows).inertia_ < 1.0001 * reference.inertia_


def test_given_centres_keep_their_numbers() -> None:
    rows = np.concatenate([np.random.default_rng(k).normal(10 * k, 1, (100, 2)) for k in range(3)]).astype(np.float32)
    given = np.array([[19.0, 21.0], [1.0, -1.0], [11.0, 9.0]])
    fitted = MiniBatchKMeans(3, init=given).fit(rows)
    np.testing.assert_allclose(fitted.cluster_centers_, [[20, 20], [0, 0], [10, 10]], atol=0.5)
    assert given[0, 0] == 19.0
    np.testing.assert_array_equal(fitted.predict(rows[[0, 150, 299]]), [1, 2, 0])


def test_one_class_is_the_mean() -> None:
    rows = blobs(0, 3, 400, offset=1e4)
    fitted = MiniBatchKMeans(1).fit(rows)
    np.testing.assert_allclose(fitted.cluster_centers_[0], rows.mean(axis=0, dtype=np.float64), rtol=1e-7)
    assert fitted.counts_.tolist() == [400]


def test_a_constant_movie_has_one_class_only() -> None:
    rows = np.full((100, 3), 7.25, np.float32)
    fitted = MiniBatchKMeans(1).fit(rows)
    np.testing.assert_array_equal(fitted.cluster_centers_, [[7.25] * 3])
    assert fitted.inertia_ == 0.0
    with pytest.raises(ClusterError, match=r"1 distinct rows for 2 clusters.*-k"):
        MiniBatchKMeans(2).fit(rows)


def test_more_clusters_than_rows_is_refused() -> None:
    rows = np.array([[0.0], [-0.0], [1.0], [2.0], [2.0]], np.float32)
    assert sorted(MiniBatchKMeans(3).fit(rows).counts_.tolist()) == [1, 2, 2]
    with pytest.raises(ClusterError, match="got 3 distinct rows for 4 clusters"):
        MiniBatchKMeans(4).fit(rows)
    with pytest.raises(ClusterError, match="got no rows"):
        MiniBatchKMeans(1).fit(np.empty((0, 2)))


def test_rows_that_are_not_finite_are_refused() -> None:
    rows = blobs(1, n=100)
    rows[70, 1] = np.nan
    with pytest.raises(ClusterError, match="1 of 100 rows hold NaN or inf"):
        MiniBatchKMeans(2).fit(rows)


def test_as_many_clusters_as_rows_gives_every_row_its_own() -> None:
    rows = np.random.default_rng(3).random((12, 2)).astype(np.float32)
    fitted = MiniBatchKMeans(12).fit(rows)
    assert fitted.inertia_ < 1e-12 and fitted.counts_.tolist() == [1] * 12


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_classes_left_empty_are_seeded_anew(seed: int) -> None:
    rows = blobs(seed, 3, 300)
    far = np.array([[0.0, 0, 0], [1e4, 0, 0], [2e4, 0, 0], [3e4, 0, 0]])  # three of them get no row at first
    fitted = MiniBatchKMeans(4, init=far).fit(rows)
    again = MiniBatchKMeans(4, init=far).fit(rows)
    assert fitted.counts_.min() > 0
    assert fitted.cluster_centers_.tobytes() == again.cluster_centers_.tobytes()


def test_a_class_that_its_neighbours_empty_while_polishing_is_seeded_anew() -> None:
    kept = np.array([[0.0], [2.5], [5.5], [8.0]], np.float32)  # rests at centres 0, 4, 8
    rows = np.concatenate((kept, np.full((500, 1), 1.95), np.full((500, 1), 6.05))).astype(np.float32)
    seen: list[list[int]] = []

    def run_round(centers: np.ndarray, scale: FixedPoint) -> CentroidSums:
        sums = CentroidSums.of(rows, centers, scale)
        seen.append(sums.counts.tolist())
        return sums

    fitted = MiniBatchKMeans(3, init=[[0.0], [4.0], [8.0]]).fit_rounds(kept, run_round)
    assert seen[1][1] == 0  # the middle class lost both its rows
    assert fitted.counts_.min() > 0 and fitted.counts_.sum() == len(rows)


def test_a_class_that_only_the_reservoir_has_is_an_error() -> None:
    kept = np.array([[0.0], [0.1], [100.0]], np.float32)

    def run_round(centers: np.ndarray, scale: FixedPoint) -> CentroidSums:
        return CentroidSums.of(kept[:2], centers, scale)

    with pytest.raises(ClusterError, match="1 of 2 clusters have no row"):
        MiniBatchKMeans(2, init=[[0.0], [100.0]]).fit_rounds(kept, run_round)


def test_rounds_must_answer_what_was_asked() -> None:
    rows = blobs(0, 2, 50)
    with pytest.raises(ClusterError, match="run_round"):
        MiniBatchKMeans(2).fit_rounds(rows, lambda c, s: CentroidSums.of(rows, c[:1], s))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 0}, "n_clusters = 0"),
        ({"n_clusters": 2, "n_init": 0}, "n_init = 0"),
        ({"n_clusters": 2, "max_rounds": 0}, "max_rounds = 0"),
        ({"n_clusters": 2, "batch_rows": 0}, "batch_rows = 0"),
        ({"n_clusters": 2, "init": "kmeans"}, "init 'kmeans'"),
        ({"n_clusters": 2, "init": np.zeros((3, 3))}, r"wanted \(2, 3\)"),
        ({"n_clusters": 2, "init": np.zeros((2, 2))}, r"wanted \(2, 3\)"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        MiniBatchKMeans(**options).fit(blobs(0, 2, 50))  # type: ignore[arg-type]


def test_one_step_moves_centres_to_the_means() -> None:
    rows = blobs(4, 3, 500)
    centers = rows[:4].astype(np.float64)
    labels = ((rows[:, None].astype(np.float64) - centers) ** 2).sum(axis=2).argmin(axis=1)
    wanted = [rows[labels == k].mean(axis=0, dtype=np.float64) for k in range(4)]
    np.testing.assert_allclose(one_step(rows, centers), wanted, atol=1e-6)
