"""A polycrystal that is watched: its grains are those of a batch, interruptions and compaction included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel.fit import fit_model
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import GrainsStep, Recipe, SampleStep
from emreel.result import Result, compact_result, open_result, verify_result
from emreel.stream import Replay, StreamError, watch
from emreel.synthetic import GrainGrowth

ALL_AT_ONCE = float("inf")


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    scene = GrainGrowth(shape_yx=(192, 192), n_frames=6, n_grains=9, seed=8)
    frames = np.stack([scene.frame(index) for index in range(scene.n_frames)])
    return make_movie(frames, pixel_size_nm=scene.pixel_size_nm, frame_times_s=scene.frame_times_s)


@pytest.fixture(scope="module")
def model(movie: xr.DataArray) -> Model:
    recipe = Recipe(grains=GrainsStep(find="always"), sample=SampleStep(frames=4, points=10_000))
    return fit_model(movie, recipe)


class Breaks(Replay):
    """A replay that breaks off after some frames."""

    n_before = 3

    def read(self, index: int) -> np.ndarray:
        if index >= self.n_before:
            raise StreamError("the cable was pulled")
        return super().read(index)


def test_grains_are_those_of_a_batch(movie: xr.DataArray, model: Model, tmp_path: Path) -> None:
    batch = label_movie(movie, model, tmp_path / "batch")
    with pytest.raises(StreamError, match="cable"):
        watch(Breaks(movie, speed=ALL_AT_ONCE), model, tmp_path / "r")
    watched = watch(Replay(movie, speed=ALL_AT_ONCE), model, tmp_path / "r")
    assert_equal(watched, batch)
    assert verify_result(tmp_path / "r") == []
    compact_result(tmp_path / "r", lambda _: 4)
    assert_equal(open_result(tmp_path / "r"), batch)


def assert_equal(found: Result, batch: Result) -> None:
    np.testing.assert_array_equal(found.region, batch.region)
    np.testing.assert_array_equal(found.label, batch.label)
    np.testing.assert_array_equal(found.orientation, batch.orientation)
    assert found.table("regions").equals(batch.table("regions"))
    assert found.table("quality").equals(batch.table("quality"))
