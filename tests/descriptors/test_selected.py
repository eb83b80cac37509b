"""Chosen features of any descriptor are that descriptor's own, in a recipe and in a saved model too."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.registry import build_descriptor, describe_descriptor, suggest_descriptor
from emreel.descriptors.selected import Selected, SelectedError
from emreel.descriptors.spectrum import PowerSpectrum
from emreel.descriptors.translation import TranslationSymmetry
from emreel.fit import fit_model
from emreel.model import Model
from emreel.recipe import Recipe
from emreel.testing import check_descriptor

WAVES = Lattice(g_vectors=((0.1, 0.02), (-0.02, 0.1)), period_px=9.8, stride=3)  # cannot project while it computes


@pytest.mark.parametrize(
    "descriptor",
    [
        TranslationSymmetry(window_px=6, patch_px=5, stride=3, max_shifts=30),
        PowerSpectrum(window_px=6, stride=1),
        WAVES,
    ],
    ids=lambda d: d.name,
)
def test_conforms_and_has_the_values_of_the_descriptor(descriptor):
    chosen = Selected(descriptor=descriptor, indices=(2, 0))
    check_descriptor(chosen, tolerance=1e-5, centred=False)
    assert (chosen.halo, chosen.stride) == (descriptor.halo, descriptor.stride)
    assert chosen.features == (descriptor.features[2], descriptor.features[0])
    padded, valid = pad_frame(np.random.default_rng(0).normal(100, 10, (50, 60)).astype(np.float32), chosen.halo)
    np.testing.assert_array_equal(chosen(padded, valid), descriptor(padded, valid)[..., [2, 0]])


def test_it_is_data_and_hashable():
    chosen = Selected(descriptor=WAVES, indices=(1, 2))
    assert chosen == Selected(descriptor=WAVES, indices=[1, 2])
    assert hash(chosen) == hash(Selected(descriptor=WAVES, indices=(1, 2)))
    assert chosen.descriptor == WAVES
    described = describe_descriptor(chosen)
    assert described == {"name": "selected", "descriptor": describe_descriptor(WAVES), "indices": [1, 2]}
    assert build_descriptor(described.pop("name"), described) == chosen
    assert Selected(descriptor=chosen, indices=(1,)).features == (WAVES.features[2],)


def test_the_inner_descriptor_learns_from_the_movie():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:192, :192]
    frame = 100 + 15 * np.cos(2 * np.pi * x / 9) + 15 * np.cos(2 * np.pi * y / 9) + rng.normal(0, 10, y.shape)

    def fold(of):
        return functools.reduce(operator.add, [of(frame.astype(np.float32), np.ones(frame.shape, bool))] * 2)

    chosen = suggest_descriptor("selected", {"descriptor": {"name": "spectrum", "stride": 5}, "indices": [4, 7]}, fold)
    assert chosen.descriptor == PowerSpectrum.suggest({"stride": 5}, fold)
    assert (chosen.stride, chosen.indices) == (5, (4, 7))


def test_small_frames_are_the_inner_descriptors_matter():
    assert Selected(descriptor=WAVES, indices=(0,)).smallest_frame_px == WAVES.smallest_frame_px < WAVES.halo
    assert Selected(descriptor=PowerSpectrum(), indices=(0,)).smallest_frame_px == 21


def test_in_a_recipe_and_a_saved_model(front_movie, tmp_path):
    recipe = Recipe.from_dict(
        {
            "descriptor": {
                "name": "selected",
                "indices": [0, 2, 5],
                "descriptor": {"name": "translation", "window_px": 8, "patch_px": 7, "stride": 4},
            },
            "cluster": {"n_clusters": 2},
            "sample": {"frames": 3, "points": 2000},
        }
    )
    assert Recipe.from_toml(recipe.to_toml()).to_dict() == recipe.to_dict()
    model = fit_model(front_movie, recipe)
    assert len(model.descriptor.features) == 3
    model.save(tmp_path / "m.zarr")
    loaded = Model.load(tmp_path / "m.zarr")
    assert loaded == model and loaded.descriptor == model.descriptor
    frame = front_movie[0].values
    np.testing.assert_array_equal(loaded.label(frame), model.label(frame))
    assert set(np.unique(model.label(frame))) >= {1, 2}


@pytest.mark.parametrize(
    "build",
    [
        lambda: Selected(descriptor=WAVES, indices=()),
        lambda: Selected(descriptor=WAVES, indices=(1, 1)),
        lambda: Selected(descriptor=WAVES, indices=(3,)),
        lambda: Selected(descriptor=WAVES, indices=(-1,)),
        lambda: Selected(descriptor=7, indices=(0,)),
        lambda: Selected(descriptor={"window_px": 5}, indices=(0,)),
        lambda: Selected.suggest({"indices": [1]}, None),
        lambda: Selected.suggest({"descriptor": {"name": "lattice"}}, None),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(SelectedError, match="got"):
        build()
