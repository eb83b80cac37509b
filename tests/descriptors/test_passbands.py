"""Passbands folded onto a coarse grid, against plain float64 sums over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.kernels import gabor as kernels
from emreel.descriptors.passbands import FilteredImage, Passband

fewer = settings(max_examples=10, deadline=None)


def kernel_of(band: Passband) -> np.ndarray:
    """The filter's weights on a square of pixels, float64."""
    reach = int(np.ceil(7 * max(band.along_px, band.across_px)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    cos, sin = np.cos(band.angle_rad), np.sin(band.angle_rad)
    along, across = x * cos + y * sin, y * cos - x * sin
    envelope = np.exp(-0.5 * ((along / band.along_px) ** 2 + (across / band.across_px) ** 2))
    return envelope / envelope.sum() * np.exp(-2j * np.pi * along / band.wavelength_px)


def weighted_sum(image: np.ndarray, weights: np.ndarray, y: int, x: int) -> complex:
    """Sum of weights times the image around (y, x), zero beyond its edges, float64."""
    reach = len(weights) // 2
    total = 0j
    for i in range(max(y - reach, 0), min(y + reach + 1, image.shape[0])):
        low, high = max(x - reach, 0), min(x + reach + 1, image.shape[1])
        row = weights[i - y + reach, low - x + reach : high - x + reach]
        total += np.sum(image[i, low:high].astype(np.float64) * row)
    return total


@st.composite
def bands(draw):
    wavelength = draw(st.floats(2.5, 9.0))
    along = wavelength * draw(st.floats(0.5, 1.0))
    return Passband(wavelength, draw(st.floats(0, np.pi)), along, along * draw(st.floats(1.0, 2.5)))


@fewer
@given(bands(), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_power_on_every_step_is_that_of_the_plain_sum(band, step, first, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(41, 53)).astype(np.float32)
    n_yx = ((40 - first * step) // step + 1, (52 - first * step) // step + 1)
    filtered = FilteredImage(image, step, (first, first), n_yx, band.reach_px)
    got, weights = filtered.power(band), kernel_of(band)
    for i, j in [(0, 0), (n_yx[0] - 1, n_yx[1] - 1), *rng.integers(0, n_yx, size=(4, 2))]:
        wanted = 4 * abs(weighted_sum(image, weights, (first + i) * step, (first + j) * step)) ** 2
        assert abs(got[i, j] - wanted) <= 1e-5 * got.max()


@fewer
@given(bands(), bands(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_pair_of_envelopes_is_that_of_the_plain_sums(one, other, step, seed):
    rng = np.random.default_rng(seed)
    mask = (rng.random((37, 46)) > 0.1).astype(np.float32)
    n_yx = (36 // step + 1, 45 // step + 1)
    filtered = FilteredImage(mask, step, (0, 0), n_yx, max(one.reach_px, other.reach_px))
    for got, band in zip(filtered.smoothed_pair(one, other), (one, other), strict=True):
        envelope = np.abs(kernel_of(band))
        for i, j in [(0, 0), *rng.integers(0, n_yx, size=(4, 2))]:
            assert abs(got[i, j] - weighted_sum(mask, envelope, i * step, j * step).real) <= 1e-5


@given(bands())
def test_noise_gain_is_the_sum_of_the_squared_envelope(band):
    weights = np.abs(kernel_of(Passband(8.0, band.angle_rad, max(band.along_px, 1.0), max(band.across_px, 1.0))))
    wide = Passband(8.0, band.angle_rad, max(band.along_px, 1.0), max(band.across_px, 1.0))
    assert np.isclose(wide.noise_gain, np.sum(weights**2), rtol=1e-3)


@given(
    st.floats(-3, 12),
    st.floats(-3, 12),
    st.floats(0.05, 0.6),
    st.floats(0.05, 0.6),
    st.floats(-0.8, 0.8),
    st.booleans(),
)
def test_the_kernel_adds_a_gaussian_of_the_spectrum(middle_y, middle_x, a, c, tilt, quarter_turn):
    b = tilt * np.sqrt(a * c)
    rng = np.random.default_rng(0)
    spectrum = (rng.normal(size=(9, 11)) + 1j * rng.normal(size=(9, 11))).astype(np.complex64)
    out = np.zeros((5, 14), np.float32)
    kernels.add_passband(out, spectrum.view(np.float32), (-2, 3), (middle_y, middle_x), (a, b, c), 20.0, quarter_turn)
    wanted = np.zeros((5, 7), np.complex128)
    for y in range(-60, 80):
        for x in range(-60, 80):
            dy, dx = y - middle_y, x - middle_x
            q = a * dy * dy + 2 * b * dy * dx + c * dx * dx
            if q <= 20.0:
                wanted[(y + 2) % 5, (x - 3) % 7] += spectrum[y % 9, x % 11] * np.exp(-q / 2)
    wanted *= 1j if quarter_turn else 1
    np.testing.assert_allclose(out.view(np.complex64), wanted, atol=1e-4 * (1 + np.abs(wanted).max()))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_flatten_is_its_formula(exponent):
    rng = np.random.default_rng(1)
    image, weight = rng.normal(10, 1, (7, 9)).astype(np.float32), (rng.random((7, 9)) > 0.2).astype(np.float32)
    coarse = rng.uniform(1, 5, (4, 5)).astype(np.float32), rng.uniform(-1, 5, (4, 5)).astype(np.float32)
    got = kernels.flatten(image, weight, *coarse, 3, exponent, 0.3)
    for y, x in np.ndindex(7, 9):
        mean, shine = (
            np.interp(
                x / 3,
                np.arange(5),
                [np.interp(y / 3, np.arange(4), field[:, j].astype(np.float64)) for j in range(5)],
            )
            for field in coarse
        )
        wanted = (image[y, x] - mean) / max(shine, 0.3) ** exponent * weight[y, x]
        assert abs(got[y, x] - wanted) <= 1e-4 * (1 + abs(wanted))
