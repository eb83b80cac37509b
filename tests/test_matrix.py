"""Every descriptor with every clusterer: fitted, saved, loaded, applied in batch and in a stream, by one schema."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emreel.cluster.registry import clusterer_names
from emreel.descriptors.registry import descriptor_names
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.label import label_movie, label_stream
from emreel.model import Model, ModelError
from emreel.recipe import Recipe
from emreel.synthetic import OrderDisorder, TwinLamella

#: What a recipe must say of each; the movie tells the rest.
FIELDS: dict[str, dict[str, Any]] = {
    "preselected": {"shifts": [[0, 4], [4, 0], [3, 3], [-3, 3], [0, 7], [7, 0]]},
    "selected": {"descriptor": {"name": "translation"}, "indices": [0, 3, 5, 8]},
    "combined": {"parts": [{"name": "translation"}, {"name": "intensity"}], "weights": [1.0, 0.25]},
    "glide": {"stride": 8},
}
#: Movies on which brightness alone must fail: two crystals, or two orders, of one brightness.
TWINS = TwinLamella(shape_yx=(160, 160), n_frames=6, seed=2)
ORDER = OrderDisorder(shape_yx=(160, 160), n_frames=6, seed=2)
DESCRIPTORS = [name for name in descriptor_names() if name != "intensity"]


def recipe_of(descriptor: str, clusterer: str, n_clusters: int) -> Recipe:
    return Recipe.from_dict(
        {
            "descriptor": {"name": descriptor, **FIELDS.get(descriptor, {})},
            "cluster": {"name": clusterer, "n_clusters": n_clusters},
            "sample": {"frames": 3, "points": 1500},
        }
    )


@cache
def movie_of(kind: str) -> xr.DataArray:
    return open_movie(TWINS if kind == "twins" else ORDER).compute()


@cache
def model_of(descriptor: str, clusterer: str = "kmeans", kind: str = "twins") -> Model:
    return fit_model(movie_of(kind), recipe_of(descriptor, clusterer, 3 if kind == "twins" else 2))


@cache
def labels_of(descriptor: str, kind: str = "twins") -> np.ndarray:
    return model_of(descriptor, kind=kind).label(movie_of(kind)[1].values)


def accuracy(descriptor: str, kind: str) -> float:
    scene = TWINS if kind == "twins" else ORDER
    truth, labels = scene.truth(1).labels, labels_of(descriptor, kind)
    n = int(truth.max()) + 1
    orders = itertools.permutations(range(1, n + 1))
    return max(float(np.mean(np.array(order)[truth] == labels)) for order in orders)


def test_every_descriptor_is_tried() -> None:
    assert {"lattice", "translation", "rotation", "reflection", "glide", "spectrum", "radon", "chips"} <= {*DESCRIPTORS}
    assert {"cores", "kmeans", "ward", "communities"} <= {*clusterer_names()}


@pytest.mark.parametrize("clusterer", clusterer_names())
@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_fitted_saved_loaded_and_applied(descriptor: str, clusterer: str, tmp_path: Path) -> None:
    model = model_of(descriptor, clusterer)
    assert 1 <= model.n_clusters <= 3
    assert Recipe.from_dict(json.loads(model.provenance.recipe)) == recipe_of(descriptor, clusterer, 3)
    model.save(tmp_path / "model.zarr")
    loaded = Model.load(tmp_path / "model.zarr")
    assert loaded == model
    movie = movie_of("twins")[:2]
    batch = label_movie(movie, loaded, tmp_path / "result").label.values
    stream = [labels.label for labels in label_stream(movie.values, model)]
    np.testing.assert_array_equal(batch, stream)
    assert set(np.unique(batch)) <= {*range(1, model.n_clusters + 1), 254, 255}


def test_no_two_descriptors_can_be_exchanged_unnoticed(tmp_path: Path) -> None:
    for a, b in itertools.combinations(DESCRIPTORS, 2):
        assert model_of(a).digest != model_of(b).digest
        assert np.mean(labels_of(a) != labels_of(b)) > 1e-3, (a, b)


@pytest.mark.parametrize("other", ["translation", "spectrum"])
def test_a_saved_model_with_another_descriptor_in_it_is_refused(other: str, tmp_path: Path) -> None:
    model_of("rotation").save(tmp_path / "model.zarr")
    file = tmp_path / "model.zarr" / "zarr.json"
    head = json.loads(file.read_text())
    head["attributes"]["emreel_model"]["descriptor"] = {"name": other, "stride": model_of("rotation").stride}
    file.write_text(json.dumps(head))
    with pytest.raises(ModelError, match="does not match its digest"):
        Model.load(tmp_path / "model.zarr")


# a ring is of many orientations of one lattice: tests/descriptors/test_ring.py
@pytest.mark.parametrize("descriptor", [name for name in DESCRIPTORS if name != "ring"])
def test_each_beats_brightness_alone_on_a_movie_of_its_kind(descriptor: str) -> None:
    assert accuracy(descriptor, "order") > accuracy("intensity", "order") + 0.2
