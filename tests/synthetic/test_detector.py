from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.synthetic import SceneError, make_scene

SMALL = {"shape_yx": (96, 96), "n_frames": 12}


@settings(max_examples=12, deadline=None)
@given(dose=st.floats(0.5, 300), seed=st.integers(0, 2**31), gain=st.sampled_from([1.0, 3.0]))
def test_counts_are_poisson(dose, seed, gain):
    scene = make_scene("front", **SMALL, dose=dose, seed=seed, flicker=0.0, dtype="float32", counts_per_electron=gain)
    frame, expected = scene.frame(2).astype(np.float64), scene.expected(2).astype(np.float64)
    z = (frame - expected) / np.sqrt(gain * expected)
    n = frame.size
    assert abs(z.mean()) < 5 / np.sqrt(n)
    # the variance of z^2 is 2 + 1/mean for Poisson counts
    assert abs((z**2).mean() - 1) < 5 * np.sqrt((2 + gain * (1 / expected).mean()) / n)
    assert np.allclose(frame % gain, 0)


@settings(max_examples=6, deadline=None)
@given(dose=st.floats(1, 60), seed=st.integers(0, 2**31))
def test_dose_is_the_mean_over_the_crystal(dose, seed):
    scene = make_scene("front", shape_yx=(128, 128), dose=dose, seed=seed, flicker=0.0, thickness_variation=0.0)
    film = scene.truth(0).labels == 2
    assert scene.expected(0)[film].mean() == pytest.approx(dose, rel=0.03)


def test_integers_are_clipped_and_floats_are_not():
    tops = {"uint8": 255, "uint16": 65535}
    for dtype, top in tops.items():
        frame = make_scene("front", **SMALL, dose=1e5, dtype=dtype).frame(0)
        assert frame.dtype == dtype and frame.max() == top
    assert make_scene("front", **SMALL, dose=1e5, dtype="float32").frame(0).max() > 1e5


def test_flicker_is_the_gain_that_truth_tells():
    scene = make_scene("front", **(SMALL | {"n_frames": 400}), flicker=0.2, jitter_px=0.0, wander_px=0.0)
    steady = make_scene("front", **(SMALL | {"n_frames": 400}), flicker=0.0, jitter_px=0.0, wander_px=0.0)
    gains = np.array([scene.truth(i).gain for i in range(60)])
    assert gains.std() == pytest.approx(0.2, rel=0.35) and gains.mean() == pytest.approx(1, abs=0.1)
    for index in (0, 7, 399):
        np.testing.assert_allclose(
            scene.expected(index), scene.truth(index).gain * steady.expected(index), rtol=1e-4, atol=1e-4
        )


def test_line_noise_is_one_gain_a_row():
    scene = make_scene("front", **SMALL, line_noise=0.1, flicker=0.0)
    clean = make_scene("front", **SMALL, line_noise=0.0, flicker=0.0)
    rows = scene.expected(1) / clean.expected(1)
    assert rows.std(axis=1).max() < 1e-5
    assert rows[:, 0].std() == pytest.approx(0.1, rel=0.3)
    assert not np.allclose(rows[:, 0], (scene.expected(2) / clean.expected(2))[:, 0])


@settings(max_examples=10, deadline=None)
@given(
    hot=st.integers(0, 20), dead=st.integers(0, 20), empty=st.integers(0, 20), seed=st.integers(0, 2**31),
    rows=st.lists(st.integers(0, 95), max_size=2, unique=True),
)  # fmt: skip
def test_bad_pixels_are_where_the_truth_says(hot, dead, empty, seed, rows):
    faults = {"hot_pixels": hot, "dead_pixels": dead, "nan_pixels": empty, "dead_rows": tuple(rows)}
    common = SMALL | {"dose": 200.0, "dtype": "float32", "seed": seed, "dead_line_frames": (4,)}
    broken, sound = make_scene("front", **common, **faults), make_scene("front", **common)
    for index in (3, 4):
        bad = broken.truth(index).bad_pixels
        on_rows = np.zeros_like(bad)
        if index == 4:
            on_rows[list(rows)] = True
        assert np.count_nonzero(bad & ~on_rows) <= hot + dead + empty
        frame, clean = broken.frame(index), sound.frame(index)
        np.testing.assert_array_equal(frame[~bad], clean[~bad])
        differs = ~np.isclose(frame, clean) | np.isnan(frame)
        np.testing.assert_array_equal(differs, bad)
        if index == 3:
            assert np.count_nonzero(bad) == hot + dead + empty
            assert np.count_nonzero(np.isnan(frame)) == empty
            assert np.count_nonzero(frame[bad] == 0) == dead
            assert np.count_nonzero(frame[bad] > 2000) == hot


def test_given_places_are_kept():
    scene = make_scene(
        "front", **SMALL, dtype="float32", hot_pixels=[[5, 6]], nan_pixels=[[7, 8], [9, 1]], dead_columns=[30]
    )
    frame, bad = scene.frame(2), scene.truth(2).bad_pixels
    assert bad.sum() == 3 + 96
    assert frame[5, 6] > 10 * scene.detector.dose and np.isnan(frame[7, 8]) and np.isnan(frame[9, 1])
    assert (frame[:, 30] == 0).all()


def test_blank_and_duplicate_frames():
    scene = make_scene("front", **SMALL, blank_frames=(3,), duplicate_frames=(4, 7, 8))
    status = [scene.truth(i).status for i in range(12)]
    assert status == ["ok"] * 3 + ["blank"] * 2 + ["ok"] * 2 + ["duplicate"] * 2 + ["ok"] * 3
    assert [scene.truth(i).valid for i in range(12)] == [word != "blank" for word in status]
    assert scene.frame(3).max() == 0 and scene.expected(3).max() == 0
    for copy, original in ((4, 3), (7, 6), (8, 6)):
        np.testing.assert_array_equal(scene.frame(copy), scene.frame(original))
        np.testing.assert_array_equal(scene.truth(copy).labels, scene.truth(original).labels)
        assert scene.truth(copy).drift_yx == scene.truth(original).drift_yx
    means = [scene.frame(i).mean() for i in range(12)]
    assert all(mean > 1 for mean, word in zip(means, status, strict=True) if word != "blank")
    assert not np.array_equal(scene.frame(8), scene.frame(9))


def test_dark_counts_and_read_noise():
    scene = make_scene("front", **SMALL, blank_frames=(1,), dark_counts=5.0, read_noise=2.0, dtype="float32")
    frame = scene.frame(1)
    assert frame.mean() == pytest.approx(5, abs=0.15)
    assert frame.var() == pytest.approx(5 + 4, rel=0.1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dose": 0.0}, "dose"),
        ({"dtype": "int8"}, "one of 'uint8'"),
        ({"nan_pixels": 3}, "dtype='float32'"),
        ({"hot_pixels": ((1, 200),)}, "inside frames of shape"),
        ({"hot_pixels": "many"}, "a number of pixels"),
        ({"hot_pixels": 9000}, "at most a quarter"),
        ({"dead_rows": (96,)}, "below 96"),
        ({"blank_frames": (12,)}, "below 12"),
        ({"blank_frames": (-1,)}, "from 0 up"),
        ({"duplicate_frames": (0,)}, "one before them"),
        ({"flicker": -0.1}, "flicker"),
    ],
)
def test_senseless_detectors_are_refused(parameters, message):
    with pytest.raises(SceneError, match=message):
        make_scene("front", **SMALL, **parameters)
