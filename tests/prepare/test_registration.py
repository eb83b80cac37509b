"""Registration: known shifts are found, to sub-pixels; a moving minority has no say; a lattice alone is ambiguous."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.prepare.registration import TileShifts, agree_on, find_places, hann_window, shift_tiles

SIGMA = 0.8


def wave_field(shift_yx: tuple[float, float], shape: tuple[int, int] = (96, 96), seed: int = 0) -> np.ndarray:
    """A sum of random waves, known at every real position: what is at r is seen at r + shift."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] - np.reshape(shift_yx, (2, 1, 1))
    field = np.zeros(shape)
    for ky, kx, phase in zip(
        rng.uniform(-0.2, 0.2, 60), rng.uniform(-0.2, 0.2, 60), rng.uniform(0, 6.3, 60), strict=True
    ):
        field += np.cos(2 * np.pi * (ky * y + kx * x) + phase)
    return field.astype(np.float32)


def corners(shape: tuple[int, int], side: int) -> np.ndarray:
    starts = [np.arange(0, n - side + 1, side // 2) for n in shape]
    return np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)


@settings(max_examples=20, deadline=None)
@given(dy=st.floats(-1, 1), dx=st.floats(-1, 1), seed=st.integers(0, 99))
def test_tiles_find_any_shift(dy: float, dx: float, seed: int) -> None:
    known = np.ones((96, 96), bool)
    before, after = wave_field((0, 0), seed=seed), wave_field((dy, dx), seed=seed)
    tiles = shift_tiles(after, before, known, corners((96, 96), 32), 32, np.zeros(2, np.intp), SIGMA)
    found = agree_on(tiles, np.ones(len(tiles.index)), np.array([47.5, 47.5]))
    assert np.abs(found.shift_yx - (dy, dx)).max() < 0.05
    assert abs(found.turn_rad) < 0.002


@settings(max_examples=20, deadline=None)
@given(dy=st.floats(-15, 15), dx=st.floats(-15, 15))
def test_places_are_found_far_away(dy: float, dx: float) -> None:
    window = np.outer(hann_window(96), hann_window(96))
    rng = np.random.default_rng(1)
    noise = [ndimage.gaussian_filter(rng.normal(0, 3, (96, 96)), SIGMA).astype(np.float32) for _ in range(2)]
    places = find_places(
        (wave_field((dy, dx)) + noise[0]) * window, (wave_field((0, 0)) + noise[1]) * window, np.zeros(2), 20, SIGMA
    )
    best, evidence = places.best(np.zeros(places.evidence.shape))
    assert np.abs(best - (dy, dx)).max() <= 0.75
    assert evidence > 1


def test_of_equal_places_the_prior_decides() -> None:
    y, x = np.mgrid[:96, :96]
    lattice = (np.cos(2 * np.pi * y / 8) * np.cos(2 * np.pi * x / 8)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.3, (2, 96, 96))
    views = [ndimage.gaussian_filter(lattice + n, SIGMA).astype(np.float32) for n in noise]
    window = np.outer(hann_window(96), hann_window(96))
    for period in (-8.0, 0.0, 8.0):
        expected = np.array([period, 0.5])
        places = find_places(views[0] * window, views[1] * window, expected, 12, SIGMA)
        away = (places.shift_y_px - period)[:, None] ** 2 + (places.shift_x_px - 0.5)[None, :] ** 2
        best, _ = places.best(-20 * np.log1p(away))
        assert np.abs(best - (period, 0)).max() <= 0.5


def test_no_likeness_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    views = [ndimage.gaussian_filter(rng.normal(0, 1, (128, 128)), SIGMA).astype(np.float32) for _ in range(2)]
    tiles = shift_tiles(*views, np.ones((128, 128), bool), corners((128, 128), 32), 32, np.zeros(2, np.intp), SIGMA)
    assert np.median(tiles.trust) < 0.2
    window = np.outer(hann_window(128), hann_window(128))
    alike = find_places(views[0] * window, views[0] * window, np.zeros(2), 16, SIGMA)
    unlike = find_places(views[0] * window, views[1] * window, np.zeros(2), 16, SIGMA)
    assert alike.evidence.max() > 10 * unlike.evidence.max()


def test_empty_views_say_nothing() -> None:
    empty = np.zeros((64, 64), np.float32)
    places = find_places(empty, empty, np.zeros(2), 8, SIGMA)
    assert np.isfinite(places.evidence).all()
    assert places.evidence.max() == 0
    tiles = shift_tiles(empty, empty, np.ones((64, 64), bool), corners((64, 64), 32), 32, np.zeros(2, np.intp), SIGMA)
    assert tiles.trust.max() == 0
    assert agree_on(tiles, np.ones(len(tiles.index)), np.array([31.5, 31.5])).sigma_px > 100


def drawn_tiles(shift: np.ndarray, arm: np.ndarray) -> TileShifts:
    n = len(shift)
    covariance = np.tile(0.03**2 * np.eye(2), (n, 1, 1))
    return TileShifts(
        index=np.arange(n), shift_yx=shift, covariance=covariance, trust=np.ones(n), centre_yx=arm + 100.0
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0, 0.4), turn_deg=st.floats(-0.3, 0.3))
def test_a_moving_minority_has_no_say(seed: int, share: float, turn_deg: float) -> None:
    rng = np.random.default_rng(seed)
    arm = rng.uniform(-100, 100, (80, 2))
    turn = np.deg2rad(turn_deg)
    shift = np.array([0.4, -0.7]) + turn * np.stack([arm[:, 1], -arm[:, 0]], axis=-1) + rng.normal(0, 0.03, (80, 2))
    moving = arm[:, 0] > np.quantile(arm[:, 0], 1 - share)
    shift[moving] += (0.0, 2.0)
    found = agree_on(drawn_tiles(shift, arm), np.ones(80), np.array([100.0, 100.0]))
    assert np.abs(found.shift_yx - (0.4, -0.7)).max() < 0.1
    assert found.turn_rad == pytest.approx(turn, abs=1e-3)
    if moving.any():
        assert found.agrees[moving].max() < 0.05 < found.agrees[~moving].mean()


def test_the_resting_layer_wins_against_a_majority_that_moves() -> None:
    rng = np.random.default_rng(0)
    arm = rng.uniform(-100, 100, (80, 2))
    shift = rng.normal(0, 0.03, (80, 2))
    moving = arm[:, 0] > np.quantile(arm[:, 0], 0.35)
    shift[moving] += (0.0, 1.5)
    rest = np.where(moving, 0.05, 1.0)
    found = agree_on(drawn_tiles(shift, arm), rest, np.array([100.0, 100.0]))
    assert np.abs(found.shift_yx).max() < 0.1


def test_an_edge_is_not_heard_along_itself() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 96, 96)).astype(np.float32)
    step = np.tanh((np.arange(96) - 48) / 2).astype(np.float32)[:, None]
    tiles = shift_tiles(
        step + noise[0], step + noise[1], np.ones((96, 96), bool), np.array([[32, 32]]), 32, np.zeros(2, np.intp), SIGMA
    )
    assert tiles.covariance[0, 1, 1] > 5 * tiles.covariance[0, 0, 0]
