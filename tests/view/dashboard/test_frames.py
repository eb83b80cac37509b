"""What is read of a frame: the preview from afar, the movie itself from near, as bright as one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel.io import open_movie
from emreel.label import label_movie
from emreel.model import Model
from emreel.result import Result, open_result
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.page import Page
from emreel.view.dashboard.window import Window


@pytest.fixture(scope="module")
def wide(front_movie: xr.DataArray, front_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Two frames, the second twice as bright, wider than previews are."""
    folder = tmp_path_factory.mktemp("wide")
    frames = np.tile(front_movie.values[:2], (1, 1, 15)).astype(np.uint16) * np.array([1, 2])[:, None, None]
    np.save(folder / "wide.npy", frames.astype(np.uint16))
    source = {"opened": {"source": str(folder / "wide.npy"), "pixel_size_nm": 0.04}}
    movie = open_movie(folder / "wide.npy", pixel_size_nm=0.04)
    label_movie(movie, front_model, folder / "run", provenance=source)
    return open_result(folder / "run", chunks=None)


def test_from_near_the_movie_is_shown(wide: Result) -> None:
    frames = Frames(wide)
    assert wide.layout.preview_factor == 3
    window = Window(y0=30, y1=60, x0=300, x1=390, step=1)
    for frame in (0, 1):
        far, cell = frames.gray(frame, Window(y0=30, y1=60, x0=300, x1=390, step=3))
        assert (far.shape, cell) == ((10, 30), 3)
        near, cell = frames.gray(frame, window)
        assert (near.shape, cell) == ((30, 90), 1)
        cells = near.reshape(10, 3, 30, 3)
        unclipped = (cells.max(axis=(1, 3)) < 255) & (cells.min(axis=(1, 3)) > 0)
        assert unclipped.mean() > 0.5
        np.testing.assert_allclose(cells.mean(axis=(1, 3))[unclipped], far[unclipped], rtol=0.05, atol=1)
    np.testing.assert_array_less(np.abs(np.diff([frames.gray(t, window)[0].mean() for t in (0, 1)])), 3)


def test_the_page_zooms_into_the_movie(wide: Result) -> None:
    page = Page(wide)
    assert page.panes.source.data["gray"][0].shape == (43, 720)
    page.panes.look((10.0, 12.0), (1.0, 3.0))
    page.panes.show(1)
    gray = page.panes.source.data["gray"][0]
    assert gray.shape == page.panes.source.data["code"][0].shape == (60, 60)
    assert page.panes.source.data["gray_w"] == page.panes.source.data["code_w"]


def test_without_the_movie_the_preview_is_all_there_is(wide: Result) -> None:
    moved = Path(wide.facts["provenance"]["opened"]["source"])
    moved.rename(moved.with_suffix(".away"))
    try:
        gray, cell = Frames(wide).gray(0, Window(y0=30, y1=60, x0=300, x1=390, step=1))
    finally:
        moved.with_suffix(".away").rename(moved)
    assert (gray.shape, cell) == ((10, 30), 3)
