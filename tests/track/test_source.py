"""Frames of labels and memberships, whatever they come from; sides as users write them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.result import Result
from emreel.track.errors import TrackError
from emreel.track.source import LabelFrames, name_side, parse_sides, sum_classes, upsample_linear


@settings(max_examples=15, deadline=None)
@given(stride=st.integers(1, 6), height=st.integers(2, 30), width=st.integers(2, 30), seed=st.integers(0, 10**6))
def test_upsampling_is_linear_between_grid_points(stride: int, height: int, width: int, seed: int) -> None:
    grid_yx = -(-height // stride), -(-width // stride)
    grid = np.random.default_rng(seed).random((2, *grid_yx)).astype(np.float32)
    full = upsample_linear(grid, stride, (height, width))
    y, x = np.meshgrid(np.arange(height) / stride, np.arange(width) / stride, indexing="ij")
    for k in range(2):
        assert full[k] == pytest.approx(ndimage.map_coordinates(grid[k], [y, x], order=1, mode="nearest"), abs=1e-5)


def test_shares_of_labels_are_one_in_their_class_and_nothing_where_there_is_no_data() -> None:
    label = np.array([[[0, 1, 2], [3, 254, 255]]], np.uint8)
    shares = LabelFrames.of(label).read_shares(0)
    assert shares.shape == (3, 2, 3)
    assert shares.sum(axis=0).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert sum_classes(shares, (1, 3)).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert not sum_classes(shares, (9,)).any()


def test_memberships_of_a_result_are_read_where_they_are(front_result: Result) -> None:
    frames = LabelFrames.of(front_result)
    shares = frames.read_shares(3)
    assert shares.shape == (4, *frames.shape_yx)
    known = (frames.read_label(3) > 0) & (frames.read_label(3) < 254)
    assert shares[:, known].sum(axis=0) == pytest.approx(1, abs=0.02)
    stored = front_result.membership[3].to_numpy()
    step = frames.stride
    on_grid = np.where(known[::step, ::step], shares[:, ::step, ::step] - stored, 0)
    assert np.abs(on_grid).max() < 1e-6
    assert frames.times_s is not None and frames.time_s(3) == frames.times_s[3]
    assert LabelFrames.of(front_result, soft=False).membership is None


def test_times_come_with_arrays_that_have_them() -> None:
    label = xr.DataArray(
        np.ones((2, 3, 4), np.uint8),
        dims=("time", "y", "x"),
        coords={"time": ("time", [0.0, 0.5], {"units": "s"})},
        attrs={"pixel_size_nm": 0.1},
    )
    frames = LabelFrames.of(label)
    assert (frames.known_time_s(1), frames.known_time_s(2), frames.pixel_nm) == (0.5, None, 0.1)
    plain = LabelFrames.of(label.to_numpy())
    assert plain.known_time_s(1) is None and np.isnan(plain.pixel_nm)


def test_sides() -> None:
    assert parse_sides(((2, 1), 3)) == ((1, 2), (3,)) and name_side((1, 2)) == "1,2"
    for wrong in (((1,), ()), ((1,), (1,)), ((0,), (1,)), ((1,), (254,)), 5, "ab"):
        with pytest.raises(TrackError, match="between"):
            parse_sides(wrong)
    with pytest.raises(TrackError, match="from 1 to 3"):
        parse_sides(((1,), (4,)), 3)
