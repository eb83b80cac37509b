"""Peaks of the mean spectrum: where the lattice is, and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.peaks import find_peaks, half_way, learn_peaks, measure_period
from emreel.descriptors.welch import SpectrumError, SpectrumSums


def fold_over(frames, valids=None):
    """The fold that a fit hands over, in memory."""
    masks = [np.ones(frame.shape, bool) for frame in frames] if valids is None else valids

    def fold(of):
        partials = [of(np.asarray(frame, np.float32), valid) for frame, valid in zip(frames, masks, strict=True)]
        total = partials[0]
        for one in partials[1:]:
            total = total + one
        return total

    return fold


def square_lattice(shape_yx, period_px, angle_deg, contrast=0.3):
    """1 + two crossed waves, shape_yx; g vectors of both, cycles/px."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]].astype(float)
    angles = np.deg2rad([angle_deg, angle_deg + 90])
    g_yx = np.stack([np.sin(angles), np.cos(angles)], axis=1) / period_px
    waves = sum(np.cos(2 * np.pi * (gy * y + gx * x)) for gy, gx in g_yx)
    return 1 + contrast * waves, g_yx


def speckle(shape_yx, frequency, width, rng):
    """Amorphous structure: noise filtered to a ring of the spectrum, unit variance."""
    k = np.hypot(np.fft.fftfreq(shape_yx[0])[:, None], np.fft.fftfreq(shape_yx[1])[None, :])
    ring = np.exp(-((k - frequency) ** 2) / 2 / width**2)
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape_yx)) * ring).real
    return field / field.std()


def distance(found, wanted):
    """Relative distance of a g vector to the nearest of several, or of their opposites."""
    both = np.concatenate([wanted, -wanted])
    return np.min(np.hypot(*(both - found).T)) / np.hypot(*found)


@settings(max_examples=15, deadline=None)
@given(
    period_px=st.floats(4.0, 30.0),
    angle_deg=st.floats(0, 90),
    dose=st.sampled_from([2.0, 30.0, 500.0]),
    seed=st.integers(0, 1000),
)
def test_peaks_lie_on_a_drawn_lattice(period_px, angle_deg, dose, seed):
    image, g_yx = square_lattice((300, 280), period_px, angle_deg)
    rng = np.random.default_rng(seed)
    frames = [rng.poisson(dose * image) for _ in range(3)]

    peaks = learn_peaks(fold_over(frames))

    assert len(peaks) == 2
    for found in peaks.g_yx:
        assert distance(found, g_yx) < 0.01
    assert peaks.period_px == pytest.approx(period_px, rel=0.01)
    assert np.all((peaks.g_yx[:, 0] > 0) | ((peaks.g_yx[:, 0] == 0) & (peaks.g_yx[:, 1] > 0)))


@settings(max_examples=30, deadline=None)
@given(
    first=st.floats(0.06, 0.2),
    ratio=st.floats(1.0, 1.6),
    between_deg=st.floats(60, 90),
    turn_deg=st.floats(0, 180),
    seed=st.integers(0, 1000),
)
def test_half_way_lies_every_doubled_cell_and_no_reflection(first, ratio, between_deg, turn_deg, seed):
    angles = np.deg2rad([turn_deg, turn_deg + between_deg])
    basis = np.stack([np.sin(angles), np.cos(angles)], axis=1) * first * np.array([[1.0], [ratio]])
    orders = np.array([(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2)])
    reflections = orders @ basis * np.random.default_rng(seed).choice([-1, 1], (6, 1))
    reflections += np.random.default_rng(seed).normal(0, 2e-4, (6, 2))

    found = np.array(half_way(reflections))

    steps = found @ np.linalg.inv(basis)
    assert len(found) <= 6 and np.abs(2 * steps - np.rint(2 * steps)).max() < 0.05
    # the three ways to double a cell: along one side, along the other, along both
    odd = {tuple(pair) for pair in np.rint(2 * steps).astype(int) % 2}
    assert odd == {(0, 1), (1, 0), (1, 1)}
    assert np.all((found[:, 0] > 0) | ((found[:, 0] == 0) & (found[:, 1] > 0)))


def test_nothing_lies_half_way_between_no_reflections():
    assert half_way(np.zeros((0, 2))) == ()


def test_a_long_period_gets_a_larger_tile():
    image, g_yx = square_lattice((700, 700), 39.0, 3.0)
    frame = np.random.default_rng(0).poisson(20 * image)
    peaks = learn_peaks(fold_over([frame]))
    assert len(peaks) == 2
    assert max(distance(found, g_yx) for found in peaks.g_yx) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_amorphous_structure_have_no_peaks(seed):
    rng = np.random.default_rng(seed)
    shape = (300, 260)
    everywhere = speckle(shape, 0.1, 0.02, rng)
    patch = np.zeros(shape)
    patch[60:200, 50:220] = 1
    for image in (np.ones(shape), 1 + 0.2 * everywhere, 1 + patch * (0.5 + 0.2 * everywhere), 1 + 2 * patch):
        frames = [rng.poisson(20 * np.maximum(image, 0)) for _ in range(3)]
        peaks = learn_peaks(fold_over(frames))
        assert len(peaks) == 0
        assert peaks.period_px is None


def test_small_frames_of_noise_have_no_peaks():
    rng = np.random.default_rng(4)
    for side in (40, 64, 100, 150):
        for _ in range(10):
            frame = rng.poisson(20, (side, side))
            assert measure_period(SpectrumSums.of(frame)) is None


def test_scan_noise_and_curtains_are_no_peaks_but_a_lattice_on_the_axes_is():
    rng = np.random.default_rng(7)
    shape = (320, 320)
    lines = [1 + 0.1 * rng.normal(size=(shape[0], 1)) + 0.05 * rng.normal(size=(1, shape[1])) for _ in range(4)]
    assert len(learn_peaks(fold_over([rng.poisson(30 * line * np.ones(shape)) for line in lines]))) == 0

    image, g_yx = square_lattice(shape, 9.7, 0.0)
    peaks = learn_peaks(fold_over([rng.poisson(30 * line * image) for line in lines]))
    assert len(peaks) == 2
    assert max(distance(found, g_yx) for found in peaks.g_yx) < 0.01


def test_a_polycrystal_has_a_ring():
    rng = np.random.default_rng(3)
    shape = (384, 384)
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = rng.uniform(0, 384, (40, 2))
    grain = np.argmin((y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2, axis=-1)
    image = np.ones(shape)
    for index, angle in enumerate(rng.uniform(0, 90, 40)):
        image[grain == index] = square_lattice(shape, 11.0, angle)[0][grain == index]
    peaks = learn_peaks(fold_over([rng.poisson(20 * np.maximum(image, 0)) for _ in range(3)]))
    assert len(peaks) == 0
    assert peaks.period_px == pytest.approx(11.0, rel=0.03)


def test_white_noise_has_its_variance_as_power_and_sums_add():
    rng = np.random.default_rng(5)
    frames = [rng.normal(100, 3, (256, 300)) for _ in range(3)]
    one, two, three = (SpectrumSums.of(frame) for frame in frames)
    total = one + two + three
    assert total.mean_power()[20:60, 20:60].mean() == pytest.approx(9.0, rel=0.03)
    assert total.n_frames == 3
    assert total.n_tiles == 3 * one.n_tiles
    np.testing.assert_allclose(total.power, one.power + two.power + three.power, rtol=1e-12)
    k = np.arange(1, 128)
    np.testing.assert_allclose(total.power[k][:, k], total.power[128 - k][:, 128 - k], rtol=1e-9)


def test_spectra_of_different_tiles_do_not_add():
    frame = np.ones((64, 64))
    with pytest.raises(SpectrumError, match="Use one tile_px"):
        SpectrumSums.of(frame, tile_px=32) + SpectrumSums.of(frame, tile_px=64)


def test_invalid_pixels_carry_no_weight():
    image, g_yx = square_lattice((256, 256), 8.0, 20.0)
    rng = np.random.default_rng(2)
    frame = rng.poisson(20 * image).astype(np.float32)
    valid = rng.random(frame.shape) > 0.02
    spoilt = np.where(valid, frame, np.float32(1e6))
    peaks = find_peaks(SpectrumSums.of(spoilt, valid))
    assert len(peaks) == 2
    assert max(distance(found, g_yx) for found in peaks.g_yx) < 0.01
    assert np.array_equal(SpectrumSums.of(spoilt, valid).power, SpectrumSums.of(np.where(valid, frame, 0), valid).power)


def test_a_dead_frame_shows_nothing():
    frame = np.full((128, 128), np.nan, np.float32)
    spectrum = SpectrumSums.of(frame, np.zeros(frame.shape, bool))
    assert spectrum.n_tiles == 0
    assert measure_period(spectrum) is None


# Squared frequencies of the reflections, in units of the lattice_px that the movie's description tells.
SQUARE = [h * h + k * k for h in range(4) for k in range(4) if h or k]
FCC = [q * 3 / 8 for q in (3, 4, 8, 11, 12)]  # along [110], lattice_px = a sqrt(3/8)
# five twins that close the circle: rows along the twin planes keep their length, the angle between them is 72 deg
FOLDED = [q / np.sin(2 * np.pi / 5) ** 2 for q in (1, 4 * np.sin(np.pi / 5) ** 2, 4 * np.cos(np.pi / 5) ** 2)]
FILM = [h * h + (k / 1.0105) ** 2 for h in range(4) for k in range(4) if h or k]  # strained along its growth


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "squares"),
    [
        ("front_lfo_sto", SQUARE + FILM),
        ("nasty_front", SQUARE + FILM),
        ("twin_lamella", FCC),
        ("decahedron_axis", FOLDED),
        ("order_disorder", SQUARE),
    ],
)
def test_peaks_of_the_movies_lie_within_one_per_cent(data_dir, name, squares):
    movie = np.load(data_dir / name / "movie.npz")["frames"]
    movie = movie[[0, 7, 14, 21, 28, 35]].astype(np.float32)
    valid = np.isfinite(movie) & (movie < 20 * np.nanmedian(movie) + 200)
    lattice_px = json.loads((data_dir / name / "meta.json").read_text())["lattice_px"]

    peaks = learn_peaks(fold_over(np.where(valid, movie, 0), valid))

    assert len(peaks) >= 4
    reflections = np.sqrt(squares) / lattice_px
    for g in np.hypot(*peaks.g_yx.T):
        assert np.min(np.abs(reflections / g - 1)) < 0.01


@pytest.mark.data
def test_the_grain_movie_has_a_ring(data_dir):
    movie = np.load(data_dir / "grain_growth" / "movie.npz")["frames"][::10]
    peaks = learn_peaks(fold_over(movie))
    assert len(peaks) == 0
    assert peaks.period_px == pytest.approx(11.5, rel=0.01)
