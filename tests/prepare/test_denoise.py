"""Denoising: nearer to the truth, edges where they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from emreel.prepare.denoise import Denoise, DenoiseError, restore, stabilise
from emreel.synthetic.catalog import make_scene


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.mean((image - truth) ** 2)))


@pytest.mark.parametrize(("dose", "least_db"), [(4.0, 4.0), (40.0, 1.0)])
@pytest.mark.parametrize("kind", ["front", "twin_lamella", "grain_growth", "order_disorder"])
def test_the_signal_rises_above_the_noise(kind: str, dose: float, least_db: float) -> None:
    scene = make_scene(kind, shape_yx=(160, 160), n_frames=10, dose=dose, dtype="float32", seed=2)
    noisy, truth = scene.frame(6), scene.expected(6)
    assert psnr(Denoise()(noisy), truth) > psnr(noisy, truth) + least_db


@pytest.mark.parametrize("dose", [4.0, 40.0])
def test_edges_stay(dose: float) -> None:
    """A slightly tilted edge between two flat phases, one twice as bright; its place in sixteen groups of columns."""
    y, x = np.mgrid[:96, :256]
    edge = 44 + 0.02 * x
    truth = dose * (1 + 1 / (1 + np.exp(-(y - edge) / 0.8)))
    better = Denoise()(np.random.default_rng(0).poisson(truth).astype(np.float32))

    def places(image: np.ndarray) -> np.ndarray:
        groups = image.reshape(96, 16, 16).mean(axis=2)
        above = (groups > 1.5 * dose).argmax(axis=0)
        before, after = groups[above - 1, np.arange(16)], groups[above, np.arange(16)]
        return above - 1 + (1.5 * dose - before) / (after - before)

    off = places(better) - places(truth)
    assert abs(off.mean()) < 0.2
    assert np.sqrt(np.mean(off**2)) < 0.5
    steepness = [
        np.abs(np.diff(image.reshape(96, 16, 16).mean(axis=2), axis=0)).max(axis=0) for image in (better, truth)
    ]
    assert np.median(steepness[0] / steepness[1]) > 0.7


def test_the_particle_keeps_its_outline() -> None:
    scene = make_scene("twin_lamella", shape_yx=(192, 192), dose=4.0, dtype="float32", seed=1)
    truth, better = scene.expected(0), Denoise()(scene.frame(0))
    sigma = 6.0  # both blurred alike, over the lattice: the contour must not have moved
    level = 0.3 * ndimage.gaussian_filter(truth, sigma).max()
    inside = [ndimage.gaussian_filter(image, sigma) > level for image in (truth, better)]
    area, perimeter = inside[0].sum(), np.sum(inside[0] != ndimage.binary_erosion(inside[0]))
    assert abs(int(inside[1].sum()) - int(area)) / perimeter < 0.5
    assert np.sum(inside[0] != inside[1]) / perimeter < 0.5


@given(mean=st.floats(1, 1e4))
def test_the_inverse_is_unbiased(mean: float) -> None:
    """The mean of the transformed counts goes back to the mean of the counts."""
    k = np.arange(max(int(mean - 12 * mean**0.5), 0), int(mean + 12 * mean**0.5) + 20)
    log_p = k * np.log(mean) - mean - np.cumsum(np.log(np.maximum(np.arange(k[-1] + 1), 1)))[k]
    transformed = np.sum(np.exp(log_p) * stabilise(k))
    assert restore(np.array([transformed]))[0] == pytest.approx(mean, rel=0.03, abs=0.02)


def test_gain_and_offset_of_the_camera_are_taken_out() -> None:
    electrons = np.random.default_rng(0).poisson(6.0, (48, 48)).astype(np.float32)
    plain = Denoise()(electrons)
    camera = Denoise(counts_per_electron=50.0, zero_counts=100.0)(50 * electrons + 100)
    np.testing.assert_allclose(camera, 50 * plain + 100, rtol=1e-4)


def test_dead_pixels_do_not_spoil_their_surroundings_and_the_input_stays() -> None:
    frame = np.random.default_rng(0).poisson(9.0, (64, 64)).astype(np.float32)
    frame[20, 20] = np.nan
    frame.setflags(write=False)
    out = Denoise()(frame, np.isfinite(frame))
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert abs(out.mean() - 9) < 0.2


def test_a_tile_with_its_reach_is_the_whole() -> None:
    frame = np.random.default_rng(0).poisson(9.0, (96, 96)).astype(np.float32)
    denoise = Denoise()
    cut = slice(32 - denoise.reach_px, 64 + denoise.reach_px)
    part = denoise(frame[cut, cut])[denoise.reach_px : -denoise.reach_px, denoise.reach_px : -denoise.reach_px]
    np.testing.assert_allclose(part, denoise(frame)[32:64, 32:64], rtol=1e-3)


def test_errors_say_what_is_wanted() -> None:
    with pytest.raises(DenoiseError, match="odd number"):
        Denoise(patch_px=6)
    with pytest.raises(DenoiseError, match="strength = 0"):
        Denoise(strength=0)
