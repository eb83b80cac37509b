"""Sharpness: the same at every dose, lower when blurred; blurred frames are found and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from emreel.prepare.sharpness import FEWEST_NEIGHBOURS, Detail, DetailSums, find_blurred, tile_step
from emreel.synthetic.catalog import make_scene
from emreel.synthetic.scene import Scene


def detail_of(frame: np.ndarray) -> Detail:
    return DetailSums.of(frame, np.isfinite(frame)).finish()


def scene_of(kind: str, **parameters: Any) -> Scene:
    return make_scene(kind, **({"shape_yx": (256, 256), "n_frames": 20, "dtype": "float32", "seed": 8} | parameters))


@pytest.mark.parametrize("dose", [2.0, 20.0, 2000.0])
def test_sharpness_does_not_know_the_dose(dose: float) -> None:
    scene = scene_of("front", dose=dose, flicker=0.0, drift_px_per_frame=(0, 0), wander_px=0, jitter_px=0)
    expected = detail_of(scene.expected(3).astype(np.float64))
    noisy = detail_of(scene.frame(3))
    assert abs(noisy.energy - expected.energy) < 4 * noisy.error
    assert noisy.error < 0.2 * expected.energy


def test_the_error_is_the_scatter() -> None:
    scene = scene_of("order_disorder", dose=1.0)
    relative, rng = scene.expected(0), np.random.default_rng(0)
    found = [detail_of(rng.poisson(relative)) for _ in range(40)]
    scatter = np.std([one.energy for one in found])
    assert 0.5 * scatter < np.mean([one.error for one in found]) < 2 * scatter


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_a_blur_lowers_it_as_the_formula_says(sigma: float) -> None:
    y, x = np.mgrid[:256, :256]
    period = 9.0
    lattice = (
        100
        + 20 * np.cos(2 * np.pi * y / period)
        + 20 * np.cos(2 * np.pi * x / period + 1)
        + 9 * np.cos(2 * np.pi * (y + x) / period) * 0
    )
    blurred = ndimage.gaussian_filter(lattice, sigma, mode="reflect")
    inner = slice(64, 192)
    ratio = detail_of(blurred[inner, inner]).sharpness / detail_of(lattice[inner, inner]).sharpness
    assert ratio == pytest.approx(np.exp(-2 * np.pi**2 * sigma**2 / period**2), rel=0.03)


@pytest.mark.parametrize("after_noise", [False, True])
@pytest.mark.parametrize("dose", [4.0, 40.0])
@pytest.mark.parametrize("kind", ["front", "twin_lamella", "grain_growth", "order_disorder", "decahedron"])
def test_blurred_frames_are_found_and_no_others(kind: str, dose: float, after_noise: bool) -> None:
    """Blurred by 1.6 px before the noise (defocus, a jump of the stage) or after it (a codec)."""
    scene = scene_of(kind, dose=dose, flicker=0.2)
    rng = np.random.default_rng(int(dose))
    bad = sorted(rng.choice(scene.n_frames, 3, replace=False).tolist())
    details = []
    for i in range(scene.n_frames):
        frame = scene.frame(i)
        if i in bad:
            frame = (
                ndimage.gaussian_filter(frame, 1.6)
                if after_noise
                else rng.poisson(ndimage.gaussian_filter(scene.expected(i), 1.6))
            )
        details.append(detail_of(frame))
    assert np.flatnonzero(find_blurred(details, [True] * scene.n_frames)).tolist() == bad


@pytest.mark.parametrize("dose", [0.1, 0.5, 2.0])
def test_noise_is_not_taken_for_blur(dose: float) -> None:
    scene = scene_of("decahedron", dose=dose, flicker=0.2)
    details = [detail_of(scene.frame(i)) for i in range(scene.n_frames)]
    assert not find_blurred(details, [True] * scene.n_frames).any()


@given(
    energies=st.lists(st.floats(0.9, 1.1), min_size=12, max_size=40),
    place=st.integers(0, 11),
    before_only=st.booleans(),
)
def test_one_drop_is_found_wherever_it_is(energies: list[float], place: int, before_only: bool) -> None:
    energies[place] = 0.05
    found = find_blurred([Detail(e, 1e-3) for e in energies], [True] * len(energies), before_only=before_only)
    can_be_judged = place >= FEWEST_NEIGHBOURS or not before_only
    assert found[place] == can_be_judged or np.ptp(np.delete(energies, place)) > 0.1
    assert not np.delete(found, place).any()


def test_unusable_frames_neither_judge_nor_are_judged() -> None:
    details = [Detail(1.0, 0.01)] * 8 + [Detail(0.0, 0.01)] * 3 + [Detail(1.0, 0.01)] * 4
    usable = [True] * 8 + [False] * 3 + [True] * 4
    assert not find_blurred(details, usable).any()
    assert find_blurred(details, [True] * 15).tolist() == [not good for good in usable]


def test_a_slow_change_is_no_blur() -> None:
    details = [Detail(float(e), 0.001) for e in np.geomspace(1, 0.2, 40)]
    assert not find_blurred(details, [True] * 40).any()


def test_sums_add_and_large_frames_are_sampled() -> None:
    frame = np.random.default_rng(0).poisson(9, (512, 256))
    good = np.ones(frame.shape, bool)
    halves = DetailSums.of(frame[:256], good[:256]) + DetailSums.of(frame[256:], good[256:])
    assert halves.finish().energy == pytest.approx(DetailSums.of(frame, good).finish().energy)
    assert tile_step((512, 512)) == 1
    assert (
        DetailSums.of(np.ones((2048, 2048)), np.ones((2048, 2048), bool), tile_step=tile_step((2048, 2048))).n_tiles
        == 64
    )
    assert np.isnan(DetailSums.of(np.zeros((8, 8)), np.ones((8, 8), bool)).finish().energy)
    assert np.isnan(DetailSums.of(np.ones((8, 8)), np.zeros((8, 8), bool)).finish().energy)
    assert np.isfinite(DetailSums.of(np.ones((1, 1)), np.ones((1, 1), bool)).finish().energy)


@pytest.mark.parametrize("seed", range(4))
def test_no_false_alarm_at_low_dose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = ["front", "twin_lamella", "grain_growth", "order_disorder"][seed]
    for dose in rng.uniform(0.3, 3, 3):
        scene = scene_of(kind, dose=float(dose), flicker=0.2, shape_yx=(128, 128), seed=int(rng.integers(1000)))
        details = [detail_of(scene.frame(i)) for i in range(scene.n_frames)]
        assert not find_blurred(details, [True] * scene.n_frames).any()
