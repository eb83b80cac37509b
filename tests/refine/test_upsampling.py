"""Upsampling of scores: scipy's linear interpolation and plain loops are the references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from emreel.descriptors.geometry import grid_length
from emreel.refine import RefineError, upsample_scores


def interpolate(grid: np.ndarray, stride: int, shape_yx: tuple[int, int]) -> np.ndarray:
    """Linear interpolation in float64, flat beyond the last grid point."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]] / stride
    y, x = np.minimum(y, grid.shape[0] - 1), np.minimum(x, grid.shape[1] - 1)
    return map_coordinates(grid.astype(np.float64), [y, x], order=1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, int, tuple[int, int]]:
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    stride, k = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    grid = grid_length(shape[0], stride), grid_length(shape[1], stride)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.normal(size=(*grid, k)).astype(np.float32), stride, shape


@settings(deadline=None, max_examples=80)
@given(cases())
def test_equals_plain_interpolation(case) -> None:  # type: ignore[no-untyped-def]
    scores, stride, shape = case
    maps = np.stack([interpolate(scores[..., k], stride, shape) for k in range(scores.shape[2])])
    found = upsample_scores(scores, stride, shape)
    assert found.shape == shape and found.dtype == np.uint8
    chosen = np.take_along_axis(maps, found[None].astype(int) - 1, axis=0)[0]
    np.testing.assert_allclose(chosen, maps.max(axis=0), atol=1e-5)  # the largest, or as large but for rounding
    ranked = np.sort(maps, axis=0)
    clear = np.ones(shape, bool) if len(maps) == 1 else ranked[-1] - ranked[-2] > 1e-5
    np.testing.assert_array_equal(found[clear], maps.argmax(axis=0)[clear] + 1)


@settings(deadline=None, max_examples=60)
@given(cases(), st.integers(0, 4), st.integers(0, 4), st.integers(1, 30), st.integers(1, 30))
def test_a_tile_is_its_part_of_the_frame(case, i0: int, j0: int, height: int, width: int) -> None:  # type: ignore[no-untyped-def]
    scores, stride, shape = case
    outlier = np.abs(scores[..., 0])
    i0, j0 = min(i0, scores.shape[0] - 1), min(j0, scores.shape[1] - 1)
    y0, x0 = i0 * stride, j0 * stride
    y1, x1 = min(y0 + height, shape[0]), min(x0 + width, shape[1])
    part = slice(i0, grid_length(y1, stride) + 1), slice(j0, grid_length(x1, stride) + 1)  # one row and column beyond
    tile = upsample_scores(scores[part], stride, (y1 - y0, x1 - x0), outlier[part])
    np.testing.assert_array_equal(tile, upsample_scores(scores, stride, shape, outlier)[y0:y1, x0:x1])


@settings(deadline=None, max_examples=40)
@given(cases())
def test_unknown_where_the_interpolated_outlier_exceeds_one(case) -> None:  # type: ignore[no-untyped-def]
    scores, stride, shape = case
    outlier = (1 + scores[..., -1]).astype(np.float32)
    found = upsample_scores(scores, stride, shape, outlier)
    ratio = interpolate(outlier, stride, shape)
    clear = np.abs(ratio - 1) > 1e-5
    np.testing.assert_array_equal((found == 255)[clear], (ratio > 1)[clear])
    known = found != 255
    np.testing.assert_array_equal(found[known], upsample_scores(scores, stride, shape)[known])


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8])
def test_grid_points_keep_their_labels(stride: int) -> None:
    scores = np.random.default_rng(stride).normal(size=(11, 13, 6)).astype(np.float32)
    found = upsample_scores(scores, stride, (11 * stride, 13 * stride))
    np.testing.assert_array_equal(found[::stride, ::stride], scores.argmax(axis=2) + 1)


def test_an_edge_lies_where_the_scores_cross() -> None:
    # score difference x - 10.3 px, known at every fourth pixel: the edge falls between pixels 10 and 11
    x = np.arange(0, 32, 4, dtype=np.float32)
    scores = np.zeros((8, 8, 2), np.float32)
    scores[..., 1] = x - np.float32(10.3)
    found = upsample_scores(scores, 4, (32, 32))
    np.testing.assert_array_equal(found, np.where(np.arange(32) > 10.3, 2, 1)[None].repeat(32, axis=0))
    turned = upsample_scores(scores.swapaxes(0, 1), 4, (32, 32))
    np.testing.assert_array_equal(turned, found.T)


def test_the_first_of_equals_wins() -> None:
    assert set(upsample_scores(np.zeros((3, 3, 4), np.float32), 4, (12, 12)).ravel()) == {1}


def test_many_classes_have_names_of_their_own() -> None:
    scores = np.full((1, 253, 253), -1, np.float32)
    scores[0, np.arange(253), np.arange(253)] = 1
    np.testing.assert_array_equal(upsample_scores(scores, 1, (1, 253))[0], np.arange(1, 254))


def test_inputs_stay_as_they_were() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    scores.setflags(write=False)
    upsample_scores(scores, 2, (8, 10), scores[..., 0])


@pytest.mark.parametrize(
    ("grid", "stride", "shape", "outlier", "message"),
    [
        ((4, 4, 2), 4, (17, 16), None, "wanted at least 5 x 4"),
        ((4, 4, 2), 4, (16, 17), None, "wanted at least 4 x 5"),
        ((4, 4, 0), 4, (16, 16), None, "K from 1 to 253"),
        ((4, 4, 254), 4, (16, 16), None, "K from 1 to 253"),
        ((4, 4), 4, (16, 16), None, "K from 1 to 253"),
        ((4, 4, 2), 0, (16, 16), None, "got stride 0"),
        ((4, 4, 2), 4, (0, 16), None, "frame of"),
        ((4, 4, 2), 4, (16, 16), (4, 5), "outlier map"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    grid: tuple[int, ...], stride: int, shape: tuple[int, int], outlier: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(RefineError, match=message):
        upsample_scores(np.zeros(grid), stride, shape, None if outlier is None else np.zeros(outlier))
