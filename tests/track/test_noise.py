"""Noise of positions, told from roughness and motion."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.noise import correlated_length, noise_across, noise_of, roughness_of


def test_noise_is_told_from_shape_and_motion() -> None:
    rng = np.random.default_rng(1)
    shape = 6 * np.sin(np.arange(500) / 9)
    three = [shape + 2.5 * t + rng.normal(0, 0.8, 500) for t in range(3)]
    noise = noise_of(*three)
    assert noise.column_px == pytest.approx(0.8, rel=0.15)
    assert noise.mean_px == pytest.approx(0.8 / np.sqrt(500), rel=0.3)
    assert noise_of(shape, shape + 1, shape + 2).column_px == pytest.approx(0, abs=1e-9)


def test_columns_that_err_together_are_fewer() -> None:
    rng = np.random.default_rng(2)
    box = np.ones(10) / np.sqrt(10)
    three = [np.convolve(rng.normal(0, 1, 809), box, "valid") for _ in range(3)]
    noise = noise_of(*three)
    assert noise.mean_px == pytest.approx(noise.column_px / np.sqrt(80), rel=0.35)
    assert correlated_length(np.zeros(5)) == 1


def test_unknown_columns_and_too_few_of_them() -> None:
    rng = np.random.default_rng(3)
    three = [rng.normal(0, 1, 300) for _ in range(3)]
    three[1][::3] = np.nan
    assert noise_of(*three).column_px == pytest.approx(1, rel=0.2)
    assert np.isnan(noise_of(*(part[:5] for part in three)).column_px)
    assert noise_across(rng.normal(0, 1, 400)).column_px == pytest.approx(1, rel=0.2)


def test_roughness_leaves_out_tilt_and_noise() -> None:
    x = np.arange(400.0)
    wave = 3 * np.sqrt(2) * np.sin(2 * np.pi * x / 40)
    rough, raw = roughness_of(50 + 0.2 * x + wave, x, 0.0)
    assert rough == raw == pytest.approx(3, rel=0.01)
    assert roughness_of(50 + 0.2 * x + wave, x, 2.0)[0] == pytest.approx(np.sqrt(5), rel=0.02)
    assert roughness_of(50 + 0.2 * x, x, 1.0)[0] == 0
    assert np.isnan(roughness_of(x[:4], x[:4], 0.0)[0])
