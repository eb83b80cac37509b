"""Twins of movies whose truth is known: labels are the truth's, pictures the detector's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emreel.orientation import angle_between
from emreel.result import Result
from emreel.synthetic import make_scene
from emreel.track.errors import TrackError
from emreel.track.lattices import spacing_range
from emreel.track.regions import track_regions
from emreel.track.twins import COLUMNS, track_twins

MakeResult = Callable[..., Result]


def labelled(make_result: MakeResult, scene: Any, frames: list[int]) -> Result:
    """A result of the truth's labels, one more than the scene's, and of the frames as previews."""
    truth = np.stack([scene.truth(index).labels for index in frames]).astype(np.uint8) + 1
    counts = np.stack([np.asarray(scene.frame(index), np.float64) for index in frames])
    gray = np.clip(counts * (200 / np.percentile(counts, 99)), 0, 255).astype(np.uint8)
    return make_result(truth, gray, pixel_size_nm=scene.pixel_size_nm, n_classes=scene.n_labels)


def test_a_lamella_is_measured_until_its_last_plane(make_result: MakeResult) -> None:
    scene = make_scene("twin_lamella", shape_yx=(256, 256), n_frames=24, seed=3, vanish_frame=18, lamella_planes=6)
    frames = [0, 6, 12, 14, 16, 18, 19, 20, 21]
    result = labelled(make_result, scene, frames)
    table = track_twins(result, spacings_px=(4.0, 1.15 * scene.plane_spacing_px))
    assert list(table.columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(result.table("twins"), table, check_dtype=False)
    found = table[table["kind"] == "lamella"]
    truth = [scene.truth(index).lamella_width_px for index in frames]
    assert found["twin"].unique().tolist() == ["3|2"]
    assert found["width_px"].to_numpy() == pytest.approx(np.array(truth), abs=0.4 * scene.plane_spacing_px)
    assert found["width_px"].to_numpy()[-4:].tolist() == [0, 0, 0, 0]
    assert found["spacing_px"].to_numpy() == pytest.approx(scene.plane_spacing_px, rel=0.01)
    assert found["misorientation_deg"].iloc[0] == pytest.approx(70.5, abs=1)
    first = scene.truth(0)
    share = (first.labels == 2).sum() / (first.labels > 0).sum()
    assert found["fraction"].iloc[0] == pytest.approx(share, abs=0.03)
    events = result.table("events")
    assert events[["event", "frame", "subject"]].to_numpy().tolist() == [
        ["class_vanishes", 5, "phase 3"],
        ["twin_vanishes", 5, "twin 3|2"],
    ]


def test_the_axis_of_a_decahedron(make_result: MakeResult) -> None:
    scene = make_scene("decahedron", shape_yx=(256, 256), n_frames=20, seed=5)
    frames = [0, 2, 4]
    result = labelled(make_result, scene, frames)
    table = track_twins(result, spacings_px=(4.0, 1.3 * scene.column_distance_px))
    axis = table[table["kind"] == "axis"]
    truth = np.array([scene.truth(index).axis_yx for index in frames])
    assert axis[["point_y_px", "point_x_px"]].to_numpy() == pytest.approx(truth, abs=1.5)
    assert (axis["n_traces"] >= 4).all()
    boundaries = table[table["kind"] == "boundary"]
    assert boundaries["misorientation_deg"].to_numpy() == pytest.approx(72, abs=1.5)


def test_what_shows_no_twins_is_refused(make_result: MakeResult) -> None:
    label = np.ones((2, 64, 64), np.uint8)
    label[:, 32:] = 2
    result = make_result(label)
    with pytest.raises(TrackError, match="spacings_px"):
        track_twins(result)
    with pytest.raises(TrackError, match="no two labels are twins"):
        track_twins(result, spacings_px=(4, 9))
    assert spacing_range(result, (4, 9)) == (4.0, 9.0)


def test_regions_of_a_decahedron_have_their_orientations(make_result: MakeResult) -> None:
    scene = make_scene("decahedron", shape_yx=(256, 256), n_frames=20, seed=5)
    frames = [0, 3]
    result = labelled(make_result, scene, frames)
    spacings = (4.0, 1.3 * scene.column_distance_px)
    table = track_regions(result, orientations=True, spacings_px=spacings)
    twins = table[table["label"] > 1]
    assert len(twins) == 10
    truth = np.array(
        [scene.twin_angle_deg(int(k) - 1, frames[t]) for t, k in zip(twins["frame"], twins["label"], strict=True)]
    )
    off = angle_between(twins["orientation_deg"].to_numpy(), truth, 2)
    assert np.abs(angle_between(off, 90, 2)).max() < 1.0  # {111} halves the angle beside [110], not beside [001]
    assert table.loc[table["label"] == 1, "orientation_deg"].isna().all()  # the support has no lattice
    touching = result.table("boundaries")
    between = touching[(touching["region"] > 1) & (touching["length_px"] > 20)]
    assert between["misorientation_deg"].to_numpy() == pytest.approx(72, abs=1.0)
