"""A quick model and frames for streams; ways to write frames as instruments do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

from emreel.fit import fit_model
from emreel.model import Model
from emreel.recipe import DescriptorStep, Recipe, SampleStep


@pytest.fixture(scope="session")
def quick_model(front_movie: xr.DataArray) -> Model:
    """Labels a frame in a few milliseconds."""
    recipe = Recipe(
        descriptor=DescriptorStep(name="lattice", fields={"stride": 4}), sample=SampleStep(frames=4)
    ).with_clusters(3)
    return fit_model(front_movie, recipe)


@pytest.fixture(scope="session")
def instant_model(quick_model: Model) -> Model:
    """The same, looking at each frame alone: labels come at once, in any order."""
    return replace(quick_model, steady=None, survey=False)


@pytest.fixture(scope="session")
def frames(front_movie: xr.DataArray) -> np.ndarray:
    return front_movie.values


@pytest.fixture
def write_frame() -> Callable[[Path, int, np.ndarray], Path]:
    """Write a frame as instruments do that rename it when it is whole."""

    def write(folder: Path, number: int, frame: np.ndarray) -> Path:
        folder.mkdir(exist_ok=True)
        partial, target = folder / f".{number}.part", folder / f"frame_{number}.tif"
        tifffile.imwrite(partial, frame)
        partial.rename(target)
        return target

    return write
