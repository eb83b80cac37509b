from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.synthetic import SceneError, make_scene

CLEAR = {"dose": 2000.0, "dtype": "float32", "flicker": 0.0}
STILL = {"wander_px": 0.0, "jitter_px": 0.0}


def lattice_waves(angle_deg, period_px):
    """The two first g vectors (y, x) of a square lattice."""
    turn = np.deg2rad(angle_deg)
    return np.array([[np.sin(turn), np.cos(turn)], [np.cos(turn), -np.sin(turn)]]) / period_px


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), angle=st.floats(-45, 45), index=st.integers(8, 20))
def test_superlattice_tells_order_from_disorder(measure, seed, angle, index):
    scene = make_scene("order_disorder", **CLEAR, shape_yx=(192, 192), n_frames=30, seed=seed, angle_deg=angle)
    frame, truth = scene.frame(index).astype(float), scene.truth(index)
    waves = [measure.lock_in(frame, g, 0.6 * scene.lattice_px) for g in lattice_waves(angle, scene.lattice_px)]
    power = sum(np.abs(wave) for wave in waves)
    full = scene.frame(29).astype(float)
    strength = sum(
        np.abs(measure.lock_in(full, g, 0.6 * scene.lattice_px)) for g in lattice_waves(angle, scene.lattice_px)
    )
    found = power > 0.5 * np.median(strength)
    # the wall itself is neither
    wall = ndimage.maximum_filter(truth.labels, 7) != ndimage.minimum_filter(truth.labels, 7)
    # antiphase boundaries are ordered on both sides but show no superlattice: leave their strips out
    counted = ~wall
    variants = truth.variants
    for axis in (0, 1):
        for step in range(1, 9):
            moved = np.roll(variants, step, axis)
            counted &= ~((moved * variants == 2) | (np.roll(variants, -step, axis) * variants == 2))
    assert (found == (truth.labels == 1))[counted].mean() > 0.95


def test_variants_are_half_a_cell_apart(measure):
    scene = make_scene("order_disorder", **CLEAR, shape_yx=(256, 256), angle_deg=0.0, seed=3, **STILL)
    frame, truth = scene.frame(39).astype(float), scene.truth(39)
    wave = measure.lock_in(frame, lattice_waves(0.0, scene.lattice_px)[0], scene.lattice_px)
    cores = [ndimage.binary_erosion(truth.variants == kind, iterations=10) for kind in (1, 2)]
    assert min(core.sum() for core in cores) > 100
    phases = [np.angle(wave[core].sum()) for core in cores]
    assert abs(abs((phases[1] - phases[0] + np.pi) % (2 * np.pi) - np.pi) - np.pi) < 0.3


def test_lattice_period_and_angle(measure):
    scene = make_scene("order_disorder", **CLEAR, shape_yx=(192, 192), angle_deg=9.0, n_nuclei=1, **STILL)
    before = measure.peaks(scene.frame(0), least=0.1)
    # disordered: the strongest are {110} of the cell, nothing at {100}
    np.testing.assert_allclose(1 / np.hypot(*before[:2].T), scene.lattice_px / np.sqrt(2), rtol=0.01)
    assert np.hypot(*before.T).min() > 1.2 / scene.lattice_px
    after = measure.peaks(scene.frame(39), least=0.005)
    assert np.hypot(*after.T).min() == pytest.approx(1 / scene.lattice_px, rel=0.01)
    diagonal = np.rad2deg(np.arctan2(*before[0]))
    assert measure.angle_gap(diagonal + 45, 9.0, 90) < 0.5


@settings(max_examples=6, deadline=None)
@given(speed=st.floats(0.02, 0.06), seed=st.integers(0, 2**31))
def test_a_single_domain_grows_as_a_disc(speed, seed):
    scene = make_scene(
        "order_disorder", shape_yx=(256, 256), n_frames=31, n_nuclei=1, nucleation=(0.0, 0.0), wobble=0.0,
        growth_nm_s=speed, seed=seed, **STILL,
    )  # fmt: skip
    y0, x0 = scene.nuclei[0, :2]
    y, x = np.mgrid[:256, :256]
    for index in (5, 15, 30):
        radius = speed * index / scene.pixel_size_nm
        wanted = np.hypot(y - y0, x - x0) < radius
        assert np.mean((scene.truth(index).labels == 1) != wanted) < 1e-3


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 14))
def test_order_only_grows(seed, n):
    scene = make_scene("order_disorder", shape_yx=(128, 128), n_frames=25, seed=seed, n_nuclei=n, **STILL)
    labels = np.stack([scene.truth(i).labels for i in range(25)])
    assert np.all(np.diff(labels.astype(int), axis=0) >= 0)
    fractions = [scene.truth(i).ordered_fraction for i in (0, 24)]
    assert fractions[0] == 0 and fractions[1] > 0.5
    assert fractions[1] == pytest.approx(labels[24].mean())


def test_mean_brightness_does_not_tell_the_order():
    scene = make_scene("order_disorder", **CLEAR, shape_yx=(192, 192), **STILL)
    assert scene.expected(39).mean() == pytest.approx(scene.expected(0).mean(), rel=0.01)


def test_no_nuclei_no_order():
    scene = make_scene("order_disorder", shape_yx=(64, 64), n_nuclei=0)
    assert scene.truth(39).labels.max() == 0 and scene.frame(39).max() > 0


def test_senseless_ordering_is_refused():
    for parameters, message in [
        ({"nucleation": (0.5, 0.2)}, "in order"),
        ({"site_contrast": 2.0}, "site_contrast"),
        ({"wall_px": 0.0}, "wall_px"),
    ]:
        with pytest.raises(SceneError, match=message):
            make_scene("order_disorder", **parameters)
