"""The lattice descriptor against plain double-precision convolutions, and the laws that it must keep."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.lattice import Lattice, LatticeError, suggest_stride
from emreel.descriptors.peaks import half_way
from emreel.synthetic import AmorphousFront, Detector
from emreel.testing import check_descriptor

G = ((0.11, 0.02), (-0.03, 0.12), (0.08, 0.14))
SETTLED = {"mean_counts": 200.0, "amplitude_global": 2.0, "noise_power": 1.0}


def describe(descriptor, frame, valid=None):
    return descriptor(*pad_frame(np.asarray(frame, np.float32), descriptor.halo, valid))


def amplitudes(descriptor, frame, valid=None):
    return descriptor.amplitudes(*pad_frame(np.asarray(frame, np.float32), descriptor.halo, valid))


def wave(shape_yx, g, phase=0.0):
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    return np.cos(2 * np.pi * (g[0] * y + g[1] * x) + phase)


# The oracle: every step written out as a two-dimensional convolution in float64, at stride 1.


def gaussian_2d(sigma):
    t = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    row = np.exp(-(t**2) / 2 / sigma**2)
    kernel = np.outer(row, row)
    return kernel / kernel.sum(), t


def covered_mean(image, weight, sigma):
    kernel, _ = gaussian_2d(sigma)
    over, under = (convolve2d(a, kernel, mode="same") for a in (image * weight, weight))
    return np.divide(over, under, out=np.zeros_like(over), where=under > 1e-6)


def oracle(lattice, frame, valid):
    d, weight = lattice.period_px, valid.astype(float)
    counts = np.where(valid, frame.astype(float), 0)
    mean = covered_mean(counts, weight, lattice.mean_periods * d)
    least = 0.01 * (lattice.mean_counts - lattice.zero_counts)
    z = (counts - mean) / np.sqrt(np.maximum(mean - lattice.zero_counts, least)) * weight
    strengths = [np.sqrt(np.maximum(energy, 0)) for energy in energies(lattice, lattice.g_vectors, z, weight)]
    total = sum(a**2 for a in strengths)
    reach = round(lattice.contrast_periods * d)
    around = np.pad(total * weight, reach)
    size = 2 * reach + 1
    strongest = np.lib.stride_tricks.sliding_window_view(around, (size, size)).max(axis=(2, 3))
    contrast = np.sqrt(strongest + (lattice.contrast_floor * lattice.amplitude_global) ** 2)
    scaled = [a / contrast for a in strengths]
    alike = mean_of_alike(np.minimum(np.sqrt(total) / contrast, 1), counts, weight, lattice)
    intensity = lattice.intensity_weight * np.log(np.maximum(alike - lattice.zero_counts, least))
    watched = (
        np.maximum(sum(energies(lattice, lattice.watched_g_vectors, z, weight)), 0)
        / contrast**2
        * sum(a**2 for a in scaled)
    )
    return np.stack([*scaled, intensity], -1), watched


def energies(lattice, g_vectors, z, weight):
    kernel, t = gaussian_2d(lattice.lockin_periods * lattice.period_px)
    cover = convolve2d(weight, kernel, mode="same")
    for gy, gx in g_vectors:
        reference = np.exp(2j * np.pi * (gy * t[:, None] + gx * t[None, :]))
        lockin = convolve2d(z, kernel * reference, mode="same") / cover
        energy = 4 * np.abs(lockin) ** 2 - 4 * lattice.noise_power * np.sum(kernel**2) / cover
        yield covered_mean(energy, weight, lattice.energy_periods * lattice.period_px)


def mean_of_alike(guide, counts, weight, lattice):
    fine, _ = gaussian_2d(0.5 * lattice.period_px)
    total, cover = (convolve2d(a, fine, mode="same") * weight for a in (counts * weight, weight))
    wide, _ = gaussian_2d(lattice.intensity_periods * lattice.period_px)
    over, under = np.zeros_like(guide), np.zeros_like(guide)
    for level in np.linspace(0, 1, 9):
        share = np.maximum(1 - np.abs(guide - level) * 8, 0)
        over += share * convolve2d(total * share, wide, mode="same")
        under += share * convolve2d(cover * share, wide, mode="same")
    return over / under


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_direct_convolution(seed):
    rng = np.random.default_rng(seed)
    image = 200 * (1 + 0.2 * wave((47, 53), G[0]) + 0.1 * wave((47, 53), G[1]) * (np.arange(53) > 25))
    frame = rng.poisson(image).astype(np.float32)
    valid = rng.random(frame.shape) > 0.03
    valid[20] = False
    watched = ((0.055, 0.01), (0.04, -0.2))
    lattice = Lattice(
        g_vectors=G,
        watched_g_vectors=watched,
        period_px=4.3,
        stride=1,
        intensity_weight=0.7,
        zero_counts=5.0,
        **SETTLED,
    )

    got, strange = lattice.watch(*pad_frame(frame, lattice.halo, valid))

    wanted, wanted_strange = oracle(lattice, frame, valid)
    np.testing.assert_array_equal(got, describe(lattice, frame, valid))
    np.testing.assert_allclose(strange[valid], wanted_strange[valid], atol=1e-5)
    assert wanted_strange[valid].max() > 0.01
    # the square root near no energy at all magnifies float32's rounding
    np.testing.assert_allclose(got[valid], wanted[valid], atol=2e-3)
    assert np.sqrt(np.mean((got[valid] - wanted[valid]) ** 2)) < 2e-5


# What the amplitudes mean.


@settings(max_examples=10, deadline=None)
@given(
    contrast=st.floats(0.02, 0.2),
    phase=st.floats(0, 6.28),
    period_px=st.floats(6, 15),
    angle=st.floats(0, np.pi),
    stride=st.integers(1, 4),
)
def test_amplitudes_are_those_of_the_wave_and_linear_in_contrast(contrast, phase, period_px, angle, stride):
    g = (float(np.sin(angle)) / period_px, float(np.cos(angle)) / period_px)
    lattice = Lattice(
        g_vectors=(g,), period_px=period_px, stride=stride, mean_counts=100.0, noise_power=0.0, mean_periods=2.0
    )
    pattern = wave((90, 80), g, phase)
    once, twice = (amplitudes(lattice, 100 * (1 + c * pattern))[..., 0] for c in (contrast, 2 * contrast))
    np.testing.assert_allclose(twice, 2 * once, rtol=0.03)
    np.testing.assert_allclose(once, contrast * 10, rtol=0.06)  # z = f - m over sqrt(m), up to the frame's edge


def test_a_constant_adds_nothing_but_its_shot_noise():
    pattern = 20 * wave((80, 80), G[0])
    lattice = Lattice(g_vectors=G, period_px=8.0, stride=2, noise_power=0.0)
    near = amplitudes(replace(lattice, mean_counts=100.0), 100 + pattern)
    for level in (1000.0, 30000.0):
        far = amplitudes(replace(lattice, mean_counts=level), level + pattern)
        np.testing.assert_allclose(far[..., 0] * np.sqrt(level / 100), near[..., 0], rtol=0.03)


def test_edges_and_dead_pixels_do_not_dim():
    lattice = Lattice(
        g_vectors=G[:2], period_px=8.5, stride=4, noise_power=0.0, mean_counts=100.0, amplitude_global=1.0
    )
    frame = 100 * (1 + 0.1 * wave((120, 120), G[0]) + 0.1 * wave((120, 120), G[1]))
    valid = np.ones(frame.shape, bool)
    valid[60:64] = False
    valid[20:32, 70:80] = False
    valid &= np.random.default_rng(0).random(frame.shape) > 0.02
    frame[~valid] = 1e4
    found = amplitudes(lattice, frame, valid)
    inside = valid[::4, ::4]
    np.testing.assert_allclose(found[inside], 1.0, rtol=0.1)
    log_counts = describe(lattice, frame, valid)[..., -1]
    np.testing.assert_allclose(log_counts[inside], np.log(100), atol=0.01)


def test_noise_leaves_nothing_on_average():
    rng = np.random.default_rng(8)
    lattice = Lattice(g_vectors=G[:1], period_px=8.0, stride=4, mean_counts=30.0)
    noise = rng.poisson(30, (400, 400))
    signal = rng.poisson(30 * (1 + 0.1 * wave(noise.shape, G[0])))
    assert np.mean(amplitudes(lattice, noise) ** 2) < 0.5 * np.mean(
        amplitudes(replace(lattice, noise_power=0.0), noise) ** 2
    )
    assert np.mean(amplitudes(lattice, signal) ** 2) == pytest.approx(0.1**2 * 30, rel=0.03)


def test_a_bright_crystal_does_not_shine_into_its_neighbour():
    frame = np.full((160, 160), 100.0)
    frame[80:] = 200 * (1 + 0.2 * wave((80, 160), G[0]))
    frame = np.random.default_rng(1).poisson(frame)
    lattice = Lattice(g_vectors=G[:1], period_px=8.0, stride=4, mean_counts=150.0, amplitude_global=2.5)
    log_counts = describe(lattice, frame)[..., -1].mean(axis=1)
    rows = np.arange(0, 160, 4)
    plain = np.log(
        100
        + 100 * np.array([np.mean(rows[i] + 16 * np.random.default_rng(2).normal(size=4000) >= 80) for i in range(40)])
    )
    dark = (rows > 52) & (rows <= 68)
    assert np.all(log_counts[dark] < plain[dark])
    assert np.abs(log_counts[dark] - np.log(100)).max() < 0.1


def test_local_contrast_evens_out_a_fading_crystal():
    fading = np.linspace(0.4, 1.0, 200)[None, :]
    frame = 100 * (1 + 0.3 * fading * wave((100, 200), G[0]))
    lattice = Lattice(
        g_vectors=G[:1], period_px=8.0, stride=4, noise_power=0.0, mean_counts=100.0, amplitude_global=2.0
    )
    raw, scaled = amplitudes(lattice, frame)[12, 5:-5, 0], describe(lattice, frame)[12, 5:-5, 0]
    assert raw.max() / raw.min() > 2
    assert scaled.max() / scaled.min() < 1.5
    assert scaled.max() < 1


@pytest.mark.parametrize("level", [20.0, 2000.0])
def test_what_is_watched_shows_at_the_watched_places_only(level):
    known = 0.2 * wave((120, 240), (0.0, 0.125)) + 0.2 * wave((120, 240), (0.125, 0.0))
    doubled = 0.2 * wave((120, 240), (0.0625, 0.0625)) * (np.arange(240) >= 120)
    frame = np.random.default_rng(4).poisson(level * (1 + known + doubled)).astype(np.float32)
    lattice = Lattice(
        g_vectors=((0.0, 0.125), (0.125, 0.0)), watched_g_vectors=half_way(((0.0, 0.125), (0.125, 0.0))), period_px=8.0,
        mean_counts=level, amplitude_global=float(np.sqrt(0.08 * level)),
    )  # fmt: skip
    _, strange = lattice.watch(*pad_frame(frame, lattice.halo))
    assert np.median(strange[:, :26]) < 0.02
    # half of the energy that both reflections have together, both over 1 + 0.7^2 times theirs
    assert np.median(strange[:, 34:]) == pytest.approx(0.5 / 1.49 / 1.49, rel=0.15)
    assert not replace(lattice, watched_g_vectors=()).watches and lattice.watches


# The protocol.


@dataclass(frozen=True, kw_only=True)
class AtOneStride:
    """A lattice descriptor whose stride is no field: its working grid, not only its points, follows the stride."""

    name: ClassVar[str] = "lattice_at_one_stride"
    inner: Lattice

    @property
    def stride(self):
        return self.inner.stride

    @property
    def halo(self):
        return self.inner.halo

    @property
    def features(self):
        return self.inner.features

    @property
    def watches(self):
        return self.inner.watches

    def __call__(self, padded, valid=None):
        return self.inner(padded, valid)

    def watch(self, padded, valid=None):
        return self.inner.watch(padded, valid)


@pytest.mark.parametrize("g_vectors", [G, ()])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_keeps_the_laws_of_a_descriptor_to_the_bit(stride, g_vectors):
    lattice = Lattice(
        g_vectors=g_vectors,
        watched_g_vectors=half_way(g_vectors),
        period_px=5.0,
        stride=stride,
        plain_log_counts=5.3,
        plain_noise=0.01,
        **SETTLED,
    )
    # how far a local maximum is seen depends on the values, so the reach has no middle: see the mirrored frame
    check_descriptor(lattice if stride == 1 else AtOneStride(inner=lattice), centred=False)


@pytest.mark.parametrize(("axis", "turned"), [(0, (-1, 1)), (1, (1, -1))])
def test_a_mirrored_frame_gives_mirrored_features(axis, turned):
    frame = np.random.default_rng(3).poisson(100 * (1 + 0.3 * wave((81, 97), G[0]))).astype(np.float32)
    lattice = Lattice(g_vectors=G, period_px=8.0, stride=4, **SETTLED)
    mirrored = replace(lattice, g_vectors=tuple((gy * turned[0], gx * turned[1]) for gy, gx in G))
    got = np.flip(describe(mirrored, np.flip(frame, axis)), axis)
    np.testing.assert_allclose(got, describe(lattice, frame), atol=1e-3)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_strides_agree_as_far_as_the_working_grid_goes(stride):
    frame = np.random.default_rng(3).poisson(100 * (1 + 0.3 * wave((90, 110), G[0]) * (np.arange(110) > 50)))
    coarse = Lattice(g_vectors=G, period_px=8.0, stride=stride, **SETTLED)
    fine = replace(coarse, stride=1)
    apart = describe(coarse, frame) - describe(fine, frame)[::stride, ::stride]
    assert np.abs(apart).max() < 0.05
    assert np.sqrt(np.mean(apart**2)) < 0.01


@pytest.mark.parametrize(
    "fields",
    [
        {"stride": 0},
        {"stride": 2.5},
        {"period_px": 0.0},
        {"period_px": float("nan")},
        {"energy_periods": -1.0},
        {"g_vectors": ((0.0, 0.0),)},
        {"g_vectors": ((0.7, 0.7),)},
        {"watched_g_vectors": ((0.0, 0.0),)},
    ],
)
def test_impossible_fields_are_refused(fields):
    with pytest.raises(LatticeError, match="wanted"):
        Lattice(**fields)


def test_stride_is_half_a_period():
    assert [suggest_stride(period) for period in (1.5, 5.0, 8.3, 12.0, 39.0)] == [1, 2, 4, 6, 8]


# What it learns from a movie.


def fold_over(frames):
    valid = np.ones(frames[0].shape, bool)

    def fold(of):
        total = of(frames[0], valid)
        for frame in frames[1:]:
            total = total + of(frame, valid)
        return total

    return fold


@pytest.fixture(scope="module")
def front_frames():
    scene = AmorphousFront(shape_yx=(192, 192), n_frames=9, seed=5, detector=Detector(dose=20.0))
    return scene, [scene.frame(i).astype(np.float32) for i in (0, 4, 8)]


def test_suggest_learns_the_movie(front_frames):
    scene, frames = front_frames
    lattice = Lattice.suggest({}, fold_over(frames))
    lattice_px = scene.lattice_nm / scene.pixel_size_nm
    squares = (np.hypot(*np.transpose(lattice.g_vectors)) * lattice_px) ** 2
    assert np.abs(squares - np.rint(squares)).max() < 0.02 * squares.max()
    assert lattice.stride == suggest_stride(lattice.period_px)
    assert lattice.watched_g_vectors == half_way(lattice.g_vectors)
    assert lattice.mean_counts == pytest.approx(np.mean(frames), rel=1e-5)
    assert lattice.zero_counts == 0
    assert lattice.noise_power == pytest.approx(1.0, rel=0.2)  # counted electrons
    values = np.concatenate([describe(lattice, frame).reshape(-1, len(lattice.features)) for frame in frames])
    spread = values.std(axis=0)
    assert spread[-1] == pytest.approx(0.5 * np.sqrt(np.sum(spread[:-1] ** 2)), rel=0.05)


def test_suggest_keeps_what_is_given(front_frames):
    given = {"stride": 3, "noise_power": 0.5, "intensity_weight": 0.25, "mean_counts": 7.0}
    lattice = Lattice.suggest(given, fold_over(front_frames[1]))
    assert {name: getattr(lattice, name) for name in given} == given
    again = Lattice.suggest({name: getattr(lattice, name) for name in (field.name for field in fields(lattice))}, None)
    assert again == lattice


def test_amplitudes_tell_film_from_amorphous(front_frames):
    scene, frames = front_frames
    lattice = Lattice.suggest({}, fold_over(frames))
    labels = scene.truth(4).labels[:: lattice.stride, :: lattice.stride]
    total = np.sqrt(np.sum(describe(lattice, frames[1])[..., :-1] ** 2, axis=-1))
    assert np.mean((total > 0.5) == (labels >= 2)) > 0.95


def test_without_a_lattice_one_small_particle_outweighs_the_noise():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    particle = np.hypot(y - 60, x - 130) < 9
    frames = [rng.poisson(np.where(particle, 15, 20)).astype(np.float32) for _ in range(3)]
    lattice = Lattice.suggest({}, fold_over(frames))
    assert lattice.g_vectors == ()
    assert [feature.name for feature in lattice.features] == ["log_counts"]
    found = describe(lattice, frames[0])[..., 0]
    inside = particle[:: lattice.stride, :: lattice.stride]
    away = np.hypot(y - 60, x - 130)[:: lattice.stride, :: lattice.stride] > 25
    assert np.mean(found[away] == 0) > 0.99
    assert found[inside].mean() < -0.05


def test_shifted_zero_is_found():
    rng = np.random.default_rng(1)
    frames = [(rng.normal(0, 1, (128, 128)) - 50).astype(np.float32) for _ in range(2)]
    lattice = Lattice.suggest({}, fold_over(frames))
    assert lattice.zero_counts < -50
    assert np.isfinite(describe(lattice, frames[0])).all()
