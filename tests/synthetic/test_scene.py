"""Laws that every kind of scene keeps."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.movie import EmreelError
from emreel.synthetic import SCENES, FrameIndexError, SceneError, make_scene

KINDS = sorted(SCENES)
SMALL = {"shape_yx": (96, 80), "n_frames": 12}


def same_truth(first, second):
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name), err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_is_a_frame_source(kind):
    scene = make_scene(kind, **SMALL, frame_time_s=0.25)
    assert scene.n_frames == 12 and scene.shape_yx == (96, 80) and scene.name
    np.testing.assert_allclose(scene.frame_times_s, 0.25 * np.arange(12))
    assert scene.pixel_size_nm > 0
    frame = scene.frame(3)
    assert frame.shape == (96, 80) and frame.dtype == scene.dtype == np.uint8
    assert scene.truth(3).labels.shape == (96, 80)
    assert scene.truth(3).time_s == 0.75


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**31), order=st.permutations([0, 3, 7, 11]))
def test_frames_do_not_depend_on_each_other(kind, seed, order):
    parameters = SMALL | {"seed": seed, "jitter_px": 0.5, "flicker": 0.1, "hot_pixels": 3}
    forward = make_scene(kind, **parameters)
    frames = {index: forward.frame(index) for index in sorted(order)}
    shuffled = pickle.loads(pickle.dumps(make_scene(kind, **parameters)))
    for index in order:
        np.testing.assert_array_equal(shuffled.frame(index), frames[index])
        same_truth(shuffled.truth(index), forward.truth(index))


@pytest.mark.parametrize("kind", KINDS)
def test_neither_dose_nor_noise_touches_the_truth(kind):
    scene = make_scene(kind, **SMALL, seed=5)
    noisy = make_scene(kind, **SMALL, seed=5, dose=3.0, noise_seed=99, read_noise=2.0, dtype="uint16")
    for index in (0, 6, 11):
        a, b = scene.truth(index), noisy.truth(index)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.angle_deg, b.angle_deg)
        assert a.drift_yx == b.drift_yx
        assert not np.array_equal(scene.frame(index), noisy.frame(index))


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_makes_another_specimen(kind):
    first, second = make_scene(kind, **SMALL, seed=1), make_scene(kind, **SMALL, seed=2)
    assert not np.array_equal(first.expected(5), second.expected(5))
    assert first.truth(5).drift_yx != second.truth(5).drift_yx


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_frames_cost_nothing_until_asked_for(kind):
    start = time.perf_counter()
    scene = make_scene(kind, shape_yx=(64, 64), n_frames=10**6, drift_px_per_frame=(0.3, -0.2), jitter_px=0.3)
    assert time.perf_counter() - start < 0.05
    assert scene.frame(999_999).shape == (64, 64)
    truth = scene.truth(999_999)
    assert max(np.abs(truth.drift_yx)) < scene.drift.drift_limit_px + 6 * (
        scene.drift.jitter_px + scene.drift.wander_px
    )
    assert truth.labels.max() < scene.n_labels


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_truth_is_consistent(kind, data):
    shape = data.draw(st.tuples(st.integers(48, 120), st.integers(48, 120)), label="shape_yx")
    parameters = {
        "shape_yx": shape,
        "n_frames": data.draw(st.integers(1, 30), label="n_frames"),
        "seed": data.draw(st.integers(0, 2**31), label="seed"),
        "angle_deg": data.draw(st.floats(-20, 20), label="angle_deg"),
        "jitter_px": data.draw(st.floats(0, 2), label="jitter_px"),
    }
    scene = make_scene(kind, **parameters)
    truth = scene.truth(data.draw(st.integers(0, scene.n_frames - 1), label="index"))
    assert truth.areas_px.sum() == shape[0] * shape[1]
    assert len(truth.areas_px) == scene.n_labels
    for label, area in enumerate(truth.areas_px):
        assert area == np.count_nonzero(truth.labels == label)
    assert truth.angle_deg.shape == shape and truth.valid and truth.status == "ok"
    picture = scene.expected(truth.index)
    assert np.isfinite(picture).all() and picture.min() >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_expected_counts_scale_with_the_dose(kind):
    scene = make_scene(kind, **SMALL, dose=10.0)
    double = replace(scene, detector=replace(scene.detector, dose=20.0))
    np.testing.assert_allclose(double.expected(4), 2 * scene.expected(4), rtol=1e-5)


@pytest.mark.parametrize("index", [-1, 12, 10**9])
def test_no_such_frame(index):
    scene = make_scene("front", **SMALL)
    for ask in (scene.frame, scene.truth, scene.expected):
        with pytest.raises(FrameIndexError, match="from 0 to 11"):
            ask(index)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shape_yx": (16, 64)}, "shape_yx"),
        ({"shape_yx": 64}, "two whole numbers"),
        ({"n_frames": 0}, "n_frames"),
        ({"seed": -1}, "seed"),
        ({"pixel_size_nm": 0.0}, "pixel_size_nm"),
        ({"pixel_size_nm": float("nan")}, "pixel_size_nm"),
        ({"lattice_nm": 0.1}, "lattice_nm"),
        ({"frame_time_s": "fast"}, "frame_time_s='fast'"),
        ({"modality": "sem"}, "modality='sem'"),
        ({"speckle": -1.0}, "speckle"),
    ],
)
def test_senseless_parameters_are_refused(parameters, message):
    with pytest.raises(SceneError, match=message) as caught:
        make_scene("front", **({"shape_yx": (64, 64)} | parameters))
    assert "wanted" in str(caught.value)
    assert isinstance(caught.value, EmreelError) and isinstance(caught.value, ValueError)
