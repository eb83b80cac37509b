"""Translation symmetry against a float64 brute force, and the laws of every descriptor."""

from __future__ import annotations

import dataclasses
import functools
import operator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.translation import (
    PreselectedTranslations,
    TranslationError,
    TranslationSymmetry,
    grid_step,
    independent_shifts,
    lengths_from_period,
    original_shifts,
)
from emreel.testing import check_descriptor

fewer = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def described_frames(draw, max_shift_px=9):
    """A descriptor of any stride, and a padded frame of random texture, offset and gain."""
    stride = draw(st.integers(1, 8))
    patch_px = draw(st.integers(2, 12))
    component = st.integers(-max_shift_px, max_shift_px)
    shifts = draw(st.lists(st.tuples(component, component), min_size=1, max_size=6, unique=True))
    descriptor = PreselectedTranslations(shifts=tuple(shifts), patch_px=patch_px, stride=stride)
    height, width = (draw(st.integers(1, 8 * stride)) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (height + 2 * descriptor.halo, width + 2 * descriptor.halo)
    texture = rng.normal(size=shape)
    if draw(st.booleans()):
        y, x = np.mgrid[: shape[0], : shape[1]]
        texture += 2 * np.cos(0.9 * x + 0.2 * y) * np.cos(0.8 * y)
    gain = draw(st.sampled_from([0.05, 1.0, 300.0]))
    offset = draw(st.sampled_from([0.0, -3.0, 100.0]))
    return descriptor, ((texture + offset) * gain).astype(np.float32), rng


def brute_force(oracles, descriptor, padded, valid=None):
    return oracles.correlate_shifts(
        padded, valid, descriptor.shifts, descriptor.patch_px, descriptor.stride, descriptor.halo
    )


@fewer
@given(described_frames())
def test_equals_brute_force(oracles, drawn):
    descriptor, padded, _ = drawn
    assert np.abs(descriptor(padded) - brute_force(oracles, descriptor, padded)).max() <= 1e-6


@fewer
@given(described_frames(), st.sampled_from([0.001, 0.05, 0.6]), st.booleans())
def test_only_jointly_valid_pixels_count(oracles, drawn, part_dead, border):
    descriptor, padded, rng = drawn
    valid = rng.random(padded.shape) >= part_dead
    if border:
        valid[: descriptor.halo] = False
        valid[:, -descriptor.halo :] = False
    got = descriptor(np.where(valid, padded, np.float32(1e30)), valid)
    assert np.abs(got - brute_force(oracles, descriptor, padded, valid)).max() <= 1e-6
    hidden = np.where(valid, padded, np.float32(np.nan))
    np.testing.assert_array_equal(descriptor(hidden), got)


@fewer
@given(described_frames(), st.sampled_from([0.0, 3e4]), st.booleans())
def test_steps_of_1e4_over_noise_of_5(oracles, drawn, offset, both_ways):
    descriptor, padded, rng = drawn
    frame = rng.normal(offset, 5.0, padded.shape)
    frame[:, padded.shape[1] // 2 :] += 1e4
    if both_ways:
        frame[padded.shape[0] // 3 :] += 1e4
    frame = frame.astype(np.float32)
    assert np.abs(descriptor(frame) - brute_force(oracles, descriptor, frame)).max() <= 1e-4


@fewer
@given(described_frames(), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_tiles_are_the_whole_frame_to_the_bit(drawn, tile_rows, tile_cols, masked):
    descriptor, padded, rng = drawn
    valid = rng.random(padded.shape) > 0.01 if masked else np.ones(padded.shape, bool)
    whole = descriptor(padded, valid)
    stride, margin = descriptor.stride, 2 * descriptor.halo
    for i in range(0, whole.shape[0], tile_rows):
        for j in range(0, whole.shape[1], tile_cols):
            window = np.s_[
                i * stride : (i + tile_rows - 1) * stride + 1 + margin,
                j * stride : (j + tile_cols - 1) * stride + 1 + margin,
            ]
            np.testing.assert_array_equal(
                descriptor(padded[window], valid[window]), whole[i : i + tile_rows, j : j + tile_cols]
            )


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_a_frame_of_many_internal_tiles_is_its_parts(stride):
    rng = np.random.default_rng(stride)
    descriptor = TranslationSymmetry(window_px=6, patch_px=4, stride=stride, max_shifts=9)
    frame = rng.normal(1000, 50, (90 * stride, 290 * stride)).astype(np.float32)
    padded, valid = pad_frame(frame, descriptor.halo)
    whole = descriptor(padded, valid)
    for i0, j0 in ((0, 0), (50, 200), (13, 100), (60, 250)):
        window = np.s_[
            i0 * stride : (i0 + 30) * stride + 2 * descriptor.halo,
            j0 * stride : (j0 + 40) * stride + 2 * descriptor.halo,
        ]
        np.testing.assert_array_equal(descriptor(padded[window], valid[window]), whole[i0 : i0 + 30, j0 : j0 + 40])


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("cut", [np.s_[:, :], np.s_[12:, :], np.s_[:, 12:]], ids=["frame", "no top", "no left"])
def test_an_invalid_pixel_is_seen_no_farther_than_a_patch_reaches(stride, cut):
    """Rims, sides and corners of a frame without holes are summed in another way than where there is a hole."""
    rng = np.random.default_rng(stride)
    descriptor = TranslationSymmetry(window_px=6, patch_px=4, stride=stride, max_shifts=25)
    padded, valid = pad_frame(rng.normal(1000, 50, (60, 83)).astype(np.float32), descriptor.halo)
    padded, valid = padded[cut], valid[cut]
    holed = valid.copy()
    y, x = 33, 40
    holed[y, x] = False
    without, having = descriptor(padded, valid), descriptor(padded, holed)
    i, j = (np.arange(n) * stride + descriptor.halo for n in without.shape[:2])
    far = np.maximum(abs(i[:, None] - y), abs(j[None, :] - x)) > descriptor.halo
    assert far.any() and not far.all()
    np.testing.assert_array_equal(having[far], without[far])
    assert np.any(having[~far] != without[~far])


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7, 8])
def test_conforms(stride):
    check_descriptor(TranslationSymmetry(window_px=6, patch_px=5, stride=stride, max_shifts=30))


def test_defaults_conform():
    check_descriptor(TranslationSymmetry())


def test_preselected_conforms():
    check_descriptor(PreselectedTranslations(shifts=((0, 5), (5, 0), (-3, -4)), patch_px=6, stride=4), centred=False)
    check_descriptor(PreselectedTranslations(shifts=((0, 5), (0, -5)), patch_px=6, stride=4))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((60, 60)),
        np.full((60, 60), 65535.0),
        np.full((60, 60), np.nan),
        np.full((60, 60), 1e30),
        np.full((60, 60), 1e-30),
        np.where(np.arange(60) < 30, 0.0, 65535.0) * np.ones((60, 1)),
        np.random.default_rng(0).normal(size=(60, 60)) * 1e30,
        np.random.default_rng(0).normal(size=(60, 60)) * 1e-30,
        np.where(np.random.default_rng(0).random((60, 60)) < 0.3, np.inf, 7.0),
        np.where(np.random.default_rng(0).random((60, 60)) < 0.01, 3e38, 7.0),
    ],
    ids=["vacuum", "saturated", "NaN", "1e30", "1e-30", "edge", "noise 1e30", "noise 1e-30", "inf", "spikes"],
)
def test_hard_frames_give_finite_correlations(oracles, frame):
    descriptor = TranslationSymmetry(window_px=6, patch_px=5, stride=4, max_shifts=9)
    frame = frame.astype(np.float32)
    for valid in (None, np.random.default_rng(1).random(frame.shape) > 0.1):
        got = descriptor(frame, valid)
        assert np.isfinite(got).all()
        assert np.abs(got).max() <= 1
        assert np.abs(got - brute_force(oracles, descriptor, frame, valid)).max() <= 1e-5


def test_flat_patch_has_no_correlation():
    descriptor = PreselectedTranslations(shifts=((0, 4), (4, 0)), patch_px=5, stride=2)
    frame = np.random.default_rng(0).normal(100, 10, (60, 80)).astype(np.float32)
    frame[:, :30] = 123.4
    got = descriptor(frame)
    assert np.all(got[:, :4] == 0)
    assert np.abs(got[:, -5:]).min() > 0


def test_a_lattice_fits_onto_itself_after_a_period():
    y, x = np.mgrid[:120, :120]
    lattice = (np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 12)).astype(np.float32)
    descriptor = PreselectedTranslations(shifts=((0, 8), (12, 0), (0, 4), (6, 4)), patch_px=12, stride=4)
    got = descriptor(lattice)
    np.testing.assert_allclose(got[..., :2], 1, atol=1e-5)
    np.testing.assert_allclose(got[..., 2], -1, atol=1e-5)
    np.testing.assert_allclose(got[..., 3], 1, atol=1e-5)


@given(st.integers(1, 40), st.integers(9, 500))
def test_shift_grids(window_px, max_shifts):
    step = grid_step(window_px, max_shifts)
    assert (2 * window_px // step + 1) ** 2 <= max_shifts
    assert step == 1 or (2 * window_px // (step - 1) + 1) ** 2 > max_shifts
    original = original_shifts(window_px, max_shifts)
    assert original[0] == (-window_px, -window_px) and len(original) <= max_shifts
    half = set(independent_shifts(window_px, max_shifts))
    other = {(-dy, -dx) for dy, dx in half}
    assert not half & other and (0, 0) not in half
    reach = window_px // step * step
    axis = range(-reach, reach + 1, step)
    assert half | other | {(0, 0)} == {(dy, dx) for dy in axis for dx in axis}


def test_default_grid_is_the_published_one_and_half_of_it():
    assert grid_step(20, 100) == grid_step(21, 100) == 5
    assert len(original_shifts(20)) == len(original_shifts(21)) == 81
    assert (0, 0) in original_shifts(20) and (0, 0) not in original_shifts(21)
    descriptor = TranslationSymmetry()
    assert (descriptor.halo, len(descriptor.features), len(set(descriptor.features))) == (40, 40, 40)
    dy, dx = np.array(descriptor.shifts).T
    assert abs(dy.sum()) <= 20 and abs(dx.sum()) <= 20 and dy.min() == dx.min() == -20 and dy.max() == dx.max() == 20
    assert descriptor.features[0].name == "shift {:+d} {:+d} px".format(*descriptor.shifts[0])


@fewer
@given(described_frames())
def test_preselected_is_the_same_as_the_grid(drawn):
    _, padded, _ = drawn
    grid = TranslationSymmetry(window_px=4, patch_px=3, stride=2, max_shifts=25)
    chosen = PreselectedTranslations(shifts=grid.shifts[3:8], patch_px=3, stride=2)
    rim = grid.halo - chosen.halo
    inner = padded[rim : padded.shape[0] - rim, rim : padded.shape[1] - rim]
    if min(padded.shape) > 2 * grid.halo:
        np.testing.assert_array_equal(chosen(inner), grid(padded)[..., 3:8])


@fewer
@given(described_frames(), st.integers(1, 4))
def test_projection_is_fused_not_different(drawn, n_components):
    descriptor, padded, rng = drawn
    n = len(descriptor.features)
    mean, components = rng.normal(size=n), rng.normal(size=(n_components, n))
    plain = (descriptor(padded).astype(np.float64) - mean) @ components.T
    np.testing.assert_allclose(descriptor.project(padded, mean, components), plain, atol=2e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TranslationSymmetry(window_px=0),
        lambda: TranslationSymmetry(patch_px=0),
        lambda: TranslationSymmetry(stride=2.5),
        lambda: TranslationSymmetry(max_shifts=4),
        lambda: PreselectedTranslations(shifts=()),
        lambda: PreselectedTranslations(shifts=((1.5, 2.0),)),
        lambda: PreselectedTranslations(shifts=((1, 2, 3),)),
        lambda: PreselectedTranslations(shifts=((1, 2), (1, 2))),
        lambda: TranslationSymmetry()(np.zeros((80, 100), np.float32)),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(TranslationError, match="got"):
        build()


def test_values_survive_a_round_trip_as_data():
    descriptor = PreselectedTranslations(shifts=[[0, 5], [5, 0]], patch_px=6)  # as a recipe gives them
    assert descriptor == PreselectedTranslations(**dataclasses.asdict(descriptor))
    assert hash(descriptor) == hash(dataclasses.replace(descriptor))


def test_frames_of_other_memory_order_and_type():
    rng = np.random.default_rng(0)
    padded = rng.normal(size=(70, 75)).astype(np.float32)
    descriptor = TranslationSymmetry(window_px=6, patch_px=5, stride=4, max_shifts=9)
    expected = descriptor(padded)
    np.testing.assert_array_equal(descriptor(np.asfortranarray(padded)), expected)
    np.testing.assert_array_equal(descriptor(np.repeat(padded, 2, axis=1)[:, ::2]), expected)


def test_pystem_gives_the_same_numbers_on_its_own_grid():
    """The reference is made by ``python benchmarks/reference.py`` from pySTEM 0.0.26, method fft."""
    with np.load(Path(__file__).parents[1] / "data" / "pystem_translation.npz") as reference:
        window_px, max_shifts = int(reference["window_px"]), int(reference["max_shifts"])
        descriptor = PreselectedTranslations(
            shifts=original_shifts(window_px, max_shifts),
            patch_px=int(reference["patch_px"]),
            stride=int(reference["stride"]),
        )
        frame, expected = reference["frame"], reference["features"]
    got = descriptor(frame)
    assert expected.shape[2] == len(descriptor.shifts) == 81
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-6


def lattice_movie(period_px, n_frames=3, side=200):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    a, b = 2 * np.pi * (0.96 * x + 0.28 * y) / period_px, 2 * np.pi * (0.96 * y - 0.28 * x) / period_px
    return [
        (100 + 15 * (np.cos(a) + np.cos(b)) + rng.normal(0, 15, y.shape)).astype(np.float32) for _ in range(n_frames)
    ]


def fold_over(frames):
    def fold(of):
        parts = [of(frame, np.ones(frame.shape, bool)) for frame in frames]
        return functools.reduce(operator.add, parts)

    return fold


@pytest.mark.parametrize("period_px", [6.0, 11.3, 20.0])
def test_lengths_follow_the_lattice(period_px):
    fold = fold_over(lattice_movie(period_px))
    suggested = TranslationSymmetry.suggest({}, fold)
    assert suggested == TranslationSymmetry(**lengths_from_period(period_px))
    assert abs(suggested.window_px - 2 * period_px) <= 1
    assert suggested.patch_px > period_px
    assert TranslationSymmetry.suggest({"window_px": 9, "stride": 2}, fold) == TranslationSymmetry(
        window_px=9, stride=2, patch_px=suggested.patch_px
    )


def test_given_lengths_need_no_movie():
    def never(of):
        raise AssertionError("the movie was read")

    given = {"window_px": 8, "patch_px": 6, "stride": 3}
    assert TranslationSymmetry.suggest(given, never) == TranslationSymmetry(**given)
    assert TranslationSymmetry.suggest(given | {"max_shifts": 9}, never).max_shifts == 9


def test_a_movie_without_order_gets_the_published_lengths():
    rng = np.random.default_rng(0)
    noise = [rng.normal(100, 10, (160, 160)).astype(np.float32) for _ in range(3)]
    assert TranslationSymmetry.suggest({}, fold_over(noise)) == TranslationSymmetry()


def test_preselected_shifts_are_the_users():
    fold = fold_over(lattice_movie(11.3))
    got = PreselectedTranslations.suggest({"shifts": [[0, 11]]}, fold)
    assert got == PreselectedTranslations(shifts=((0, 11),), patch_px=17, stride=4)
    with pytest.raises(TranslationError, match="no shifts"):
        PreselectedTranslations.suggest({}, fold)


def test_threads_do_not_share_their_work():
    rng = np.random.default_rng(0)
    descriptor = TranslationSymmetry(window_px=6, patch_px=5, stride=3, max_shifts=25)
    frames = [rng.normal(100 * i, 10, (90, 110)).astype(np.float32) for i in range(8)]
    expected = [descriptor(*pad_frame(frame, descriptor.halo)) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(descriptor, *pad_frame(frame, descriptor.halo)) for frame in frames * 3]
        for job, wanted in zip(jobs, expected * 3, strict=True):
            np.testing.assert_array_equal(job.result(), wanted)
