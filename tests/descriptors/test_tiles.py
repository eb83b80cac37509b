"""Every descriptor on overlapping 64-px tiles equals itself on whole frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emreel import engine
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.translation import PreselectedTranslations, TranslationSymmetry
from emreel.movie import make_movie

DESCRIPTORS = [
    Lattice(g_vectors=((0.21, 0.02), (-0.02, 0.21)), period_px=4.7, stride=4, mean_counts=50.0),
    Lattice(g_vectors=((0.21, 0.02), (-0.02, 0.21)), period_px=4.7, stride=3, mean_counts=50.0),
    Lattice(period_px=6.0, stride=3, mean_counts=50.0),
    TranslationSymmetry(window_px=9, patch_px=6, stride=4),
    TranslationSymmetry(window_px=5, patch_px=4, stride=1),
    PreselectedTranslations(shifts=((0, 7), (5, -3)), patch_px=5, stride=3),
]


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: f"{d.name}-stride{d.stride}-halo{d.halo}")
def test_overlapping_tiles_equal_whole_frames(descriptor: Any) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:270, :150]
    waves = 50 + 20 * np.cos(2 * np.pi * (0.11 * y + 0.02 * x)) * (x > 80)
    frames = rng.poisson(np.broadcast_to(waves, (2, 270, 150))).astype(np.float32)
    frames[0, 40:43, 60] = np.nan
    movie = make_movie(frames)
    at_once = engine.describe_movie(movie, descriptor).values
    tiled = engine.describe_movie(movie, descriptor, tile_yx=(64, 64))
    assert max(tiled.data.numblocks[1:3]) > 1
    np.testing.assert_allclose(tiled.values, at_once, rtol=0, atol=1e-5 * np.abs(at_once).max())
