"""Grains from labels with known grains, and their table."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.cluster import MiniBatchKMeans, squared_distances
from emreel.cluster.ward import WardClusters
from emreel.descriptors.geometry import pad_frame, upsample_nearest
from emreel.descriptors.radon import LEAST_ORDER, RadonVariance, order_of
from emreel.io import open_movie
from emreel.prepare.pores import Pores
from emreel.reduce import PCA, Moments
from emreel.refine import upsample_scores
from emreel.synthetic import GrainGrowth
from emreel.track.grains import GrainError, GrainFinder, measure_grains, summarise_grains

fewer = settings(max_examples=25, deadline=None)


@st.composite
def mosaics(draw):
    """Classes 1..K in blocks of 30 px, neighbours always different; grains are the blocks."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    classes = np.empty((rows, columns), np.uint8)
    for i in range(rows):
        for j in range(columns):
            near = {int(classes[i - 1, j]) if i else 0, int(classes[i, j - 1]) if j else 0}
            classes[i, j] = rng.choice([k for k in range(1, 6) if k not in near])
    return np.kron(classes, np.ones((30, 30), np.uint8)), rng


@fewer
@given(mosaics(), st.floats(0, 0.05))
def test_every_block_is_a_grain_in_spite_of_noise(drawn, noise):
    label, rng = drawn
    noisy = np.where(rng.random(label.shape) < noise, rng.integers(1, 6, label.shape), label).astype(np.uint8)
    grains = GrainFinder(clean_px=2)(noisy)
    n_blocks = label.shape[0] * label.shape[1] // 900
    assert grains.dtype == np.int32 and grains.max() == n_blocks
    area = np.bincount(grains.ravel(), minlength=n_blocks + 1)
    assert area[0] == 0 and area.sum() == label.size
    assert np.all(np.diff(area[1:]) <= 0)
    assert np.abs(area[1:] - 900).max() < 130
    for k in range(1, n_blocks + 1):
        assert ndimage.label(grains == k)[1] == 1


@fewer
@given(mosaics())
def test_names_of_the_classes_do_not_matter(drawn):
    label, rng = drawn
    name = rng.permutation(np.arange(1, 200))[:6].astype(np.uint8)
    np.testing.assert_array_equal(GrainFinder(clean_px=3)(name[label]), GrainFinder(clean_px=3)(label))


def test_two_grains_of_one_class_are_two():
    label = np.ones((40, 90), np.uint8)
    label[:, 30:60] = 2
    grains = GrainFinder(clean_px=3)(label)
    assert grains.max() == 3 and grains[20, 10] != grains[20, 80]


def test_the_last_class_stays_without_pores():
    label = np.ones((40, 60), np.uint8)
    label[:, 30:] = 2
    assert GrainFinder(clean_px=3)(label, None).max() == 2
    assert GrainFinder(clean_px=3)(label, np.zeros(label.shape, bool)).max() == 2
    assert GrainFinder(clean_px=3)(np.ones((30, 30), np.uint8)).min() == 1


@pytest.mark.parametrize("clean_px", [0, 2, 5])
def test_pores_are_no_grain_and_do_not_eat_into_grains(clean_px):
    label = np.ones((60, 80), np.uint8)
    label[:, 40:] = 2
    pores = np.zeros(label.shape, bool)
    pores[20:32, 30:52] = True
    grains = GrainFinder(clean_px=clean_px)(label, pores)
    np.testing.assert_array_equal(grains == 0, pores)
    assert grains.max() == 2
    assert len(np.unique(grains[:, :38][~pores[:, :38]])) == 1


def test_a_pore_or_doubt_beside_a_grain_does_not_erode_it():
    label = np.ones((60, 60), np.uint8)
    hole = np.zeros(label.shape, bool)
    hole[20:40, 10:28] = hole[20:40, 34:52] = True  # with a neck of the grain between them, thinner than the disc
    finder = GrainFinder(clean_px=5, blur_px=0, fill_px=0)
    np.testing.assert_array_equal(finder(label, hole) == 0, hole)
    np.testing.assert_array_equal(finder(label, doubtful=hole) == 0, hole)


def test_strips_along_a_boundary_go_to_the_grains_beside_them():
    label = np.ones((60, 80), np.uint8)
    label[:, 40:] = 2
    label[:, 37:43] = 3
    grains = GrainFinder(clean_px=4)(label)
    assert grains.max() == 2
    assert np.all(grains[:, :38] == grains[0, 0]) and np.all(grains[:, 42:] == grains[0, -1])
    left = GrainFinder(clean_px=4, fill_px=0)(label)
    assert np.all(left[:, 38:42] == 0)


def test_doubtful_pixels_only_fill():
    label = np.ones((60, 120), np.uint8)
    label[:, 60:] = 2
    label[10:40, 50:70] = 3
    doubtful = np.zeros(label.shape, bool)
    doubtful[:, 45:75] = True
    grains = GrainFinder(clean_px=3)(label, doubtful=doubtful)
    assert grains.max() == 2 and np.all(grains > 0)
    near = GrainFinder(clean_px=3, fill_px=5)(label, doubtful=doubtful)
    assert np.all(near[:, 52:68] == 0) and np.all(near[:, :49] == near[0, 0])


def test_only_the_classes_asked_for_and_no_special_labels():
    label = np.full((40, 120), 254, np.uint8)
    label[:, :40], label[:, 40:80] = 1, 2
    label[:, 110:] = 255
    label[0, 118:] = 0
    grains = GrainFinder(clean_px=2)(label)
    assert grains.max() == 2 and np.all(grains[:, 80:] == 0)
    only = GrainFinder(clean_px=2)(label, classes=[2])
    np.testing.assert_array_equal(only > 0, label == 2)
    assert GrainFinder()(np.zeros((20, 20), np.uint8)).max() == 0
    assert len(measure_grains(np.zeros((20, 20), np.int32))) == 0


@pytest.mark.parametrize("fields", [{"clean_px": -1}, {"blur_px": np.inf}, {"min_area_px": -3}, {"fill_px": -1}])
def test_nonsense_fields_are_refused(fields):
    with pytest.raises(GrainError, match="got"):
        GrainFinder(**fields)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(GrainError, match="pores"):
        GrainFinder()(np.ones((20, 30), np.uint8), np.zeros((30, 20), bool))
    with pytest.raises(GrainError, match="doubtful"):
        GrainFinder()(np.ones((20, 30), np.uint8), doubtful=np.zeros((30, 20), bool))
    with pytest.raises(GrainError, match="got"):
        GrainFinder()(np.ones((2, 20, 30), np.uint8))


def test_the_table_gives_areas_in_physical_units():
    grains = np.zeros((50, 60), np.int32)
    grains[10:30, 5:25] = 1
    grains[35:45, 40:60] = 2
    label = np.where(grains == 1, 7, 3).astype(np.uint8)
    table = measure_grains(grains, pixel_size_nm=2.5, label=label, frame=4)
    assert table.columns.tolist() == [
        "frame", "grain", "label", "area_px", "area_um2", "diameter_nm", "y_px", "x_px", "touches_edge",
    ]  # fmt: skip
    assert table["area_px"].tolist() == [400, 200] and table["frame"].tolist() == [4, 4]
    np.testing.assert_allclose(table["area_um2"], [400 * 6.25e-6, 200 * 6.25e-6])
    np.testing.assert_allclose(np.pi * table["diameter_nm"] ** 2 / 4, [400 * 6.25, 200 * 6.25])
    np.testing.assert_allclose(table[["y_px", "x_px"]], [[19.5, 14.5], [39.5, 49.5]])
    assert table["label"].tolist() == [7, 3] and table["touches_edge"].tolist() == [False, True]
    bare = measure_grains(grains)
    assert bare["area_um2"].isna().all() and bare["area_px"].tolist() == [400, 200]


def test_the_summary_of_a_movie_has_a_row_a_frame():
    grains = np.repeat(np.arange(1, 5), 25).reshape(10, 10).astype(np.int32)
    table = pd.concat([measure_grains(grains, pixel_size_nm=100.0, frame=t) for t in (0, 3)])
    summary = summarise_grains(table)
    assert summary["frame"].tolist() == [0, 3] and summary["n_grains"].tolist() == [4, 4]
    np.testing.assert_allclose(summary["mean_um2"], 0.25)
    assert len(summarise_grains(table, whole_only=True)) == 0


def cut_into_grains(frame, cluster):
    """The published workflow on emreel's parts, nothing given but the frame."""

    def fold(of):
        return of(frame, np.ones(frame.shape, bool))

    pores = Pores.suggest({}, fold)(frame)
    radon = RadonVariance.suggest({}, fold)
    features = radon(*pad_frame(frame, radon.halo, ~pores))
    rows = features.reshape(-1, features.shape[-1])
    ordered = order_of(features) >= LEAST_ORDER
    pca = PCA(n_components=5).fit_moments(Moments.of(rows[ordered.ravel()]))
    projected = ((rows - pca.mean_) @ pca.components_.T).astype(np.float32)
    fair = np.random.default_rng(0).permutation(np.flatnonzero(ordered.ravel()))
    centers = cluster.fit(projected[fair]).cluster_centers_
    scores = -squared_distances(projected, centers).reshape(*features.shape[:2], -1)
    label = upsample_scores(scores, radon.stride, frame.shape)
    doubtful = ~upsample_nearest(ordered, radon.stride, label.shape)
    return GrainFinder(clean_px=radon.tile_px // 8, fill_px=radon.tile_px / 2)(label, pores, doubtful=doubtful), pores


@functools.cache
def polycrystal(pattern, seed):
    scene = GrainGrowth(pattern=pattern, seed=seed, shape_yx=(320, 340), n_grains=12, n_pores=3, n_frames=2)
    return scene.frame(0).astype(np.float32), scene.truth(0).labels


@pytest.fixture(scope="session")
def adjusted_rand():
    from sklearn.metrics import adjusted_rand_score

    return lambda a, b: adjusted_rand_score(a.ravel(), b.ravel())


@pytest.mark.parametrize(
    ("pattern", "seed", "cluster"),
    [("square", 21, WardClusters()), ("hexagonal", 22, WardClusters()), ("square", 21, MiniBatchKMeans(8))],
    ids=["square, Ward without K", "hexagonal, Ward without K", "square, k-means"],
)
def test_polycrystals_are_cut_into_their_grains(pattern, seed, cluster, adjusted_rand):
    frame, truth = polycrystal(pattern, seed)
    grains, _ = cut_into_grains(frame, cluster)
    assert adjusted_rand(truth, grains) > 0.75
    n_true = len(np.unique(truth[truth > 0]))
    assert 0.7 * n_true <= grains.max() <= 1.5 * n_true
    true_area = np.median(np.bincount(truth.ravel())[1:][np.bincount(truth.ravel())[1:] > 0])
    assert 0.6 < measure_grains(grains)["area_px"].median() / true_area < 1.4


@pytest.fixture
def score(data_dir):
    spec = importlib.util.spec_from_file_location("score", data_dir / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
@pytest.mark.parametrize("index", [0, 39])
def test_frames_of_the_grain_growth_movie(data_dir, score, index):
    movie = open_movie(str(data_dir / "grain_growth" / "movie.npz"))
    grains, pores = cut_into_grains(movie[index].to_numpy().astype(np.float32), WardClusters())
    with np.load(data_dir / "grain_growth" / "truth.npz") as file:
        truth = file["labels"][index]
    mapped = score.apply_map(grains, score.match_labels(truth, grains))
    assert score.adjusted_rand(truth, grains) > 0.65
    assert score.pixel_accuracy(truth, mapped) > 0.7
    assert (pores & (truth == 0)).sum() > 0.65 * (pores | (truth == 0)).sum()
