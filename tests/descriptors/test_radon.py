"""Radon variance against plain float64 projections, skimage, and the laws of every descriptor."""

from __future__ import annotations

import dataclasses
import functools
import operator
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.transform import radon

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.kernels.radon import (
    BATCH,
    describe_points,
    disc_reach,
    disc_shape_curve,
    line_operator,
    radius_of,
)
from emreel.descriptors.radon import (
    RadonError,
    RadonVariance,
    aligned_bits,
    bent_bits,
    excess_curves,
    order_of,
    relative_curves,
    threshold_from_pairs,
    tile_from_period,
)
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.synthetic import GrainGrowth
from emreel.testing import check_descriptor

fewer = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOTHING = np.empty((0, 0), bool)


def disc_of(tile_px):
    reach = disc_reach(tile_px)
    radius = radius_of(tile_px)
    return np.abs(np.arange(-radius, radius + 1)) <= reach[:, None]


def lattice(shape, period_px, turn_deg, noise=0.0, seed=0, fringes_only=False):
    """Rows of a lattice whose normal has the angle turn_deg, anticlockwise from x; y points down."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    turn = np.deg2rad(turn_deg)
    along, across = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    wave = np.cos(2 * np.pi * along / period_px)
    if not fringes_only:
        wave = wave + np.cos(2 * np.pi * across / period_px)
    return (100 + 20 * wave + np.random.default_rng(seed).normal(0, noise, shape)).astype(np.float32)


def project_by_lines(tile, n_angles):
    """The sinogram, plainly: along every line, points a pixel apart, each interpolated linearly; (s, angle).

    At multiples of 45 degrees points meet pixels, and interpolation takes nothing away that it takes elsewhere.
    """
    radius = tile.shape[0] // 2
    wide = np.pad(tile.astype(np.float64), radius + 2)
    middle = wide.shape[0] // 2
    steps = np.arange(-radius, radius + 1)
    sinogram = np.zeros((len(steps), n_angles))
    for a in range(n_angles):
        c, s = np.cos(np.pi * a / n_angles), np.sin(np.pi * a / n_angles)
        x = middle + steps[:, None] * c + steps[None, :] * s
        y = middle - steps[:, None] * s + steps[None, :] * c
        i, j = np.floor(y).astype(int), np.floor(x).astype(int)
        p, q = y - i, x - j
        points = (1 - p) * ((1 - q) * wide[i, j] + q * wide[i, j + 1])
        points += p * ((1 - q) * wide[i + 1, j] + q * wide[i + 1, j + 1])
        sinogram[:, a] = points.sum(axis=1)
    return sinogram


def power_along_lines(tile, n_angles):
    """The kernel's formula with the spectrum taken exactly where it is wanted, in float64."""
    radius = tile.shape[0] // 2
    size = line_operator(2 * radius + 1, n_angles).fft_px
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    k = np.arange(1, size // 2) / size
    out = np.zeros(n_angles)
    for a in range(n_angles):
        c, s = np.cos(np.pi * a / n_angles), np.sin(np.pi * a / n_angles)
        wave = np.exp(-2j * np.pi * k[:, None] * (x * c - y * s).ravel()[None, :])
        response = (np.sinc(k * c) * np.sinc(k * s)) ** 4
        out[a] = np.sum(2 * np.abs(wave @ tile.ravel()) ** 2 * response) / (size * (2 * radius + 1))
    return out


def curve_of(frame, tile_px, n_angles, valid=NOTHING, equalise=False):
    """The kernel's curve of the one disc that fills a frame, in counts^2 px^2."""
    corners = np.zeros((1, 2), np.int64)
    _, curves, deviation = next(describe_points(frame, valid, corners, tile_px, n_angles, equalise=equalise))
    return curves[0] * deviation[0] ** 2


def standing_out(tile_px, frame):
    inside = disc_of(tile_px)
    return np.where(inside, frame - frame[inside].mean(dtype=np.float64), 0.0)


@fewer
@given(
    tile_px=st.sampled_from([31, 40, 55]),
    periods=st.floats(4.0, 8.0),
    turn=st.tuples(st.integers(0, 3), st.floats(10, 35)).map(lambda parts: 45 * parts[0] + parts[1]),
    noise=st.sampled_from([0.0, 10.0]),
    seed=st.integers(0, 99),
)
def test_variances_are_those_of_the_projections(tile_px, periods, turn, noise, seed):
    side = 2 * radius_of(tile_px) + 1
    frame = lattice((side, side), side / periods, turn, noise, seed)
    got = curve_of(frame, tile_px, 36)
    wanted = (project_by_lines(standing_out(tile_px, frame), 36) ** 2).mean(axis=0)
    got, wanted = (np.delete(one, np.s_[::9]) for one in (got, wanted))  # lines that need no interpolation, see above
    assert np.corrcoef(got, wanted)[0, 1] > 0.999
    assert np.abs(got - wanted).max() < 0.05 * wanted.max()


@fewer
@given(tile_px=st.sampled_from([23, 31, 33]), seed=st.integers(0, 999))
def test_reading_between_the_bins_errs_little_even_for_noise(tile_px, seed):
    frame = np.random.default_rng(seed).normal(size=(tile_px, tile_px)).astype(np.float32)
    got, wanted = curve_of(frame, tile_px, 20), power_along_lines(standing_out(tile_px, frame), 20)
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.03 * wanted.mean()


@pytest.mark.parametrize(("period_px", "turn", "noise"), [(11.3, 12, 20), (7.0, 63, 10), (25.0, 0, 5), (5.0, 45, 20)])
def test_skimage_gives_the_same_curve_and_the_same_bits(period_px, turn, noise):
    frame = lattice((127, 127), period_px, turn, noise)
    tile = np.pad(standing_out(128, frame), 1)  # skimage asks for zeros outside a slightly smaller disc
    sinogram = radon(tile, theta=np.arange(0, 180, 3.0), circle=True)
    got, wanted = curve_of(frame, 128, 60), sinogram.var(axis=0)
    assert np.corrcoef(got, wanted)[0, 1] >= 0.999
    away = np.abs(relative_curves(wanted) - 1.5) > 0.01 * relative_curves(wanted).max()  # from the threshold
    np.testing.assert_array_equal(aligned_bits(got, 1.5)[away], aligned_bits(wanted, 1.5)[away])


@pytest.mark.parametrize("tile_px", [16, 41, 64, 128])
def test_a_disc_itself_has_no_direction(tile_px):
    shape = np.where(disc_of(tile_px), 1.0, 0.0)
    exact = (project_by_lines(shape, 12) ** 2).mean(axis=0)
    np.testing.assert_allclose(disc_shape_curve(tile_px, 12), exact, rtol=0.03)
    assert np.ptp(exact) < 0.1 * exact.mean()
    assert line_operator(tile_px, 12).fft_px >= 2 * radius_of(tile_px) + 1
    assert len(disc_reach(tile_px)) == 2 * radius_of(tile_px) + 1


@pytest.mark.parametrize("turn", [0, 17, 45, 90, 133, 179])
def test_the_peak_is_where_the_rows_are_seen_edge_on(turn):
    frame = lattice((90, 90), 8.0, turn, 10.0, fringes_only=True)
    curve = RadonVariance(tile_px=64, stride=13)(frame)[0, 0]
    assert abs((curve.argmax() - turn + 90) % 180 - 90) <= 1


def test_half_a_turn_is_all_and_a_square_lattice_repeats_after_a_quarter():
    radon_variance = RadonVariance(tile_px=64, stride=30, n_angles=36)
    curve = radon_variance(lattice((127, 127), 9.0, 31))[1, 1]
    assert np.corrcoef(curve, np.roll(curve, 18))[0, 1] > 0.99
    assert np.corrcoef(curve, np.roll(curve, 9))[0, 1] < 0.5
    hexagonal = sum(lattice((127, 127), 9.0, turn, fringes_only=True) for turn in (20, 80, 140))
    curve = radon_variance(hexagonal)[1, 1]
    assert np.corrcoef(curve, np.roll(curve, 12))[0, 1] > 0.98


@fewer
@given(st.floats(0, 180), st.sampled_from(["curve", "aligned", "bent"]), st.sampled_from(["excess", "mean"]))
def test_turning_the_frame_turns_the_curve(turn, form, scale):
    frame = lattice((63, 63), 7.0, turn, 5.0)
    radon_variance = RadonVariance(tile_px=64, stride=1, n_angles=36, form=form, scale=scale)
    curve, turned = radon_variance(frame)[0, 0], radon_variance(np.rot90(frame))[0, 0]
    agree = np.isclose(turned, np.roll(curve, 18), atol=1e-3)
    assert agree.mean() > 0.9 if form != "curve" else agree.all()


@fewer
@given(st.floats(0.01, 1000), st.floats(-500, 500), st.sampled_from(["excess", "mean"]))
def test_brightness_contrast_and_dose_cancel(gain, offset, scale):
    frame = lattice((80, 70), 8.0, 25, 10.0)
    radon_variance = RadonVariance(tile_px=32, stride=8, n_angles=20, scale=scale)
    np.testing.assert_allclose(
        radon_variance(np.float32(gain) * (frame + np.float32(offset))), radon_variance(frame), atol=2e-3
    )


def test_counts_grow_with_the_square_of_the_contrast():
    frame = lattice((80, 70), 8.0, 25, 10.0)
    radon_variance = RadonVariance(tile_px=32, stride=8, n_angles=20, scale="counts")
    np.testing.assert_allclose(radon_variance(3 * frame), 9 * radon_variance(frame), rtol=1e-4)
    assert radon_variance.features[0].units == "counts^2 px^2"


@pytest.mark.parametrize(
    ("fields", "stride"),
    [
        ({}, 4),
        ({}, 5),
        ({"scale": "mean"}, 5),
        ({"scale": "counts", "equalise": True}, 4),
        ({"form": "aligned"}, 4),
        ({"form": "bent"}, 5),
    ],
    ids=str,
)
def test_conforms(fields, stride):
    rng = np.random.default_rng(0)
    frame = (lattice((34, 41), 5.0, 20, 5.0) + rng.normal(0, 3, (34, 41))).astype(np.float32)
    check_descriptor(RadonVariance(tile_px=12, stride=stride, n_angles=8, **fields), frame, tile_px=20)


def test_batches_do_not_show_to_the_bit():
    frame = lattice((60, 140), 8.0, 25, 10.0)
    radon_variance = RadonVariance(tile_px=27, stride=3, n_angles=16, scale="counts")
    whole = radon_variance(frame)
    assert whole.shape[1] % BATCH
    for j in range(0, whole.shape[1], 7):
        alone = radon_variance(frame[:, 3 * j : 3 * j + 27])
        np.testing.assert_array_equal(alone[:, 0], whole[:, j])


def test_projection_is_that_of_the_features():
    rng = np.random.default_rng(0)
    padded, valid = pad_frame(lattice((40, 44), 7.0, 30, 10.0), 15)
    radon_variance = RadonVariance(tile_px=32, stride=6, n_angles=24)
    mean, components = rng.normal(size=24), rng.normal(size=(5, 24))
    plain = (radon_variance(padded, valid) - mean) @ components.T
    np.testing.assert_allclose(radon_variance.project(padded, mean, components, valid), plain, atol=1e-4)


def test_memory_does_not_grow_with_the_frame():
    frame = lattice((256, 256), 8.0, 25, 10.0)
    radon_variance = RadonVariance(tile_px=32, stride=2)
    components = np.eye(2, 180)
    peaks = []
    for part in (frame[:80], frame):
        radon_variance.project(part, np.zeros(180), components)
        tracemalloc.start()
        radon_variance.project(part, np.zeros(180), components)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 8e6 and peaks[1] < 3 * peaks[0]


def test_a_tile_at_the_edge_tells_the_same_orientation():
    frame = lattice((120, 120), 8.0, 25, 8.0)
    radon_variance = RadonVariance(tile_px=48, stride=10, n_angles=90)
    curves = radon_variance(*pad_frame(frame, radon_variance.halo))
    middle, edges = curves[6, 6], [curves[0, 6], curves[6, 0], curves[11, 6], curves[6, 11], curves[0, 0]]
    for edge in edges:
        assert np.corrcoef(edge, middle)[0, 1] > 0.85


def test_the_valid_parts_shape_is_divided_out():
    """Two waves as strong as each other stay so when half of the disc is cut off along one of them."""
    frame = lattice((63, 63), 5.0, 0)
    valid = np.ones(frame.shape, bool)
    valid[:, 32:] = False
    curve = curve_of(frame, 64, 4, valid)
    assert 0.8 < curve[0] / curve[2] < 1.25
    uncorrected = (project_by_lines(np.where(valid, standing_out(64, frame), 0), 4) ** 2).mean(axis=0)
    assert not 0.6 < uncorrected[0] / uncorrected[2] < 1.7


def test_pores_carry_no_weight_also_when_equalised():
    frame = lattice((63, 63), 7.0, 30, 5.0)
    pore = np.zeros(frame.shape, bool)
    pore[20:45, 5:30] = True
    black, white = np.where(pore, 0, frame).astype(np.float32), np.where(pore, 1e6, frame).astype(np.float32)
    for equalise in (False, True):
        clean = curve_of(frame, 64, 30, ~pore, equalise)
        np.testing.assert_array_equal(curve_of(black, 64, 30, ~pore, equalise), clean)
        np.testing.assert_array_equal(curve_of(white, 64, 30, ~pore, equalise), clean)
    peaked = RadonVariance(tile_px=64, stride=1, n_angles=30)
    assert np.corrcoef(peaked(black, ~pore)[0, 0], peaked(frame)[0, 0])[0, 1] > 0.9
    assert np.corrcoef(peaked(black)[0, 0], peaked(frame)[0, 0])[0, 1] < 0.6  # what the original does


def test_equalised_tiles_are_blind_to_any_rising_tone_curve():
    frame = lattice((63, 63), 7.0, 30, 5.0)
    radon_variance = RadonVariance(tile_px=64, stride=1, n_angles=30, equalise=True)
    np.testing.assert_array_equal(radon_variance(np.exp(frame / 20)), radon_variance(frame))
    ties = np.rint(frame / 25).astype(np.float32)
    np.testing.assert_array_equal(radon_variance(ties**3), radon_variance(ties))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((40, 40)),
        np.full((40, 40), 65535.0),
        np.full((40, 40), np.nan),
        np.full((40, 40), 1e30),
        np.random.default_rng(0).normal(size=(40, 40)) * 1e30,
        np.random.default_rng(0).normal(size=(40, 40)) * 1e-30,
        np.where(np.random.default_rng(0).random((40, 40)) < 0.01, 3e38, 7.0),
        np.where(np.random.default_rng(0).random((40, 40)) < 0.3, np.inf, 7.0),
    ],
    ids=["vacuum", "saturated", "NaN", "1e30", "noise 1e30", "noise 1e-30", "spikes", "inf"],
)
@pytest.mark.parametrize("fields", [{}, {"scale": "mean"}, {"form": "aligned"}, {"form": "bent"}], ids=str)
def test_hard_frames_give_finite_features(frame, fields):
    got = RadonVariance(tile_px=24, stride=7, n_angles=10, **fields)(frame.astype(np.float32))
    assert np.isfinite(got).all()
    if len(np.unique(frame[np.isfinite(frame)])) <= 1:  # nothing but one value
        assert (got == 0).all()


@given(st.lists(st.floats(0, 100, width=16), min_size=4, max_size=30))
def test_bits_go_round_the_end_of_the_axis(values):
    curve = np.array(values)
    for shift in (1, 3):
        np.testing.assert_array_equal(bent_bits(np.roll(curve, shift)), np.roll(bent_bits(curve), shift))
        np.testing.assert_array_equal(
            aligned_bits(np.roll(curve, shift), 1.2), np.roll(aligned_bits(curve, 1.2), shift)
        )
    bend = [abs(curve[i - 1] - 2 * curve[i] + curve[(i + 1) % len(curve)]) for i in range(len(curve))]
    wanted = [b >= np.mean(bend) and np.mean(bend) > 0 for b in bend]
    near = np.isclose(bend, np.mean(bend), rtol=1e-9)
    np.testing.assert_array_equal(bent_bits(curve)[~near], np.array(wanted, float)[~near])


def test_excess_is_about_unit_for_lattices_and_little_for_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 10, (100, 100)).astype(np.float32)
    crystal = lattice((100, 100), 8.0, 20, 20.0)
    radon_variance = RadonVariance(tile_px=48, stride=10)
    assert order_of(radon_variance(noise)).max() < 0.6 < 0.85 < order_of(radon_variance(crystal)).min()
    scaled = excess_curves(np.array([1.0, 1, 1, 5]))
    np.testing.assert_allclose(excess_curves(np.array([7.0, 7, 7, 35])), scaled, rtol=1e-6)


def polycrystal_pairs(n=60, seed=0):
    rng = np.random.default_rng(seed)
    radon_variance = RadonVariance(tile_px=48, stride=1, n_angles=60, scale="mean")
    turns = rng.uniform(0, 90, n)
    same = np.arange(n) % 2 == 0
    others = np.where(same, turns, turns + rng.uniform(12, 78, n))
    tiles = [
        [radon_variance(lattice((47, 47), 8.0, t, 40.0, seed=2 * i + side))[0, 0] for i, t in enumerate(angles)]
        for side, angles in enumerate((turns, others))
    ]
    return np.array(tiles[0]), np.array(tiles[1]), same


def test_a_threshold_from_pairs_tells_pairs_that_it_has_not_seen():
    first, second, same = polycrystal_pairs()
    threshold = threshold_from_pairs(first, second, same)

    def share_told(threshold, first, second, same):
        distance = (aligned_bits(first, threshold) != aligned_bits(second, threshold)).sum(axis=1)
        return np.mean(distance[~same][:, None] > distance[same][None, :])

    unseen = polycrystal_pairs(seed=7)
    assert share_told(threshold, *unseen) > 0.95
    assert share_told(threshold, *unseen) > share_told(0.4, *unseen) + 0.05


def fold_over(frames):
    def fold(of):
        return functools.reduce(operator.add, [of(frame, np.ones(frame.shape, bool)) for frame in frames])

    return fold


def test_tile_stride_and_threshold_follow_the_movie():
    scene = GrainGrowth(shape_yx=(256, 256), n_grains=8, n_frames=2, seed=3)
    fold = fold_over([scene.frame(i).astype(np.float32) for i in range(2)])
    found = RadonVariance.suggest({}, fold)
    assert abs(found.tile_px - 6 * scene.lattice_px) <= 4 and found.tile_px % 2 == 0
    assert found.stride == round(found.tile_px * 10 / 128)
    assert found == RadonVariance(tile_px=found.tile_px, stride=found.stride)
    assert RadonVariance.suggest({"tile_px": 40, "n_angles": 42}, fold) == RadonVariance(
        tile_px=40, stride=3, n_angles=42
    )
    marked = RadonVariance.suggest({"form": "aligned"}, fold)
    assert 1.0 < marked.threshold < 4.0
    assert RadonVariance.suggest({"form": "aligned", "threshold": 2.5}, fold).threshold == 2.5


def test_a_movie_without_order_gets_the_published_tile():
    noise = np.random.default_rng(0).normal(100, 10, (200, 200)).astype(np.float32)
    assert RadonVariance.suggest({}, fold_over([noise])) == RadonVariance(tile_px=128, stride=10)
    assert tile_from_period(1000.0) == 256 and tile_from_period(1.0) == 16


def test_a_frame_smaller_than_the_tile_is_described():
    frame = lattice((40, 40), 8.0, 20, 5.0)
    radon_variance = RadonVariance(tile_px=64, stride=10)
    assert radon_variance.smallest_frame_px <= 40
    curves = radon_variance(*pad_frame(frame, radon_variance.halo))
    assert abs(int(curves[2, 2, :90].argmax()) - 20) <= 3


@pytest.mark.parametrize(
    "build",
    [
        lambda: RadonVariance(tile_px=4),
        lambda: RadonVariance(stride=0),
        lambda: RadonVariance(n_angles=2.5),
        lambda: RadonVariance(form="bits"),
        lambda: RadonVariance(scale="log"),
        lambda: RadonVariance(threshold=0),
        lambda: RadonVariance(equalise=1),
        lambda: RadonVariance()(np.zeros((100, 300), np.float32)),
        lambda: threshold_from_pairs(np.ones((2, 5)), np.ones((3, 5)), [True, False]),
        lambda: threshold_from_pairs(np.ones((2, 5)), np.ones((2, 5)), [True, True]),
        lambda: threshold_from_pairs(np.zeros((2, 5)), np.zeros((2, 5)), [True, False]),
    ],
)
def test_nonsense_is_refused(build):
    with pytest.raises(RadonError, match="got"):
        build()


def test_values_survive_a_round_trip_as_data():
    radon_variance = RadonVariance(tile_px=50, form="aligned", threshold=1.25)
    fields = describe_descriptor(radon_variance)
    assert fields.pop("name") == "radon"
    assert build_descriptor("radon", fields) == radon_variance
    assert hash(radon_variance) == hash(dataclasses.replace(radon_variance))
    assert len(radon_variance.features) == len(radon_variance.angles_deg) == 180
