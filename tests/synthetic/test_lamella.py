from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.synthetic import SceneError, make_scene

CLEAR = {"dose": 2000.0, "dtype": "float32", "flicker": 0.0, "thickness_variation": 0.0}
STILL = {"wander_px": 0.0, "jitter_px": 0.0, "rotation_deg": 0.0}


def crop(frame, mask, side):
    """A square of the frame about the mask's inmost point."""
    from scipy import ndimage

    y, x = np.unravel_index(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].argmax(), mask.shape)
    half = side // 2
    y, x = np.clip([y, x], half, np.array(mask.shape) - half)
    return frame[y - half : y + half, x - half : x + half]


@settings(max_examples=6, deadline=None)
@given(
    angle=st.floats(-80, 80),
    a_nm=st.floats(0.36, 0.44),
    seed=st.integers(0, 2**31),
    modality=st.sampled_from(["haadf", "hrtem"]),
)
def test_twin_is_the_mirror_image_of_the_parent(measure, angle, a_nm, seed, modality):
    scene = make_scene(
        "twin_lamella", **CLEAR, shape_yx=(320, 320), angle_deg=angle, lattice_nm=a_nm, seed=seed, modality=modality,
        lamella_planes=14, radius_fraction=0.48, jitter_px=0.3,
    )  # fmt: skip
    frame, truth = scene.frame(0), scene.truth(0)
    spacing = a_nm / np.sqrt(3) / scene.pixel_size_nm
    assert scene.plane_spacing_px == pytest.approx(spacing)
    parent = measure.cube_axis_deg(crop(frame, truth.regions == 3, 80), spacing)
    twin = measure.cube_axis_deg(crop(frame, truth.labels == 2, 80), spacing)
    assert measure.angle_gap(parent, np.median(truth.angle_deg[truth.labels == 1]), 180) < 2
    assert measure.angle_gap(twin, np.median(truth.angle_deg[truth.labels == 2]), 180) < 2
    # mirrored about the twin plane, which lies at `angle`
    assert measure.angle_gap(parent - angle, angle - twin, 180) < 2


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), angle=st.floats(-80, 80), planes=st.integers(4, 12))
def test_width_from_the_labels(seed, angle, planes):
    scene = make_scene(
        "twin_lamella", shape_yx=(192, 192), seed=seed, angle_deg=angle, lamella_planes=planes, vanish_frame=20, **STILL
    )
    y, x = np.mgrid[:192, :192] - 95.5
    turn = np.deg2rad(angle)
    height = y * np.cos(turn) - x * np.sin(turn)
    for index in (0, 5, 13):
        truth = scene.truth(index)
        assert truth.lamella_planes == pytest.approx(planes * (1 - index / 20))
        assert truth.lamella_width_px == pytest.approx(truth.lamella_planes * scene.plane_spacing_px)
        twin = height[truth.labels == 2]
        # the ledge is a plane high: whole planes, and one more for part of the way
        span = (twin.max() - twin.min()) / scene.plane_spacing_px
        assert span == pytest.approx(np.ceil(truth.lamella_planes - 1e-9), abs=0.3)


def test_width_in_the_picture(measure):
    scene = make_scene("twin_lamella", **CLEAR, shape_yx=(256, 256), angle_deg=0.0, lamella_planes=10, **STILL)
    spacing = scene.plane_spacing_px
    tilt = np.deg2rad(70.529)  # the second {111} of the parent, and its mirror image
    normal = np.array([np.cos(tilt), -np.sin(tilt)]) / spacing
    for index in (0, 8, 16):
        frame, truth = scene.frame(index).astype(float), scene.truth(index)
        parent = np.abs(measure.lock_in(frame, normal, 0.8 * spacing))
        twin = np.abs(measure.lock_in(frame, normal * [1, -1], 0.8 * spacing))
        inside = truth.labels > 0
        shows_twin = (twin > parent) & inside
        assert (shows_twin == (truth.labels == 2))[inside].mean() > 0.95
        columns = slice(90, 166)
        width = shows_twin[:, columns].sum(axis=0).mean() / spacing
        true_width = (truth.labels == 2)[:, columns].sum(axis=0).mean() / spacing
        assert width == pytest.approx(true_width, abs=1.0)
        assert true_width == pytest.approx(truth.lamella_planes, abs=1.0)


def test_vanishes_and_areas_fall():
    scene = make_scene("twin_lamella", shape_yx=(192, 192), n_frames=30, vanish_frame=18, **STILL)
    truths = [scene.truth(i) for i in range(30)]
    areas = np.array([truth.areas_px[2] for truth in truths])
    assert np.all(np.diff(areas[:19]) < 0) and np.all(areas[18:] == 0)
    particle = np.array([truth.areas_px[1:].sum() for truth in truths])
    assert np.all(particle == particle[0])
    assert scene.vanish_index == 18 and truths[17].lamella_width_px > 0 and truths[18].lamella_width_px == 0
    for truth in truths:
        np.testing.assert_array_equal(truth.labels == 2, truth.regions == 2)
        np.testing.assert_array_equal(truth.labels == 1, (truth.regions == 1) | (truth.regions == 3))
    assert set(np.unique(truths[0].regions)) == {0, 1, 2, 3} and set(np.unique(truths[20].regions)) == {0, 1}


def test_after_the_twin_the_crystal_is_perfect(measure):
    scene = make_scene("twin_lamella", **CLEAR, shape_yx=(256, 256), angle_deg=0.0, vanish_frame=10, **STILL)
    peaks = measure.peaks(scene.frame(12)[64:192, 64:192], least=0.05)
    ring = peaks[np.abs(np.hypot(*peaks.T) * scene.plane_spacing_px - 1) < 0.05]
    assert len(ring) == 2
    oblique = ring[np.abs(ring[:, 1]).argmax()]
    window = np.outer(np.hanning(128), np.hanning(128))
    y, x = np.mgrid[:128, :128]
    shares = []
    for index in (0, 12):
        wave = scene.frame(index)[64:192, 64:192] * window
        parent, twin = (
            abs((wave * np.exp(-2j * np.pi * (fy * y + oblique[1] * x))).sum()) for fy in (oblique[0], -oblique[0])
        )
        shares.append(twin / parent)
    assert shares[0] > 1 and shares[1] < 0.03


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), turn=st.floats(3, 20))
def test_particle_turns(measure, seed, turn):
    scene = make_scene(
        "twin_lamella", **CLEAR, shape_yx=(192, 192), seed=seed, rotation_deg=turn, lamella_planes=0, n_frames=11
    )
    found = [measure.cube_axis_deg(scene.frame(i)[48:144, 48:144], scene.plane_spacing_px) for i in (0, 10)]
    assert measure.angle_gap(found[1] - found[0], turn, 180) < 1
    for index, angle in zip((0, 10), found, strict=True):
        assert measure.angle_gap(np.nanmedian(scene.truth(index).angle_deg), angle, 180) < 1


def test_particle_stands_out_from_the_carbon():
    scene = make_scene("twin_lamella", **CLEAR, shape_yx=(192, 192), **STILL)
    labels, counts = scene.truth(0).labels, scene.expected(0)
    assert counts[labels == 0].mean() < 0.3 * counts[labels > 0].mean()
    assert np.isnan(scene.truth(0).angle_deg[labels == 0]).all()


def test_a_boundary_outside_the_particle_is_refused():
    with pytest.raises(SceneError, match="inside the particle"):
        make_scene("twin_lamella", offset_planes=500.0)
