"""Pores and data bars of pictures with known ones."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from emreel.io import open_movie
from emreel.prepare.pores import PoreError, Pores, crop_data_bar, find_data_bar
from emreel.synthetic import GrainGrowth

fewer = settings(max_examples=20, deadline=None)


def superlattice(shape, period_px=8.0, seed=0, dose=1.0):
    """A square lattice with Poisson noise, and nothing wrong with it."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = np.cos(2 * np.pi * x / period_px) * np.cos(2 * np.pi * y / period_px)
    return np.random.default_rng(seed).poisson(dose * (100 + 40 * wave)).astype(np.float32)


def with_bar(picture, height_px, background, ink):
    """The picture with a data bar under it."""
    bar = Image.new("L", (picture.shape[1], height_px), background)
    ImageDraw.Draw(bar).text((5, 2), "5.00 kV  x50 000  500 nm", fill=ink)
    return np.concatenate([picture, np.asarray(bar).astype(picture.dtype)])


def disc(shape, y, x, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - y, columns - x) <= radius


def agreement(found, truth):
    return (found & truth).sum() / max((found | truth).sum(), 1)


@fewer
@given(
    seed=st.integers(0, 999),
    radii=st.lists(st.integers(9, 20), min_size=1, max_size=3),
    dose=st.sampled_from([0.5, 1.0, 10.0]),
    offset=st.sampled_from([0.0, 500.0]),
    bright=st.booleans(),
)
def test_pores_are_found_where_they_are(seed, radii, dose, offset, bright):
    shape = (160, 180)
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, bool)
    for radius in radii:
        truth |= disc(shape, rng.integers(0, 160), rng.integers(0, 180), radius)
    frame = np.where(truth, rng.poisson(dose * 25, shape), superlattice(shape, seed=seed, dose=dose)) + offset
    frame = (1000 * dose - frame if bright else frame).astype(np.float32)
    found = Pores(smooth_px=4.0, bright=bright)(frame)
    to_edge_px = distance_transform_edt(truth) + distance_transform_edt(~truth)
    off_px = np.where(found != truth, to_edge_px, 0)
    assert np.percentile(off_px[to_edge_px < 12], 99) < 5.0, "edges are where they are, to the smoothing length"
    assert (off_px > 6.0).mean() < 0.01, "next to nothing is found elsewhere"
    assert Pores(smooth_px=4.0, bright=not bright)(frame).mean() < 0.005


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smooth_px", [2.0, 4.0, 8.0])
def test_a_specimen_without_pores_has_none(seed, smooth_px):
    frame = superlattice((200, 220), period_px=2 * smooth_px, seed=seed, dose=0.3)
    assert not Pores(smooth_px=smooth_px)(frame).any()
    assert not Pores(smooth_px=smooth_px)(np.full((50, 60), 7.0, np.float32)).any()


def test_thin_cracks_are_no_pores_and_holes_in_pores_are_filled():
    frame = superlattice((120, 120))
    frame[58:60] = 10
    assert not Pores(smooth_px=4.0)(frame).any()
    pore = disc(frame.shape, 60, 60, 22)
    frame = np.where(pore & ~disc(frame.shape, 60, 60, 2), 10, superlattice((120, 120))).astype(np.float32)
    assert Pores(smooth_px=4.0)(frame)[60, 60]


def test_invalid_pixels_carry_no_weight():
    frame = superlattice((120, 120))
    truth = disc(frame.shape, 40, 40, 14)
    frame[truth] = 20
    valid = np.random.default_rng(0).random(frame.shape) > 0.1
    pores = Pores(smooth_px=4.0)
    got = pores(np.where(valid, frame, 1e6).astype(np.float32), valid)
    np.testing.assert_array_equal(got, pores(np.where(valid, frame, -1e6).astype(np.float32), valid))
    assert agreement(got, truth) > 0.8
    assert not pores(frame, np.zeros(frame.shape, bool)).any()


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


def test_learned_levels_make_tiles_equal_the_whole():
    scene = GrainGrowth(shape_yx=(280, 260), n_grains=6, n_pores=5, n_frames=2, seed=4)
    frames = [scene.frame(i).astype(np.float32) for i in range(2)]
    pores = Pores.suggest({}, fold_over(frames))
    assert pores.levels is not None and pores.levels[1] < pores.levels[0]
    assert abs(pores.smooth_px - scene.lattice_px / 2) < 0.5
    whole = pores(frames[1])
    assert agreement(whole, scene.truth(1).labels == 0) > 0.6
    h = pores.halo
    for y, x in ((0, 0), (100, 90), (280 - 60, 260 - 50)):
        y0, x0, y1, x1 = max(y - h, 0), max(x - h, 0), y + 60 + h, x + 50 + h
        tile = pores(frames[1][y0:y1, x0:x1])
        np.testing.assert_array_equal(tile[y - y0 :, x - x0 :][:60, :50], whole[y : y + 60, x : x + 50])
    assert Pores.suggest({"smooth_px": 3.0, "levels": (100.0, 60.0)}, fold_over(frames)).levels == (100.0, 60.0)


@fewer
@given(
    bar_px=st.integers(14, 40),
    seed=st.integers(0, 99),
    tones=st.sampled_from([(0, 255), (255, 0), (0, 160)]),
)
def test_a_data_bar_is_cropped_to_the_row(bar_px, seed, tones):
    picture = np.random.default_rng(seed).integers(20, 230, (150, 200)).astype(np.uint8)
    assert find_data_bar(with_bar(picture, bar_px, *tones)) == 150
    np.testing.assert_array_equal(crop_data_bar(with_bar(picture, bar_px, *tones)), picture)


def test_what_is_no_bar_stays():
    rng = np.random.default_rng(0)
    vacuum = rng.poisson(50, (200, 150)).astype(np.float32)
    vacuum[140:] = rng.poisson(0.05, (60, 150))  # dark at the bottom, with single electrons
    slanted = np.where(np.arange(200)[:, None] + 0.2 * np.arange(150) > 170, 0, rng.integers(20, 200, (200, 150)))
    for picture in (vacuum, slanted, rng.integers(0, 255, (200, 150)), np.zeros((50, 50)), np.full((50, 50), np.nan)):
        assert find_data_bar(picture) is None
        assert crop_data_bar(picture) is picture
    empty = rng.integers(20, 200, (200, 150))
    empty[170:] = 0  # a strip, but nothing written on it
    assert find_data_bar(empty) is None


@pytest.mark.parametrize(
    "fields",
    [{"smooth_px": 0}, {"smooth_px": np.inf}, {"min_radius_px": -1}, {"levels": (1.0,)}, {"levels": (1, np.nan)}],
)
def test_nonsense_is_refused(fields):
    with pytest.raises(PoreError, match="got"):
        Pores(**fields)


@pytest.mark.data
def test_the_bar_of_a_real_micrograph(data_dir):
    picture = open_movie(str(data_dir / "real" / "bcp_fingerprint_sem.tif"))[0].values
    top = find_data_bar(picture)
    assert top is not None and 830 <= top <= 840
    assert not np.any(picture[top + 1 : top + 8, :600])  # black
    assert picture[top - 10 : top].std() > 5  # lamellae
    other = open_movie(str(data_dir / "real" / "nanocrystal_superlattice_hex.tif"))[0].values
    assert find_data_bar(other) is None
