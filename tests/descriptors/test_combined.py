"""Several descriptors as one: side by side, of equal say, by name and back."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from emreel.descriptors.combined import Combined
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.intensity import Intensity
from emreel.descriptors.registry import DescriptorError, build_descriptor, describe_descriptor
from emreel.descriptors.translation import TranslationSymmetry
from emreel.fit import fit_model, suggest_recipe
from emreel.label import label_stream
from emreel.model import Model
from emreel.recipe import ClusterStep, DescriptorStep, Recipe, SampleStep
from emreel.synthetic import AmorphousFront
from emreel.testing import check_descriptor

TRANSLATION = TranslationSymmetry(window_px=6, patch_px=5, stride=4)
BOTH = Combined(parts=(TRANSLATION, Intensity(sigma_px=3.0)), weights=(1.0, 0.5), spreads=(2.0, 0.1))
RECIPE = Recipe(
    descriptor=DescriptorStep(
        name="combined",
        fields={"parts": [{"name": "translation"}, {"name": "intensity"}]},
    ),
    cluster=ClusterStep(name="kmeans", n_clusters=4),
    sample=SampleStep(frames=5, points=3000),
)


def test_it_is_a_descriptor() -> None:
    check_descriptor(BOTH)


def test_parts_stand_side_by_side_each_scaled(front_movie: xr.DataArray) -> None:
    frame = front_movie[0].values.astype(np.float32)
    features = BOTH(*pad_frame(frame, BOTH.halo))
    n = len(TRANSLATION.features)
    alone = TRANSLATION(*pad_frame(frame, TRANSLATION.halo))
    np.testing.assert_allclose(features[..., :n], alone / 2, rtol=1e-6)
    bright = BOTH.parts[1](*pad_frame(frame, BOTH.parts[1].halo))
    np.testing.assert_allclose(features[..., n:], bright * 5, rtol=1e-6)


def test_each_part_has_its_weight_of_the_spread(front_movie: xr.DataArray) -> None:
    recipe = suggest_recipe(front_movie, RECIPE)
    combined = build_descriptor("combined", recipe.descriptor.fields)
    maps = [combined(*pad_frame(frame.astype(np.float32), combined.halo)) for frame in front_movie.values]
    rows = np.concatenate([features.reshape(-1, features.shape[-1]) for features in maps]).astype(np.float64)
    np.testing.assert_allclose([rows[:, :-1].var(axis=0).sum(), rows[:, -1].var()], 1, rtol=0.1)


def test_names_and_back() -> None:
    described = describe_descriptor(BOTH)
    assert described["parts"][1]["sigma_px"] == 3.0
    assert build_descriptor(described.pop("name"), described) == BOTH


def test_a_recipe_of_several_is_fitted_saved_and_applied(
    front_scene: AmorphousFront, front_movie: xr.DataArray, tmp_path: object
) -> None:
    assert Recipe.from_toml(RECIPE.to_toml()) == RECIPE
    model = fit_model(front_movie, RECIPE)
    model.save(f"{tmp_path}/m.zarr")
    assert Model.load(f"{tmp_path}/m.zarr") == model
    (labels,) = label_stream([front_scene.frame(6)], model)
    truth = front_scene.truth(6).labels
    meaning = [np.bincount(truth[labels.label == k], minlength=4).argmax() for k in range(1, 5)]
    assert sorted(meaning) == [0, 1, 2, 3]
    # symmetry alone takes the cap for the amorphous layer
    assert np.mean(np.asarray([-1, *meaning])[labels.label.clip(0, 4)] == truth) > 0.85


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parts": []}, "got no parts to combine"),
        ({"parts": [{"window_px": 3}]}, "wanted a table with its name"),
        ({"parts": [{"name": "intensity"}], "weights": [1.0, 2.0]}, "weights .1.0, 2.0. for 1 parts"),
        ({"parts": [{"name": "intensity"}, {"name": "intensity", "stride": 2}]}, "strides .2, 4., wanted one"),
        ({"parts": [{"name": "intensty"}]}, "unknown descriptor 'intensty'; did you mean 'intensity'"),
        ({"parts": [{"name": "intensity", "sigma": 2}]}, "unknown key 'sigma' of descriptor 'intensity'; did you"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(DescriptorError, match=message):
        build_descriptor("combined", fields)
