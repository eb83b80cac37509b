from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.ring import Ring, RingError, suggest_stride
from emreel.orientation import angle_between
from emreel.synthetic import make_scene
from emreel.testing import check_descriptor

SETTLED = {"mean_counts": 200.0, "amplitude_global": 3.0}


def describe(ring, frame, valid=None):
    return ring(*pad_frame(np.asarray(frame, np.float32), ring.halo, valid))


def waves(shape_yx, angle_deg, period_px, fold):
    """A lattice whose waves lie at ``angle_deg`` and every 360 / fold degrees on."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    turns = np.deg2rad(np.asarray(angle_deg)[..., None] + 360 / fold * np.arange(fold // 2))
    phase = x[..., None] * np.cos(turns) + y[..., None] * np.sin(turns)
    return np.cos(2 * np.pi / period_px * phase).sum(axis=-1)


def fold_over(frames):
    def fold(of):
        partials = [of(frame.astype(np.float32), np.ones(frame.shape, bool)) for frame in frames]
        total = partials[0]
        for partial in partials[1:]:
            total = total + partial
        return total

    return fold


@dataclass(frozen=True, kw_only=True)
class AtOneStride:
    """A ring whose stride is no field: its working grid, not only its points, follows the stride."""

    name: ClassVar[str] = "ring_at_one_stride"
    inner: Ring

    @property
    def stride(self):
        return self.inner.stride

    @property
    def halo(self):
        return self.inner.halo

    @property
    def features(self):
        return self.inner.features

    def __call__(self, padded, valid=None):
        return self.inner(padded, valid)


@pytest.mark.parametrize(("stride", "fold"), [(1, 4), (2, 6), (3, 2)])
def test_keeps_the_laws_of_a_descriptor(stride, fold):
    ring = Ring(period_px=5.0, fold=fold, stride=stride, **SETTLED)
    # the local mean is linear between points of the working grid, which lies as far to the left as it is wide
    check_descriptor(AtOneStride(inner=ring), tolerance=1e-6, centred=stride == 1)


def test_equals_the_formula():
    """In the middle of a large frame, where nothing is covered by halves, by plain float64 convolutions."""
    period, fold = 7.0, 4
    frame = np.random.default_rng(0).poisson(200 * (1 + 0.3 * waves((160, 160), 17.0, period, fold) / 2))
    ring = Ring(period_px=period, fold=fold, stride=2, noise_power=1.0, **SETTLED)
    got = describe(ring, frame)[40, 40].astype(np.float64)

    def smooth(image, sigma_periods):
        return ndimage.gaussian_filter(image, sigma_periods * period, truncate=3.0)

    y, x = np.mgrid[:160, :160]
    mean = smooth(frame.astype(np.float64), 1.5)
    z = (frame - mean) / np.sqrt(mean)
    theta = np.pi * np.arange(ring.n_orientations) / ring.n_orientations
    taps = np.exp(-0.5 * (np.arange(-60, 61) / (ring.lockin_periods * period)) ** 2)
    noise = 4 * (np.sum(taps**2) / taps.sum() ** 2) ** 2
    energies = []
    for angle in theta:
        wave = np.exp(2j * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)))
        found = smooth((z * wave).real, ring.lockin_periods) + 1j * smooth((z * wave).imag, ring.lockin_periods)
        energies.append(smooth(4 * np.abs(found) ** 2 - noise, ring.energy_periods)[80, 80])
    energies = np.maximum(energies, 0) / ring.amplitude_global**2
    harmonics = [np.sum(energies * np.exp(1j * m * fold * theta)) for m in (1, 2)]
    bright = np.sqrt(smooth(frame.astype(np.float64), ring.intensity_periods)[80, 80] / ring.mean_counts)
    wanted = [np.sqrt(energies.sum()), bright, *(part for h in harmonics for part in (h.real, h.imag))]
    np.testing.assert_allclose(got, wanted, rtol=0.02, atol=0.02)


@settings(max_examples=12, deadline=None)
@given(
    angle=st.floats(0, 180),
    fold=st.sampled_from([2, 4, 6]),
    period=st.floats(6, 16),
    dose=st.sampled_from([3.0, 30.0, 300.0]),
)
def test_the_angle_is_that_of_the_waves_at_any_dose(angle, fold, period, dose):
    side = int(12 * period)
    wave = waves((side, side), angle, period, fold) / (fold // 2)
    frame = np.random.default_rng(1).poisson(dose * (1 + 0.5 * wave))
    ring = Ring.suggest({"period_px": period, "fold": fold}, fold_over([frame]))
    middle = slice(side // 3 // ring.stride, 2 * side // 3 // ring.stride)
    off = angle_between(ring.angle_deg(describe(ring, frame))[middle, middle], angle, fold)
    assert np.median(np.abs(off)) < 1.5 + 1.5 * (dose < 10)


@pytest.mark.parametrize(("pattern", "fold", "spacing"), [("square", 4, 1.0), ("hexagonal", 6, 3**0.5 / 2)])
def test_finds_ring_and_fold_of_a_polycrystal(pattern, fold, spacing):
    scene = make_scene("grain_growth", shape_yx=(256, 256), n_frames=4, seed=5, pattern=pattern)
    frames = [scene.frame(index) for index in range(4)]
    ring = Ring.suggest({}, fold_over(frames))
    assert ring.fold == fold
    assert ring.period_px == pytest.approx(scene.lattice_px * spacing, rel=0.03)
    assert ring.stride == suggest_stride(ring.period_px)
    features = describe(ring, frames[0])
    truth = scene.truth(0)
    inside = ndimage.distance_transform_edt(truth.labels == truth.labels[128, 128]) > 1.5 * scene.lattice_px
    at = inside[:: ring.stride, :: ring.stride]
    # a hexagonal lattice's wave vectors lie between its rows
    wanted = truth.grain_angles_deg[truth.labels[128, 128]] + (30 if fold == 6 else 0)
    off = angle_between(ring.angle_deg(features)[at], wanted, fold)
    assert at.sum() > 10 and np.abs(off).max() < 3
    assert np.median(features[..., 0]) == pytest.approx(1, abs=0.2)


def test_a_mixture_of_two_grains_is_no_third_one():
    """Its first harmonic points between both; the second tells them from a grain at that angle."""
    period = 8.0
    x = np.mgrid[:128, :128][1]
    two = waves((128, 128), np.where(x < 64, 0.0, 40.0), period, 4)
    one = waves((128, 128), 20.0, period, 4)
    ring = Ring(period_px=period, fold=4, stride=4, **SETTLED)
    between, alone = (describe(ring, 200 + 40 * wave)[16, 16] for wave in (two, one))
    angle = ring.angle_deg(between)
    assert 5 < angle < 35
    turned = np.exp(1j * 4 * np.deg2rad(20.0))
    likeness = [
        float((ring.harmonics(point) * np.conj([turned, turned**2])).real.sum() / point[0] ** 2)
        for point in (between, alone)
    ]
    assert likeness[0] < 0.2 * likeness[1]


def test_refuses_what_cannot_work():
    for fields in (
        {"period_px": 8.0, "fold": 3},
        {"period_px": 8.0, "fold": 18},
        {"period_px": 8.0, "stride": 0},
        {"period_px": 1.0},
        {"period_px": 8.0, "amplitude_global": 0.0},
    ):
        with pytest.raises(RingError, match="wanted"):
            Ring(**fields)
    flat = np.random.default_rng(0).poisson(20, (128, 128))
    with pytest.raises(RingError, match="no lattice"):
        Ring.suggest({}, fold_over([flat]))
