from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.synthetic.texture import Texture, smooth_field, speckle_profile


def make_texture(**parameters):
    defaults = {"shape_yx": (96, 80), "profile": speckle_profile(2.0), "lifetime_frames": 5.0, "seed": 1, "layer": 0}
    return Texture(**(defaults | parameters))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), grain=st.floats(1, 3))
def test_zero_mean_unit_variance(seed, grain):
    texture = make_texture(seed=seed, profile=speckle_profile(grain), shape_yx=(160, 160))
    field = texture.at(3, (0.0, 0.0))
    assert field.dtype == np.float32 and field.shape == (160, 160)
    assert abs(field.mean()) < 0.15 and field.std() == pytest.approx(1, abs=0.12)


@settings(max_examples=8, deadline=None)
@given(dy=st.integers(-5, 5), dx=st.integers(-5, 5), index=st.integers(0, 10**6))
def test_moves_with_the_specimen(dy, dx, index):
    texture = make_texture()
    still, moved = texture.at(index, (0.0, 0.0)), texture.at(index, (float(dy), float(dx)))
    inner = slice(6, -6)
    np.testing.assert_allclose(moved[inner, inner], np.roll(still, (dy, dx), (0, 1))[inner, inner], atol=1e-4)


@pytest.mark.parametrize("lifetime", [2.0, 10.0])
def test_forgets_as_a_gaussian_process_does(lifetime):
    texture = make_texture(lifetime_frames=lifetime, shape_yx=(192, 192))
    first = texture.at(0, (0.0, 0.0))
    for share in (0.5, 1.0, 2.0):
        later = texture.at(round(share * lifetime), (0.0, 0.0))
        likeness = np.corrcoef(first.ravel(), later.ravel())[0, 1]
        assert likeness == pytest.approx(np.exp(-(share**2) / 2), abs=0.08)


def test_may_last_for_ever():
    texture = make_texture(lifetime_frames=0.0)
    np.testing.assert_array_equal(texture.at(0, (0.0, 0.0)), texture.at(10**6, (0.0, 0.0)))


def test_opposite_edges_are_strangers():
    fields = [make_texture(seed=seed, lifetime_frames=0.0).at(0, (0.0, 0.0)) for seed in range(20)]
    likeness = np.mean([np.corrcoef(field[0], field[-1])[0, 1] for field in fields])
    assert abs(likeness) < 0.15


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), shift=st.floats(-20, 20))
def test_smooth_field_is_fixed_to_the_specimen(seed, shift):
    y, x = np.arange(40.0), np.arange(50.0)
    whole = smooth_field(y, x, wavelength_px=30, seed=seed, layer=0)
    part = smooth_field(y[5:], x[7:], wavelength_px=30, seed=seed, layer=0)
    np.testing.assert_allclose(whole[5:, 7:], part, atol=1e-5)
    far = smooth_field(np.arange(400.0) + shift, np.arange(400.0), wavelength_px=20, seed=seed, layer=0)
    assert far.std() == pytest.approx(1, abs=0.15) and abs(far.mean()) < 0.1
