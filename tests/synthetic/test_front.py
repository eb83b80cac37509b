from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.synthetic import SceneError, make_scene

CLEAR = {"dose": 2000.0, "dtype": "float32", "flicker": 0.0}
STILL = {"wander_px": 0.0, "jitter_px": 0.0}


@settings(max_examples=8, deadline=None)
@given(
    period_px=st.floats(7, 13),
    angle=st.floats(-15, 15),
    seed=st.integers(0, 2**31),
    modality=st.sampled_from(["haadf", "hrtem"]),
)
def test_lattice_period_and_angle(measure, period_px, angle, seed, modality):
    scene = make_scene(
        "front", **CLEAR, shape_yx=(192, 192), pixel_size_nm=0.39 / period_px, angle_deg=angle, seed=seed,
        modality=modality, cap_fraction=0.1,
    )  # fmt: skip
    truth = scene.truth(0)
    lower = truth.front_row.max() + 8
    peaks = measure.peaks(scene.frame(0)[lower:], least=0.02)
    peaks = peaks[np.hypot(*peaks.T) * period_px > 0.5]  # slower waves are not the lattice's
    # every peak of a square lattice is (h, k) / a: measure a and the angle from all of them
    h, k = np.rint(_turn(peaks, -angle) * period_px).T
    order = np.hypot(h, k)
    strongest = slice(0, 4)
    lengths = order[strongest] / np.hypot(*peaks[strongest].T)
    np.testing.assert_allclose(lengths, scene.lattice_px, rtol=0.01)
    tilt = np.rad2deg(np.arctan2(*peaks[strongest].T) - np.arctan2(h, k)[strongest])
    assert np.abs((tilt - angle + 180) % 360 - 180).max() < 0.7
    assert np.nanmax(measure.angle_gap(truth.angle_deg[truth.labels >= 2], angle, 90)) < 1e-3


def _turn(yx, angle_deg):
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.stack([yx[:, 0] * c + yx[:, 1] * s, yx[:, 1] * c - yx[:, 0] * s], axis=1)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    angle=st.floats(-8, 8),
    modality=st.sampled_from(["haadf", "hrtem"]),
    index=st.integers(4, 15),
)
def test_labels_agree_with_a_lock_in(measure, seed, angle, modality, index):
    scene = make_scene(
        "front", **CLEAR, shape_yx=(192, 192), n_frames=20, angle_deg=angle, seed=seed, modality=modality
    )
    frame, truth = scene.frame(index).astype(np.float64), scene.truth(index)
    period = scene.lattice_px
    peaks = measure.peaks(scene.frame(0), least=0.02)
    strongest = peaks[np.hypot(*peaks.T) * period > 0.5][:4]
    waves = [np.abs(measure.lock_in(frame, peak, 0.8 * period)) for peak in strongest]
    local = np.sqrt(sum(wave**2 for wave in waves)) / ndimage.gaussian_filter(frame, 2 * period)
    crystal = truth.labels >= 2
    cap, film, substrate = (np.median(local[truth.labels == k]) for k in (0, 2, 3))
    assert ((local > (cap + substrate) / 2) == crystal).mean() > 0.95
    # the front in the picture: half way from film to nothing, sought upwards from the substrate
    shown = (local > (cap + film) / 2) | (truth.labels == 3)
    rows = 192 - np.argmin(shown[::-1], axis=0)
    inner = slice(12, -12)
    assert abs(np.median(rows[inner] - truth.front_row[inner])) < 3


@settings(max_examples=10, deadline=None)
@given(
    speed=st.floats(0.02, 0.1),
    frame_time=st.floats(0.1, 4),
    seed=st.integers(0, 2**31),
    rough=st.floats(0, 5),
    angle=st.floats(-10, 10),
)
def test_velocity_from_the_labels(speed, frame_time, seed, rough, angle):
    # speed in nm a frame, so that the front stays inside the film
    scene = make_scene(
        "front", shape_yx=(160, 96), n_frames=30, velocity_nm_s=speed / frame_time, frame_time_s=frame_time,
        seed=seed, roughness_px=rough, angle_deg=angle, law="linear",
    )  # fmt: skip
    times, depths = [], []
    for index in range(2, 30, 3):
        truth = scene.truth(index)
        cap = np.count_nonzero(truth.labels == 0, axis=0)
        times.append(truth.time_s)
        depths.append((truth.front_row - cap).mean() * np.cos(np.deg2rad(angle)) * scene.pixel_size_nm)
    slope = np.polyfit(times, depths, 1)[0]
    assert slope == pytest.approx(scene.speed_nm_s, rel=0.06)
    assert scene.speed_nm_s == pytest.approx(speed / frame_time)


def test_velocity_to_one_percent_when_the_front_is_flat():
    scene = make_scene("front", shape_yx=(400, 64), n_frames=41, roughness_px=0.0, **STILL)
    rows = np.array([scene.truth(i).front_row.mean() for i in range(1, 41)])
    slope = np.polyfit(scene.frame_times_s[1:], rows * scene.pixel_size_nm, 1)[0]
    assert slope == pytest.approx(scene.speed_nm_s, rel=0.01)
    assert scene.speed_nm_s * 40 == pytest.approx(0.85 * scene.film_nm)


LAWS = {
    "linear": ({"velocity_nm_s": 0.1, "incubation_s": 4.0}, lambda t: 0.1 * max(t - 4, 0)),
    "parabolic": ({"parabolic_nm2_s": 0.3, "incubation_s": 2.0}, lambda t: math.sqrt(0.3 * max(t - 2, 0))),
    "jmak": (
        {"time_constant_s": 12.0, "exponent": 2.5, "stop_fraction": 0.5},
        lambda t: 0.5 * FILM_NM * (1 - math.exp(-((t / 12) ** 2.5))),
    ),
    "pause": (
        {"velocity_nm_s": 0.1, "pause_s": (10.0, 20.0)},
        lambda t: 0.1 * (min(t, 10) + max(t - 20, 0)),
    ),
}
FILM_NM = 21 * 0.39  # 21 cells in a frame of 400 rows


@pytest.mark.parametrize("law", LAWS)
def test_laws(law):
    parameters, depth_nm = LAWS[law]
    scene = make_scene("front", law=law, shape_yx=(400, 64), n_frames=41, roughness_px=1.0, **STILL, **parameters)
    assert scene.film_nm == pytest.approx(FILM_NM)
    stop = scene.stop_fraction * FILM_NM
    for index in range(0, 41, 5):
        wanted = min(depth_nm(float(index)), stop)
        truth = scene.truth(index)
        assert truth.front_depth_nm == pytest.approx(wanted, abs=1e-9)
        cap = np.count_nonzero(truth.labels == 0, axis=0)
        assert (truth.front_row - cap).mean() * 0.04 == pytest.approx(wanted, abs=0.04)


@settings(max_examples=10, deadline=None)
@given(
    law=st.sampled_from(["linear", "parabolic", "jmak", "pause"]),
    seed=st.integers(0, 2**31),
    angle=st.floats(-12, 12),
    tilt=st.floats(-3, 3),
    index=st.integers(0, 29),
)
def test_front_row_is_the_first_crystalline_row(law, seed, angle, tilt, index):
    scene = make_scene(
        "front", law=law, shape_yx=(128, 100), n_frames=30, seed=seed, angle_deg=angle, tilt_deg=tilt, jitter_px=1.0
    )
    truth = scene.truth(index)
    for x in range(0, 100, 7):
        crystalline = [y for y in range(128) if truth.labels[y, x] >= 2]
        assert truth.front_row[x] == (crystalline[0] if crystalline else 128)
        # layers lie in order
        assert np.all(np.diff(truth.labels[:, x].astype(int)) >= 0)
    assert set(np.unique(truth.labels)) <= {0, 1, 2, 3}
    if index == 0:
        assert truth.areas_px[1] == 0 and truth.front_depth_nm == 0


def test_front_only_advances():
    scene = make_scene("front", shape_yx=(160, 128), n_frames=40, law="jmak", roughness_frames=0.0, **STILL)
    areas = [scene.truth(i).areas_px[1] for i in range(40)]
    assert np.all(np.diff(areas) >= 0) and areas[-1] > 0.8 * 0.85 * scene.film_nm / 0.04 * 128


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), ratio=st.floats(0.95, 0.98))
def test_brightness_barely_tells_amorphous_from_crystal(seed, ratio):
    scene = make_scene(
        "front", shape_yx=(256, 256), n_frames=20, seed=seed, amorphous_ratio=ratio, thickness_variation=0.0, **STILL
    )
    labels = scene.truth(10).labels
    counts = ndimage.gaussian_filter(scene.expected(10), 0.6 * scene.lattice_px)  # means over whole cells
    inner = ndimage.minimum_filter(labels, 29) == ndimage.maximum_filter(labels, 29)
    amorphous, film = (counts[(labels == k) & inner].mean() for k in (1, 2))
    assert amorphous / film == pytest.approx(ratio, abs=0.015)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    bias=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    index=st.integers(1, 6),
)
def test_drift_on_the_substrate(measure, seed, bias, index):
    scene = make_scene(
        "front", **CLEAR, shape_yx=(160, 160), seed=seed, drift_px_per_frame=bias, jitter_px=0.2, wander_px=0.3,
        substrate_fraction=0.45,
    )  # fmt: skip
    first, later = scene.frame(0)[100:], scene.frame(index)[100:]
    axes = np.eye(2) / scene.lattice_px
    moved = measure.shift(first, later, axes)
    wanted = np.subtract(scene.truth(index).drift_yx, scene.truth(0).drift_yx)
    np.testing.assert_allclose(moved, wanted, atol=0.1)


def test_focus_gradient_blurs_the_lattice_sideways():
    scene = make_scene("front", **CLEAR, shape_yx=(192, 192), focus_gradient_nm=6.0, **STILL)
    rows = scene.expected(0)[150:]
    left, right = rows[:, :48], rows[:, -48:]
    assert right.std() / right.mean() < 0.6 * left.std() / left.mean()
    flat = make_scene("front", **CLEAR, shape_yx=(192, 192), **STILL).expected(0)[150:]
    assert flat[:, -48:].std() == pytest.approx(flat[:, :48].std(), rel=0.1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"law": "cubic"}, "one of 'linear'"),
        ({"velocity_nm_s": -1.0}, "velocity_nm_s"),
        ({"stop_fraction": 1.5}, "stop_fraction"),
        ({"cap_fraction": 0.6, "substrate_fraction": 0.5}, "a film of at least"),
        ({"pause_s": (5.0, 2.0)}, "end not before start"),
        ({"angle_deg": 60.0}, "angle_deg"),
    ],
)
def test_senseless_fronts_are_refused(parameters, message):
    with pytest.raises(SceneError, match=message):
        make_scene("front", **parameters)
