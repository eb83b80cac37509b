"""The Gabor bank: the laws of a descriptor, its formula, what it is blind to, what it learns from a movie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from emreel.descriptors.gabor import PUBLISHED_WAVELENGTHS_PX, GaborBank, GaborError, suggest_wavelengths
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.peaks import Peaks
from emreel.descriptors.registry import build_descriptor, describe_descriptor, suggest_descriptor
from emreel.fit import fit_model
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe
from emreel.synthetic import Decahedron, Detector, Optics
from emreel.testing import check_descriptor
from emreel.view.confusion import compare_labels

#: The published bank and nothing around it, on few filters.
PLAIN = {"flatten": "none", "smooth_periods": 0.0, "contrast_periods": 0.0}
SMALL = {"wavelengths_px": (4.3, 9.3), "n_orientations": 5, "period_px": 6.0, "mean_counts": 200.0, "power_global": 4.0}


@dataclass(frozen=True, kw_only=True)
class AtOneStride:
    """A bank whose stride is no field: the grid on which powers are smoothed follows the stride, too."""

    name: ClassVar[str] = "gabor_at_one_stride"
    inner: GaborBank

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

    def project(self, padded, mean, components, valid=None):
        return self.inner.project(padded, mean, components, valid)


def describe(bank, frame, valid=None):
    return bank(*pad_frame(np.asarray(frame, np.float32), bank.halo, valid))


def wave(shape_yx, wavelength_px, angle_rad):
    y, x = np.indices(shape_yx)
    return np.cos(2 * np.pi * (x * np.cos(angle_rad) + y * np.sin(angle_rad)) / wavelength_px + 0.7)


# the reach in the check is where differences fall below the tolerance, which has no middle: see the mirrored frame


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_the_plain_bank_keeps_the_laws_at_every_stride(stride):
    check_descriptor(GaborBank(stride=stride, **PLAIN, **SMALL), tolerance=1e-5, centred=False)


@pytest.mark.parametrize(
    ("stride", "fields"),
    [
        (1, {}),
        (2, {"measure": "magnitude", "noise_power": 1.0, "noise_spread": 0.3}),
        (3, {"flatten": "log", "intensity_weight": 0.5}),
        (4, {"flatten": "ratio", "smooth_periods": 0.0}),
    ],
)
def test_the_whole_descriptor_keeps_the_laws(stride, fields):
    bank = GaborBank(stride=stride, **SMALL, **fields)
    check_descriptor(AtOneStride(inner=bank) if stride > 1 else bank, tolerance=1e-5, centred=False)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_strides_agree_inside_the_frame(stride):
    rng = np.random.default_rng(0)
    frame = rng.poisson(100 * (1 + 0.4 * wave((150, 160), 6.1, 0.4) * (np.arange(160) > 80)))
    coarse = GaborBank(stride=stride, wavelengths_px=(5.0, 6.1), n_orientations=6, period_px=9.0, mean_counts=100.0)
    got, wanted = describe(coarse, frame), describe(replace(coarse, stride=1), frame)[::stride, ::stride]
    inner = np.s_[48 // stride : 100 // stride, 48 // stride : 110 // stride]
    assert np.abs(got - wanted)[inner].max() < 0.02 * wanted.max()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_frame_gives_mirrored_features(axis):
    frame = np.random.default_rng(3).poisson(100 * (1 + 0.3 * wave((81, 97), 6.3, 0.5)))
    bank = GaborBank(stride=4, wavelengths_px=(6.3,), n_orientations=8, period_px=6.3, mean_counts=100.0)
    turned = [(8 - k) % 8 for k in range(8)]
    got = np.flip(describe(bank, np.flip(frame, axis)), axis)[..., turned]
    np.testing.assert_allclose(got, describe(bank, frame), atol=2e-4 * got.max())


def test_power_of_a_wave_is_its_squared_amplitude_up_to_the_frames_edge():
    frame = 200 + 30 * wave((96, 90), 6.0, np.pi / 6)
    bank = GaborBank(wavelengths_px=(6.0,), n_orientations=6, stride=2, measure="power", mean_counts=200.0, **PLAIN)
    got = describe(bank, frame)
    assert np.allclose(got[8:-8, 8:-8, 1], 900, rtol=0.02)
    assert np.all(np.abs(got[..., 1] - 900) < 0.35 * 900)
    assert np.all(got.argmax(axis=-1) == 1)
    half = describe(replace(bank, measure="magnitude"), frame)
    np.testing.assert_allclose(half**2, got, rtol=1e-4, atol=1e-3)


def test_dead_pixels_hardly_change_a_wave():
    frame = 200 + 30 * wave((96, 90), 6.0, np.pi / 6)
    bank = GaborBank(wavelengths_px=(6.0,), n_orientations=6, stride=2, measure="power", mean_counts=200.0, **PLAIN)
    valid = np.random.default_rng(0).random(frame.shape) > 0.02
    whole, holed = describe(bank, frame), describe(bank, np.where(valid, frame, 1e6), valid)
    assert np.abs(holed - whole)[8:-8, 8:-8].max() < 0.15 * 900


def test_local_contrast_makes_thickness_cancel():
    y, x = np.indices((120, 160))
    thickness = 1 + 7 * x / 160
    frame = 50 * thickness * (1 + 0.4 * wave(y.shape, 6.0, 0.0))
    bank = GaborBank(wavelengths_px=(6.0,), n_orientations=6, period_px=6.0, stride=4, mean_counts=100.0)
    raw = describe(replace(bank, contrast_periods=0.0), frame)[8:-8, 8:-8, 0]
    even = describe(replace(bank, power_global=float(raw.max())), frame)[8:-8, 8:-8, 0]
    assert raw.max() / raw.min() > 2.5  # shot noise is even, so power goes with thickness
    assert even.max() / even.min() < 1.15


def test_noise_alone_has_no_power_and_stays_far_from_a_crystal():
    rng = np.random.default_rng(0)
    frame = rng.poisson(20 * (1 + 0.5 * wave((192, 192), 5.0, 0.3) * (np.arange(192) > 96)))
    fields = {"intensity_share": 0.0, "n_orientations": 12}
    bank = suggest_descriptor("gabor", fields, lambda of: of(frame.astype(np.float32), frame >= 0))
    total = describe(bank, frame).sum(axis=-1)
    left, right = total[:, : 64 // bank.stride], total[:, 120 // bank.stride :]
    assert abs(left.mean()) < 0.15 * right.mean()
    assert np.quantile(left, 0.95) < 0.5 * np.median(right)


def test_intensity_is_the_last_feature_and_only_when_it_counts():
    bank = GaborBank(stride=4, **SMALL)
    bright = replace(bank, intensity_weight=0.5)
    assert len(bank.features) == 10 and len(bright.features) == 11 and bright.features[-1].name == "log_counts"
    frame = np.full((60, 60), 200.0)
    frame[:, 30:] = 400.0
    got = describe(bright, frame)[..., -1]
    np.testing.assert_allclose(got[:, [0, -1]], 0.5 * np.log([[1.0, 2.0]] * 15), atol=1e-3)


def test_the_published_bank_has_252_filters():
    bank = GaborBank()
    assert len(bank.features) == 252 and PUBLISHED_WAVELENGTHS_PX == (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
    assert bank.features[36 + 1].name == "fringe 4.5 px 5 deg"
    assert {round(band.across_px / band.along_px, 6) for band in bank.bands} == {2.0}


@pytest.mark.parametrize(
    ("spacings", "low", "high"), [((5.0, 3.0), 3 / 1.1, 5.5), ((6.0,), 6 / 1.5**0.5, 6 * 1.5**0.5), ((2.3,), 2.2, 3.3)]
)
def test_wavelengths_hold_every_spacing(spacings, low, high):
    g_yx = np.array([[1 / s, 0.0] for s in spacings])
    found = suggest_wavelengths(Peaks(g_yx, np.ones(len(g_yx)), np.zeros(len(g_yx))))
    assert len(found) == 7 and found[0] == pytest.approx(low) and found[-1] == pytest.approx(high)


def test_without_a_lattice_the_published_wavelengths_stand():
    nothing = Peaks(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    assert suggest_wavelengths(nothing) == PUBLISHED_WAVELENGTHS_PX
    assert (
        suggest_wavelengths(replace(nothing, ring_period_px=10.0))[0]
        < 10
        < suggest_wavelengths(replace(nothing, ring_period_px=10.0))[-1]
    )
    frame = np.random.default_rng(0).poisson(50, (96, 100)).astype(np.float32)
    bank = suggest_descriptor("gabor", {"n_orientations": 9}, lambda of: of(frame, np.ones(frame.shape, bool)))
    assert bank.wavelengths_px == PUBLISHED_WAVELENGTHS_PX
    assert np.isfinite(describe(bank, frame)).all()


def test_given_fields_are_kept_and_the_rest_is_learned():
    frame = np.random.default_rng(0).poisson(50 * (1 + 0.3 * wave((128, 128), 6.0, 0.3))).astype(np.float32)

    def fold(of):
        return of(frame, np.ones(frame.shape, bool))

    bank = suggest_descriptor("gabor", {"stride": 5, "n_orientations": 12, "sigma_wavelengths": 0.7}, fold)
    assert (bank.stride, bank.n_orientations, bank.sigma_wavelengths) == (5, 12, 0.7)
    assert bank.wavelengths_px[0] < 6 < bank.wavelengths_px[-1]
    assert bank.mean_counts == pytest.approx(50, rel=0.01)
    assert bank.noise_power == pytest.approx(1 / 1.25, abs=0.12)  # shot noise over the root of m + M / 4
    described = describe_descriptor(bank)
    assert build_descriptor(described.pop("name"), described) == bank


def test_filters_grow_longer_in_noise():
    clean, noisy = (
        np.random.default_rng(0).poisson(dose * (1 + 0.5 * wave((128, 128), 6.0, 0.3))).astype(np.float32)
        for dose in (100, 0.7)
    )
    fields = {"wavelengths_px": (5.0, 6.0, 7.0), "period_px": 6.0, "n_orientations": 12}
    sigma = [
        suggest_descriptor("gabor", fields, lambda of, f=f: of(f, np.ones(f.shape, bool))).sigma_wavelengths
        for f in (clean, noisy)
    ]
    assert sigma[0] == pytest.approx(0.56) and sigma[1] > 0.7


def test_intensity_is_learned_where_layers_differ_in_it_alone():
    rng = np.random.default_rng(0)
    lattice = 0.4 * wave((160, 160), 6.0, 0.3) * (np.arange(160) > 110)
    particle = rng.poisson(60 * (1 + (np.arange(160) > 110) * 0.5 + lattice)).astype(np.float32)
    layers = rng.poisson(60 * (1 + (np.arange(160) < 50) * 0.5 + lattice)).astype(np.float32)
    fields = {"wavelengths_px": (5.0, 6.0), "period_px": 6.0, "stride": 4, "n_orientations": 12}
    weight = [
        suggest_descriptor("gabor", fields, lambda of, f=f: of(f, np.ones(f.shape, bool))).intensity_weight
        for f in (particle, layers)
    ]
    assert weight[0] == 0 and weight[1] > 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {"stride": 0},
        {"stride": 2.5},
        {"n_orientations": 0},
        {"wavelengths_px": ()},
        {"wavelengths_px": (1.5,)},
        {"wavelengths_px": (4.0, 4.0)},
        {"period_px": 0.0},
        {"elongation": float("nan")},
        {"smooth_periods": -1.0},
        {"measure": "real"},
        {"flatten": "square"},
    ],
)
def test_impossible_fields_are_refused(fields):
    with pytest.raises(GaborError, match="got"):
        GaborBank(**fields)


def test_twins_of_a_decahedron_by_a_fitted_model():
    """Five twins and background at 90 % by suggested settings: a small particle, whose rim counts much."""
    scene = Decahedron(
        shape_yx=(160, 160),
        n_frames=2,
        pixel_size_nm=0.06,
        seed=77,
        angle_deg=63,
        taper=0.6,
        optics=Optics(modality="haadf"),
        detector=Detector(dose=25, dtype="uint16"),
    )
    frame, truth = scene.frame(0), scene.truth(0).labels
    recipe = Recipe(descriptor=DescriptorStep(name="gabor"))
    labels = fit_model(make_movie(frame[None], pixel_size_nm=0.06), recipe, n_clusters=6).label(frame)
    assert compare_labels(truth, labels).accuracy > 0.9
