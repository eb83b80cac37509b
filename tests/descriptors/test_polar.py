"""Scores of rotation, reflection and glide symmetry against plain float64 loops, and the pooling of their maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.glide import GlideSymmetry
from emreel.descriptors.kernels.polar import NONE, POOR
from emreel.descriptors.kernels.pooling import pool_largest
from emreel.descriptors.polar import SymmetryError, lengths_from_period, ring_offsets, ring_radii
from emreel.descriptors.reflection import ReflectionSymmetry
from emreel.descriptors.rotation import RotationSymmetry
from emreel.descriptors.splines import SPLINE_PX, SplineFrame

fewer = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def coefficients_by_hand(frame):
    """Spline coefficients of a frame in float64; NaN is invalid, and is replaced by the pixel opposite to it."""
    for axis in (0, 1):
        lines = np.moveaxis(frame, axis, 0)
        out = lines.copy()
        for k in range(1, 9):
            tap = np.sqrt(3) * (np.sqrt(3) - 2) ** k
            before, after = np.full_like(lines, np.nan), np.full_like(lines, np.nan)
            before[k:], after[:-k] = lines[:-k], lines[k:]
            before, after = np.where(np.isnan(before), after, before), np.where(np.isnan(after), before, after)
            out += tap * np.nan_to_num((before - lines) + (after - lines))
        frame = np.moveaxis(out, 0, axis)
    return frame


def sample_by_hand(coefficients, points):
    """Values of the spline at points (y, x), NaN where one of the 16 coefficients is."""
    near = np.round(points, 9)
    whole = np.floor(near).astype(int)
    t = near - whole
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3]) / 6
    total = 0
    for a in range(4):
        for b in range(4):
            c = coefficients[whole[..., 0] - 1 + a, whole[..., 1] - 1 + b]
            total = total + weights[a, ..., 0] * weights[b, ..., 1] * c
    return total


def correlate_by_hand(a, b, weights, pearson):
    """Weighted correlation of what is in both; marked as poor or missing by the weight that is left."""
    joint = weights * ~np.isnan(a) * ~np.isnan(b)
    part = joint.sum() / weights.sum()
    if part < 1 / 16:
        return NONE
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    least = [1e-5 * (joint * a * a).sum() if pearson else 0, 1e-5 * (joint * b * b).sum() if pearson else 0]
    if pearson:
        a, b = a - (joint * a).sum() / joint.sum(), b - (joint * b).sum() / joint.sum()
    power = [(joint * a * a).sum(), (joint * b * b).sum()]
    flat = power[0] <= least[0] or power[1] <= least[1]
    score = 0.0 if flat else (joint * a * b).sum() / np.sqrt(power[0] * power[1])
    return score if part >= 5 / 8 else score - POOR


def scores_by_hand(descriptor, padded, valid):
    """`descriptor.scores`, one position and operation after the other."""
    frame = np.where(np.isfinite(padded) if valid is None else valid & np.isfinite(padded), padded, np.nan)
    frame = frame.astype(np.float64)
    coefficients = coefficients_by_hand(frame)
    n_y, n_x = descriptor.n_positions(padded)
    out = np.empty((n_y, len(descriptor.operations), n_x))
    half = descriptor.radius_px
    for i in range(n_y):
        for j in range(n_x):
            middle = descriptor.first_px + descriptor.pitch_px * np.array([i, j])
            square = frame[middle[0] - half : middle[0] + half + 1, middle[1] - half : middle[1] + half + 1]
            reach = descriptor.reach_px - 8
            around = frame[middle[0] - reach : middle[0] + reach + 1, middle[1] - reach : middle[1] + reach + 1]
            if np.isnan(around).mean() > 4 / 5:
                out[i, :, j] = NONE
                continue
            mean = np.nanmean(square) if not np.isnan(square).all() else 0.0
            out[i, :, j] = operations_by_hand(descriptor, lambda u, m=middle: sample_by_hand(coefficients, m + u), mean)
    return out


def operations_by_hand(descriptor, look, mean):
    """Scores of one position; ``look`` gives the counts at offsets (dy, dx) from it."""
    n_angles = getattr(descriptor, "n_angles", descriptor.angles)
    radii = ring_radii(descriptor.radius_px, descriptor.radii)
    weights = np.repeat(radii[:, None] ** 2, n_angles, axis=1)
    offsets = ring_offsets(descriptor.radius_px, descriptor.radii, n_angles)

    def turned(degrees):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return np.stack([c * offsets[..., 0] + s * offsets[..., 1], c * offsets[..., 1] - s * offsets[..., 0]], axis=-1)

    def mirrored(degrees):
        along = np.array([np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))])
        return 2 * (offsets @ along)[..., None] * along - offsets

    if isinstance(descriptor, GlideSymmetry):
        return [
            correlate_by_hand(
                look(offsets - np.array(shift) / 2) - mean,
                look(mirrored(np.rad2deg(np.arctan2(*shift))) + np.array(shift) / 2) - mean,
                weights,
                pearson=True,
            )
            for shift in descriptor.glides
        ]
    here = look(offsets) - mean
    if isinstance(descriptor, ReflectionSymmetry):
        planes = 180 * np.arange(descriptor.planes) / descriptor.planes
        return [correlate_by_hand(here, look(mirrored(plane)) - mean, weights, pearson=False) for plane in planes]
    found = []
    for fold in descriptor.folds:
        parts = [
            correlate_by_hand(here, look(turned(360 * k / fold)) - mean, weights, pearson=False) for k in range(1, fold)
        ]
        if min(parts) == NONE:
            found.append(NONE)
        else:
            clean = [part + POOR if part < -POOR / 2 else part for part in parts]
            found.append(np.mean(clean) - (POOR if min(parts) < -POOR / 2 else 0))
    return found


@st.composite
def described_frames(draw):
    """A small descriptor of each kind, and a padded frame of random texture, offset and gain."""
    lengths = {
        "radius_px": draw(st.integers(3, 7)),
        "window_px": draw(st.integers(0, 4)),
        "step_px": draw(st.integers(1, 3)),
        "stride": draw(st.integers(1, 4)),
        "radii": draw(st.integers(2, 5)),
        "angles": draw(st.integers(9, 24)),
        "largest": 1,
    }
    shift = st.tuples(st.floats(-5, 5), st.floats(0.5, 5))
    descriptor = draw(
        st.sampled_from(
            [
                RotationSymmetry(folds=draw(st.sampled_from([(2, 3, 4, 6), (2,), (3, 5)])), **lengths),
                ReflectionSymmetry(planes=draw(st.integers(1, 7)), **lengths),
                GlideSymmetry(glides=draw(st.lists(shift, min_size=1, max_size=3, unique=True)), **lengths),
            ]
        )
    )
    height, width = (draw(st.integers(1, 4 * descriptor.stride)) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (height + 2 * descriptor.halo, width + 2 * descriptor.halo)
    y, x = np.mgrid[: shape[0], : shape[1]]
    texture = rng.normal(size=shape) + 2 * np.cos(0.9 * x + 0.2 * y) * np.cos(0.8 * y)
    gain, offset = draw(st.sampled_from([1e-12, 0.05, 1.0, 300.0])), draw(st.sampled_from([0.0, -3.0, 100.0]))
    return descriptor, ((texture + offset) * gain).astype(np.float32), rng


@fewer
@given(described_frames())
def test_scores_equal_brute_force(drawn):
    descriptor, padded, _ = drawn
    got = descriptor.scores(padded)
    assert got.dtype == np.float32
    assert np.abs(got - scores_by_hand(descriptor, padded, None)).max() <= 2e-5


@fewer
@given(described_frames(), st.sampled_from([0.001, 0.01, 0.05]), st.booleans())
def test_only_jointly_valid_samples_count(drawn, part_dead, border):
    descriptor, padded, rng = drawn
    valid = rng.random(padded.shape) >= part_dead
    if border:
        valid[: descriptor.halo] = False
        valid[:, -descriptor.halo :] = False
    got = descriptor.scores(np.where(valid, padded, np.float32(1e30)), valid)
    expected = scores_by_hand(descriptor, padded, valid)
    # a score at the very border between two marks may fall to either side; few samples correlate as rounding has it
    same = np.abs(np.rint((got - expected) / POOR)) == 0
    assert same.mean() >= 0.98
    assert np.abs(got - expected)[same & (got > -POOR / 2)].max(initial=0) <= 5e-5
    hidden = np.where(valid, padded, np.float32(np.nan))
    np.testing.assert_array_equal(descriptor.scores(hidden), got)


@fewer
@given(described_frames(), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_tiles_are_the_whole_frame(drawn, tile_rows, tile_cols, masked):
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
            tile = descriptor(padded[window], valid[window])
            # to the last bit but one: a loop's vectors and its rest may round otherwise
            np.testing.assert_allclose(tile, whole[i : i + tile_rows, j : j + tile_cols], rtol=3e-7, atol=3e-8)


def test_rows_longer_than_the_work_arrays_are_their_parts():
    rng = np.random.default_rng(0)
    rotation = RotationSymmetry(radius_px=3, window_px=2, step_px=1, stride=1, radii=2, largest=3)
    padded = rng.normal(100, 10, (3 + 2 * rotation.halo, 300 + 2 * rotation.halo)).astype(np.float32)
    whole = rotation(padded)
    for j in (0, 1, 100, 250):
        np.testing.assert_array_equal(rotation(padded[:, j : j + 37 + 2 * rotation.halo]), whole[:, j : j + 37])


@pytest.mark.parametrize("step", [1, 3, 4])
def test_coefficients_are_those_of_scipy(step):
    frame = np.random.default_rng(step).normal(100, 10, (47, 53)).astype(np.float32)
    got = SplineFrame.of(frame, None, step)
    rim = SPLINE_PX
    expected = ndimage.spline_filter(np.pad(frame.astype(np.float64), 30, mode="reflect"))[30:-30, 30:-30]
    inner = got.coefficients[:, got.columns(np.arange(53))][rim:-rim, rim:-rim]
    assert np.abs(inner - expected[rim:-rim, rim:-rim]).max() <= 1e-3 * 10


@given(st.data())
def test_pooling_keeps_the_largest(data):
    n_side, n_kept = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 2, 5, 10, 12]))
    out_step, pool_step = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    n_y, n_x = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    reach = (n_side - 1) * pool_step + 1
    shape = ((n_y - 1) * out_step + reach, 2, (n_x - 1) * out_step + reach)
    scores = rng.uniform(-1, 1, shape).astype(np.float32)
    if data.draw(st.booleans()):
        kind = rng.choice(3, shape, p=data.draw(st.sampled_from([(0.6, 0.3, 0.1), (0.05, 0.5, 0.45)])))
        scores = np.where(kind == 0, scores, np.where(kind == 1, scores - POOR, NONE))
    n_kept = min(n_kept, n_side**2)
    out = np.empty((n_y, n_x, 2 * n_kept), np.float32)
    pool_largest(out, scores, n_kept, out_step, pool_step, n_side)
    for i, j in zip(rng.integers(0, n_y, 20), rng.integers(0, n_x, 20), strict=True):
        for operation in range(2):
            rows, cols = (slice(k * out_step, k * out_step + reach, pool_step) for k in (i, j))
            around = np.sort(scores[rows, operation, cols].ravel())[::-1]
            left = around[around > -POOR / 2] if (around > -POOR / 2).any() else around[around > NONE] + POOR
            ranks = (np.arange(n_kept) + 0.5) * len(left) / n_side**2 - 0.5
            expected = np.interp(ranks, np.arange(len(left)), left) if len(left) else np.zeros(n_kept)
            got = out[i, j, operation * n_kept : (operation + 1) * n_kept]
            np.testing.assert_allclose(got, expected, atol=1e-6)


KINDS = [RotationSymmetry, ReflectionSymmetry, GlideSymmetry]
SMALL = {"radius_px": 5, "window_px": 4, "step_px": 2, "stride": 4, "radii": 4, "angles": 24}


@pytest.mark.parametrize("kind", KINDS)
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
def test_hard_frames_give_finite_features(kind, frame):
    descriptor = kind(**SMALL)
    frame = frame.astype(np.float32)
    for valid in (None, np.random.default_rng(1).random(frame.shape) > 0.1):
        got = descriptor(frame, valid)
        assert np.isfinite(got).all()
        assert np.abs(got).max() <= 1
        if np.unique(frame[np.isfinite(frame)]).size <= 1:
            assert (got == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [lambda f: f + 10_000, lambda f: f + 30_000, lambda f: 1e25 * f, lambda f: 0.25 * f])
def test_brightness_and_contrast_do_not_matter(kind, change):
    descriptor = kind(**SMALL)
    frame = np.random.default_rng(0).normal(100, 5, (70, 70)).astype(np.float32)
    np.testing.assert_allclose(descriptor(change(frame)), descriptor(frame), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_edge_of_the_frame_is_no_phase(kind):
    """Points at the frame's edge are far nearer to the crystal's own features than to those of disorder."""
    y, x = np.mgrid[:150, :150]
    rng = np.random.default_rng(0)
    crystal = np.cos(2 * np.pi * (0.96 * x + 0.28 * y) / 8) + np.cos(2 * np.pi * (0.96 * y - 0.28 * x) / 8)
    disorder = ndimage.gaussian_filter(rng.normal(0, 8, x.shape), 1.5)
    glides = {"glides": ((1.12, 3.84), (3.84, -1.12))} if kind is GlideSymmetry else {}
    descriptor = kind(radius_px=14, window_px=14, step_px=2, stride=10, radii=14, **glides)
    ordered, disordered = (
        descriptor(*pad_frame((100 + 20 * part + rng.normal(0, 5, x.shape)).astype(np.float32), descriptor.halo))
        for part in (crystal, disorder)
    )
    middles = [features[4:-4, 4:-4].mean(axis=(0, 1)) for features in (ordered, disordered)]
    edge = np.concatenate([ordered[0], ordered[-1], ordered[:, 0], ordered[:, -1]])
    away = np.linalg.norm(edge - middles[0], axis=1)
    assert np.quantile(away, 0.9) <= 0.3 * np.linalg.norm(middles[1] - middles[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fields",
    [
        {"radius_px": 1},
        {"window_px": -1},
        {"step_px": 0},
        {"stride": 2.5},
        {"radii": 0},
        {"angles": 3},
        {"largest": 0},
        {"window_px": 4, "step_px": 4, "largest": 10},
    ],
)
def test_nonsense_is_refused(kind, fields):
    with pytest.raises(SymmetryError, match="got"):
        kind(**fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_without_its_padding_is_refused(kind):
    with pytest.raises(SymmetryError, match="twice the halo"):
        kind()(np.zeros((90, 300), np.float32))


@given(st.one_of(st.none(), st.floats(2, 500)), st.one_of(st.none(), st.integers(1, 12)))
def test_lengths_follow_the_period(period_px, stride):
    given = {} if stride is None else {"stride": stride}
    lengths = {**lengths_from_period(period_px, given), **given}
    descriptor = RotationSymmetry(**lengths)
    assert descriptor.stride % descriptor.step_px == 0  # so that no more is scored than is pooled
    assert descriptor.pitch_px == descriptor.step_px
    if period_px is None:
        assert descriptor.radius_px == descriptor.window_px == 20
    elif period_px <= 48:
        assert abs(descriptor.radius_px - max(4, 2 * period_px)) <= 1
        assert descriptor.window_px >= descriptor.radius_px
        assert descriptor.step_px <= max(1, 0.25 * period_px + 1)
    assert descriptor.halo <= 240
