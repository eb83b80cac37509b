"""The fit: the same bits everywhere, the sample, canonical order, and what cannot be fitted."""

from __future__ import annotations

import pickle
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from emreel import engine
from emreel.cluster import ClusterError
from emreel.engine.streaming import InOrder
from emreel.fit import FitError, fit_model, projection, suggest_recipe
from emreel.io import open_movie
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import ClusterStep, DescriptorStep, Recipe, SampleStep
from emreel.synthetic import AmorphousFront, OrderDisorder, TwinLamella

TRANSLATION = Recipe(
    descriptor=DescriptorStep(name="translation", fields={"window_px": 8, "patch_px": 6, "stride": 4}),
    cluster=ClusterStep(name="kmeans", n_clusters=3),
    sample=SampleStep(frames=6, points=3000),
)
LATTICE = Recipe(sample=SampleStep(frames=6, points=3000)).with_clusters(4)


def chunked(movie: xr.DataArray, *chunks: int) -> xr.DataArray:
    return movie.copy(data=da.from_array(movie.values, chunks=chunks))


@pytest.mark.parametrize("recipe", [LATTICE, TRANSLATION], ids=["lattice", "translation"])
def test_threads_processes_and_chunks_do_not_change_a_bit(front_movie: xr.DataArray, recipe: Recipe) -> None:
    with engine.local_threads(1):
        expected = fit_model(front_movie, recipe)
        for chunks in [(1, 128, 144), (3, 64, 144), (4, 50, 31)]:
            assert fit_model(chunked(front_movie, *chunks), recipe).digest == expected.digest
    with engine.local_threads(4):
        assert fit_model(front_movie, recipe).digest == expected.digest
    with engine.local_workers(2):
        assert fit_model(chunked(front_movie, 2, 128, 144), recipe).digest == expected.digest


def test_no_more_comes_to_the_driver_from_a_larger_sample(
    front_movie: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features stay with the workers: of thirty times the sample, partials of the same size come to the driver."""
    sizes: list[int] = []

    add = InOrder.add

    def weigh(running: Any, place: int, term: Any) -> None:
        sizes.append(len(pickle.dumps(term)))
        add(running, place, term)

    monkeypatch.setattr(InOrder, "add", weigh)
    monkeypatch.setattr(projection, "RESERVOIR_ROWS", 500)
    dense = DescriptorStep(name="lattice", fields={"stride": 1})
    largest = []
    for points in (6_000, 180_000):
        sizes.clear()
        model = fit_model(
            front_movie, Recipe(descriptor=dense, sample=SampleStep(frames=10, points=points)).with_clusters(3)
        )
        largest.append(max(sizes))
        assert model.counts.sum() >= points
    features_of_a_frame = 18_000 * len(model.descriptor.features) * 4
    assert largest[1] <= 1.1 * largest[0]
    assert largest[1] < features_of_a_frame / 2


def test_labels_are_right_and_in_canonical_order(front_scene: AmorphousFront, front_model: Model) -> None:
    truth = front_scene.truth(6).labels
    label = front_model.label(front_scene.frame(6))
    meaning = [np.bincount(truth[label == k], minlength=4).argmax() for k in range(1, 5)]
    # cap, amorphous: no lattice, by intensity; then film and substrate
    assert meaning[:2] == [0, 1]
    assert set(meaning[2:]) == {2, 3}
    assert np.mean(np.asarray([-1, *meaning])[label.clip(0, 4)] == truth) > 0.9


def test_the_sample_is_spread_over_the_whole_movie(front_scene: AmorphousFront) -> None:
    """The phase that only the last frames show is found although the first frame has none of it."""
    frames = [front_scene.frame(0)] * 20 + [front_scene.frame(9)] * 4
    recipe = Recipe(sample=SampleStep(frames=12, points=4000)).with_clusters(4)
    model = fit_model(np.stack(frames), recipe)
    last = model.label(frames[-1])
    truth = front_scene.truth(9).labels
    amorphous = np.bincount(last[truth == 1], minlength=256).argmax()
    film = np.bincount(last[truth == 2], minlength=256).argmax()
    assert amorphous != film


def test_several_movies_share_one_model(front_movie: xr.DataArray) -> None:
    first, second = front_movie[:5], front_movie[5:]
    model = fit_model([first, second], LATTICE)
    assert [movie["shape_tyx"] for movie in model.provenance.movies] == [[5, 128, 144]] * 2
    apart = front_movie.copy()
    apart.attrs = {**apart.attrs, "pixel_size_nm": 2 * front_movie.attrs["pixel_size_nm"]}
    with pytest.raises(FitError, match=r"pixel sizes .* cannot share a model"):
        fit_model([front_movie, apart], LATTICE)


def test_one_frame_and_one_phase_are_valid(front_movie: xr.DataArray) -> None:
    model = fit_model(front_movie[:1], n_clusters=1)
    label = model.label(front_movie[0].values)
    assert set(np.unique(label)) <= {1, 255}
    assert np.mean(label == 1) > 0.99


def test_given_centres_are_where_the_fit_starts(front_movie: xr.DataArray) -> None:
    plain = Recipe(cluster=ClusterStep(name="kmeans", n_clusters=4), sample=LATTICE.sample)
    model = fit_model(front_movie, plain)
    again = fit_model(front_movie, plain, centers=model.centers)
    np.testing.assert_allclose(again.centers, model.centers, atol=0.02 * np.ptp(model.centers))


def test_seeds_give_the_same_phases(front_movie: xr.DataArray) -> None:
    from dataclasses import replace

    models = [fit_model(front_movie, replace(LATTICE, seed=seed)) for seed in (0, 1)]
    labels = [model.label(front_movie[5].values) for model in models]
    assert models[0].digest != models[1].digest
    assert np.mean(labels[0] == labels[1]) > 0.98


def test_suggest_fills_in_every_field_and_keeps_what_is_given(front_movie: xr.DataArray) -> None:
    given = Recipe(descriptor=DescriptorStep(name="lattice", fields={"stride": 3})).with_clusters(4)
    suggested = suggest_recipe(front_movie, given)
    assert suggested.descriptor.fields["stride"] == 3
    assert suggested.cluster.n_clusters == 4
    assert len(suggested.descriptor.fields["g_vectors"]) >= 2
    # a fit from the suggested recipe learns nothing new
    assert fit_model(front_movie, suggested).descriptor == fit_model(front_movie, given).descriptor
    assert Recipe.from_toml(suggested.to_toml()) == suggested


def test_a_blank_frame_takes_no_part(front_movie: xr.DataArray) -> None:
    frames = front_movie.values.copy()
    frames[3] = 0
    model = fit_model(make_movie(frames), LATTICE)
    others = [frames[i].mean() for i in range(10) if i != 3]
    assert model.prepare.reference_mean == pytest.approx(np.median(others), rel=0.05)


@pytest.mark.parametrize(
    ("movie", "error", "message"),
    [
        (np.zeros((3, 64, 64), np.uint8), FitError, "no usable frame in a sample of 3 .blank: every pixel is 0"),
        (np.full((2, 64, 64), np.nan, np.float32), FitError, "invalid: 0 of 4096 pixels are readable"),
        (np.full((2, 64, 64), 1e30, np.float32), FitError, "invalid: 0 of 4096 pixels are readable"),
        (np.random.default_rng(0).poisson(5, (1, 1, 1)).astype(np.uint8), FitError, "no usable frame|smaller than"),
        (np.random.default_rng(0).poisson(5, (2, 3, 3)).astype(np.uint8), FitError, "smaller than 'lattice' needs"),
    ],
    ids=["constant", "NaN", "1e30", "1 x 1", "3 x 3"],
)
def test_movies_that_cannot_be_fitted_say_so(movie: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_model(movie, n_clusters=2)


def test_windows_larger_than_the_frame_are_refused(front_movie: xr.DataArray) -> None:
    fields = {"window_px": 100, "patch_px": 40, "stride": 4}
    recipe = Recipe(descriptor=DescriptorStep(name="translation", fields=fields)).with_clusters(2)
    with pytest.raises(FitError, match=r"frames of 128 x 144 px are smaller than 'translation' needs \(141 px"):
        fit_model(front_movie, recipe)


def test_more_phases_than_sample_points_are_refused(front_movie: xr.DataArray) -> None:
    recipe = Recipe(sample=SampleStep(frames=2, points=4)).with_clusters(9)
    with pytest.raises(ClusterError, match="9"):
        fit_model(front_movie, recipe)


def test_the_number_of_phases_must_be_given_where_it_cannot_be_found(front_movie: xr.DataArray) -> None:
    with pytest.raises(FitError, match="number of phases is not given"):
        fit_model(front_movie, Recipe(cluster=ClusterStep(name="kmeans")))


def test_the_number_of_phases_is_found() -> None:
    scenes: list[Any] = [
        AmorphousFront(shape_yx=(256, 256), n_frames=12, seed=5),
        TwinLamella(shape_yx=(256, 256), n_frames=12, seed=5),
        OrderDisorder(shape_yx=(256, 256), n_frames=12, seed=5),
    ]
    assert [fit_model(open_movie(scene)).n_clusters for scene in scenes] == [4, 3, 2]


def test_a_movie_of_one_phase_has_one_phase() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    crystal = 1 + 0.4 * np.cos(0.75 * x + 0.2 * y) + 0.4 * np.cos(0.2 * x - 0.75 * y)
    thicker = 1 + 0.3 * x / 256
    for image in (np.ones((256, 256)), crystal, crystal * thicker):
        assert fit_model(rng.poisson(40 * image, (6, 256, 256)).astype(np.uint16)).n_clusters == 1


def test_more_components_than_features_are_refused(front_movie: xr.DataArray) -> None:
    from emreel.recipe import ReduceStep

    recipe = Recipe(reduce=ReduceStep(n_components=99)).with_clusters(2)
    with pytest.raises(FitError, match="n_components is 99"):
        fit_model(front_movie, recipe)
