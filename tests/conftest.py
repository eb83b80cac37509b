"""Fixtures for every test, and the rule on tests that need the data beside the checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

from emreel.fit import fit_model
from emreel.model import Model
from emreel.movie import make_movie
from emreel.synthetic import AmorphousFront, Detector

# the same examples at every run; HYPOTHESIS_PROFILE=default draws new ones
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

DATA = Path(os.environ.get("EMREEL_DATA", Path(__file__).parents[2] / "shared" / "data"))


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pytest_report_header() -> list[str]:
    return [] if find_browser() else ["no chromium: the tests that drive the page in a browser are deselected"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Outside CI the tests of the browser need one; in CI they fail without."""
    if find_browser() or os.environ.get("CI"):
        return
    driven = [item for item in items if item.get_closest_marker("browser")]
    if driven:
        config.hook.pytest_deselected(items=driven)
        items[:] = [item for item in items if item not in driven]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = find_browser()
    assert found is not None, "no chromium here. Install it: apt-get install chromium"
    return found


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Movies with truth and real micrographs; outside CI a test that needs them is skipped when they are absent."""
    if not DATA.is_dir():
        message = f"no test data at {DATA}; set EMREEL_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA


@pytest.fixture(scope="session")
def front_scene() -> AmorphousFront:
    """A small movie of a film that turns amorphous: cap, amorphous, film, substrate."""
    return AmorphousFront(shape_yx=(128, 144), n_frames=10, detector=Detector(dose=60.0, flicker=0.02), seed=3)


@pytest.fixture(scope="session")
def front_movie(front_scene: AmorphousFront) -> xr.DataArray:
    """The same as an array in memory."""
    frames = np.stack([front_scene.frame(i) for i in range(front_scene.n_frames)])
    return make_movie(frames, frame_times_s=front_scene.frame_times_s, pixel_size_nm=front_scene.pixel_size_nm)


@pytest.fixture(scope="session")
def front_model(front_movie: xr.DataArray) -> Model:
    """A model fitted on the small movie with the default recipe."""
    return fit_model(front_movie, n_clusters=4)
