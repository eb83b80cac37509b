"""Preparation: masked, divided by the gain, the input untouched; previews."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.descriptors.geometry import Tile
from emreel.prepare import FrameSums, Prepare

WHOLE = Tile(0, 40, 0, 30)


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).poisson(50, (40, 30)).astype(np.uint16)


def test_the_gain_is_taken_out(frame: np.ndarray) -> None:
    prepare = Prepare(reference_mean=100.0)
    report = FrameSums.of(frame).finish(100.0)
    prepared, valid = prepare(frame, WHOLE, report)
    assert prepared.dtype == np.float32
    assert prepared.mean() == pytest.approx(100, rel=1e-5)
    assert valid.all()
    same, _ = Prepare(reference_mean=100.0, gain=False)(frame, WHOLE, report)
    np.testing.assert_array_equal(same, frame)


def test_dead_pixels_and_lines_are_masked_and_filled(frame: np.ndarray) -> None:
    recorded = frame.astype(np.float32)
    recorded[5, 6] = np.nan
    recorded[9] = 0
    recorded.setflags(write=False)
    report = FrameSums.of(recorded).finish(50.0)
    prepared, valid = Prepare(reference_mean=50.0)(recorded, WHOLE, report)
    assert not valid[9].any()
    assert not valid[5, 6]
    assert valid.sum() == 40 * 30 - 31
    assert np.isfinite(prepared).all()
    _, valid = Prepare(reference_mean=50.0, repair=False)(recorded, WHOLE, report)
    assert valid[9].all()


def test_a_region_is_prepared_as_in_the_whole(frame: np.ndarray) -> None:
    recorded = frame.astype(np.float32)
    recorded[9] = 0
    recorded[:, 21] = 0
    report = FrameSums.of(recorded).finish(50.0)
    prepare = Prepare(reference_mean=50.0)
    whole, whole_valid = prepare(recorded, WHOLE, report)
    tile = Tile(5, 25, 10, 30)
    part, part_valid = prepare(recorded[tile.slices], tile, report)
    np.testing.assert_array_equal(part, whole[tile.slices])
    np.testing.assert_array_equal(part_valid, whole_valid[tile.slices])


@pytest.mark.parametrize("factor", [1, 2, 7])
def test_previews_are_means_of_bins(factor: int) -> None:
    frame = np.arange(40 * 30, dtype=np.float32).reshape(40, 30)
    shown = Prepare(reference_mean=1.0, display_range=(0.0, 1200.0)).preview(frame, factor)
    assert shown.shape == (-(-40 // factor), -(-30 // factor))
    first = frame[:factor, :factor].mean() * 255 / 1200
    assert abs(int(shown[0, 0]) - first) <= 0.5 + 1e-3
    assert shown[-1, -1] == np.rint(np.clip(frame[-1:, -1:].mean() * 255 / 1200, 0, 255)) or factor > 1


@pytest.mark.parametrize("dose", [0.02, 0.5, 4.0, 60.0, 5000.0])
def test_hot_pixels_are_masked_and_noise_is_not(dose: float) -> None:
    noise = np.random.default_rng(1).poisson(dose, (200, 300)).astype(np.float32)
    clean = FrameSums.of(noise).finish(dose)
    tile = Tile(0, 200, 0, 300)
    assert Prepare(reference_mean=dose)(noise, tile, clean)[1].mean() > 0.9999
    hot = noise.copy()
    places = ([0, 50, 120, 199], [299, 60, 7, 0])
    hot[places] = 40 * max(dose, 1.0)
    prepared, valid = Prepare(reference_mean=dose)(hot, tile, FrameSums.of(hot).finish(dose))
    assert not valid[places].any()
    assert valid.sum() >= hot.size - 4 - 0.0001 * hot.size
    assert np.all(prepared[places] < 2 * max(dose, 1.0))
    assert Prepare(reference_mean=dose, repair=False)(hot, tile, clean)[1].all()


def test_sharp_columns_of_atoms_are_not_hot() -> None:
    y, x = np.mgrid[:80, :80]
    columns = np.exp(-((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2) / (2 * 0.9**2))
    frame = (1 + 500 * columns).astype(np.float32)
    assert Prepare(reference_mean=1.0)(frame, Tile(0, 80, 0, 80), FrameSums.of(frame).finish(1.0))[1].all()
