"""The saved model: the same after loading, refused when it was touched, never executed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from emreel.fit import fit_model
from emreel.model import INVALID, UNKNOWN, Model, ModelError
from emreel.movie import make_movie
from emreel.recipe import Recipe, SampleStep
from emreel.synthetic import Detector, OrderDisorder


@pytest.fixture
def saved(front_model: Model, tmp_path: Path) -> Path:
    front_model.save(tmp_path / "model.zarr")
    return tmp_path / "model.zarr"


def edit_head(path: Path, **changes: object) -> None:
    group = zarr.open_group(str(path), mode="r+")
    group.attrs["emreel_model"] = {**group.attrs["emreel_model"], **changes}


def test_a_loaded_model_is_the_same_model(front_movie: xr.DataArray, front_model: Model, saved: Path) -> None:
    loaded = Model.load(saved)
    assert loaded == front_model
    assert hash(loaded) == hash(front_model)
    assert loaded.provenance == front_model.provenance
    assert loaded.label_names == front_model.label_names
    frame = front_movie[2].values
    np.testing.assert_array_equal(loaded.label(frame), front_model.label(frame))


def test_saving_over_a_model_replaces_it(front_model: Model, saved: Path) -> None:
    other = replace(front_model, scatter=2 * front_model.scatter)
    other.save(saved)
    assert Model.load(saved) == other != front_model


def test_nothing_but_arrays_and_json_is_saved(saved: Path) -> None:
    names = {file.name for file in saved.rglob("*") if file.is_file()}
    assert all(name == "zarr.json" or name.isdigit() for name in names)


def test_a_changed_array_is_noticed(saved: Path) -> None:
    group = zarr.open_group(str(saved), mode="r+")
    centers = group["centers"]
    assert isinstance(centers, zarr.Array)
    centers[0, 0] = 99.0
    with pytest.raises(ModelError, match="does not match its digest"):
        Model.load(saved)


def test_a_changed_parameter_is_noticed(saved: Path, front_model: Model) -> None:
    edit_head(saved, scatter=2 * front_model.scatter)
    with pytest.raises(ModelError, match="does not match its digest"):
        Model.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "emreel-model/99"}, r"has schema 'emreel-model/99', wanted 'emreel-model/2'"),
        ({"descriptor": {"name": "latice"}}, "unknown descriptor 'latice'; did you mean 'lattice'"),
        ({"descriptor": {"name": "os:system"}}, "unknown descriptor 'os:system'"),
        ({"descriptor": {"name": "lattice", "strid": 3}}, "unknown key 'strid'"),
        ({"labels": 3}, "is damaged"),
    ],
)
def test_models_that_cannot_be_trusted_are_refused(saved: Path, changes: dict[str, object], message: str) -> None:
    edit_head(saved, **changes)
    with pytest.raises(ModelError, match=message):
        Model.load(saved)


def test_a_missing_array_is_named(saved: Path) -> None:
    import shutil

    shutil.rmtree(saved / "centers")
    with pytest.raises(ModelError, match="centers"):
        Model.load(saved)


@pytest.mark.parametrize("content", [None, b"", b"{not json", b'{"zarr_format": 3, "node_type": "group"}'])
def test_what_is_not_a_model_says_so(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    if content is not None:
        path.mkdir()
        (path / "zarr.json").write_bytes(content)
    with pytest.raises(ModelError, match="is not a saved model"):
        Model.load(path)


def test_a_pickle_in_a_model_is_never_executed(saved: Path, tmp_path: Path) -> None:
    """An array whose codec or data ask for unpickling is refused."""
    bomb = tmp_path / "exploded"
    head = json.loads((saved / "centers" / "zarr.json").read_text())
    head["data_type"] = "object"
    head["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
    (saved / "centers" / "zarr.json").write_text(json.dumps(head))
    chunk = next((saved / "centers" / "c").rglob("0"))
    target = chunk if chunk.is_file() else next(file for file in chunk.rglob("*") if file.is_file())
    target.write_bytes(f"cos\nsystem\n(S'touch {bomb}'\ntR.".encode())
    with pytest.raises(ModelError):
        Model.load(saved)
    assert not bomb.exists()


def test_saving_over_something_else_is_refused(front_model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(ModelError, match="is not a saved model"):
        front_model.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "x"


def test_a_read_only_place_is_refused(front_model: Model, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/model.zarr")
    else:
        tmp_path.chmod(0o500)
        place = tmp_path / "model.zarr"
    with pytest.raises(ModelError, match="cannot write"):
        front_model.save(place)


def test_a_phase_that_the_fit_never_saw_is_unknown(front_movie: xr.DataArray, front_model: Model) -> None:
    frame = front_movie[5].values.astype(np.float32)
    wide = np.tile(frame, (2, 2))
    wide[:128, 144:] = np.random.default_rng(0).poisson(8 * front_movie.values.mean(), (128, 144))
    report = front_model.report(frame)
    label = front_model.label_frame(wide, report).label
    assert np.mean(label[40:90, 190:250] == UNKNOWN) > 0.9


@pytest.mark.parametrize("dose", [4.0, 40.0, 400.0])
def test_order_that_the_fit_never_saw_is_unknown(dose: float, tmp_path: Path) -> None:
    detector = Detector(dose=dose, dtype="uint16")
    scene = OrderDisorder(shape_yx=(192, 192), n_frames=32, seed=31, detector=detector)
    early, late = range(4), range(12, 20, 2)
    recipe = Recipe(sample=SampleStep(frames=len(early))).with_clusters(1)
    fitted = fit_model(make_movie(np.stack([scene.frame(i) for i in early])), recipe)
    fitted.save(tmp_path / "m.zarr")
    model = Model.load(tmp_path / "m.zarr")
    assert model == fitted and model.novelty == fitted.novelty
    unknown = np.stack([model.label(scene.frame(i)) == UNKNOWN for i in late])
    ordered = np.stack([scene.truth(i).labels == 1 for i in late])
    assert 0.1 < ordered.mean() < 0.9
    assert unknown[ordered].mean() > 0.9 and unknown[~ordered].mean() < 0.1
    assert not np.stack([model.label(scene.frame(i)) == UNKNOWN for i in early]).any()


def test_a_blank_frame_is_invalid(front_model: Model) -> None:
    assert np.all(front_model.label(np.zeros((70, 80), np.uint8)) == INVALID)


@pytest.mark.parametrize("shape", [(4, 64, 64), (64,), (0, 5)])
def test_what_is_not_a_frame_says_so(front_model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="wanted .y, x."):
        front_model.label(np.ones(shape, np.uint8))


def test_nearest_upsampling_has_no_offset(front_movie: xr.DataArray, front_model: Model) -> None:
    near = replace(front_model, upsample="nearest")
    frame = front_movie[5].values
    stride = front_model.stride
    grid = near.label(frame)[::stride, ::stride]
    np.testing.assert_array_equal(grid, front_model.label(frame)[::stride, ::stride])
    assert np.mean(near.label(frame) == front_model.label(frame)) > 0.95
