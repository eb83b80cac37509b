"""The local power spectrum against numpy's FFT of every window, its laws, and the stripes of a real alloy."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.descriptors.spectrum import PowerSpectrum, SpectrumError
from emreel.fit import fit_model
from emreel.movie import make_movie
from emreel.recipe import Recipe
from emreel.testing import check_descriptor

fewer = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def window_spectrum(pixels, valid):
    """|F|^2 of one window, shape (side, side), zero frequency in the middle: the formula, in float64."""
    side = len(pixels)
    pixels, valid = np.where(valid, pixels, 0).astype(np.float64), valid.astype(np.float64)
    taper = np.sqrt(np.outer(np.hanning(side), np.hanning(side)))
    if (valid * taper**2).sum() < (taper**2).sum() / 16:
        return np.zeros(pixels.shape)
    mean = (valid * pixels).sum() / valid.sum()
    power = np.abs(np.fft.fftshift(np.fft.fft2(valid * (pixels - mean) * taper))) ** 2
    return power * (taper**2).sum() / (valid * taper**2).sum()


def brute_force(descriptor, padded, valid=None):
    """Every feature of every grid point, float64."""
    w, side, stride = descriptor.window_px, 2 * descriptor.window_px + 1, descriptor.stride
    valid = np.ones(padded.shape, bool) if valid is None else valid
    rows, columns = (range(0, n - 2 * w, stride) for n in padded.shape)
    at = np.rint(descriptor.frequencies * side).astype(int) + w
    out = []
    for y in rows:
        for x in columns:
            here = np.s_[y : y + side, x : x + side]
            power = window_spectrum(padded[here], valid[here]) / descriptor.floor_power
            out.append(power[at[:, 0], at[:, 1]])
    values = np.array(out).reshape(len(rows), len(columns), -1)
    return np.log1p(values) if descriptor.log else values


@st.composite
def described_frames(draw):
    """A descriptor of any window and stride, and a padded frame of random texture, offset and gain."""
    descriptor = PowerSpectrum(
        window_px=draw(st.integers(1, 12)),
        stride=draw(st.integers(1, 8)),
        log=draw(st.booleans()),
        floor_power=draw(st.sampled_from([1e-3, 1.0, 300.0])),
        highest_frequency=draw(st.sampled_from([0.15, 0.31, 0.5, 0.71])),
    )
    height, width = (draw(st.integers(1, 5 * descriptor.stride)) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (height + 2 * descriptor.halo, width + 2 * descriptor.halo)
    y, x = np.mgrid[: shape[0], : shape[1]]
    texture = rng.normal(size=shape) + 2 * np.cos(0.9 * x + 0.2 * y) * np.cos(0.8 * y)
    frame = (texture + draw(st.sampled_from([0.0, -3.0, 5000.0]))) * draw(st.sampled_from([0.05, 1.0, 300.0]))
    return descriptor, frame.astype(np.float32), rng


def assert_equal_powers(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-6 * max(1.0, np.abs(wanted).max()))


@fewer
@given(described_frames())
def test_equals_the_fft_of_every_window(drawn):
    descriptor, padded, _ = drawn
    assert_equal_powers(descriptor(padded), brute_force(descriptor, padded))


@fewer
@given(described_frames(), st.sampled_from([0.002, 0.05, 0.6]), st.booleans())
def test_only_valid_pixels_count(drawn, part_dead, border):
    descriptor, padded, rng = drawn
    valid = rng.random(padded.shape) >= part_dead
    if border:
        valid[: descriptor.halo] = False
        valid[:, -descriptor.halo :] = False
    got = descriptor(np.where(valid, padded, np.float32(1e30)), valid)
    assert_equal_powers(got, brute_force(descriptor, padded, valid))
    np.testing.assert_array_equal(descriptor(np.where(valid, padded, np.float32(np.nan))), got)


def test_published_features_are_the_whole_plane_and_ours_half_of_it():
    descriptor = PowerSpectrum()
    assert (descriptor.halo, len(descriptor.features)) == (20, (41 * 41 + 1) // 2)
    half = {(round(ky * 41), round(kx * 41)) for ky, kx in descriptor.frequencies}
    other = {(-ky, -kx) for ky, kx in half}
    assert half & other == {(0, 0)}
    assert len(half | other) == 1681
    padded = np.random.default_rng(0).normal(300, 20, (41, 41)).astype(np.float32)
    published = np.log(window_spectrum(padded, np.ones((41, 41), bool)) + 1)
    ky, kx = (np.rint(descriptor.frequencies.T * 41)).astype(int)
    np.testing.assert_allclose(descriptor(padded)[0, 0], published[20 + ky, 20 + kx], rtol=1e-6)
    np.testing.assert_allclose(descriptor(padded)[0, 0], published[20 - ky, 20 - kx], rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 3, 4, 8])
def test_conforms(stride):
    check_descriptor(PowerSpectrum(window_px=6, stride=stride), tolerance=1e-5)


@pytest.mark.parametrize("fields", [{"log": False}, {"radial": True}, {"highest_frequency": 0.3, "floor_power": 900.0}])
def test_variants_conform(fields):
    check_descriptor(PowerSpectrum(window_px=7, stride=4, **fields), tolerance=1e-5)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((60, 60)),
        np.full((60, 60), 65535.0),
        np.full((60, 60), np.nan),
        np.full((60, 60), 1e30),
        np.where(np.arange(60) < 30, 0.0, 65535.0) * np.ones((60, 1)),
        np.random.default_rng(0).normal(size=(60, 60)) * 1e30,
        np.random.default_rng(0).normal(size=(60, 60)) * 1e-30,
        np.where(np.random.default_rng(0).random((60, 60)) < 0.3, np.inf, 7.0),
        np.where(np.random.default_rng(0).random((60, 60)) < 0.01, 3e38, 7.0),
    ],
    ids=["vacuum", "saturated", "NaN", "1e30", "edge", "noise 1e30", "noise 1e-30", "inf", "spikes"],
)
@pytest.mark.parametrize("log", [True, False])
def test_hard_frames_give_finite_features(frame, log):
    descriptor = PowerSpectrum(window_px=6, stride=4, log=log)
    for valid in (None, np.random.default_rng(1).random(frame.shape) > 0.1):
        got = descriptor(frame.astype(np.float32), valid)
        assert np.isfinite(got).all() and got.min() >= 0


def test_a_flat_frame_has_no_power_whatever_its_offset():
    for level in (0.0, 7.0, 65535.0):
        padded, valid = pad_frame(np.full((40, 50), level, np.float32), 8)
        assert PowerSpectrum(window_px=8)(padded, valid).max() <= 1e-6


def test_a_wave_shows_at_its_frequency_and_nowhere_else():
    y, x = np.mgrid[:90, :90]
    frame = (500 + 10 * np.cos(2 * np.pi * (4 * y - 6 * x) / 41)).astype(np.float32)
    descriptor = PowerSpectrum(window_px=20, stride=7, log=False)
    got = descriptor(frame)
    strongest = descriptor.frequencies[got.argmax(axis=2)] * 41
    np.testing.assert_allclose(strongest, np.broadcast_to([-4, 6], strongest.shape))
    np.testing.assert_allclose(got.max(axis=2), (5 * np.sqrt(np.hanning(41)).sum() ** 2) ** 2, rtol=2e-3)
    far = np.hypot(*(descriptor.frequencies * 41 - [-4, 6]).T) > 3
    assert got[..., far].max() < 2e-3 * got.max()


def test_edges_are_described_by_the_pixels_there_are():
    y, x = np.mgrid[:96, :96]
    frame = (500 + 10 * np.cos(2 * np.pi * (4 * y - 6 * x) / 41)).astype(np.float32)
    descriptor = PowerSpectrum(window_px=20, stride=5, log=False)
    got = descriptor(*pad_frame(frame, descriptor.halo))
    at = int(got[10, 10].argmax())
    whole = got[10, 10, at]
    assert np.all(got.argmax(axis=2)[1:-1, 1:-1] == at)
    assert got[..., at].min() / whole > 0.2 and got[..., at].max() / whole < 1.1


def test_radial_is_the_mean_over_rings_and_blind_to_orientation():
    rng = np.random.default_rng(3)
    frame = rng.normal(100, 5, (60, 60)).astype(np.float32)
    rings = PowerSpectrum(window_px=9, stride=6, radial=True, log=False)
    power = window_spectrum(frame[12:31, 18:37], np.ones((19, 19), bool))
    radius = np.rint(np.hypot(*np.mgrid[-9:10, -9:10])).astype(int)
    n_rings = len(rings.features)
    wanted = [power[radius == ring].mean() for ring in range(n_rings)]
    np.testing.assert_allclose(rings(frame)[2, 3], wanted, rtol=1e-5)
    turned = rings(np.ascontiguousarray(np.rot90(frame[:55, :55])))  # grid of 7 x 7 points, the middle is a pixel
    np.testing.assert_allclose(turned, np.rot90(rings(frame[:55, :55])), rtol=1e-4)


@given(st.floats(0.01, 1000.0))
@settings(max_examples=8, deadline=None)
def test_a_gain_changes_nothing_once_the_floor_is_learned(gain):
    frames = lattice_movie(9.3)
    plain = PowerSpectrum.suggest({}, fold_over(frames))
    brighter = PowerSpectrum.suggest({}, fold_over([frame * np.float32(gain) for frame in frames]))
    padded, valid = pad_frame(frames[0], plain.halo)
    assert brighter.floor_power == pytest.approx(plain.floor_power * gain**2, rel=1e-4)
    np.testing.assert_allclose(brighter(padded * np.float32(gain), valid), plain(padded, valid), atol=1e-3)
    published = PowerSpectrum(window_px=plain.window_px)
    if not 0.5 < gain < 2:
        assert np.abs(published(padded * np.float32(gain), valid) - published(padded, valid)).max() > 0.5


def lattice_movie(period_px, side=192, n_frames=2):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    a, b = 2 * np.pi * (0.96 * x + 0.28 * y) / period_px, 2 * np.pi * (0.96 * y - 0.28 * x) / period_px
    return [
        (100 + 15 * (np.cos(a) + np.cos(b)) + rng.normal(0, 15, y.shape)).astype(np.float32) for _ in range(n_frames)
    ]


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


@pytest.mark.parametrize("period_px", [6.0, 11.3])
def test_lengths_and_floor_follow_the_movie(period_px):
    suggested = PowerSpectrum.suggest({}, fold_over(lattice_movie(period_px)))
    assert abs(suggested.window_px - 2 * period_px) <= 1
    assert suggested.stride == round(period_px / 3)
    assert suggested.highest_frequency == pytest.approx(1.5 / period_px, rel=0.02)
    side = 2 * suggested.window_px + 1
    noise = 15**2 * np.sum(np.hanning(side)) ** 2  # mean power of white noise in a tapered window
    assert noise * np.log(2) * 0.9 < suggested.floor_power < noise * 3
    padded, valid = pad_frame(lattice_movie(period_px)[0], suggested.halo)
    spots = suggested(padded, valid)[5:-5, 5:-5].max(axis=2)
    assert np.median(spots) > 2


def test_what_is_given_is_kept():
    def never(of):
        raise AssertionError("the movie was read")

    given_fields = {"window_px": 8, "stride": 3, "highest_frequency": 0.3, "floor_power": 2.0}
    assert PowerSpectrum.suggest(given_fields, never) == PowerSpectrum(**given_fields)
    suggested = PowerSpectrum.suggest({"window_px": 9, "log": False}, fold_over(lattice_movie(9.3)))
    assert (suggested.window_px, suggested.log, suggested.stride) == (9, False, 3)


def test_movies_without_order_or_without_anything_work():
    rng = np.random.default_rng(0)
    noise = [rng.normal(100, 10, (160, 160)).astype(np.float32) for _ in range(3)]
    suggested = PowerSpectrum.suggest({}, fold_over(noise))
    assert (suggested.window_px, suggested.stride, suggested.highest_frequency) == (20, 4, 0.25)
    mean_power = 100 * np.sum(np.hanning(41)) ** 2
    assert suggested.floor_power == pytest.approx(np.log(2) * mean_power, rel=0.15)
    assert PowerSpectrum.suggest({}, fold_over([np.full((64, 64), 5.0, np.float32)])).floor_power > 0
    assert PowerSpectrum.suggest({"window_px": 20}, fold_over([noise[0][:30, :25]])).floor_power > 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: PowerSpectrum(window_px=0),
        lambda: PowerSpectrum(stride=2.5),
        lambda: PowerSpectrum(floor_power=0.0),
        lambda: PowerSpectrum(highest_frequency=-0.1),
        lambda: PowerSpectrum(floor_power=float("nan")),
        lambda: PowerSpectrum()(np.zeros((40, 100), np.float32)),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(SpectrumError, match="got"):
        build()


def test_values_survive_a_round_trip_as_data():
    descriptor = PowerSpectrum(window_px=9, floor_power=3.5, radial=True)
    described = describe_descriptor(descriptor)
    assert build_descriptor(described.pop("name"), described) == descriptor


@pytest.mark.data
def test_stripes_of_the_published_example(data_dir: Path) -> None:
    """At K = 3 the three groups of plates are one class, the fringe patch another, the matrix the third."""
    frame = np.load(data_dir / "real" / "high_entropy_alloy.npy").astype(np.float32)
    recipe = Recipe.from_dict(
        {"descriptor": {"name": "spectrum"}, "cluster": {"n_clusters": 3}, "sample": {"points": 20_000}}
    )
    label = fit_model(make_movie(frame[None]), recipe).label(frame)
    plates = [(60, 60), (150, 120), (900, 385), (60, 370), (250, 430), (500, 510), (700, 605), (900, 660)]
    plates += [(500, 700), (700, 775), (900, 850)]
    patch = [(300, 300), (450, 400), (550, 350), (600, 170), (450, 120)]
    matrix = [(100, 700), (300, 900), (600, 960), (750, 470), (900, 150), (850, 500), (650, 680), (900, 970)]
    found = [_majority(label, points) for points in (plates, patch, matrix)]
    assert all(len(set(one)) == 1 for one in found), found
    assert len({one[0] for one in found}) == 3


def _majority(label: np.ndarray, points: list[tuple[int, int]]) -> list[int]:
    return [int(np.bincount(label[y - 8 : y + 9, x - 8 : x + 9].ravel()).argmax()) for y, x in points]
