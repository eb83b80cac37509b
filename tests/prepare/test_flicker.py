"""The gain of the resting layer: right where phases of other brightness grow, and where the frame's mean is not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.prepare.flicker import LEAST_AGREEING, BlockSums, Flicker, GainReport
from emreel.synthetic.catalog import make_scene


def gains(frames: Any, drifts: Any = None, flicker: Flicker | None = None) -> list[GainReport]:
    flicker, state, reports = flicker or Flicker(), None, []
    for frame, drift in zip(frames, drifts or itertools.repeat((0.0, 0.0))):  # noqa: B905
        state, report = flicker.step(state, BlockSums.of(frame, np.isfinite(frame), 4), drift)
        reports.append(report)
    return reports


def spread(values: np.ndarray) -> float:
    """Root mean square deviation from the median, relative."""
    return float(np.sqrt(np.mean((values / np.median(values) - 1) ** 2)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    block=st.integers(1, 7),
    y=st.floats(-20, 60),
    x=st.floats(-20, 60),
    side=st.floats(1, 30),
)
def test_tile_sums_share_blocks_by_area(seed: int, block: int, y: float, x: float, side: float) -> None:
    """Against a plain sum over pixels of frames that are constant within their blocks."""
    rng = np.random.default_rng(seed)
    shape = 8 * block, 5 * block
    frame = np.kron(rng.integers(0, 99, (8, 5)), np.ones((block, block)))
    counts, area = BlockSums.of(frame, np.ones(shape, bool), block).tile_sums(np.array([[y, x]]), side)
    shares = [
        np.clip(np.minimum(np.arange(n) + 1, at + side) - np.maximum(np.arange(n), at), 0, 1)
        for n, at in zip(shape, (y, x), strict=True)
    ]
    weight = np.outer(*shares)
    assert counts[0] == pytest.approx((weight * frame).sum(), abs=1e-6)
    assert area[0] == pytest.approx(weight.sum(), abs=1e-6)


def test_block_sums_add_from_top_to_bottom() -> None:
    rng = np.random.default_rng(0)
    frame, valid = rng.poisson(5, (50, 33)), rng.random((50, 33)) > 0.1
    whole = BlockSums.of(frame, valid, 8)
    parts = BlockSums.of(frame[:24], valid[:24], 8) + BlockSums.of(frame[24:], valid[24:], 8)
    np.testing.assert_array_equal(whole.counts, parts.counts)
    np.testing.assert_array_equal(whole.n_valid, parts.n_valid)


@pytest.mark.parametrize("dose", [4.0, 40.0])
@pytest.mark.parametrize("ratio", [0.965, 0.8, 0.5])
def test_a_growing_phase_is_no_gain(dose: float, ratio: float) -> None:
    scene = make_scene(
        "front", shape_yx=(256, 256), n_frames=20, dtype="float32", seed=4, wander_px=2.0, jitter_px=0.5,
        dose=dose, amorphous_ratio=ratio, flicker=0.2,
    )  # fmt: skip
    frames = [scene.frame(i) for i in range(scene.n_frames)]
    truth = np.array([scene.truth(i).gain for i in range(scene.n_frames)])
    reports = gains(frames, [scene.drift.at(i, scene.seed) for i in range(scene.n_frames)])
    found = spread(np.array([report.gain for report in reports]) / truth)
    by_mean = spread(np.array([frame.mean() for frame in frames]) / truth)
    assert found < (0.015 if ratio == 0.5 else 0.01)
    assert found < 0.8 * by_mean
    if ratio < 0.9:
        assert found < 0.3 * by_mean


@pytest.mark.parametrize("kind", ["twin_lamella", "grain_growth", "order_disorder", "decahedron"])
def test_what_the_mean_gets_right_stays_right(kind: str) -> None:
    scene = make_scene(kind, shape_yx=(192, 192), n_frames=12, dtype="float32", seed=4, dose=20.0, flicker=0.2)
    truth = np.array([scene.truth(i).gain for i in range(scene.n_frames)])
    reports = gains(scene.frame(i) for i in range(scene.n_frames))
    assert spread(np.array([report.gain for report in reports]) / truth) < 0.012
    assert {report.note for report in reports} == {""}


def test_a_frame_of_something_else_falls_back_to_its_mean_and_says_so() -> None:
    rng = np.random.default_rng(0)
    here, there = (np.kron(rng.uniform(20, 200, (8, 8)), np.ones((32, 32))) for _ in range(2))
    reports = gains([rng.poisson(here) for _ in range(4)] + [rng.poisson(there) for _ in range(20)])
    assert {report.note for report in reports[:4]} == {""}
    assert "frame's mean" in reports[4].note
    assert reports[4].agreement < LEAST_AGREEING
    assert reports[4].gain == pytest.approx(there.mean() / here.mean(), rel=0.02)
    assert {report.note for report in reports[-4:]} == {""}  # the levels have followed


def test_dead_regions_and_empty_frames_are_borne() -> None:
    frame = np.full((64, 64), 50.0)
    holed = frame.copy()
    holed[:20] = np.nan
    assert [report.gain for report in gains([frame, holed, 1.2 * frame])] == pytest.approx([1, 1, 1.2])
    empty = gains([np.zeros((64, 64)), np.zeros((64, 64))])
    assert all(np.isfinite(report.gain) for report in empty)
    assert all(np.isfinite(report.gain) for report in gains([np.ones((3, 2))] * 3))


def test_counts_around_zero_have_no_gain() -> None:
    """A detector whose dark counts were subtracted, without beam."""
    rng = np.random.default_rng(0)
    reports = gains([rng.normal(0, 1, (64, 64)) - 0.5 for _ in range(3)] + [np.full((64, 64), 20.0)] * 2)
    assert [report.gain for report in reports[:3]] == [1.0] * 3
    assert "no counts" in reports[1].note
    assert all(np.isfinite(report.gain) for report in reports)
