from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from emreel.synthetic import SceneError, make_scene
from emreel.synthetic.grains import power_diagram

CLEAR = {"dose": 2000.0, "dtype": "float32", "flicker": 0.0, "line_noise": 0.0, "curtain": 0.0}
STILL = {"wander_px": 0.0, "jitter_px": 0.0}


def grain_angle_deg(frame, mask, period_px, fold):
    """Orientation of a lattice of n-fold symmetry inside a mask, from the ring of its first peaks."""
    mask = ndimage.gaussian_filter(mask.astype(float), 2)
    flat = (frame - (frame * mask).sum() / mask.sum()) * mask
    power = np.abs(np.fft.fft2(flat, s=[2 * n for n in frame.shape])) ** 2
    fy = np.fft.fftfreq(power.shape[0])[:, None]
    fx = np.fft.fftfreq(power.shape[1])[None, :]
    ring_px = period_px if fold == 4 else period_px * np.sqrt(3) / 2
    ring = np.abs(np.hypot(fy, fx) * ring_px - 1) < 0.15
    total = (power * ring * np.exp(1j * fold * np.arctan2(fy, fx))).sum()
    angle = np.rad2deg(np.angle(total)) / fold
    return angle if fold == 4 else angle + 30  # a hexagonal lattice's first peaks lie between its rows


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**31), pattern=st.sampled_from(["square", "hexagonal"]), index=st.integers(0, 20))
def test_orientation_and_period_of_every_large_grain(measure, seed, pattern, index):
    scene = make_scene(
        "grain_growth", **CLEAR, shape_yx=(256, 256), n_frames=21, seed=seed, pattern=pattern, n_grains=6, n_pores=2
    )
    frame, truth = scene.frame(index).astype(float), scene.truth(index)
    fold = 4 if pattern == "square" else 6
    checked = 0
    for grain in range(1, 7):
        inside = ndimage.binary_erosion(truth.labels == grain, iterations=5)
        if inside.sum() < (7 * scene.lattice_px) ** 2:
            continue
        checked += 1
        found = grain_angle_deg(frame, inside, scene.lattice_px, fold)
        assert measure.angle_gap(found, truth.grain_angles_deg[grain], 360 / fold) < 2
        np.testing.assert_allclose(truth.angle_deg[inside], truth.grain_angles_deg[grain], rtol=1e-6)
    assert checked >= 2
    assert np.isnan(truth.angle_deg[truth.labels == 0]).all()


def test_lattice_period(measure):
    scene = make_scene("grain_growth", **CLEAR, shape_yx=(192, 192), n_grains=1, n_pores=0, **STILL)
    peaks = measure.peaks(scene.frame(0))
    np.testing.assert_allclose(1 / np.hypot(*peaks[:2].T), 11.0, rtol=0.01)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), n_grains=st.integers(14, 40), growth=st.floats(1.5, 2.5))
def test_grains_shrink_vanish_and_never_come_back(seed, n_grains, growth):
    scene = make_scene(
        "grain_growth",
        shape_yx=(128, 128),
        n_frames=25,
        seed=seed,
        n_grains=n_grains,
        growth=growth,
        n_pores=0,
        **STILL,
    )
    areas = np.array([scene.truth(i).areas_px for i in range(25)])
    assert np.all(areas.sum(axis=1) == 128 * 128) and np.all(areas[:, 0] == 0)
    # which grains shrink, told from the areas alone: those that are gone at the end
    gone = np.flatnonzero((areas[0] > 0) & (areas[-1] == 0))
    assert len(gone) >= 1
    first_empty = np.array([np.flatnonzero(areas[:, k] == 0)[0] for k in gone])
    for k, start in zip(gone, first_empty, strict=True):
        assert np.all(areas[start:, k] == 0)
    alive = (areas[:, 1:] > 0).sum(axis=1)
    assert np.all(np.diff(alive) <= 0) and alive[-1] < alive[0]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_most_falling_grain_only_shrinks(seed):
    scene = make_scene("grain_growth", shape_yx=(128, 128), n_frames=25, seed=seed, n_grains=12, n_pores=0, **STILL)
    falling = int(np.argmin(scene.ensemble.gains_px2)) + 1
    areas = [scene.truth(i).areas_px[falling] for i in range(25)]
    assert np.all(np.diff(areas) <= 0) and areas[-1] < 0.4 * areas[0]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 12))
def test_power_diagram_against_its_definition(seed, n):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:20, :24].astype(np.float32)
    centres, weights = rng.uniform(0, 24, (n, 2)), rng.uniform(-20, 20, n)
    owner = power_diagram(y, x, centres, weights)
    distance = (y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2 - weights
    chosen = np.take_along_axis(distance, owner[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(chosen, distance.min(axis=2), atol=1e-2)


def test_neighbours_differ_in_orientation(measure):
    scene = make_scene("grain_growth", shape_yx=(256, 256), n_grains=20, min_misorientation_deg=8.0, n_pores=0, **STILL)
    truth = scene.truth(0)
    pairs = {tuple(sorted(p)) for p in zip(truth.labels[:, 1:].ravel(), truth.labels[:, :-1].ravel(), strict=True)}
    pairs |= {tuple(sorted(p)) for p in zip(truth.labels[1:].ravel(), truth.labels[:-1].ravel(), strict=True)}
    gaps = [measure.angle_gap(truth.grain_angles_deg[a], truth.grain_angles_deg[b], 90) for a, b in pairs if a != b]
    assert len(gaps) > 20 and np.quantile(gaps, 0.1) > 5


def test_pores_are_dark_and_hold_no_lattice():
    scene = make_scene("grain_growth", **CLEAR, shape_yx=(224, 224), n_grains=10, n_pores=5, seed=4, **STILL)
    truth, counts = scene.truth(0), scene.expected(0)
    core = ndimage.binary_erosion(truth.labels == 0, iterations=6)
    assert core.sum() > 50
    assert counts[core].mean() < 0.3 * counts[truth.labels > 0].mean()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), bias=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8)))
def test_drift_by_phase_correlation(seed, bias):
    scene = make_scene(
        "grain_growth", **CLEAR, shape_yx=(160, 160), seed=seed, growth=0.0, speckle=0.0, drift_px_per_frame=bias,
        jitter_px=0.3, n_frames=6,
    )  # fmt: skip
    window = np.outer(np.hanning(160), np.hanning(160))
    first, later = (scene.frame(i) * window for i in (0, 5))
    moved, _, _ = phase_cross_correlation(later, first, upsample_factor=20)
    wanted = np.subtract(scene.truth(5).drift_yx, scene.truth(0).drift_yx)
    np.testing.assert_allclose(moved, wanted, atol=0.25)


def test_many_grains_need_wider_labels():
    scene = make_scene("grain_growth", shape_yx=(96, 96), n_grains=300, n_pores=0)
    truth = scene.truth(0)
    assert truth.labels.dtype == np.uint16 and truth.labels.max() > 255
    assert make_scene("grain_growth", shape_yx=(96, 96), n_grains=255).truth(0).labels.dtype == np.uint8


def test_senseless_grains_are_refused():
    for parameters, message in [
        ({"pattern": "kagome"}, "pattern"),
        ({"n_grains": 0}, "n_grains"),
        ({"growth": -1.0}, "growth"),
        ({"modality": "haadf"}, "one of sem"),
    ]:
        with pytest.raises(SceneError, match=message):
            make_scene("grain_growth", **parameters)
