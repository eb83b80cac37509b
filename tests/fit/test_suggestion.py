"""What is suggested, what the movie is said to show, and the reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from emreel.fit import explain_recipe, fit_model, suggest_recipe
from emreel.io import open_movie
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe, SampleStep
from emreel.synthetic import AmorphousFront

SAMPLE = SampleStep(frames=6, points=12_000)


def values(movie: xr.DataArray, recipe: Recipe | None = None) -> dict[str, str]:
    suggestion = explain_recipe(movie, recipe or Recipe(sample=SAMPLE))
    return {reason.choice: reason.value for reason in suggestion.reasons}


def crystal(side_px: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side_px, :side_px]
    return 1 + 0.4 * np.cos(2 * np.pi * x / 8) + 0.4 * np.cos(2 * np.pi * y / 8)


def recorded(image: np.ndarray, mean: float = 40.0) -> xr.DataArray:
    counts = np.random.default_rng(0).poisson(mean * image, (4, *image.shape))
    return make_movie(counts.astype(np.uint16), pixel_size_nm=0.05)


def test_a_front(front_movie: xr.DataArray) -> None:
    suggestion = explain_recipe(front_movie, Recipe(sample=SAMPLE))
    assert suggestion.kind == "phases"
    assert suggestion.recipe.cluster.n_clusters == suggestion.model.n_clusters > 1
    assert suggestion.recipe.descriptor.fields["g_vectors"]
    assert [weight.n_clusters for weight in suggestion.weights] == list(range(1, 9))
    assert list(suggestion.evidence["n_clusters"]) == list(range(1, 9))
    assert "valley" in str(suggestion)
    assert fit_model(front_movie, suggestion.recipe) == suggestion.model


def test_the_recipe_with_its_reasons_is_a_recipe(front_movie: xr.DataArray, tmp_path: Path) -> None:
    suggestion = explain_recipe(front_movie, Recipe(sample=SAMPLE))
    (tmp_path / "r.toml").write_text(suggestion.to_toml())
    assert suggestion.to_toml().startswith("# the movie shows: phases")
    assert Recipe.load(tmp_path / "r.toml") == suggestion.recipe
    assert suggest_recipe(front_movie, Recipe(sample=SAMPLE)) == suggestion.recipe


def test_one_crystal_is_recognised() -> None:
    told = values(recorded(crystal()))
    assert told["the movie shows"] == "one crystal"
    assert told["phases"] == "1"
    assert told["lattice repeat"] == "8.00 px = 0.4 nm"


def test_amorphous_and_featureless_movies_are_recognised() -> None:
    speckle = ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 1, (256, 256)), 1.5)
    for image, shown in ((1 + 0.2 * speckle / speckle.std(), "amorphous"), (np.ones((256, 256)), "featureless")):
        told = values(recorded(np.clip(image, 0.1, None)))
        assert (told["the movie shows"], told["phases"], told["lattice period"]) == (shown, "1", "none")


def test_grains_are_recognised() -> None:
    movie = open_movie("grain_growth")
    suggestion = explain_recipe(movie)
    assert suggestion.kind == "polycrystal"
    assert suggestion.weights == ()
    assert suggestion.recipe.descriptor.name == "ring"


def test_what_is_given_is_kept(front_movie: xr.DataArray) -> None:
    step = DescriptorStep(name="translation", fields={"window_px": 9, "stride": 3})
    suggestion = explain_recipe(front_movie, Recipe(sample=SAMPLE, descriptor=step).with_clusters(2))
    assert suggestion.recipe.descriptor.fields["window_px"] == 9
    assert suggestion.recipe.descriptor.fields["stride"] == 3
    assert suggestion.recipe.cluster.n_clusters == 2
    assert "phases: 2 (given)" in str(suggestion)


def test_a_clusterer_that_needs_the_number_is_given_the_valleys(front_movie: xr.DataArray) -> None:
    suggested = suggest_recipe(front_movie, Recipe(sample=SAMPLE, descriptor=DescriptorStep(name="translation")))
    assert suggested.clusterer == "kmeans"
    assert suggested.cluster.n_clusters is not None and suggested.cluster.n_clusters >= 1


@pytest.mark.data
@pytest.mark.parametrize("name", ["srtio3_haadf.jpg", "sto_haadf_tia.tif", "snse_673k_haadf.tif"])
def test_real_single_crystals(name: str, data_dir: Path) -> None:
    told = values(open_movie(data_dir / "real" / name), Recipe())
    assert told["the movie shows"] == "one crystal"
    assert told["phases"] == "1"


def test_scene_is_a_movie_too() -> None:
    scene = AmorphousFront(shape_yx=(256, 256), n_frames=8, seed=5)
    assert explain_recipe(open_movie(scene)).kind == "phases"
