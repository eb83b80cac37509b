"""``.emreel`` on movies: the same labels as everywhere, lazily, with coordinates and attributes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import emreel.accessor  # noqa: F401 - makes .emreel known
from emreel.io import open_movie
from emreel.label import label_stream
from emreel.model import Model, ModelError
from emreel.movie import MovieError
from emreel.synthetic import AmorphousFront
from emreel.track.fronts import track_fronts
from emreel.view.errors import ViewError
from emreel.view.overlay import overlay_rgb


def refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a pixel was computed")


def test_it_is_there_without_being_asked_for() -> None:
    code = "import emreel as er; m = er.open_movie('amorphous_front'); print(type(m.emreel).__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "EmreelArray"


def test_fit_and_label(front_movie: xr.DataArray, front_model: Model) -> None:
    assert front_movie.emreel.fit(n_clusters=4) == front_model
    labels = front_movie.emreel.label(front_model)
    streamed = [told.label for told in label_stream(front_movie.to_numpy(), front_model)]
    np.testing.assert_array_equal(labels.to_numpy(), streamed)
    xr.testing.assert_equal(labels.coords.to_dataset(), front_movie.coords.to_dataset())
    assert labels.x.attrs["units"] == "nm" and labels.attrs["pixel_size_nm"] == 0.04
    assert labels.attrs["label_names"] == list(front_model.label_names)


def test_lazy_stays_lazy(front_scene: AmorphousFront, front_model: Model) -> None:
    movie = open_movie(front_scene)
    with dask.config.set(scheduler=refuse):
        labels = movie.emreel.label(front_model)
    np.testing.assert_array_equal(labels[4].to_numpy(), front_model.label(movie[4].to_numpy()))


def test_overlay_is_the_pictures(front_movie: xr.DataArray, front_model: Model) -> None:
    labels = front_movie.emreel.label(front_model)
    tinted = front_movie.emreel.overlay(labels, opacity=0.4)
    assert tinted.dims == ("time", "y", "x", "rgb") and tinted.dtype == np.uint8
    low, high = np.percentile(front_movie[5].to_numpy(), (0.5, 99.5))
    gray = np.clip((front_movie[3].to_numpy().astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    colors = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in front_model.label_colors]
    np.testing.assert_array_equal(tinted[3].to_numpy(), overlay_rgb(gray, labels[3].to_numpy(), colors, 0.4))
    xr.testing.assert_equal(tinted.time, front_movie.time)
    one = front_movie[3].emreel.overlay(labels[3], colors=["#000000"] * 4)
    assert one.dims == ("y", "x", "rgb")


def test_what_does_not_fit_is_named(front_movie: xr.DataArray, front_model: Model) -> None:
    labels = front_movie.emreel.label(front_model)
    with pytest.raises(ViewError, match="no colours of their own"):
        front_movie.emreel.overlay(labels.drop_attrs())
    with pytest.raises(ViewError, match="got labels of"):
        front_movie.emreel.overlay(labels[:3])
    with pytest.raises(ModelError, match="label_movie"):
        front_movie.chunk({"time": 1}).emreel.label(replace(front_model, follow="step"))
    with pytest.raises(MovieError, match="complex"):
        (front_movie * 1j).emreel.label(front_model)


def test_fronts_are_those_of_the_function(front_movie: xr.DataArray, front_model: Model) -> None:
    labels = front_movie.emreel.label(front_model)
    table = labels.emreel.fronts(between=((1, 2), (3, 4)))
    pd.testing.assert_frame_equal(table, track_fronts(labels, axis="y", between=((1, 2), (3, 4))))
    means = table[table["kind"] == "mean"]
    assert means["position_px"].is_monotonic_increasing
    np.testing.assert_allclose(means["position_nm"], 0.04 * means["position_px"])
