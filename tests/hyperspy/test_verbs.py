"""Fit and apply on signals: the same models and labels as without HyperSpy, lazy and on worker processes too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from emreel.hyperspy import HyperSpyError, Segmentation, apply, fit
from emreel.label import label_stream
from emreel.model import Model, ModelError


def test_fit_is_the_same(front_signal: Any, front_model: Model) -> None:
    assert fit(front_signal, n_clusters=4, show_progressbar=False) == front_model
    assert fit([front_signal.as_lazy()], n_clusters=4, show_progressbar=False) == front_model


def test_progress_is_shown_as_hyperspy_wants(front_signal: Any, capsys: pytest.CaptureFixture[str]) -> None:
    small = front_signal.inav[:3]
    fit(small, n_clusters=3, show_progressbar=False)
    assert capsys.readouterr().err == ""
    fit(small, n_clusters=3, show_progressbar=True)
    assert "cluster" in capsys.readouterr().err


def test_masked_frames_and_pixels_do_not_count(front_signal: Any, front_movie: xr.DataArray) -> None:
    spoilt = front_signal.deepcopy()
    spoilt.data[2] = 250
    spoilt.data[:, :20, :20] = 255
    frames, pixels = np.zeros(10, bool), np.zeros(front_movie.shape[1:], bool)
    frames[2], pixels[:20, :20] = True, True
    options = {"n_clusters": 4, "navigation_mask": frames, "signal_mask": pixels, "show_progressbar": False}
    other = front_signal.deepcopy()
    other.data[2], other.data[:, :20, :20] = 3, 0
    assert fit(spoilt, **options) == fit(other, **options)
    with pytest.raises(HyperSpyError, match="masks are for one signal"):
        fit([spoilt, spoilt], **options)


@pytest.mark.parametrize("lazy", [False, True])
def test_apply_labels_every_frame(front_signal: Any, front_movie: xr.DataArray, front_model: Model, lazy: bool) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a frame was computed")

    signal = front_signal.as_lazy() if lazy else front_signal
    with dask.config.set(scheduler=refuse if lazy else None):
        labels = apply(front_model, signal, show_progressbar=False)
    assert isinstance(labels, Segmentation) and labels._lazy is lazy
    if lazy:
        labels.compute(show_progressbar=False)
        assert type(labels) is Segmentation
    by_itself = [front_model.label(frame) for frame in front_movie.values]
    in_time = [told.label for told in label_stream(front_movie.values, front_model)]
    np.testing.assert_array_equal(labels.data, by_itself if lazy else in_time)
    assert labels.metadata.Segmentation.in_time is not lazy
    assert labels.data.dtype == np.uint8
    assert labels.label_names == list(front_model.label_names)
    for mine, theirs in zip(labels.axes_manager._axes, front_signal.axes_manager._axes, strict=True):
        assert (mine.name, mine.units, mine.scale) == (theirs.name, theirs.units, theirs.scale)
    assert front_signal._signal_type == ""


def test_lazy_output_is_respected(front_signal: Any, front_model: Model) -> None:
    assert apply(front_model, front_signal, lazy_output=True)._lazy
    assert not apply(front_model, front_signal.as_lazy(), lazy_output=False, show_progressbar=False)._lazy


def test_workers_label_a_lazy_signal(front_signal: Any, front_movie: xr.DataArray, front_model: Model) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        labels = apply(front_model, front_signal.as_lazy())
        data = labels.data.compute()
    np.testing.assert_array_equal(data, [front_model.label(frame) for frame in front_movie.values])


def test_a_mask_makes_invalid(front_signal: Any, front_model: Model) -> None:
    mask = np.zeros(front_signal.data.shape[1:], bool)
    mask[60:, 70:] = True
    labels = apply(front_model, front_signal.inav[:2], signal_mask=mask, show_progressbar=False)
    assert np.all(labels.data[:, 100:, 110:] == 254)
    assert not np.any(labels.data[:, :60] == 254)


def test_what_cannot_be_applied_is_named(front_signal: Any, front_model: Model) -> None:
    with pytest.raises(HyperSpyError, match="label_movie"):
        apply(replace(front_model, follow="step", steady=None), front_signal.as_lazy())
    front_signal.axes_manager.signal_axes[0].scale = front_signal.axes_manager.signal_axes[1].scale = 0.05
    with pytest.raises(ModelError, match="any_pixel_size=True"):
        apply(front_model, front_signal)
    assert apply(front_model, front_signal, any_pixel_size=True, lazy_output=True)._lazy
