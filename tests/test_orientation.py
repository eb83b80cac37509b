"""Orientation against lattices drawn at known angles, and twins of a decahedron."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.gabor import GaborBank
from emreel.descriptors.geometry import pad_frame
from emreel.orientation import (
    OrientationError,
    angle_between,
    crystal_angles,
    fold_angle,
    fringes_of,
    reduce_angle,
    strongest_angle,
    sum_over_wavelengths,
)
from emreel.synthetic import Decahedron, Detector, Optics

angles = st.floats(-720, 720)
folds = st.sampled_from([2, 4, 6])


def fringes(shape_yx, wavelength_px, angle_deg):
    y, x = np.indices(shape_yx)
    turn = np.deg2rad(angle_deg)
    return np.cos(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / wavelength_px + 0.4)


def bumps(n, *centres_deg, width_deg=10.0):
    """Energies over n angles with a bump at each centre, 180 degrees being one."""
    theta = 180 * np.arange(n) / n
    return sum(np.exp(-0.5 * (angle_between(theta, centre, 2) / width_deg) ** 2) for centre in centres_deg)


@given(angles, folds)
def test_a_reduced_angle_is_the_same_orientation(angle, fold):
    reduced = float(reduce_angle(angle, fold))
    assert 0 <= reduced < 360 / fold
    turns = (angle - reduced) / (360 / fold)
    assert abs(turns - round(turns)) < 1e-9


@given(angles, angles, folds)
def test_the_smallest_turn_leads_there(a, b, fold):
    turn = float(angle_between(a, b, fold))
    assert -180 / fold <= turn < 180 / fold + 1e-9
    assert abs(float(angle_between(b + turn, a, fold))) < 1e-6


@given(st.floats(0, 179.9), st.integers(18, 36))
def test_the_strongest_angle_is_found_between_the_filters(angle, n):
    found, share = strongest_angle(bumps(n, angle, width_deg=12.0))
    assert abs(angle_between(found, angle, 2)) < 1.0
    assert 0 < share <= 1


@given(st.floats(0, 179.9), st.sampled_from([(2, (36, -36)), (4, (0, 90)), (6, (0, 60, 120))]))
def test_the_fold_angle_follows_a_turned_lattice(angle, kind):
    fold, arms = kind
    found, coherence = fold_angle(bumps(36, *(angle + arm for arm in arms)), fold)
    assert abs(angle_between(found, angle, fold)) < 0.01
    assert coherence > 0.2


def test_maps_keep_their_shape_and_nothing_has_no_coherence():
    energies = np.zeros((4, 5, 12))
    energies[0, 0, 3] = 2.0
    angle, share = strongest_angle(energies)
    fold, coherence = fold_angle(energies, 4)
    assert angle.shape == share.shape == fold.shape == coherence.shape == (4, 5)
    assert (angle[0, 0], share[0, 0], fold[0, 0], coherence[0, 0]) == pytest.approx((45, 1, 45, 1))
    assert share[1:].max() == coherence[1:].max() == 0


def test_wavelengths_are_added():
    features = np.arange(24.0).reshape(2, 12)
    assert sum_over_wavelengths(features, 4).tolist() == [[12, 15, 18, 21], [48, 51, 54, 57]]
    with pytest.raises(OrientationError, match="multiple of 5"):
        sum_over_wavelengths(features, 5)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 179.9), st.floats(3.5, 8.0), st.integers(0, 2**32 - 1))
def test_a_fringe_is_found_to_a_tenth_of_a_degree(angle, wavelength, seed):
    noise = np.random.default_rng(seed).normal(0, 0.5, (70, 84))
    mask = np.hypot(*(np.indices((70, 84)) - np.array([34, 40])[:, None, None])) < 30
    [first, *_] = fringes_of(50 + fringes((70, 84), wavelength, angle) + noise, mask, (3, 9))
    assert abs(angle_between(first.angle_deg, angle, 2)) < 0.3
    assert first.wavelength_px == pytest.approx(wavelength, rel=5e-3)


def test_two_crystals_of_four_and_six_fold_symmetry():
    shape = (80, 160)
    image = np.full(shape, 100.0)
    left = np.arange(160) < 80
    image += 10 * np.where(
        left, sum(fringes(shape, 6, 20 + a) for a in (0, 90)), sum(fringes(shape, 6, a) for a in (47, 137))
    )
    labels = np.where(left, 1, 2) * np.ones(shape, int)
    one, two = crystal_angles(image, labels, wavelengths_px=(5, 7), fold=4)
    assert (one.label, two.label) == (1, 2) and len(one.fringes) == len(two.fringes) == 2
    assert one.angle_deg == pytest.approx(20, abs=0.2) and two.angle_deg == pytest.approx(47, abs=0.2)


def test_a_speck_and_an_empty_image_have_no_angle():
    labels = np.zeros((60, 60), int)
    labels[10:14, 10:14] = 1
    labels[20:55, 20:55] = 2
    speck, empty = crystal_angles(np.full((60, 60), 7.0), labels, wavelengths_px=(4, 6))
    assert np.isnan(speck.angle_deg) and speck.fringes == ()
    assert np.isnan(empty.angle_deg) and empty.fringes == ()


@pytest.mark.parametrize(("seed", "modality", "angle"), [(3, "haadf", 40.0), (5, "hrtem", 77.0)])
def test_twins_of_a_decahedron_within_two_degrees(seed, modality, angle):
    scene = Decahedron(
        shape_yx=(192, 192),
        n_frames=2,
        pixel_size_nm=0.06,
        seed=seed,
        angle_deg=angle,
        optics=Optics(modality=modality),
        detector=Detector(dose=20, dtype="uint16"),
    )
    frame, truth = scene.frame(0), scene.truth(0)
    spacing = scene.plane_spacing_px
    crystals = crystal_angles(frame, truth.labels, wavelengths_px=(0.92 * spacing, 1.08 * spacing))
    assert [crystal.label for crystal in crystals] == [1, 2, 3, 4, 5]
    for crystal in crystals:
        # the bisector of the two {111} wave vectors is across the cube axis
        off = angle_between(crystal.angle_deg, scene.twin_angle_deg(crystal.label, 0) + 90, 2)
        assert abs(off) < 0.5


def test_a_bank_gives_the_angle_point_by_point():
    shape = (96, 192)
    left = np.arange(192) < 96
    lattice = [sum(fringes(shape, 6, angle + arm) for arm in (0, 90)) for angle in (13, 58)]
    frame = np.random.default_rng(0).poisson(100 + 20 * np.where(left, *lattice)).astype(np.float32)
    bank = GaborBank(wavelengths_px=(6.0,), period_px=6.0, stride=4, mean_counts=100.0)
    energies = np.maximum(sum_over_wavelengths(bank(*pad_frame(frame, bank.halo)), 36), 0)
    angle, coherence = fold_angle(energies, 4)
    strongest, _ = strongest_angle(energies)
    for found in (angle, strongest):
        for part, wanted in ((np.s_[4:-4, 4:20], 13), (np.s_[4:-4, 28:-4], 58)):
            assert np.abs(angle_between(found[part], wanted, 4)).max() < 3
            assert abs(np.median(angle_between(found[part], wanted, 4))) < 0.5
    assert coherence[4:-4, 4:20].min() > 0.4


def test_noise_has_no_fringes():
    noise = np.random.default_rng(2).poisson(50, (90, 90))
    [crystal] = crystal_angles(noise, np.ones((90, 90)), wavelengths_px=(4, 6))
    assert crystal.fringes == () and np.isnan(crystal.angle_deg)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reduce_angle(1.0, 0), "fold of 0"),
        (lambda: strongest_angle([1.0, 2.0]), "three angles"),
        (lambda: fold_angle(np.ones(12), 3), "even"),
        (lambda: fold_angle(np.ones(12), 24), "even"),
        (lambda: crystal_angles(np.ones((4, 4)), np.ones((4, 5)), wavelengths_px=(3, 4)), "one \\(y, x\\)"),
        (lambda: crystal_angles(np.ones((9, 9)), np.ones((9, 9)), wavelengths_px=(4, 3)), "shortest, longest"),
        (lambda: crystal_angles(np.ones((9, 9)), np.ones((9, 9)), wavelengths_px=(3, 4), fold=3), "even"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(OrientationError, match=message):
        call()
