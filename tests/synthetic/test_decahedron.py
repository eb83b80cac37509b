from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.synthetic import SceneError, make_scene

CLEAR = {"dose": 2000.0, "dtype": "float32", "flicker": 0.0, "speckle": 0.05}
STILL = {"wander_px": 0.0, "jitter_px": 0.0, "rotation_deg": 0.0}


@settings(max_examples=4, deadline=None)
@given(
    angle=st.floats(-90, 90),
    seed=st.integers(0, 2**31),
    modality=st.sampled_from(["haadf", "hrtem"]),
)
def test_five_twins_72_degrees_apart(measure, angle, seed, modality):
    scene = make_scene(
        "decahedron", **CLEAR, shape_yx=(384, 384), angle_deg=angle, seed=seed, modality=modality,
        start_yx=(0.0, 0.0), radius_fraction=0.49,
    )  # fmt: skip
    frame, truth = scene.frame(0), scene.truth(0)
    spacing = scene.column_distance_px * np.sin(np.deg2rad(72))
    found = []
    for twin in range(1, 6):
        depth = ndimage.distance_transform_edt(np.pad(truth.labels == twin, 1))[1:-1, 1:-1]
        y, x = np.clip(np.unravel_index(depth.argmax(), depth.shape), 36, 348)
        angle_found = measure.cube_axis_deg(frame[y - 36 : y + 36, x - 36 : x + 36], spacing)
        assert measure.angle_gap(angle_found, truth.angle_deg[y, x], 180) < 2.5
        found.append(angle_found)
    steps = np.diff([*found, found[0]])
    assert max(measure.angle_gap(step, 72, 180) for step in steps) < 3


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    through=st.integers(1, 5),
    angle=st.floats(-180, 180),
    index=st.integers(0, 20),
)
def test_labels_are_wedges_about_the_axis(seed, through, angle, index):
    scene = make_scene(
        "decahedron",
        shape_yx=(128, 128),
        seed=seed,
        leaves_through=through,
        angle_deg=angle,
        n_frames=30,
        jitter_px=1.0,
    )
    truth = scene.truth(index)
    axis_y, axis_x = truth.axis_yx
    pose = angle + scene.rotation_deg * index / 29
    for y, x in np.argwhere(truth.labels > 0)[::97]:
        wedge = (np.rad2deg(np.arctan2(y - axis_y, x - axis_x)) - pose) % 360 / 72
        if min(wedge % 1, 1 - wedge % 1) * 72 > 0.5:
            assert truth.labels[y, x] == int(wedge) + 1


@pytest.mark.parametrize("through", [1, 4])
def test_axis_walks_out_and_three_twins_vanish(through):
    scene = make_scene("decahedron", shape_yx=(160, 160), n_frames=60, leave_frame=30, leaves_through=through, **STILL)
    truths = [scene.truth(i) for i in range(60)]
    areas = np.array([truth.areas_px for truth in truths])
    leaving = areas[:, through]
    assert np.all(np.diff(leaving) <= 0) and leaving[0] > 0.1 * areas[0, 1:].sum()
    assert leaving[33] == 0 and leaving[25] > 0
    beside = [(through % 5) + 1, ((through - 2) % 5) + 1]
    far = sorted({1, 2, 3, 4, 5} - {through, *beside})
    assert np.all(areas[-1, beside] == 0) and np.all(areas[-1, far] > 0)
    assert np.all(areas[:, 1:].sum(axis=1) == areas[0, 1:].sum())
    steps = np.diff([truth.axis_yx for truth in truths], axis=0)
    lengths = np.hypot(*steps.T) / scene.column_distance_px
    # it moves along columns: one of the twin's two lattice vectors, or their sums
    assert lengths.max() < 3 and np.all((lengths < 1e-6) | (lengths > 0.99))


def test_neighbours_share_their_columns():
    """On a twin boundary the columns of both twins coincide: the picture is its own mirror image there."""
    scene = make_scene(
        "decahedron", **CLEAR, **STILL, shape_yx=(256, 256), modality="haadf", angle_deg=0.0, start_yx=(0.0, 0.0),
        thickness_variation=0.0, column_spread=0.0, taper=0.0,
    )  # fmt: skip
    counts = scene.expected(0)
    # the boundary of twins 5 and 1 lies along +x from the centre (127.5, 127.5)
    above, below = counts[112:128, 150:210], counts[128:144, 150:210]
    likeness = np.corrcoef(above[::-1].ravel(), below.ravel())[0, 1]
    assert likeness > 0.97


def test_senseless_decahedra_are_refused():
    with pytest.raises(SceneError, match="leaves_through"):
        make_scene("decahedron", leaves_through=6)
    with pytest.raises(SceneError, match="start_yx"):
        make_scene("decahedron", start_yx=(2.0, 0.0))
