"""Grains through whole movies: in batch, in a stream and after interruptions alike; right by name; tables and store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

from emreel import engine
from emreel.descriptors.geometry import Tile
from emreel.fit import FitError, fit_model, suggest_recipe
from emreel.label import label_movie, label_stream, repair_result
from emreel.label import layout as label_layout
from emreel.model import Model, ModelError
from emreel.movie import make_movie
from emreel.orientation import angle_between
from emreel.progress import Note
from emreel.recipe import ClusterStep, GrainsStep, Recipe, RecipeError, SampleStep
from emreel.result import ResultError, acquire_lock, forget_blocks, open_result, verify_result
from emreel.synthetic import GrainGrowth, make_scene
from emreel.track.errors import TrackError
from emreel.track.polycrystal import follow_grains

SAMPLE = SampleStep(frames=6, points=20_000)


def scene_of(**fields: Any) -> GrainGrowth:
    scene = make_scene("grain_growth", **({"shape_yx": (256, 256), "n_frames": 10, "n_grains": 16, "seed": 8} | fields))
    assert isinstance(scene, GrainGrowth)
    return scene


def movie_of(scene: Any, blank: int | None = None) -> xr.DataArray:
    frames = np.stack([scene.frame(index) for index in range(scene.n_frames)])
    if blank is not None:
        frames[blank] = 0
    return make_movie(frames, pixel_size_nm=scene.pixel_size_nm, frame_times_s=scene.frame_times_s)


def accuracy(truth: np.ndarray, region: np.ndarray) -> float:
    """Share of the area whose name is right, one name a grain through the whole movie."""
    table = np.zeros((int(truth.max()) + 1, int(region.max()) + 1), np.int64)
    np.add.at(table, (truth.ravel(), region.ravel()), 1)
    mine, theirs = linear_sum_assignment(-table)
    return float(table[mine, theirs].sum() / truth.size)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_layout, "MOST_FRAMES_PER_BLOCK", 3)


@pytest.fixture(scope="module")
def scene() -> GrainGrowth:
    return scene_of()


@pytest.fixture(scope="module")
def movie(scene: GrainGrowth) -> xr.DataArray:
    """With a blank frame at the end of a block."""
    return movie_of(scene, blank=5)


@pytest.fixture(scope="module")
def model(movie: xr.DataArray) -> Model:
    return fit_model(movie, Recipe(sample=SAMPLE))


@pytest.fixture(scope="module")
def result_path(movie: xr.DataArray, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("grains") / "result"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_layout, "MOST_FRAMES_PER_BLOCK", 3)
        label_movie(movie, model, path)
    return path


def bytes_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def test_finds_by_itself_that_it_is_a_polycrystal(movie: xr.DataArray) -> None:
    notes: list[str] = []
    found = fit_model(
        movie, Recipe(sample=SAMPLE), progress=lambda e: notes.append(e.text) if isinstance(e, Note) else None
    )
    assert found.grains is not None and found.label_names == ("pore or disordered", "lattice")
    assert found.grains.fold == 4
    assert any("polycrystal" in note and "4-fold" in note for note in notes)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("front", {}),
        ("front", {"dose": 4.0}),
        ("twin_lamella", {}),
        ("order_disorder", {}),
        ("decahedron", {"dose": 10.0}),
        ("decahedron", {"modality": "haadf", "dose": 20.0}),
    ],
)
def test_other_movies_are_no_polycrystals(kind: str, fields: dict[str, Any]) -> None:
    movie = movie_of(make_scene(kind, shape_yx=(224, 224), n_frames=5, seed=6, **fields))
    assert suggest_recipe(movie, Recipe(sample=SAMPLE)).descriptor.name == "lattice"


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1, "pattern": "hexagonal"},
        {"seed": 2, "pattern": "rectangular", "lattice_nm": 14.0},
        {"seed": 3, "lattice_nm": 15.0, "dose": 3.0},
        {"seed": 4, "n_pores": 0, "thickness_variation": 0.15, "speckle": 0.3, "curtain": 0.06, "line_noise": 0.06},
        {"seed": 14, "lattice_nm": 15.0, "wander_px": 8.0, "jitter_px": 0.5},
    ],
    ids=["hexagonal", "rectangular", "low-dose", "uneven", "drift"],
)
def test_grains_are_right_by_name_and_angle(fields: dict[str, Any]) -> None:
    scene = scene_of(**fields)
    movie = movie_of(scene)
    model = fit_model(movie, Recipe(sample=SAMPLE))
    assert model.grains is not None
    assert model.grains.fold == {"hexagonal": 6, "rectangular": 2}.get(scene.pattern, 4)
    truth = np.stack([scene.truth(index).labels for index in range(scene.n_frames)])
    found = list(label_stream(movie.values, model))
    region = np.stack([labels.region for labels in found])
    assert accuracy(truth, region) > 0.88
    offset = {"hexagonal": 30.0, "rectangular": 90.0}.get(scene.pattern, 0.0)  # of wave vectors from rows
    step = model.stride
    for index in (0, 9):
        wanted = scene.truth(index).angle_deg
        assert wanted is not None
        off = angle_between(found[index].angle_deg, wanted[::step, ::step] + offset, model.grains.fold)
        assert np.nanmedian(np.abs(off)) < 2


def test_stream_equals_batch(movie: xr.DataArray, model: Model, result_path: Path) -> None:
    result = open_result(result_path)
    stream = list(label_stream(movie.values, model))
    np.testing.assert_array_equal(result.label.values, [labels.label for labels in stream])
    np.testing.assert_array_equal(result.region.values, [labels.region for labels in stream])
    np.testing.assert_array_equal(result.orientation.values, [labels.angle_deg for labels in stream])
    assert result.region.dtype == np.uint32


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_resumed_run_gives_the_same_bytes(
    stop_after: int, movie: xr.DataArray, model: Model, result_path: Path, tmp_path: Path
) -> None:
    """The second block ends with a blank frame: the third goes on from the frame before it."""

    class StopError(Exception):
        pass

    done = [0]

    def stop(event: Any) -> None:
        done[0] += getattr(event, "n_done", 0) > 0
        if done[0] > stop_after:
            raise StopError

    path = tmp_path / "result"
    with pytest.raises(StopError):
        label_movie(movie, model, path, progress=stop)
    assert 0 < len(open_result(path).missing_blocks) < 4
    label_movie(movie, model, path)
    same, wanted = bytes_of(path), bytes_of(result_path)
    for volatile in ("ledger.jsonl",):
        assert same[volatile].count(b"\n") == wanted[volatile].count(b"\n")
    assert {k: v for k, v in same.items() if k.startswith("movie.zarr/labels")} == {
        k: v for k, v in wanted.items() if k.startswith("movie.zarr/labels")
    }
    assert same["tables/regions.parquet"] == wanted["tables/regions.parquet"]


def test_a_damaged_block_is_mended(movie: xr.DataArray, result_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "result"
    shutil.copytree(result_path, path)
    shard = path / "movie.zarr" / "labels" / "regions" / "region" / "c" / "1" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    assert [(damage.block, damage.array) for damage in verify_result(path)] == [(1, "region")]
    assert repair_result(path, movie) == 1
    assert verify_result(path) == []
    assert shard.read_bytes() == (result_path / shard.relative_to(path)).read_bytes()


def test_neither_workers_nor_order_change_anything(
    movie: xr.DataArray, model: Model, result_path: Path, tmp_path: Path
) -> None:
    with engine.local_threads(2):
        label_movie(movie, model, tmp_path / "threads")
    with acquire_lock(tmp_path / "threads") as lock:
        forget_blocks(tmp_path / "threads", [2], lock)
    with engine.local_threads(1):
        result = label_movie(movie.chunk({"time": 4}), model, tmp_path / "threads")
    np.testing.assert_array_equal(result.region.values, open_result(result_path).region.values)


def test_a_blank_frame_shows_no_grain_and_names_go_on(result_path: Path) -> None:
    result = open_result(result_path)
    region, label = result.region.values, result.label.values
    assert (region[5] == 0).all() and (label[5] == 254).all()
    assert np.isnan(result.orientation.values[5]).all()
    assert len(set(np.unique(region[4])) & set(np.unique(region[6]))) > 5


def test_the_table_tells_every_grain_in_every_frame(scene: GrainGrowth, result_path: Path) -> None:
    result = open_result(result_path)
    table, region = result.table("regions"), result.region.values
    for frame in (0, 4, 9):
        mine = table[table["frame"] == frame].set_index("region")
        numbers, counts = np.unique(region[frame][region[frame] > 0], return_counts=True)
        assert mine.index.tolist() == numbers.tolist()
        assert mine["area_px2"].tolist() == counts.tolist()
        first = numbers[0]
        y, x = np.nonzero(region[frame] == first)
        assert mine.loc[first, "centroid_y_px"] == pytest.approx(y.mean(), abs=1e-2)
        assert mine.loc[first, "centroid_x_px"] == pytest.approx(x.mean(), abs=1e-2)
    assert (table["label"] == 2).all()
    np.testing.assert_allclose(table["area_nm2"], table["area_px2"] * scene.pixel_size_nm**2)
    assert 5 not in set(table["frame"])
    gone = table[table["event"] == "vanishes"]
    assert len(gone) == len(set(table[table["frame"] == 0]["region"]) - set(table[table["frame"] == 9]["region"]))
    assert table["orientation_deg"].between(0, 90).all()


def test_others_read_the_regions_too(result_path: Path) -> None:
    import zarr

    group = zarr.open_group(str(result_path / "movie.zarr"), mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["segments", "regions"]
    assert group["labels/regions"].attrs["ome"]["multiscales"][0]["datasets"][0]["path"] == "region"
    from ome_zarr_models.v05.image_label import ImageLabel

    ImageLabel.from_zarr(group["labels/regions"])
    tree = xr.open_datatree(str(result_path / "movie.zarr"), engine="zarr")
    assert tree["labels/regions"]["region"].dtype == np.uint32
    assert tree["orientation"]["angle"].attrs["units"] == "degree"


def test_a_saved_model_follows_the_same(model: Model, movie: xr.DataArray, tmp_path: Path) -> None:
    model.save(tmp_path / "model.zarr")
    loaded = Model.load(tmp_path / "model.zarr")
    assert loaded == model and loaded.grains == model.grains
    for one, other in zip(label_stream(movie.values[:2], loaded), label_stream(movie.values[:2], model), strict=True):
        np.testing.assert_array_equal(one.region, other.region)


def test_recipes_say_whether_grains_are_sought(movie: xr.DataArray) -> None:
    suggested = suggest_recipe(movie, Recipe(sample=SAMPLE))
    assert suggested.descriptor.name == "ring" and suggested.demands_grains
    again = Recipe.from_toml(suggested.to_toml())
    assert fit_model(movie, again).grains is not None
    assert fit_model(movie, Recipe(sample=SAMPLE), n_clusters=3).grains is None
    never = Recipe(sample=SAMPLE, grains=GrainsStep(find="never"), cluster=ClusterStep(n_clusters=2))
    assert fit_model(movie, never).grains is None
    with pytest.raises(RecipeError, match="find"):
        Recipe.from_dict({"grains": {"find": "perhaps"}})
    with pytest.raises(RecipeError, match="did you mean 'find'"):
        Recipe.from_dict({"grains": {"fynd": "auto"}})


def test_grains_that_are_demanded_need_a_lattice() -> None:
    flat = make_movie(np.random.default_rng(0).poisson(30, (4, 160, 160)).astype(np.uint8))
    with pytest.raises(FitError, match="no lattice"):
        fit_model(flat, Recipe(grains=GrainsStep(find="always")))
    front = movie_of(make_scene("front", shape_yx=(160, 160), n_frames=3, seed=1))
    demanded = fit_model(front, Recipe(sample=SAMPLE, grains=GrainsStep(find="always")))
    assert demanded.grains is not None  # one grain is a polycrystal to who says so
    frame, tile = front.values[0], Tile(0, 64, 0, 64)
    with pytest.raises(ModelError, match="whole frames"):
        demanded.label_tile(frame, Tile(0, 160, 0, 160), tile, (160, 160), demanded.report(frame))


def test_other_models_follow_no_grains(front_model: Model, front_movie: xr.DataArray) -> None:
    with pytest.raises(TrackError, match="follows no grains"):
        follow_grains(front_model, front_model.label_frame(front_movie.values[0]), None)


def test_results_without_regions_say_so(front_model: Model, front_movie: xr.DataArray, tmp_path: Path) -> None:
    result = label_movie(front_movie[:2], front_model, tmp_path / "result")
    with pytest.raises(ResultError, match="no regions"):
        result.region  # noqa: B018
    with pytest.raises(ResultError, match="no orientations"):
        result.orientation  # noqa: B018
    layout = json.loads((tmp_path / "result" / "movie.zarr" / "zarr.json").read_text())["attributes"]["emreel"][
        "layout"
    ]
    assert layout["with_regions"] is False


@pytest.mark.data
def test_grain_growth(data_dir: Path) -> None:
    """The given movie, K and everything else left out: by name, vanishing and angle."""
    movie = make_movie(np.load(data_dir / "grain_growth" / "movie.npz")["frames"])
    truth = np.load(data_dir / "grain_growth" / "truth.npz")
    model = fit_model(movie)
    region = np.stack([labels.region for labels in label_stream(movie.values, model)])
    assert accuracy(truth["labels"], region) > 0.93
