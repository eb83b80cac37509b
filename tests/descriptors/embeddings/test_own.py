"""emreel's own embedding: every part against a plain float64 oracle, and what it must not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from emreel.descriptors.embeddings.own import FOLDS, embed_own, own_features

few = settings(max_examples=20, deadline=None)
RANGE = (60.0, 180.0)


@st.composite
def chips(draw, sides=(9, 16, 27, 33)):
    """A lattice, disorder or a slope in noise; float32 counts."""
    side = draw(st.sampled_from(sides))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y, x = np.mgrid[:side, :side]
    a = rng.uniform(0, np.pi)
    wave = np.cos(2 * np.pi * 4 / side * (x * np.cos(a) + y * np.sin(a)) + rng.uniform(0, 6))
    chip = 100 + rng.uniform(0, 30) * wave + rng.uniform(-1, 1) * x + rng.normal(0, rng.uniform(0.5, 20), x.shape)
    return (chip * draw(st.sampled_from([0.1, 1.0, 50.0]))).astype(np.float32)


def named(chip, brightness_range=RANGE):
    """The embedding as a dict of feature name to number."""
    names = [feature.name for feature in own_features(chip.shape[0])]
    row = embed_own(chip[None], brightness_range=brightness_range)[0].astype(np.float64)
    return dict(zip(names, row, strict=True))


def tapered(chip):
    """Oracle: the chip without its mean under a Hann window, and the window."""
    side = chip.shape[0]
    hann = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(hann, hann)
    mean = (chip.astype(np.float64) * window).sum() / window.sum()
    return (chip - mean) * window, window, mean


def autocorrelate(f, dy, dx):
    """Oracle: sum of f(r) f(r + t), t in whole px."""
    height, width = f.shape
    a = f[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    b = f[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
    return float((a * b).sum())


@few
@given(chips(sides=(12, 24, 36)))
def test_translation_scores_are_the_autocorrelation(chip):
    """Sides that are multiples of 12 have shifts of whole pixels."""
    got, (flat, window, _) = named(chip), tapered(chip)
    n_seen = 0
    for name, value in got.items():
        if name.startswith("shift") and name.endswith("x"):
            dy, dx = (round(float(part)) for part in name.split()[1:3])
            score = autocorrelate(flat, dy, dx) / autocorrelate(flat, 0, 0)
            score /= autocorrelate(window, dy, dx) / autocorrelate(window, 0, 0)
            angle = np.clip(score, -1, 1) * np.pi / 3
            assert value * np.sqrt(20 * 5) == pytest.approx(np.sin(angle), abs=1e-5)
            assert got[name[:-1] + "y"] * np.sqrt(20 * 5) == pytest.approx(np.cos(angle), abs=1e-5)
            n_seen += 1
    assert n_seen == 20


@few
@given(chips())
def test_brightness_and_contrast_are_angles(chip):
    got, (flat, window, mean) = named(chip), tapered(chip)
    part = np.sqrt(5)
    angle = np.clip((mean - RANGE[0]) / (RANGE[1] - RANGE[0]), 0, 1) * np.pi / 4
    assert got["brightness x"] * part == pytest.approx(np.sin(angle), abs=1e-5)
    assert got["brightness y"] * part == pytest.approx(np.cos(angle), abs=1e-5)
    deviation = np.sqrt((flat**2).sum() / (window**2).sum())
    angle = np.arctan2(deviation, 0.2 * abs(mean))
    assert got["contrast x"] * part == pytest.approx(np.sin(angle), abs=1e-5)


@few
@given(chips(sides=(27, 33)))
def test_rings_are_the_radially_averaged_spectrum(chip):
    """Against the whole spectrum, both halves, of the square padded by the largest shift."""
    got, (flat, _, _) = named(chip), tapered(chip)
    side = chip.shape[0]
    n = fft.next_fast_len(side + int(np.ceil(4 * side / 12)), real=True)
    power = np.abs(np.fft.fft2(flat, (n, n))) ** 2
    k = np.fft.fftfreq(n) * side
    ring = np.rint(np.hypot(k[:, None], k[None]))
    rings = [int(name.split()[1]) for name in got if name.startswith("ring")]
    assert rings == list(range(2, min(18, side // 2)))
    expected = np.array([np.sqrt(power[ring == r].mean()) for r in rings])
    expected /= np.linalg.norm(expected) * np.sqrt(5)
    values = np.array([got[f"ring {r} cycles"] for r in rings])
    np.testing.assert_allclose(values, expected, atol=1e-5)


@few
@given(chips())
def test_every_part_and_the_whole_have_length_1(chip):
    for brightness_range in (RANGE, None):
        row = embed_own(chip[None], brightness_range=brightness_range)[0].astype(np.float64)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
    got = named(chip)
    for part in ("ring", "shift", "fold", "contrast", "brightness"):
        assert sum(v**2 for k, v in got.items() if k.startswith(part)) == pytest.approx(0.2, abs=1e-6)


def crystal(fold, side=41, turned=0.0):
    """The sum of waves of one length in directions 180 / (fold / 2) degrees apart."""
    y, x = np.mgrid[:side, :side] - side // 2
    angles = turned + np.arange(fold // 2) * 2 * np.pi / fold
    return sum(np.cos(2 * np.pi * 5 / side * (x * np.cos(a) + y * np.sin(a))) for a in angles)


@pytest.mark.parametrize("turned", [0.0, 0.3, 1.0])
def test_rotation_scores_tell_the_fold_whatever_the_direction(turned):
    scores = {}
    for fold in FOLDS:
        got = named((100 + 20 * crystal(fold, turned=turned)).astype(np.float32))
        scores[fold] = [np.arcsin(got[f"fold {n} x"] * np.sqrt(15)) / (np.pi / 3) for n in FOLDS]
    assert scores[2][0] > 0.75 and scores[4][0] < 0.15 and scores[6][0] < 0.15
    assert scores[4][1] > 0.75 and scores[6][1] < 0.15
    assert scores[6][2] > 0.75 and scores[4][2] < 0.15


@few
@given(chips(), st.floats(0.2, 50))
def test_gain_moves_brightness_only(chip, gain):
    before, after = named(chip), named((chip * np.float32(gain)).astype(np.float32))
    for name, value in before.items():
        if not name.startswith("brightness"):
            assert after[name] == pytest.approx(value, abs=1e-3)


def test_where_a_lattice_lies_does_not_matter():
    side = 45
    y, x = np.mgrid[: side + 20, : side + 20]
    frame = (100 + 20 * np.cos(2 * np.pi * x / 11.3) * np.cos(2 * np.pi * y / 11.3)).astype(np.float32)
    cut = np.stack([frame[i : i + side, j : j + side] for i in range(0, 20, 3) for j in range(0, 20, 3)])
    rows = embed_own(cut, brightness_range=RANGE).astype(np.float64)
    assert (rows @ rows.T).min() > 0.99


def test_order_disorder_and_brightness_are_told_apart():
    rng = np.random.default_rng(0)
    side = 33
    y, x = np.mgrid[:side, :side]
    lattice = 25 * np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 8)
    kinds = [100 + lattice, 100 + 0 * lattice, 160 + 0 * lattice]
    cut = np.stack([kind + rng.normal(0, 10, x.shape) for kind in kinds for _ in range(8)]).astype(np.float32)
    rows = embed_own(cut, brightness_range=(90.0, 170.0)).astype(np.float64)
    same = np.kron(np.eye(3), np.ones((8, 8))).astype(bool)
    similarity = rows @ rows.T
    assert similarity[same].min() > similarity[~same].max()


def test_flat_chips_are_alike_and_finite():
    flat = np.stack([np.full((21, 21), level, np.float32) for level in (0.0, 0.0, -3.0, 100.0, 65535.0, 1e30, 1e-30)])
    rows = embed_own(flat)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    names = [feature.name for feature in own_features(21)]
    shifts = [i for i, name in enumerate(names) if name.startswith("shift") and name.endswith("x")]
    assert np.all(rows[:, shifts] == 0)


@pytest.mark.parametrize("side", [8, 9, 15, 33, 80])
def test_names_are_as_many_as_numbers(side):
    rows = embed_own(np.random.default_rng(0).normal(100, 5, (2, side, side)).astype(np.float32))
    features = own_features(side)
    assert rows.shape == (2, len(features)) and len({feature.name for feature in features}) == len(features)
