from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from emreel.polycrystal.painting import paint


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), stride=st.integers(1, 5), height=st.integers(6, 33), width=st.integers(6, 33))
def test_equals_bilinear_interpolation_and_the_largest_wins(seed, stride, height, width):
    rng = np.random.default_rng(seed)
    n_y, n_x = -(-height // stride), -(-width // stride)
    best, region = np.full((height, width), -np.inf, np.float32), np.zeros((height, width), np.uint32)
    scores = rng.normal(size=(3, n_y, n_x)).astype(np.float32)
    for number, score in enumerate(scores, start=7):
        paint(best, region, score, number, 0, 0, stride)
    y, x = np.mgrid[:height, :width] / stride
    places = np.stack([np.minimum(y, n_y - 1), np.minimum(x, n_x - 1)], axis=-1)
    grid = np.arange(n_y), np.arange(n_x)
    if min(n_y, n_x) < 2:
        return
    plain = np.stack([RegularGridInterpolator(grid, score.astype(float))(places) for score in scores])
    np.testing.assert_allclose(best, plain.max(axis=0), atol=1e-5)
    clear = np.sort(plain, axis=0)[-1] - np.sort(plain, axis=0)[-2] > 1e-5
    np.testing.assert_array_equal(region[clear], plain.argmax(axis=0)[clear] + 7)


@pytest.mark.parametrize("stride", [1, 3])
def test_paints_its_own_box_alone(stride):
    best, region = np.zeros((30, 30), np.float32), np.zeros((30, 30), np.uint32)
    paint(best, region, np.ones((2, 3), np.float32), 5, 4, 1, stride)
    wanted = np.zeros((30, 30), bool)
    wanted[4 * stride : 6 * stride, stride : 4 * stride] = True
    np.testing.assert_array_equal(region == 5, wanted)
