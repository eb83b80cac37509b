from __future__ import annotations

import json

import pytest

from emreel.synthetic import (
    SCENES,
    AmorphousFront,
    Decahedron,
    Detector,
    Drift,
    GrainGrowth,
    OrderDisorder,
    SceneError,
    TwinLamella,
    make_scene,
)


def test_kinds():
    by_name = {
        "front": AmorphousFront,
        "twin_lamella": TwinLamella,
        "decahedron": Decahedron,
        "grain_growth": GrainGrowth,
        "order_disorder": OrderDisorder,
    }
    assert by_name == SCENES
    assert all(isinstance(make_scene(kind), scene) for kind, scene in by_name.items())


def test_flat_parameters_reach_their_parts():
    scene = make_scene("front", velocity_nm_s=0.2, dose=4.0, jitter_px=0.5, modality="hrtem", seed=3)
    assert scene == AmorphousFront(
        velocity_nm_s=0.2,
        seed=3,
        detector=Detector(dose=4.0, flicker=AmorphousFront.detector.flicker),
        drift=Drift(jitter_px=0.5, wander_px=AmorphousFront.drift.wander_px),
        optics=scene.optics,
    )
    assert scene.optics.modality == "hrtem"


def test_parts_may_be_given_whole_and_changed():
    scene = make_scene("front", detector=Detector(dose=7.0), flicker=0.3)
    assert scene.detector == Detector(dose=7.0, flicker=0.3)


@pytest.mark.parametrize("kind", sorted(SCENES))
def test_parameters_rebuild_the_scene_even_through_json(kind):
    scene = make_scene(kind, shape_yx=(64, 72), hot_pixels=((1, 2), (3, 4)), blank_frames=(3,))
    assert make_scene(kind, **scene.parameters()) == scene
    assert make_scene(kind, **json.loads(json.dumps(scene.parameters()))) == scene
    assert hash(make_scene(kind, **scene.parameters())) == hash(scene)


def test_unknown_kind_and_parameter_come_with_a_suggestion():
    with pytest.raises(SceneError, match="did you mean 'decahedron'"):
        make_scene("dechaedron")
    with pytest.raises(SceneError, match=r"known are .*front"):
        make_scene("xyz")
    with pytest.raises(SceneError, match=r"unknown parameter 'velocity_nms' .* did you mean 'velocity_nm_s'"):
        make_scene("front", velocity_nms=1.0)
    with pytest.raises(SceneError, match="did you mean 'dose'"):
        make_scene("grain_growth", does=1.0)
    with pytest.raises(SceneError, match="unknown parameter 'velocity_nm_s'"):
        make_scene("decahedron", velocity_nm_s=1.0)
